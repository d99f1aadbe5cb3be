"""One image in a notebook: the page without a server, from a saved file."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.errors import InputError
from bigkingxxl.image_inputs import as_source
from bigkingxxl.instances import Instances
from bigkingxxl.predicted_cells import Cells
from tests.threshold import squares
from tests.viewer.page.browser import until

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def cells_of(image: Any, labels: Any) -> Cells:
    instances = Instances.from_label_map(labels)
    return Cells(instances, Candidates.empty(instances.size), as_source(image))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_a_saved_notebook_shows_the_cells(browser: Browser, tmp_path: Path, dtype: type) -> None:
    labels = squares(5)
    image: Any = (labels > 0).astype(dtype) * 200 + 20
    shown = cells_of(image, labels).show(height=600)._repr_html_()
    (tmp_path / "saved.html").write_text(f"<!doctype html><body>{shown}</body>", encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 700}, offline=True)
    page = context.new_page()
    problems: list[str] = []
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "saved.html").as_uri())
    frame = page.frame_locator("iframe")
    frame.locator("canvas.image[data-image]").wait_for(timeout=60_000)
    frame.locator("#tab-cells").click()
    frame.locator(".facts [data-cells='5']").wait_for(timeout=60_000)
    frame.locator(".table-row[aria-rowindex='3']").click()
    until(lambda: frame.locator(".table-row[aria-selected=true]").count() == 1)
    # It is read-only.
    frame.locator("canvas.image").press("Delete")
    frame.locator(".message[data-about=read-only]").first.wait_for(timeout=60_000)
    assert frame.locator(".facts [data-cells='5']").count() == 1
    assert problems == []
    assert {url.partition(":")[0] for url in asked} <= {"file", "about", "blob", "data"}
    context.close()


def test_it_is_one_piece_of_html_that_no_name_breaks_out_of(tmp_path: Path) -> None:
    labels = squares(2)
    found = cells_of((labels > 0).astype(np.uint8), labels)
    named = Cells(found.instances, found.candidates, found.source, None,
                     ('</script><img src="x" onerror="alert(1)">',))  # fmt: skip
    shown = named.show()._repr_html_()
    assert shown == named.show()._repr_html_()
    assert shown.count("<") == 2  # the frame alone
    page = html.unescape(re.search(r'srcdoc="([^"]*)"', shown)[1])  # type: ignore[index]
    assert page.count("</script>") == 2


def test_a_huge_image_is_refused() -> None:
    labels = np.zeros((5000, 2), np.int32)
    labels[:4] = 1
    with pytest.raises(InputError):
        cells_of(labels.astype(np.uint8), labels).show()
