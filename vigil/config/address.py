"""Addresses of cameras: taken apart, put together with a login, and shown without one; and of listeners."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from vigil.config.units import wrong

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

NETWORK_SCHEMES = ("rtsp", "rtsps", "rtmp", "http", "https")
"""Addresses with a host, which may ask for a user name and a password."""

SCHEMES = (*NETWORK_SCHEMES, "file", "udp", "photo")

CREDENTIALS = ("username", "password", "password_file")
"""The keys that log in to a camera or a broker."""

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://|(photo|file|rtsp|rtsps|rtmp|https?|udp):")
_ADDRESS = re.compile(
    r"(?P<scheme>[^:]+)://(?:(?P<user>[^/?#:]*?)(?::(?P<password>[^/?#]*))?@)?(?P<rest>[^@/?#]*(?:[/?#].*)?)",
    re.DOTALL,
)
_HOST = re.compile(r"(?:\[[0-9A-Fa-f:.%]+\]|[^\s:\[\]/?#]+)(?::\d{1,5})?(?:[/?#].*)?", re.DOTALL)
_CUT_LOGIN = re.compile(r"#.*@", re.DOTALL)
"""A raw # in a password ends the host too early."""
_USERINFO = re.compile(r"((?://|^(?![^/@]*://))[^/:@\s]*):.*@", re.DOTALL)
_NO_SCHEME = re.compile(r"[^/]*:[^/]*@")
"""A login where a file's path should be: `viewer:secret@host`."""
_SECRET_WORD = re.compile(r"(?i)((?:pass\w*|pwd|[\w-]*pw|secret|auth|\w*token|\w*key)\s*[=:])[^&\s]+")


class Address(NamedTuple):
    """A network address taken apart; user name and password are decoded, `rest` is host, port and path."""

    scheme: str
    username: str | None
    password: str | None
    rest: str

    def with_credentials(self, username: str | None, password: str | None) -> str:
        """Return the address with percent-encoded credentials, ready to open."""
        if username is None and password is None:
            return f"{self.scheme}://{self.rest}"
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"{self.scheme}://{quote(username or '', safe='')}{secret}@{self.rest}"


def scheme_of(url: str) -> str | None:
    """Return the scheme of `rtsp://…`, `photo:…` or `file:…` in lower case, `None` for a plain path."""
    match = _SCHEME.match(url)
    return None if match is None else (match[1] or match[2]).lower()


def split_address(url: str) -> Address | None:
    """Take a network address apart; `None` when it is none or is malformed."""
    match = _ADDRESS.fullmatch(url)
    if match is None or match["scheme"].lower() not in NETWORK_SCHEMES:
        return None
    if not _HOST.fullmatch(match["rest"]) or _CUT_LOGIN.search(match["rest"]):
        return None
    user, password = (None if part is None else unquote(part) for part in match.group("user", "password"))
    return Address(match["scheme"].lower(), user, password, match["rest"])


def is_loopback(host: str) -> bool:
    """Tell whether an address to listen on can be reached from its own machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def one_line(text: str) -> str:
    """Return `text` fit for one line of a log: line breaks and what a terminal would obey become blanks."""
    return "".join(char if char.isprintable() else " " for char in text)


def redact_words(text: str) -> str:
    """Return `text` with the values of `password=…`, `token: …` and their like replaced by `***`."""
    return _SECRET_WORD.sub(r"\1***", text)


def redact(text: str) -> str:
    """Return unchecked `text` without the passwords that an address or a slip of the pen put in it."""
    return redact_words(_USERINFO.sub(r"\1:***@", text))


def redacted(url: str, username: str | None, *, has_password: bool) -> str:
    """Return a checked address without login as logs show it: with user name, and `***` for a password."""
    if split_address(url) is None or (username is None and not has_password):
        return redact(url)
    scheme, _, rest = redact(url).partition("://")
    return f"{scheme}://{quote(username or '', safe='')}{':***' if has_password else ''}@{rest}"


def has_credentials(camera: Mapping[str, object]) -> bool:
    """Tell whether a camera has a login in keys of its own."""
    return any(camera.get(key) is not None for key in CREDENTIALS)


def checked_address(url: str, camera: Mapping[str, object]) -> str:
    """Return a network address in its one form; raises when malformed, or with a login beside the keys."""
    address = split_address(url)
    if address is None:
        raise wrong(
            "is not a valid address; write rtsp://host:port/path, and a password that has special characters "
            "under `password`"
        )
    if address.username is not None and has_credentials(camera):
        raise wrong("holds a login and so do keys beside it; keep one of the two")
    return address.with_credentials(address.username, address.password)


def local_address(url: str, scheme: str | None, folder: Path) -> str:
    """Return a file's path, or `file:` or `photo:` with one, whatever its slashes, from `folder`."""
    if scheme is None and _NO_SCHEME.match(url):
        raise wrong("has no scheme; begin with rtsp:// or another one")
    if scheme is None:
        return str(folder / url)
    path = url[len(scheme) + 1 :].removeprefix("//")
    if not path or "://" in path:
        raise wrong(f"names no file; write {scheme}: and a path")
    if path.startswith("/"):
        return f"{scheme}:{path}"
    # What follows `photo:` is percent-encoded, because a query may stand behind it.
    return f"{scheme}:{quote(str(folder)) if scheme == 'photo' else folder}/{path}"
