"""Cross-validation: which model predicts which image, what is stored, and resuming."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bigkingxxl.candidates import Candidates
from bigkingxxl.data.dataset import Dataset, open_dataset
from bigkingxxl.data.split import read_folds, write_folds
from bigkingxxl.errors import InputError, Interrupted, ModelError, OutputError
from bigkingxxl.evaluation.competition_map import competition_map
from bigkingxxl.evaluation.predictions import read_predictions
from bigkingxxl.evaluation.truth import truth_of
from bigkingxxl.inference.detector_predictor import DetectorPredictor
from bigkingxxl.inference.ensemble_file import read_ensemble
from bigkingxxl.model_files import read_card, resolve_model
from bigkingxxl.training.folds import run as folds_run
from bigkingxxl.training.folds.run import FoldsResult, train_folds
from bigkingxxl.training.recipe import Recipe
from tests.refusals import refused
from tests.training.folds.conftest import IMAGES, Trained, write_spots


def scores(result: FoldsResult) -> dict[str, float | None]:
    return {row.name: row.scores["mAP"].value for row in result.rows}


def test_every_image_is_predicted_out_of_fold(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Each image loses as many cells as the number of its fold, whichever model predicts it."""
    seen_by: dict[str, int | None] = {}
    look = DetectorPredictor.candidates

    def watched(self: DetectorPredictor, source: Any) -> Candidates:
        seen_by[source.name] = self.limit
        return look(self, source)

    monkeypatch.setattr(DetectorPredictor, "candidates", watched)
    result = train_folds(recipe, spots, tmp_path / "run", count=3, device="cpu")
    assert trained == [0, 1, 2]
    fold_of = read_folds(tmp_path / "run" / "folds.csv")
    assert seen_by == {image_id: 100 + fold for image_id, fold in fold_of.items()}
    for fold, path in result.models.items():
        known = set(read_card(path).trained_on)
        assert known == {image_id for image_id in spots.ids if fold_of[image_id] != fold}
    # Two images are from one field, so they stay together.
    fields = spots.columns["field"]
    assert all(len({fold_of[i] for i in fields if fields[i] == name}) == 1
               for name in set(fields.values()))  # fmt: skip


def test_points_of_a_fold_were_tuned_on_the_images_of_the_others(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path
) -> None:
    result = train_folds(recipe, spots, tmp_path / "run", count=3, device="cpu")
    fold_of = read_folds(tmp_path / "run" / "folds.csv")
    for fold, path in result.models.items():
        points = read_card(path).operating_points
        assert set(points.tuned_on) == {i for i in spots.ids if fold_of[i] != fold}
        # Specks of 16 pixels were detected beside cells of 64: the area separates them.
        assert 16 < points.of("cell").select.minimum_area <= 64
    assert result.ensemble is not None
    joint = read_ensemble(result.ensemble)
    assert joint.points is not None
    assert set(joint.points.tuned_on) == set(spots.ids)
    assert list(joint.files) == [path.resolve() for path in result.models.values()]
    assert scores(result)["all"] == pytest.approx(1)


def test_the_scores_are_those_of_the_run(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path
) -> None:
    result = train_folds(recipe, spots, tmp_path / "run", count=3, device="cpu")
    found = read_predictions(result.run, truth_of(spots)).cells
    assert set(found) == set(spots.ids)
    truth = {image_id: spots.instances(image_id) for image_id in spots.ids}
    expected = competition_map(truth, found, {})
    rows = {row.name: row for row in result.rows}
    assert list(rows) == ["0", "1", "2", "all", "chose no epoch"]
    assert rows["all"].images == IMAGES
    assert rows["all"].cells == 5 * IMAGES
    assert rows["all"].scores["mAP"].value == pytest.approx(expected.mean)
    assert rows["chose no epoch"].images == IMAGES - 3
    for fold in range(3):
        assert rows[f"{fold}"].images == IMAGES / 3
    told = json.loads((tmp_path / "run" / "folds.json").read_text())
    assert told["scores"][3]["scores"]["mAP"]["value"] == pytest.approx(expected.mean)
    assert not (tmp_path / "run" / "seen").exists()


