"""Structured pruning: the units of largest L1 norm are kept, and a smaller dense network is built of them.

Source: REFT (arXiv 2308.13662) and FL-PQSU. What a unit is, with its norm, its inputs and what is added to it, says
`fedsim.learn.groups`; the widths of a smaller network are pairs of a group's name and the units left of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import Tensor

from fedsim.errors import InputError, unknown
from fedsim.learn import loads
from fedsim.learn.groups import Group, Widths, slices, taken
from fedsim.learn.models import ModelSpec
from fedsim.learn.values import Model, ModelSize, State, model_size
from fedsim.work import Load, Ref, job

Spec = tuple[Any, ...]


@cache
def cut(spec: Spec, widths: Widths) -> Spec:
    """Return the architecture *spec* with so many units left of the groups in *widths*.

    Raises InputError for a group that is not there, or units that are no equal share of its blocks.
    """
    model = ModelSpec.from_params(spec)
    there = {group.name: group for group in groups_of(spec)}
    for name, units in widths:
        if name not in there:
            raise InputError(f"{unknown(f'layer of model {model.name!r}', name, there)}: cut one of these")
        most, blocks = there[name].units, there[name].blocks
        if not 0 < units <= most or units % blocks:
            allowed = f"from {blocks} to {most}" + (f", in steps of {blocks}" if blocks > 1 else "")
            raise InputError(f"layer {name!r} of model {model.name!r} cut to {units} units: allowed are {allowed}")
    whole = {group.name: group.units for group in model.groups()}
    left = {**dict(model.widths), **dict(widths)}
    return replace(model, widths=tuple(sorted((n, u) for n, u in left.items() if u < whole[n]))).as_params()


def groups_of(spec: Spec) -> tuple[Group, ...]:
    """Return the groups of the network *spec* with the units that it has, cut as it may be."""
    model = ModelSpec.from_params(spec)
    left = dict(model.widths)
    return tuple(replace(group, units=left.get(group.name, group.units)) for group in model.groups())


def uniform(spec: Spec, level: float) -> Widths:
    """Return the widths after floor(level * n) of the n units in each block of every group have gone."""
    return _fewer(spec, lambda group: (1.0 - level) * group.units)


def cap(spec: Spec, share: float, caps: Mapping[str, int]) -> Widths:
    """Return the widths under caps that fall with *share*, 0 to 1, for each kind of layer in *caps*.

    A cap goes geometrically from the widest layer of its kind, at 0, to the one given, at 1.
    """
    widest: dict[str, int] = {}
    for group in _prunable(spec):
        widest[group.kind] = max(group.units, widest.get(group.kind, 0))
    now = {kind: round(most * min(1.0, caps[kind] / most) ** share) for kind, most in widest.items()}
    return _fewer(spec, lambda group: now[group.kind] // group.blocks * group.blocks)


def listed(spec: Spec, widths: Sequence[int]) -> Widths:
    """Return *widths* by group, in the order of the layers; raises InputError unless there are as many."""
    groups = _prunable(spec)
    if len(widths) != len(groups):
        raise InputError(
            f"widths is {list(widths)}: model {spec[0]!r} has {len(groups)} layers to cut, of "
            f"{', '.join(str(group.units) for group in groups)} units; give one number for each"
        )
    return tuple(sorted((group.name, units) for group, units in zip(groups, widths, strict=True)))


@dataclass(frozen=True, slots=True)
class Policy:
    """How a level becomes widths: "uniform", "cap" (its caps are reached at *p_max*), or "global_l1" by values."""

    name: str
    p_max: float
    conv_cap: int
    hidden_cap: int

    def check(self, spec: Spec, *, by_cost: bool) -> None:
        """Raise InputError if the network *spec* cannot be cut, or not *by_cost*, which widths must tell."""
        groups_of(spec)
        if by_cost and self.name == "global_l1":
            raise InputError(
                "policy 'global_l1' cuts by value, which readings C and D cannot price: choose 'uniform' or 'cap'"
            )

    def widths(self, spec: Spec, level: float) -> Widths:
        """Return the widths of the network *spec* at *level*, where the level alone says."""
        if self.name == "cap":
            return cap(spec, level / self.p_max, {"conv": self.conv_cap, "linear": self.hidden_cap})
        assert self.name == "uniform", self.name
        return uniform(spec, level)

    def pruned(self, model: Ref, spec: Spec, level: float) -> Ref:
        """Name *model*, whose architecture is *spec*, cut at *level*; itself where nothing goes."""
        if self.name == "global_l1":
            return shrink_worst(model, level=level) if level else model
        widths = self.widths(spec, level)
        return shrink(model, widths=widths) if widths else model


def _shrunk_load(model: ModelSize, *, widths: Widths) -> Load:
    return loads.vector(model.entries, flops=2) + loads.vector(model_size(cut(model.spec, widths)).entries)


@job(size=lambda model, *, widths: model_size(cut(model.spec, widths)), load=_shrunk_load)
def shrink(model: Model, *, widths: Widths) -> Model:
    """Keep so many units of each group in *widths*, in their order: those of largest L1 norm, ties by index.

    A norm sums |w| over all rows that make the unit. Of each block, a GroupNorm's group or a head, as many are kept.
    """
    return _shrunk(model, widths)


@job(size=None, load=lambda model, **_: loads.vector(model.entries, flops=2) * 2)
def shrink_worst(model: Model, *, level: float) -> Model:
    """Let floor(level * N) of all N units go: those of the least mean |w| in the whole network.

    The best unit of each block stays. Where norms divide a group into equal blocks, its width is rounded up.
    """
    groups = _prunable(model.spec)
    means = [norms(group, model.state) / _weights_per_unit(group, model.state) for group in groups]
    goes = torch.cat([_protected(mean, group) for mean, group in zip(means, groups, strict=True)])  # (N,)
    kept = torch.ones_like(goes, dtype=torch.bool)
    order = goes.argsort(stable=True)[: math.floor(level * len(goes) + 1e-9)]
    kept[order[goes[order].isfinite()]] = False
    left = [int(part.sum()) for part in torch.split(kept, [group.units for group in groups])]
    wanted = {g.name: -(-n // g.blocks) * g.blocks for g, n in zip(groups, left, strict=True)}
    return _shrunk(model, _widths(groups, wanted))


def norms(group: Group, state: State) -> Tensor:
    """Return the L1 norm of each unit over the rows that make it, (units,) float64."""
    rows = [state[name].abs().reshape(group.units, -1).sum(1, dtype=torch.float64) for name in group.makers]
    return torch.stack(rows).sum(0)


def strongest(group: Group, norm: Tensor, units: int) -> Tensor:
    """Return the *units* of largest *norm* (group.units,), as many of each block, in their order."""
    by_block = norm.view(group.blocks, -1)  # (blocks, units of a block)
    best = by_block.argsort(dim=1, descending=True, stable=True)[:, : units // group.blocks].sort(1).values
    first = torch.arange(group.blocks, device=norm.device)[:, None] * by_block.shape[1]
    return torch.flatten(best + first)


def _shrunk(model: Model, widths: Widths) -> Model:
    wanted, groups = dict(widths), groups_of(model.spec)
    kept = {g.name: strongest(g, norms(g, model.state), wanted[g.name]) for g in groups if g.name in wanted}
    by_tensor = slices(groups, kept)
    state = {name: taken(t, by_tensor.get(name, {})) for name, t in model.state.items()}
    return Model(cut(model.spec, widths), state)


def _prunable(spec: Spec) -> tuple[Group, ...]:
    """Return the groups that a policy may cut: all but heads, whose widths attention is scaled by."""
    return tuple(group for group in groups_of(spec) if group.kind != "attention")


def _fewer(spec: Spec, units: Callable[[Group], float]) -> Widths:
    """Return the widths of what *units* leaves, rounded up to equal blocks of at least one unit."""
    groups = _prunable(spec)
    left = {g.name: g.blocks * max(1, math.ceil(units(g) / g.blocks - 1e-9)) for g in groups}
    return _widths(groups, left)


def _widths(groups: Sequence[Group], left: Mapping[str, int]) -> Widths:
    """Return the widths of the groups that are cut at all."""
    return tuple(sorted((g.name, left[g.name]) for g in groups if left[g.name] < g.units))


def _weights_per_unit(group: Group, state: State) -> int:
    return sum(state[name].numel() for name in group.makers) // group.units


def _protected(norm: Tensor, group: Group) -> Tensor:
    """Return *norm* with that of the best unit of each block infinite."""
    best = strongest(group, norm, group.blocks)
    return norm.index_fill(0, best, math.inf)
