"""`bigkingxxl compare`: models, ensembles, runs and other tools' results on the same images."""

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

import bigkingxxl as bk
from bigkingxxl.cli import main
from bigkingxxl.evaluation.compared_methods import Cost, Taken
from bigkingxxl.evaluation.comparison import compare as compare_methods
from bigkingxxl.evaluation.grouping import groups_of
from bigkingxxl.evaluation.predictions import Predictions
from bigkingxxl.evaluation.truth import read_truth
from bigkingxxl.instances import Instances
from bigkingxxl.io.annotations.cellpose import write_seg
from bigkingxxl.io.annotations.coco import write_coco_annotations, write_results
from bigkingxxl.io.annotations.kaggle import write_annotations, write_submission
from bigkingxxl.io.annotations.label_images import write_label_image
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.simulate import simulate_field
from tests import blurred
from tests.evaluation.scenes import SIZE, cells_of, truth_and_found
from tests.refusals import refused_by
from tests.support import sentence_of

IDS = tuple(f"{number:03d}" for number in range(1, 7))
TYPES = ("astro", "cort")


def typed(cells: Instances, kind: int) -> Instances:
    kinds = np.full(len(cells), kind, np.int16)
    score = np.linspace(0.9, 0.4, len(cells)).astype(np.float32)
    return replace(cells, cell_type=kinds, type_names=TYPES, score=score)


TRUTH: dict[str, Instances] = {}
FOUND: dict[str, Instances] = {}
for place, name in enumerate(IDS):
    annotated, predicted = map(cells_of, truth_and_found(place))
    # Scored masks below 20 pixels do not count as cells.
    TRUTH[name] = replace(typed(annotated.take(annotated.areas() >= 20), place % 2), score=None)
    FOUND[name] = typed(predicted.take(predicted.areas() >= 20), place % 2)
BETTER = {name: typed(replace(cells, score=None), k % 2) for k, (name, cells) in
          enumerate(TRUTH.items())}  # fmt: skip
Compare = Callable[..., Result]


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """A Kaggle data set whose image names are digits."""
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    for name in IDS:
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(data / "train" / f"{name}.png")
    write_annotations(data / "train.csv", TRUTH)
    return data


@pytest.fixture
def compare(truth: Path) -> Compare:
    def run(*arguments: object) -> Result:
        return CliRunner().invoke(
            main.app, ["compare", "--truth", str(truth), *map(str, arguments)]
        )

    return run


def answer(result: Result) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def value(found: dict[str, Any], method: str, key: str) -> float | None:
    number: float | None = found["methods"][method]["metrics"][key]["value"]
    return number


def pooled(found: dict[str, Instances]) -> float:
    """F1 from counted cells, image by image."""
    each = [bk.score(TRUTH[name], found[name], "precision,recall") for name in IDS]
    hits = [(e["recall@0.5"] or 0) * len(TRUTH[n]) for e, n in zip(each, IDS, strict=True)]
    every = sum(len(TRUTH[name]) + len(found[name]) for name in IDS)
    return 2 * sum(hits) / every


