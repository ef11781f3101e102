"""Small stacks of layers of all kinds and sizes, to be timed as training steps and forward passes.

A stack rather than one operator: its working set, allocations and caches are those of training, and the same
trace counts its Load. Sizes are drawn log-uniformly by a fixed seed, within bounds of arithmetic and memory.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

Layer = Callable[[], nn.Module]
_NUMBERS = 2.0e7  # of one activation, at most: 80 MB


class Fragment(NamedTuple):
    """A stack of layers of one *family*, for *batch* examples of *shape*."""

    name: str
    family: str
    build: Layer
    shape: tuple[int, ...]
    batch: int


def fragments(*, quick: bool = False) -> list[Fragment]:
    """Return the stacks to time, the same ones each time; a fifth of each family when *quick*."""
    dice = random.Random(0)  # noqa: S311 -- a design, no secret
    drawn = [[family(dice) for _ in range(count)] for family, count in _FAMILIES]
    return [fragment for some in drawn for fragment in (some[::5] if quick else some)]


def _between(dice: random.Random, low: float, high: float) -> float:
    return math.exp(dice.uniform(math.log(low), math.log(high)))


def _channels(dice: random.Random, low: int, high: int) -> int:
    return max(8, round(_between(dice, low, high) / 8) * 8)


def _flops(dice: random.Random) -> float:
    """Draw what a training step may do."""
    return _between(dice, 5e8, 8e9)


def _batch(dice: random.Random) -> int:
    return round(_between(dice, 4, 32))


def _side(dice: random.Random, flops: float, numbers: float) -> int:
    """Draw the side of an image, given the FLOP and the numbers that one pixel asks for."""
    return max(4, int(min(_between(dice, 4, 112), math.sqrt(_flops(dice) / flops), math.sqrt(_NUMBERS / numbers))))


def _stack(*layers: Layer) -> Layer:
    return lambda: nn.Sequential(*[layer() for layer in layers])


def _image(family: str, build: Layer, size: tuple[int, int, int]) -> Fragment:
    channels, side, batch = size
    return Fragment(f"{family} {channels}x{side}x{side} b{batch}", family, build, (channels, side, side), batch)


def _conv(dice: random.Random, *, kernels: tuple[int, ...] = (3,), depth: int = 3) -> Fragment:
    side, batch = dice.choice(kernels), _batch(dice)
    most = math.sqrt(_flops(dice) / (6 * depth * side**2 * 16 * batch))
    channels = min(_channels(dice, 8, 512), int(most) // 8 * 8)
    size = _side(dice, 6 * depth * channels**2 * side**2 * batch, channels * batch)
    layers = [partial(nn.Conv2d, channels, channels, side, padding=side // 2)] * depth
    return _image(f"conv{side}", _stack(*layers), (channels, size, batch))


def _down(dice: random.Random) -> Fragment:
    channels, batch = _channels(dice, 8, 256), _batch(dice)
    size = _side(dice, 27 * channels**2 * batch, channels * batch)
    return _image("down", _stack(partial(nn.Conv2d, channels, 2 * channels, 3, 2, 1)), (channels, size, batch))


def _stem(dice: random.Random) -> Fragment:
    channels, batch, side = _channels(dice, 16, 96), _batch(dice), dice.choice((3, 3, 4, 7))
    size = min(dice.choice((32, 64, 128, 224)), int(math.sqrt(4 * _NUMBERS / channels / batch)))
    stride = 4 if side == 4 else dice.choice((1, 2)) if size <= 64 else 2
    layer = partial(nn.Conv2d, 3, channels, side, stride, side // 2)
    return _image(f"stem{side}s{stride}", _stack(layer), (3, size, batch))


def _pointwise(dice: random.Random) -> Fragment:
    channels, batch = _channels(dice, 8, 1024), _batch(dice)
    wide = _channels(dice, max(8, channels // 4), channels * 6)
    size = _side(dice, 12 * channels * wide * batch, max(channels, wide) * batch)
    layers = partial(nn.Conv2d, channels, wide, 1), partial(nn.Conv2d, wide, channels, 1)
    return _image("pointwise", _stack(*layers), (channels, size, batch))


def _depthwise(dice: random.Random, *, kernels: tuple[int, ...]) -> Fragment:
    channels, batch, side, stride = _channels(dice, 8, 1024), _batch(dice), dice.choice(kernels), dice.choice((1, 1, 2))
    size = _side(dice, 12 * channels * side**2 * batch, 2 * channels * batch)
    layer = partial(nn.Conv2d, channels, channels, side, padding=side // 2, groups=channels)
    return _image(f"depthwise{side}s{stride}", _stack(partial(layer, stride=stride), layer), (channels, size, batch))


def _grouped(dice: random.Random) -> Fragment:
    groups, batch = dice.choice((4, 8, 16, 32)), _batch(dice)
    channels = groups * dice.choice((4, 8, 16, 32))
    size = _side(dice, 12 * channels**2 // groups * 9 * batch, channels * batch)
    layer = partial(nn.Conv2d, channels, channels, 3, padding=1, groups=groups)
    return _image(f"grouped{groups}", _stack(layer, layer), (channels, size, batch))


def _linear(dice: random.Random) -> Fragment:
    batch, tokens = _batch(dice), dice.choice((1, 1, 16, 50, 197, 784))
    flops = _flops(dice) / (12 * tokens * batch)
    width = min(_channels(dice, 32, 2048), int(math.sqrt(flops)) // 8 * 8)
    wide = min(_channels(dice, width, 4 * width), int(flops / width) // 8 * 8 + 8)
    shape = (width,) if tokens == 1 else (tokens, width)
    layers = partial(nn.Linear, width, wide), partial(nn.Linear, wide, width)
    return Fragment(f"linear {tokens}x{width}-{wide} b{batch}", "linear", _stack(*layers), shape, batch)


def _large_linear(dice: random.Random) -> Fragment:
    width, batch = _channels(dice, 512, 4096), _batch(dice)
    build = _stack(partial(nn.Linear, width, width))
    return Fragment(f"large-linear {width} b{batch}", "large-linear", build, (width,), batch)


class _Attention(nn.Module):
    """Self-attention, fused or spelt out as older code does."""

    def __init__(self, width: int, heads: int, *, fused: bool) -> None:
        super().__init__()
        self.taken, self.given = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.heads, self.fused = heads, fused

    def forward(self, x: Tensor) -> Tensor:
        b, n, d = x.shape
        q, k, v = self.taken(x).reshape(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)  # (B, h, N, d/h)
        if self.fused:
            mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            mixed = (q @ k.transpose(-2, -1) * (d // self.heads) ** -0.5).softmax(-1) @ v
        out: Tensor = self.given(mixed.transpose(1, 2).reshape(b, n, d))
        return out


def _attention(dice: random.Random) -> Fragment:
    heads, tokens, fused = dice.choice((1, 3, 6, 12)), dice.choice((16, 49, 197, 300)), dice.random() < 0.6
    width = dice.choice((32, 64)) * heads
    most = int(_flops(dice) / (12 * tokens * (4 * width**2 + 2 * tokens * width)))
    layer, batch = partial(_Attention, width, heads, fused=fused), max(1, min(round(_between(dice, 4, 64)), most))
    family = "attention" if fused else "softmax-attention"
    name = f"{family} {tokens}x{width} h{heads} b{batch}"
    return Fragment(name, family, _stack(layer, layer), (tokens, width), batch)


class _Residual(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x + x.relu()


class _Turn(nn.Module):
    """Brings channels last and back, by copies."""

    def forward(self, x: Tensor) -> Tensor:
        return x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2).contiguous()


class _Join(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        half = x.shape[1] // 2
        return torch.cat([x[:, half:], x[:, :half]], 1)


class _Gate(nn.Module):
    """Squeeze and excitation."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, channels // 4, 1), nn.Conv2d(channels // 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate: Tensor = self.up(self.down(x.mean((2, 3), keepdim=True)).relu())
        return x * gate.sigmoid()


