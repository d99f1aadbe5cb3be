"""`bigkingxxl tune`: a model's operating points, chosen on annotated images and saved in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bigkingxxl.cli import json_output
from bigkingxxl.cli.json_output import AsJson
from bigkingxxl.cli.open_data import SkipBad, open_data
from bigkingxxl.settings import LARGEST_SEED

if TYPE_CHECKING:
    from bigkingxxl.data.base import Dataset
    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial
    from bigkingxxl.evaluation.tuning import Tuner
    from bigkingxxl.evaluation.tuning_report import TuningResult, TypeResult
    from bigkingxxl.model_card import ModelCard


def tune(
    model: Annotated[
        str, typer.Argument(help="A model file, an ensemble's, or the name of a shipped model.")
    ],
    data: Annotated[Path, typer.Option(help="Annotated images, any known layout.")],
    fold: Annotated[
        int | None, typer.Option(min=0, help="Tune on the validation images of this fold.")
    ] = None,
    folds: Annotated[Path | None, typer.Option(help="The split, if not DATA/folds.csv.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a tuned copy, and leave the model as it is.")
    ] = None,
    plots: Annotated[
        Path | None, typer.Option(help="Folder for plots of the mAP over each parameter.")
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder that keeps the network's output for another call.")
    ] = None,
    tta: Annotated[
        str,
        typer.Option(
            help="Test-time augmentation: turn on flips, turns, scales, mirror ('a,b') or none; "
            "'auto' tries flips and keeps them if they are surely worth it."
        ),
    ] = "auto",
    force: Annotated[
        bool, typer.Option("--force", help="Allow images that the model was trained on.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    seed: Annotated[
        int,
        typer.Option(min=0, max=LARGEST_SEED, help="Seed of the halves of the cross-fitted score."),
    ] = 0,
    as_json: AsJson = False,
    skip_bad: SkipBad = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Choose a model's thresholds on annotated images, for each cell type.

    The network runs once per image. Then the command tries other values of each decoding and
    selection parameter. A parameter changes only where the gain is clear, and a cell type keeps its
    new parameters only where parameters tuned on other images help, too (the cross-fitted gain).
    The result is saved in the model file, together with the ids of the images, and predict uses
    it.

    The command prints the gain of test-time augmentation, as a difference of cross-fitted scores,
    and its cost. Augmentation is turned on if --tta names it, or if the gain is larger than chance
    explains.

    For an ensemble (.ensemble), the weights of the models are tuned, too. New weights are kept
    only if they raise the score on images that they were not chosen on. For each image, only the
    models that were not trained on it are used. The models of a cross-validation can therefore be
    tuned on all of its images.
    """
    from tempfile import TemporaryDirectory

    from bigkingxxl.evaluation.augmentation_trial import AugmentationTrial, what_to_try
    from bigkingxxl.evaluation.tuning_report import run_tuning
    from bigkingxxl.inference.ensemble_file import is_ensemble
    from bigkingxxl.model_files import read_card, resolve_model, write_card

    asked = asked_views(tta)
    if is_ensemble(model):
        from bigkingxxl.cli.tune_ensemble import tune_ensemble

        refuse_for_ensembles(plots)
        tune_ensemble(Path(model), data, out or Path(model), fold=fold, folds=folds, maps=maps,
                      asked=asked, force=force, device=device, seed=seed, as_json=as_json,
                      skip_bad=skip_bad, quiet=quiet)  # fmt: skip
        return
    path = resolve_model(model)
    target = where_to(model, path, out)
    card, annotated = read_card(path), open_data(data, skip_bad)
    ids, notes = of_its_types(card, annotated, chosen_ids(annotated, fold, folds))
    notes += check_unseen(path, card, annotated, ids, force)
    views, other = what_to_try(asked, card.prediction.tta)
    trial = None
    with TemporaryDirectory(prefix="bigkingxxl-") as temporary:
        place = maps or Path(temporary)
        tuner = make_tuner(path, card, annotated, ids, place, device, quiet, views)
        result = run_tuning(tuner, ids, card.operating_points, seed=seed)
        if other:
            augmented = make_tuner(path, card, annotated, ids, place, device, quiet, other)
            second = run_tuning(augmented, ids, card.operating_points, seed=seed)
            seconds = time_of_views(path, card, annotated, ids, device, (views, other))
            trial = AugmentationTrial.of(
                other, asked is not None, result.honest, second.honest, tuner.groups, seconds, seed
            )
            if trial.is_on:
                views, tuner, result = other, augmented, second
        if plots is not None:
            write_plots(plots, tuner, ids, result)
    notes += [] if result.note is None else [result.note]
    prediction = card.prediction.changed(tta=views)
    write_card(path, card.changed(operating_points=result.points.model_dump(),
                                  prediction=prediction.model_dump()), target)  # fmt: skip
    if as_json:
        told = {"tta": list(views), "tta_trial": None if trial is None else trial.as_dict()}
        print_json(path, target, {**result.as_dict(), **told}, notes)
    else:
        print_result(target, result, notes, trial)


