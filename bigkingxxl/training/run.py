"""A training run from data to a model file: what it starts from, images, training, finish."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any

import lightning as L
from torch.utils.data import DataLoader

from bigkingxxl.data.dataset import Dataset, fingerprint, open_dataset
from bigkingxxl.data.joined import JoinedDataset, without_set
from bigkingxxl.data.of_types import ids_of_types, of_types
from bigkingxxl.data.split import fold_ids, folds_path
from bigkingxxl.data.synthesize import ANNOTATIONS, synthesize
from bigkingxxl.data.synthesize import Recipe as SyntheticData
from bigkingxxl.data.unlabelled import unlabelled_images
from bigkingxxl.errors import InputError
from bigkingxxl.files import write_json
from bigkingxxl.inference.load import choose_device
from bigkingxxl.instances import NO_TYPE
from bigkingxxl.methods.base import Method
from bigkingxxl.methods.registry import make_method, method_class
from bigkingxxl.models import ModelCard, model_hash, read_card, resolve_model, save_model
from bigkingxxl.provenance import provenance
from bigkingxxl.simulate.varied import VARIED
from bigkingxxl.training.adversarial import AdversarialModule
from bigkingxxl.training.budget import Budget
from bigkingxxl.training.checkpoints import (
    best_checkpoint,
    crops_done,
    last_checkpoint,
    load_checkpoint,
    sentences_of_disks,
)
from bigkingxxl.training.crops import CropDataset, MixedCrops, crop_loader, epoch_loader
from bigkingxxl.training.device_images import DeviceImages, warped_channels
from bigkingxxl.training.inspect import common_channels, warn_of_flaws
from bigkingxxl.training.interrupt import StopRequest
from bigkingxxl.training.memory import keep_freed_memory
from bigkingxxl.training.module import TrainingModule
from bigkingxxl.training.phases import finish_model, mean_with_start
from bigkingxxl.training.ranges import appearance_ranges, image_diameters
from bigkingxxl.training.recipe import Recipe
from bigkingxxl.training.run_folder import alone_in_folder, check_same_run
from bigkingxxl.training.selection import label, spread, spread_by
from bigkingxxl.training.sizes import sized
from bigkingxxl.training.start import Start, adapted, cell_sizes, load_start
from bigkingxxl.training.teacher import Teacher
from bigkingxxl.training.trainer import make_trainer
from bigkingxxl.training.unlabelled_crops import WithUnlabelled
from bigkingxxl.training.views import ViewDraws, Views

EVERY_IMAGE = -1


@dataclass(frozen=True)
class TrainingResult:
    """What a run left behind.

    Attributes:
        model: the model file.
        score: the mAP of the kept checkpoint on the images that were predicted after each epoch.
        chosen: True where these are validation images, which chose the checkpoint (in-sample);
            False where they are training images, and the last checkpoint was kept.
        epochs: how many were trained; minutes: of training.
    """

    model: Path
    score: float
    chosen: bool
    epochs: int
    minutes: float


@dataclass(frozen=True)
class RunImages:
    """Which images a run trains on, and which it is judged by.

    Attributes:
        fold: the validation fold, -1 for none.
        training, validation: ids; without a fold the same ones.
        shown: ids that are predicted after each epoch.
        watches: the validation images choose nothing, and the last weights are kept.
    """

    fold: int
    training: tuple[str, ...]
    validation: tuple[str, ...]
    shown: tuple[str, ...] = field(default=())
    watches: bool = False

    @property
    def chooses(self) -> bool:
        """True where validation images choose the checkpoint."""
        return self.fold != EVERY_IMAGE and not self.watches


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
) -> TrainingResult:
    """Train a model and write it to `out`/model.safetensors.

    Args:
        folds_file: the split, if it is not the data set's own.
        fold: validation fold; -1 trains on every image and keeps the last checkpoint; None is 0,
            or -1 where a data set without a split of its own is smaller than the recipe's
            `small_set`.
        resume: go on from `out`/checkpoints/last.ckpt, losing at most a few minutes; the result is
            that of a run that was never broken off.
    Raises:
        InputError: no annotated cells, images of other channels, a model to start from that does
            not fit, a run folder in use, nothing to resume, other settings than the run began with.
        OutputError: the disk is full; the checkpoint before is kept.
        Interrupted: Ctrl-C, or SIGTERM in the main thread, once the state is kept.
    """
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    budget, stop = Budget(recipe.training), StopRequest()
    check_folder(out, resume)
    start = load_start(recipe)
    data = with_types(data, recipe.training.untyped)
    images = choose_images(recipe, data, fold, folds_file)
    if recipe.cell_types:
        data = of_types(data, recipe.cell_types)
    channels = common_channels(data, (*images.training, *images.shown))
    recipe = complete(recipe, data, images, channels, start)
    if recipe.training.label_policy == "mended":
        warn_of_flaws(data, images.training)
    unlabelled = images_without_annotation(recipe, data, images)
    if resume:
        check_same_run(out, recipe.model_dump(mode="json"), list(images.training))
    L.seed_everything(recipe.seed, verbose=False)
    method = make_method(recipe.method, recipe.settings, data.type_names)
    card = make_card(recipe, data, images, start)
    write_run(out, recipe, data, images)
    crops = training_crops(recipe, data, images, method, out)
    device = choose_device(device)
    pool = device_images(crops, unlabelled, device)
    kind = TrainingModule if recipe.adversarial is None else AdversarialModule
    module = kind(method, recipe, card, data, images.shown, start, pool, budget)
    trainer = make_trainer(recipe, out, device, quiet, images.chooses, stop)
    fit(trainer, module, batches(crops, unlabelled, pool), out, resume, stop)
    return finish(module, out, images, start, device)


def check_folder(out: Path, resume: bool) -> None:
    """Refuse to train over another run, or to resume where there is nothing."""
    last = last_checkpoint(out)
    if resume and not last.is_file():
        raise InputError(f"{out}: nothing to resume, there is no checkpoints/last.ckpt")
    if not resume and (last.exists() or (out / "model.safetensors").exists()):
        raise InputError(f"{out} holds a run already: add --resume, or choose another --out")


def choose_images(
    recipe: Recipe, data: Dataset, fold: int | None = None, folds_file: Path | None = None
) -> RunImages:
    """The images of a run; without a fold all of them train, and some are watched.

    Only images of the recipe's cell types are among them. The folds are those of the whole data
    set, so that models of one type each can be scored together.

    Raises:
        InputError: an unknown cell type, no such fold, one without images of the types, no cells.
    """
    ids = ids_of_types(data, recipe.cell_types) if recipe.cell_types else data.ids
    if isinstance(data, JoinedDataset):
        return images_of_sets(data, set(ids), fold, recipe.training.validation_images)
    if fold is None:
        own_split = folds_file is not None or folds_path(data).is_file()
        is_small = len(ids) < recipe.training.small_set
        fold = EVERY_IMAGE if is_small and not own_split else 0
    if fold == EVERY_IMAGE:
        images = RunImages(fold, ids, ids)
    else:
        wanted = set(ids)
        training, validation = (
            tuple(image_id for image_id in part if image_id in wanted)
            for part in fold_ids(data, fold, folds_file=folds_file)
        )
        images = RunImages(fold, training, validation)
        if not training or not validation:
            raise InputError(
                f"{data.root}: fold {fold} leaves {len(training)} images of the cell type "
                f"{' or '.join(recipe.cell_types)} to train and {len(validation)} to validate on, "
                "expected some of both"
            )
    if not any(len(data.instances(image_id)) for image_id in images.training):
        raise InputError(f"{data.root}: the images to train on have no annotated cells")
    return replace(images, shown=spread(images.validation, data, recipe.training.validation_images))


def images_of_sets(data: JoinedDataset, ids: set[str], fold: int | None, count: int) -> RunImages:
    """The images of a run on several data sets: see `JoinedDataset.fold_ids`.

    The few images that are watched choose nothing: they are of other laboratories than those the
    model is for.
    """
    training, watched = (
        tuple(image_id for image_id in part if image_id in ids) for part in data.fold_ids(fold)
    )
    if not training:
        raise InputError(f"{data.root}: no image is left to train on")
    shown = spread_by({image_id: label(data, image_id) for image_id in watched or training}, count)
    chosen = EVERY_IMAGE if fold == EVERY_IMAGE or not watched else fold or 0
    return RunImages(chosen, training, watched or training, shown, watches=True)


def with_types(data: Dataset, untyped: str) -> Dataset:
    """The data set without the type `NO_TYPE`, where cells without a type are of an unknown one."""
    if untyped == "none" or not isinstance(data, JoinedDataset):
        return data
    known = tuple(name for name in data.type_names if name != NO_TYPE)
    return replace(data, type_names=known) if known else data


def complete(
    recipe: Recipe, data: Dataset, images: RunImages, channels: int, start: Start | None
) -> Recipe:
    """The recipe with what it leaves open: taken from the data and the model it starts from.

    Raises:
        InputError: the network takes images of other channels.
    """
    settings = {**(start.model.card.settings if start else {}), **recipe.settings}
    if "image_channels" in method_class(recipe.method).Settings.model_fields:
        settings.setdefault("image_channels", channels)
    expected = start.model.card.image_channels if start else settings.get("image_channels")
    if expected not in (None, channels):
        taker = str(start.path) if start else f"the recipe's {recipe.method}"
        raise InputError(
            f"{data.root}: its images have {channels} channels, but {taker} takes {expected}"
        )
    complete = recipe.model_copy(update={"settings": settings})
    if start is not None and recipe.adapt:
        sizes = cell_sizes(data, images.training, recipe.training.label_policy)
        complete = adapted(complete, start.model, sizes)
    return sized(complete, data, images.training)


def make_card(recipe: Recipe, data: Dataset, images: RunImages, start: Start | None) -> ModelCard:
    """The card of the model that a run is going to make.

    What its start and its teachers were trained and selected on counts: it is no test of this one.
    """
    source = data.source(images.training[0])
    one_size = recipe.augment.diameter is not None and recipe.augment.diameter_of == "image"
    if one_size:
        diameter = (recipe.augment.diameter or 1.0) / recipe.prediction.scale
    else:
        policy = recipe.training.label_policy
        diameter = cell_sizes(data, images.training, policy).median_diameter
    bases = [start.model.card] if start else []
    made: dict[str, Any] = {**provenance(recipe.seed), "data": fingerprint(data)}
    if recipe.varied_images:
        made["varied_images"] = recipe.varied_images
    if start is not None:
        made["init"] = {"name": recipe.init, "hash": model_hash(start.path)}
    if recipe.teacher is not None:
        paths = {name: resolve_model(name) for name in recipe.teacher.models}
        bases += [read_card(path) for path in paths.values()]
        made["teacher"] = [{"name": n, "hash": model_hash(path)} for n, path in paths.items()]
    return ModelCard(
        method=recipe.method,
        settings=make_method(recipe.method, recipe.settings, data.type_names).settings.model_dump(),
        type_names=data.type_names,
        image_channels=source.channels,
        normalisation=recipe.normalisation,
        prediction=recipe.prediction,
        operating_points=recipe.operating_points,
        pixel_size_um=recipe.pixel_size_um or source.pixel_size_um,
        median_diameter=diameter,
        image_diameters={} if one_size else image_diameters(data, images.training),
        appearance=appearance_ranges(data, images.training, recipe.normalisation),
        trained_on=together(own_ids(data, images.training), *(base.trained_on for base in bases)),
        selected_on=together(
            own_ids(data, images.shown) if images.chooses else (),
            *(base.selected_on for base in bases),
        ),
        provenance=made,
        licence=next((base.licence for base in bases if base.licence), ""),
    )


def own_ids(data: Dataset, ids: Sequence[str]) -> tuple[str, ...]:
    """The ids that images have in their own data sets."""
    return tuple(map(without_set, ids)) if isinstance(data, JoinedDataset) else tuple(ids)


def together(*parts: Sequence[str]) -> tuple[str, ...]:
    """All of them, each once, in order."""
    return tuple(dict.fromkeys(chain.from_iterable(parts)))


def training_crops(
    recipe: Recipe, data: Dataset, images: RunImages, method: Method, out: Path
) -> CropDataset | MixedCrops:
    """The crops of a run, those of simulated cells of any kind among them.

    Raises:
        InputError: the method cannot learn from cells without a type.
    """
    crops = CropDataset(data, images.training, method, recipe)
    if recipe.varied_images == 0:
        return crops
    if not method.learns_untyped:
        raise InputError(
            f"varied_images is {recipe.varied_images}, but the method '{method.name}' with these "
            "settings learns no cells without a type, expected 0 or the representation 'flows'"
        )
    folder = out / "varied"
    if not (folder / ANNOTATIONS).is_file():
        synthesize(folder, SyntheticData(recipe.varied_images, recipe.seed, (VARIED,)))
    varied = open_dataset(folder)
    return MixedCrops(crops, CropDataset(varied, varied.ids, method, recipe),
                      recipe.training.varied_share)  # fmt: skip


def device_images(
    crops: CropDataset | MixedCrops, unlabelled: Sequence[Path], device: str
) -> DeviceImages | None:
    """The images whose crops are made on the device, with what a teacher sees in them.

    Raises:
        SettingsError, InputError: the method's targets cannot be seen so, or taught.
    """
    recipe = crops.recipe
    if recipe.training.feed != "device":
        return None
    teacher = None
    if recipe.teacher is not None:
        teacher = Teacher.of(recipe.teacher, warped_channels(crops.method), device)
    return DeviceImages.of(crops, teacher, unlabelled)


def batches(
    crops: CropDataset | MixedCrops, unlabelled: Sequence[Path], pool: DeviceImages | None
) -> DataLoader[Any]:
    """What the module trains on: batches of crops, or `Views` of a pool on its device."""
    if pool is None:
        return crop_loader(WithUnlabelled(crops, unlabelled) if unlabelled else crops)
    draws = ViewDraws(pool.viewed, crops.recipe)
    return epoch_loader(draws, crops.recipe.training, Views.of)


def images_without_annotation(recipe: Recipe, data: Dataset, images: RunImages) -> list[Path]:
    """What a critic judges, or a teacher teaches, beside annotated ones: `unlabelled_images`."""
    learners = (recipe.adversarial, recipe.teacher)
    own = next((each for each in learners if each is not None and each.semi_supervised), None)
    if own is None:
        return []
    return unlabelled_images(data, own.unlabelled, images.validation if images.chooses else ())


def write_run(out: Path, recipe: Recipe, data: Dataset, images: RunImages) -> None:
    """Write what decides the run beside it."""
    write_json(out / "recipe.json", recipe.model_dump())
    write_json(out / "run.json", {
        **provenance(recipe.seed), "data": str(data.root), "data_fingerprint": fingerprint(data),
        "fold": images.fold, "trained_on": list(images.training),
        "validated_on": list(images.validation) if images.fold != EVERY_IMAGE else [],
    })  # fmt: skip


def fit(
    trainer: L.Trainer,
    module: TrainingModule,
    crops: Any,
    out: Path,
    resume: bool,
    stop: StopRequest,
) -> None:
    """Train, from the last checkpoint on where asked for, until the end or a signal.

    Raises:
        Interrupted: a signal ended it.
        OutputError: the disk is full.
    """
    keep_freed_memory()
    ids: DataLoader[Any] = DataLoader(list(module.validation_ids), batch_size=None)  # type: ignore[arg-type]
    last = last_checkpoint(out) if resume else None
    if last is not None:
        crops.sampler.begin_at(*crops_done(last, crops.batch_size))
    with warnings.catch_warnings(), stop.listening(), sentences_of_disks(out):
        warnings.filterwarnings("ignore", category=UserWarning, module="lightning")
        warnings.filterwarnings("ignore", message=".*(worker|LeafSpec|lr_scheduler).*")
        trainer.fit(module, crops, ids, ckpt_path=last)


def finish(
    module: TrainingModule,
    out: Path,
    images: RunImages,
    start: Start | None,
    device: str,
) -> TrainingResult:
    """Turn the kept checkpoint into the model file, in the phases that the recipe asks for."""
    state = load_checkpoint(best_checkpoint(out) if images.chooses else last_checkpoint(out))
    weights = {
        name.removeprefix("network."): tensor
        for name, tensor in state["state_dict"].items() if name.startswith("network.")
    }  # fmt: skip
    score = float(state["score"])
    minutes = module.seconds() / 60
    name = "validation" if images.chooses else "training"
    scores = {f"{name}_map_in_sample": score, f"{name}_images": len(images.shown),
              "minutes": minutes, "epochs": module.epochs}  # fmt: skip
    phases = module.recipe.finish
    if phases.start_share > 0 and start is not None:
        weights = mean_with_start(weights, module.method, start, phases.start_share)
    save_model(out / "model.safetensors", module.card.changed(scores=scores), weights)
    finish_model(out / "model.safetensors", phases, module.data, images.training, device)
    return TrainingResult(out / "model.safetensors", score, images.chooses, module.epochs, minutes)
