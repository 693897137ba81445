"""A real Prometheus that scrapes what a test runs, asked over its HTTP API."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import yaml

from tests.support.daemon import free_port
from tests.support.ports import listening

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


@dataclass(frozen=True, slots=True)
class Prometheus:
    """A server that listens at `url`."""

    url: str

    async def get(self, path: str, **parameters: str) -> Any:
        """Return the `data` of an answer; raises `AssertionError` with what the server has against it."""
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=20)) as session,
            session.get(f"{self.url}/api/v1/{path}", params=parameters) as response,
        ):
            answer = await response.json()
        assert answer["status"] == "success", answer
        return answer["data"]

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now."""
        return list((await self.get("query", query=expr))["result"])

    async def rules(self) -> dict[str, dict[str, Any]]:
        """Return every alert rule by its name, with its `state` and `health`."""
        groups = (await self.get("rules"))["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    async def firing(self) -> set[str]:
        """Return the names of the alerts that fire now."""
        return {name for name, rule in (await self.rules()).items() if rule["state"] == "firing"}

    async def fired(self, seconds: float) -> set[str]:
        """Return the names of all alerts that fired at any time within the last seconds."""
        window = f"{round(1000 * seconds)}ms"
        found = await self.query(f'count_over_time(ALERTS{{alertstate="firing"}}[{window}])')
        return {series["metric"]["alertname"] for series in found}

    async def calm(self, *, within: float) -> dict[str, dict[str, Any]]:
        """Wait until no alert fires nor is about to, and return the rules.

        One scrape that came late on a busy machine is over with the next.
        """
        async with asyncio.timeout(within):
            while {rule["state"] for rule in (await self.rules()).values()} != {"inactive"}:
                await asyncio.sleep(0.25)
        return await self.rules()

    async def until(self, condition: Callable[[set[str]], bool], *, within: float) -> set[str]:
        """Wait until a condition holds of the alerts that fire, and return them."""
        firing: set[str] = set()
        try:
            async with asyncio.timeout(within):
                while not condition(firing := await self.firing()):
                    await asyncio.sleep(0.25)
        except TimeoutError:
            states = {name: rule["state"] for name, rule in (await self.rules()).items()}
            raise AssertionError(f"not within {within:g} s; alerts: {states}") from None
        return firing


@asynccontextmanager
async def prometheus(target_port: int, rules: str, *, every: str = "1s") -> AsyncIterator[Prometheus]:
    """Run a Prometheus that scrapes 127.0.0.1 as the job `vigil`, with the text of a rule file."""
    port = free_port()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "alerts.yml").write_text(rules, "utf-8")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration(target_port, every)), "utf-8")
        process = await asyncio.create_subprocess_exec(
            shutil.which("prometheus") or "/usr/bin/prometheus",
            f"--config.file={folder}/prometheus.yml",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
            stdin=asyncio.subprocess.DEVNULL,
        )
        try:
            await listening(port, within=60)
            yield Prometheus(f"http://127.0.0.1:{port}")
        finally:
            process.terminate()
            await process.wait()


def configuration(target_port: int, every: str) -> Mapping[str, Any]:
    """Return what deploy/prometheus/prometheus.yml says, for another target and pace."""
    return {
        "global": {"scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every},
        "rule_files": ["alerts.yml"],
        "scrape_configs": [
            {"job_name": "vigil", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
        ],
    }