def results_of(tool: str, folder: Path) -> list[str]:
    """What a tool writes for FOUND, and the options needed to read it."""
    folder.mkdir(parents=True, exist_ok=True)
    if tool == "submission":
        write_submission(folder / "results.csv", FOUND)
        return [f"tool={folder / 'results.csv'}"]
    if tool == "cellpose seg":
        for name, cells in FOUND.items():
            write_seg(folder / f"{name}_seg.npy", cells, folder / f"{name}.png")
    elif tool == "cellpose masks":
        for name, cells in FOUND.items():
            write_label_image(folder / f"{name}_cp_masks.png", cells)
    elif tool == "stardist":
        for name, cells in FOUND.items():
            write_label_image(folder / f"{name}.tif", cells)
    elif tool == "ultralytics":
        entries = coco_results(int, lambda kind: kind)
        (folder / "predictions.json").write_text(json.dumps(entries))
        return [f"tool={folder / 'predictions.json'}", "--categories", "0=astro,1=cort"]
    elif tool == "mmdetection":
        files = {name: f"val/{name}.png" for name in IDS}
        write_coco_annotations(folder / "val.json", TRUTH, files)
        content = json.loads((folder / "val.json").read_text())
        numbers = {Path(i["file_name"]).stem: i["id"] for i in content["images"]}
        kinds = {c["name"]: c["id"] for c in content["categories"]}
        entries = coco_results(numbers.__getitem__, lambda kind: kinds[TYPES[kind]])
        (folder / "results.segm.json").write_text(json.dumps(entries))
        return [f"tool={folder / 'results.segm.json'}", "--coco-file", str(folder / "val.json")]
    elif tool == "text ids":
        entries = coco_results(lambda name: f"images/{name}.png", lambda kind: kind + 1)
        (folder / "results.json").write_text(json.dumps(entries))
        return [f"tool={folder / 'results.json'}"]
    return [f"tool={folder}"]


def coco_results(
    image: Callable[[str], int | str], category: Callable[[int], int]
) -> list[dict[str, Any]]:
    """A results file without category names, as other tools write it."""
    return [
        {
            "image_id": image(name), "category_id": category(int(cells.cell_type[k])),
            "segmentation": {"size": list(cells.size), "counts": text},
            "score": float(np.asarray(cells.score)[k]),
        }
        for name, cells in FOUND.items() for k, text in enumerate(cells.coco_strings())
    ]  # fmt: skip


@pytest.mark.parametrize(
    "tool",
    ["submission", "cellpose seg", "cellpose masks", "stardist", "ultralytics", "mmdetection",
     "text ids"],
)  # fmt: skip
def test_every_tools_results_are_the_same_cells(
    tool: str, compare: Compare, tmp_path: Path
) -> None:
    write_results(tmp_path / "better.json", BETTER)
    tools = results_of(tool, tmp_path / "tool")
    found = answer(compare(f"better={tmp_path / 'better.json'}", *tools, "--json", "--metrics",
                           "f1,pq,counts,coco"))  # fmt: skip
    assert value(found, "better", "f1@0.5") == 1.0
    assert value(found, "tool", "f1@0.5") == pytest.approx(pooled(FOUND))
    gap = found["differences"]["tool"]["f1@0.5"]
    assert gap["value"] == pytest.approx((value(found, "tool", "f1@0.5") or 0) - 1)
    assert gap["interval_95"][0] < gap["value"] < gap["interval_95"][1] < 0
    assert found["methods"]["tool"]["missing"] == []
    assert found["images"] == 6


def test_the_tools_with_scores_have_the_same_coco_ap(compare: Compare, tmp_path: Path) -> None:
    write_results(tmp_path / "ours.json", FOUND)
    values = []
    for tool in ("ultralytics", "mmdetection", "text ids"):
        found = answer(compare(f"ours={tmp_path / 'ours.json'}",
                               *results_of(tool, tmp_path / tool.replace(" ", "_")), "--json",
                               "--metrics", "coco,pq-type"))  # fmt: skip
        values.append((value(found, "tool", "coco.ap"), value(found, "tool", "pq-type.cort")))
        assert values[-1] == (value(found, "ours", "coco.ap"), value(found, "ours", "pq-type.cort"))
        assert (values[-1][0] or 0) > 0
    assert len(set(values)) == 1


