"""Boards and alert rules of deploy/: complete, consistent, and about series that exist."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.support.monitoring import (
    ALERTS,
    DEPLOY,
    Query,
    Selector,
    alerts,
    boards,
    hastened,
    panels,
    queries,
    selectors,
)
from vigil.metrics import Metrics

ROOT = DEPLOY.parent
RUNBOOK = ROOT / "docs/guide/monitoring.md"
SCRAPED = frozenset({"job", "instance"})
"""Labels that Prometheus puts on what it scrapes."""
BOARDS = boards()
RULES = {rule["alert"]: rule for rule in alerts()}

each_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS)
each_alert = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def known() -> dict[str, frozenset[str]]:
    """Return every series that can be asked for, and its labels."""
    metrics = Metrics()
    names: dict[str, frozenset[str]] = {"up": SCRAPED}
    for family in metrics.families:
        labels = SCRAPED | frozenset(family.labels)
        if family.kind == "histogram":
            names |= {f"{family.name}_bucket": labels | {"le"}}
            names |= {f"{family.name}_{part}": labels for part in ("sum", "count")}
        else:
            names[family.name] = labels
    for line in metrics.render().decode().splitlines():
        if (found := re.match(r"(process_\w+) ", line)) is not None:
            names[found[1]] = SCRAPED
    return names


KNOWN = known()


def check(selector: Selector) -> None:
    """Assert that a series exists, with the labels that it is chosen by."""
    assert selector.name in KNOWN
    assert selector.labels <= KNOWN[selector.name], selector


@pytest.mark.parametrize("query", queries(), ids=str)
def test_boards_ask_for_series_that_exist(query: Query) -> None:
    """Each expression of a board is PromQL about vigil's own series and their labels."""
    found = selectors(query.expr)
    assert found
    for selector in found:
        check(selector)


@each_alert
def test_alerts_ask_for_series_that_exist(rule: dict[str, Any]) -> None:
    """Each alert is PromQL about vigil's own series and their labels."""
    for selector in selectors(rule["expr"]):
        check(selector)


def test_a_series_that_does_not_exist_is_noticed() -> None:
    """The checks above can fail: a wrong name, a wrong label, and no PromQL."""
    with pytest.raises(AssertionError):
        check(*selectors("rate(vigil_frames_total[5m])"))
    with pytest.raises(AssertionError):
        check(*selectors('vigil_objects{zone="gate"}'))
    with pytest.raises(ValueError, match="unclosed"):
        selectors("sum(vigil_objects")


def test_the_boards_show_every_series() -> None:
    """What vigil exports is on a board or in an alert."""
    asked = {selector.name for query in queries() for selector in selectors(query.expr)}
    asked |= {selector.name for rule in alerts() for selector in selectors(rule["expr"])}
    asked = {re.sub("_(bucket|sum|count)$", "", name) for name in asked}
    assert {family.name for family in Metrics().families} <= asked


@each_board
def test_boards_can_be_imported(board: dict[str, Any]) -> None:
    """A board is of Grafana 11 or 12, has an identity of its own, and no data source of somebody else's."""
    assert board["id"] is None
    assert re.fullmatch(r"vigil-[a-z]+", board["uid"])
    assert 39 <= board["schemaVersion"] <= 42
    assert "__inputs" not in board  # provisioning would not fill them in
    assert board["description"]
    assert len({each["uid"] for each in BOARDS.values()}) == len(BOARDS)
    variables = {each["name"]: each for each in board["templating"]["list"]}
    assert list(variables) == ["datasource", "instance", "camera"]
    assert variables["datasource"]["type"] == "datasource"
    assert variables["datasource"]["query"] == "prometheus"
    for name in ("instance", "camera"):
        [wanted] = re.findall(r"label_values\((.*), (\w+)\)", variables[name]["query"]["query"])
        assert wanted[1] == name
        for selector in selectors(wanted[0].replace("$instance", ".*")):
            check(selector)
    for panel in panels(board):
        for used in (panel["datasource"], *(target["datasource"] for target in panel["targets"])):
            assert used == {"type": "prometheus", "uid": "${datasource}"}


@each_board
def test_panels_explain_themselves(board: dict[str, Any]) -> None:
    """Every panel has a title, a description, a unit and thresholds; names of queries do not repeat."""
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert panel["title"]
        assert panel["description"].endswith(".")
        assert defaults["unit"]
        assert defaults["thresholds"]["steps"][0]["value"] is None
        refs = [target["refId"] for target in panel["targets"]]
        assert len(refs) == len(set(refs))


@each_board
def test_panels_fill_the_grid(board: dict[str, Any]) -> None:
    """Panels lie within the 24 columns, and none covers another."""
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (place["x"] + across, place["y"] + down)
            for across in range(place["w"])
            for down in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


@each_board
def test_variables_are_heeded(board: dict[str, Any]) -> None:
    """Each expression is about the chosen vigils, and about the chosen cameras where its series has one."""
    for panel in panels(board):
        for target in panel["targets"]:
            for selector in selectors(
                target["expr"].replace("$__rate_interval", "1m").replace("$__range", "1h")
            ):
                wanted = {"instance", "camera"} & KNOWN[selector.name]
                assert wanted <= selector.labels, target["expr"]


@each_alert
def test_alerts_lead_to_the_runbook(rule: dict[str, Any]) -> None:
    """An alert says what is wrong, how bad it is, and where it is written what to do about it."""
    assert rule["labels"]["severity"] in {"warning", "critical"}
    assert {"summary", "description", "runbook_url"} == set(rule["annotations"])
    address, _, fragment = rule["annotations"]["runbook_url"].partition("#")
    assert address.endswith("/docs/guide/monitoring.md")
    headings = re.findall(r"^#+ (\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert [heading for heading in headings if heading.lower() == fragment] == [rule["alert"]]


def test_the_runbook_has_no_alert_of_old() -> None:
    """Every paragraph of the runbook is about an alert that there is."""
    headings = re.findall(r"^### (\w+)$", RUNBOOK.read_text("utf-8"), re.MULTILINE)
    assert headings == list(RULES)


def test_every_alert_is_tested() -> None:
    """Among promtool's tests there is one in which the alert fires, and one in which it is silent."""
    tests = [
        test
        for path in sorted(ALERTS.parent.glob("*_test.yml"))
        for group in yaml.safe_load(path.read_text("utf-8"))["tests"]
        for test in group["alert_rule_test"]
    ]
    for outcome in (True, False):
        assert {test["alertname"] for test in tests if bool(test["exp_alerts"]) is outcome} == set(RULES)


def test_hastened_rules_differ_in_their_times_alone() -> None:
    """The copy for tests has the rules of the file, sixty times as fast."""
    quick = {rule["alert"]: rule for rule in alerts(hastened(ALERTS.read_text("utf-8")))}
    assert list(quick) == list(RULES)
    assert quick["VigilCameraDown"]["for"] == "2s"
    assert quick["VigilSaturated"]["expr"] == "avg_over_time(vigil_saturation_ratio[5s]) > 1"
    assert "[3m] offset 24m)) > 10" in quick["VigilNothingDetected"]["expr"]
    for name, rule in RULES.items():
        assert timeless(quick[name]) == timeless(rule)


def timeless(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule without what has durations in it."""
    return {key: value for key, value in rule.items() if key not in {"for", "expr"}}
