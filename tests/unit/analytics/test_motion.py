"""What counts as motion and what does not, on made scenes with the time passed in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from vigil.analytics.motion import Motion, MotionDetector, stride_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from vigil.core.types import Float32, UInt8

HEIGHT, WIDTH = 72, 128
FPS = 10
ROWS, COLUMNS = np.mgrid[:HEIGHT, :WIDTH]


def street() -> Float32:
    """Return a plane with houses, edges and a slope of light."""
    blocks = np.random.default_rng(1).integers(40, 150, (HEIGHT // 8, WIDTH // 8))
    return np.asarray(np.kron(blocks, np.ones((8, 8))) + np.linspace(0, 40, WIDTH), np.float32)


STREET = street()


def with_object(plane: Float32, left: float, top: int = 30, *, size: tuple[int, int] = (12, 6)) -> Float32:
    """Return a plane with a dark `(height, width)` object in it."""
    shown = plane.copy()
    start = max(0, round(left))
    shown[top : top + size[0], start : max(0, round(left) + size[1])] = 20
    return shown


def filmed(planes: Iterable[Float32], sigma: float = 3.0, seed: int = 0) -> list[UInt8]:
    """Return what a sensor makes of planes: noise, clipping, whole numbers."""
    rng = np.random.default_rng(seed)
    return [np.clip(plane + rng.normal(0, sigma, plane.shape), 0, 255).astype(np.uint8) for plane in planes]


def looks(
    detector: MotionDetector, planes: Sequence[UInt8], start: float = 0.0, fps: float = FPS
) -> list[Motion]:
    """Look at planes that come regularly."""
    return [detector.look(plane, start + number / fps) for number, plane in enumerate(planes)]


def used_to_street(sigma: float = 3.0, masks: Sequence[Sequence[tuple[float, float]]] = ()) -> MotionDetector:
    """Return a detector that has looked at the still street for ten seconds, from -10 to 0."""
    detector = MotionDetector(masks)
    looks(detector, filmed([STREET] * 100, sigma, seed=7), start=-10)
    return detector


def active(found: Sequence[Motion]) -> list[bool]:
    """Return which frames moved."""
    return [motion.active for motion in found]


def test_walker_is_found_where_it_is() -> None:
    """A walker is found in every frame from the first, in one box around it that is at most 8 cells wider."""
    found = looks(used_to_street(), filmed(with_object(STREET, 20 + number) for number in range(60)))
    assert all(active(found))
    for number, motion in enumerate(found[1:], start=1):
        assert len(motion.boxes) == 1
        left, top, right, bottom = motion.boxes[0] * (WIDTH, HEIGHT, WIDTH, HEIGHT)
        assert 20 + number - 8 <= left <= 20 + number + 1
        assert 20 + number + 5 <= right <= 20 + number + 6 + 4
        assert 24 <= top <= 31
        assert 41 <= bottom <= 48
        assert 0.2 * 72 <= motion.area * STREET.size <= 1.5 * 72


def test_two_walkers_are_two_boxes() -> None:
    """Things that move far from each other have a box each."""
    both = [with_object(with_object(STREET, 20 + number), 90 - number, 50) for number in range(20)]
    assert {len(motion.boxes) for motion in looks(used_to_street(), filmed(both))[1:]} == {2}


@pytest.mark.parametrize("sigma", [0, 1, 3, 6, 10])
def test_noise_is_no_motion_and_hides_no_walker(sigma: float) -> None:
    """Sensor noise up to sigma 10 never moves in a minute, in the dark either; a small walker still does."""
    for light in (1.0, 0.25):
        detector = MotionDetector()
        still = looks(detector, filmed([STREET * light] * 600, sigma))
        assert not any(active(still)), light
        walk = [with_object(STREET, 20 + number, size=(9, 5)) for number in range(60)]
    assert not any(active(looks(used_to_street(sigma), filmed([STREET] * 100, sigma))))
    assert np.mean(active(looks(used_to_street(sigma), filmed(walk, sigma)))) > 0.95


def lamp(number: int) -> Float32:
    """Return the street under a lamp whose light flickers by 40 %."""
    glow = np.exp(-((COLUMNS - 60) ** 2 + (ROWS - 30) ** 2) / (2 * 30**2))
    return np.asarray(STREET * (1 + 0.4 * (0.5 + 0.5 * np.sin(number * 2.1)) * glow), np.float32)


def dusk(number: int) -> Float32:
    """Return the street in light that halves within ten seconds and comes back."""
    return STREET * np.float32(1 - 0.5 * math.sin(math.pi * min(number, 200) / 200))


def exposure(number: int) -> Float32:
    """Return the street through a camera that changes its exposure by a quarter every two seconds."""
    return STREET * np.float32(1.25 if number // 20 % 2 else 1.0)


def lightning(number: int) -> Float32:
    """Return the street with a flash of one or two frames now and then, from one side."""
    flash = number % 23 in {0, 1} or number % 37 == 5
    return (STREET * (2.6 - 0.8 * COLUMNS / WIDTH) if flash and number else STREET).astype(np.float32)


def night_mode(number: int) -> Float32:
    """Return the street in colour, then, from the fifth second, as infrared light shows it."""
    return STREET if number < 50 else 60 + 0.5 * STREET[:, ::-1]


def clouds(number: int) -> Float32:
    """Return the street under soft shadows that drift over it."""
    return np.asarray(STREET * (1 - 0.4 * (0.5 + 0.5 * np.sin((COLUMNS - number) / 22))), np.float32)


@pytest.mark.parametrize("light", [lamp, dusk, exposure, lightning, night_mode, clouds])
def test_light_is_no_motion(light: Callable[[int], Float32]) -> None:
    """Lamp, dusk, exposure, lightning, day/night switch, clouds never move; a walker after them does."""
    detector = used_to_street()
    assert not any(active(looks(detector, filmed(light(number) for number in range(300)))))
    settled = light(299)
    walk = [with_object(settled, 20 + number) for number in range(30)]
    assert np.mean(active(looks(detector, filmed(walk, seed=3), start=30))) >= 0.9


def test_walker_under_a_flickering_lamp_is_found() -> None:
    """Somebody who walks under the flickering lamp is found in most frames."""
    detector = used_to_street()
    looks(detector, filmed(lamp(number) for number in range(200)))
    walk = [with_object(lamp(200 + number), 20 + number) for number in range(80)]
    assert np.mean(active(looks(detector, filmed(walk), start=20))) > 0.7


def test_masked_area_never_moves() -> None:
    """What moves within a mask is no motion; outside of it, and at its edge, it is."""
    detector = used_to_street(masks=[[(0, 0), (0.5, 0), (0.5, 1), (0, 1)]])
    found = active(looks(detector, filmed(with_object(STREET, number) for number in range(-6, 120))))
    assert not any(found[:58])
    assert all(found[70:120])


def test_parked_object_stops_moving_and_leaves_again() -> None:
    """A car that parks is still after two seconds, for minutes but for a few frames; leaving it moves."""
    drives = [with_object(STREET, min(20 + number, 60), size=(10, 20)) for number in range(1200)]
    detector = used_to_street()
    found = active(looks(detector, filmed(drives)))
    assert all(found[:40])
    assert np.mean(found[60:]) < 0.005
    leaves = [with_object(STREET, 60 + number, size=(10, 20)) for number in range(40)]
    found = active(looks(detector, filmed(leaves), start=120))
    assert all(found[2:40])


def test_walker_before_a_parked_car_is_found() -> None:
    """Somebody who passes in front of a parked car moves, every frame."""
    car = with_object(STREET, 50, size=(12, 30)) + 40
    detector = used_to_street()
    looks(detector, filmed([car] * 100))
    walk = [with_object(car, 40 + number, size=(14, 4)) for number in range(50)]
    assert np.mean(active(looks(detector, filmed(walk), start=10))) > 0.95


def test_uncovered_ground_is_no_ghost() -> None:
    """When somebody who stood for half a minute leaves, nothing moves any more a second and a half later."""
    detector = used_to_street()
    stands = [with_object(STREET, 60)] * 300
    leaves = [with_object(STREET, 60 + 3 * number) for number in range(23)]
    found = active(looks(detector, filmed([*stands, *leaves, *[STREET] * 200])))
    assert all(found[301:322])
    assert not any(found[338:])


def test_tree_in_the_wind_is_learnt() -> None:
    """Leaves that flicker over a tenth of the picture are still within half a minute; walkers are not."""
    rng = np.random.default_rng(5)

    def windy(plane: Float32) -> Float32:
        shown = plane.copy()
        shown[:30, 90:] += rng.choice([-25, 25], (15, 19)).repeat(2, 0).repeat(2, 1)
        return shown

    detector = used_to_street()
    found = active(looks(detector, filmed(windy(STREET) for _ in range(600))))
    assert any(found[:5])
    assert np.mean(found[300:]) < 0.01
    walk = [windy(with_object(STREET, 20 + number, 50)) for number in range(60)]
    assert all(active(looks(detector, filmed(walk), start=60)))


def test_traffic_does_not_deafen() -> None:
    """On a road that something passes every three seconds a faint walker is still found afterwards."""
    passing = [with_object(STREET, 20 + 6 * number, size=(12, 14)) for number in range(10)]
    busy = [passing[number % 30] if number % 30 < 10 else STREET for number in range(900)]
    detector = used_to_street()
    looks(detector, filmed(busy))
    walk = [np.where(with_object(STREET, 30 + number) == 20, STREET * 0.75, STREET) for number in range(50)]
    assert np.mean(active(looks(detector, filmed(walk), start=90))) > 0.9


@pytest.mark.parametrize("fps", [5, 2, 1])
def test_slow_walker_is_found_at_a_low_rate(fps: float) -> None:
    """A stroller of two cells a second, at few frames a second, is found in nearly all of them."""
    walk = [with_object(STREET, 20 + 2 * number / fps, size=(14, 5)) for number in range(round(30 * fps))]
    found = active(looks(used_to_street(), filmed(walk), fps=fps))
    assert np.mean(found[1:]) > 0.95


def test_first_looks_only_learn() -> None:
    """A fresh detector reports nothing for its first looks, whatever moves, and then it does."""
    found = active(looks(MotionDetector(), filmed(with_object(STREET, 5 * number) for number in range(20))))
    assert found == [False] * 4 + [True] * 16


def test_other_picture_size_starts_anew() -> None:
    """When the stream's size changes the detector learns the new picture without a word."""
    detector = used_to_street()
    half = filmed([STREET[::2, ::2]] * 30)
    assert not any(active(looks(detector, half)))


