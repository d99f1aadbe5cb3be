"""The settings of a training run in one typed object."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from bigkingxxl.config_files.overrides import override
from bigkingxxl.config_files.parsed import Place, nearest_place
from bigkingxxl.config_files.reading import read_config
from bigkingxxl.data.augment_settings import AugmentSettings
from bigkingxxl.data.label_policy import LabelPolicy
from bigkingxxl.errors import SettingsError
from bigkingxxl.images import Normalisation
from bigkingxxl.model_card import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import Positive, Seed, Settings, checked, closest, nearest
from bigkingxxl.training.finetune.settings import FinetuneSettings

log = logging.getLogger(__name__)


class TrainingSettings(Settings):
    """The settings of training.

    Attributes:
        epochs: The number of epochs; each ends with a validation and a checkpoint.
        crops_per_epoch: The number of crops of an epoch.
        max_minutes: The limit of wall-clock time including validations, or None. The learning rate
            decreases with time.
        max_cpu_minutes: The limit of the time of all processors together, or None, so that a busy
            machine does not shorten the training.
        checkpoint_minutes: The time between two checkpoints within an epoch.
        optimizer: 'adamw', or 'muon' (AdamW, with Muon for the weights that mix channels).
        batch_size: The number of crops per step.
        learning_rate: The maximum learning rate; it decreases as a cosine.
        weight_decay: The weight decay.
        warmup_steps: The number of steps with an increasing learning rate.
        clip_norm: The largest norm of the gradient.
        averaging: The decay of the moving average of the weights, which is validated and kept; 0
            turns it off.
        precision: 'bf16' computes in bfloat16 where it is faster; '32' uses float32 everywhere.
        type_balance: 0 draws all cell types equally often, 1 as often as they occur.
        set_balance: The exponent of a data set's number of cells that gives its share of the crops.
        set_floor: The least share of a data set.
        set_weights: Factors of the shares of data sets.
        untyped: The meaning of cells without a type: an 'unknown' type, or 'none' of the types of
            other data sets.
        label_policy: How annotations are corrected for training: 'as_annotated', 'fill_holes', or
            'mended', which also keeps only the largest part of each cell.
        varied_share: The fraction of crops from `varied_images` and `replay`, if the recipe has
            any.
        validation_images: The number of images of the fold that are predicted after each epoch.
        patience: The number of epochs without a better validation mAP after which training stops.
        small_set: Data sets with fewer images are trained on completely, and no fold chooses the
            checkpoint.
        l2_sp: The strength of L2-SP regularisation: the fraction of the distance to the starting
            weights by which each step moves back at the full learning rate.
        freeze_statistics: Whether batch norms keep their initial statistics.
        workers: The number of processes that prepare crops.
        feed: 'processes' compute crops and targets in worker processes; 'device' computes them on
            the training device from complete images, for GPUs and the representation 'flows'.
    """

    epochs: int = Field(60, ge=1)
    max_minutes: float | None = Field(None, gt=0)
    max_cpu_minutes: float | None = Field(None, gt=0)
    checkpoint_minutes: float = Field(3.0, gt=0)
    crops_per_epoch: int = Field(800, ge=1)
    optimizer: Literal["adamw", "muon"] = "adamw"
    batch_size: int = Field(8, ge=1, le=4096)
    learning_rate: float = Field(1e-3, gt=0, le=100)
    weight_decay: float = Field(1e-2, ge=0, le=100)
    warmup_steps: int = Field(100, ge=0)
    clip_norm: float = Field(5.0, gt=0, le=1e6)
    averaging: float = Field(0.995, ge=0, lt=1)
    precision: Literal["bf16", "32"] = "bf16"
    type_balance: float = Field(0.5, ge=0, le=1)
    set_balance: float = Field(0.5, ge=0, le=1)
    set_floor: float = Field(0.02, ge=0, lt=1)
    set_weights: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    untyped: Literal["unknown", "none"] = "unknown"
    label_policy: LabelPolicy = "as_annotated"
    varied_share: float = Field(0.25, ge=0, lt=1)
    validation_images: int = Field(24, ge=1)
    patience: int = Field(20, ge=1)
    small_set: int = Field(5, ge=1)
    l2_sp: float = Field(0.0, ge=0, le=1)
    freeze_statistics: bool = False
    workers: int = Field(1, ge=0, le=1024)
    feed: Literal["processes", "device"] = "processes"

    @model_validator(mode="before")
    @classmethod
    def _reads_pull(cls, values: Any) -> Any:
        """Accept `pull`, the earlier name of `l2_sp`, with a warning."""
        if not isinstance(values, Mapping) or "pull" not in values:
            return values
        if "l2_sp" in values:
            raise ValueError("'pull' and 'l2_sp' are both given: use only 'l2_sp'")
        log.warning("the setting 'training.pull' is now called 'training.l2_sp'")
        return {("l2_sp" if key == "pull" else key): value for key, value in values.items()}


Game = Literal["wasserstein", "hinge", "least_squares"]


class AdversarialSettings(Settings):
    """The settings of a critic beside the supervised losses (UNETR-GAN, R-CNN-GAN).

    Attributes:
        weight: The final weight of the adversarial loss; 0 trains the critic but changes nothing
            else.
        begin: The fraction of the training after which the weight starts to increase.
        full: The fraction of the training after which the weight is reached.
        game: 'wasserstein', 'hinge' or 'least_squares'.
        gradient_penalty: The weight of the gradient penalty in the critic's loss; 0 turns it off.
        critic_steps: The number of critic steps per generator step, on the same crops.
        critic_width: The channels of the critic's first layer.
        critic_learning_rate: The learning rate of the critic's Adam.
        softening: The standard deviation, in pixels, of the blur of true masks for the critic.
        unlabelled: Folders or files of images without annotations; by default those of the data set
            (`train_semi_supervised/`).
        semi_supervised: Whether to use images without annotations.
        unlabelled_weight: The weight of their adversarial loss relative to that of annotated
            images.
    """

    weight: float = Field(0.002, ge=0, le=1e6)
    begin: float = Field(0.1, ge=0, le=1)
    full: float = Field(0.4, ge=0, le=1)
    game: Game = "wasserstein"
    gradient_penalty: float = Field(10.0, ge=0, le=1e6)
    critic_steps: int = Field(1, ge=1)
    critic_width: int = Field(16, ge=2, le=1024)
    critic_learning_rate: float = Field(2e-4, gt=0, le=100)
    softening: float = Field(1.0, ge=0, le=100)
    unlabelled: tuple[str, ...] = ()
    semi_supervised: bool = True
    unlabelled_weight: float = Field(1.0, ge=0, le=1e6)

    @model_validator(mode="after")
    def _rises(self) -> Self:
        if self.full < self.begin:
            raise ValueError(f"'full' is {self.full}, expected 'begin' ({self.begin}) or more")
        return self


class TeacherSettings(Settings):
    """The settings of knowledge distillation: the maps of a trained model become targets.

    Attributes:
        model: The teacher, by name or file, with the same maps as the student
            (`bundled` for `compact`). Several teachers are averaged.
        flips: The number of views over which the maps of an image or crop are averaged.
        weight: The weight of the teacher in the targets of annotated images.
        sets: The data sets whose annotated images the teacher contributes to; () for all.
        unlabelled: Folders or files of images without annotations; by default those of the data set
            (`train_semi_supervised/`).
        semi_supervised: Whether to use images without annotations.
        share: The fraction of crops from images without annotations.
    """

    model: str | Annotated[tuple[str, ...], Field(min_length=1)] = "bundled"
    flips: int = Field(4, ge=1, le=8)
    weight: float = Field(0.3, ge=0, le=1)
    sets: tuple[str, ...] = ()
    unlabelled: tuple[str, ...] = ()
    semi_supervised: bool = True
    share: float = Field(0.3, ge=0, lt=1)

    @property
    def models(self) -> tuple[str, ...]:
        """All teachers, by name or file."""
        return (self.model,) if isinstance(self.model, str) else self.model


class FinishSettings(Settings):
    """The settings of the phases after training, in this order.

    Attributes:
        start_share: The weight of the starting model in the average with the trained weights.
        calibrate_images: The number of training images on which scores are calibrated
            (`bigkingxxl calibrate`); 0 for none.
        quality_images: The number of training images to which the model of the expected accuracy
            (`bigkingxxl.expected_quality`) is fitted; 0 for none.
        export: Whether to write `model.onnx` beside the model, with weights in 16 bits.
        int8_images: The number of training images on which the ranges of 8-bit integers are
            measured, in which the exported model then computes its dense convolutions
            (`bigkingxxl.training.int8_quantisation`); 0 keeps floating point.
    """

    start_share: float = Field(0.0, ge=0, lt=1)
    calibrate_images: int = Field(0, ge=0, le=10**6)
    quality_images: int = Field(0, ge=0, le=10**6)
    export: bool = False
    int8_images: int = Field(0, ge=0, le=10**6)


class Recipe(Settings):
    """The settings of a training run: the method, the data and the model.

    Attributes:
        method: The name of the method.
        settings: The settings of the method.
        prediction: How the model reads images.
        normalisation: How intensities are normalised.
        augment: The augmentation of training crops.
        training: The settings of training.
        init: The starting model, by name or file; settings that are not given are taken from it.
        cell_types: The only cell types that the model learns and that images are selected by; by
            default all of the data set.
        adapt: Whether to read images as the model in `init` does, scaled so that cells have a size
            that it knows; `augment.zoom` is then relative to the scale of the network.
        varied_images: The number of simulated images of various cells, created in the run folder,
            from which a part of the crops is drawn (`training.varied_share`); these cells have no
            type.
        replay: Annotated data sets of other cells, by folder or file, from which crops are drawn
            like from `varied_images`, so that the starting model's knowledge is kept.
        adversarial: A critic that judges predicted masks, also of images without annotations.
        teacher: A trained model for knowledge distillation, also on images without annotations. It
            predicts complete images if `training.feed` is 'device', else crops.
        finish: The phases after training.
        finetune: Keep the starting model unless the new one is better on held-out images; see
            `bigkingxxl.training.finetune`.
        pixel_size_um: Micrometres per pixel of the training images (row, column); by default the
            value of the first image file.
        seed: The random seed.
    """

    method: str
    settings: dict[str, Any] = Field(default_factory=dict)
    init: str | None = None
    cell_types: tuple[str, ...] = ()
    adapt: bool = False
    augment: AugmentSettings = AugmentSettings()
    training: TrainingSettings = TrainingSettings()
    prediction: PredictionSettings = PredictionSettings()
    normalisation: Normalisation = Normalisation()
    operating_points: OperatingPoints = OperatingPoints()
    varied_images: int = Field(0, ge=0)
    replay: tuple[str, ...] = ()
    adversarial: AdversarialSettings | None = None
    teacher: TeacherSettings | None = None
    finish: FinishSettings = FinishSettings()
    finetune: FinetuneSettings | None = None
    pixel_size_um: tuple[Positive, Positive] | None = None
    seed: Seed = 0

    @model_validator(mode="after")
    def _feeds_a_critic(self) -> Self:
        if self.adversarial and self.adversarial.semi_supervised and self.training.feed == "device":
            raise ValueError(
                "training.feed is 'device', expected 'processes' where a critic judges images "
                "without annotation"
            )
        return self

    @model_validator(mode="after")
    def _has_one_to_learn_from(self) -> Self:
        if self.teacher and self.adversarial:
            raise ValueError("a recipe has a critic or a teacher, expected one of them")
        return self

    @field_validator("cell_types")
    @classmethod
    def _each_once(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a cell type is named twice")
        return names

    @model_validator(mode="after")
    def _has_what_it_keeps(self) -> Self:
        if self.finetune is not None and self.init is None:
            raise ValueError("'finetune' needs a model to start from: name one in 'init'")
        return self

    @model_validator(mode="after")
    def _has_what_it_adapts(self) -> Self:
        if self.adapt and self.init is None:
            raise ValueError("'adapt' needs a model to start from: name one in 'init'")
        return self

    def with_replay(self, places: Iterable[str]) -> Recipe:
        """Return the recipe with additional data sets for replay."""
        named = tuple(places)
        return self if not named else self.model_copy(update={"replay": (*self.replay, *named)})

    def with_unlabelled(self, places: Iterable[str], *, use: bool) -> Recipe:
        """Return the recipe with other images without annotations, or with none.

        Raises:
            SettingsError: The recipe has no critic or teacher that uses them, or both are
                requested.
        """
        named = tuple(places)
        if use and not named:
            return self
        learner = "adversarial" if self.adversarial else "teacher" if self.teacher else None
        if learner is None:
            raise SettingsError(
                "only a recipe with a critic or a teacher can use images without annotations: "
                "use unetr_gan or rcnn_gan, or add --set adversarial.weight=0.002, or --set "
                "teacher.model=bundled",
                key="--unlabelled",
            )
        if named and not use:
            raise SettingsError(
                "--unlabelled and --no-unlabelled cannot be combined",
                key="--unlabelled",
                found="--no-unlabelled",
            )
        chosen = {"semi_supervised": use, **({"unlabelled": named} if named else {})}
        changed = getattr(self, learner).changed(**chosen)
        return self.model_copy(update={learner: changed})


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes."""
    return sorted(file.stem for file in recipe_folder().glob("[!_]*.py"))


