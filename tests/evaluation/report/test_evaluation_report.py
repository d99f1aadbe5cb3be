"""The page on predictions and truth: its text, pictures and links."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bigkingxxl as bk
from bigkingxxl.data.groups import Groups
from bigkingxxl.errors import ImageError
from bigkingxxl.evaluation.compared_methods import Taken
from bigkingxxl.evaluation.comparison import compare
from bigkingxxl.evaluation.evaluation import Evaluation, evaluate_predictions
from bigkingxxl.evaluation.pairing import ImagePair
from bigkingxxl.evaluation.predictions import Predictions
from bigkingxxl.evaluation.report.charts import HEIGHT, Axis, Chart
from bigkingxxl.evaluation.report.evaluation_report import (
    featured,
    no_source,
    write_comparison_report,
    write_evaluation_report,
)
from bigkingxxl.evaluation.report.gallery import error_picture
from bigkingxxl.evaluation.report.page import anchor
from bigkingxxl.evaluation.truth import Truth
from bigkingxxl.image_inputs import as_source
from bigkingxxl.images import ImageSource
from bigkingxxl.instances import Instances
from tests.evaluation.report.page_reader import Page
from tests.evaluation.scenes import SIZE, cells_of, truth_and_found

NAMES = ("A1/x y", "A1.x", "b<i>", "c&d", "e", "f")


def predicted(k: int) -> Instances:
    cells = cells_of(truth_and_found(k)[1])
    return replace(cells, score=np.linspace(0.95, 0.2, len(cells)).astype(np.float32))


def truth() -> Truth:
    cells = {name: cells_of(truth_and_found(k)[0]) for k, name in enumerate(NAMES)}
    sizes = dict.fromkeys(NAMES, SIZE)
    return Truth(Path("nowhere"), NAMES, ("cell",), cells.__getitem__, sizes)


def predictions() -> Predictions:
    found = {name: predicted(k) for k, name in enumerate(NAMES)}
    return Predictions(found, found)


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    groups = Groups({name: str(k // 2) for k, name in enumerate(NAMES)}, "wells")
    return evaluate_predictions(truth(), predictions(), NAMES, groups)


def source(image_id: str) -> ImageSource | None:
    if image_id == "f":
        raise ImageError("f is gone")
    return as_source(np.full(SIZE, 128, np.uint8))


def test_the_page_starts_with_the_scores_in_sentences(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_evaluation_report(path, evaluation, source, title="<b>mine</b>",
                            facts={"truth": "t&t"}, notes=["a note < this"])  # fmt: skip
    page = Page(path)
    text = page.text
    scenes = [truth_and_found(k) for k in range(len(NAMES))]
    cells = [len(cells_of(a)) for a, _ in scenes]
    found = [(bk.score(a, b, "recall")["recall@0.5"] or 0) * n
             for (a, b), n in zip(scenes, cells, strict=True)]  # fmt: skip
    every = sum(len(cells_of(b)) for _, b in scenes)
    lead = next(each for each in page.texts if f"{sum(cells):,} annotated cells" in each)
    assert f" {100 * sum(found) / sum(cells):.0f} % " in lead
    assert f" {100 * sum(found) / every:.0f} % " in lead
    f1 = 2 * sum(found) / (sum(cells) + every)
    assert f" {f1:.3f} (95 % " in lead
    gap = np.array([len(cells_of(b)) - len(cells_of(a)) for a, b in scenes])
    assert f" {abs(gap.mean()):.1f} {'more' if gap.mean() > 0 else 'fewer'} cells" in lead
    for part in ("<b>mine</b>", "t&t", "a note < this", "3 groups of images (wells)",
                 "2 TP / (2 TP + FP + FN)", "Bland and Altman", "panoptic quality"):  # fmt: skip
        assert part in text, part
    assert "b" not in page.tags
    assert "annotated images" not in text


def test_the_page_starts_with_the_number_of_images_that_are_not_predicted(tmp_path: Path) -> None:
    found = {name: predicted(k) for k, name in enumerate(NAMES) if k > 1}
    groups = Groups(dict(zip(NAMES, NAMES, strict=True)), "images")
    result = evaluate_predictions(truth(), Predictions(found, found), NAMES, groups)
    path = tmp_path / "report.html"
    write_evaluation_report(path, result, source, title="t")
    assert "2 of 6 annotated images" in Page(path).text


def test_everything_leads_to_the_picture_of_its_image(
    evaluation: Evaluation, tmp_path: Path
) -> None:
    path = tmp_path / "report.html"
    write_evaluation_report(path, evaluation, source, title="t")
    page = Page(path)
    assert page.needs_nothing_else
    assert page.places >= {anchor(name) for name in NAMES}
    for name in NAMES:
        # In the plot of counts and in the table of images.
        assert page.addresses.count(f"#{anchor(name)}") >= 2
    assert len(page.pictures) == len(NAMES)
    assert all(picture.size == (2 * SIZE[1], 2 * SIZE[0]) for picture in page.pictures.values())
    assert page.tags >= {"svg", "polyline", "circle", "rect"}


def test_pages_without_images_cells_or_scores_are_pages(tmp_path: Path) -> None:
    empty = {name: Instances.empty(SIZE) for name in NAMES}
    unscored = {name: replace(predicted(k), score=None) for k, name in enumerate(NAMES)}
    annotated = truth()
    none = replace(annotated, instances=empty.__getitem__)
    for number, (which, found) in enumerate(
        (
            (annotated, empty),
            (none, empty),
            (none, unscored),
            (annotated, unscored),
            (annotated, {}),
        )
    ):
        result = evaluate_predictions(
            which, Predictions(found, found), NAMES, Groups({}, "each image separately")
        )
        write_evaluation_report(tmp_path / f"{number}.html", result, no_source, title="t")
        page = Page(tmp_path / f"{number}.html")
        assert page.needs_nothing_else
        assert "nan" not in page.text.lower().split()


def test_one_image_alone_has_no_intervals(tmp_path: Path) -> None:
    result = evaluate_predictions(
        truth(), predictions(), NAMES[:1], Groups({}, "each image separately")
    )
    write_evaluation_report(tmp_path / "r.html", result, source, title="t")
    assert "95 % confidence" not in Page(tmp_path / "r.html").text


def test_outlines_have_the_colour_of_the_error() -> None:
    annotated, found = np.zeros(SIZE, np.int32), np.zeros(SIZE, np.int32)
    annotated[10:40, 10:40], annotated[50:80, 60:100] = 1, 2
    found[10:40, 10:40], found[10:40, 70:110] = 1, 2
    content = error_picture(ImagePair.of_labels(annotated, found), None)
    pixels = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), int)
    assert pixels.shape == (2 * SIZE[0], 2 * SIZE[1], 3)

    def channels(row: int, col: int) -> list[int]:
        """Red, green and blue, the strongest first; colours blur a little."""
        order: list[int] = np.argsort(-pixels[2 * row, 2 * col]).tolist()
        return order

    assert channels(25, 10)[0] == 1  # found: green
    assert channels(50, 80)[0] == 0  # missed: red
    assert channels(10, 90)[0] == 2  # spurious: blue
    assert pixels[50, 50].max() < 40


def test_the_gallery_holds_worst_typical_and_best_images() -> None:
    order = [str(k) for k in range(50)]
    groups = featured(order)
    assert groups["Lowest F1"] == ["0", "1", "2", "3"]
    assert groups["Highest F1"] == ["49", "48", "47", "46"]
    assert all(20 <= int(name) <= 30 for name in groups["Median F1"])
    few = featured(order[:5])
    assert [name for names in few.values() for name in names] == order[:5]


def test_a_comparison_is_one_page_too(tmp_path: Path) -> None:
    better = {name: truth().instances(name) for name in NAMES}
    taken = {"mine": Taken(predictions()), "<other>": Taken(Predictions(better, better))}
    result = compare(taken, truth(), NAMES, Groups({}, "each image separately"), ["f1", "pq"])
    write_comparison_report(tmp_path / "c.html", result, truth())
    page = Page(tmp_path / "c.html")
    assert page.needs_nothing_else
    f1 = result.entries[0].evaluation.scores.by_key["f1@0.5"].value or 0
    assert f"{f1:.3f} (mine), 1.000 (<other>)" in page.text
    gap = result.differences["<other>"][0]
    assert gap.is_clear
    assert f" {1 - f1:+.3f} (95 % " in page.text
    # Both methods' pictures of each image.
    assert len(page.pictures) == 2 * len(NAMES)


def test_images_without_a_picture_are_listed_and_linked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluation: Evaluation
) -> None:
    monkeypatch.setattr("bigkingxxl.evaluation.report.evaluation_report.MOST_PICTURES", 2)
    write_evaluation_report(tmp_path / "r.html", evaluation, source, title="t")
    page = Page(tmp_path / "r.html")
    assert len(page.pictures) == 2
    assert page.needs_nothing_else
    assert "4 other images" in page.text
    assert page.tags.isdisjoint({"b", "i"})
    assert page.places >= {anchor(name) for name in NAMES}


@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (0.5, 0.95), (-200, 30), (0, 7), (1e-4, 2e-4), (0, 1e6), (3, 3.0001)]
)
def test_ticks_are_round_few_and_on_the_axis(low: float, high: float) -> None:
    ticks = Axis("x", low, high).ticks()
    assert 2 <= len(ticks) <= 8
    assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in ticks)
    steps = np.diff(ticks)
    assert steps == pytest.approx(steps[0])
    mantissa = steps[0] / 10 ** np.floor(np.log10(steps[0]))
    assert min(abs(mantissa - each) for each in (1, 2, 5, 10)) < 1e-6


def test_labels_of_close_levels_do_not_overlap() -> None:
    chart = Chart(Axis("x"), Axis("y", 0, 100), right=100)
    for level in (50.0, 50.5, 51.0, 0.0, 0.2, 100.0):
        chart.level(level, f"level {level}")
    found = re.findall(r'y="([0-9.]+)"[^>]*>level ([0-9.]+)<', chart.svg())
    places = sorted(float(place) for place, _ in found)
    assert len(places) == 6
    assert min(np.diff(places)) >= 12
    # The order of the labels is that of the levels, and all are beside the chart.
    assert [float(level) for _, level in sorted(found, key=lambda each: -float(each[0]))] == sorted(
        float(level) for _, level in found
    )
    assert 0 < places[0] < places[-1] < HEIGHT
