"""A training run from data to a model file: start, images, training, final phases."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from bigkingxxl.data.dataset import Dataset, fingerprint
from bigkingxxl.data.progress_reports import Track, untracked
from bigkingxxl.data.subset import subset
from bigkingxxl.errors import InputError
from bigkingxxl.files import write_json
from bigkingxxl.inference.load_model import choose_device
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.methods.registry import make_method, method_class
from bigkingxxl.model_files import save_model
from bigkingxxl.networks.shared_norms import share_norms
from bigkingxxl.provenance import provenance
from bigkingxxl.training.adversarial import AdversarialModule
from bigkingxxl.training.allocator import keep_freed_memory
from bigkingxxl.training.budget import Budget
from bigkingxxl.training.cell_size_scaling import sized
from bigkingxxl.training.channels import check_companions, check_taken, common_channels
from bigkingxxl.training.checkpoints import (
    best_checkpoint,
    crops_done,
    load_checkpoint,
    sentences_of_disks,
)
from bigkingxxl.training.crop_teacher import CropTeacher
from bigkingxxl.training.dataset_checks import (
    check_annotated,
    warn_of_flaws,
)
from bigkingxxl.training.devices import ALONE, Devices, disconnect, was_restarted
from bigkingxxl.training.feeds import (
    batches,
    device_images,
    images_without_annotation,
    taught_crops,
    training_crops,
)
from bigkingxxl.training.images import RunImages, choose_images, with_types
from bigkingxxl.training.interrupt import StopRequest
from bigkingxxl.training.l2_sp import L2SP
from bigkingxxl.training.large_cells import warn_of_large_cells
from bigkingxxl.training.model_card import make_card
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.phases import finish_model, mean_with_start
from bigkingxxl.training.process_state import training_state
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.repeats import check_repeated
from bigkingxxl.training.run_folder import (
    RECIPE_FILE,
    RUN_FILE,
    alone_in_folder,
    check_same_run,
    is_begun,
    last_checkpoint,
)
from bigkingxxl.training.starting_model import (
    Start,
    adapted,
    cell_sizes,
    load_start,
    warn_of_new_maps,
)
from bigkingxxl.training.trainer import make_trainer

log = logging.getLogger(__name__)

MODEL = "model.safetensors"


@dataclass(frozen=True)
class TrainingResult:
    """The result of a training run.

    Attributes:
        model: The model file.
        score: The mAP of the kept checkpoint on the images that were predicted after each epoch.
        chosen: Whether these images chose the checkpoint (in-sample); otherwise the last one was
            kept.
        kept_back: Whether none of these images was used for training.
        epochs: The number of epochs.
        minutes: The duration of the training.
    """

    model: Path
    score: float
    chosen: bool
    kept_back: bool
    epochs: int
    minutes: float


@alone_in_folder
def train(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    fold: int | None = None,
    folds_file: Path | None = None,
    device: str = "auto",
    resume: bool = False,
    quiet: bool = False,
    callbacks: Sequence[Callback] = (),
    devices: Devices = ALONE,
    track: Track = untracked,
    checked: bool = False,
) -> TrainingResult:
    """Train a model and write it to `out`/model.safetensors.

    Args:
        recipe: The recipe.
        data: The data set.
        out: The run folder.
        fold: The validation fold; -1 trains on every image and keeps the last checkpoint. None
            means 0, or -1 for a data set without a split of its own that is smaller than the
            recipe's `small_set`.
        folds_file: The split, if it is not that of the data set.
        device: The device.
        resume: Continue from `out`/checkpoints/last.ckpt, which loses a few minutes at most; the
            result is that of an uninterrupted run. A run that ended before its first checkpoint
            begins again. A training that torchrun or SLURM restarts continues by itself.
        quiet: Whether to show no progress.
        callbacks: Additional Lightning callbacks.
        devices: The devices that share the training; each is a process that calls this function.
            The processes of this machine are started here, unless torchrun or srun started them.
        track: Wraps iterables to show the progress of what is done before and after the epochs.
        checked: Whether the caller has checked the images; see `check_images`.

    Returns:
        The result of the first process; the others return before it has written the model.

    Raises:
        InputError: There are no annotated cells, the images have other channels, the starting model
            does not fit, the run folder is in use, there is nothing to resume, or the settings
            differ from those of the interrupted run.
        OutputError: The disk is full; the previous checkpoint is kept.
        Interrupted: Ctrl-C or SIGTERM ended the run; its state is saved.
    """
    budget = Budget(recipe.training)
    devices.check(recipe)
    resume = resume or (was_restarted() and last_checkpoint(out).is_file())
    if devices.rank == 0:
        check_folder(out, resume)
    start = load_start(recipe)
    data = with_types(data, recipe.training.untyped)
    images = choose_images(recipe, data, fold, folds_file)
    if recipe.cell_types:
        data = subset(data, recipe.cell_types)
    channels = common_channels(data, (*images.training, *images.shown))
    recipe = complete(recipe, data, images, channels, start)
    if devices.rank == 0 and not checked:
        check_images(recipe, data, images)
        check_companions(recipe, channels)
    unlabelled = images_without_annotation(recipe, data, images)
    if resume:
        check_same_run(out, recipe.model_dump(mode="json"), list(images.training))
    with training_state(recipe.seed):
        run = _Run(recipe, data, images, unlabelled, start, out)
        return _trained(run, _Options(device, resume, quiet, callbacks, devices, track), budget)


@dataclass(frozen=True)
class _Run:
    """What a run trains on: everything that its recipe, its data and its start determine.

    Attributes:
        recipe: The complete recipe.
        data: The data set, reduced to the cell types of the recipe.
        images: The training and validation images.
        unlabelled: The images without annotations.
        start: The starting model, or None.
        out: The run folder.
    """

    recipe: Recipe
    data: Dataset
    images: RunImages
    unlabelled: list[Path]
    start: Start | None
    out: Path


@dataclass(frozen=True)
class _Options:
    """How a run is done, which does not change its result; see `train`."""

    device: str
    resume: bool
    quiet: bool
    callbacks: Sequence[Callback]
    devices: Devices
    track: Track


def _trained(run: _Run, options: _Options, budget: Budget) -> TrainingResult:
    """Train with a complete recipe."""
    recipe, images, devices = run.recipe, run.images, options.devices
    method = make_method(recipe.method, recipe.settings, run.data.type_names)
    card = make_card(recipe, run.data, images, run.start)
    if devices.rank == 0:
        if run.start is not None:
            warn_of_new_maps(method, run.start)
        write_run(run.out, recipe, run.data, images)
    crops = training_crops(recipe, run.data, images, method, run.out, options.track)
    if devices.rank == 0:
        warn_of_large_cells(crops)
    device = choose_device(options.device)
    pool = device_images(crops, run.unlabelled, device)
    taught = None if pool else taught_crops(crops, run.unlabelled, run.out, device, options.track)
    kind = TrainingModule if recipe.adversarial is None else AdversarialModule
    if devices.count > 1 and recipe.training.feed == "device":
        log.warning("feed=device draws noise batch by batch: other noise than on one device")
    module = kind(method, recipe, card, run.data, images.shown, run.start, pool, budget)
    if taught is not None:
        module.teacher = CropTeacher.of(taught.teacher, method, device)
    if devices.count > 1:
        share_norms(module.network)
    stop = StopRequest()
    trainer = _trainer(run, options, device, stop)
    loader = batches(taught or crops, run.unlabelled, pool, devices)
    fit(trainer, module, loader, run.out, options.resume, stop)
    disconnect()
    if devices.rank > 0:
        return TrainingResult(run.out / MODEL, module.score, images.chooses,
                              images.keeps_back, module.epochs, module.seconds() / 60)  # fmt: skip
    return finish(module, run.out, images, run.start, device, options.track)


def _trainer(run: _Run, options: _Options, device: str, stop: StopRequest) -> L.Trainer:
    """Create the trainer with the callbacks of the recipe."""
    recipe, callbacks = run.recipe, options.callbacks
    if run.start and recipe.training.l2_sp > 0:
        callbacks = [L2SP(recipe.training.l2_sp), *callbacks]
    return make_trainer(recipe, run.out, device, options.quiet, run.images.chooses, stop,
                        callbacks, options.devices)  # fmt: skip


def check_folder(out: Path, resume: bool) -> None:
    """Refuse to train over another run, or to resume without one.

    A run that ended before its first checkpoint begins again.
    """
    has_model = (out / MODEL).exists()
    if last_checkpoint(out).is_file():
        if not resume:
            raise InputError(
                f"{out} contains a run already: add --resume, or choose another --out",
                file=out,
                key="--out",
            )
    elif has_model:
        raise InputError(
            f"{out} contains a model, but no checkpoint from which its training could continue: "
            "choose another --out",
            file=out,
            key="--resume" if resume else "--out",
        )
    elif resume and not is_begun(out):
        raise InputError(
            f"{out}: nothing to resume, no training has begun there: leave --resume out",
            file=out,
            key="--resume",
        )
    elif resume:
        log.warning("%s: the run ended before its first checkpoint: it begins again", out)


def check_images(recipe: Recipe, data: Dataset, images: RunImages) -> None:
    """Check the images of a run, and warn of what may surprise.

    Raises:
        InputError: No cell is annotated, or an image occurs with contradictory cell types.
    """
    check_annotated(data, images.training)
    apart = () if recipe.training.untyped == "none" else (NO_TYPE,)
    check_repeated(data, images.training, images.validation, apart)
    if recipe.training.label_policy == "mended":
        warn_of_flaws(data, images.training)


def complete(
    recipe: Recipe, data: Dataset, images: RunImages, channels: int, start: Start | None
) -> Recipe:
    """Complete the recipe with values from the data and the starting model.

    Raises:
        InputError: The network expects another number of channels.
    """
    settings = {**(start.model.card.settings if start else {}), **recipe.settings}
    if "image_channels" in method_class(recipe.method).Settings.model_fields:
        settings.setdefault("image_channels", channels)
    expected = start.model.card.image_channels if start else settings.get("image_channels")
    taker = f"the starting model {recipe.init}" if start else f"the recipe's {recipe.method}"
    check_taken(data, channels, expected, taker)
    complete = recipe.model_copy(update={"settings": settings})
    if start is not None and recipe.adapt:
        sizes = cell_sizes(data, images.training, recipe.training.label_policy)
        complete = adapted(complete, start.model, sizes)
    return sized(complete, data, images.training)


def write_run(out: Path, recipe: Recipe, data: Dataset, images: RunImages) -> None:
    """Write the settings and images of the run."""
    write_json(out / RECIPE_FILE, recipe.model_dump())
    write_json(out / RUN_FILE, {
        **provenance(recipe.seed), "data": str(data.root), "data_fingerprint": fingerprint(data),
        "fold": images.fold, "trained_on": list(images.training),
        "validated_on": list(images.validation) if images.keeps_back else [],
    })  # fmt: skip


def fit(
    trainer: L.Trainer,
    module: TrainingModule,
    crops: Any,
    out: Path,
    resume: bool,
    stop: StopRequest,
) -> None:
    """Train until the end or a signal, optionally from the last checkpoint.

    Raises:
        Interrupted: A signal ended it.
        OutputError: The disk is full.
    """
    last = last_checkpoint(out) if resume and last_checkpoint(out).is_file() else None
    if last is not None:
        crops.sampler.begin_at(*crops_done(last, crops.batch_size))
    with (
        keep_freed_memory(), warnings.catch_warnings(), stop.listening(), sentences_of_disks(out),
    ):  # fmt: skip
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*(worker|LeafSpec|lr_scheduler).*")
        trainer.fit(module, crops, ckpt_path=last)


def finish(
    module: TrainingModule,
    out: Path,
    images: RunImages,
    start: Start | None,
    device: str,
    track: Track = untracked,
) -> TrainingResult:
    """Convert the kept checkpoint to a model file in the phases of the recipe."""
    state = load_checkpoint(best_checkpoint(out) if images.chooses else last_checkpoint(out))
    weights = {
        name.removeprefix("network."): tensor
        for name, tensor in state["state_dict"].items() if name.startswith("network.")
    }  # fmt: skip
    score = float(state["score"])
    minutes = module.seconds() / 60
    kept_back = images.keeps_back
    name = "validation" if kept_back else "training"
    in_sample = "_in_sample" if images.chooses or not kept_back else ""
    scores = {f"{name}_map{in_sample}": score, f"{name}_images": len(images.shown),
              "minutes": minutes, "epochs": module.epochs}  # fmt: skip
    phases = module.recipe.finish
    if phases.start_share > 0 and start is not None:
        weights = mean_with_start(weights, module.method, start, phases.start_share)
    save_model(out / MODEL, module.card.changed(scores=scores), weights)
    finish_model(out / MODEL, phases, module.data, images.training, device, track)
    return TrainingResult(out / MODEL, score, images.chooses, kept_back,
                          module.epochs, minutes)  # fmt: skip
