"""What travels between a shard and its front arrives as it was, in the same identity, and whole."""

from __future__ import annotations

import asyncio
import pickle
import socket
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.support.fakes import MODEL, boxes
from vigil.core.events import Crossings, Totals
from vigil.core.types import (
    MAIN_MODEL,
    CameraGone,
    CameraIntroduced,
    Detections,
    Model,
    MotionChanged,
    Result,
)
from vigil.shards.channel import Channel, ClosedError
from vigil.shards.wire import Decoder, Encoder, Seen, Told

if TYPE_CHECKING:
    from vigil.core.types import BusMessage

OTHER = Model("other", ("bicycle",), stride=32, size=320)
MODELS = {MAIN_MODEL: MODEL, "small": OTHER}
ZONES = {"gate": {"person": 0}}
TOTALS = Totals({"entry": {"person": Crossings(1, 2)}})


def result(seq: int, known: CameraIntroduced, model: Model = MODEL) -> Result:
    """Return a result of two tracked boxes that leaves the camera as it is."""
    found = boxes((1, 2, 3, 4, 0.9, 0), (5, 6, 7, 8, 0.25, 1))
    tracked = Detections(found.xyxy, found.confidence, found.class_id, np.array([7, -1], np.int32))
    zones = (("gate",), ())
    return Result(
        known.camera, seq, 12.5, 640, 360, model, tracked, known.counts, zones, known.zones, known.totals
    )


def sent(encoder: Encoder, decoder: Decoder, *messages: BusMessage) -> list[BusMessage]:
    """Return what arrives of messages that are sent together."""
    told = pickle.loads(pickle.dumps(Told(encoder.encode(messages))))  # noqa: S301 -- our own
    assert isinstance(told, Told)
    return list(decoder.decode(told.messages))


def test_result_arrives_as_it_was() -> None:
    """Boxes, ids, zones, counts, totals and the model are those that were sent."""
    known = CameraIntroduced("a", {"person": 1}, ZONES, TOTALS)
    one = result(3, known)
    _, arrived = sent(Encoder(MODELS), Decoder(MODELS), known, one)
    assert isinstance(arrived, Result)
    assert arrived.model is MODEL
    for name in ("xyxy", "confidence", "class_id", "tracker_id"):
        mine, theirs = getattr(one.detections, name), getattr(arrived.detections, name)
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    for name in ("camera", "seq", "captured_at", "width", "height", "detection_zones"):
        assert getattr(arrived, name) == getattr(one, name)
    assert (arrived.counts, arrived.zones, arrived.totals) == ({"person": 1}, ZONES, TOTALS)


def test_what_did_not_change_is_the_same_object_and_is_not_sent() -> None:
    """Subscribers see by identity that a result changes nothing, as they do within one process."""
    encoder, decoder = Encoder(MODELS), Decoder(MODELS)
    known = CameraIntroduced("a", {"person": 1}, ZONES, TOTALS)
    introduced, first = sent(encoder, decoder, known, result(1, known))
    [second] = sent(encoder, decoder, result(2, known))
    assert isinstance(introduced, CameraIntroduced)
    assert introduced.says(first)  # type: ignore[arg-type]  # it is a result
    assert introduced.says(second)  # type: ignore[arg-type]  # it is a result
    [short] = encoder.encode([result(3, known)])
    assert isinstance(short, Seen)
    assert (short.counts, short.zones, short.totals) == (None, None, None)

    more = {"person": 2}
    [third] = sent(encoder, decoder, replace(result(4, known), counts=more))
    assert isinstance(third, Result)
    assert third.counts == more
    assert third.zones is introduced.zones


def test_cameras_are_kept_apart_and_forgotten() -> None:
    """One camera's counts are no other's, and a camera that comes back begins anew."""
    encoder, decoder = Encoder(MODELS), Decoder(MODELS)
    a, b = CameraIntroduced("a", {"person": 1}), CameraIntroduced("b", {"person": 5})
    *_, last = sent(encoder, decoder, a, b, result(1, a, OTHER))
    assert isinstance(last, Result)
    assert last.counts == {"person": 1}
    assert last.model is OTHER
    again = CameraIntroduced("a", {"car": 0})
    *_, last = sent(encoder, decoder, CameraGone("a"), again, result(2, again), MotionChanged("a", on=True))
    assert last == MotionChanged("a", on=True)


async def channels() -> tuple[Channel, Channel]:
    """Return two ends."""
    one, two = socket.socketpair()
    return await Channel.over(one), await Channel.over(two)


async def test_things_arrive_whole_and_in_order() -> None:
    """Small and very large things come out at the other end as they went in."""
    one, two = await channels()
    things: list[object] = [1, "two", np.arange(3_000_000, dtype=np.int64), {"four": (4,)}]
    sending = asyncio.gather(*(one.send(thing) for thing in things))
    arrived = [await two.receive() for _ in things]
    await sending
    assert arrived[0] == 1
    assert arrived[1] == "two"
    np.testing.assert_array_equal(arrived[2], things[2])
    assert arrived[3] == {"four": (4,)}
    await one.close()
    await two.close()


async def test_end_of_the_other_side_is_told() -> None:
    """Who waits for somebody that is gone hears so, also halfway through a thing; saying more is no error."""
    one, two = await channels()
    one._writer.write(b"\0\0\0\0\0\0\0\5ab")
    await one.close()
    with pytest.raises(ClosedError):
        await two.receive()
    await two.send("hello?")
    await two.send("hello?")
    await two.close()
