"""`bigkingxxl tune X.ensemble`: weights and thresholds of several models as one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bigkingxxl.cli import json_output
from bigkingxxl.cli.open_data import open_data
from bigkingxxl.cli.scores import plain_table, wide_console

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial
    from bigkingxxl.evaluation.ensemble_tuning import EnsembleResult
    from bigkingxxl.inference.ensemble_file import Members


def tune_ensemble(
    path: Path, data: Path, target: Path, *, fold: int | None, folds: Path | None,
    maps: Path | None, asked: tuple[str, ...] | None, force: bool, device: str, seed: int,
    as_json: bool, skip_bad: bool, quiet: bool,
) -> None:  # fmt: skip
    """Tune an ensemble file and print the gain.

    Args:
        path: The ensemble file.
        data: The data set.
        target: The file to write.
        fold: The fold.
        folds: The split.
        maps: The cache of maps.
        asked: The requested augmentation, or None.
        force: Whether to use images on which members were trained.
        device: The device.
        seed: The random seed.
        as_json: Whether to print JSON.
        skip_bad: Whether to skip bad images.
        quiet: Whether to show no progress.
    """
    from tempfile import TemporaryDirectory

    from bigkingxxl.cli.tune import chosen_ids, of_its_types
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial, what_to_try
    from bigkingxxl.inference.ensemble_file import read_ensemble, write_ensemble
    from bigkingxxl.inference.load_ensemble import card_of

    _check_target(target)
    members, annotated = read_ensemble(path), open_data(data, skip_bad)
    card = card_of(members)
    ids, notes = of_its_types(card, annotated, chosen_ids(annotated, fold, folds))
    views, other = what_to_try(asked, members.tta or card.prediction.tta)
    tta, trial = (members.tta if asked is None else asked), None
    with TemporaryDirectory(prefix="bigkingxxl-") as temporary:
        place = maps or Path(temporary)

        def tuned(own: Members) -> EnsembleResult:
            return _tuned(own, annotated, ids, place, device, force, seed, quiet)

        first = members.changed(tta=views) if asked is not None else members
        result = tuned(first)
        if other:
            augmented = members.changed(tta=other)
            second = tuned(augmented)
            seconds = _time_of(first, augmented, annotated, ids, device)
            trial = AugmentationTrial.of(
                other, asked is not None, result.crossfitted, second.crossfitted,
                _groups(annotated), seconds, seed,
            )  # fmt: skip
            if trial.is_on:
                tta, result = other, second
    if result.out_of_fold:
        notes.append(
            f"{result.out_of_fold} of {len(ids)} images count with the members that did not learn "
            "from them, out of fold"
        )
    write_ensemble(target, members.files, result.weights, points=result.points, tta=tta)
    if as_json:
        from bigkingxxl.provenance import provenance

        json_output.print_json({
            **provenance(), "ensemble": str(path), "written": str(target), **result.as_dict(),
            "tta": None if tta is None else list(tta),
            "tta_trial": None if trial is None else trial.as_dict(), "notes": notes,
        })  # fmt: skip
    else:
        print_result(target, members, result, trial, notes)


def _check_target(target: Path) -> None:
    from bigkingxxl.errors import InputError
    from bigkingxxl.inference.ensemble_file import is_ensemble

    if not is_ensemble(target):
        raise InputError(
            f"--out is {target}, expected a name that ends in .ensemble",
            file=target,
            key="--out",
            expected=".ensemble",
        )


def _groups(annotated: Dataset) -> dict[str, str]:
    from bigkingxxl.data.groups import find_groups

    return dict(find_groups(annotated).of)


def _tuned(
    members: Members, annotated: Dataset, ids: Sequence[str], place: Path, device: str,
    force: bool, seed: int, quiet: bool,
) -> EnsembleResult:  # fmt: skip
    """Run the members on the images, then tune weights and thresholds."""
    from bigkingxxl.cli.progress import track
    from bigkingxxl.evaluation.ensemble_tuning import EnsembleTuner
    from bigkingxxl.inference.load_ensemble import card_of

    card = card_of(members)
    tuner = EnsembleTuner(members, card, annotated, ids, _groups(annotated), place, device,
                          force=force)  # fmt: skip
    for image_id in track(ids, label="predicting", quiet=quiet):
        tuner.candidates(image_id, members.weights)
    return tuner.run(seed)


def _time_of(
    first: Members, second: Members, annotated: Dataset, ids: Sequence[str], device: str
) -> float:
    from bigkingxxl.evaluation.augmentation_trial import seconds_ratio
    from bigkingxxl.inference.load_ensemble import load_ensemble

    one, other = (
        load_ensemble(each.files, device, weights=each.weights, changes=each.changes)[0]
        for each in (first, second)
    )
    return seconds_ratio(one, other, annotated.source, ids)


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
