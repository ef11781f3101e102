"""Weights on a grid of few bits: per-tensor symmetric steps for convolutions and linear layers, the rest in fp32.

Source: the reading chosen for the paper, after the Brevitas quantisers of lgrativol/dasip23_comp_fl; 1 bit is
BinaryConnect (Courbariaux et al. 2015, arXiv 1511.00363).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

from fedsim.learn import loads
from fedsim.learn.parts import (
    Parts,
    PartsSize,
    coded_entries,
    kept_by_weight,
    layout,
    take_apart,
    weight_entries,
    whole_size,
)
from fedsim.learn.values import Model, ModelSize
from fedsim.work import Load, Ref, job

_PASSES = 5  # the largest entry, then divide, round, clamp, convert


def _sized(network: ModelSize | PartsSize) -> PartsSize:
    return whole_size(network) if isinstance(network, ModelSize) else network


def _quantised_size(network: ModelSize | PartsSize, *, bits: int, **_: object) -> PartsSize:
    """Declare how many codes there are; of a network pruned by one threshold the values decide."""
    size = _sized(network)
    whole = size.kept == size.model.entries
    return PartsSize(size.model, size.kept, bits, weight_entries(layout(size.model.spec)) if whole else None)


@cache
def _quantising_load(network: ModelSize | PartsSize, **_: object) -> Load:
    return loads.vector(_sized(network).kept) * _PASSES


@job(size=_quantised_size, load=_quantising_load)
def quantise(network: Model | Parts, *, bits: int, scale: str) -> Parts:
    """Turn the kept weights of convolutions and linear layers into codes of *bits*; norms and biases stay fp32.

    The step of a tensor is the largest of its kept entries over 127, 7 or 1 at 8, 4 or 2 bits; at 1 bit their
    mean size, so that what is received has the size of what was sent. scale "pow2": the next power of two.
    """
    parts = take_apart(network) if isinstance(network, Model) else network
    slots = layout(parts.spec)
    coded = coded_entries(slots, parts.mask.device)[parts.mask]  # (K,)
    pieces = torch.split(parts.values[coded], kept_by_weight(parts.mask, slots))
    steps = [step_of(piece, bits=bits, scale=scale) for piece in pieces]
    codes = [codes_of(piece, step, bits=bits) for piece, step in zip(pieces, steps, strict=True)]
    nothing = parts.values[:0]  # torch.cat wants something
    return Parts(
        spec=parts.spec,
        mask=parts.mask,
        values=parts.values[~coded],
        rest=parts.rest,
        bits=bits,
        codes=torch.cat([nothing.to(torch.int8), *codes]),
        scales=torch.cat([nothing, *(step.reshape(1) for step in steps)]),
    )


@job(size=lambda model, *, bits, scale: model, load=_quantising_load)
def as_quantised(model: Model, *, bits: int, scale: str) -> Model:
    """Return the network as it computes when its weights are quantised, at 1 bit with their signs."""
    weights = {slot.name for slot in layout(model.spec) if slot.weight}
    state = {name: on_grid(t, bits=bits, scale=scale) if name in weights else t for name, t in model.state.items()}
    return Model(model.spec, state)


def quantised(network: Ref, *, bits: int, scale: str) -> Ref:
    """Name *network*, as it is or pruned, in codes of *bits*; at 32 bits as it is."""
    return network if bits == 32 else quantise(network, bits=bits, scale=scale)


def in_use(model: Ref, *, bits: int, scale: str) -> Ref:
    """Name *model* as it computes with weights of *bits*."""
    return model if bits == 32 else as_quantised(model, bits=bits, scale=scale)


def top_code(bits: int) -> int:
    """Return the largest code: 127, 7, 1 at 8, 4, 2 bits; codes are symmetric, so one pattern is unused."""
    return int(2 ** (bits - 1)) - 1 if bits > 1 else 1


def step_of(weights: Tensor, *, bits: int, scale: str) -> Tensor:
    """Return the size of one step, 0-d; no entries have the step 0."""
    sizes = weights.abs().reshape(-1)
    if bits == 1:
        step = sizes.sum() / max(sizes.numel(), 1)
    else:
        step = torch.cat([sizes, sizes.new_zeros(1)]).amax() / top_code(bits)
    return step if scale == "float" else _power_of_two(step)


def codes_of(weights: Tensor, step: Tensor, *, bits: int) -> Tensor:
    """Return the codes of *weights*, int8 of the same shape; at 1 bit zero counts as positive."""
    if bits == 1:
        return torch.where(weights < 0, -1, 1).to(torch.int8)
    return _rounded(weights, step, bits).nan_to_num(0.0).to(torch.int8)


def on_grid(weights: Tensor, *, bits: int, scale: str) -> Tensor:
    """Return *weights* as a quantised layer computes with them; at 1 bit -1, 1 and, where exactly 0, still 0."""
    if bits == 1:
        return torch.where(weights.isnan(), weights, weights.sign())
    step = step_of(weights, bits=bits, scale=scale)
    return _rounded(weights, step, bits) * step


def straight_through(weights: Tensor, *, bits: int, scale: str) -> Tensor:
    """Return *weights* on their grid with the gradient of the identity (arXiv 1308.3432)."""
    found: Tensor = _StraightThrough.apply(weights, on_grid(weights.detach(), bits=bits, scale=scale))
    return found


class _StraightThrough(torch.autograd.Function):
    """Puts one tensor in another's place, exactly, and hands the gradient back to that other."""

    @staticmethod
    def forward(_: Any, weights: Tensor, replaced: Tensor) -> Tensor:  # noqa: ARG004
        return replaced.view_as(replaced)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None


def _rounded(weights: Tensor, step: Tensor, bits: int) -> Tensor:
    top = top_code(bits)
    return (weights / torch.where(step > 0, step, torch.ones_like(step))).round().clamp(-top, top)


def _power_of_two(step: Tensor) -> Tensor:
    """Return the power of two at or next above *step*, 0 for 0: nothing is clipped."""
    mantissa, exponent = torch.frexp(step)  # step = mantissa * 2^exponent, 1/2 <= mantissa < 1
    power = torch.ldexp(torch.ones_like(step), exponent - (mantissa == 0.5).to(exponent.dtype))
    return torch.where((step > 0) & step.isfinite(), power, step)