def test_each_tools_categories_and_coco_file_are_its_own(compare: Compare, tmp_path: Path) -> None:
    """Ultralytics counts from 0, MMDetection as its COCO file says, here in reverse."""
    of_ultralytics = results_of("ultralytics", tmp_path / "u")[0].replace("tool=", "yolo=")
    entries = coco_results(int, lambda kind: 9 - kind)
    (tmp_path / "other.json").write_text(json.dumps(entries))
    detected = results_of("mmdetection", tmp_path / "m")
    found = answer(compare(
        of_ultralytics, f"other={tmp_path / 'other.json'}", detected[0].replace("tool=", "mmdet="),
        "--categories", "yolo:0=astro,1=cort", "--categories", "other:9=astro,8=cort",
        "--coco-file", f"mmdet:{detected[2]}", "--metrics", "coco,pq-type", "--json",
    ))  # fmt: skip
    for key in ("coco.ap", "pq-type"):
        values = [value(found, name, key) for name in ("yolo", "other", "mmdet")]
        assert values[0] is not None
        assert values[0] == values[1] == values[2]
    swapped = answer(compare(
        of_ultralytics, f"other={tmp_path / 'other.json'}", "--categories", "yolo:0=astro,1=cort",
        "--categories", "9=cort,8=astro", "--metrics", "pq-type", "--json",
    ))  # fmt: skip
    assert value(swapped, "other", "pq-type") == 0


def test_coco_results_without_scores_rank_equally(compare: Compare, tmp_path: Path) -> None:
    scored = results_of("text ids", tmp_path / "s")[0]
    entries = json.loads(Path(scored.partition("=")[2]).read_text(encoding="utf-8"))
    for entry in entries:
        del entry["score"]
    (tmp_path / "silent.json").write_text(json.dumps(entries))
    (tmp_path / "equal.json").write_text(json.dumps([{**each, "score": 1} for each in entries]))
    found = answer(compare(
        scored, f"silent={tmp_path / 'silent.json'}", f"equal={tmp_path / 'equal.json'}",
        "--metrics", "map,coco", "--json",
    ))  # fmt: skip
    assert value(found, "silent", "map") == value(found, "equal", "map") != 0
    ap = value(found, "silent", "coco.ap")
    assert ap == value(found, "equal", "coco.ap") != value(found, "tool", "coco.ap")
    assert sum("no scores" in note for note in found["notes"]) == 1
    entries[0]["score"] = 0.5
    (tmp_path / "silent.json").write_text(json.dumps(entries))
    assert "score" in sentence_of(compare(scored, f"silent={tmp_path / 'silent.json'}"))


def test_a_submission_names_images_by_id_or_file(compare: Compare, tmp_path: Path) -> None:
    write_submission(tmp_path / "ids.csv", FOUND)
    files = {f"train/{name}.png" if k else f"{name}.png": FOUND[name] for k, name in enumerate(IDS)}
    write_submission(tmp_path / "files.csv", files)
    found = answer(compare(tmp_path / "ids.csv", tmp_path / "files.csv", "--json"))
    assert value(found, "ids", "map") == value(found, "files", "map") != 0
    assert found["methods"]["files"]["missing"] == []


def test_a_single_group_has_no_intervals_and_the_caption_says_so(
    compare: Compare, tmp_path: Path
) -> None:
    write_submission(tmp_path / "a.csv", FOUND)
    write_submission(tmp_path / "b.csv", BETTER)
    (tmp_path / "one.csv").write_text("id,group\n" + "".join(f"{name},x\n" for name in IDS))
    result = compare(tmp_path / "a.csv", tmp_path / "b.csv", "--groups", tmp_path / "one.csv",
                     "--table", tmp_path / "t.md")  # fmt: skip
    assert result.exit_code == 0, result.stderr
    text = (tmp_path / "t.md").read_text()
    assert "bootstrap" not in text
    assert "one group" in text
    assert " to " not in text


def test_types_count_only_if_every_method_predicts_them(compare: Compare, tmp_path: Path) -> None:
    write_results(tmp_path / "typed.json", BETTER)
    write_submission(tmp_path / "untyped.csv", TRUTH)
    found = answer(compare(tmp_path / "typed.json", tmp_path / "untyped.csv", "--json",
                           "--metrics", "coco,pq-type,pq"))  # fmt: skip
    assert value(found, "typed", "pq-type") is None
    assert value(found, "typed", "pq") == value(found, "untyped", "pq") == 1.0
    assert value(found, "untyped", "coco.ap") == pytest.approx(1.0)
    assert any("untyped" in note for note in found["notes"])


