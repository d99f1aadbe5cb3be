"""Draw the first picture of the README: the page of `bigkingxxl view` on simulated fields.

python docs/make_viewer_picture.py docs/images/viewer.png [MODEL]   (needs Chromium, playwright)
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

WINDOW = {"width": 1440, "height": 900}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
IMAGES, SEED = 9, 3


def main(picture: Path, model: str) -> None:
    """Simulate, predict, view, and take the picture."""
    with tempfile.TemporaryDirectory() as folder:
        images, run = Path(folder) / "data", Path(folder) / "plate_1"
        command("data", "synthesize", images, "--images", IMAGES, "--seed", SEED, "--quiet")
        command("predict", images / "train", "--out", run, "--model", model, "--quiet")
        arguments = [sys.executable, "-m", "bigkingxxl", "view", str(run), "--no-browser"]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as viewer:
            assert viewer.stdout is not None
            take(viewer.stdout.readline().strip(), picture)
            viewer.terminate()


def command(*words: object) -> None:
    """Run a command of the program."""
    subprocess.run([sys.executable, "-m", "bigkingxxl", *map(str, words)], check=True)


def take(address: str, picture: Path) -> None:
    """Open the page as a user would, and show what it can do."""
    browser = next(found for name in BROWSERS if (found := shutil.which(name)))
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=WINDOW, color_scheme="light")  # type: ignore[arg-type]
        page.goto(address)
        page.wait_for_selector("canvas.image[data-image]")
        show(page)
        page.screenshot(path=picture)
        chromium.close()


def show(page: Page) -> None:
    """Show the image with most cells, filled, with one of them selected beside its measurements."""
    page.select_option(".strip-head select", "count")
    page.locator("[role=option]").first.click()
    page.wait_for_timeout(2000)
    page.click("#tab-cells")
    page.focus("canvas.image")
    page.keyboard.press("x")
    page.keyboard.press("b")
    page.wait_for_timeout(3000)
    page.locator(".table-row[aria-rowindex='9']").click()
    page.wait_for_timeout(1500)
    page.focus("canvas.image")
    for key in ("Home", "+", "+"):
        page.keyboard.press(key)
    page.wait_for_timeout(2500)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "bundled")
