"""The critic of adversarial training, which scores how real an image with its masks looks."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

LEAK = 0.2


class Critic(nn.Module):
    """A fully convolutional critic that scores patches; sides must be at least 16 pixels.

    It has no normalisation: the gradient penalty concerns each image by itself
    (Gulrajani et al. 2017), and a batch norm would mix them. The image is an input beside the
    masks, so that they are judged as masks of this image (Mirza and Osindero 2014).

    Args:
        image_channels: The channels of the image.
        types: The layers of the masks.
        width: The channels of the first of four convolutions that halve the resolution.
    """

    def __init__(self, image_channels: int, types: int, width: int) -> None:
        super().__init__()
        channels = [image_channels + types, width, 2 * width, 4 * width, 4 * width]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.LeakyReLU(LEAK)]
        self.body = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def forward(self, images: Tensor, layers: Tensor) -> Tensor:
        """Compute scores float32[B, 1, h / 16, w / 16], high where the input looks real.

        Args:
            images: float[B, C, h, w].
            layers: float[B, T, h, w] in [0, 1].
        """
        scores: Tensor = self.score(self.body(torch.cat((images.float(), layers.float()), dim=1)))
        return scores
