"""`bigkingxxl evaluate`: every format of predictions and truth, selections, and bad input."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from bigkingxxl.cli import main
from bigkingxxl.file_names import place_of
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.coco import read_coco, write_coco_annotations, write_results
from bigkingxxl.io.annotations.kaggle import write_annotations, write_submission
from bigkingxxl.io.annotations.label_images import write_label_image
from tests.refusals import numbers_of, refused_by

TYPES = ("astro", "cort", "shsy5y")
SIZE = (40, 60)


def cells(kind: int, *numbers: int, shorter: int = 0) -> Instances:
    """Bars of 3 rows and 50 columns, 5 rows apart; `shorter` cuts columns off."""
    corners = [(5 * number, 0) for number in numbers]
    masks = [np.ones((3, 50 - shorter), bool)] * len(numbers)
    return Instances.from_crops(
        corners, masks, SIZE, cell_type=np.full(len(numbers), kind), type_names=TYPES
    )


TRUTH = {
    "a1": cells(0, 0, 1, 2, 3),
    "c1": cells(1, 0, 1),
    "c2": cells(1, 5),
    "s1": cells(2, 0, 1, 2, 3, 4),
}
# 3 of 4 found and one false; all found; IoU 0.6, a match only at 0.50 and 0.55; s1 is missing.
FOUND = {"a1": cells(0, 0, 1, 2, 6), "c1": cells(1, 0, 1), "c2": cells(1, 5, shorter=20)}
SCORES = {"a1": 0.6, "c1": 1.0, "c2": 0.2, "s1": 0.0}
PLAIN = 1.8 / 4
MIX = (131 * 0.6 + 320 * 0.6 + 155 * 0.0) / 606


@pytest.fixture
def truths(tmp_path: Path) -> dict[str, Path]:
    """The truth in every format."""
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    for name in TRUTH:
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(data / "train" / f"{name}.png")
    write_annotations(data / "train.csv", TRUTH)
    coco = tmp_path / "truth.json"
    write_coco_annotations(coco, TRUTH, {name: f"deep/{name}.png" for name in TRUTH})
    for name, found in TRUTH.items():
        write_label_image(tmp_path / "truth" / f"{name}.tif", found)
        write_label_image(tmp_path / "pairs" / "labels" / f"{name}_masks.png", found)
        (tmp_path / "pairs" / "images").mkdir(exist_ok=True)
        image = tmp_path / "pairs" / "images" / f"{name}.png"
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(image)
    return {
        "train.csv": data / "train.csv", "data folder": data, "coco": coco,
        "labels": tmp_path / "truth", "pairs": tmp_path / "pairs",
    }  # fmt: skip


@pytest.fixture
def predictions(tmp_path: Path) -> dict[str, Path]:
    """The same predictions in every format."""
    write_submission(tmp_path / "submission.csv", FOUND)
    scored = {
        name: replace(found, score=np.full(len(found), 0.9, np.float32))
        for name, found in FOUND.items()
    }
    write_results(tmp_path / "results.json", scored)
    for name, found in FOUND.items():
        write_label_image(tmp_path / "found" / f"{name}.tif", found)
    return {
        "submission": tmp_path / "submission.csv", "results": tmp_path / "results.json",
        "labels": tmp_path / "found",
    }  # fmt: skip


Evaluate = Callable[..., Result]


@pytest.fixture
def evaluate() -> Evaluate:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(main.app, ["evaluate", *map(str, arguments)])

    return run


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


@pytest.mark.parametrize("truth", ["train.csv", "data folder", "coco", "labels", "pairs"])
@pytest.mark.parametrize("predicted", ["submission", "results", "labels"])
def test_every_format_of_the_same_cells_gets_the_same_scores(
    truths: dict[str, Path],
    predictions: dict[str, Path],
    evaluate: Evaluate,
    tmp_path: Path,
    truth: str,
    predicted: str,
) -> None:
    if (truth, predicted) == ("coco", "results"):
        # COCO's own ids are numbers.
        scored = {k: replace(f, score=np.ones(len(f), np.float32)) for k, f in FOUND.items()}
        write_results(predictions["results"], scored, coco=read_coco(truths["coco"]))
    if truth in ("labels", "pairs") and predicted == "results":
        untyped = {
            k: replace(f, score=np.ones(len(f), np.float32), cell_type=0 * f.cell_type,
                       type_names=("cell",)) for k, f in FOUND.items()
        }  # fmt: skip
        write_results(predictions["results"], untyped)
    table = tmp_path / "scores.csv"
    found = answer(evaluate(predictions[predicted], truths[truth], "--json", "--per-image", table))
    assert found["competition_map"] == pytest.approx(PLAIN)
    assert (found["images"], found["scored"], found["missing"]) == (4, 3, ["s1"])
    rows = {row["id"]: row for row in csv.DictReader(table.read_text().splitlines())}
    assert {name: float(row["map"]) for name, row in rows.items()} == pytest.approx(SCORES)
    assert (rows["c2"]["at_0.55"], rows["c2"]["at_0.60"]) == ("1.000000", "0.000000")
    assert (rows["a1"]["cells"], rows["a1"]["predicted"], rows["s1"]["named"]) == ("4", "4", "0")
    if truth in ("labels", "pairs"):
        assert found["by_type"] == pytest.approx({"cell": PLAIN})
        assert found["challenge_mix"] is None
    else:
        assert found["by_type"] == pytest.approx({"astro": 0.6, "cort": 0.6, "shsy5y": 0.0})
        assert found["challenge_mix"] == pytest.approx(MIX)
        assert rows["c1"]["cell_type"] == "cort"
    coco = found["coco"]
    ar = [row["value"] for row in coco["rows"] if row["metric"] == "AR" and row["area"] == "all"]
    typed = predicted == "results" and truth not in ("labels", "pairs")
    # Recall by type: 3 of 4; 2 of 3, the third at 3 of 10 thresholds (COCO counts an IoU of 0.60
    # at 0.60); 0 of 5.
    assert ar[0] == pytest.approx((3 / 4 + 2.3 / 3 + 0) / 3 if typed else (3 + 2.3) / 12)
    assert coco["class_aware"] == typed


@pytest.mark.parametrize(("score", "named"), [(0.9, False), (0.1, True), (-2.0, True)])
def test_coco_masks_below_the_score_threshold_are_named(
    truths: dict[str, Path],
    predictions: dict[str, Path],
    evaluate: Evaluate,
    score: float,
    named: bool,
) -> None:
    scored = {k: replace(f, score=np.full(len(f), score, np.float32)) for k, f in FOUND.items()}
    write_results(predictions["results"], scored)
    found = answer(evaluate(predictions["results"], truths["train.csv"], "--json"))
    count = sum(map(len, FOUND.values()))
    assert any(count in numbers_of(note) for note in found["notes"]) == named
    assert (found["competition_map"] == 0) == named


@pytest.mark.parametrize(
    ("narrowing", "ids"),
    [
        (["--only-predicted"], {"a1", "c1", "c2"}),
        (["--images", "some.txt"], {"c1", "s1"}),
        (["--fold", "0"], {"c1", "c2"}),
        (["--fold", "1"], {"a1", "s1"}),
        (["--fold", "1", "--folds", "other.csv"], {"a1", "c1"}),
    ],
)
def test_a_subset_scores_only_its_images(
    truths: dict[str, Path],
    predictions: dict[str, Path],
    evaluate: Evaluate,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    narrowing: list[str],
    ids: set[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.txt").write_text("# two images\nc1.png\n\ns1  # by id\n", encoding="utf-8")
    (truths["data folder"] / "folds.csv").write_text("id,fold\na1,1\nc1,0\nc2,0\ns1,1\n")
    Path("other.csv").write_text("id,fold\na1,1\nc1,1\nc2,0\ns1,0\n", encoding="utf-8")
    found = answer(evaluate(predictions["submission"], truths["data folder"], "--json", *narrowing))
    assert found["images"] == len(ids)
    assert found["competition_map"] == pytest.approx(sum(SCORES[k] for k in ids) / len(ids))
    assert found["missing"] == (["s1"] if "s1" in ids else [])


def test_tables_report_scored_and_missing_images(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    result = evaluate(predictions["results"], truths["train.csv"])
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[0][:3] == ["Competition", "mAP", f"{PLAIN:.4f}"]
    assert lines[1][:3] == ["Challenge-mix", "mAP", f"{MIX:.4f}"]
    assert lines[2][:5] == ["Images", "3", "scored,", "1", "missing"]
    rows = {line[0]: line[1:] for line in lines if line}
    assert rows["all"][:4] == ["4", "12", "0.450", "0.650"]
    assert rows["cort"] == ["2", "3", "0.600", *["1.000"] * 2, *["0.500"] * 8]
    header = next(line for line in lines if line[:1] == ["COCO,"])
    assert header[-4:] == ["100", "300", "1,000", "2,000"]
    assert len(rows["AP50"]) == 4
    said = " ".join(result.stdout.split())
    assert "all metrics but COCO's are of disjoint cells" in said
    assert "painted in score order" in said


def test_overlapping_masks_are_painted_by_score(
    truths: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    """A duplicate of lower score is dropped, and so are barely visible cells; all others stay."""
    truth = TRUTH["c1"]
    double = cells(1, 0, shorter=4)
    unsure = cells(1, 4)
    every = Instances.concatenate([double, truth, unsure])
    scored = replace(every, score=np.array([0.5, 0.9, 0.8, 0.1], np.float32))
    write_results(tmp_path / "results.json", {"c1": scored})
    found = answer(
        evaluate(tmp_path / "results.json", truths["train.csv"], "--only-predicted", "--json")
    )
    assert found["competition_map"] == 1.0
    assert found["coco"]["detections"] == 4


def test_crowds_are_reported(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    content = json.loads(truths["coco"].read_text())
    content["annotations"][0]["iscrowd"] = 1
    truths["coco"].write_text(json.dumps(content))
    result = evaluate(predictions["submission"], truths["coco"])
    assert result.exit_code == 0, result.stderr
    assert "truth.json" in result.stdout


BAD = {
    "no predictions": (["nowhere.csv", "TRUTH"], "nowhere.csv"),
    "no folder of predictions": (["nowhere", "TRUTH"], "nowhere"),
    "no truth": (["SUBMISSION", "nowhere"], "nowhere"),
    "another file": (["some.txt", "TRUTH"], ""),
    "a train.csv as predictions": (["TRUTH", "TRUTH"], "'predicted'"),
    "overlapping cells": (["overlap.csv", "TRUTH"], "a1"),
    "an unknown image": (["unknown.csv", "TRUTH"], "'x'"),
    "an unknown image to score": (
        ["SUBMISSION", "TRUTH", "--images", "some.txt"], "'x9'",
    ),
    "no images to score": (["SUBMISSION", "TRUTH", "--images", "blank.txt"], "blank.txt"),
    "a missing list": (["SUBMISSION", "TRUTH", "--images", "no.txt"], "no.txt"),
    "a split without a fold": (["SUBMISSION", "TRUTH", "--folds", "a.csv"], "--fold"),
    "no such fold": (["SUBMISSION", "TRUTH", "--fold", "7"], "7"),
    "a fold of label images": (["SUBMISSION", "LABELS", "--fold", "0"], ""),
    "two ways to narrow": (
        ["SUBMISSION", "TRUTH", "--fold", "0", "--only-predicted"], "--only-predicted",
    ),
    "nothing predicted": (["empty.csv", "TRUTH", "--only-predicted"], "train.csv"),
    "a table that cannot be written": (
        ["SUBMISSION", "TRUTH", "--per-image", "some.txt/x.csv"], "some.txt/x.csv",
    ),
    "two tables of one name": (
        ["SUBMISSION", "TRUTH", "--per-cell", "a.csv", "--matches", "a.csv"], "--matches",
    ),
}  # fmt: skip


def test_the_report_is_one_page_with_scores_and_plots(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    result = evaluate(predictions["submission"], truths["train.csv"], "--report", page)
    assert result.exit_code == 0, result.output
    text = page.read_text(encoding="utf-8")
    assert f"{PLAIN:.3f}" in text
    assert text.count("data:image/jpeg;base64,") == 4
    assert text.count("<svg") >= 4
    assert "http" not in text.replace("http-equiv", "")


def test_label_images_are_found_by_the_names_that_a_run_escapes(
    evaluate: Evaluate, tmp_path: Path
) -> None:
    names = ["10:30", "is it?", "a.", "x" * 220, "deep/con"]
    truth = {name: cells(0, place) for place, name in enumerate(names)}
    write_coco_annotations(tmp_path / "truth.json", truth, {name: f"{name}.png" for name in truth})
    for name, found in truth.items():
        path = tmp_path / "labels" / f"{place_of(name)}.tif"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label_image(path, found)
    result = evaluate(tmp_path / "labels", tmp_path / "truth.json", "--json")
    answer = json.loads(result.stdout)
    assert (answer["scored"], answer["competition_map"]) == (len(names), 1.0)


def test_truth_that_is_left_out_in_subfolders_is_named(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    (truths["labels"] / "deep").mkdir()
    write_label_image(truths["labels"] / "deep" / "a9.tif", TRUTH["a1"])
    result = evaluate(predictions["labels"], truths["labels"], "--json")
    assert any("a9.tif" in note for note in json.loads(result.stdout)["notes"])


@pytest.mark.parametrize("option", ["--per-image", "--per-cell", "--matches", "--report"])
def test_files_that_no_earlier_call_wrote_are_not_replaced(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate, option: str
) -> None:
    before = truths["train.csv"].read_bytes()
    result = evaluate(predictions["submission"], truths["train.csv"], option, truths["train.csv"])
    assert result.exit_code == 2
    assert truths["train.csv"].read_bytes() == before
    again = [predictions["submission"], truths["train.csv"], option, truths["labels"] / "new"]
    assert [evaluate(*again).exit_code for _ in range(2)] == [0, 0]


@pytest.mark.parametrize(("arguments", "named"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_nothing_written(
    truths: dict[str, Path],
    predictions: dict[str, Path],
    evaluate: Evaluate,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    arguments: list[str],
    named: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("some.txt").write_text("a1\nx9\n", encoding="utf-8")
    Path("blank.txt").write_text("# nothing\n\n", encoding="utf-8")
    Path("overlap.csv").write_text("id,predicted\na1,1 50\na1,50 3\n", encoding="utf-8")
    Path("unknown.csv").write_text("id,predicted\nx,1 50\n", encoding="utf-8")
    Path("empty.csv").write_text("id,predicted\n", encoding="utf-8")
    places = {
        "TRUTH": truths["train.csv"], "SUBMISSION": predictions["submission"],
        "LABELS": truths["labels"],
    }  # fmt: skip
    table = [] if "--per-image" in arguments else ["--per-image", "scores.csv"]
    result = evaluate(*(places.get(each, each) for each in arguments), *table)
    assert result.stdout == ""
    refused_by(result, named)
    assert not list(tmp_path.glob("**/scores.csv"))


def test_the_score_of_an_empty_prediction_is_reported(tmp_path: Path, evaluate: Evaluate) -> None:
    """If most images hold no cells, predicting nothing scores high, so a reader is told."""
    truth = {"a1": cells(0, 0, 1), "e1": cells(0), "e2": cells(0)}
    write_coco_annotations(tmp_path / "truth.json", truth, {name: f"{name}.png" for name in truth})
    write_submission(tmp_path / "nothing.csv", dict.fromkeys(truth, cells(0)))
    told = answer(evaluate(tmp_path / "nothing.csv", tmp_path / "truth.json", "--json"))
    assert told["competition_map"] == told["nothing_predicted"] == pytest.approx(2 / 3)
    assert told["by_type"] == {"astro": 0}
    text = " ".join(evaluate(tmp_path / "nothing.csv", tmp_path / "truth.json").stdout.split())
    assert "2 of 3 images hold no annotated cells" in text
    assert "no prediction at all has a competition mAP of 0.6667" in text


def test_a_model_of_one_type_scores_nothing_on_other_types(
    tmp_path: Path, truths: dict[str, Path], evaluate: Evaluate
) -> None:
    write_submission(tmp_path / "nothing.csv", dict.fromkeys(TRUTH, cells(0)))
    told = answer(evaluate(tmp_path / "nothing.csv", truths["train.csv"], "--json"))
    assert told["competition_map"] == told["challenge_mix"] == told["nothing_predicted"] == 0


# ---- any metric, and tables to compute one's own -------------------------------------------------


def test_only_requested_metrics_are_printed(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    asked = ("--metrics", "f1@0.5,recall@0.75,counts")
    found = answer(evaluate(predictions["submission"], truths["train.csv"], *asked, "--json"))
    # 3 + 2 + 1 of 12 bars are found at 0.5; that of IoU 0.6 is not at 0.75. 7 are predicted.
    values = {key: each["value"] for key, each in found["metrics"].items()}
    assert values["f1@0.5"] == pytest.approx(2 * 6 / (12 + 7))
    assert values["recall@0.75"] == pytest.approx(5 / 12)
    assert values["counts.bias"] == pytest.approx((0 + 0 + 0 - 5) / 4)
    assert found["competition_map"] == pytest.approx(PLAIN)
    assert found["metrics"]["f1@0.5"]["by_type"]["cort"] == 1.0
    text = evaluate(predictions["submission"], truths["train.csv"], *asked).stdout
    assert f"{12 / 19:.3f}" in text
    assert "COCO" not in text


def test_the_standard_metrics_are_printed_unasked(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    text = evaluate(predictions["submission"], truths["train.csv"]).stdout
    assert f"F1 at IoU 0.5 {12 / 19:.3f}" in " ".join(text.split())


def test_all_metrics_of_every_format_of_truth(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate
) -> None:
    found = [
        answer(evaluate(predictions["labels"], truths[name], "--metrics", "all", "--json"))
        for name in ("train.csv", "coco", "labels")
    ]
    first = {key: each["value"] for key, each in found[0]["metrics"].items()}
    assert {"seg", "det", "aji", "boundary.mean", "recall-size@0.5.128"} <= set(first)
    for other in found[1:]:
        values = {key: each["value"] for key, each in other["metrics"].items()}
        assert values == pytest.approx(first)


def test_fields_are_drawn_together(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    (truths["data folder"] / "fields.csv").write_text("id,field\na1,x\nc1,x\nc2,y\ns1,y\n")
    both = (predictions["submission"], truths["data folder"], "--json")
    found = answer(evaluate(*both))
    assert (found["groups"], found["grouped_by"]) == (2, "fields.csv")
    # Two fields: each resample is one of three means.
    low, high = found["interval_95"]
    assert {round(low, 9), round(high, 9)} == {0.1, 0.8}
    (tmp_path / "own.csv").write_text("id,group\na1,w\nc1,w\nc2,w\ns1,w\n")
    one = answer(evaluate(*both, "--groups", tmp_path / "own.csv"))
    assert one["groups"] == 1
    assert one["interval_95"] == [None, None]
    assert one["metrics"]["f1@0.5"]["interval_95"] is None
    assert any("no intervals" in note for note in one["notes"])


def test_tables_of_cells_and_matches_reproduce_the_scores(
    truths: dict[str, Path], predictions: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    result = evaluate(predictions["submission"], truths["train.csv"], "--per-cell",
                      tmp_path / "cells.csv", "--matches", tmp_path / "matches.csv",
                      "--per-image", tmp_path / "images.csv")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    tables = {
        name: list(csv.DictReader((tmp_path / f"{name}.csv").read_text().splitlines()))
        for name in ("cells", "matches", "images")
    }
    matches = tables["matches"]
    hits = [row for row in matches if row["match_at_0.5"] == "1"]
    missed = [row for row in matches if not row["predicted_cell"]]
    false = [row for row in matches if not row["truth_cell"]]
    assert (len(hits), len(missed), len(false)) == (6, 6, 1)
    shorter = next(row for row in matches if row["image"] == "c2")
    assert (shorter["intersection"], shorter["truth_area"], shorter["iou"]) == (
        "90", "150", "0.600000",
    )  # fmt: skip
    cells = tables["cells"]
    kinds = {(row["set"], row["kind"]) for row in cells}
    assert kinds == {("truth", "found"), ("truth", "missed"), ("predicted", "found"),
                     ("predicted", "spurious")}  # fmt: skip
    assert sum(row["set"] == "truth" for row in cells) == 12
    assert {row["type"] for row in cells if row["image"] == "s1"} == {"shsy5y"}
    # Twenty of fifty columns are missing on one side: no boundary is farther away.
    of_c2 = [row for row in cells if row["image"] == "c2" and row["set"] == "truth"]
    assert 0 < float(of_c2[0]["boundary_mean"]) < float(of_c2[0]["boundary_p95"]) <= 20
    images = {row["id"]: row for row in tables["images"]}
    assert float(images["a1"]["f1@0.5"]) == pytest.approx(0.75)
    assert images["s1"]["pq.sq"] == ""


def test_partial_annotations_hold_for_every_metric(
    truths: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    """A crowd in COCO is a region nobody annotated: cells in it are neither matches nor errors."""
    content = json.loads(truths["coco"].read_text())
    number = next(i["id"] for i in content["images"] if "c1" in i["file_name"])
    crowd = {"size": list(SIZE), "counts": crowd_counts(cells(1, 5, 6))}
    content["annotations"].append(
        {"id": 999, "image_id": number, "category_id": 2, "iscrowd": 1, "segmentation": crowd,
         "area": 1, "bbox": [0, 0, 1, 1]}
    )  # fmt: skip
    truths["coco"].write_text(json.dumps(content))
    # Two true cells, and two more within the crowd.
    write_submission(tmp_path / "more.csv", {"c1": cells(1, 0, 1, 5, 6)})
    write_submission(tmp_path / "fewer.csv", {"c1": cells(1, 0, 1)})
    (tmp_path / "c1.txt").write_text("c1\n")
    values = [
        answer(evaluate(tmp_path / f"{name}.csv", truths["coco"], "--images", tmp_path / "c1.txt",
                        "--metrics", "all", "--json"))["metrics"]
        for name in ("more", "fewer")
    ]  # fmt: skip
    numbers = [{key: each["value"] for key, each in of.items()} for of in values]
    assert numbers[0] == numbers[1]
    assert numbers[0]["pq"] == 1.0
    assert numbers[0]["confluence.bias"] == 0


def crowd_counts(area: Instances) -> list[int]:
    """COCO's uncompressed, column-major counts of a mask."""
    mask = area.label_map().T.ravel() > 0
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(int)))
    counts: list[int] = np.diff(np.concatenate(([0], edges, [mask.size]))).tolist()
    return counts


