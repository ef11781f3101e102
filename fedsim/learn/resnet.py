"""Residual networks with group normalisation: resnet8, resnet12 and resnet18.

GroupNorm keeps no running statistics, so a model is its parameters and averaging them is sound
(Hsieh et al. 2020, arXiv 1910.00189). Two groups everywhere, as in lgrativol/fl_exps.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import relu

GROUPS = 2


class BasicBlock(nn.Module):
    """Add two 3x3 convolutions to a shortcut, which is 1x1 where the shape changes.

    Source: He et al. 2016, arXiv 1512.03385, figure 5 left.
    """

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, c_out)
        self.shortcut = nn.Sequential()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.GroupNorm(GROUPS, c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = relu(self.norm1(self.conv1(x)))  # (B, c_in, H, W) -> (B, c_out, H/s, W/s)
        y = self.norm2(self.conv2(y))
        return relu(y + self.shortcut(x))


class PooledBlock(nn.Module):
    """Add three 3x3 convolutions to a 1x1 shortcut, then halve the sides.

    Source: lgrativol/dasip23_comp_fl; LeakyReLU 0.1, MaxPool 2.
    """

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.norm1 = nn.GroupNorm(GROUPS, c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.norm2 = nn.GroupNorm(GROUPS, c_out)
        self.conv3 = nn.Conv2d(c_out, c_out, 3, padding=1, bias=False)
        self.norm3 = nn.GroupNorm(GROUPS, c_out)
        self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.GroupNorm(GROUPS, c_out))
        self.act = nn.LeakyReLU(0.1)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.norm1(self.conv1(x)))  # (B, c_in, H, W) -> (B, c_out, H, W)
        y = self.act(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        y = self.act(y + self.shortcut(x))
        return self.pool(y)  # type: ignore[no-any-return]  # (B, c_out, H/2, W/2)


def resnet8(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build the 1,227,594-parameter ResNet-8 of FedDF and fl_exps: a stem and three blocks.

    width: factor on all channels. Source: Lin et al. 2020, arXiv 2006.07242; lgrativol/fl_exps.
    """
    c1, c2, c3 = _widths(width, 64, 128, 256)
    blocks = [BasicBlock(c1, c1, 1), BasicBlock(c1, c2, 2), BasicBlock(c2, c3, 2)]
    return nn.Sequential(*_stem(shape, c1), *blocks, *_head(c3, classes))


def resnet12(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build the 780,266-parameter ResNet-12: four blocks of 16, 40, 80 and 160 channels.

    width: factor on all channels. Source: Grativol Ribeiro et al. 2023, arXiv 2310.14693 (code dasip23_comp_fl).
    """
    widths = (shape[0], *_widths(width, 16, 40, 80, 160))
    return nn.Sequential(*(PooledBlock(a, b) for a, b in pairwise(widths)), *_head(widths[-1], classes))


def resnet18(classes: int, shape: tuple[int, ...], *, width: float = 1.0) -> nn.Module:
    """Build ResNet-18 for small images: a 3x3 stem without pooling, four stages of two blocks.

    width: factor on all channels. Source: He et al. 2016, arXiv 1512.03385; GroupNorm in place of BatchNorm.
    """
    widths = _widths(width, 64, 64, 128, 256, 512)
    blocks = []
    for stride, (a, b) in zip((1, 2, 2, 2), pairwise(widths), strict=True):
        blocks += [BasicBlock(a, b, stride), BasicBlock(b, b, 1)]
    return nn.Sequential(*_stem(shape, widths[0]), *blocks, *_head(widths[-1], classes))


def _widths(width: float, *channels: int) -> tuple[int, ...]:
    """Return *width* times each number of channels, as near as whole groups come."""
    return tuple(GROUPS * max(1, round(width * n / GROUPS)) for n in channels)


def _stem(shape: tuple[int, ...], width: int) -> tuple[nn.Module, ...]:
    conv = nn.Conv2d(shape[0], width, 3, padding=1, bias=False)  # (B, C, H, W) -> (B, width, H, W)
    return conv, nn.GroupNorm(GROUPS, width), nn.ReLU()


def _head(width: int, classes: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes)  # (B, width, h, w) -> (B, classes)
