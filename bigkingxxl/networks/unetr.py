"""MONAI's UNETR for images of any size, optionally with a convolutional pyramid."""

from __future__ import annotations

from typing import Any

from monai.networks.nets.unetr import UNETR
from torch import Tensor, nn
from torch.nn import functional

from bigkingxxl.networks.encoders import encoder


class AnySizeUNETR(UNETR):
    """A two-dimensional UNETR whose input may have any size.

    The image is padded to multiples of the patch, the learned position embedding is interpolated to
    the number of patches, and the output is cropped. Source: Hatamizadeh et al. 2022, UNETR; the
    interpolation is that of the Vision Transformer (Dosovitskiy et al. 2021, section 3.2).
    """

    def __init__(self, **monai: Any) -> None:
        super().__init__(**monai)
        # MONAI creates layers for cross-attention, which a UNETR does not have. They are never
        # trained and depend on the version of MONAI, so they must not enter model files.
        for block in self.vit.blocks:
            block.norm_cross_attn = block.cross_attn = nn.Identity()

    def forward(self, x_in: Tensor) -> Tensor:
        """Compute logits float[B, K, h, w] of float[B, C, h, w]."""
        height, width = x_in.shape[-2:]
        patch_height, patch_width = self.patch_size
        padding = (0, -width % patch_width, 0, -height % patch_height)
        x = functional.pad(x_in, padding, mode="replicate") if any(padding) else x_in
        grid = (x.shape[-2] // patch_height, x.shape[-1] // patch_width)
        half, quarter, eighth, patches = self._pyramid(x)
        tokens, hidden = self._tokens(x, grid, patches)
        enc2 = self.encoder2(self._as_image(hidden[3], grid)) + half
        enc3 = self.encoder3(self._as_image(hidden[6], grid)) + quarter
        enc4 = self.encoder4(self._as_image(hidden[9], grid)) + eighth
        out = self.decoder5(self._as_image(tokens, grid), enc4)
        out = self.decoder2(self.decoder3(self.decoder4(out, enc3), enc2), self.encoder1(x))
        logits: Tensor = self.out(out)
        return logits[..., :height, :width]

    def _pyramid(self, x: Tensor) -> Any:  # noqa: ARG002
        """Return features to add at strides 2, 4, 8 and 16; none in the plain UNETR."""
        return 0.0, 0.0, 0.0, 0.0

    def _tokens(
        self, x: Tensor, grid: tuple[int, int], patches: Tensor | float
    ) -> tuple[Tensor, list[Tensor]]:
        embedding = self.vit.patch_embedding
        tokens = (embedding.patch_embeddings(x) + patches).flatten(2).transpose(-1, -2)
        tokens = embedding.dropout(tokens + self._positions(grid))
        hidden = []
        for block in self.vit.blocks:
            tokens = block(tokens)
            hidden.append(tokens)
        return self.vit.norm(tokens), hidden

    def _positions(self, grid: tuple[int, int]) -> Tensor:
        learnt: Tensor = self.vit.patch_embedding.position_embeddings
        if grid == tuple(self.feat_size):
            return learnt
        image = learnt.transpose(1, 2).reshape(1, -1, *self.feat_size)
        image = functional.interpolate(image, size=grid, mode="bicubic", align_corners=False)
        return image.flatten(2).transpose(1, 2)

    @staticmethod
    def _as_image(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        return tokens.transpose(1, 2).reshape(tokens.shape[0], tokens.shape[2], *grid)


class PyramidUNETR(AnySizeUNETR):
    """A UNETR whose features at strides 2 to 16 include those of a convolutional encoder.

    A plain UNETR sees detail only at full resolution and in patches of 16 pixels, and needs very
    many images to learn what lies in between; a pretrained pyramid provides it. After the hybrid
    vision transformer (Dosovitskiy et al. 2021, section 3.1) and TransUNet (Chen et al. 2021).

    Args:
        encoder_name: The name of a timm network with features at strides 2, 4, 8 and 16.
        **monai: The arguments of UNETR.
    """

    def __init__(self, encoder_name: str, **monai: Any) -> None:
        super().__init__(**monai)
        self.pyramid = encoder(encoder_name, monai["in_channels"], stages=4)
        found: list[int] = self.pyramid.feature_info.channels()  # type: ignore[union-attr, operator]
        feature = monai["feature_size"]
        wanted = (2 * feature, 4 * feature, 8 * feature, monai["hidden_size"])
        self.laterals = nn.ModuleList(
            nn.Conv2d(inputs, outputs, 1) for inputs, outputs in zip(found, wanted, strict=True)
        )

    def _pyramid(self, x: Tensor) -> Any:
        features = self.pyramid(x)
        return [lateral(f) for lateral, f in zip(self.laterals, features, strict=True)]