def test_overlapping_predictions_have_the_metrics_that_accept_them(
    truths: dict[str, Path], evaluate: Evaluate, tmp_path: Path
) -> None:
    # Two overlapping masks on the first cell, which no submission may contain.
    (tmp_path / "overlap.csv").write_text("id,predicted\na1,1 50 61 50 121 50\na1,1 50 61 50\n")
    asked = (tmp_path / "overlap.csv", truths["train.csv"], "--metrics", "precision,coco")
    found = answer(evaluate(*asked, "--json"))
    assert found["metrics"]["precision@0.5"]["value"] == 0.5
    assert found["competition_map"] is None
    assert any("no cell types" in note for note in found["notes"])
    assert "0.500" in evaluate(*asked).stdout
    page = tmp_path / "r.html"
    assert evaluate(*asked, "--report", page).exit_code == 0
    assert "Precision at IoU 0.5" in page.read_text(encoding="utf-8")
    refused = evaluate(tmp_path / "overlap.csv", truths["train.csv"], "--metrics", "pq")
    assert refused.exit_code == 2
    refused_by(refused)


def test_an_unknown_metric_is_refused_before_reading(evaluate: Evaluate) -> None:
    result = evaluate("nowhere.csv", "nowhere", "--metrics", "f2")
    assert result.exit_code == 2
    assert "'f2'" in result.stderr
