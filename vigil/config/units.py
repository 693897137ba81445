"""The types of single values: quantities with units, numbers in bounds, files, names.

The models in `model` use these types; every parser raises `PydanticCustomError` whose message continues the
sentence "<value> ..." without repeating the value, because a value can be a secret.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    ValidationInfo,
)
from pydantic_core import PydanticCustomError, core_schema

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {
    "B": 1,
    "KB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KIB": 1024,
    "MIB": 1024**2,
    "GIB": 1024**3,
}
_QUANTITY = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]+)\s*", re.ASCII)


def wrong(message: str) -> PydanticCustomError:
    """Return the error of a value whose message reads `is wrong in this way; this would be right`."""
    return PydanticCustomError("vigil", "{message}", {"message": message})


def parse_duration(text: str) -> float:
    """Return the seconds that `500ms`, `10s`, `2m`, `1h` or `1d` stands for; raises `ValueError`."""
    number, factor = _quantity(text, _SECONDS, str.lower)
    return number * factor


def parse_size(text: str) -> int:
    """Return the bytes that `20MB` or `512KiB` stands for; raises `ValueError`."""
    number, factor = _quantity(text, _BYTES, str.upper)
    return round(number * factor)


def _quantity(text: str, units: dict[str, Any], fold: Any) -> tuple[float, float]:
    match = _QUANTITY.fullmatch(text)
    if match is None or fold(match[2]) not in units:
        raise ValueError(text)
    return float(match[1]), units[fold(match[2])]


@dataclass(frozen=True, slots=True)
class _Range:
    """A quantity with a unit, from `low` to `high` inclusive; marks the type of a pydantic field."""

    low: str
    high: str

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        return core_schema.no_info_before_validator_function(self._convert, handler(source))

    def __get_pydantic_json_schema__(self, _core: Any, _handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {"type": "string", "x-expects": self.expects}

    @property
    def expects(self) -> str:
        """What would be right, for people."""
        raise NotImplementedError

    def _convert(self, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            raise wrong(f"has no unit; write {self.expects}")
        try:
            quantity = self.parse(value) if isinstance(value, str) else None
        except ValueError:
            quantity = None
        if quantity is None:
            raise wrong(f"is not understood; write {self.expects}")
        if not self.parse(self.low) <= quantity <= self.parse(self.high):
            raise wrong(f"is out of range; write {self.expects}")
        return quantity

    def parse(self, text: str) -> float:
        """Return the number in base units; raises `ValueError`."""
        raise NotImplementedError


class DurationRange(_Range):
    """Marks a field of float seconds, written `10s`."""

    __slots__ = ()

    @property
    def expects(self) -> str:
        """What would be right, for people."""
        return f"a duration from {self.low} to {self.high} with its unit (ms, s, m, h), such as 10s"

    def parse(self, text: str) -> float:
        """Return seconds; raises `ValueError`."""
        return parse_duration(text)


class SizeRange(_Range):
    """Marks a field of int bytes, written `20MB` or `512KiB`."""

    __slots__ = ()

    @property
    def expects(self) -> str:
        """What would be right, for people."""
        return f"a size from {self.low} to {self.high} with its unit (KB, MB, GB, KiB, MiB), such as 20MB"

    def parse(self, text: str) -> int:
        """Return bytes; raises `ValueError`."""
        return parse_size(text)


def _no_boolean(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("not_a_number", "is not a number")
    return value


NO_BOOLEAN = BeforeValidator(_no_boolean)
"""Marks a number: `yes` and `on`, which YAML reads as true, are not 1. Stands last, after the bounds."""

Fraction: TypeAlias = Annotated[float, Field(ge=0.01, le=1), NO_BOOLEAN]
Port: TypeAlias = Annotated[int, Field(ge=1, le=65535), NO_BOOLEAN]
Duration: TypeAlias = Annotated[float, DurationRange("0s", "30d")]
Timeout: TypeAlias = Annotated[float, DurationRange("100ms", "1h")]
Age: TypeAlias = Annotated[float, DurationRange("1m", "365d")]
Size: TypeAlias = Annotated[int, SizeRange("1KB", "1GB")]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
TopicPrefix: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[^/+#\x00]+(/[^/+#\x00]+)*$"),
    Field(json_schema_extra={"x-expects": "a topic without + and #, with no / at its start or end"}),
]
CameraName: TypeAlias = Annotated[
    str,
    StringConstraints(pattern=r"^[a-z0-9_-]+$"),
    Field(json_schema_extra={"x-expects": "a name of a-z, 0-9, _ and -"}),
]


def beside_file(path: Path, info: ValidationInfo) -> Path:
    """Return a path as seen from the configuration file's folder, which is the validation context."""
    return (info.context or Path.cwd()) / path


def read_secret(path: Path) -> str:
    """Return a secret file's text without its trailing newline."""
    try:
        return path.read_text(encoding="utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise wrong(f"cannot be read ({reason}); name a readable file that holds the password") from error


def secret_or_file(value: Any, info: ValidationInfo) -> Any:
    """Return a secret as it is written, or what the `password_file` before it holds."""
    file = info.data.get("password_file")
    if file is not None and value is not None:
        raise wrong("is given beside `password_file`; keep one of the two")
    return value if file is None else read_secret(file)


def _readable(path: Path) -> Path:
    read_secret(path)
    return path


SecretFile: TypeAlias = Annotated[Path, AfterValidator(beside_file), AfterValidator(_readable)]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise wrong("is no file; name one that is there")
    return path


ExistingFile: TypeAlias = Annotated[Path, AfterValidator(beside_file), AfterValidator(_existing)]


def _auto_or_number(value: object) -> str:
    return "<auto>" if isinstance(value, str) and value.strip().isalpha() else "<number>"


Count: TypeAlias = Annotated[
    Annotated[int, Field(ge=1, le=1024), NO_BOOLEAN, Tag("<number>")]
    | Annotated[Literal["auto"], Tag("<auto>")],
    Discriminator(_auto_or_number),
]
"""How many of something, or `auto`."""


def _one_or_per_class(value: object) -> str:
    return "<classes>" if isinstance(value, dict) else "<number>"


Confidence: TypeAlias = Annotated[
    Annotated[Fraction, Tag("<number>")] | Annotated[dict[Text, Fraction], Tag("<classes>")],
    Discriminator(_one_or_per_class),
]
"""One threshold, or one per class label."""
