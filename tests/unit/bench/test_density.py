"""The rule of stream density, the search for the largest number that passes, and what is printed of it."""

from __future__ import annotations

import io
import json
import math
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from vigil.bench import tables
from vigil.bench.compare import Compared, environment_of, pythons_of, to_json
from vigil.bench.density import (
    Density,
    Result,
    Rules,
    Trial,
    Verdict,
    Window,
    doomed,
    judge,
    largest,
    oldest_ms,
    ratio,
    same_objects,
)
from vigil.bench.scenes import Scene
from vigil.bench.trials import rules_of
from vigil.errors import CannotStartError

BUSY = Scene("busy", Path("busy.mp4"), 60.0, ((0.0, 60.0),))
TYPICAL = Scene("typical", Path("typical.mp4"), 100.0, ((10.0, 20.0),))
RULES = Rules(5.0, 250.0)
GATED = Rules(5.0, 250.0, only_active=True, wake=4.0)


def window(cameras: int = 2, scene: Scene = BUSY, start: float = 1000.0, seconds: float = 60.0) -> Window:
    """Return a window in front of cameras whose clips began at the time 0."""
    return Window(start, start + seconds, {f"cam{number}": 0.0 for number in range(cameras)}, scene)


def steady(camera: str, start: float, end: float, rate: float = 5.0, age: float = 0.1) -> list[Result]:
    """Return results at a rate, two objects in each."""
    times = [start + number / rate for number in range(round((end - start) * rate))]
    return [Result(camera, at, 2, at - age) for at in times]


def both(rate: float = 5.0, age: float = 0.1) -> list[Result]:
    """Return results of both cameras of a window."""
    return [result for camera in ("cam0", "cam1") for result in steady(camera, 1000, 1060, rate, age)]