def test_the_table_is_the_same_in_every_format(compare: Compare, tmp_path: Path) -> None:
    write_results(tmp_path / "a_b.json", BETTER)
    tables = [tmp_path / f"t.{end}" for end in ("csv", "md", "tex")]
    options = [each for table in tables for each in ("--table", table)]
    result = compare(tmp_path / "a_b.json", *results_of("submission", tmp_path / "tool"),
                     "--metrics", "f1,counts", *options)  # fmt: skip
    assert result.exit_code == 0, result.stderr
    rows = list(csv.DictReader(tables[0].read_text().splitlines()))
    by_key = {(row["method"], row["metric"]): row for row in rows}
    f1 = float(by_key["tool", "f1@0.5"]["value"])
    assert f1 == pytest.approx(pooled(FOUND), abs=1e-6)
    assert float(by_key["tool", "f1@0.5"]["difference_from_first"]) == pytest.approx(f1 - 1)
    assert by_key["a_b", "f1@0.5"]["difference_from_first"] == ""
    assert ("tool", "counts.high") in by_key
    for text in (result.stdout, tables[1].read_text(), tables[2].read_text()):
        assert f"{f1:.3f}" in text
        assert f"{f1 - 1:+.3f}" in text
    assert r"a\_b" in tables[2].read_text()
    assert tables[2].read_text().count(r"\\") == 1 + 3
    assert "| method |" in tables[1].read_text()


def test_tables_keep_the_notes_without_which_they_mislead(compare: Compare, tmp_path: Path) -> None:
    write_submission(tmp_path / "a.csv", FOUND)
    write_submission(tmp_path / "part.csv", {IDS[0]: FOUND[IDS[0]]})
    tables = [tmp_path / f"t.{end}" for end in ("md", "tex")]
    options = [each for table in tables for each in ("--table", table)]
    result = compare(tmp_path / "a.csv", tmp_path / "part.csv", *options)
    assert result.exit_code == 0, result.stderr
    for table in tables:
        assert "part: 5 of 6 images" in table.read_text()


def test_images_that_results_leave_out(compare: Compare, tmp_path: Path) -> None:
    some = {name: TRUTH[name] for name in IDS[:4]}
    write_submission(tmp_path / "some.csv", some)
    write_submission(tmp_path / "every.csv", TRUTH)
    both = (tmp_path / "every.csv", tmp_path / "some.csv", "--json", "--metrics", "recall")
    found = answer(compare(*both))
    assert found["methods"]["some"]["missing"] == list(IDS[4:])
    share = sum(len(TRUTH[name]) for name in IDS[:4]) / sum(map(len, TRUTH.values()))
    assert value(found, "some", "recall@0.5") == pytest.approx(share)
    assert any("2 of 6 images" in note for note in found["notes"])
    common = answer(compare(*both, "--only-common"))
    assert (common["images"], value(common, "some", "recall@0.5")) == (4, 1.0)


def test_fields_are_drawn_together(compare: Compare, tmp_path: Path) -> None:
    write_submission(tmp_path / "a.csv", FOUND)
    write_submission(tmp_path / "b.csv", TRUTH)
    groups = tmp_path / "wells.csv"
    groups.write_text("id,group\n" + "".join(f"{name},w{k // 3}\n" for k, name in enumerate(IDS)))
    found = answer(compare(tmp_path / "a.csv", tmp_path / "b.csv", "--groups", groups, "--json"))
    assert (found["groups"], found["grouped_by"]) == (2, "wells.csv")


