"""How good a model is on examples."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.values import Model, ModelSize, NumberSize
from fedsim.work import Load, job

_BATCH = 512


def _load(model: ModelSize, data: DataSize) -> Load:
    return loads.predicting(model.spec, data)


@job(size=lambda model, data: NumberSize(16), load=_load)
def evaluate(model: Model, data: Examples) -> dict[str, float]:
    """Return accuracy (0 to 1) and mean cross-entropy over all of *data*."""
    right, loss = 0, 0.0
    with torch.no_grad():
        for logits, y in _predicted(model, data):
            right += int((logits.argmax(1) == y).sum())
            loss += float(nn.functional.cross_entropy(logits, y, reduction="sum"))
    return {"accuracy": right / data.n, "loss": loss / data.n}


@job(size=lambda model, data: NumberSize(8), load=_load)
def mean_loss(model: Model, data: Examples) -> float:
    """Return the mean cross-entropy over all of *data*, as a device reports it of its own examples.

    Nobody is billed for it: who trains has it for nothing.
    """
    with torch.no_grad():
        return (
            sum(float(nn.functional.cross_entropy(*each, reduction="sum")) for each in _predicted(model, data)) / data.n
        )


def _predicted(model: Model, data: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits (B, classes) and classes (B,) of every batch."""
    module = model.module().eval()
    for at in range(0, data.n, _BATCH):
        x, y = data.batch(slice(at, at + _BATCH))
        yield module(x), y
