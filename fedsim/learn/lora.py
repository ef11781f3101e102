"""Low-rank adapters on query, key and value, trained beside a frozen network.

Source: Hu et al. 2022, arXiv 2106.09685, and RaFFM's raffm/fl_vit_peft.py; the head is trained too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.blocks import Rows
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.groups import taken
from fedsim.learn.models import ModelSpec
from fedsim.learn.parameters import parameter_names
from fedsim.learn.salience import Orders, blocks_of
from fedsim.learn.subnets import Ratios, cut_dims, drawn, merged_state
from fedsim.learn.trace import AffineLoad, built
from fedsim.learn.train import batches, optimiser, step
from fedsim.learn.values import Model, ModelSize, State
from fedsim.work import Load, job

_HEADS = {"head", "heads", "classifier", "pre_classifier"}  # as our models, torchvision's and Hugging Face's call it


@dataclass(frozen=True, slots=True, eq=False)
class Adapters:
    """What is trained beside the network *spec*: a layer's pair a (rank, in), b (out, rank), and the head."""

    spec: tuple[Any, ...]
    rank: int
    state: State


@dataclass(frozen=True, slots=True)
class AdaptersSize:
    """What adapters weigh, in fp32."""

    spec: tuple[Any, ...]
    rank: int
    entries: int

    @property
    def nbytes(self) -> int:
        return 4 * self.entries


