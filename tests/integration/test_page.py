"""The web page in a real browser, over a real daemon with real cameras and weights."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from PIL import Image
from playwright.async_api import Page, async_playwright, expect

from tests.support.broker import recorder
from tests.support.daemon import DaemonProcess, free_port
from vigil.inference.store import Store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = pytest.mark.asyncio(loop_scope="module")

_FLAGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_SOON = 60_000.0
"""Milliseconds; generous, because browser, daemon and other tests share the machine."""

_CAMERAS = ("bus-stop", "street", "bench", "pitch")
_BRIGHTEST_PIXEL = """canvas => {
    if (!canvas.width) return 0;
    const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let brightest = 0;
    for (let red = 0; red < data.length; red += 40) brightest = Math.max(brightest, data[red]);
    return brightest;
}"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def demo() -> AsyncIterator[DaemonProcess]:
    """Run the demo for all who only look at it."""
    async with DaemonProcess("demo") as running:
        yield running


@asynccontextmanager
async def browser_page(width: int = 1400, height: int = 900) -> AsyncIterator[Page]:
    """Give a page of a headless Chromium; what the page's script throws fails the test."""
    chromium = shutil.which("chromium")
    assert chromium, "this test needs a browser: apt-get install chromium"
    thrown: list[str] = []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=chromium, args=list(_FLAGS))
        page = await browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(_SOON)
        page.on("pageerror", lambda error: thrown.append(str(error)))
        yield page
        await browser.close()
    assert thrown == []


def photograph() -> Path:
    """Return the picture of a bus and four people."""
    return Store(os.environ).pull("bus")


async def brightness(page: Page, camera: str) -> float:
    """Return the brightest red in what a camera's tile shows; 0 for black and for nothing."""
    found = await page.locator(f"[data-camera='{camera}'] canvas").evaluate(_BRIGHTEST_PIXEL)
    return float(found)


async def test_tiles_show_every_camera(demo: DaemonProcess) -> None:
    """Each tile comes to show a picture, state, rates and counts, and all of it comes from the daemon."""
    asked: list[str] = []
    async with browser_page() as page:
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(demo.url())
        await expect(page.locator("#cameras")).to_have_text("4 of 4 cameras up", timeout=_SOON)
        await expect(page.locator("#daemon-text")).to_have_text("running")
        for camera in _CAMERAS:
            tile = page.locator(f"[data-camera='{camera}']")
            await expect(tile.locator(".state")).to_have_text("live")
            await expect(tile.locator(".rates")).to_contain_text("capture")
            await expect(tile.locator(".rates")).to_contain_text("/2 fps")
            await expect(tile.locator(".chips")).to_contain_text("person", timeout=_SOON)
            await page.wait_for_selector(f"[data-camera='{camera}'].has-picture")
            assert await brightness(page, camera) > 100
        assert asked
        assert [url for url in asked if not url.startswith((demo.url(), "data:"))] == []


async def test_pictures_are_asked_for_only_where_they_are_seen(demo: DaemonProcess) -> None:
    """On a phone, a tile below the fold costs nothing until it is scrolled to, and no tile is too wide."""
    asked: list[str] = []
    async with browser_page(400, 800) as page:
        page.on("request", lambda request: asked.append(request.url))
        await page.goto(demo.url())
        await page.wait_for_selector("[data-camera='bus-stop'].has-picture")
        assert not any("/pitch/snapshot.jpg" in url for url in asked)
        assert await page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await page.locator("[data-camera='pitch']").scroll_into_view_if_needed()
        await page.wait_for_selector("[data-camera='pitch'].has-picture")


async def test_an_uploaded_picture_is_shown_with_its_boxes(demo: DaemonProcess) -> None:
    """What `POST /detect` finds is listed and drawn, and the slider decides from which confidence on."""
    async with browser_page() as page:
        await page.goto(demo.url())
        await page.get_by_role("button", name="Try a picture").click()
        await page.set_input_files("#file", photograph())
        listed = page.locator("#trial-list li")
        await expect(listed.first).to_contain_text("bus", timeout=_SOON)
        await expect(listed).to_have_count(5)
        assert await page.locator("#trial-canvas").evaluate("canvas => [canvas.width, canvas.height]") == [
            810,
            1080,
        ]
        await page.get_by_label("Least confidence").fill("1")
        await expect(listed).to_have_count(0)
        await page.get_by_label("Least confidence").fill("0.1")
        assert await listed.count() > 5


async def test_a_file_that_is_no_picture_gets_the_daemons_words(demo: DaemonProcess, tmp_path: Path) -> None:
    """The problem that vigil answers is what the page says, and a good picture is taken after it."""
    text = tmp_path / "notes.jpg"
    text.write_text("not a picture")
    async with browser_page() as page:
        await page.goto(demo.url())
        await page.get_by_role("button", name="Try a picture").click()
        await page.set_input_files("#file", text)
        await expect(page.locator("#trial-note")).to_contain_text("not a picture; send one of", timeout=_SOON)
        await page.set_input_files("#file", photograph())
        await expect(page.locator("#trial-list li")).to_have_count(5, timeout=_SOON)