def recipe_folder() -> Path:
    """Return the folder of the shipped recipes."""
    return Path(str(resources.files("bigkingxxl.recipes")))


def recipe_path(config: str) -> Path:
    """Return the file of a config, or of a shipped recipe.

    Raises:
        SettingsError: There is neither a file nor a recipe of this name.
    """
    path = Path(config)
    if path.suffix or path.is_file():
        return path
    names = recipe_names()
    if config not in names:
        raise SettingsError(
            f"'{config}' is not a config file or a recipe{nearest(config, names)}",
            found=config, expected=tuple(names), did_you_mean=closest(config, names),
        )  # fmt: skip
    return recipe_folder() / f"{config}.py"


def load_recipe(
    config: str,
    assignments: Iterable[str] = (),
    seed: int | None = None,
    init: str | None = None,
    *,
    allow_code: bool = False,
) -> Recipe:
    """Load a recipe from a config file or by the name of a shipped recipe, with overrides.

    Args:
        config: The file or name.
        assignments: Overrides such as 'training.epochs=3'.
        seed: Overrides the seed.
        init: Overrides the starting model.
        allow_code: Run a Python file that contains more than literals.

    Raises:
        SettingsError: There is neither a file nor a recipe, a key is unknown, a value is invalid,
            or the file needs code.
    """
    read = read_config(recipe_path(config), recipe_folder(), allow_code=allow_code)
    places = dict(read.places)
    values = override(read.values, assignments, places)
    if seed is not None:
        values["seed"] = seed
        places["seed",] = Place("--seed")
    if init is not None:
        values["init"] = init
        places["init",] = Place("--init")
    return checked(Recipe, values, config, lambda keys: nearest_place(places, keys))