def asked_views(tta: str) -> tuple[str, ...] | None:
    """Parse the test-time augmentation; None if the command is to choose it.

    Raises:
        InputError: It is unknown.
    """
    from bigkingxxl.evaluation.augmentation_trial import AUTO
    from bigkingxxl.test_time_augmentation import asked_augmentations

    return None if tta == AUTO else asked_augmentations(tta, "--tta")


def refuse_for_ensembles(plots: Path | None) -> None:
    """Refuse options that apply to single models only.

    Raises:
        InputError: Plots are requested.
    """
    from bigkingxxl.errors import InputError

    if plots is not None:
        raise InputError(
            "--plots shows the parameters of one model: leave it out for an ensemble", key="--plots"
        )


def time_of_views(
    path: Path, card: ModelCard, annotated: Dataset, ids: Sequence[str], device: str,
    views: Sequence[tuple[str, ...]],
) -> float:  # fmt: skip
    """Return the run time per image with the second views relative to the first."""
    from bigkingxxl.evaluation.augmentation_trial import seconds_ratio
    from bigkingxxl.inference.load_model import load_predictor

    first, second = (
        load_predictor(path, device, settings=card.prediction.changed(tta=each))[0]
        for each in views
    )
    return seconds_ratio(first, second, annotated.source, ids)


