"""`bigkingxxl tune X.ensemble`: weights and thresholds of several models as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bigkingxxl.cli import json_output
from bigkingxxl.cli.open_data import open_data
from bigkingxxl.cli.scores import plain_table, wide_console
from bigkingxxl.cli.tune_options import TuneOptions, chosen_ids, of_its_types, on_blurred

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial
    from bigkingxxl.evaluation.ensemble_tuning import EnsembleResult
    from bigkingxxl.inference.ensemble_file import Members


def tune_ensemble(options: TuneOptions) -> None:
    """Tune an ensemble file, save the result in it or in a copy, and print it.

    Raises:
        InputError: An option does not apply to ensembles, or an image cannot be used.
        ModelError: A member is missing.
    """
    from bigkingxxl.inference.ensemble_file import read_ensemble, write_ensemble
    from bigkingxxl.inference.load_ensemble import card_of

    path = Path(options.model)
    target = options.out or path
    _check_options(options, target)
    members, annotated = read_ensemble(path), open_data(options.data, options.skip_bad)
    ids, notes = of_its_types(
        card_of(members), annotated, chosen_ids(annotated, options.fold, options.folds)
    )
    notes += on_blurred(annotated, ids)
    result, tta, trial = EnsembleTuning(members, annotated, ids, options).run()
    if result.out_of_fold:
        notes.append(
            f"{result.out_of_fold} of {len(ids)} images count with the members that did not learn "
            "from them, out of fold"
        )
    write_ensemble(target, members.files, result.weights, points=result.points, tta=tta)
    if options.as_json:
        from bigkingxxl.provenance import provenance

        json_output.print_json({
            **provenance(), "ensemble": str(path), "written": str(target), **result.as_dict(),
            "tta": None if tta is None else list(tta),
            "tta_trial": None if trial is None else trial.as_dict(), "notes": notes,
        })  # fmt: skip
    else:
        print_result(target, members, result, trial, notes)


def _check_options(options: TuneOptions, target: Path) -> None:
    from bigkingxxl.errors import InputError
    from bigkingxxl.inference.ensemble_file import is_ensemble

    if options.plots is not None:
        raise InputError(
            "--plots shows the parameters of one model: leave it out for an ensemble", key="--plots"
        )
    if not is_ensemble(target):
        raise InputError(
            f"--out is {target}, expected a name that ends in .ensemble",
            file=target,
            key="--out",
            expected=".ensemble",
        )


@dataclass(frozen=True)
class EnsembleTuning:
    """The tuning of an ensemble on images, with and without test-time augmentation.

    Attributes:
        members: The models, their weights and their settings.
        annotated: The data set.
        ids: The ids of the images.
        options: The options of the command.
    """

    members: Members
    annotated: Dataset
    ids: Sequence[str]
    options: TuneOptions

    def run(self) -> tuple[EnsembleResult, tuple[str, ...] | None, AugmentationTrial | None]:
        """Tune weights and thresholds; also return the augmentation that is kept, and its trial."""
        from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial, what_to_try
        from bigkingxxl.inference.load_ensemble import card_of

        asked, members = self.options.asked, self.members
        own = members.tta or card_of(members).prediction.tta
        views, other = what_to_try(asked, own)
        tta, trial = (members.tta if asked is None else asked), None
        with self.options.maps_folder() as folder:
            first = members.changed(tta=views) if asked is not None else members
            result = self._tuned(first, folder)
            if other:
                augmented = members.changed(tta=other)
                second = self._tuned(augmented, folder)
                trial = AugmentationTrial.of(
                    other, asked is not None, result.crossfitted, second.crossfitted,
                    self._groups(), self._time_of(first, augmented), self.options.seed,
                )  # fmt: skip
                if trial.is_on:
                    tta, result = other, second
        return result, tta, trial

    def _groups(self) -> dict[str, str]:
        from bigkingxxl.data.groups import find_groups

        return dict(find_groups(self.annotated).of)

    def _tuned(self, members: Members, folder: Path) -> EnsembleResult:
        """Run the members on the images, then tune weights and thresholds."""
        from bigkingxxl.cli.progress import track
        from bigkingxxl.evaluation.ensemble_tuning import EnsembleTuner
        from bigkingxxl.inference.load_ensemble import card_of

        tuner = EnsembleTuner(
            members, card_of(members), self.annotated, self.ids, self._groups(), folder,
            self.options.device, force=self.options.force,
        )  # fmt: skip
        for image_id in track(self.ids, label="predicting", quiet=self.options.quiet):
            tuner.candidates(image_id, members.weights)
        return tuner.run(self.options.seed)

    def _time_of(self, first: Members, second: Members) -> float:
        """Return the run time per image of the second ensemble relative to the first."""
        from bigkingxxl.evaluation.augmentation_trial import seconds_ratio
        from bigkingxxl.inference.load_ensemble import load_ensemble

        one, other = (
            load_ensemble(
                each.files, self.options.device, weights=each.weights, changes=each.changes
            )[0]
            for each in (first, second)
        )
        return seconds_ratio(one, other, self.annotated.source, self.ids)


def print_result(
    target: Path, members: Members, result: EnsembleResult, trial: AugmentationTrial | None,
    notes: Sequence[str],
) -> None:  # fmt: skip
    """Print a line per member, the gain, and the output file."""
    console = wide_console()
    table = plain_table("", "weight before", "tuned", "kept")
    for file, *weights in zip(members.files, members.weights, result.tried, result.weights,
                              strict=True):  # fmt: skip
        table.add_row(f"{file}", *(f"{each:g}" for each in weights))
    console.print(table)
    console.print(f"mAP before: {result.start.mean:.4f}.")
    stay = "" if result.keeps_thresholds else "; they stay as they were"
    console.print(f"Thresholds, tuned on the other half: {result.thresholds}{stay}.")
    if result.with_weights is None:
        console.print("Weights: no change gained clearly, so they are kept.")
    else:
        stay = "" if result.keeps_weights else "; they stay as they were"
        console.print(
            f"Weights and thresholds, tuned on the other half: {result.with_weights}{stay}."
        )
    console.print(
        f"Cross-fitted mAP of what is kept: {result.crossfitted.mean:.4f}, each image under "
        "weights and thresholds that were chosen on others."
    )
    if trial is not None:
        console.print(str(trial))
    for note in notes:
        console.print(f"Note: {note}.")
    console.print(f"{target}: tuned on {len(result.points.tuned_on)} images")
