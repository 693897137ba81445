"""The command line: each command is a few lines over the parts that do the work."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vigil import __version__, cli_bench, cli_models, cli_replay, log
from vigil.config.load import camera_of, load, schema
from vigil.config.model import LogConfig, ModelConfig
from vigil.config.watch import identity
from vigil.console import download_bar, err, frame_bar, models_table, out, probe_report, welcome
from vigil.core.types import MAIN_MODEL
from vigil.errors import VigilError
from vigil.inference.store import Store, cache_folder
from vigil.launch import Setup
from vigil.schemas.asyncapi import asyncapi
from vigil.schemas.payloads import event_schema
from vigil.schemas.topics import mqtt_schema

if TYPE_CHECKING:
    from vigil.config.model import Config
    from vigil.inference.service import Service

cli = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Many cameras, one detector.")
models = typer.Typer(no_args_is_help=True, help="Weights: what there is, and fetching it.")
cli.add_typer(models, name="models")
models.add_typer(cli_models.models)
bench = typer.Typer(no_args_is_help=True, help="Measure vigil against its parts and its peers.")
cli.add_typer(bench, name="bench")
bench.add_typer(cli_models.bench)
bench.add_typer(cli_bench.bench)
cli.command()(cli_replay.replay)

ConfigOption = Annotated[Path, typer.Option("--config", "-c", help="The YAML file that names the cameras.")]


@cli.command()
def run(config: ConfigOption) -> None:
    """Watch the cameras of a configuration until stopped."""
    from vigil.process import serve  # noqa: PLC0415 -- `vigil version` need not load what runs the daemon

    loaded = identity(config)
    settings = load(config, os.environ)
    log.set_up(settings.log)
    setup = Setup(
        config=settings,
        path=config,
        loaded=loaded,
        load_again=lambda: load(config, os.environ),
        weights=_all_weights(settings),
        environ=os.environ,
    )
    raise typer.Exit(serve(setup))


@cli.command()
def check(config: ConfigOption) -> None:
    """Check a configuration without starting anything."""
    settings = load(config, os.environ)
    out.print(f"{config} is fine: {len(settings.cameras)} cameras, model {settings.model.name}")


@cli.command()
def demo() -> None:
    """Four cameras over photographs of people, an embedded broker and the web page."""
    from vigil.process import serve, with_free_ports  # noqa: PLC0415 -- as in `run`

    store = Store(os.environ)
    with download_bar("photographs") as progress:
        photos = [store.pull(name, progress) for name in ("bus", "zidane")]
    environ = dict(os.environ, VIGIL_SAMPLES=str(_one_folder(photos)))
    path = _shipped("demo.yaml")
    settings = with_free_ports(load(path, environ))
    log.set_up(settings.log)
    ports = {"VIGIL_MQTT__PORT": str(settings.mqtt.port), "VIGIL_HTTP__PORT": str(settings.http.port)}
    again = {**environ, **ports}
    setup = Setup(
        config=settings,
        path=path,
        loaded=identity(path),
        load_again=lambda: load(path, again),
        weights=_all_weights(settings),
        environ=environ,
        started=lambda: err.print(welcome(settings)),
    )
    raise typer.Exit(serve(setup))


@cli.command()
def detect(
    files: Annotated[
        list[Path], typer.Argument(help="Pictures and recordings.", exists=True, dir_okay=False)
    ],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per picture or frame.")] = False,
    annotate: Annotated[Path | None, typer.Option(help="Folder for copies with boxes drawn in.")] = None,
    model: Annotated[
        str, typer.Option(help="A name of the model store, or an .onnx or .pt file.")
    ] = "yolo11n",
    confidence: Annotated[float, typer.Option(min=0.01, max=1.0, help="Least confidence.")] = 0.5,
    size: Annotated[int, typer.Option(help="Longer side of the model's input.")] = 640,
) -> None:
    """Find objects in pictures and recordings."""
    from vigil.inference.service import open_service  # noqa: PLC0415 -- `vigil version` need not load a runtime

    log.set_up(LogConfig(level="warning"))
    settings = ModelConfig(name=model, size=size, confidence=confidence)
    service = open_service(_weights(model), settings, cache_folder(os.environ))
    failed = False
    for path in files:
        try:
            _detect_file(service, path, confidence, annotate, as_json=as_json)
        except VigilError as error:
            failed = True
            err.print(f"{path}: {error}", style="red", markup=False)
    raise typer.Exit(1 if failed else 0)


@cli.command()
def probe(
    url: Annotated[str, typer.Argument(help="Address of the camera, as in the configuration.")],
    *,
    seconds: Annotated[float, typer.Option(min=1.0, max=3600.0, help="How long to watch it.")] = 10.0,
    username: Annotated[str | None, typer.Option(help="User name.")] = None,
    password: Annotated[str | None, typer.Option(envvar="VIGIL_PROBE_PASSWORD", help="Password.")] = None,
    transport: Annotated[str, typer.Option(help="tcp or udp, for RTSP.")] = "tcp",
) -> None:
    """Open a camera as vigil would and say what it sends, with the YAML to paste."""
    from vigil.video.probe import probe as watch  # noqa: PLC0415 -- `vigil version` need not load FFmpeg

    log.set_up(LogConfig(level="error"))
    camera = camera_of(url, username=username, password=password, transport=transport)
    with err.status(f"watching {camera.redacted_url} for {seconds:g} s"):
        report = watch(camera, seconds)
    out.print(probe_report(report, camera), markup=False, highlight=False, soft_wrap=True)


@models.command("list")
def models_list() -> None:
    """Show the weights that vigil knows and which of them are here."""
    store = Store(os.environ)
    out.print(models_table([store.state(artifact) for artifact in store.artifacts()]))


@models.command()
def pull(names: Annotated[list[str], typer.Argument(help="Names from `vigil models list`.")]) -> None:
    """Fetch weights into the cache, accepting only the right bytes."""
    for name in names:
        out.print(f"{name}: {_weights(name)}")


@cli.command("schema")
def print_schema(
    what: Annotated[str, typer.Argument(help="`config`, `mqtt`, `events` or `asyncapi`.")] = "config",
) -> None:
    """Print a JSON Schema, or the AsyncAPI document of all that is said on MQTT."""
    schemas = {"config": schema, "mqtt": mqtt_schema, "events": event_schema, "asyncapi": asyncapi}
    if what not in schemas:
        raise typer.BadParameter(f"there is no schema {what!r}; there is: {', '.join(schemas)}")
    out.print_json(data=schemas[what]())


@cli.command()
def version() -> None:
    """Print the version."""
    out.print(__version__, highlight=False)


def main() -> None:
    """Run the command line; errors that a person can mend come without a traceback."""
    try:
        cli()
    except VigilError as error:
        err.print(str(error), markup=False, highlight=False, soft_wrap=True)
        sys.exit(error.exit_status)


def _weights(name: str) -> Path:
    with download_bar(name) as progress:
        return Store(os.environ).resolve(name, progress)


def _all_weights(settings: Config) -> dict[str, Path]:
    """Return the weights of every model of a configuration."""
    return {key: _weights(each.name) for key, each in {MAIN_MODEL: settings.model, **settings.models}.items()}


def _shipped(name: str) -> Path:
    """Return a configuration that comes with vigil: inside the wheel, or beside the package in a checkout."""
    package = Path(__file__).parent
    inside = package / name
    return inside if inside.exists() else package.parent / "config" / name


def _one_folder(photos: list[Path]) -> Path:
    """Return the folder that holds all photographs, which can come from two places."""
    folders = {photo.parent for photo in photos}
    if len(folders) == 1:
        return folders.pop()
    raise VigilError(f"the photographs lie in different folders: {', '.join(map(str, sorted(folders)))}")


def _detect_file(
    service: Service, path: Path, confidence: float, folder: Path | None, *, as_json: bool
) -> None:
    from vigil.offline import Annotator, detect_all, pictures, to_json, to_text  # noqa: PLC0415 -- as `detect`

    names = service.detector.model.names
    with Annotator(path, folder, names) as annotator, frame_bar(str(path)) as tick:
        for found in detect_all(service, pictures(path), confidence):
            line = json.dumps(to_json(path, found, names)) if as_json else to_text(path, found, names)
            out.print(line, markup=False, highlight=False, soft_wrap=True)
            annotator.write(found)
            tick()
