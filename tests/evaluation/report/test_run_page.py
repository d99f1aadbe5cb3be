from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bigkingxxl.errors import OutputError
from bigkingxxl.evaluation.average_precision import coco_table
from bigkingxxl.evaluation.competition_map import CompetitionScore, competition_map
from bigkingxxl.evaluation.report.page import thumbnail
from bigkingxxl.evaluation.report.run_page import write_report
from bigkingxxl.instances import Instances
from tests.evaluation.report.page_reader import Page


def cells(*labels: int) -> Instances:
    return Instances.from_label_map(np.repeat(np.array([labels]), 20, axis=0))


def scores() -> tuple[CompetitionScore, dict[str, Instances]]:
    truth = {"a": cells(1, 1, 0, 2), "b": cells(0, 3, 3, 3), "c": cells(0, 0, 0, 0)}
    found = {"a": cells(1, 1, 0, 0), "b": cells(0, 3, 3, 3)}
    return competition_map(truth, found, {"a": "cort", "b": "astro", "c": None}), truth


def test_the_page_is_self_contained(tmp_path: Path) -> None:
    score, truth = scores()
    overlay = np.zeros((900, 1300, 3), np.uint8)
    overlay[..., 1] = 255
    path = tmp_path / "deep" / "report.html"
    write_report(
        path,
        title="Fold 0",
        competition=score,
        coco=coco_table(truth, {"a": truth["a"]}),
        overlays={"image a": overlay, "gray": overlay[..., 0]},
        pictures={"loss": thumbnail(overlay)},
        facts={"seed": 0, "data": "a folder"},
    )
    page = Page(path)
    text = page.text
    # (0.5 + 1 + 0) / 3, and the parts by type.
    for part in ("Fold 0", "mAP is 0.5000", "cort", "astro", "AP50", "AR, small cells", "a folder",
                 "do not contain 1 of", "no scored image shows shsy5y"):  # fmt: skip
        assert part in text, part
    assert page.needs_nothing_else
    assert len(page.pictures) == 3
    assert page.tags >= {"svg", "circle", "polyline"}
    assert page.pictures["image a"].size == (640, 443)
    assert page.pictures["image a"].convert("RGB").getpixel((5, 5)) == (0, 255, 0)
    assert page.pictures["gray"].mode == "L"


def test_names_given_by_users_are_escaped(tmp_path: Path) -> None:
    name = '<script>alert("x")</script> & more'
    write_report(
        tmp_path / "r.html",
        title=name,
        overlays={name: np.zeros((4, 4, 3), np.uint8)},
        facts={name: name},
    )
    page = Page(tmp_path / "r.html")
    assert "script" not in page.tags
    assert page.texts.count(name) == 5
    assert list(page.pictures) == [name]


def test_the_same_scores_make_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.html", "two.html"):
        write_report(tmp_path / name, title="t", competition=scores()[0])
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_the_mix_is_shown_if_all_types_are_present(tmp_path: Path) -> None:
    truth = {kind: cells(1, 1, 0, 2) for kind in ("astro", "cort", "shsy5y")}
    score = competition_map(truth, truth, {kind: kind for kind in truth})
    write_report(tmp_path / "r.html", title="t", competition=score)
    assert "challenge-mix mAP is 1.0000" in Page(tmp_path / "r.html").text


def test_a_page_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match=r"report\.html"):
        write_report(tmp_path / "file" / "report.html", title="t")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