class LowRank(nn.Module):
    """A frozen linear layer plus *scale* times its adapter: W x + scale * B A dropout(x)."""

    def __init__(self, layer: nn.Linear, *, rank: int, scale: float, dropout: float) -> None:
        super().__init__()
        self.layer, self.scale, self.dropout = layer, scale, nn.Dropout(dropout)
        self.a = nn.Parameter(torch.zeros(rank, layer.in_features))
        self.b = nn.Parameter(torch.zeros(layer.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        low = nn.functional.linear(self.dropout(x), self.a)  # (B, T, in) -> (B, T, rank)
        return self.layer(x) + self.scale * nn.functional.linear(low, self.b)  # type: ignore[no-any-return]


@cache
def head_names(spec: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of the parameters behind the blocks that make logits: one linear layer, or two."""
    return tuple(sorted(name for name in parameter_names(spec) if _HEADS & set(name.split("."))))


@cache
def adapters_size(spec: tuple[Any, ...], rank: int) -> AdaptersSize:
    """Return the size of the adapters of the network *spec*; raises InputError if it cannot have any."""
    state = built(ModelSpec.from_params(spec).build).state_dict()
    pairs = sum(rank * sum(state[rows.weight].shape) for _, rows in _adapted(spec))
    return AdaptersSize(spec, rank, pairs + sum(state[name].numel() for name in head_names(spec)))


def _adapted(spec: tuple[Any, ...]) -> Iterator[tuple[str, Rows]]:
    """Yield key and rows of each layer that has an adapter."""
    for block in blocks_of(spec):
        if block.merged:
            raise InputError(f"model {spec[0]!r} has one layer for query, key and value: choose one such as vit_tiny")
        yield from ((f"{block.name}.{key}", rows) for key, rows in zip("qkv", (block.q, block.k, block.v), strict=True))


def _cut_size(adapters: AdaptersSize, *, ffn: Ratios, attention: Ratios, seed: int) -> AdaptersSize:
    return adapters_size(drawn(adapters.spec, ffn=ffn, attention=attention, seed=seed), adapters.rank)


def _training_load(
    model: ModelSize,
    adapters: AdaptersSize,
    data: DataSize,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    momentum: float,
    dropout: float,
    **_: object,
) -> Load:
    kind = "sgd+momentum" if optimizer == "sgd" and momentum else optimizer
    return _epoch(model.spec, adapters.rank, data, batch_size, kind=kind, dropout=dropout) * epochs


@cache
def _epoch(spec: tuple[Any, ...], rank: int, data: DataSize, batch_size: int, *, kind: str, dropout: float) -> Load:
    return loads.repeated(_step(spec, rank, kind, dropout=dropout), data.n, batch_size)


@cache
def _step(spec: tuple[Any, ...], rank: int, kind: str, *, dropout: float) -> AffineLoad:
    model = ModelSpec.from_params(spec)

    def build() -> nn.Module:
        return adapted(model.build(), spec, rank=rank, scale=1.0, dropout=dropout)

    return loads.traced(model, kind, build=build)


def adapted(module: nn.Module, spec: tuple[Any, ...], *, rank: int, scale: float, dropout: float) -> nn.Module:
    """Freeze *module*, the network *spec*, but for its head, and give it adapters, in place; return it."""
    module.requires_grad_(False)
    for _, rows in _adapted(spec):
        path = rows.weight.removesuffix(".weight")
        layer = module.get_submodule(path)
        assert isinstance(layer, nn.Linear)
        module.set_submodule(path, LowRank(layer, rank=rank, scale=scale, dropout=dropout))
    for name in head_names(spec):
        module.get_parameter(name).requires_grad_(True)
    return module


def _first_size(model: ModelSize, *, rank: int, **_: object) -> AdaptersSize:
    state = built(ModelSpec.from_params(model.spec).build).state_dict()
    most = min(side for _, rows in _adapted(model.spec) for side in state[rows.weight].shape)
    if rank > most:
        raise InputError(f"rank = {rank} of adapters to layers of width {most}: allowed is up to {most}; lower it")
    return adapters_size(model.spec, rank)


@job(
    size=_first_size,
    load=lambda model, *, rank, seed: loads.vector(adapters_size(model.spec, rank).entries),
)
def init_adapters(model: Model, *, rank: int, seed: int) -> Adapters:
    """Return adapters that change nothing yet: a drawn as nn.Linear's weights, b zero, the head as it is."""
    draws = torch.Generator("cpu").manual_seed(seed)
    state = {name: model.state[name].clone() for name in head_names(model.spec)}
    for key, rows in _adapted(model.spec):
        out, inside = model.state[rows.weight].shape
        bound = 1 / math.sqrt(inside)
        state[f"{key}.a"] = torch.empty(rank, inside, device="cpu").uniform_(-bound, bound, generator=draws)
        state[f"{key}.b"] = torch.zeros(out, rank)
    device = next(iter(model.state.values())).device
    return Adapters(model.spec, rank, {name: t.to(device) for name, t in state.items()})


@job(
    size=_cut_size,
    load=lambda adapters, **cut: loads.vector(_cut_size(adapters, **cut).entries),
)
def leading_adapters(adapters: Adapters, *, ffn: Ratios, attention: Ratios, seed: int) -> Adapters:
    """Return the adapters of the leading units, those that ``leading`` cuts out of the network."""
    spec = drawn(adapters.spec, ffn=ffn, attention=attention, seed=seed)
    where = _places(spec)
    state = {name: taken(t, where.get(name, {})).clone() for name, t in adapters.state.items()}
    return Adapters(spec, adapters.rank, state)


@job(
    size=lambda model, adapters, *_, **__: adapters,
    load=_training_load,
    passes="epochs",
)
def lora_sgd(
    model: Model,
    adapters: Adapters,
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
    alpha: float,
    dropout: float,
) -> Adapters:
    """Train adapters and head on one shard by cross-entropy; the network stays as it is."""
    module = adapted(model.module(), model.spec, rank=adapters.rank, scale=alpha / adapters.rank, dropout=dropout)
    trained = _parameters(module, model.spec)
    with torch.no_grad():
        for name, p in trained.items():
            p.copy_(adapters.state[name])
    update = optimiser(module.train(), optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm)
    return Adapters(adapters.spec, adapters.rank, {name: trained[name].detach() for name in adapters.state})


@job(
    size=lambda model, adapters, *, alpha: model,
    load=lambda model, adapters, *, alpha: loads.vector(model.entries, reads=2, flops=2 * adapters.rank),
)
def with_adapters(model: Model, adapters: Adapters, *, alpha: float) -> Model:
    """Return the network with the adapters worked into its weights, W + alpha / rank * B A."""
    state = {name: adapters.state.get(name, t) for name, t in model.state.items()}
    for key, rows in _adapted(model.spec):
        low = adapters.state[f"{key}.b"] @ adapters.state[f"{key}.a"]  # (out, in)
        state[rows.weight] = state[rows.weight] + alpha / adapters.rank * low
    return Model(model.spec, state)


@job(
    size=lambda adapters, *_, **__: adapters,
    load=lambda adapters, parts, weights, **_: loads.vector(adapters.entries, reads=3, flops=3) * (1 + len(parts)),
)
def merge_adapters(
    adapters: Adapters, parts: tuple[Adapters, ...], weights: tuple[float, ...], *, rule: str = "coverage"
) -> Adapters:
    """Return *adapters* with each entry averaged over the *parts* that hold it, by the rules of ``merge_subnets``."""
    states, where = [part.state for part in parts], [_places(part.spec) for part in parts]
    state = merged_state(adapters.state, states, where, weights=weights, rule=rule)
    return Adapters(adapters.spec, adapters.rank, state)


def _places(spec: tuple[Any, ...]) -> Orders:
    """Return where in the adapters of the whole network those of the cut network *spec* come from."""
    cut = cut_dims(spec)
    return {f"{key}.b": {0: cut[rows.weight][0]} for key, rows in _adapted(spec) if rows.weight in cut}


def _parameters(module: nn.Module, spec: tuple[Any, ...]) -> dict[str, nn.Parameter]:
    """Return what is trained in a module with adapters, by its name in the adapters' state."""
    found = {name: module.get_parameter(name) for name in head_names(spec)}
    for key, rows in _adapted(spec):
        layer = rows.weight.removesuffix(".weight")
        found |= {f"{key}.{part}": module.get_parameter(f"{layer}.{part}") for part in "ab"}
    return found
