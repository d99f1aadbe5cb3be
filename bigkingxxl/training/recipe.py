"""Everything that decides a training run, in one typed object."""

from __future__ import annotations

from collections.abc import Iterable
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
from bigkingxxl.models import PredictionSettings
from bigkingxxl.operating_points import OperatingPoints
from bigkingxxl.settings import Positive, Seed, Settings, checked, closest, nearest
from bigkingxxl.training.finetune.settings import FinetuneSettings


class TrainingSettings(Settings):
    """How a network is trained.

    Attributes:
        epochs: an epoch is `crops_per_epoch` crops; validation and a checkpoint end each.
        max_minutes: training ends here at the latest, its validations included, the learning rate
            falling in time; or None.
        max_cpu_minutes: the same, counted in the time of all processors together, so that a busy
            machine does not cut learning short; or None.
        checkpoint_minutes: between two checkpoints within an epoch.
        optimizer: 'adamw', or 'muon' (AdamW, and Muon for the weights that mix channels).
        batch_size, learning_rate, weight_decay, warmup_steps, clip_norm: of the optimizer; the rate
            falls as a cosine.
        averaging: decay of the moving average of the weights that is validated and kept; 0 = off.
        precision: 'bf16' computes in bfloat16 where it pays, '32' everywhere in float32.
        type_balance: 0 draws all cell types alike, 1 as often as they occur.
        set_balance: of several data sets each is drawn as often as its number of cells to this
            power says, but at least as a share of `set_floor`, times its `set_weights`.
        untyped: what cells of data sets without types are taken for: of an 'unknown' type, or of
            'none' of the types that other sets name.
        label_policy: 'fill_holes' closes gaps inside annotated cells, for training only.
        varied_share: share of crops from simulated images of cells of any kind, and from data sets
            that are learnt again (`replay`), where the recipe has such.
        validation_images: how many images of the fold are predicted after each epoch.
        patience: epochs without a better validation mAP before training ends.
        small_set: data sets of fewer images train on all of them: no fold chooses the checkpoint.
        pull: how strongly weights are drawn back to those of the model that training starts from:
            the share of their distance that each step of the full learning rate takes away.
        freeze_statistics: batch norms keep the statistics they start with.
        workers: processes that prepare crops.
        feed: 'processes' make crops and their targets; 'device' draws views there alone and makes
            the crops on the device that trains, from whole images: for GPUs, and for the
            representation 'flows'.
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
    pull: float = Field(0.0, ge=0, le=1)
    freeze_statistics: bool = False
    workers: int = Field(1, ge=0, le=1024)
    feed: Literal["processes", "device"] = "processes"


Game = Literal["wasserstein", "hinge", "least_squares"]


class AdversarialSettings(Settings):
    """A critic beside the supervised losses (UNETR-GAN, R-CNN-GAN).

    Attributes:
        weight: of the adversarial loss beside the supervised one, once it is fully in; 0 lets the
            critic learn and changes nothing else.
        begin, full: shares of the training after which the weight starts to rise, and is reached.
        game: 'wasserstein', 'hinge' or 'least_squares'.
        gradient_penalty: its weight in the critic's loss; 0 = none.
        critic_steps: of the critic for each of the generator, on the same crops.
        critic_width: channels of its first layer; critic_learning_rate: of its Adam.
        softening: standard deviation in pixels of the blur of true masks before the critic sees
            them.
        unlabelled: folders or files of images without annotation; by default those that the data
            set has of its own (`train_semi_supervised/`).
        semi_supervised: False leaves images without annotation out.
        unlabelled_weight: of their adversarial loss beside that of annotated images.
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
    """A trained model whose maps are learned beside annotations, and alone where there are none.

    Attributes:
        model: by name or file; it makes the maps that are learned (`bundled` for `compact`). Of
            several models the mean of their maps is learned: an ensemble taught to one network.
        flips: how many views of an image, or of a crop, its maps are the mean of.
        weight: its part in the targets of annotated images.
        sets: of several data sets those whose annotated images it has a say in; () = all.
        unlabelled: folders or files of images without annotation; by default those that the data
            set has of its own (`train_semi_supervised/`).
        semi_supervised: False leaves images without annotation out.
        share: of the crops that come from them.
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
        """All of them, by name or file."""
        return (self.model,) if isinstance(self.model, str) else self.model


class FinishSettings(Settings):
    """What follows the training, in this order.

    Attributes:
        start_share: the model's weights are the mean of those of its training and of those that it
            started from, which count so much.
        calibrate_images: on so many images of the training scores become the IoU that is to be
            expected (`bigkingxxl calibrate`); 0 leaves them.
        quality_images: from so many images of the training the model learns what segmentation
            accuracy it is to expect of an image (`bigkingxxl.quality`); 0 expects nothing.
        export: write `model.onnx` beside the model, with weights in 16 bits.
        int8_images: the exported model computes its dense convolutions in 8-bit integers, whose
            ranges are measured on so many images of the training (`bigkingxxl.training.int8`); 0
            keeps floating point.
    """

    start_share: float = Field(0.0, ge=0, lt=1)
    calibrate_images: int = Field(0, ge=0, le=10**6)
    quality_images: int = Field(0, ge=0, le=10**6)
    export: bool = False
    int8_images: int = Field(0, ge=0, le=10**6)


class Recipe(Settings):
    """A training run: the method, its settings, and how it learns and predicts.

    Attributes:
        method: name of the method; settings: the method's own.
        init: the model that training starts from, by name or file; what `settings` leave out is
            as in that model.
        cell_types: the model knows these types alone, and learns and is validated on images of them
            only; by default all types and images of the data.
        adapt: look at images as the model in `init` does, scaled so that cells are as large as
            those it knows; `augment.zoom` is then relative to the network's scale.
        varied_images: simulated images of cells of any kind, made in the run folder, that a share
            of the crops is drawn from (`training.varied_share`); their cells have no type.
        replay: annotated data sets of other cells, by folder or file, that crops are drawn from as
            from `varied_images`, so that what the starting model knows is not forgotten.
        adversarial: a critic that judges the predicted masks, of images without annotation too.
        teacher: a trained model that is learned from beside the annotations, on images without
            annotation too. It sees whole images where `training.feed` is 'device', else crops.
        finish: what follows the training.
        finetune: the starting model is kept unless the new one is better on images that were kept
            back; see `bigkingxxl.training.finetune`.
        pixel_size_um: micrometres per pixel of the training images (row, column); by default what
            the first one's file says.
        seed: of everything random.
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
        """The recipe with further data sets that are learnt again."""
        named = tuple(places)
        return self if not named else self.model_copy(update={"replay": (*self.replay, *named)})

    def with_unlabelled(self, places: Iterable[str], *, use: bool) -> Recipe:
        """The recipe with other images without annotation; without `use` with none.

        Raises:
            SettingsError: the recipe has no critic or teacher for them, or both is asked for.
        """
        named = tuple(places)
        if use and not named:
            return self
        learner = "adversarial" if self.adversarial else "teacher" if self.teacher else None
        if learner is None:
            raise SettingsError(
                "only a recipe with a critic or a teacher learns from images without annotation: "
                "take unetr_gan or rcnn_gan, or add --set adversarial.weight=0.002, or --set "
                "teacher.model=bundled",
                key="--unlabelled",
            )
        if named and not use:
            raise SettingsError(
                "--unlabelled and --no-unlabelled exclude each other",
                key="--unlabelled",
                found="--no-unlabelled",
            )
        chosen = {"semi_supervised": use, **({"unlabelled": named} if named else {})}
        changed = getattr(self, learner).changed(**chosen)
        return self.model_copy(update={learner: changed})


def recipe_names() -> list[str]:
    """The shipped recipes."""
    return sorted(file.stem for file in recipe_folder().glob("[!_]*.py"))


def recipe_folder() -> Path:
    """Where the shipped recipes lie."""
    return Path(str(resources.files("bigkingxxl.recipes")))


def recipe_path(config: str) -> Path:
    """The file of a config, or of a shipped recipe's name.

    Raises:
        SettingsError: neither a file nor a recipe.
    """
    path = Path(config)
    if path.suffix or path.is_file():
        return path
    names = recipe_names()
    if config not in names:
        raise SettingsError(
            f"'{config}' is no config file and no recipe{nearest(config, names)}",
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
    """The recipe of a config file or of a shipped recipe's name, with overrides.

    Args:
        allow_code: run the file where it is Python that is more than literals.

    Raises:
        SettingsError: neither a file nor a recipe, an unknown key, an impossible value, or a file
            that needs code.
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
