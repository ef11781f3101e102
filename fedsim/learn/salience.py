"""The units of a transformer in order of salience, so that its leading units are those worth keeping.

RaFFM's salient parameter prioritisation (arXiv 2310.00247; raffm/param_prioritization.py): inside every head the
rows of query and key go by (|Wq[i]|_1 + |Wk[i]|_1) / 2, largest first, ties by index. A score is a sum over these
rows, so one order for both leaves it as it was; an order for each ("naive"), or one across heads, does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.blocks import Rows, TransformerBlock, find_blocks
from fedsim.learn.groups import taken
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.values import Model, ModelSize, State
from fedsim.work import Load, job

Orders = dict[str, dict[int, Tensor]]  # for a tensor and a dimension of it: which entry comes at each place


@dataclass(frozen=True, slots=True, eq=False)
class Ranking:
    """Which unit of the network *spec* comes at each place: for a block's layer q, k or wide, (units,) int64."""

    spec: tuple[Any, ...]
    units: dict[str, Tensor]


@dataclass(frozen=True, slots=True)
class RankingSize:
    """What a ranking weighs on the wire: two bytes a unit."""

    nbytes: int


@cache
def blocks_of(spec: tuple[Any, ...]) -> tuple[TransformerBlock, ...]:
    """Return the transformer blocks of the network *spec*; raises InputError if it has none."""
    found = find_blocks(built(ModelSpec.from_params(spec).build))
    if not found:
        raise InputError(f"model {spec[0]!r} has no transformer blocks to rank and cut: choose one such as vit_tiny")
    return found


def _ranking_size(model: ModelSize, *, scope: str) -> RankingSize:
    units = {"none": 0, "qk": 1, "qk+ffn": 1, "naive": 2}[scope] * sum(b.q.count for b in blocks_of(model.spec))
    return RankingSize(2 * (units + (sum(b.wide.count for b in blocks_of(model.spec)) if scope == "qk+ffn" else 0)))


def _ranking_load(model: ModelSize, *, scope: str) -> Load:
    """Charge a pass over the network for the norms."""
    return Load() if scope == "none" else loads.vector(model.entries, flops=2)


def _ranked_size(model: ModelSize, *, scope: str) -> ModelSize:
    _ranking_size(model, scope=scope)  # refused before anything is computed
    return model


def _reordering_load(model: ModelSize, *, scope: str) -> Load:
    return Load() if scope == "none" else _ranking_load(model, scope=scope) + loads.vector(model.entries)


@job(size=_ranking_size, load=_ranking_load)
def salience(model: Model, *, scope: str) -> Ranking:
    """Rank the units of every head by query and key ("qk"), of perceptrons too ("qk+ffn"), or none ("none").

    A perceptron's units go by |W1[i]|_1 + |W2[:, i]|_1. "naive": query and key each by its own norms, the ablation.
    """
    return Ranking(model.spec, ranked(model.state, blocks_of(model.spec), scope))


@job(size=_ranked_size, load=_reordering_load)
def rank_units(model: Model, *, scope: str) -> Model:
    """Put the units of a transformer in order of salience; but for scope "naive", what it computes stays."""
    return Model(model.spec, reordered(model.state, orders(salience.value(model, scope=scope), model.state)))


def orders(ranking: Ranking, state: State) -> Orders:
    """Return how a ranking orders the tensors of *state*; what it leaves in place is not named."""
    return unit_orders(ranking.units, blocks_of(ranking.spec), state)


def reordered(state: State, places: Orders) -> State:
    """Return *state* with its entries in the order of *places*."""
    return {name: taken(t, places.get(name, {})) for name, t in state.items()}


def ranked(state: State, blocks: tuple[TransformerBlock, ...], scope: str) -> dict[str, Tensor]:
    """Return for the layers in *scope* their units in order of salience, (units,) int64."""
    units: dict[str, Tensor] = {}
    for block in blocks if scope != "none" else ():
        q, k = (_norms(state, rows) for rows in (block.q, block.k))
        scores = (q, k) if scope == "naive" else ((q + k) / 2,) * 2
        of_q, of_k, of_wide = _keys(block)
        units[of_q], units[of_k] = (_in_heads(score, block.heads) for score in scores)
        if scope == "qk+ffn":
            units[of_wide] = _in_heads(_norms(state, block.wide) + state[block.narrow].double().abs().sum(0), 1)
    return units


def unit_orders(units: Mapping[str, Tensor], blocks: tuple[TransformerBlock, ...], state: State) -> Orders:
    """Return for each tensor that holds ranked *units* of *blocks*, and their dimension, which entry comes where."""
    found: Orders = {}
    for key, tensor, dim, start in _axes(blocks):
        if key in units:
            whole = found.setdefault(tensor, {}).setdefault(dim, torch.arange(state[tensor].shape[dim], device="cpu"))
            whole[start : start + len(units[key])] = start + units[key].cpu()
    return found


def _axes(blocks: tuple[TransformerBlock, ...]) -> Iterator[tuple[str, str, int, int]]:
    """Yield for each layer that may be ranked its key, a tensor of it, the units' dimension and the first of them."""
    for block in blocks:
        for key, rows in zip(_keys(block), (block.q, block.k, block.wide), strict=True):
            yield from ((key, tensor, 0, rows.start) for tensor in rows.tensors)
        yield _keys(block)[-1], block.narrow, 1, 0


def _keys(block: TransformerBlock) -> tuple[str, str, str]:
    return f"{block.name}.q", f"{block.name}.k", f"{block.name}.wide"


def _norms(state: State, rows: Rows) -> Tensor:
    """Return the L1 norm of each row, (count,)."""
    return state[rows.weight][rows.start : rows.start + rows.count].double().abs().sum(1)


def _in_heads(scores: Tensor, heads: int) -> Tensor:
    """Return the units in order of *scores* (units,), the largest first, each in its own head."""
    order = scores.view(heads, -1).argsort(dim=1, descending=True, stable=True)  # (heads, units / heads)
    first = torch.arange(heads, device=order.device)[:, None] * order.shape[1]
    return (order + first).flatten()