def where_to(model: str, path: Path, out: Path | None) -> Path:
    """Return the file to write: the model's own, or a copy.

    Raises:
        InputError: The model is shipped and no path for its copy is given, or the copy has another
            suffix.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.shipped_models import shipped_model

    if out is None:
        if shipped_model(model) is not None:
            raise InputError(
                f"'{model}' is a shipped model: name a file for the tuned copy with --out",
                key="--out",
                found=model,
            )
        return path
    if out.suffix != path.suffix:
        raise InputError(
            f"--out is {out}, expected a name that ends in {path.suffix} as the model",
            file=out,
            key="--out",
            expected=path.suffix,
        )
    return out


def chosen_ids(annotated: Dataset, fold: int | None, folds: Path | None) -> tuple[str, ...]:
    """Return the images of a fold, or all of them.

    Raises:
        InputError: A split is given without a fold, or there is no such fold.
    """
    from bigkingxxl.data.split import fold_ids
    from bigkingxxl.errors import InputError

    if fold is None:
        if folds is not None:
            raise InputError(
                "--folds names a split: choose the fold to tune on with --fold", key="--fold"
            )
        return annotated.ids
    return fold_ids(annotated, fold, folds_file=folds)[1]


def of_its_types(
    card: ModelCard, annotated: Dataset, ids: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """Return the images of the model's cell types, and sentences on the others.

    Raises:
        InputError: There are none.
    """
    from bigkingxxl.errors import InputError
    from bigkingxxl.evaluation.tuning import ids_to_tune

    types = {image_id: annotated.cell_type(image_id) for image_id in ids}
    own = ids_to_tune(card.type_names, annotated.type_names, types)
    if len(own) == len(ids):
        return own, []
    names = ", ".join(card.type_names)
    if not own:
        raise InputError(
            f"none of {len(ids)} images shows cells of what the model is made for ({names})",
            key="cell_types",
            expected=names,
        )
    left = len(ids) - len(own)
    return own, [f"{left} of {len(ids)} images are left out: the model is made for {names}"]


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


def make_tuner(
    path: Path, card: ModelCard, annotated: Dataset, ids: Sequence[str], folder: Path,
    device: str, quiet: bool, views: tuple[str, ...],
) -> Tuner:  # fmt: skip
    """Run the network over the augmented images, ready to try parameters."""
    from bigkingxxl.cli.progress import track
    from bigkingxxl.data.groups import find_groups
    from bigkingxxl.evaluation.partial_annotation import counted
    from bigkingxxl.evaluation.prediction_cache import maps_folder, prediction_cache
    from bigkingxxl.evaluation.tuning import Tuner, types_to_tune
    from bigkingxxl.inference.load_model import load_predictor
    from bigkingxxl.model_files import untuned_hash

    predictor, _ = load_predictor(path, device, settings=card.prediction.changed(tta=views))
    place = maps_folder(folder, untuned_hash(path), predictor)
    seen = prediction_cache(predictor, annotated.source, place)
    for image_id in track(ids, label="predicting", quiet=quiet):
        seen.predict(image_id)
    ignored = {image_id: annotated.ignored(image_id) for image_id in ids}
    truth = {
        image_id: counted(annotated.instances(image_id), ignored[image_id]) for image_id in ids
    }
    types = {image_id: annotated.cell_type(image_id) for image_id in ids}
    types = types_to_tune(seen, card.type_names, types)
    return Tuner(seen, truth, types, find_groups(annotated).of, ignored=ignored)


def write_plots(folder: Path, tuner: Tuner, ids: Sequence[str], result: TuningResult) -> None:
    """Write one PNG per parameter."""
    from bigkingxxl.evaluation.tuning_plots import parameter_plots
    from bigkingxxl.files import make_folder, write_bytes

    make_folder(folder)
    for parameter, picture in parameter_plots(tuner, ids, result.tuned).items():
        write_bytes(folder / f"{parameter}.png", picture)


def print_json(path: Path, target: Path, result: Mapping[str, Any], notes: Sequence[str]) -> None:
    """Print all results, for programs."""
    from bigkingxxl.provenance import provenance

    about = {**provenance(), "model": str(path), "written": str(target), "notes": notes}
    json_output.print_json({**about, **result})


def print_result(
    target: Path, result: TuningResult, notes: Sequence[str], trial: AugmentationTrial | None = None
) -> None:
    """Print one line per cell type, the gain of tuning, and the file written."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE, pad_edge=False)
    heads = ("", "images", "before", "tuned", "repainted", "cross-fitted gain", "parameters")
    for name in heads:
        table.add_column(name, justify="left" if name in ("", "parameters") else "right")
    for name, each in result.by_type.items():
        numbers = (f"{value:.4f}" for value in (each.before, each.after, each.repainted))
        gain = "-" if each.crossfitted_gain is None else f"{each.crossfitted_gain:+.4f}"
        table.add_row(name, f"{each.images}", *numbers, gain, parameters_text(each))
    console = Console(highlight=False, markup=False, width=140)
    console.print(table)
    console.print("Before, tuned and repainted are in-sample, the image's type given.")
    console.print(gain_text(result))
    if trial is not None:
        console.print(str(trial))
    for note in notes:
        console.print(f"Note: {note}.")
    kept = [name for name, each in result.by_type.items() if each.kept]
    console.print(f"{target}: {', '.join(kept) or 'no type'} with new parameters")


def parameters_text(result: TypeResult) -> str:
    """Describe which parameters changed, and whether the change is kept."""
    moved = ", ".join(
        f"{parameter} {_short(before)} to {_short(after)}"
        for parameter, (before, after) in result.moved.items()
    )
    if not moved:
        return "no clear gain: as before"
    return moved if result.kept else f"as before (others did not gain by {moved})"


def _short(value: Any) -> str:
    return f"{value:g}" if isinstance(value, int | float) else str(value)


def gain_text(result: TuningResult) -> str:
    """Describe the cross-fitted score of the set beside its starting score."""
    before, after = result.start, result.crossfitted
    if after is None:
        return f"Before tuning: mAP {before.mean:.4f}."
    name, pair = "mAP", (before.mean, after.mean)
    if before.challenge_mix is not None and after.challenge_mix is not None:
        name, pair = "challenge-mix mAP", (before.challenge_mix, after.challenge_mix)
    return (
        f"Cross-fitted, as predict finds the cells: {name} {pair[0]:.4f} before, {pair[1]:.4f} "
        f"tuned on the other half ({pair[1] - pair[0]:+.4f})."
    )
