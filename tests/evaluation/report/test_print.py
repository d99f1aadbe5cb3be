"""A report on paper: printed by a real browser."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bigkingxxl.evaluation.report.page import picture, write_page

if TYPE_CHECKING:
    from playwright.sync_api import Browser

PICTURES = 60


def test_many_pictures_take_few_pages_and_few_bytes(browser: Browser, tmp_path: Path) -> None:
    """Chromium stores JPEG in a PDF as it is, and decodes other formats."""
    noise = np.random.default_rng(0).integers(0, 256, (260, 352, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, format="JPEG", quality=60, subsampling=0)
    caption = "an image: 61 of 76 annotated cells found; 65 predicted cells"
    parts = [picture(caption, stream.getvalue(), kind="jpeg", name=str(n)) for n in range(PICTURES)]
    write_page(tmp_path / "report.html", "t", parts)
    page = browser.new_page()
    page.goto((tmp_path / "report.html").as_uri())
    printed = page.pdf(prefer_css_page_size=True, format="A4")
    page.close()
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) <= PICTURES / 12 + 1
    assert len(printed) < 1.2 * PICTURES * len(stream.getvalue())