_PASSES: dict[str, Callable[[int], nn.Module]] = {
    "relu": lambda _: nn.ReLU(),
    "relu-in-place": lambda _: nn.ReLU(inplace=True),
    "relu6": lambda _: nn.ReLU6(inplace=True),
    "gelu": lambda _: nn.GELU(),
    "silu": lambda _: nn.SiLU(inplace=True),
    "hardswish": lambda _: nn.Hardswish(inplace=True),
    "sigmoid": lambda _: nn.Sigmoid(),
    "batch-norm": nn.BatchNorm2d,
    "group-norm": lambda channels: nn.GroupNorm(4, channels),
    "max-pool": lambda _: nn.MaxPool2d(3, 1, 1),
    "mean-pool": lambda _: nn.AvgPool2d(3, 1, 1),
    "residual": lambda _: _Residual(),
    "turn": lambda _: _Turn(),
    "join": lambda _: _Join(),
    "gate": _Gate,
}


def _pass(dice: random.Random, *, name: str) -> Fragment:
    channels, batch = _channels(dice, 16, 512), _batch(dice)
    size = _side(dice, 1, channels * batch)
    layers: list[Layer] = [partial(nn.BatchNorm2d, channels), partial(_PASSES[name], channels)] * 2
    return _image(name, _stack(*layers), (channels, size, batch))


def _layer_norm(dice: random.Random) -> Fragment:
    width, batch, tokens = _channels(dice, 32, 1536), _batch(dice), dice.choice((49, 197, 784, 3136))
    tokens = min(tokens, int(_NUMBERS / width / batch))
    build = _stack(*[partial(nn.LayerNorm, width)] * 3)
    return Fragment(f"layer-norm {tokens}x{width} b{batch}", "layer-norm", build, (tokens, width), batch)


def _tiny(dice: random.Random) -> Fragment:
    """Return a stack whose calls cost more than its work."""
    depth, width = round(_between(dice, 4, 40)), dice.choice((8, 16, 64))
    layers: list[Layer] = [partial(nn.Linear, width, width), nn.ReLU] * depth
    return Fragment(f"tiny {depth}x{width}", "tiny", _stack(*layers), (width,), 8)


def _tiny_conv(dice: random.Random) -> Fragment:
    depth = round(_between(dice, 2, 20))
    layers: list[Layer] = [partial(nn.Conv2d, 8, 8, 3, padding=1), partial(nn.BatchNorm2d, 8), nn.ReLU] * depth
    return Fragment(f"tiny-conv {depth}", "tiny-conv", _stack(*layers), (8, 8, 8), 8)


def _families() -> Iterator[tuple[Callable[[random.Random], Fragment], int]]:
    yield partial(_conv, kernels=(3,)), 27
    yield partial(_conv, kernels=(5, 7)), 9
    yield _down, 9
    yield _stem, 12
    yield _pointwise, 30
    yield partial(_depthwise, kernels=(3,)), 18
    yield partial(_depthwise, kernels=(5, 7)), 15
    yield _grouped, 9
    yield _linear, 24
    yield _large_linear, 6
    yield _attention, 18
    yield _layer_norm, 9
    yield _tiny, 6
    yield _tiny_conv, 6
    for name in _PASSES:
        yield partial(_pass, name=name), 6


_FAMILIES = tuple(_families())
