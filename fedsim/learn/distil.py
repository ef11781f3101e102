"""Knowledge as predictions on shared examples: made, averaged, sharpened and learnt from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import ModelSpec
from fedsim.learn.train import batches, optimiser, step, training_load
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, job

_BATCH = 512
_LOSSES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross-entropy": nn.functional.cross_entropy,
    "mae": nn.functional.l1_loss,
}


@dataclass(frozen=True, slots=True, eq=False)
class Predictions:
    """What is predicted for the examples at *index*, (n,): logits or probabilities, (n, classes)."""

    index: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class PredictionsSize:
    """The size of predictions in fp32; which examples they are for follows from a shared seed."""

    n: int
    classes: int

    @property
    def nbytes(self) -> int:
        return 4 * self.n * self.classes


def _taken(total: int, n: int) -> int:
    return min(n, total) if n else total


def _predicted(model: ModelSize, data: DataSize, *, n: int, **_: object) -> PredictionsSize:
    return PredictionsSize(_taken(data.n, n), ModelSpec.from_params(model.spec).classes)


def _predicting_load(model: ModelSize, data: DataSize, *, n: int, **_: object) -> Load:
    return loads.predicting(model.spec, replace(data, n=_taken(data.n, n)))


def _distilling_load(model: ModelSize, data: DataSize, labels: Sequence[PredictionsSize], **settings: Any) -> Load:
    return training_load(model, replace(data, n=sum(one.n for one in labels)), **settings)


@job(size=_predicted, load=_predicting_load)
def predict(model: Model, data: Examples, *, n: int = 0, seed: int = 0) -> Predictions:
    """Return the logits for *n* examples of *data* drawn by *seed* (0: for all)."""
    module, total = model.module().eval(), data.n
    order = torch.randperm(total, generator=torch.Generator("cpu").manual_seed(seed), device="cpu")
    index = order[: _taken(total, n)].sort().values if n else torch.arange(total)
    with torch.no_grad():
        logits = torch.cat([module(data.batch(part)[0]) for part in torch.split(index, _BATCH)])  # (n, classes)
    return Predictions(index, logits)


def _mean(replies: tuple[Predictions, ...], weights: tuple[float, ...], of: Callable[[Tensor], Tensor]) -> Predictions:
    total = sum(weights)
    shares = [w / total * of(r.values.double()) for r, w in zip(replies, weights, strict=True)]
    return Predictions(replies[0].index, torch.stack(shares).sum(0).float())


@job(
    size=lambda replies, weights: replies[0],
    load=lambda replies, weights: loads.vector(replies[0].nbytes // 4, reads=2, flops=2) * len(replies),
)
def mean_logits(replies: tuple[Predictions, ...], weights: tuple[float, ...]) -> Predictions:
    """Return the weighted mean of logits over replies for the same examples: FedMD's consensus (arXiv 1910.03581)."""
    return _mean(replies, weights, lambda logits: logits)


@job(
    size=lambda replies, weights, **_: replies[0],
    load=lambda replies, weights, **_: loads.vector(replies[0].nbytes // 4, reads=2, flops=5) * len(replies),
)
def mean_probabilities(replies: tuple[Predictions, ...], weights: tuple[float, ...]) -> Predictions:
    """Return the weighted mean of softmax(logits) over replies for the same examples."""
    return _mean(replies, weights, lambda logits: logits.softmax(1))


@job(size=lambda labels, **_: labels, load=lambda labels, **_: loads.vector(labels.nbytes // 4, flops=4))
def sharpened(labels: Predictions, *, temperature: float) -> Predictions:
    """Return softmax(probabilities / temperature): DS-FL's entropy reduction (arXiv 2008.06180)."""
    return Predictions(labels.index, (labels.values.double() / temperature).softmax(1).float())


@job(size=lambda model, *_, **__: model, load=_distilling_load)
def distil(
    model: Model,
    data: Examples,
    labels: tuple[Predictions, ...],
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
    temperature: float = 1.0,
    loss: str = "cross-entropy",
) -> Model:
    """Fit probabilities for examples of *data* by cross-entropy at *temperature*, times its square.

    With *loss* "mae" fit logits by their mean absolute error (arXiv 1910.03581).
    Source: Hinton et al. 2015, arXiv 1503.02531, section 2.
    """
    module = model.module().train()
    *_, head = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    head.register_forward_hook(lambda _layer, _given, out: out / temperature)  # (B, classes)
    index, targets = (torch.cat([getattr(one, part) for one in labels]) for part in ("index", "values"))
    taught = Examples(data.x[index], targets, data.mean, data.std)

    def square() -> None:
        for p in module.parameters():
            assert p.grad is not None
            p.grad.mul_(temperature**2)

    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(taught, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm, adjust=square, loss=_LOSSES[loss])
    return Model(model.spec, dict(module.state_dict()))
