"""A headless Chromium for the tests of pages; where none is installed they are skipped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run",
             "--disable-component-update", "--mute-audio", "--autoplay-policy=no-user-gesture-required")


def start(folder: Path) -> Any:
    """A driver of a fresh Chromium whose profile is in ``folder``; skips the test where there is none."""
    webdriver = pytest.importorskip("selenium.webdriver")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("no Chromium with its chromedriver is installed (Debian: chromium, chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (*ARGUMENTS, f"--user-data-dir={folder}"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


class Page:
    """One open page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, width: int = 1100, theme: str = "light", still: bool = False) -> Page:
        """Open a file at a width, in a theme, without network, and wait until its script, if it has one, has run."""
        command = self.driver.execute_cdp_cmd
        command("Emulation.setDeviceMetricsOverride",
                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600})
        self.theme(theme)
        command("Network.enable", {})
        command("Network.emulateNetworkConditions",
                {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0})
        self.errors()
        self.driver.get(path.resolve().as_uri())
        if not still:
            self.until(lambda: self.run("return document.documentElement.dataset.ready === 'yes'"))
        return self

    def theme(self, theme: str) -> None:
        """Set the theme that the page sees; without transitions, so that colours are at once what they become."""
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [
            {"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]})

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript in the page."""
        return self.driver.execute_script(script, *arguments)

    def until(self, condition: Callable[[], Any], seconds: float = 10) -> Any:
        """Wait for a condition, or fail."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, seconds, poll_frequency=0.05).until(lambda _: condition())

    def errors(self) -> list[str]:
        """What the console holds since the last call, whatever its level."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def scores(self) -> dict[str, float]:
        """The table's rows that are shown: number by word."""
        return {word: float(number) for word, number in self.run(
            "return [...document.querySelectorAll('#bars tbody tr')].filter((row) => !row.hidden)"
            ".map((row) => [row.querySelector('th').textContent, row.querySelector('.number').textContent])")}

    def shades(self) -> list[str]:
        """Background colours of the prompt's words."""
        return self.run("return [...document.querySelectorAll('.word:not(.special) .text')]"
                        ".map((word) => getComputedStyle(word).backgroundColor)")

    def text(self, identity: str) -> str:
        """The text of an element."""
        return self.run("return document.getElementById(arguments[0]).textContent", identity)

    def drag(self, start: float, end: float) -> None:
        """Drag the mouse over the tracks between two shares of their width."""
        from selenium.webdriver import ActionChains

        tracks = self.driver.find_element("id", "tracks")
        width = tracks.size["width"]
        place = [round((share - 0.5) * width) for share in (start, end)]
        actions = ActionChains(self.driver, duration=20)
        actions.move_to_element_with_offset(tracks, place[0], 0).click_and_hold()
        for part in range(1, 5):
            actions.move_to_element_with_offset(tracks, place[0] + (place[1] - place[0]) * part // 4, 0)
        actions.release().perform()

    def keys(self, *keys: str, held: str | None = None) -> None:
        """Press keys while the tracks have the focus, and perhaps while another is held."""
        from selenium.webdriver import ActionChains

        self.run("document.getElementById('tracks').focus()")
        actions = ActionChains(self.driver)
        if held is None:
            actions.send_keys(*keys).perform()
        else:
            actions.key_down(held).send_keys(*keys).key_up(held).perform()


def pages(folder: Path) -> Iterator[Page]:
    """For a fixture: a page, closed afterwards."""
    driver = start(folder)
    try:
        yield Page(driver)
    finally:
        driver.quit()
