"""Narrower transformers inside a transformer: the leading units of every head and every perceptron.

A leading slice of the flat rows would cut heads anew and mix them; so each head keeps its own leading rows, and
the scale of its scores, which is that of the whole head. The residual stream keeps its width.
Source: RaFFM, arXiv 2310.00247; the published code averages by the rule "zero_padded".
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.groups import kept_units, slices, taken
from fedsim.learn.models import ModelSpec
from fedsim.learn.salience import Orders, Ranking, RankingSize, blocks_of, orders
from fedsim.learn.slices import index_of, mean_where_held, summed
from fedsim.learn.values import Model, ModelSize, State, model_size
from fedsim.seeds import integers
from fedsim.work import Load, job

Ratios = tuple[float, ...]


def drawn(spec: tuple[Any, ...], *, ffn: Ratios, attention: Ratios, seed: int) -> tuple[Any, ...]:
    """Return the architecture *spec* cut: each layer to one of the ratios of its kind, drawn by *seed*.

    Raises InputError for a network without transformer blocks, or whose heads cannot be narrowed but should be.
    """
    blocks = blocks_of(spec)
    if min(attention) < 1 and not all(block.cuttable for block in blocks):
        raise InputError(f"attention = {list(attention)}: the heads of model {spec[0]!r} cannot be narrowed; set [1.0]")
    whole = ModelSpec.from_params(spec)
    return replace(whole, widths=tuple(sorted(_widths(whole, ffn, attention, seed)))).as_params()


def _widths(whole: ModelSpec, ffn: Ratios, attention: Ratios, seed: int) -> Iterator[tuple[str, int]]:
    """Yield the width of each group that is cut."""
    groups = whole.groups()
    for group, draw in zip(groups, integers(seed, 0, len(groups)), strict=True):
        ratios = attention if group.kind == "attention" else ffn
        per_block = group.units // group.blocks
        kept = max(1, round(ratios[int(draw) % len(ratios)] * per_block))
        if kept < per_block:
            yield group.name, kept * group.blocks


def places(spec: tuple[Any, ...], ordered: Orders) -> Orders:
    """Return where in the whole network the entries of the cut network *spec* come from; whole dimensions are left out.

    ordered: how the whole network's units were ordered before the cut.
    """
    found = {name: dict(dims) for name, dims in ordered.items()}
    for name, dims in cut_dims(spec).items():
        for dim, entries in dims.items():
            order = found.setdefault(name, {}).get(dim)
            found[name][dim] = entries if order is None else order[entries]
    return found


def cut_dims(spec: tuple[Any, ...]) -> Orders:
    """Return for each tensor and dimension that is cut in the network *spec* the entries that are left."""
    part = ModelSpec.from_params(spec)
    wanted = dict(part.widths)
    groups = part.groups() if wanted else ()
    return slices(groups, {g.name: kept_units(g, wanted[g.name]) for g in groups if g.name in wanted})


def _leading_size(model: ModelSize, *_: RankingSize, ffn: Ratios, attention: Ratios, seed: int) -> ModelSize:
    return model_size(drawn(model.spec, ffn=ffn, attention=attention, seed=seed))


def _leading_load(model: ModelSize, *_: RankingSize, **how: Any) -> Load:
    return loads.vector(_leading_size(model, **how).entries)


@job(size=_leading_size, load=_leading_load)
def leading(
    model: Model, ranking: Ranking | None = None, *, ffn: Ratios, attention: Ratios = (1.0,), seed: int = 0
) -> Model:
    """Return the network of the leading units of each layer, as *ranking* orders them, in the shares of *drawn*."""
    spec = drawn(model.spec, ffn=ffn, attention=attention, seed=seed)
    where = places(spec, orders(ranking, model.state) if ranking else {})
    return Model(spec, {name: taken(t, where.get(name, {})).clone() for name, t in model.state.items()})


def _merging_load(model: ModelSize, parts: tuple[ModelSize, ...], *_: object, **__: object) -> Load:
    return sum((loads.vector(p.entries, reads=3, flops=3) for p in parts), loads.vector(model.entries, reads=3))


@job(size=lambda model, *_, **__: model, load=_merging_load)
def merge_subnets(
    model: Model,
    parts: tuple[Model, ...],
    weights: tuple[float, ...],
    rankings: tuple[Ranking, ...] = (),
    *,
    rule: str = "coverage",
) -> Model:
    """Return *model* with each entry averaged over *parts*, which were cut from it by *rankings*.

    rule "coverage": the weighted mean over those that hold the entry; what nobody holds stays. "zero_padded": the
    published code's, the sum divided by the number of parts, an absent entry counting as zero; *weights* are ignored.
    """
    ordered = [orders(ranking, model.state) for ranking in rankings] or [{}] * len(parts)
    where = [places(part.spec, order) for part, order in zip(parts, ordered, strict=True)]
    states = [part.state for part in parts]
    return Model(model.spec, merged_state(model.state, states, where, weights=weights, rule=rule))


def merged_state(
    state: State, parts: list[State], where: list[Orders], *, weights: tuple[float, ...], rule: str
) -> State:
    """Return *state* with each entry averaged over the *parts* that hold it, at the places in *where*."""
    shares = (1.0,) * len(parts) if rule == "zero_padded" else weights

    def merged(name: str, t: torch.Tensor) -> torch.Tensor:
        held = [
            (index_of(there.get(name, {}), t.dim()), part[name].double(), share)
            for part, there, share in zip(parts, where, shares, strict=True)
        ]
        return (summed(t, held)[0] / len(parts)).to(t.dtype) if rule == "zero_padded" else mean_where_held(t, held)

    return {name: merged(name, t) if t.is_floating_point() else t for name, t in state.items()}
