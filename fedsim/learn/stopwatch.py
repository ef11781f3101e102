"""How long a module's training steps and forward passes take on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedsim.learn.trace import Loss

Go = Callable[[], None]


class Timing(NamedTuple):
    """Seconds of one go, the median and the fastest of several, and the median of the pulses taken between them."""

    median_s: float
    fastest_s: float
    pulse_s: float


class Pulse:
    """A small piece of work that never changes: how long it takes tells how fast the machine is just then.

    Neighbours, heat and other programs slow a machine by tens of percent for seconds or minutes; times divided by
    the pulses around them compare.
    """

    def __init__(self, device: torch.device) -> None:
        conv = nn.Conv2d(64, 64, 3, padding=1).to(device)
        images, numbers = torch.randn(4, 64, 28, 28, device=device), torch.randn(1 << 22, device=device)
        copy = torch.empty_like(numbers)

        def beat() -> None:
            with torch.no_grad():
                conv(images)
                copy.copy_(numbers)

        self._beat = beat

    def take(self) -> float:
        """Return the seconds of a beat, the middle one of three."""
        return median(once(self._beat) for _ in range(3))


def training_step(module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor, *, loss: Loss) -> Go:
    """Return one step of plain SGD on *inputs*, as the clock counts it: forward, backward, update."""
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-9)  # the weights may move, the values must not run away

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(module(*inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def forward_pass(module: nn.Module, inputs: tuple[Tensor, ...]) -> Go:
    """Return one pass without gradients, in evaluation mode."""
    module.eval()

    def step() -> None:
        with torch.no_grad():
            module(*inputs)

    return step


def timed(go: Go, pulse: Pulse, *, at_least_s: float = 0.1, least: int = 3, most: int = 40) -> Timing:
    """Time *go* after one go unseen: *least* times, then until *at_least_s* seconds have passed or *most* times."""
    once(go)
    found: list[float] = []
    pulses = [pulse.take()]
    while len(found) < least or (sum(found) < at_least_s and len(found) < most):
        found.append(once(go))
        if len(found) % 8 == 0 or found[-1] > 0.3:
            pulses.append(pulse.take())
    return Timing(median(found), min(found), median([*pulses, pulse.take()]))


def once(go: Go) -> float:
    """Return the seconds of one go, the accelerator's own time included."""
    _settle()
    start_s = time.perf_counter()
    go()
    _settle()
    return time.perf_counter() - start_s


def _settle() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
