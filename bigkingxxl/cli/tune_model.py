"""`bigkingxxl tune MODEL`: the thresholds and the augmentation of one model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bigkingxxl.cli.open_data import open_data
from bigkingxxl.cli.tune_options import TuneOptions, chosen_ids, of_its_types, on_blurred, where_to
from bigkingxxl.cli.tune_result import print_json, print_result

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial
    from bigkingxxl.evaluation.tuning import Tuner
    from bigkingxxl.evaluation.tuning_report import TuningResult
    from bigkingxxl.inference.predictor import Predictor
    from bigkingxxl.model_card import ModelCard


def tune_model(options: TuneOptions) -> None:
    """Tune a model, save the result in its file or a copy, and print it.

    Raises:
        InputError: The images are not of the model's cell types, or it was trained on them.
        ModelError: There is no such model.
    """
    from bigkingxxl.model_files import read_card, resolve_model

    path = resolve_model(options.model)
    target = where_to(options.model, path, options.out)
    card, annotated = read_card(path), open_data(options.data, options.skip_bad)
    ids, notes = of_its_types(card, annotated, chosen_ids(annotated, options.fold, options.folds))
    notes += check_unseen(path, card, annotated, ids, options.force)
    notes += on_blurred(annotated, ids)
    result, views, trial = ModelTuning(path, card, annotated, ids, options).run()
    notes += [] if result.note is None else [result.note]
    write_tuned(path, card, result, views, target)
    if options.as_json:
        told = {"tta": list(views), "tta_trial": None if trial is None else trial.as_dict()}
        print_json(path, target, {**result.as_dict(), **told}, notes)
    else:
        print_result(target, result, notes, trial)


@dataclass(frozen=True)
class ModelTuning:
    """The tuning of a model on images, with and without test-time augmentation.

    Attributes:
        path: The model file.
        card: Its card.
        annotated: The data set.
        ids: The ids of the images.
        options: The options of the command.
    """

    path: Path
    card: ModelCard
    annotated: Dataset
    ids: Sequence[str]
    options: TuneOptions

    def run(self) -> tuple[TuningResult, tuple[str, ...], AugmentationTrial | None]:
        """Tune the parameters; also return the augmentation that is kept, and its trial."""
        from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial, what_to_try

        views, other = what_to_try(self.options.asked, self.card.prediction.tta)
        trial = None
        with self.options.maps_folder() as folder:
            tuner, result = self._tuned(folder, views)
            if other:
                augmented, second = self._tuned(folder, other)
                trial = AugmentationTrial.of(
                    other, self.options.asked is not None, result.honest, second.honest,
                    tuner.groups, self._time_of((views, other)), self.options.seed,
                )  # fmt: skip
                if trial.is_on:
                    views, tuner, result = other, augmented, second
            if self.options.plots is not None:
                write_plots(self.options.plots, tuner, self.ids, result)
        return result, views, trial

    def _tuned(self, folder: Path, views: tuple[str, ...]) -> tuple[Tuner, TuningResult]:
        from bigkingxxl.evaluation.tuning_report import run_tuning

        tuner = self._tuner(folder, views)
        points = self.card.operating_points
        return tuner, run_tuning(tuner, self.ids, points, seed=self.options.seed)

    def _tuner(self, folder: Path, views: tuple[str, ...]) -> Tuner:
        """Run the network over the augmented images, ready to try parameters."""
        from bigkingxxl.cli.progress import track
        from bigkingxxl.data.groups import find_groups
        from bigkingxxl.evaluation.partial_annotation import counted
        from bigkingxxl.evaluation.prediction_cache import maps_folder, prediction_cache
        from bigkingxxl.evaluation.tuning import Tuner, types_to_tune
        from bigkingxxl.model_files import untuned_hash

        predictor, annotated = self._predictor(views), self.annotated
        place = maps_folder(folder, untuned_hash(self.path), predictor)
        seen = prediction_cache(predictor, annotated.source, place)
        for image_id in track(self.ids, label="predicting", quiet=self.options.quiet):
            seen.predict(image_id)
        ignored = {name: annotated.ignored(name) for name in self.ids}
        truth = {name: counted(annotated.instances(name), ignored[name]) for name in self.ids}
        types = {name: annotated.cell_type(name) for name in self.ids}
        types = types_to_tune(seen, self.card.type_names, types)
        return Tuner(seen, truth, types, find_groups(annotated).of, ignored=ignored)

    def _time_of(self, views: Sequence[tuple[str, ...]]) -> float:
        """Return the run time per image with the second views relative to the first."""
        from bigkingxxl.evaluation.augmentation_trial import seconds_ratio

        first, second = (self._predictor(each) for each in views)
        return seconds_ratio(first, second, self.annotated.source, self.ids)

    def _predictor(self, views: tuple[str, ...]) -> Predictor:
        from bigkingxxl.inference.load_model import load_predictor

        settings = self.card.prediction.changed(tta=views)
        return load_predictor(self.path, self.options.device, settings=settings)[0]


def write_tuned(
    path: Path, card: ModelCard, result: TuningResult, views: tuple[str, ...], target: Path
) -> None:
    """Write the model with its new operating points and augmentation."""
    from bigkingxxl.model_files import write_card

    prediction = card.prediction.changed(tta=views)
    points = result.points.model_dump()
    changed = card.changed(operating_points=points, prediction=prediction.model_dump())
    write_card(path, changed, target)


def check_unseen(
    path: Path, card: ModelCard, annotated: Dataset, ids: Sequence[str], force: bool
) -> list[str]:
    """Return sentences on the images that a reader should know, such as overlap with training.

    Raises:
        InputError: The model was trained on some of them, and `force` is False.
    """
    from bigkingxxl.errors import InputError

    known = annotated.among(card.trained_on)
    seen = [image_id for image_id in ids if image_id in known]
    if seen and not force:
        raise InputError(
            f"{path} was trained on {len(seen)} of these {len(ids)} images, the first is "
            f"'{seen[0]}': thresholds that are tuned on training images do not suit other images "
            "(choose a --fold that was not used for training, or add --force)",
            file=path,
            found=seen[0],
        )
    notes = [f"the model was trained on {len(seen)} of the images"] if seen else []
    chose = annotated.among(card.selected_on) & set(ids)
    if chose:
        notes.append(f"{len(chose)} of the images chose the model's checkpoint: in-sample for it")
    return notes


def write_plots(folder: Path, tuner: Tuner, ids: Sequence[str], result: TuningResult) -> None:
    """Write one PNG per parameter."""
    from bigkingxxl.evaluation.tuning_plots import parameter_plots
    from bigkingxxl.files import make_folder, write_bytes

    make_folder(folder)
    for parameter, picture in parameter_plots(tuner, ids, result.tuned).items():
        write_bytes(folder / f"{parameter}.png", picture)
