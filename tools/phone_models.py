"""The five networks that Cai et al. (EMDL 2021) trained on phones under MNN, as their code builds them.

It reuses one description of a convolution from layer to layer, and what is not set anew stays: GoogLeNet's second
convolution of 3 x 3 and SqueezeNet's last have a stride of 2. LeNet's second is not registered, hence never trained.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torchvision
from torch import Tensor, nn


class Fork(nn.Module):
    """Runs branches side by side and joins their channels."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], dim=1)


def conv(inputs: int, outputs: int, side: int, *, stride: int = 1, padding: int | None = None) -> nn.Conv2d:
    """Return a convolution that keeps the size at stride 1."""
    return nn.Conv2d(inputs, outputs, side, stride, side // 2 if padding is None else padding)


def halve() -> nn.MaxPool2d:
    """Return a pooling that halves the size, rounding up."""
    return nn.MaxPool2d(3, 2, 1)


def alexnet() -> nn.Module:
    """Return the single-tower AlexNet with one hidden linear layer."""
    return nn.Sequential(
        conv(3, 96, 11, stride=4, padding=0), nn.ReLU(), nn.MaxPool2d(3, 2),
        conv(96, 256, 5), nn.ReLU(), nn.MaxPool2d(3, 2),
        conv(256, 384, 3), nn.ReLU(), conv(384, 384, 3), nn.ReLU(), conv(384, 256, 3), nn.MaxPool2d(3, 2),
        nn.Flatten(), nn.Linear(6400, 4096), nn.ReLU(), nn.Dropout(), nn.ReLU(), nn.Dropout(), nn.Linear(4096, 10),
    )  # fmt: skip


def lenet() -> nn.Module:
    """Return LeNet with 20 and 50 channels, for 28 x 28 digits."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5).requires_grad_(requires_grad=False), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 400), nn.ReLU(), nn.Dropout(), nn.Linear(400, 10),
    )  # fmt: skip


def fire(inputs: int, squeezed: int, expanded: int) -> nn.Module:
    """Return a block of SqueezeNet."""
    return nn.Sequential(conv(inputs, squeezed, 1), Fork(conv(squeezed, expanded, 1), conv(squeezed, expanded, 3)))


def squeezenet() -> nn.Module:
    """Return SqueezeNet 1.0 without activations."""
    return nn.Sequential(
        conv(3, 96, 7, stride=2), halve(), fire(96, 16, 64), fire(128, 16, 64), fire(128, 32, 128), halve(),
        fire(256, 32, 128), fire(256, 48, 192), fire(384, 48, 192), fire(384, 64, 256), halve(),
        fire(512, 64, 256), conv(512, 10, 1, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    )  # fmt: skip


def inception(inputs: int, widths: tuple[int, int, int, int, int, int]) -> nn.Module:
    """Return a block of GoogLeNet: 1x1, 3x3 and 5x5 after a reduction, and pooling."""
    one, three_in, three, five_in, five, pooled = widths
    return Fork(
        conv(inputs, one, 1),
        nn.Sequential(conv(inputs, three_in, 1), conv(three_in, three, 3)),
        nn.Sequential(conv(inputs, five_in, 1), conv(five_in, five, 5)),
        nn.Sequential(nn.MaxPool2d(3, 1, 1), conv(inputs, pooled, 1)),
    )


def googlenet() -> nn.Module:
    """Return GoogLeNet without activations, normalisation and side outputs."""
    return nn.Sequential(
        conv(3, 64, 7, stride=2), halve(), conv(64, 192, 3, stride=2), halve(),
        inception(192, (64, 96, 128, 16, 32, 32)), inception(256, (128, 128, 192, 32, 96, 64)), halve(),
        inception(480, (192, 96, 208, 16, 48, 64)), inception(512, (160, 112, 224, 24, 64, 64)),
        inception(512, (128, 128, 256, 24, 64, 64)), inception(512, (112, 144, 288, 32, 64, 64)),
        inception(528, (256, 160, 320, 32, 128, 128)), halve(),
        inception(832, (256, 160, 320, 32, 128, 128)), inception(832, (384, 192, 384, 48, 128, 128)),
        nn.AdaptiveAvgPool2d(1), conv(1024, 10, 1), nn.Flatten(),
    )  # fmt: skip


def mobilenet() -> nn.Module:
    """Return MobileNetV2 for 1001 classes."""
    net: nn.Module = torchvision.models.mobilenet_v2(num_classes=1001)
    return net


PHONE_MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "Alexnet": (alexnet, (3, 224, 224)),
    "Lenet": (lenet, (1, 28, 28)),
    "Squeezenet": (squeezenet, (3, 224, 224)),
    "GoogLenet": (googlenet, (3, 224, 224)),
    "Mobilenet": (mobilenet, (3, 224, 224)),
}