def test_strided_view_is_as_good_as_an_array() -> None:
    """A plane that is a strided view of a larger one, as decoders give it, is taken."""
    detector = MotionDetector()
    large = np.zeros((HEIGHT * 4, WIDTH * 4 + 64), np.uint8)
    assert detector.look(large[::4, : WIDTH * 4 : 4], 0.0).active is False
    assert detector.look(large[::4, : WIDTH * 4 : 4], 0.1).active is False


@given(st.integers(1, 8192), st.integers(1, 8192))
def test_plane_is_small_and_not_too_small(width: int, height: int) -> None:
    """The plane's longer side has at most 128 cells, and more than half of that where the frame has."""
    stride = stride_of(width, height)
    longer = -(-max(width, height) // stride)
    assert longer <= 128
    assert longer > 64 or stride == 1


@given(st.lists(arrays(np.uint8, (9, 16)), max_size=8), st.lists(st.floats(-10, 1e6), min_size=8, max_size=8))
def test_any_pictures_at_any_time_are_harmless(planes: list[UInt8], times: list[float]) -> None:
    """Whatever comes, clocks that go backwards included, areas and boxes are finite fractions."""
    detector = MotionDetector([[(0.5, 0.5), (2, 0.5), (0.5, -1)]])
    for plane, now in zip(planes, times, strict=False):
        motion = detector.look(plane, now)
        assert motion.active == (motion.area > 0) == (len(motion.boxes) > 0)
        assert 0 <= motion.area <= 1
        assert ((motion.boxes >= 0) & (motion.boxes <= 1)).all()
        assert (motion.boxes[:, :2] < motion.boxes[:, 2:]).all()
