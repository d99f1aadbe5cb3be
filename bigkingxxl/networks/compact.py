"""A small U-Net for CPUs: a pretrained encoder and a light decoder that ends at half resolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from bigkingxxl.networks.encoders import encoder

STRIDE = 32


class CompactNetwork(nn.Module):
    """Encoder features from stride 32 up to stride 2, then a pixel shuffle to full resolution.

    Convolutions at full resolution would cost more than the rest of the network. The shuffle
    predicts the four pixels of each position at half resolution at once (Shi et al. 2016).

    Args:
        encoder_name: The name of a timm network.
        image_channels: The number of channels C of the images.
        out_channels: The number of maps K.
        widths: The channels of the decoder at strides 16, 8, 4 and 2.
    """

    def __init__(
        self, encoder_name: str, image_channels: int, out_channels: int, widths: Sequence[int]
    ) -> None:
        super().__init__()
        self.encoder = encoder(encoder_name, image_channels)
        skips: list[int] = self.encoder.feature_info.channels()  # type: ignore[union-attr, operator]
        below = skips[-1]
        stages = []
        for skip, width in zip(skips[-2::-1], widths, strict=True):
            stages.append(UpBlock(below, skip, width))
            below = width
        self.decoder = nn.ModuleList(stages)
        self.head = nn.Conv2d(below, out_channels * 4, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Compute logits float[B, K, h, w] of float[B, C, h, w]; sides are padded to 32."""
        height, width = image.shape[-2:]
        padding = (0, -width % STRIDE, 0, -height % STRIDE)
        if any(padding):
            image = functional.pad(image, padding, mode="replicate")
        features = self.encoder(image)
        x = features[-1]
        for stage, skip in zip(self.decoder, features[-2::-1], strict=True):
            x = stage(x, skip)
        logits = functional.pixel_shuffle(self.head(x), 2)
        return logits[..., :height, :width]


class UpBlock(nn.Module):
    """Double the resolution, concatenate the encoder's features, and convolve twice."""

    def __init__(self, below: int, skip: int, width: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(below, width, 1, bias=False)
        self.join = conv_block(width + skip, width)
        self.refine = conv_block(width, width)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Compute float[B, width, 2h, 2w] of [B, below, h, w] and [B, skip, 2h, 2w]."""
        x = functional.interpolate(self.reduce(x), scale_factor=2.0, mode="nearest")
        joined: Tensor = self.refine(self.join(torch.cat((x, skip), dim=1)))
        return joined


def conv_block(inputs: int, outputs: int) -> nn.Sequential:
    """Create a 3 x 3 convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
