"""How long a module's training steps and forward passes take on the machine at hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import NamedTuple

import torch
from torch import Tensor, nn

from fedsim.learn.trace import Loss


class Timing(NamedTuple):
    """Seconds of one go: the median of so many *repeats*, and the fastest."""

    median_s: float
    fastest_s: float
    repeats: int


def training_step(module: nn.Module, inputs: tuple[Tensor, ...], target: Tensor, *, loss: Loss) -> Callable[[], None]:
    """Return one step of plain SGD on *inputs*, as the clock counts it: forward, backward, update."""
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-9)  # the weights may move, the values must not run away

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss(module(*inputs), target).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step


def forward_pass(module: nn.Module, inputs: tuple[Tensor, ...]) -> Callable[[], None]:
    """Return one pass without gradients, in evaluation mode."""
    module.eval()

    def step() -> None:
        with torch.no_grad():
            module(*inputs)

    return step


def timed(step: Callable[[], None], *, at_least_s: float = 0.1, least: int = 3, most: int = 40) -> Timing:
    """Time *step* after one go unseen: *least* times, then until *at_least_s* seconds have passed or *most* times."""
    once(step)
    found: list[float] = []
    while len(found) < least or (sum(found) < at_least_s and len(found) < most):
        found.append(once(step))
    return Timing(median(found), min(found), len(found))


def once(step: Callable[[], None]) -> float:
    """Return the seconds of one go, the accelerator's own time included."""
    _settle()
    start_s = time.perf_counter()
    step()
    _settle()
    return time.perf_counter() - start_s


def _settle() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.synchronize()
