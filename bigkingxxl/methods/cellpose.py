"""Cellpose: the network of the cellpose library with our flows, losses, decoding and training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from bigkingxxl.decoding.flows import Flows, FlowsSettings
from bigkingxxl.errors import InputError, SettingsError
from bigkingxxl.extras import install
from bigkingxxl.methods.base import Batch, DenseMethod
from bigkingxxl.settings import Channels, Settings, checked

if TYPE_CHECKING:
    from torch import Tensor, nn

STRIDES = {"unet": 16, "sam": 256}  # Cellpose-SAM has position embeddings for tiles of this size


class CellposeSettings(Settings):
    """The network and its initial weights.

    Attributes:
        network: 'unet' (cellpose 3.1, trains and predicts) or 'sam' (4.x, predicts only).
        start: The initial weights: a model that the library knows by name ('nuclei', 'cyto3',
            'livecell_cp3', ...), which it downloads, or a Cellpose file; by default random weights.
        image_channels: The number of channels C of the images; more than the network takes are
            averaged.
        representation_settings: The settings of the flows; without a `dice_weight` the loss is that
            of Cellpose.
    """

    network: Literal["unet", "sam"] = "unet"
    start: str | None = None
    image_channels: Channels = 1
    representation_settings: dict[str, Any] = Field(default_factory=dict)


class Cellpose(DenseMethod):
    """Cellpose (Stringer et al. 2021) and its successors.

    The network expects cells of one size: train with `augment.diameter` (30 pixels; 17 for
    'nuclei').
    """

    name: ClassVar[str] = "cellpose"
    Settings: ClassVar[type[Settings]] = CellposeSettings
    output_layer: ClassVar[str] = "types"
    zooms: ClassVar[tuple[float, ...]] = (0.8, 1.0, 1.25)

    def __init__(self, settings: CellposeSettings, type_names: tuple[str, ...]) -> None:
        super().__init__(settings, type_names)
        own = {"dice_weight": 0.0, **settings.representation_settings}
        flows = checked(FlowsSettings, own, where="settings of the representation 'flows'")
        if flows.boundary:
            raise SettingsError(
                "the network of Cellpose has no boundary map: remove 'boundary'", key="boundary"
            )
        if settings.network == "sam" and len(type_names) > 1:
            raise SettingsError(
                f"Cellpose-SAM does not distinguish cell types, but {len(type_names)} are named",
                key="cell_types",
                found=len(type_names),
            )
        self.representation = Flows(type_names, flows)
        self.stride = STRIDES[settings.network]
        self.any_size = settings.network == "unet"

    @property
    def output_maps(self) -> tuple[str, ...]:
        """The maps of the output layer; cell types have a layer of our own."""
        return tuple(f"type_{name}" for name in self.type_names)

    def build(self) -> nn.Module:
        """Build a network without trained weights.

        Raises:
            MissingExtraError: The library is not installed, or its version does not have the
                network.
        """
        from bigkingxxl.networks.cellpose import CellposeNetwork

        return CellposeNetwork(self.settings.network, len(self.type_names))

    def initialise(self, network: nn.Module) -> None:
        """Load the weights of `start` before training.

        Raises:
            InputError: See `cellpose_files.read_cellpose`; or the network cannot be trained.
            ModelError: See `cellpose_files.read_cellpose`.
        """
        from bigkingxxl.networks.cellpose_files import load_library, read_cellpose

        self._check_trains()
        if self.settings.start:
            file = read_cellpose(self.settings.start)
            if file.kind != "unet":
                raise InputError(
                    f"{file.path} is a network of cellpose 4, which only predicts here: import it "
                    "(bigkingxxl import-weights --from cellpose), or start from one of 3.1",
                    file=file.path,
                    key="settings.start",
                )
            load_library(network.library, file)  # type: ignore[arg-type]

    def loss(self, network: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of the flows, or Cellpose's for one cell type without Dice."""
        self._check_trains()
        return super().loss(network, batch)

    def _check_trains(self) -> None:
        if self.settings.network != "unet":
            raise InputError(
                "networks of cellpose 4 (Cellpose-SAM) only predict here: train one of 3.1, "
                f"settings.network=unet ({install('cellpose')})",
                key="settings.network",
                expected="unet",
            )
