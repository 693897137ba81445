"""What a reload touches: each kind of change, and that together they cover everything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vigil.config.diff import Changes, diff
from vigil.config.model import CameraConfig, Config, HttpConfig, LogConfig, ModelConfig
from vigil.config.mqtt import MqttConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

BASE: dict[str, Any] = {
    "cameras": {
        "drive": {"url": "rtsp://10.0.0.5/a", "detect": {"confidence": {"person": 0.6}}},
        "door": {"url": "rtsp://10.0.0.6/a"},
        "attic": {"url": "rtsp://10.0.0.7/a", "detect": {"confidence": 0.4}},
    }
}


def config(changes: Mapping[str, Any] | None = None) -> Config:
    """Return the base with values at dotted paths: `{"cameras.door.detect.fps": 2}`; `None` removes."""
    tree = _copy(BASE)
    for path, value in (changes or {}).items():
        *folders, last = path.split(".")
        table = tree
        for key in folders:
            table = table.setdefault(key, {})
        if value is None:
            del table[last]
        else:
            table[last] = value
    return Config.model_validate(tree)


def _copy(tree: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(value) if isinstance(value, dict) else value for key, value in tree.items()}


def changed(**changes: Any) -> Changes:
    """Return what changes when values are put in; `__` stands for the dot."""
    return diff(config(), config({path.replace("__", "."): value for path, value in changes.items()}))


def test_same_configuration_is_no_change() -> None:
    """Nothing differs between two readings of one file."""
    assert changed() == Changes()
    assert not changed()


def test_cameras_that_come_and_go() -> None:
    """Names that are only in one of the two are added or removed, in their order."""
    new = {"url": "photo:/tmp/a.jpg"}
    assert changed(cameras__shed=new, cameras__yard=new) == Changes(added=("shed", "yard"))
    assert changed(cameras__drive=None, cameras__attic=None) == Changes(removed=("drive", "attic"))


def test_renamed_camera_is_another_camera() -> None:
    """A new name for the same address is one camera removed and one added."""
    found = changed(cameras__door=None, cameras__gate=BASE["cameras"]["door"])
    assert found == Changes(added=("gate",), removed=("door",))


CAPTURE = {
    "url": "rtsp://10.0.0.6/b",
    "username": "viewer",
    "enabled": False,
    "backend": "opencv",
    "transport": "udp",
    "snapshot_interval": "5s",
    "open_timeout": "3s",
    "read_timeout": "3s",
    "decode": "full",
    "decode_on": "cpu",
    "frozen_after": "0s",
}


@pytest.mark.parametrize(("key", "value"), CAPTURE.items())
def test_how_a_camera_is_captured_opens_it_anew(key: str, value: object) -> None:
    """Each key that the capture reads reopens its camera, and only that one."""
    assert changed(**{f"cameras__door__{key}": value}) == Changes(recaptured=("door",))


def test_new_password_opens_a_camera_anew() -> None:
    """A secret that changed is noticed though it is never shown."""
    old = config({"cameras.door.username": "u", "cameras.door.password": "one"})
    new = config({"cameras.door.username": "u", "cameras.door.password": "two"})
    found = diff(old, new)
    assert found == Changes(recaptured=("door",))
    assert "two" not in f"{found}{found!r}"


DETECT = {
    "enabled": False,
    "model": "other",
    "when": "always",
    "fps": 2,
    "confidence": 0.7,
    "classes": ["car"],
    "regions": "auto",
    "weight": 3,
}


LOOKING = {
    "motion": {"hold": "5s"},
    "tracking": {"confirm_hits": 5},
    "filters": {"person": {"min_area": 0.1}},
    "masks": [[[0, 0], [1, 0], [1, 1]]],
    "zones": {"gate": {"polygon": [[0, 0], [1, 0], [1, 1]]}},
    "lines": {"entry": {"from": [0, 0], "to": [1, 1]}},
    "snapshots": {"crop": False},
}


@pytest.mark.parametrize(("key", "value"), LOOKING.items())
def test_what_is_made_of_pictures_leaves_the_capture_alone(key: str, value: object) -> None:
    """Zones, lines, masks and the like retune their camera, which goes on capturing."""
    assert changed(**{f"cameras__door__{key}": value}) == Changes(retuned=("door",))


@pytest.mark.parametrize(("key", "value"), DETECT.items())
def test_what_is_detected_leaves_the_capture_alone(key: str, value: object) -> None:
    """Each key of `detect` retunes its camera, which goes on capturing."""
    models = {"models.other": {"name": "x.onnx"}}
    changes = diff(config(models), config({**models, f"cameras.door.detect.{key}": value}))
    assert changes == Changes(retuned=("door",))


def test_reopened_camera_is_not_retuned_as_well() -> None:
    """A camera of which both changed is named once: opening anew does all."""
    assert changed(cameras__door__url="x", cameras__door__detect__fps=2) == Changes(recaptured=("door",))


def test_default_confidence_reaches_whoever_uses_it() -> None:
    """Cameras without a number of their own are retuned, and no restart is asked for."""
    assert changed(model__confidence=0.3) == Changes(retuned=("drive", "door"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "yolo11s"),
        ("size", 320),
        ("iou", 0.5),
        ("labels", "birds.txt"),
        ("engine", "openvino"),
        ("device", "cpu"),
        ("precision", "fp16"),
        ("workers", 2),
        ("max_batch", 1),
        ("timeout", "5s"),
    ],
)
def test_model_waits_for_a_restart(key: str, value: object) -> None:
    """What the engine was loaded with is named as taking effect later."""
    assert changed(**{f"model__{key}": value}) == Changes(needs_restart=(f"model.{key}",))


def test_more_models_wait_for_a_restart() -> None:
    """A model that comes, goes or changes is named; its confidence reaches its cameras at once."""
    one, two = {"models.one": {"name": "x.onnx"}}, {"models.two": {"name": "x.onnx"}}
    assert diff(config(one), config(two)) == Changes(needs_restart=("models.one", "models.two"))
    larger = {"models.one": {"name": "x.onnx", "size": 320}}
    assert diff(config(one), config(larger)) == Changes(needs_restart=("models.one.size",))
    surer = {"models.one": {"name": "x.onnx", "confidence": 0.9}}
    mine = {"cameras.door.detect.model": "one"}
    assert diff(config({**one, **mine}), config({**surer, **mine})) == Changes(retuned=("door",))


@pytest.mark.parametrize(("key", "value"), [("host", "0.0.0.0"), ("port", 81), ("max_upload", "1MB")])
def test_http_waits_for_a_restart(key: str, value: object) -> None:
    """What the web server was started with is named as taking effect later."""
    assert changed(**{f"http__{key}": value}) == Changes(needs_restart=(f"http.{key}",))


def test_what_is_read_at_each_upload_needs_no_restart() -> None:
    """The daemon looks up the size limit of pictures each time, so nobody is told to restart for it."""
    assert changed(http__max_pixels=10) == Changes()


@pytest.mark.parametrize(("key", "value"), [("host", "broker"), ("port", 1884), ("keepalive", "10s")])
def test_broker_is_changed_as_a_whole(key: str, value: object) -> None:
    """Any key of `mqtt` means another session."""
    assert changed(**{f"mqtt__{key}": value}) == Changes(mqtt=True)


def test_log_is_set_up_anew() -> None:
    """Level and format take effect at once."""
    assert changed(log__level="debug") == changed(log__format="json") == Changes(log=True)


def test_processes_are_counted_at_the_start() -> None:
    """Another number of shards is named, and touches nothing until vigil starts again."""
    assert changed(shards=2) == Changes(needs_restart=("shards",))


def test_keeping_commands_begins_and_ends_at_once() -> None:
    """Whether commands are kept touches no camera."""
    assert changed(commands={"keep": True}) == Changes(commands=True)


@pytest.mark.parametrize(
    "changes",
    [
        {"homeassistant__mode": "entity"},
        {"homeassistant__discovery": False},
        {"homeassistant__discovery_prefix": "ha"},
        {"homeassistant__live_images": False},
        {"compat__frigate": True},
        {"compat__frigate_prefix": "nvr"},
    ],
)
def test_what_else_is_said_on_mqtt_is_the_broker(changes: dict[str, Any]) -> None:
    """Discovery and the topics of other systems change with the session to the broker."""
    assert changed(**changes) == Changes(mqtt=True)


def test_every_key_of_the_tables_is_tried() -> None:
    """A key that is added to the configuration has to say here what its change does."""
    logins = {"username", "password", "password_file"}
    assert set(CameraConfig.model_fields) == {*CAPTURE, *LOOKING, *logins, "detect"}
    assert set(type(config().cameras["door"].detect).model_fields) == set(DETECT)
    assert set(ModelConfig.model_fields) == {
        *("name", "size", "iou", "device", "workers", "max_batch", "confidence"),
        *("labels", "engine", "precision", "timeout"),
    }
    assert set(HttpConfig.model_fields) == {"host", "port", "max_upload", "max_pixels"}
    assert set(LogConfig.model_fields) == {"level", "format"}
    # `location` and `profiles` decide which cameras are compared; by themselves they touch nothing.
    assert set(Config.model_fields) == {
        *("model", "models", "mqtt", "homeassistant", "compat", "http", "log", "cameras"),
        *("location", "profiles", "commands", "shards"),
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (Changes(), "nothing that can change now"),
        (Changes(needs_restart=("model.name",)), "nothing that can change now"),
        (Changes(added=("a", "b"), removed=("c",)), "added a, b; removed c"),
        (
            Changes(recaptured=("a",), retuned=("b",), mqtt=True, log=True),
            "reopened a; retuned b; broker; log",
        ),
    ],
)
def test_changes_are_a_line(changes: Changes, line: str) -> None:
    """A person reads what is touched, each camera by name."""
    assert str(changes) == line


CAMERAS = st.builds(
    lambda url, enabled, detect: {"url": url, "enabled": enabled, "detect": detect},
    st.sampled_from(["rtsp://10.0.0.5/a", "rtsp://10.0.0.5/b", "photo:/tmp/a.jpg"]),
    st.booleans(),
    st.fixed_dictionaries(
        {},
        optional={
            "fps": st.sampled_from([1, 5]),
            "confidence": st.sampled_from([0.3, 0.5, {"person": 0.6}]),
            "classes": st.sampled_from([["person"], ["car"]]),
        },
    ),
)
CONFIGS = st.builds(
    Config.model_validate,
    st.fixed_dictionaries(
        {"cameras": st.dictionaries(st.sampled_from("abcd"), CAMERAS, min_size=1)},
        optional={
            "model": st.fixed_dictionaries(
                {}, optional={"confidence": st.sampled_from([0.3, 0.5]), "size": st.sampled_from([320, 640])}
            ),
            "mqtt": st.fixed_dictionaries({}, optional={"port": st.sampled_from([1883, 1884])}),
            "homeassistant": st.fixed_dictionaries({}, optional={"mode": st.just("entity")}),
            "compat": st.fixed_dictionaries({}, optional={"frigate": st.booleans()}),
            "http": st.fixed_dictionaries({}, optional={"port": st.sampled_from([8080, 8081])}),
            "log": st.fixed_dictionaries({}, optional={"level": st.sampled_from(["info", "debug"])}),
        },
    ),
)


@given(CONFIGS)
def test_nothing_differs_from_itself(one: Config) -> None:
    """The difference of a configuration and its equal is empty."""
    assert diff(one, one) == diff(one, one.model_copy(deep=True)) == Changes()


@given(CONFIGS, CONFIGS)
def test_changes_cover_everything(old: Config, new: Config) -> None:
    """Whoever applies what is named, and nothing else, ends at the new configuration."""
    found = diff(old, new)
    assert applied(old, new, found) == new


@given(CONFIGS, CONFIGS)
def test_no_camera_is_named_twice(old: Config, new: Config) -> None:
    """Each camera is in one list at most, and every other camera is the same in both."""
    found = diff(old, new)
    named = [*found.added, *found.removed, *found.recaptured, *found.retuned]
    assert len(named) == len(set(named))
    for name in (set(old.cameras) | set(new.cameras)) - set(named):
        assert old.cameras[name] == new.cameras[name]


def applied(old: Config, new: Config, changes: Changes) -> Config:
    """Return `old` with only what `changes` names taken from `new`."""
    cameras = {name: camera for name, camera in old.cameras.items() if name not in changes.removed}
    for name in changes.retuned:
        cameras[name] = cameras[name].model_copy(update={"detect": new.cameras[name].detect})
    for name in (*changes.recaptured, *changes.added):
        cameras[name] = new.cameras[name]
    later = {key.split(".")[0] for key in changes.needs_restart}
    # The default confidence is looked up where it is used, so it needs no naming.
    model = old.model.model_copy(update={"confidence": new.model.confidence})
    return Config(
        model=new.model if "model" in later else model,
        models=new.models if "models" in later else old.models,
        mqtt=new.mqtt if changes.mqtt else MqttConfig.model_validate(old.mqtt),
        homeassistant=new.homeassistant if changes.mqtt else old.homeassistant,
        compat=new.compat if changes.mqtt else old.compat,
        http=new.http if "http" in later else old.http,
        log=new.log if changes.log else old.log,
        cameras=cameras,
    )