async def test_the_banner_tells_that_the_daemon_is_gone_and_goes_when_it_is_back() -> None:
    """A killed daemon is announced, its tiles' rates are no news, and a new one is found without a reload."""
    async with browser_page() as page:
        async with DaemonProcess("demo") as daemon:
            await page.goto(daemon.url())
            await page.wait_for_selector("[data-camera='bench'].has-picture")
            await expect(page.get_by_role("alert")).to_be_hidden()
            await daemon.kill()
            await expect(page.get_by_role("alert")).to_contain_text("vigil does not answer", timeout=_SOON)
            await expect(page.locator("#daemon-text")).to_have_text("not reachable")
            await expect(page.locator("#cameras")).to_be_hidden()
        async with DaemonProcess("demo", http_port=daemon.http_port):
            await expect(page.get_by_role("alert")).to_be_hidden(timeout=_SOON)
            await expect(page.locator("#cameras")).to_have_text("4 of 4 cameras up", timeout=_SOON)


async def test_a_camera_is_disabled_and_enabled_by_keyboard_and_mouse(demo: DaemonProcess) -> None:
    """The menu is obeyed: the tile turns grey, API and MQTT say so, and enabling brings the picture back."""
    async with browser_page() as page, recorder(demo.mqtt_port) as heard:
        await page.goto(demo.url())
        tile = page.locator("[data-camera='bench']")
        await expect(tile.locator(".state")).to_have_text("live", timeout=_SOON)
        await page.wait_for_selector("[data-camera='bench'].has-picture")
        menu = tile.get_by_role("button", name="What to do with bench")
        await menu.press("Enter")
        await expect(tile.get_by_role("button", name="Disable")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(tile.locator(".state")).to_have_text("disabled", timeout=_SOON)
        await expect(tile.locator(".state")).to_have_class("state off")
        await expect(tile.locator("canvas")).to_have_css("filter", "grayscale(1)")
        await expect(page.locator("#cameras")).to_have_text("3 of 3 cameras up")
        assert (await demo.get_json("/api/cameras/bench"))["state"] == "disabled"
        await heard.until(lambda: heard.last("vigil/bench/enabled/state") == b"OFF")
        await menu.click()
        await expect(tile.get_by_role("button", name="Restart")).to_be_hidden()
        await tile.get_by_role("button", name="Enable").click()
        await expect(tile.locator(".state")).to_have_text("live", timeout=_SOON)
        await expect(tile.locator(".note")).to_be_hidden(timeout=_SOON)
        await heard.until(lambda: heard.last("vigil/bench/enabled/state") == b"ON")


async def test_cameras_that_are_away_say_why_and_until_when(tmp_path: Path) -> None:
    """Refused, disabled and black are told apart at a glance; a command that fails says so in its tile."""
    config = tmp_path / "vigil.yaml"
    config.write_text(
        "model: {size: 96}\ncameras:\n"
        f"  drive: {{url: 'rtsp://127.0.0.1:{free_port()}/stream2'}}\n"
        f"  garden: {{url: 'photo:{photograph()}', enabled: false}}\n"
        f"  cellar: {{url: 'photo:{_black(tmp_path)}'}}\n"
    )
    async with DaemonProcess("run", "-c", str(config)) as daemon, browser_page() as page:
        await page.goto(daemon.url())
        drive, garden, cellar = (
            page.locator(f"[data-camera='{name}']") for name in ("drive", "garden", "cellar")
        )
        await expect(drive.locator(".state")).to_have_text("offline: refused", timeout=_SOON)
        await expect(drive.locator(".state")).to_have_class("state bad")
        await expect(drive.locator(".note")).to_have_text("cannot be reached")
        await expect(drive.locator(".rates")).to_contain_text(re.compile(r"next try in \d+ s"), timeout=_SOON)
        await expect(garden.locator(".state")).to_have_text("disabled")
        await expect(garden.locator(".rates")).not_to_contain_text("next try")
        await expect(cellar.locator(".state")).to_have_text("picture black", timeout=_SOON)
        await expect(cellar.locator(".strip")).to_have_text("The picture is black.")
        await daemon.kill()
        await drive.get_by_role("button", name="What to do with drive").click()
        await drive.get_by_role("button", name="Restart").click()
        await expect(drive.get_by_role("alert")).to_have_text("restart failed: vigil does not answer")


def _black(folder: Path) -> Path:
    """Return a photograph taken with the lens cap on."""
    path = folder / "black.png"
    Image.new("RGB", (640, 360)).save(path)
    return path
