"""Masks over the weights of a network: what was dropped stays zero in training and never travels.

A mask is over the W weights of convolutions and linear layers; biases and norms are exempt. Devices that share one
hold it as a bitmap, so that a message is the values that are left, and nothing that says where they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.aggregate import average
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.parts import (
    Layout,
    Parts,
    coded_entries,
    layout,
    put_together,
    rest_bytes,
    take_apart,
    unflatten,
    weight_entries,
)
from fedsim.learn.prune import all_but_least, sorting_load
from fedsim.learn.train import batches, local_sgd, optimiser, step, training_load
from fedsim.learn.values import Model, ModelSize, State, flatten, model_size
from fedsim.work import Load, Ref, Reply, Work, job


@dataclass(frozen=True, slots=True, eq=False)
class Mask:
    """Which of the W weights of the network *spec* are kept, (W,) bool in the state_dict's order."""

    spec: tuple[Any, ...]
    kept: Tensor

    def size(self) -> MaskSize:
        return MaskSize(model_size(self.spec), int(self.kept.sum()))


@dataclass(frozen=True, slots=True)
class MaskSize:
    """How many weights of a network are kept; on the wire a bit a weight, and nothing where all are."""

    model: ModelSize
    kept: int

    @property
    def weights(self) -> int:
        return weight_entries(layout(self.model.spec))

    @property
    def density(self) -> float:
        return self.kept / max(self.weights, 1)

    @property
    def nbytes(self) -> int:
        return (self.weights + 7) // 8 if self.kept < self.weights else 0


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a mask leaves of a network: (K,) fp32, exempt entries among them, and the tensors of whole numbers."""

    spec: tuple[Any, ...]
    values: Tensor
    rest: State


@dataclass(frozen=True, slots=True)
class KeptSize:
    """What is left of a network, as bytes."""

    model: ModelSize
    nbytes: int


@dataclass(frozen=True, slots=True)
class SharedNet:
    """A network that all train, and the one mask it has, if any, made after *since* of the *version* merges so far."""

    model: Ref
    masks: tuple[Ref, ...] = ()
    version: int = 0
    since: int = 0

    def round(self, shard: Ref, **training: Any) -> Work:
        """Return a device's round; the mask goes down once, and is kept until there is work under another."""
        start = self.received()
        if not self.masks:
            return Work(down=(start,), up=(local_sgd(start, shard, **training),))
        trained = masked_sgd(start, *self.masks, shard, **training)
        down, up = (kept_values(model, *self.masks) for model in (self.model, trained))
        return Work(down=(down, *self.masks), up=(up,), keep=self.masks)

    def received(self) -> Ref:
        """Name the network that a device has when its values have arrived."""
        return filled_in(kept_values(self.model, *self.masks), *self.masks) if self.masks else self.model

    def dense(self) -> SharedNet:
        """Return the network as if there were no mask."""
        return SharedNet(self.model, version=self.version)

    def fresh(self, replies: Sequence[Reply]) -> list[Reply]:
        """Return the replies that were asked for under this mask; under an earlier one the network was another."""
        return [reply for reply in replies if reply.version >= self.since]

    def merged(self, replies: Sequence[Reply]) -> SharedNet:
        """Return the mean of the fresh replies by examples; the network itself if there are none."""
        new = replace(self, version=self.version + 1)
        fresh = self.fresh(replies)
        if not fresh:
            return new
        found = tuple(filled_in(reply.up[0], *self.masks) if self.masks else reply.up[0] for reply in fresh)
        return replace(new, model=average(found, tuple(reply.samples for reply in fresh)))

    def combined(self, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        """Name the mean of *replies* as one of them would be sent."""
        model = self.merged(replies).model
        return (kept_values(model, *self.masks) if self.masks else model,)

    def under(self, mask: Ref, model: Ref) -> SharedNet:
        """Return *model* under a new *mask*."""
        return SharedNet(masked(model, mask), (mask,), self.version, since=self.version)


def kept_counts(slots: Layout, density: float, scope: str) -> list[int]:
    """Return how many weights are kept of all or, with scope "layer", of each tensor: at least one.

    The product is rounded to 1e-6 before it is cut to a whole number: 0.29 of 100 is 29.
    """
    return [max(1, math.floor(round(density * n, 6))) for n in _pieces(slots, scope)]


def _pieces(slots: Layout, scope: str) -> list[int]:
    return [weight_entries(slots)] if scope == "global" else by_tensor(slots)


def by_tensor(slots: Layout) -> list[int]:
    """Return how many weights each tensor of weights has."""
    return [slot.entries for slot in slots if slot.weight]


def _mask_size(model: ModelSize, *_: object, density: float, scope: str) -> MaskSize:
    return MaskSize(model, sum(kept_counts(layout(model.spec), density, scope)))


@job(size=_mask_size, load=sorting_load)
def magnitude_mask(model: Model, before: tuple[Mask, ...], *, density: float, scope: str) -> Mask:
    """Keep the weights farthest from zero, ties by index, of those that a mask *before* kept.

    scope "global": floor(density * W) of all W; "layer": floor(density * w) of the w of each tensor.
    """
    slots, scores = layout(model.spec), weights_of(model).abs()
    for mask in before:
        scores = scores.masked_fill(~mask.kept, -1.0)  # the first to go, again
    pieces = _pieces(slots, scope)
    counts = kept_counts(slots, density, scope)
    return Mask(model.spec, all_but_least(scores, pieces, [n - kept for n, kept in zip(pieces, counts, strict=True)]))


@job(size=lambda model, mask: model, load=lambda model, mask: loads.vector(model.entries, reads=2))
def masked(model: Model, mask: Mask) -> Model:
    """Return *model* with zeros where *mask* keeps nothing."""
    entries = flatten(model.state).masked_fill(~kept_entries(mask), 0.0)
    return Model(model.spec, unflatten(entries, layout(model.spec), model.state))


def _kept_size(model: ModelSize, mask: MaskSize) -> KeptSize:
    slots = layout(model.spec)
    return KeptSize(model, 4 * (model.entries - mask.weights + mask.kept) + rest_bytes(slots))


@job(size=_kept_size, load=lambda model, mask: loads.vector(model.entries))
def kept_values(model: Model, mask: Mask) -> Kept:
    """Return what *mask* leaves of *model*, for somebody who has the mask."""
    parts = take_apart(model, kept_entries(mask))
    return Kept(model.spec, parts.values, parts.rest)


@job(size=lambda kept, mask: kept.model, load=lambda kept, mask: loads.vector(kept.model.entries))
def filled_in(kept: Kept, mask: Mask) -> Model:
    """Return the network that has *kept* where *mask* says, and zeros elsewhere."""
    return Model(
        kept.spec, put_together(Parts(kept.spec, kept_entries(mask), kept.values, kept.rest), layout(kept.spec))
    )


def masked_load(model: ModelSize, mask: MaskSize, data: DataSize, *, epochs: int, batch_size: int, **how: Any) -> Load:
    """Return the Load of masked_sgd: of local_sgd at the mask's density, and of masking every gradient.

    The density is the network's; early layers of a CNN, which do most of the work, keep more under a global mask.
    """
    load = training_load(model, data, epochs=epochs, batch_size=batch_size, **how)
    load = load + loads.vector(mask.weights, reads=2) * (epochs * -(-data.n // batch_size))
    return replace(load, memory_bytes=load.memory_bytes + mask.weights, density=mask.density)


@job(size=lambda model, *_, **__: model, load=masked_load, passes="epochs")
def masked_sgd(
    model: Model,
    mask: Mask,
    data: Examples,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
) -> Model:
    """Train as local_sgd does, gradients masked before they are clipped; what is zero under *mask* stays zero.

    No state of an optimiser moves such a weight: its gradient, and so its momentum, is exactly zero, and so is
    its decay.
    """
    module = model.module().train()
    dropped = unflatten(~kept_entries(mask), layout(model.spec), model.state)
    held = [(p, dropped[name]) for name, p in module.named_parameters()]

    def hold() -> None:
        for p, gone in held:
            assert p.grad is not None
            p.grad.masked_fill_(gone, 0.0)

    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm, adjust=hold)
    return Model(model.spec, dict(module.state_dict()))


def weights_of(model: Model) -> Tensor:
    """Return the weights that a mask is over, (W,)."""
    entries = flatten(model.state)
    return entries[coded_entries(layout(model.spec), entries.device)]


def kept_entries(mask: Mask) -> Tensor:
    """Mark the entries that are kept, (N,) bool: the exempt ones, and what *mask* keeps of the weights."""
    weights = coded_entries(layout(mask.spec), mask.kept.device)
    return (~weights).masked_scatter(weights, mask.kept)