def test_an_interrupted_run_resumes_and_trains_no_fold_twice(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    out, whole = tmp_path / "run", train_folds(recipe, spots, tmp_path / "whole", count=3,
                                               device="cpu")  # fmt: skip
    trained.clear()
    train = vars(folds_run)["train"]

    def broken(*arguments: Any, **options: Any) -> Any:
        if options["fold"] == 2:
            raise Interrupted
        return train(*arguments, **options)

    monkeypatch.setattr(folds_run, "train", broken)
    with pytest.raises(Interrupted, match="--resume"):
        train_folds(recipe, spots, out, count=3, device="cpu")
    monkeypatch.setattr(folds_run, "train", train)
    with refused(InputError, file=out, key="--resume"):
        train_folds(recipe, spots, out, count=3, device="cpu")
    resumed = train_folds(recipe, spots, out, device="cpu", resume=True)
    assert trained == [0, 1, 2]
    assert scores(resumed) == scores(whole)
    # Interrupted while tuning or predicting: nothing is trained again.
    for step in ("tune_folds", "predict_out_of_fold", "score_folds"):
        done = getattr(folds_run, step)
        monkeypatch.setattr(folds_run, step, _power_cut)
        with pytest.raises(RuntimeError):
            train_folds(recipe, spots, out, device="cpu", resume=True)
        monkeypatch.setattr(folds_run, step, done)
        again = train_folds(recipe, spots, out, device="cpu", resume=True)
        assert scores(again) == scores(whole)
    assert trained == [0, 1, 2]
    for fold in range(3):
        name = f"fold{fold}/model.safetensors"
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def _power_cut(*_: Any, **__: Any) -> None:
    raise RuntimeError("power cut")


def test_a_fold_that_fails_leaves_the_others(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    train = vars(folds_run)["train"]

    def failing(*arguments: Any, **options: Any) -> Any:
        if options["fold"] == 1:
            raise RuntimeError("no memory")
        return train(*arguments, **options)

    monkeypatch.setattr(folds_run, "train", failing)
    result = train_folds(recipe, spots, tmp_path / "run", count=3, device="cpu")
    assert list(result.models) == [0, 2]
    assert "no memory" in result.failed[1]
    assert [row.name for row in result.rows][:3] == ["0", "2", "all"]
    assert {row.name: row.images for row in result.rows}["all"] == IMAGES * 2 / 3
    assert result.ensemble is not None
    assert len(read_ensemble(result.ensemble).files) == 2
    monkeypatch.setattr(folds_run, "train", train)
    whole = train_folds(recipe, spots, tmp_path / "run", device="cpu", resume=True)
    assert trained == [0, 2, 1]
    assert not whole.failed
    assert {row.name: row.images for row in whole.rows}["all"] == IMAGES


def test_all_folds_failing_and_a_full_disk_end_it(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(folds_run, "train", _power_cut)
    with refused(InputError, file="run"):
        train_folds(recipe, spots, tmp_path / "run", count=3, device="cpu")

    def full(*_: Any, **__: Any) -> None:
        raise OutputError("the disk is full")

    monkeypatch.setattr(folds_run, "train", full)
    with pytest.raises(OutputError):
        train_folds(recipe, spots, tmp_path / "other", count=3, device="cpu")


def test_a_resumed_run_refuses_other_settings_or_folds(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    train_folds(recipe, spots, out, count=3, device="cpu")
    with refused(InputError, file=out, key="seed", found=1, expected=0):
        train_folds(recipe.changed(seed=1), spots, out, device="cpu", resume=True)
    with refused(InputError, file="folds.csv", key="--folds", found=2):
        train_folds(recipe, spots, out, count=2, device="cpu", resume=True)
    assert trained == [0, 1, 2]


def test_the_split_of_the_data_set_or_of_a_file(
    recipe: Recipe, spots: Dataset, trained: Trained, tmp_path: Path
) -> None:
    own = {image_id: number // 6 for number, image_id in enumerate(spots.ids)}
    write_folds(spots.root / "folds.csv", own)
    divided = train_folds(recipe, spots, tmp_path / "own", device="cpu")
    assert any("divides 6 groups" in note for note in divided.notes)
    with pytest.raises(ModelError, match=r"folds\.ensemble"):
        resolve_model(tmp_path / "own")
    assert read_folds(tmp_path / "own" / "folds.csv") == own
    other = {image_id: number % 2 for number, image_id in enumerate(spots.ids)}
    write_folds(tmp_path / "other.csv", other)
    result = train_folds(
        recipe, spots, tmp_path / "of", folds_file=tmp_path / "other.csv", device="cpu"
    )
    assert not any("divides" in note for note in result.notes)
    assert read_folds(tmp_path / "of" / "folds.csv") == other
    train_folds(recipe, spots, tmp_path / "new", count=3, device="cpu")
    assert set(read_folds(tmp_path / "new" / "folds.csv").values()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("count", "images", "fields"), [(5, 4, 4), (5, 8, 3), (13, 12, 12), (1, 12, 12), (0, 12, 12)]
)
def test_folds_that_cannot_be(
    recipe: Recipe, trained: Trained, tmp_path: Path, count: int, images: int, fields: int
) -> None:
    data = open_dataset(write_spots(tmp_path / "few", images, fields))
    with refused(InputError, key="--folds", found=count):
        train_folds(recipe, data, tmp_path / "run", count=count, device="cpu")
    assert not trained
    assert not (tmp_path / "run").exists()


def test_a_fold_without_cells_is_refused_before_anything_is_trained(
    recipe: Recipe, trained: Trained, tmp_path: Path
) -> None:
    data = open_dataset(write_spots(tmp_path / "data", empty=(0, 6)))
    without = {image_id: int(image_id in ("image00", "image06")) for image_id in data.ids}
    write_folds(tmp_path / "folds.csv", without)
    with refused(InputError, key="--fold", found=1):
        train_folds(recipe, data, tmp_path / "run", folds_file=tmp_path / "folds.csv", device="cpu")
    assert not trained


def test_a_run_killed_before_its_first_checkpoint_begins_again(
    recipe: Recipe, spots: Dataset, tmp_path: Path, trained: Trained
) -> None:
    out = tmp_path / "run"
    with refused(InputError, file=out, key="--resume"):
        train_folds(recipe, spots, out, count=2, resume=True)
    out.mkdir()
    (out / "recipe.json").touch()
    assert set(train_folds(recipe, spots, out, count=2, resume=True).models) == {0, 1}