def test_models_are_run_timed_and_cached(tmp_path: Path) -> None:
    data = tmp_path / "data"
    (data / "train").mkdir(parents=True)
    fields = {f"f{seed}": simulate_field("cort", size=(128, 160), seed=seed) for seed in (1, 2)}
    cells = {
        name: Instances.from_crops(
            [(cell.row0, cell.col0) for cell in field.cells], [cell.mask for cell in field.cells],
            field.image.shape, type_names=("cort",),
        )
        for name, field in fields.items()
    }  # fmt: skip
    for name, field in fields.items():
        Image.fromarray(field.image).save(data / "train" / f"{name}.png")
    # Out of focus, so `predict` leaves out the cells that the model finds.
    discs = blurred.discs(60)
    smooth = blurred.seen(discs, 20).read()[0].astype(np.uint8)
    Image.fromarray(smooth).save(data / "train" / "smooth.png")
    cells["smooth"] = replace(Instances.from_label_map(discs), type_names=("cort",))
    write_annotations(data / "train.csv", cells)
    model = resolve_model("open")
    for folder, options in (("run", []), ("all", ["--keep-blurred"])):
        run = CliRunner().invoke(
            main.app,
            ["predict", str(data / "train"), "--model", str(model), "--out",
             str(tmp_path / folder), "--quiet", *options],
        )  # fmt: skip
        assert run.exit_code == 0, run.output
    command = ["compare", f"alone={model}", f"twice={model}+open", f"run={tmp_path / 'run'}",
               f"all={tmp_path / 'all'}", "--truth", str(data), "--json", "--metrics",
               "f1,counts,map", "--out", str(tmp_path / "kept")]  # fmt: skip
    found = answer(CliRunner().invoke(main.app, command))
    # The cells that `predict` wrote and those predicted here are the same.
    for metric in ("f1@0.5", "counts.bias", "map"):
        assert value(found, "alone", metric) == value(found, "run", metric)
    assert (value(found, "alone", "f1@0.5") or 0) > 0.2
    assert value(found, "all", "f1@0.5") != value(found, "run", "f1@0.5")
    assert ["smooth" in note for note in found["notes"] if note.startswith("alone: ")] == [True]
    assert value(found, "twice", "counts.bias") == value(found, "alone", "counts.bias")
    assert found["methods"]["run"]["seconds_per_image"] is None
    assert 0 < found["methods"]["alone"]["seconds_per_image"] < 60
    assert 5e7 < found["methods"]["alone"]["memory_bytes"] < 2e10
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "kept").rglob("*.npz")}
    assert len(times) == 6
    again = answer(CliRunner().invoke(main.app, command))
    assert times == {path: path.stat().st_mtime_ns for path in times}
    assert again["methods"]["alone"]["memory_bytes"] == found["methods"]["alone"]["memory_bytes"]
    assert set(read_card(model).trained_on).isdisjoint(fields)
    # Only an image that has changed is predicted again.
    Image.fromarray(np.zeros_like(fields["f1"].image)).save(data / "train" / "f1.png")
    changed = answer(CliRunner().invoke(main.app, command))
    assert value(changed, "alone", "f1@0.5") != value(found, "alone", "f1@0.5")
    for path, time in times.items():
        assert (path.stat().st_mtime_ns == time) == (path.stem != "f1")