class TestRule:
    """A window held against the rule."""

    def test_steady_results_pass(self) -> None:
        """Full rate, equal shares, fresh results: nothing to object to, and all is counted."""
        verdict = judge(both(), window(), RULES)
        assert verdict.passed
        assert (verdict.lowest_share, verdict.jain, verdict.results, verdict.objects) == (1, 1, 600, 2)
        assert verdict.p95_ms == pytest.approx(100)

    def test_every_camera_must_get_its_rate(self) -> None:
        """One camera at 0.94 of its target is too few, at 0.95 it is not."""
        for rate, passed in ((4.7, False), (4.75, True)):
            results = steady("cam0", 1000, 1060) + steady("cam1", 1000, 1060, rate)
            verdict = judge(results, window(), RULES)
            assert verdict.passed is passed
        assert (
            judge(steady("cam0", 1000, 1060), window(), RULES).problem == "cam1 got 0.00 of its target rate"
        )

    def test_results_outside_of_the_window_or_of_other_cameras_do_not_count(self) -> None:
        """Results before, after and of the stuttering camera change nothing."""
        others = steady("cam0", 990, 1000) + steady("cam0", 1060, 1090) + steady("stuttering", 1000, 1060)
        assert judge(both() + others, window(), RULES) == judge(both(), window(), RULES)

    def test_shares_must_be_fair(self) -> None:
        """One camera with twice its rate and many with theirs fail for Jain's index."""
        results = [result for number in range(3) for result in steady(f"cam{number}", 1000, 1060)]
        results += steady("cam0", 1000, 1060, 5.0)
        verdict = judge(results, window(3), RULES)
        assert verdict.problem == f"Jain's index is {16 / 18:.3f}"

    def test_results_must_be_fresh_where_that_is_asked(self) -> None:
        """An age of 0.3 s fails, unless twice the engine's time is more, or nobody asks for it."""
        old = both(age=0.3)
        assert "300 ms old" in judge(old, window(), RULES).problem
        assert judge(old, window(), Rules(5.0, oldest_ms(160.0))).passed
        assert judge(old, window(), Rules(5.0)).passed
        assert (oldest_ms(50.0), oldest_ms(160.0)) == (250.0, 320.0)

    def test_who_tells_no_age_is_not_judged_by_it(self) -> None:
        """Results without the time of their capture count by when they came."""
        results = [Result(each.camera, each.at, each.count) for each in both()]
        verdict = judge(results, window(), RULES)
        assert verdict.passed
        assert math.isnan(verdict.p95_ms)

    def test_who_gates_owes_results_of_activity_only(self) -> None:
        """Ten active seconds of sixty: fifty results are owed, those of quiet seconds count for nothing."""
        active = [Result(f"cam{n}", at, 1, at) for n in (0, 1) for at in (1010 + k / 5 for k in range(50))]
        quiet = steady("cam0", 1030, 1040)
        verdict = judge(active + quiet, window(scene=TYPICAL), GATED)
        assert (verdict.passed, verdict.results, verdict.lowest_share) == (True, 100, 1)
        assert not judge(active[:90] + quiet, window(scene=TYPICAL), GATED).passed
        assert not judge(active + quiet, window(scene=TYPICAL), RULES).passed

    def test_what_was_decoded_after_a_wake_up_is_told_apart(self) -> None:
        """Frames of the first four seconds may be late; their age is told and fails nobody."""
        late = [Result("cam0", 1012.0, 1, 1010.1 + k / 10) for k in range(19)]
        prompt = [Result("cam0", at, 1, at - 0.05) for at in (1014.1 + k / 5 for k in range(40))]
        verdict = judge(late + prompt, window(1, TYPICAL), GATED)
        assert verdict.passed
        assert verdict.p95_ms == pytest.approx(50)
        assert verdict.wake_p95_ms == pytest.approx(1900)

    def test_a_camera_that_was_owed_next_to_nothing_is_not_judged(self) -> None:
        """A window without any activity passes without a result."""
        assert judge([], window(scene=TYPICAL, start=1030.0), GATED).passed

    def test_a_stay_owes_whole_results_and_a_short_one_none_that_count(self) -> None:
        """Of 4.1 s at a window's end one result may be missing and not two, of 3.9 s any number."""

        def found(seconds: float, missing: int) -> Verdict:
            looks = math.floor(5 * seconds) - missing
            results = [Result("cam0", at, 1, at) for at in (1010 + k / 5 for k in range(looks))]
            return judge(results, window(1, TYPICAL, seconds=10 + seconds), GATED)

        assert found(4.1, missing=1).passed
        assert found(4.1, missing=2).problem == "cam0 got 0.90 of its target rate"
        assert found(3.9, missing=19).passed

    def test_a_hopeless_window_is_seen_early(self) -> None:
        """A camera without results is lost after five seconds, one with its rate never is."""
        assert doomed(both(), window(), RULES, 1059.0) == ""
        results = steady("cam0", 1000, 1060)
        assert doomed(results, window(), RULES, 1003.0) == ""
        assert doomed(results, window(), RULES, 1006.0) == "cam1"

    def test_only_the_scene_and_the_gate_decide_what_is_owed(self) -> None:
        """In a scene that never rests a gate owes everything, and so does who has none in any scene."""
        assert rules_of(5.0, 250.0, gates=True, scene=BUSY) == RULES
        assert rules_of(5.0, None, gates=False, scene=TYPICAL) == Rules(5.0)
        assert rules_of(5.0, 250.0, gates=True, scene=TYPICAL) == GATED
        assert rules_of(5.0, 250.0, gates=True, scene=TYPICAL, rests=False) == Rules(
            5.0, 250.0, only_active=True
        )


