"""How good a model is on examples."""

from __future__ import annotations

import torch
from torch import nn

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
    module = model.module().eval()
    right, loss = 0, 0.0
    with torch.no_grad():
        for at in range(0, data.n, _BATCH):
            x, y = data.batch(slice(at, at + _BATCH))
            logits = module(x)  # (B, classes)
            right += int((logits.argmax(1) == y).sum())
            loss += float(nn.functional.cross_entropy(logits, y, reduction="sum"))
    return {"accuracy": right / data.n, "loss": loss / data.n}
