"""The page by the rules of WCAG 2 (axe-core), by keyboard, in light and dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from bigkingxxl.viewer.page.generate_types import TYPES
from tests.viewer.page.browser import Viewer, Window, until

if TYPE_CHECKING:
    from playwright.sync_api import Browser

AXE = TYPES.parents[2] / "node_modules" / "axe-core" / "axe.min.js"
RULES = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa",
                                               "wcag22aa", "best-practice"]}}  # fmt: skip
PANELS = ("display", "cells", "finetune", "export")


@pytest.fixture(params=["light", "dark"])
def seen(request: pytest.FixtureRequest, browser: Browser, viewer: Viewer) -> Iterator[Window]:
    context = browser.new_context(
        viewport={"width": 1280, "height": 800}, color_scheme=request.param, reduced_motion="reduce"
    )
    found = Window(context, viewer)
    yield found
    context.close()
    assert found.problems == []


def violations(window: Window) -> list[tuple[str, str]]:
    """Violations of the rules that a program can check, each with the element."""
    window.page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = window.page.evaluate("rules => axe.run(document, rules)", RULES)
    return [(each["id"], node["html"][:160]) for each in found["violations"]
            for node in each["nodes"]]  # fmt: skip


@pytest.mark.skipif(not AXE.is_file(), reason="axe-core is not installed: `make page` brings it")
def test_no_rule_is_broken(seen: Window) -> None:
    broken: dict[str, Any] = {}
    for panel in PANELS:
        seen.page.click(f"#tab-{panel}")
        broken[panel] = violations(seen)
    seen.focus()
    seen.press("Control+a")
    assert seen.selected
    broken["selected"] = violations(seen)
    seen.press("?")
    seen.page.wait_for_selector("dialog.help[open]")
    broken["help"] = violations(seen)
    assert not any(broken.values()), broken
    seen.press("Escape")
    seen.page.wait_for_selector("dialog.help", state="hidden")


def test_a_new_type_is_named_by_keyboard(window: Window, viewer: Viewer) -> None:
    window.focus()
    window.press("j")
    number = int(window.selected.removeprefix("Cell "))
    before = window.cells()[number]["type"]
    window.page.select_option(".chosen select", "+")
    window.page.wait_for_selector("dialog.naming[open]")
    # The page's keys do nothing meanwhile.
    window.press("Delete", "Control+z")
    window.page.keyboard.type("  purple cell ")
    window.press("Enter")
    until(lambda: viewer.table(window.key)[number]["type"] == "purple cell")
    window.press("Control+z")
    until(lambda: viewer.table(window.key)[number]["type"] == before)
    window.page.select_option(".chosen select", "+")
    window.page.wait_for_selector("dialog.naming[open]")
    window.press("Escape")
    window.page.wait_for_selector("dialog.naming", state="hidden")
    assert window.cells()[number]["type"] == before


def test_every_control_is_reachable_and_visible(seen: Window) -> None:
    """Tab reaches every control, and the focused one is marked."""
    controls = seen.page.locator(
        "button:visible:not([disabled]):not([tabindex='-1']), select:visible, input:visible"
    ).count()
    reached = set()
    for _ in range(controls + 20):
        seen.press("Tab")
        place, outline = seen.page.evaluate("""() => {
            const box = document.activeElement.getBoundingClientRect();
            const style = getComputedStyle(document.activeElement);
            return [[document.activeElement.tagName, box.x, box.y].join(), style.outlineStyle];
        }""")
        if not place.startswith("BODY"):
            reached.add(place)
            assert outline != "none", place
    assert len(reached) >= controls
