"""How good a model is on examples, all of them and label by label."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

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
    for logits, y in _predicted(model, data):
        right += int((logits.argmax(1) == y).sum())
        loss += float(cross_entropy(logits, y, reduction="sum"))
    return {"accuracy": right / data.n, "loss": loss / data.n}


@job(size=lambda model, data: NumberSize(16 + 16 * data.classes), load=_load)
def evaluate_labels(model: Model, data: Examples) -> dict[str, Any]:
    """Return what `evaluate` does, to the bit, and as ``labels`` accuracy and loss over the examples of each class.

    Both are None of a class without examples.
    """
    right, losses, loss, classes = [], [], 0.0, 0
    for logits, y in _predicted(model, data):
        right.append((logits.argmax(1) == y).cpu())
        losses.append(cross_entropy(logits, y, reduction="none").cpu())
        loss += float(cross_entropy(logits, y, reduction="sum"))
        classes = logits.shape[1]
    each = {"accuracy": torch.cat(right), "loss": torch.cat(losses)}
    labels = _means(data.y.cpu(), each, classes)
    return {"accuracy": int(each["accuracy"].sum()) / data.n, "loss": loss / data.n, "labels": labels}


def _predicted(model: Model, data: Examples) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits (B, classes) and labels (B,), batch by batch, for *data* in their order."""
    module = model.module().eval()
    with torch.no_grad():
        for at in range(0, data.n, _BATCH):
            x, y = data.batch(slice(at, at + _BATCH))
            yield module(x), y


def _means(y: Tensor, values: dict[str, Tensor], classes: int) -> list[dict[str, float | None]]:
    """Return the mean of each of *values* (N,) over the examples of each class."""
    counts = torch.bincount(y, minlength=classes).tolist()
    sums = {name: torch.bincount(y, each.double(), minlength=classes).tolist() for name, each in values.items()}
    return [{name: sums[name][k] / n if n else None for name in sums} for k, n in enumerate(counts)]


@job(size=lambda model, data: NumberSize(8), load=_load)
def mean_loss(model: Model, data: Examples) -> float:
    """Return the mean cross-entropy over all of *data*, as a device reports it of its own examples.

    Nobody is billed for it: who trains has it for nothing.
    """
    losses = (float(cross_entropy(logits, y, reduction="sum")) for logits, y in _predicted(model, data))
    return sum(losses) / data.n
