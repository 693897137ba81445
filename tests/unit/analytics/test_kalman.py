"""The split filter against the full 8x8 one, and what it makes of simple motions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vigil.analytics import kalman
from vigil.analytics.kalman import AXES, COUPLING, POSITION, SPREAD, VELOCITY, VELOCITY_SPREAD, Float64


def joined(state: Float64) -> tuple[Float64, Float64]:
    """Return mean `(8,)` and covariance `(8, 8)` of the one box of a state."""
    covariance = np.zeros((8, 8))
    for axis in range(AXES):
        there = np.ix_([axis, axis + AXES], [axis, axis + AXES])
        part = state[:, axis, 0]
        covariance[there] = [[part[SPREAD], part[COUPLING]], [part[COUPLING], part[VELOCITY_SPREAD]]]
    return np.concatenate([state[POSITION, :, 0], state[VELOCITY, :, 0]]), covariance


def boxed(x: float, y: float, width: float, height: float) -> Float64:
    """Return `(4, 1)` a box of that centre and size."""
    return np.array([[x], [y], [width], [height]], np.float64)


def walked(seconds: list[float], speed: float) -> Float64:
    """Return the state after boxes of 50x100 pixels that move right at `speed`, that far apart in time."""
    state = kalman.begin(boxed(100, 100, 50, 100))
    x = 100.0
    for step in seconds:
        x += speed * step
        kalman.predict(state, np.array([step]))
        kalman.correct(state, boxed(x, 100, 50, 100))
    return state


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 2**32 - 1), st.floats(0, 3))
def test_split_filter_is_the_full_one(seed: int, step: float) -> None:
    """Prediction and correction are those of the textbook's filter on all eight values at once."""
    rng = np.random.default_rng(seed)
    state = walked([0.2, 0.1, 0.4], speed=float(rng.normal(0, 80)))
    mean, covariance = joined(state)
    kalman.predict(state, np.array([step]))
    move = np.eye(8) + step * np.eye(8, k=AXES)
    moved, spread = joined(state)
    assert moved == pytest.approx(move @ mean)
    noise = spread - move @ covariance @ move.T
    assert np.linalg.eigvalsh(noise).min() > -1e-6

    box = moved[:AXES] + rng.normal(0, 5, AXES)
    innovation = np.diag(kalman.innovation_spread(state)[:, 0])
    gain = spread[:, :AXES] @ np.linalg.inv(innovation)
    kalman.correct(state, box[:, None])
    corrected, left = joined(state)
    assert corrected == pytest.approx(moved + gain @ (box - moved[:AXES]))
    assert left == pytest.approx(spread - gain @ innovation @ gain.T, abs=1e-6)


def test_velocity_is_known_after_the_second_box() -> None:
    """At 5 boxes/s two of them tell most of a walker's speed, per second and not per frame."""
    assert walked([0.2], speed=60)[VELOCITY, 0, 0] == pytest.approx(60, rel=0.2)


def test_time_step_is_real_time() -> None:
    """Uneven frames lead to the same speed, and a long wait is predicted in one step as in many."""
    state = walked([0.04, 0.5, 0.1, 1.0, 0.2, 0.3], speed=40)
    assert state[VELOCITY, 0, 0] == pytest.approx(40, rel=0.05)
    once, often = state.copy(), state.copy()
    kalman.predict(once, np.array([1.0]))
    for _ in range(10):
        kalman.predict(often, np.array([0.1]))
    assert once[: VELOCITY + 1] == pytest.approx(often[: VELOCITY + 1])


def test_uncertainty_grows_unseen_and_shrinks_seen() -> None:
    """Waiting widens where a detection may be; a detection narrows it; no time at all changes nothing."""
    state = walked([0.1, 0.1], speed=20)
    before = kalman.innovation_spread(state)
    kalman.predict(state, np.array([0.0]))
    assert (kalman.innovation_spread(state) == before).all()
    kalman.predict(state, np.array([1.0]))
    waited = kalman.innovation_spread(state)
    assert (waited > before).all()
    kalman.correct(state, state[POSITION].copy())
    assert (kalman.innovation_spread(state) < waited).all()


def test_sides_stay_positive() -> None:
    """A box that shrank and is not seen any more never turns inside out."""
    state = kalman.begin(boxed(100, 100, 50, 100))
    for side in (40.0, 25.0, 10.0):
        kalman.predict(state, np.array([0.2]))
        kalman.correct(state, boxed(100, 100, side, 2 * side))
    kalman.predict(state, np.array([60.0]))
    assert (state[POSITION, 2:] >= 1).all()


def test_steady_approach_stays_possible() -> None:
    """A car that nears at a steady pace outruns its prediction by no more than is thought possible."""
    state, away, farthest = kalman.begin(_car(60.0)), 60.0, 0.0
    while away > 10:
        away -= 2.5
        kalman.predict(state, np.array([0.1]))
        surprise = _car(away) - state[POSITION]
        farthest = max(farthest, float((np.square(surprise) / kalman.innovation_spread(state)).max()))
        kalman.correct(state, _car(away))
    assert farthest < 3**2


def test_walking_past_is_as_sure_as_before() -> None:
    """Who keeps his size is predicted no less surely for being quick."""
    slow, quick = walked([0.1] * 20, speed=1), walked([0.1] * 20, speed=100)
    assert kalman.innovation_spread(quick) == pytest.approx(kalman.innovation_spread(slow), rel=1e-6)


def _car(away: float) -> Float64:
    """Return the box of a car of 1.8 x 1.5 m, so many metres before a camera 6 m above the road."""
    pixels = 1000 / away
    return boxed(500 + 3 * pixels, 5.25 * pixels, 1.8 * pixels, 1.5 * pixels)


def test_a_box_that_shrinks_unseen_is_not_everywhere() -> None:
    """Who walks away and is missed for three seconds is looked for nearby, not all over the picture."""
    state = kalman.begin(np.array([[300.0], [300.0], [40.0], [80.0]]))
    for step in range(1, 11):
        kalman.predict(state, np.array([0.1]))
        kalman.correct(state, np.array([[300.0 + 6 * step], [300.0], [40.0 - 2 * step], [80.0 - 4 * step]]))
    for _ in range(30):
        kalman.predict(state, np.array([0.1]))
    assert np.sqrt(state[SPREAD, 0, 0]) < 500
