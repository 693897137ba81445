"""Three RTSP streams from a real server, through the real model, to a real mosquitto."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.broker import mosquitto, recorder
from tests.support.daemon import DaemonProcess
from tests.support.footage import clips
from tests.support.go2rtc import go2rtc

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alone

FPS = 3
SECONDS = 12


async def test_three_streams_reach_the_broker(tmp_path: Path) -> None:
    """Every camera finds what its clip shows, at >= 0.95 of its target rate, with its latency on record."""
    footage = clips()
    async with go2rtc({clip.name: clip.path for clip in footage}) as urls, mosquitto() as broker:
        config = tmp_path / "vigil.yaml"
        cameras = "\n".join(f"  {name}: {{url: {url}}}" for name, url in urls.items())
        config.write_text(
            "mqtt: {host: 127.0.0.1}\n"
            f"defaults: {{detect: {{fps: {FPS}, when: always}}}}\ncameras:\n{cameras}\n"
        )
        async with (
            recorder(broker) as heard,
            DaemonProcess("run", "-c", str(config), mqtt_port=broker) as daemon,
        ):
            topics = {clip.name: f"vigil/{clip.name}/detections" for clip in footage}
            await heard.until(lambda: all(heard.heard.get(topic) for topic in topics.values()))
            before = {name: len(heard.heard[topic]) for name, topic in topics.items()}
            await asyncio.sleep(SECONDS)
            counts = {name: len(heard.heard[topic]) - before[name] for name, topic in topics.items()}
            metrics = (await daemon.get("/metrics")).decode()
            await daemon.stop()
            await heard.until(lambda: heard.last("vigil/status") == b"offline")  # the last word

        for clip in footage:
            _check_results(heard.objects(topics[clip.name]), clip.name, clip.label)
            assert heard.last(f"vigil/{clip.name}/status") == b"offline"  # the clean stop
            rate = counts[clip.name] / SECONDS
            p95 = _p95(metrics, clip.name) * 1000
            print(f"\n{clip.name}: {rate:.2f}/s, p95 capture to publish <= {p95:.0f} ms", end="")
            assert rate >= 0.95 * FPS
        print()


def _check_results(results: list[dict[str, Any]], camera: str, label: str) -> None:
    assert any(found["label"] == label for result in results for found in result["detections"])
    sequences = [result["seq"] for result in results]
    assert sequences == sorted(sequences)
    for result in results:
        assert result["camera"] == camera
        assert result["count"] == len(result["detections"])
        assert result["captured_at"] <= result["published_at"]
        for found in result["detections"]:
            box = found["bbox"]
            assert 0 <= box["x1"] <= box["x2"] <= result["width"], json.dumps(found)
            assert 0 <= box["y1"] <= box["y2"] <= result["height"], json.dumps(found)


def _p95(metrics: str, camera: str) -> float:
    """Return the upper bound in seconds of the histogram bucket that holds the 95th percentile."""
    buckets = {
        float(sample.labels["le"]): sample.value
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "vigil_capture_to_publish_seconds_bucket" and sample.labels["camera"] == camera
    }
    return min(bound for bound, count in buckets.items() if count >= 0.95 * max(buckets.values()))