BAD = {
    "one method": (["a.csv"], {"key": "METHODS", "found": 1}),
    "nothing there": (["a.csv", "nowhere"], {"file": "nowhere"}),
    "no such model": (["a.csv", "lost.onnx"], {"file": "lost.onnx"}),
    "two of one name": (["a.csv", "deep/a.csv"], {"key": "METHODS", "found": "a"}),
    "no metric": (["a.csv", "b=a.csv", "--metrics", "f3"], {"key": "metric", "found": "f3"}),
    "no kind of table": (["a.csv", "b=a.csv", "--table", "t.doc"], {"file": "t.doc"}),
    "categories": (["a.csv", "b=a.csv", "--categories", "astro"], {"key": "--categories"}),
    "a category twice": (["a.csv", "b=a.csv", "--categories", "0=a,0=b"], {"key": "--categories"}),
    "a table that is no earlier one": (["a.csv", "b=a.csv", "--table", "a.csv"], {"file": "a.csv"}),
    "a report that is none": (
        ["a.csv", "b=a.csv", "--report", "groups.csv"], {"file": "groups.csv"},
    ),
    "categories twice": (
        ["a.csv", "b=a.csv", "--categories", "b:0=a", "--categories", "b:0=c"],
        {"key": "--categories"},
    ),
    "categories of no method": (
        ["a.csv", "b=a.csv", "--categories", "c:0=a"], {"key": "--categories"},
    ),
    "unknown categories": (["a.csv", "kinds.json"], {"key": "category_id", "found": 0}),
    "unknown images": (["a.csv", "images.json"], {"key": "image_id", "found": "x"}),
    "a score that is not a number": (["a.csv", "scores.json"], {"key": "score"}),
    "two ways to narrow": (
        ["a.csv", "b=a.csv", "--fold", "0", "--only-common"], {"key": "--fold"},
    ),
    "a list of groups without images": (
        ["a.csv", "b=a.csv", "--groups", "groups.csv"], {"file": "groups.csv"},
    ),
    "other images' COCO file": (
        ["a.csv", "b=kinds.json", "--coco-file", "other.json"], {"file": "other.json"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "fields"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence(
    arguments: list[str], fields: dict[str, Any], compare: Compare, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    Path("deep").mkdir()
    write_submission(Path("a.csv"), FOUND)
    write_submission(Path("deep/a.csv"), FOUND)
    Path("groups.csv").write_text("id,group\nzzz,1\n", encoding="utf-8")
    entry = coco_results(str, lambda kind: kind)[0]
    Path("kinds.json").write_text(json.dumps([{**entry, "category_id": 0}]), encoding="utf-8")
    Path("images.json").write_text(
        json.dumps([{**entry, "image_id": "x", "category_id": 1}]), encoding="utf-8"
    )
    text = json.dumps([{**entry, "category_id": 1, "score": float("nan")}])
    Path("scores.json").write_text(text, encoding="utf-8")
    write_coco_annotations(Path("other.json"), {"q": TRUTH["001"]}, {"q": "q.png"})
    if "other.json" in arguments:
        Path("kinds.json").write_text(
            json.dumps([{**entry, "image_id": 1, "category_id": 1}]), encoding="utf-8"
        )
    refused_by(compare(*arguments), **fields)


def test_results_of_another_size_are_refused(compare: Compare, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    for name in IDS:
        write_label_image(tmp_path / "labels" / f"{name}.tif", Instances.empty((7, 9)))
    write_submission(tmp_path / "a.csv", FOUND)
    sentence = sentence_of(compare(tmp_path / "a.csv", tmp_path / "labels"))
    assert "9 x 7" in sentence
    assert "120 x 90" in sentence


def test_a_run_scores_like_its_model_except_for_coco_ranking(truth: Path) -> None:
    annotated = read_truth(truth)
    kept = {name: cells.take(np.flatnonzero(np.asarray(cells.score) >= 0.7))
            for name, cells in FOUND.items()}  # fmt: skip
    model = Taken(Predictions(kept, FOUND), Cost(1.0, 1.0, None, 6))
    run = Taken(Predictions(kept, kept, ranks_kept=True))
    others = {"model": model, "run": run}
    result = compare_methods(others, annotated, annotated.ids, groups_of(annotated), ["all"])
    first, second = (entry.evaluation.scores.as_dict() for entry in result.entries)
    differing = {key for key, each in first.items() if each["value"] != second[key]["value"]}
    assert {key.partition(".")[0] for key in differing} == {"coco"}
    assert sum("rank" in note for note in result.notes) == 1
    same = compare_methods({"a": run, "b": run}, annotated, annotated.ids, groups_of(annotated))
    assert not any("rank" in note for note in same.notes)
