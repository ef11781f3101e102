"""A small vision transformer with the attention written out, for methods that reorder its rows."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.errors import InputError


class Attention(nn.Module):
    """Let every token read from every other, in several heads.

    Query, key and value are separate layers and the products explicit, so that the rows of
    ``q`` and ``k`` can be permuted or cut alike inside a head (RaFFM, arXiv 2310.00247).
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.q = nn.Linear(dim, dim)
        self.k = nn.Linear(dim, dim)
        self.v = nn.Linear(dim, dim)
        self.out = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (self._split(layer(x)) for layer in (self.q, self.k, self.v))
        reads = q @ k.transpose(-2, -1) * self.scale  # (B, heads, T, d) x (B, heads, d, T) -> (B, heads, T, T)
        y = reads.softmax(dim=-1) @ v  # (B, heads, T, d)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # (B, T, dim)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, T, heads * d) -> (B, heads, T, d)


class Block(nn.Module):
    """Add attention, then a four times wider perceptron, to the residual stream."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, 4 * dim)
        self.act = nn.GELU()
        self.narrow = nn.Linear(4 * dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attention(self.norm1(x))  # (B, T, dim)
        return x + self.narrow(self.act(self.wide(self.norm2(x))))  # type: ignore[no-any-return]


class ViT(nn.Module):
    """Cut an image into patches, mix them in a transformer and read the class token.

    Source: Dosovitskiy et al. 2021, arXiv 2010.11929, equations 1 to 4; no dropout.
    """

    def __init__(self, classes: int, patches: nn.Conv2d, tokens: int) -> None:
        super().__init__()
        dim = patches.out_channels
        self.patches = patches
        self.cls = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens + 1, dim), std=0.02))
        self.blocks = nn.Sequential()
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)  # (B, C, H, W) -> (B, dim, h, w) -> (B, T, dim)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], dim=1)  # (B, 1 + T, dim)
        x = self.blocks(x + self.position)
        return self.head(self.norm(x[:, 0]))  # type: ignore[no-any-return]  # (B, classes)


def vit_tiny(
    classes: int, shape: tuple[int, ...], *, dim: int = 192, heads: int = 3, depth: int = 12, patch: int = 4
) -> nn.Module:
    """Build ViT-Tiny (Touvron et al. 2021, arXiv 2012.12877, table 1) for small images.

    dim: width of the residual stream; heads: attention heads, which divide dim; depth: blocks;
    patch: a patch's side in pixels, which divides the image's sides.
    Raises InputError if heads do not divide dim, and ValueError if patch does not fit the shape.
    """
    channels, height, width = shape
    if dim % heads:
        raise InputError(f"heads = {heads} of model 'vit_tiny' does not divide dim = {dim}: choose one that does")
    if height % patch or width % patch:
        raise ValueError(f"patch = {patch} does not divide the sides {height} and {width}; choose one that does")
    patches = nn.Conv2d(channels, dim, patch, stride=patch)
    vit = ViT(classes, patches, (height // patch) * (width // patch))
    vit.blocks.extend(Block(dim, heads) for _ in range(depth))
    return vit
