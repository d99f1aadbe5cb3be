"""MONAI's UNETR for images of any size."""

from __future__ import annotations

from monai.networks.nets.unetr import UNETR
from torch import Tensor
from torch.nn import functional


class AnySizeUNETR(UNETR):
    """UNETR in two dimensions whose input may have any size.

    The image is padded to multiples of the patch, the learnt position embedding is interpolated to
    the number of patches, and the output is cut back. Source: Hatamizadeh et al. 2022, UNETR;
    the interpolation is the Vision Transformer's own (Dosovitskiy et al. 2021, section 3.2).
    """

    def forward(self, x_in: Tensor) -> Tensor:
        """float[B, K, h, w] logits from float[B, C, h, w]."""
        height, width = x_in.shape[-2:]
        patch_height, patch_width = self.patch_size
        padding = (0, -width % patch_width, 0, -height % patch_height)
        x = functional.pad(x_in, padding, mode="replicate") if any(padding) else x_in
        grid = (x.shape[-2] // patch_height, x.shape[-1] // patch_width)
        tokens, hidden = self._tokens(x, grid)
        enc1 = self.encoder1(x)
        enc2 = self.encoder2(self._as_image(hidden[3], grid))
        enc3 = self.encoder3(self._as_image(hidden[6], grid))
        enc4 = self.encoder4(self._as_image(hidden[9], grid))
        out = self.decoder5(self._as_image(tokens, grid), enc4)
        out = self.decoder2(self.decoder3(self.decoder4(out, enc3), enc2), enc1)
        logits: Tensor = self.out(out)
        return logits[..., :height, :width]

    def _tokens(self, x: Tensor, grid: tuple[int, int]) -> tuple[Tensor, list[Tensor]]:
        embedding = self.vit.patch_embedding
        tokens = embedding.patch_embeddings(x).flatten(2).transpose(-1, -2)
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
        return tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