class TestScene:
    """When somebody is there."""

    @given(st.floats(0, 1000), st.floats(0, 300))
    def test_stays_are_the_seconds_in_which_somebody_is_there(self, start: float, length: float) -> None:
        """Counting in steps of a tenth agrees with the formula, over rounds of the clip."""
        steps = round(length * 10)
        counted = sum(TYPICAL.is_active(start + (step + 0.5) / 10) for step in range(steps)) / 10
        stays = TYPICAL.stays(start, start + steps / 10)
        assert abs(sum(stays) - counted) <= 0.2 * (1 + length // 100)
        assert len(stays) <= 2 + length // 100

    def test_cameras_begin_apart(self) -> None:
        """Of twenty cameras no two begin within a fortieth of the clip."""
        begins = sorted(TYPICAL.begin(number) for number in range(20))
        assert min(b - a for a, b in pairwise(begins)) > TYPICAL.seconds / 40


class TestSearch:
    """The largest number that passes."""

    @given(st.integers(0, 40), st.integers(1, 40), st.integers(1, 50))
    async def test_finds_the_limit_and_tries_nothing_twice(self, limit: int, most: int, guess: int) -> None:
        """Whatever the guess, the answer is the limit, or the most that may be tried."""
        tried: list[int] = []

        async def passes(number: int) -> bool:
            tried.append(number)
            return number <= limit

        assert await largest(passes, most, guess) == min(limit, most)
        assert len(tried) == len(set(tried))
        assert all(1 <= number <= most for number in tried)
        assert len(tried) <= 2 * math.log2(most) + 3


def trial(cameras: int, *, passed: bool = True, objects: float = 2.0) -> Trial:
    """Return a trial of two windows."""
    verdict = judge(both(), window(), RULES)
    good = Verdict("", 1.0, 1.0, verdict.p95_ms, math.nan, verdict.p95_ms, 600, objects)
    verdicts = (good, good) if passed else (Verdict.failed("too slow"),)
    return Trial(cameras, verdicts, 60.0, 1.8, 0.2, 0.01, 0.28)


def found(system: str, cameras: int, objects: float = 2.0) -> Density:
    """Return a density with the trial that passed and the one that did not."""
    passed = (trial(cameras, objects=objects),) if cameras else ()
    return Density(system, {system: "1.0"}, cameras, (*passed, trial(cameras + 1, passed=False)))


class TestReport:
    """What is printed."""

    def test_json_has_the_keys_of_the_contract(self) -> None:
        """`vigil`, `peers` and `ratios` stand at the top, no value is not a number, all scenes are there."""
        peers = (found("blog", 2), found("roboflow", 0))
        outcome = [Compared(name, 50.0, 250.0, found("vigil", 6), peers) for name in ("busy", "typical")]
        said = json.loads(json.dumps(to_json(outcome), allow_nan=False))
        assert said["vigil"] == 6
        assert said["peers"] == {"blog": 2, "roboflow": 0}
        assert said["ratios"] == {"blog": 3.0, "roboflow": None}
        assert list(said["scenes"]) == ["busy", "typical"]
        assert said["scenes"]["busy"]["same_objects"] == {"blog": True, "roboflow": None}
        last = said["scenes"]["busy"]["systems"]["blog"]["trials"][1]
        assert last["windows"][0]["problem"] == "too slow"
        assert (last["cores"], last["server_cores"], last["stolen_cores"]) == (1.8, 0.2, 0.28)

    def test_table_names_the_number_the_ratio_and_the_reason(self) -> None:
        """Each system has a row with its number, vigil's ratio to it, and what failed one camera later."""
        console = Console(width=200, file=io.StringIO(), record=True)
        console.print(tables.density(Compared("busy", 50.0, 250.0, found("vigil", 6), (found("blog", 2),))))
        text = console.export_text()
        assert "3.00x" in text
        assert "0.28" in text
        assert "3: too slow" in text

    def test_objects_are_the_same_within_five_percent(self) -> None:
        """2.0 and 1.92 per result are the same, 2.0 and 1.8 are not."""
        assert same_objects(found("vigil", 6), found("blog", 2, 1.92))
        assert same_objects(found("vigil", 6), found("blog", 2, 1.8)) is False
        assert same_objects(found("vigil", 6), found("blog", 2, math.nan)) is None
        assert ratio(found("vigil", 6), found("blog", 4)) == 1.5

    def test_number_without_the_server_is_in_proportion(self) -> None:
        """A server that takes a tenth of the machine has taken a tenth of the cameras."""
        assert found("vigil", 9).without_server(2) == pytest.approx(10)
        assert found("vigil", 0).without_server(2) == 0


class TestPeers:
    """Where the peers' Pythons are."""

    def test_named_pythons_go_before_the_folder(self, tmp_path: Path) -> None:
        """The blog design lives in ultralytics' environment unless another one is named."""
        python = tmp_path / "ultralytics" / "bin" / "python"
        python.parent.mkdir(parents=True)
        python.touch()
        assert pythons_of(["ultralytics", "blog"], tmp_path, []) == {"ultralytics": python, "blog": python}
        other = tmp_path / "other"
        other.touch()
        assert pythons_of([], tmp_path, [f"blog={other}"]) == {"blog": other}
        assert environment_of("roboflow") == "roboflow"

    @pytest.mark.parametrize(("given", "said"), [("x=/bin/python", "NAME=PYTHON"), ("blog=/no", "no Python")])
    def test_a_peer_that_is_not_there_is_an_error(self, tmp_path: Path, given: str, said: str) -> None:
        """An unknown name and a missing Python are told in words."""
        with pytest.raises(CannotStartError, match=said):
            pythons_of([], tmp_path, [given])
