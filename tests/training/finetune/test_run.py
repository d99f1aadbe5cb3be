"""A fine-tuning as users run it; the first stage needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from typer.testing import CliRunner

from bigkingxxl.cli.main import app
from bigkingxxl.data.dataset import open_dataset
from bigkingxxl.data.joined import open_datasets
from bigkingxxl.errors import FormatError, InputError
from bigkingxxl.inference.load_model import load_predictor
from bigkingxxl.inference.selection import select
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.training.finetune.files import write_start
from bigkingxxl.training.finetune.run import finetune
from bigkingxxl.training.finetune.settings_stage import Choice, common_size
from bigkingxxl.training.recipe import Recipe, load_recipe
from tests.refusals import refused, refused_by
from tests.training.finetune.data import bright_model, field, fields, save

EVENTS = ("begin", "progress", "note", "result")


def recipe(model: Path) -> Recipe:
    return load_recipe("finetune", ["method=unetr"], init=str(model))


def settings(model: Path, folder: Path, out: Path, **options: Any) -> dict[str, Any]:
    """The result of the first stage."""
    return finetune(recipe(model), open_dataset(folder), out, stage="settings", **options)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return bright_model(tmp_path / "start.onnx")


def test_settings_that_help_on_held_out_images_are_kept(model: Path, tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    folder = save(tmp_path / "d", fields(5))
    result = settings(model, folder, tmp_path / "run", report=events.append)
    assert (result["kept"], result["checked"], result["units"]) == ("settings", True, "images")
    assert result["settings"]["map"] > result["start"]["map"] + 0.3
    low, high = result["settings"]["gain_interval_95"]
    assert 0 < low <= result["settings"]["gain"] <= high
    assert result["moved"]["minimum_area"][1] > 25
    found = tmp_path / "run" / "model.onnx"
    assert result["model"] == str(found)
    assert resolve_model(tmp_path / "run") == found
    predictor, card = load_predictor(found, "cpu")
    assert set(card.operating_points.tuned_on) == set(open_dataset(folder).ids)
    new = save(tmp_path / "new", {"x": field(77)})
    cells = select(predictor.candidates(open_dataset(new).source("x")), card.operating_points)
    assert len(cells) == 9
    assert {each["event"] for each in events} <= set(EVENTS)
    assert (events[0]["event"], events[-1]["event"]) == ("begin", "result")
    overall = [each["overall"] for each in events if each["event"] == "progress"]
    assert overall == sorted(overall)
    assert overall[-1] == 1
    lines = (tmp_path / "run" / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == [each["event"] for each in events]
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["finetune"] == json.loads(json.dumps(result))


def test_the_start_is_unchanged_if_nothing_helps(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(4, flecks=0))
    result = settings(model, folder, tmp_path / "run")
    assert result["kept"] == "start"
    assert result["moved"] == {}
    assert (tmp_path / "run" / "model.onnx").read_bytes() == model.read_bytes()


def test_a_single_image_is_checked_on_its_regions(model: Path, tmp_path: Path) -> None:
    image, labels = (np.block([[field(s)[place] for s in row] for row in ((0, 1, 2), (3, 4, 5))])
                     for place in (0, 1))  # fmt: skip
    for number, (row, col) in enumerate((r, c) for r in (0, 96) for c in (0, 96, 192)):
        part = labels[row : row + 96, col : col + 96]
        part[part > 0] += 9 * number
    result = settings(model, save(tmp_path / "d", {"only": (image, labels)}), tmp_path / "run")
    assert result["units"] == "regions"
    assert result["kept"] == "settings"
    assert len(result["per_unit"]) == 4
    assert read_card(tmp_path / "run" / "model.onnx").operating_points.tuned_on == ("only",)
    assert any("one image" in note for note in result["notes"])


def test_too_few_images_keep_the_start_with_a_note(model: Path, tmp_path: Path) -> None:
    result = settings(model, save(tmp_path / "d", {"x": field(0, cells=2)}), tmp_path / "run")
    assert (result["checked"], result["kept"], result["settings"]) == (False, "start", None)
    assert "too few annotations" in result["sentence"]
    assert (tmp_path / "run" / "model.onnx").read_bytes() == model.read_bytes()


def test_images_without_cells_and_partial_annotation_take_part(model: Path, tmp_path: Path) -> None:
    given = {**fields(4), "none": field(9, cells=0), "skipped": field(8)}
    folder = save(tmp_path / "d", given)
    mask = np.zeros((96, 96), np.uint8)
    mask[:, 50:] = 255
    (folder / "ignore").mkdir()
    Image.fromarray(mask).save(folder / "ignore" / "f0.png")
    Image.fromarray(np.full_like(mask, 255)).save(folder / "ignore" / "skipped.png")
    result = settings(model, folder, tmp_path / "run")
    assert result["kept"] == "settings"
    assert result["per_unit"]["none"]["start"] == 0
    assert result["per_unit"]["none"]["settings"] == 1
    # Without any annotation, nothing can be scored.
    assert set(result["per_unit"]) == {*given} - {"skipped"}


def test_a_speck_does_not_affect_the_minimum_area(model: Path, tmp_path: Path) -> None:
    given = fields(4)
    for _, labels in given.values():
        labels[0, 0], labels[0, 95] = 70, 71
    result = settings(model, save(tmp_path / "d", given), tmp_path / "run")
    assert any("8 annotated cells" in note for note in result["notes"])
    assert result["moved"]["minimum_area"][1] > 25


def test_a_diameter_that_suits_all_images_is_stored_and_used(tmp_path: Path) -> None:
    start = bright_model(tmp_path / "start.onnx", median_diameter=12.0)
    folder = save(tmp_path / "d", fields(4))
    diameter = common_size(4 * [float(np.sqrt(4 * 144 / np.pi))])
    assert diameter == pytest.approx(13.54, rel=0.05)
    points = read_card(start).operating_points
    made = write_start(start, tmp_path, Choice(diameter, points), ("f0",))
    predictor, card = load_predictor(made, "cpu")
    source = open_dataset(folder).source("f0")
    assert predictor.candidates(source).scale_ratio == pytest.approx(12 / diameter)
    assert not predictor.is_unknown(source)
    source.cell_diameter = 24.0
    assert predictor.candidates(source).scale_ratio == pytest.approx(0.5)
    assert card.prediction.diameter == diameter


def test_several_data_sets_and_types_the_model_does_not_know(model: Path, tmp_path: Path) -> None:
    save(tmp_path / "one", {f"g{seed}": field(seed) for seed in (10, 11)})
    save(tmp_path / "two", fields(4))
    rows = "".join(f"f{place},{'ab'[place % 2]}\n" for place in range(4))
    (tmp_path / "two" / "cell_types.csv").write_text(f"id,cell_type\n{rows}")
    data = open_datasets([tmp_path / "one", tmp_path / "two"])
    assert set(data.type_names) >= {"a", "b"}
    result = finetune(recipe(model), data, tmp_path / "run", stage="settings")
    assert (result["kept"], result["images"]) == ("settings", 6)
    assert set(result["per_unit"]) == set(data.ids)


# ---- bad input -----------------------------------------------------------------------------------


def test_no_cells_raise_an_error(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(2, cells=0))
    with refused(InputError, file="d"):
        settings(model, folder, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_an_ignore_mask_of_another_size_is_refused(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(3))
    (folder / "ignore").mkdir()
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(folder / "ignore" / "f1.png")
    with pytest.raises(FormatError, match="f1"):
        settings(model, folder, tmp_path / "run")


def test_images_with_other_channels_are_refused(tmp_path: Path) -> None:
    start = bright_model(tmp_path / "start.onnx", image_channels=3)
    with refused(InputError, file="d", key="channels", found=1, expected=3):
        settings(start, save(tmp_path / "d", fields(3)), tmp_path / "run")


def test_a_finished_run_is_not_overwritten(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(3, flecks=0))
    settings(model, folder, tmp_path / "run")
    for resume in (False, True):
        with refused(InputError, file="run", key="--out"):
            settings(model, folder, tmp_path / "run", resume=resume)
    with refused(InputError, file="other", key="--resume"):
        settings(model, folder, tmp_path / "other", resume=True)


@pytest.mark.parametrize("left", ["recipe.json", ".training.lock"])
def test_a_run_that_was_killed_in_its_first_stage_begins_again(
    model: Path, tmp_path: Path, left: str
) -> None:
    folder, out = save(tmp_path / "d", fields(3, flecks=0)), tmp_path / "run"
    settings(model, folder, out)
    whole = (out / "model.onnx").read_bytes()
    for path in out.iterdir():
        path.unlink()
    (out / left).write_text('{"pid": 1}')
    settings(model, folder, out, resume=True)
    assert (out / "model.onnx").read_bytes() == whole


def test_an_image_that_occurs_twice_is_used_once(model: Path, tmp_path: Path) -> None:
    """Otherwise its copy would be trained on while it is kept back."""
    own = fields(3, flecks=0)
    folder = save(tmp_path / "d", {**own, "copy": own["f0"]})
    result = settings(model, folder, tmp_path / "run")
    assert result["images"] == 3
    assert any("copy" in note for note in result["notes"])


def test_a_start_of_another_method_is_refused_first(model: Path, tmp_path: Path) -> None:
    own = load_recipe("finetune", init=str(model))
    with refused(InputError, file=model, key="method", found="unetr"):
        finetune(own, open_dataset(save(tmp_path / "d", fields(3))), tmp_path / "run")
    assert not (tmp_path / "run").exists()


# ---- the command ---------------------------------------------------------------------------------


def command(model: Path, folder: Path, out: Path, *more: str) -> list[str]:
    return ["train", "finetune", "--data", str(folder), "--out", str(out), "--init", str(model),
            "--set", "method=unetr", "--stage", "settings", *more]  # fmt: skip


def test_the_first_stage_imports_no_torch(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(3))
    arguments = ["bigkingxxl", *command(model, folder, tmp_path / "run", "--json-lines")]
    heavy = ["torch", "torchvision", "timm", "lightning", "monai", "onnx"]
    code = (
        "import sys\nfrom bigkingxxl.cli.main import main\n"
        f"sys.argv = {arguments!r}\n"
        "try:\n    main()\nexcept SystemExit as end:\n    assert not end.code, end.code\n"
        f"assert not set({heavy!r}) & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("begin", "result")
    assert lines[-1]["kept"] == "settings"


def test_the_command_prints_the_result(model: Path, tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(4))
    plain = CliRunner().invoke(app, command(model, folder, tmp_path / "a"))
    assert plain.exit_code == 0, plain.output
    assert "gain +" in plain.stdout
    assert str(tmp_path / "a" / "model.onnx") in plain.stdout
    assert "100 %" in plain.stderr
    as_json = CliRunner().invoke(app, command(model, folder, tmp_path / "b", "--json", "--quiet"))
    assert json.loads(as_json.stdout)["kept"] == "settings"


@pytest.mark.parametrize(
    ("more", "key"),
    [
        (["--fold", "0"], "--fold"),
        (["--stage", "both"], "--stage"),
        (["--leave-out", "x"], "--leave-out"),
    ],
)
def test_conflicting_options_are_refused(
    more: list[str], key: str, model: Path, tmp_path: Path
) -> None:
    folder = save(tmp_path / "d", fields(3))
    result = CliRunner().invoke(app, [*command(model, folder, tmp_path / "run"), *more])
    refused_by(result, key=key)


def test_fine_tuning_options_are_refused_for_other_recipes(tmp_path: Path) -> None:
    folder = save(tmp_path / "d", fields(3))
    result = CliRunner().invoke(
        app,
        ["train", "compact", "--data", str(folder), "--json-lines", "--out", str(tmp_path / "o")],
    )
    refused_by(result, key="--json-lines", found="compact", expected="finetune")


def predicted(model: Path, folder: Path) -> Path:
    """Predict four images; return the folder of the run."""
    images = save(folder / "d", fields(4)) / "images"
    options = ["--model", model, "--out", folder / "cells", "--format", "labels", "--quiet"]
    done = CliRunner().invoke(app, ["predict", str(images), *map(str, options)])
    assert done.exit_code == 0, done.output
    return folder / "cells"


def test_of_a_run_only_corrected_images_are_learnt(model: Path, tmp_path: Path) -> None:
    cells = predicted(model, tmp_path)
    files = sorted((cells / "labels").glob("*.tif"))
    for path in files[:2]:
        labels = tifffile.imread(path)
        labels[labels == labels.max()] = 0
        tifffile.imwrite(path, labels)
    result = settings(model, cells, tmp_path / "run")
    assert result["images"] == 2
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["trained_on"] == [path.stem for path in files[:2]]
    assert any("2 images" in note for note in result["notes"])
    # Whoever starts from another model than the one that was corrected should know.
    assert not any(str(cells) in note for note in result["notes"])
    other = bright_model(tmp_path / "other.onnx", gain=7.0)
    result = settings(other, cells, tmp_path / "from_other")
    (note,) = [note for note in result["notes"] if str(cells) in note]
    assert str(model) in note
    assert str(other) in note


def test_a_run_that_nobody_corrected_is_refused(model: Path, tmp_path: Path) -> None:
    cells = predicted(model, tmp_path)
    with refused(InputError, file=cells, key="--data"):
        settings(model, cells, tmp_path / "run")
