"""When motion is told, and which frames are worth an inference, with the time passed in."""

from __future__ import annotations

from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.analytics.gate import Gate, MotionState, When, gates


@pytest.mark.parametrize(
    ("when", "gpu", "expected"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("always", False, False),
        ("always", True, False),
        ("motion", False, True),
        ("motion", True, True),
    ],
)
def test_when_to_gate(when: When, gpu: bool, expected: bool) -> None:  # noqa: FBT001 -- a table's column
    """`auto` spares a CPU only, `always` nobody, `motion` both."""
    assert gates(when, gpu=gpu) is expected


def test_motion_is_told_at_its_edges_and_held() -> None:
    """ON comes with the first moving frame, OFF `hold` seconds after the last, and nothing between."""
    state = MotionState(hold=10)
    moves = {3, 4, 12}
    edges = {now: state.on for now in range(40) if state.update(active=now in moves, now=float(now))}
    assert edges == {3: True, 22: False}


def test_motion_ends_with_the_camera() -> None:
    """A camera that goes away turns motion off at once, told once, and an old hold does not revive it."""
    state = MotionState()
    state.update(active=True, now=0.0)
    assert state.clear() is True
    assert state.on is False
    assert state.clear() is False
    assert state.update(active=False, now=1.0) is False


def quiet(*, inferred: float = 0.0, check: float = 10.0) -> Gate:
    """Return the gate of a camera that connected long ago, and when it was last inferred."""
    gate = Gate(gate=True, check=check, start=1.0)
    gate.connected(-100.0)
    gate.inferred(inferred)
    return gate


def test_open_gate_lets_everything_through() -> None:
    """Without gating every frame is worth an inference."""
    gate = Gate(gate=False)
    gate.inferred(0.0)
    assert gate.awake(moving=False, present=False, now=0.1)


def test_quiet_picture_is_spared_until_its_check() -> None:
    """A quiet camera sleeps, but for one inference every ten seconds."""
    gate, turns = quiet(), []
    for now in range(1, 35):
        if gate.awake(moving=False, present=False, now=float(now)):
            turns.append(now)
            gate.inferred(float(now))
    assert turns == [10, 20, 30]


def test_due_check_waits_for_its_inference() -> None:
    """A check that no engine has had time for stays due."""
    gate = quiet()
    assert [gate.awake(moving=False, present=False, now=now) for now in (9.9, 10.0, 13.0)] == [
        False,
        True,
        True,
    ]


def test_check_waits_for_a_free_engine_but_not_for_ever() -> None:
    """While engines are busy with what moves, a still picture is looked at every 30 seconds, else at once."""
    gate, turns = quiet(), []
    for now in range(1, 100):
        times = deque([now == 47 or now >= 75])
        if gate.awake(moving=False, present=False, now=float(now), has_time=times.pop):
            turns.append(now)
            gate.inferred(float(now))
    assert turns == [30, 47, 75, 85, 95]


def test_what_moves_waits_for_nobody() -> None:
    """Motion, somebody in sight and the first second are awake, however busy engines are."""
    gate = quiet()
    assert not gate.awake(moving=False, present=False, now=15.0, has_time=lambda: False)
    assert gate.awake(moving=False, present=True, now=15.0, has_time=lambda: False)
    assert gate.awake(moving=True, present=False, now=15.0, has_time=lambda: False)
    assert gate.awake(moving=False, present=False, now=15.2, has_time=lambda: False)


def test_motion_wakes_until_it_was_looked_at() -> None:
    """Motion wakes at once, and its camera sleeps only after an inference of that frame or a later one."""
    gate = quiet()
    assert gate.awake(moving=True, present=False, now=1.0)
    assert gate.awake(moving=False, present=False, now=1.2)
    gate.inferred(0.9)
    assert gate.awake(moving=False, present=False, now=1.4)
    gate.inferred(1.4)
    assert not gate.awake(moving=False, present=False, now=1.6)


def test_track_keeps_its_camera_awake() -> None:
    """While a track is present every frame is inferred, however still it stands."""
    gate = quiet()
    assert gate.awake(moving=False, present=True, now=1.0)
    gate.inferred(1.0)
    assert gate.awake(moving=False, present=True, now=1.1)
    gate.inferred(1.1)
    assert not gate.awake(moving=False, present=False, now=1.2)


def test_first_second_after_a_connect_is_awake() -> None:
    """While the background is being learnt frames are inferred, after a reconnect as well."""
    gate = quiet()
    gate.connected(5.0)
    for now in (5.0, 5.9):
        assert gate.awake(moving=False, present=False, now=now)
        gate.inferred(now)
    assert not gate.awake(moving=False, present=False, now=6.1)


@given(st.lists(st.tuples(st.floats(0.01, 3), st.booleans(), st.booleans()), max_size=100))
def test_never_blind_for_longer_than_the_check(frames: list[tuple[float, bool, bool]]) -> None:
    """Whatever comes, moving and tracked frames are awake, and two inferences are `check` apart at most."""
    gate, now, last = quiet(check=5.0), 0.0, 0.0
    for gap, moving, present in frames:
        now += gap
        awake = gate.awake(moving=moving, present=present, now=now)
        assert awake or not (moving or present or now - last >= 5.0)
        if awake:
            gate.inferred(now)
            last = now
