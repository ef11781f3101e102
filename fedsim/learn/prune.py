"""Magnitude pruning: the entries nearest to zero are dropped from a network before it is sent."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.parts import Layout, Parts, PartsSize, layout, numbers, put_together, take_apart
from fedsim.learn.values import Model, ModelSize, flatten
from fedsim.work import Load, job


def _pruned_size(model: ModelSize, *, rate: float, scope: str) -> PartsSize:
    slots = layout(model.spec)
    return PartsSize(model, model.entries - sum(_cuts(slots, rate, scope)))


def sorting_load(model: ModelSize, *_: object, **__: object) -> Load:
    """Charge log2(n) passes for the threshold, found by sorting as in the published code."""
    return loads.vector(model.entries) * max(1.0, math.log2(max(model.entries, 2)))


@job(size=_pruned_size, load=sorting_load)
def drop_small(model: Model, *, rate: float, scope: str = "global") -> Parts:
    """Drop entries nearest to zero first, ties by index, so that how many are kept follows from *rate*.

    scope "global": exactly floor(rate * N) of all N entries by one threshold over the whole state_dict,
    nothing exempt. scope "layer": floor(rate * n) of the n entries of each tensor of two or
    more dimensions; norms and biases are sent whole, since a norm's scales, all alike, would be cut first.
    """
    entries, slots = flatten(model.state), layout(model.spec)
    return take_apart(model, kept_mask(entries, slots, rate=rate, scope=scope))


@job(size=lambda parts: parts.model, load=lambda parts: loads.vector(parts.model.entries))
def restore(parts: Parts) -> Model:
    """Return the network that the receiver of *parts* will have; what was dropped is zero."""
    return Model(parts.spec, put_together(parts, layout(parts.spec)))


def kept_mask(entries: Tensor, slots: Layout, *, rate: float, scope: str) -> Tensor:
    """Mark the entries that are kept, (N,) bool."""
    pieces = [len(entries)] if scope == "global" else [slot.entries for slot in numbers(slots)]
    return all_but_least(entries.abs(), pieces, _cuts(slots, rate, scope))


def all_but_least(scores: Tensor, pieces: list[int], cuts: list[int]) -> Tensor:
    """Mark all of *scores*, (N,), but the *cuts* least of each of its *pieces*, ties by index; (N,) bool."""
    mask = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    for piece, part, cut in zip(torch.split(scores, pieces), torch.split(mask, pieces), cuts, strict=True):
        part[torch.sort(piece, stable=True).indices[:cut]] = False  # a view of the mask
    return mask


def _cuts(slots: Layout, rate: float, scope: str) -> list[int]:
    """Return how many entries go: of all, or of each floating-point tensor."""
    if scope == "global":
        return [math.floor(rate * sum(slot.entries for slot in numbers(slots)))]
    return [math.floor(rate * slot.entries) if len(slot.shape) > 1 else 0 for slot in numbers(slots)]
