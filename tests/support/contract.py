"""What vigil may say on MQTT, held against what it said: topics, and payloads by their JSON Schemas."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol

from jsonschema import Draft202012Validator

from vigil.schemas.payloads import PAYLOADS
from vigil.schemas.topics import PREFIX, topic_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from vigil.schemas.topics import Topic


@dataclass(frozen=True, slots=True)
class Manner:
    """How messages of a topic came."""

    topic: str
    qos: int
    retained: bool


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


def manner(name: str, qos: int, *, retained: bool, prefix: str = PREFIX) -> str:
    """Return what is wrong with how a message came, `retained` from before the subscription."""
    topic = topic_of(name.removeprefix(f"{prefix}/")) if name.startswith(f"{prefix}/") else None
    if topic is None or topic.asked:
        return ""
    if retained and not topic.retained:
        return f"{name}: is retained"
    # The embedded broker hands on what came with QoS 0 at the subscriber's.
    return "" if qos >= topic.qos else f"{name}: came with QoS {qos}, not {topic.qos}"


def problems(heard: Mapping[str, Sequence[bytes]], manners: Iterable[Manner] = ()) -> list[str]:
    """Return what is wrong with all that was heard, by topic, and with how it came, each once."""
    bad = {wrong for each in manners if (wrong := manner(each.topic, each.qos, retained=each.retained))}
    return sorted(
        bad | {wrong for name, said in heard.items() for each in set(said) if (wrong := problem(name, each))}
    )
