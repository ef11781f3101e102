"""Units in order of weight, so that a front slice keeps those that L1 pruning would."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.models import ModelSpec
from fedsim.learn.trace import built
from fedsim.learn.values import Model, ModelSize
from fedsim.work import job


def _chain(spec: tuple[Any, ...], module: nn.Module) -> list[nn.Module]:
    """Return the layers with weights or statistics, in order; raises InputError where they are no plain chain."""
    if not isinstance(module, nn.Sequential) or any(list(layer.children()) for layer in module):
        raise InputError(f"model {spec[0]!r} is no plain chain of layers: choose mlp, lenet5, cnn or vgg16")
    return [layer for layer in module if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d)]


def _same(model: ModelSize) -> ModelSize:
    _chain(model.spec, built(ModelSpec.from_params(model.spec).build))  # refused before anything is computed
    return model


@job(size=_same, load=lambda model: loads.vector(model.entries, reads=2, flops=2) * 2)
def ranked_units(model: Model) -> Model:
    """Order the units of every hidden layer by the L1 norm of their weights, largest first; what is computed stays.

    Raises InputError for a network that is no plain chain of layers.
    """
    module = model.module()
    chain = _chain(model.spec, module)
    with torch.no_grad():
        for at, layer in enumerate(chain[:-1]):
            if not isinstance(layer, nn.BatchNorm2d):
                weight = layer.weight
                assert isinstance(weight, Tensor)
                order = weight.abs().flatten(1).sum(1).argsort(descending=True, stable=True)
                _reorder(layer, order)
                _follow(chain[at + 1 :], order)
    return Model(model.spec, {name: t.detach() for name, t in module.state_dict().items()})


def _reorder(layer: nn.Module, order: Tensor) -> None:
    for t in (*layer.parameters(), *layer.buffers()):
        if t.dim():
            t.copy_(t[order])


def _follow(after: Sequence[nn.Module], order: Tensor) -> None:
    """Bring statistics, and the inputs of the next layer with weights, into *order*."""
    for layer in after:
        if isinstance(layer, nn.BatchNorm2d):
            _reorder(layer, order)
            continue
        weight = layer.weight
        assert isinstance(weight, Tensor)
        columns = weight.reshape(len(weight), len(order), -1)  # (out, in, what each input channel spans)
        weight.copy_(columns[:, order].reshape(weight.shape))
        return
