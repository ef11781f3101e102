"""PruneFL's adaptive pruning: which weights are worth their time, told by gradients (arXiv 1909.12326, section IV)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.masks import Mask, MaskSize, by_tensor, kept_counts, weights_of
from fedsim.learn.parts import layout, weight_entries
from fedsim.learn.prune import all_but_least, sorting_load
from fedsim.learn.train import batches, training_load
from fedsim.learn.values import Model, ModelSize, NumberSize
from fedsim.work import Load, job


def _gradient_load(model: ModelSize, data: DataSize, *, batch_size: int, **_: object) -> Load:
    """Charge an epoch of plain SGD: adding a gradient to a sum costs what stepping along it does."""
    return training_load(model, data, epochs=1, batch_size=batch_size, optimizer="sgd", momentum=0.0)


@job(size=lambda model, *_, **__: NumberSize(4 * weight_entries(layout(model.spec))), load=_gradient_load)
def squared_gradients(model: Model, data: Examples, *, batch_size: int, seed: int) -> Tensor:
    """Return the square of the gradient of the mean cross-entropy on *data* by each weight, (W,), dropped ones too."""
    module = model.module().train()
    for x, y in batches(data, batch_size, 1, seed=seed):
        nn.functional.cross_entropy(module(x), y, reduction="sum").backward()  # type: ignore[no-untyped-call]
    grads = {name: p.grad for name, p in module.named_parameters()}
    slots = [slot for slot in layout(model.spec) if slot.weight]
    return torch.cat([_there(grads[slot.name]).flatten() for slot in slots]).div(data.n).square()


def _there(grad: Tensor | None) -> Tensor:
    assert grad is not None
    return grad


def _reconfigured_size(model: ModelSize, *_: object, density: float, **__: object) -> MaskSize | None:
    """Declare how many weights are kept where that is given."""
    return MaskSize(model, sum(kept_counts(layout(model.spec), density, "global"))) if density else None


def _reconfiguring_load(model: ModelSize, squares: tuple[NumberSize, ...], *_: object, **__: object) -> Load:
    """Charge two sortings, and the mean of the squares."""
    return sorting_load(model) * 2 + loads.vector(model.entries, reads=2, flops=2) * len(squares)


@job(size=_reconfigured_size, load=_reconfiguring_load)
def reconfigured(
    model: Model,
    squares: tuple[Tensor, ...],
    samples: tuple[int, ...],
    before: tuple[Mask, ...],
    *,
    share: float,
    overhead: float,
    density: float,
) -> Mask:
    """Drop the *share* of each layer's kept weights nearest to zero, then take back what gains most per unit of time.

    What a weight gains is its squared gradient, (W,) each in *squares*, on the mean over *samples*. Weights come back
    in that order while each raises the ratio of the sum of gains to the time of a round, (overhead * W + kept) times
    the seconds of a weight; or, with a *density* above 0, until floor(density * W) are kept.
    """
    gains = sum(square.double() * (n / sum(samples)) for square, n in zip(squares, samples, strict=True))
    assert isinstance(gains, Tensor)
    now = before[0].kept if before else torch.ones_like(gains, dtype=torch.bool)
    size, layers = weights_of(model).abs(), by_tensor(layout(model.spec))
    stays = all_but_least(size.masked_fill(~now, -1.0), layers, _cuts(now, layers, share))
    if not density:
        return Mask(model.spec, _worth_it(stays, gains, overhead * len(gains)))
    kept = sum(kept_counts(layout(model.spec), density, "global"))
    order = torch.where(stays, torch.inf, gains) if stays.sum() < kept else size.masked_fill(~stays, -1.0).double()
    return Mask(model.spec, all_but_least(order, [len(order)], [len(order) - kept]))


def _cuts(now: Tensor, pieces: list[int], share: float) -> list[int]:
    """Return how many weights of each layer are not kept, once *share* of those that were are dropped."""
    in_use = [int(piece.sum()) for piece in torch.split(now, pieces)]
    return [n - used + int(share * used) for n, used in zip(pieces, in_use, strict=True)]


def _worth_it(stays: Tensor, gains: Tensor, fixed: float) -> Tensor:
    """Add weights in the order of their gains while gain > sum of gains / (fixed + kept); (W,) bool."""
    order = torch.sort(gains.masked_fill(stays, -1.0), descending=True, stable=True).indices
    order = order[: int((~stays).sum())]  # (C,), the candidates
    found = gains[order]
    sums = gains[stays].sum() + found.cumsum(0) - found  # (C,), before each
    times = torch.arange(len(found), dtype=torch.float64, device=found.device) + stays.sum() + fixed
    worth = (found * times > sums).cumprod(0).bool()
    mask = stays.clone()
    mask[order[worth]] = True
    return mask
