"""Who is in which zone, and from when to when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.fakes import MODEL
from tests.support.scenes import CAR, HALVES, START, Film, Seen, objects_of, standing, zone
from vigil.analytics.zones import Zones
from vigil.errors import CannotStartError

LEFT, RIGHT = standing(0.3, 0.6), standing(0.7, 0.6)
BOTH = {name: zone(polygon) for name, polygon in HALVES.items()}


def film(**keys: object) -> Film:
    """Return a film with one zone, the frame's left half."""
    return Film({"gate": zone(HALVES["left"], **keys)})


def inside(shown: Film) -> int:
    """Return how many people are in the zone."""
    return shown.last.zones["gate"]["person"]


def test_entering_and_leaving_take_the_inertia() -> None:
    """Somebody counts after a second inside, and until a second outside is over."""
    shown = film()
    shown.show({1: LEFT}, 1.0)
    assert inside(shown) == 0
    shown.show({1: LEFT})
    assert inside(shown) == 1
    shown.show({1: RIGHT}, 1.0)
    assert inside(shown) == 1
    shown.show({1: RIGHT})
    assert inside(shown) == 0


def test_jitter_on_the_border_is_no_traffic() -> None:
    """Who stands on the border and trembles neither enters nor leaves, wherever he came from."""
    shown = Film(BOTH)
    shown.show({1: LEFT}, 3)
    for _ in range(50):
        shown.show({1: standing(0.49, 0.6)})
        shown.show({1: standing(0.51, 0.6)})
    assert {event.zones for event in shown.events[1:]} == {("left",)}
    assert {name: counts["person"] for name, counts in shown.last.zones.items()} == {"left": 1, "right": 0}


def test_one_glimpse_inside_is_not_enough() -> None:
    """A break starts the wait again."""
    shown = film()
    for _ in range(5):
        shown.show({1: LEFT}, 0.8)
        shown.show({1: RIGHT})
    assert inside(shown) == 0


def test_without_inertia_the_first_confirmed_frame_counts() -> None:
    """Zero seconds is at once, but what is no object yet is in no zone."""
    shown = film(inertia="0s")
    assert [shown.show({1: LEFT}).zones["gate"]["person"] for _ in range(3)] == [0, 0, 1]
    assert shown.show({1: RIGHT}).zones["gate"]["person"] == 0


def test_who_takes_the_place_of_another_in_memory_is_counted() -> None:
    """Somebody is confirmed in the zone in the frame after another left: he counts from that frame on."""
    shown = film(inertia="0s")
    for _ in range(3):
        shown.show({1: RIGHT})
    shown.show({1: RIGHT, 2: LEFT})
    shown.show({2: LEFT})
    assert inside(shown) == 0
    shown.show({2: LEFT, 3: RIGHT})
    assert inside(shown) == 1


def test_loitering_takes_its_time() -> None:
    """Nobody counts before he has stayed so long; stepping out for a moment costs nothing."""
    shown = film(loiter="10s")
    shown.show({1: LEFT}, 6)
    shown.show({1: RIGHT}, 0.6)
    shown.show({1: LEFT}, 3.4)
    assert inside(shown) == 0
    shown.show({1: LEFT})
    assert inside(shown) == 1


def test_leaving_starts_loitering_again() -> None:
    """Who was gone for longer than the inertia begins anew."""
    shown = film(loiter="5s")
    shown.show({1: LEFT}, 4)
    shown.show({1: RIGHT}, 2)
    shown.show({1: LEFT}, 4)
    assert inside(shown) == 0


def test_unseen_is_where_it_was() -> None:
    """An object that is missed stays in its zone, wherever it is believed to be; its wait goes on."""
    shown = film()
    shown.show({1: LEFT}, 0.6)
    shown.show({1: standing(0.7, 0.6, missed=True)}, 2)
    assert inside(shown) == 0
    shown.show({1: LEFT})
    assert inside(shown) == 1
    shown.show({1: standing(0.7, 0.6, missed=True)}, 2)
    assert inside(shown) == 1


def test_zones_count_their_classes() -> None:
    """A zone counts its own classes, 0 included; without any, all that the camera reports."""
    shown = Film({"cars": zone(HALVES["left"], classes=["car"]), "all": zone(HALVES["left"])})
    shown.show({1: LEFT, 2: standing(0.3, 0.9, CAR)}, 2)
    assert shown.last.zones == {"cars": {"car": 1}, "all": {"person": 1, "car": 1, "cell phone": 0}}


@pytest.mark.parametrize(
    ("anchor", "counted"), [("bottom_center", 0), ("center", 0), ("top_center", 1), ("any", 1)]
)
def test_anchor_decides(anchor: str, counted: int) -> None:
    """A box whose upper part alone is in a zone is there by its upper edge, or by any part."""
    shown = Film({"sky": zone([[0, 0], [1, 0], [1, 0.5], [0, 0.5]], anchor=anchor)})
    shown.show({1: Seen((0.4, 0.4, 0.5, 0.9))}, 2)
    assert shown.last.zones["sky"]["person"] == counted


def test_any_part_is_enough_where_no_anchor_is() -> None:
    """A box that covers a small zone is in it, with no corner inside and no anchor."""
    shown = Film({"spot": zone([[0.41, 0.5], [0.42, 0.5], [0.42, 0.51]], anchor="any")})
    shown.show({1: Seen((0.4, 0.4, 0.6, 0.9))}, 2)
    assert shown.last.zones["spot"]["person"] == 1


@pytest.mark.parametrize(("least", "counted"), [(0.019, 1), (0.021, 0)])
def test_a_zone_has_its_own_filters(least: float, counted: int) -> None:
    """What is too small for a zone is not in it, though the camera reports it."""
    shown = film(filters={"person": {"min_area": least}})
    shown.show({1: LEFT}, 2)
    assert (shown.last.counts["person"], inside(shown)) == (1, counted)


def test_detections_name_their_zones() -> None:
    """Each detection has the zones of the object that it shows, in the configuration's order."""
    shown = Film(BOTH | {"all": zone([[0, 0], [1, 0], [1, 1], [0, 1]])})
    shown.show({1: LEFT, 2: RIGHT}, 2, order=[2, 1])
    assert list(shown.last.detection_zones) == [("right", "all"), ("left", "all")]


@pytest.mark.parametrize(
    ("keys", "key"),
    [({"classes": ["unicorn"]}, "zones.gate.classes"), ({"filters": {"unicorn": {}}}, "zones.gate.filters")],
)
def test_unknown_class_cannot_start(keys: dict[str, object], key: str) -> None:
    """A class that the model does not know is refused with its key."""
    with pytest.raises(CannotStartError, match=rf"^cameras\.drive\.{key}: fake knows no class 'unicorn'"):
        film(**keys)


@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), max_size=40))
def test_enter_and_leave_alternate(steps: list[tuple[float, bool]]) -> None:
    """However an object moves, it is in a zone once at most, and `update` says so each time it changes."""
    zones = Zones("drive", BOTH, MODEL, [0, 1, 2])
    zones.grow(1)
    present: set[str] = set()
    for number, (x, missed) in enumerate(steps):
        changed = zones.update(START + number / 2, objects_of({1: standing(x, 0.6, missed=missed)}), 16 / 9)
        now = set(zones.of(0))
        assert list(changed) == ([0] if now != present else [])
        present = now
