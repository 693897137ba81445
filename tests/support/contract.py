"""What vigil may say on MQTT, held against what it said: topics, and payloads by their JSON Schemas."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from jsonschema import Draft202012Validator

from vigil.schemas.payloads import PAYLOADS
from vigil.schemas.topics import PREFIX, topic_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from vigil.schemas.topics import Topic


class Validator(Protocol):
    """The part of `jsonschema` that is used here, which has no types of its own."""

    def iter_errors(self, instance: Any) -> Iterator[Any]:
        """Yield what is wrong."""


@cache
def validator(payload: str) -> Validator:
    """Return what checks a payload by the name of its schema."""
    checks: Validator = Draft202012Validator(PAYLOADS[payload])
    return checks


def problem(name: str, payload: bytes, prefix: str = PREFIX) -> str:
    """Return what is wrong with a message, empty if nothing is; what others say is none of ours."""
    if not name.startswith(f"{prefix}/"):
        return ""
    topic = topic_of(name.removeprefix(f"{prefix}/"))
    if topic is None:
        return f"{name}: no such topic is known"
    # Anybody may ask for anything; an empty retained message takes a topic back.
    if topic.asked or (topic.retained and not payload):
        return ""
    wrong = _wrong(topic, payload)
    return f"{name}: {wrong}: {payload[:200]!r}" if wrong else ""


def _wrong(topic: Topic, payload: bytes) -> str:
    if topic.content == "image/jpeg":
        return "" if payload.startswith(b"\xff\xd8") and payload.endswith(b"\xff\xd9") else "no JPEG"
    try:
        value = json.loads(payload) if topic.content == "application/json" else payload.decode()
    except ValueError as error:
        return f"no {topic.content} ({error})"
    return "; ".join(
        f"{error.json_path}: {error.message}" for error in validator(topic.payload).iter_errors(value)
    )


def problems(heard: Mapping[str, Sequence[bytes]]) -> list[str]:
    """Return what is wrong with all that was heard, by topic, each once."""
    return sorted(
        {wrong for name, said in heard.items() for each in set(said) if (wrong := problem(name, each))}
    )
