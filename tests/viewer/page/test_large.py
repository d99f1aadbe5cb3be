"""Many cells, many images, and an image of 10,000 x 10,000 pixels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from tests.viewer.page import browser as patience
from tests.viewer.page.browser import Viewer, Window, until
from tests.viewer.page.grids import grid_dataset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of 10,000 x 10,000 pixels is read as a whole when it is opened."""
    monkeypatch.setattr(patience, "SECONDS", 240)


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    found = browser.new_context(viewport={"width": 1280, "height": 800})
    yield found
    found.close()


def middle(labels: np.ndarray, number: int) -> tuple[float, float]:
    rows, cols = np.nonzero(labels == number)
    return float(rows.mean()) + 0.5, float(cols.mean()) + 0.5


@pytest.mark.parametrize(
    ("cells", "size"), [(300, None), pytest.param(5000, None, marks=pytest.mark.long),
                        pytest.param(2000, (10_000, 10_000), marks=pytest.mark.long)]
)  # fmt: skip
def test_cells_are_shown_selected_and_removed(
    context: BrowserContext, tmp_path: Path, cells: int, size: tuple[int, int] | None
) -> None:
    truth = grid_dataset(tmp_path / "set", cells, size)
    viewer = Viewer(tmp_path / "set")
    window = Window(context, viewer)
    window.page.click("#tab-cells")
    window.page.wait_for_selector(f".facts [data-cells='{cells}']", timeout=60_000)
    # From the table to the cell: it is selected and visible.
    window.page.locator(".table-row[aria-rowindex='7']").click()
    assert window.selected == "Cell 7"
    row, col = middle(truth, 7)
    x, y = window.place(row, col)
    box = window.page.locator("canvas.image").bounding_box()
    assert box is not None
    assert box["x"] < x < box["x"] + box["width"]
    assert box["y"] < y < box["y"] + box["height"]
    # From the cell to the table.
    window.press("Escape")
    window.click(row, col)
    until(lambda: window.selected == "Cell 7")
    assert window.page.locator(".table-row[aria-selected=true]").first.inner_text().startswith("7")
    window.focus()
    window.press("Delete")
    window.wait_saved()
    assert 7 not in viewer.table(window.key)
    window.press("Control+z")
    window.wait_saved()
    assert len(viewer.table(window.key)) == cells
    assert window.problems == []
    viewer.stop()


@pytest.mark.long
def test_a_cell_is_drawn_in_a_corner_of_a_huge_image(
    context: BrowserContext, tmp_path: Path
) -> None:
    grid_dataset(tmp_path / "set", 50, (10_000, 10_000))
    viewer = Viewer(tmp_path / "set")
    window = Window(context, viewer)
    # To one screen pixel per image pixel, and to the lower right corner.
    window.press("End")
    canvas = window.page.locator("canvas.image").bounding_box()
    assert canvas is not None
    for _ in range(40):
        window.page.mouse.move(canvas["x"] + 600, canvas["y"] + 500)
        window.page.mouse.down(button="middle")
        window.page.mouse.move(canvas["x"] + 10, canvas["y"] + 10, steps=2)
        window.page.mouse.up(button="middle")
    window.press("b")
    window.drag((9980, 9960), (9980, 9990))
    window.wait_saved()
    window.press("Shift+Enter")
    window.wait_saved()
    new = max(viewer.table(window.key))
    assert new == 51
    tile = viewer.raster(window.key, "labels?level=0&row=19&col=19")
    assert (tile == new).sum() > 60  # beside the cell that is already in this corner
    assert viewer.json(f"/api/images/{window.key}")["entry"]["reviewed"] == 1
    assert window.problems == []
    viewer.stop()


@pytest.mark.parametrize("images", [40, pytest.param(500, marks=pytest.mark.long)])
def test_a_strip_of_many_images(context: BrowserContext, tmp_path: Path, images: int) -> None:
    (tmp_path / "images").mkdir()
    for index in range(images):
        pixels = np.random.default_rng(index).integers(0, 255, (48, 64), np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"image_{index:04d}.png")
    viewer = Viewer(tmp_path / "images", command="annotate")
    window = Window(context, viewer)
    rows = window.page.locator("[role=option]")
    assert rows.count() < 40  # only visible rows exist
    assert int(str(rows.first.get_attribute("aria-setsize"))) == images
    window.page.select_option(".strip-head select", "name")
    last = f"image_{images - 1:04d}"
    window.page.fill("#search", last)
    until(lambda: rows.count() == 1)
    window.press("Enter")
    until(lambda: window.page.locator("h1").inner_text() == last)
    window.page.fill("#search", "")
    until(lambda: rows.count() > 1)
    window.focus()
    window.press("a")
    until(lambda: window.page.locator("h1").inner_text() == f"image_{images - 2:04d}")
    # Annotate without a prediction: a lasso, done, and the next.
    window.press("l")
    window.drag((5, 5), (5, 25), (25, 25), (25, 5))
    key = window.key
    window.press("Enter")
    until(lambda: window.key != key)
    entry = viewer.json(f"/api/images/{key}")["entry"]
    assert (entry["cells"], entry["done"]) == (1, True)
    assert window.problems == []
    viewer.stop()
