"""Vision transformers with the attention written out, for methods that reorder its rows."""

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

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        """Mix x (B, T, dim); nobody reads from the tokens that are *padding*, (B, T) bool."""
        q, k, v = (self._split(layer(x)) for layer in (self.q, self.k, self.v))
        reads = q @ k.transpose(-2, -1) * self.scale  # (B, heads, T, d) x (B, heads, d, T) -> (B, heads, T, T)
        if padding is not None:
            reads = reads.masked_fill(padding[:, None, None], torch.finfo(reads.dtype).min)
        y = reads.softmax(dim=-1) @ v  # (B, heads, T, d)
        return self.out(y.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]  # (B, T, dim)

    def _split(self, x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], self.heads, -1).transpose(1, 2)  # (B, T, heads * d) -> (B, heads, T, d)


class Block(nn.Module):
    """Add attention, then a perceptron of *ffn* hidden units (four times dim unless given), to the residual stream."""

    def __init__(self, dim: int, heads: int, ffn: int | None = None) -> None:
        super().__init__()
        ffn = 4 * dim if ffn is None else ffn
        self.norm1 = nn.LayerNorm(dim)
        self.attention = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.wide = nn.Linear(dim, ffn)
        self.act = nn.GELU()
        self.narrow = nn.Linear(ffn, dim)

    def forward(self, x: Tensor, padding: Tensor | None = None) -> Tensor:
        x = x + self.attention(self.norm1(x), padding)  # (B, T, dim)
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
    return _vit("vit_tiny", classes, shape, dim=dim, heads=heads, depth=depth, patch=patch)


def vit(
    classes: int, shape: tuple[int, ...], *, dim: int = 768, heads: int = 12, depth: int = 12, patch: int = 16
) -> nn.Module:
    """Build ViT-B/16 (Dosovitskiy et al. 2021, arXiv 2010.11929, table 1); options and errors as vit_tiny's."""
    return _vit("vit", classes, shape, dim=dim, heads=heads, depth=depth, patch=patch)


def check_heads(model: str, dim: int, heads: int) -> None:
    """Raise InputError unless *heads* divide *dim*."""
    if dim % heads:
        raise InputError(f"heads = {heads} of model {model!r} does not divide dim = {dim}: choose one that does")


def _vit(name: str, classes: int, shape: tuple[int, ...], *, dim: int, heads: int, depth: int, patch: int) -> nn.Module:
    check_heads(name, dim, heads)
    channels, height, width = shape
    if height % patch or width % patch:
        raise ValueError(f"patch = {patch} does not divide the sides {height} and {width}; choose one that does")
    patches = nn.Conv2d(channels, dim, patch, stride=patch)
    made = ViT(classes, patches, (height // patch) * (width // patch))
    made.blocks.extend(Block(dim, heads) for _ in range(depth))
    return made
