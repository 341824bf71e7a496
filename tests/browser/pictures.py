"""`python -m tests.browser.pictures URL --out DIR`: the README's pictures of a live page that is running."""

import argparse
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.browser.conftest import FLAGS
from tests.browser.test_live_page import no_console_error, painted, scheme, size, text

VIEWS = (("live-light", "light", 1280, 1000), ("live-dark", "dark", 1280, 1000), ("live-phone", "light", 390, 1500))


def main() -> None:
    """Light, dark, phone width, and a shopper's journey; an error in the console ends it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--out", type=Path, default=Path("deploy/pictures"))
    parser.add_argument("--seconds", type=float, default=25, help="how long each view is watched first")
    options = parser.parse_args()
    with TemporaryDirectory() as profile:
        flags = ChromeOptions()
        flags.binary_location = shutil.which("chromium") or shutil.which("google-chrome") or ""
        flags.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            flags.add_argument(flag)
        chrome = Chrome(options=flags, service=Service(shutil.which("chromedriver")))
        try:
            for name, colours, width, height in VIEWS:
                scheme(chrome, colours)
                size(chrome, width, height)
                chrome.get(options.url)
                _settle(chrome, options.seconds)
                whole = int(chrome.execute_script("return document.documentElement.scrollHeight"))
                size(chrome, width, height if width < 600 else whole)
                time.sleep(1)
                chrome.save_screenshot(str(options.out / f"{name}.png"))
                no_console_error(chrome)
            scheme(chrome, "light")
            size(chrome, 1280, 1000)
            chrome.get(options.url)
            _settle(chrome, options.seconds / 2)
            rows = chrome.find_elements(By.CSS_SELECTOR, "#predictions tbody tr")
            told = max(rows, key=lambda row: len(row.find_elements(By.CSS_SELECTOR, ".shares span")))
            told.find_element(By.TAG_NAME, "button").click()
            WebDriverWait(chrome, 30).until(lambda _: "Journey" in text(chrome, "#journey-body"))
            time.sleep(2)
            chrome.save_screenshot(str(options.out / "live-journey.png"))
            no_console_error(chrome)
        finally:
            chrome.quit()


def _settle(chrome: Chrome, seconds: float) -> None:
    WebDriverWait(chrome, 60).until(lambda _: text(chrome, "#status") == "Ready")
    WebDriverWait(chrome, 60).until(lambda _: painted(chrome, "#items") > 3)
    time.sleep(seconds)


if __name__ == "__main__":
    main()
