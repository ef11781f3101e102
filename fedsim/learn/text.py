"""Small models that read tokens: what they take is (B, T) int64, what they give logits (B, classes)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.learn.vit import Block, check_heads


class Lstm(nn.Module):
    """Read a text from left to right and classify it by the state at its last token that is no padding."""

    def __init__(self, embed: nn.Embedding, lstm: nn.LSTM, head: nn.Linear, *, pad: int) -> None:
        super().__init__()
        self.pad = pad
        self.embed = embed
        self.lstm = lstm
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.embed(x))  # (B, T) -> (B, T, embed) -> (B, T, hidden)
        last = ((x != self.pad).sum(1) - 1).clamp(min=0)  # (B,)
        return self.head(states[torch.arange(len(x), device=x.device), last])  # type: ignore[no-any-return]


class Encoder(nn.Module):
    """Let all tokens read from each other in a transformer and classify by the first, [CLS].

    The blocks are those of ViT (norm first) with learnt positions; padding is read by nobody.
    """

    def __init__(self, embed: nn.Embedding, classes: int, *, tokens: int, pad: int) -> None:
        super().__init__()
        dim = embed.embedding_dim
        self.pad = pad
        self.embed = embed
        self.position = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, tokens, dim), std=0.02))
        self.blocks = nn.ModuleList()
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, classes)

    def forward(self, x: Tensor) -> Tensor:
        padding = x == self.pad  # (B, T)
        h = self.embed(x) + self.position  # (B, T, dim)
        for block in self.blocks:
            h = block(h, padding)
        return self.head(self.norm(h[:, 0]))  # type: ignore[no-any-return]  # (B, classes)


def lstm(
    classes: int,
    shape: tuple[int, ...],  # noqa: ARG001 - it takes texts of any length
    *,
    vocab: int = 0,
    embed: int = 8,
    hidden: int = 256,
    depth: int = 2,
    pad: int = 0,
) -> nn.Module:
    """Build LEAF's LSTM for Shakespeare (Caldas et al. 2018, arXiv 1812.01097): 2 layers of 256 units.

    vocab: ids of tokens, and pad: the one that fills up; both the data's unless given.
    embed: width of a token; hidden: units of a layer; depth: layers.
    """
    layers = nn.LSTM(embed, hidden, depth, batch_first=True)
    return Lstm(nn.Embedding(vocab, embed), layers, nn.Linear(hidden, classes), pad=pad)


def bert_tiny(
    classes: int,
    shape: tuple[int, ...],
    *,
    vocab: int = 0,
    dim: int = 128,
    heads: int = 2,
    depth: int = 2,
    ffn: int = 512,
    pad: int = 0,
) -> nn.Module:
    """Build an encoder of the size of BERT-Tiny (Turc et al. 2019, arXiv 1908.08962).

    vocab: ids of tokens, and pad: the one that fills up; both the data's unless given.
    dim: width of the residual stream; heads: attention heads, which divide dim; depth: blocks;
    ffn: hidden units of a block's perceptron. Raises InputError if heads do not divide dim.
    """
    check_heads("bert_tiny", dim, heads)
    embed = nn.Embedding(vocab, dim)
    nn.init.trunc_normal_(embed.weight, std=0.02)
    encoder = Encoder(embed, classes, tokens=shape[0], pad=pad)
    encoder.blocks.extend(Block(dim, heads, ffn) for _ in range(depth))
    return encoder
