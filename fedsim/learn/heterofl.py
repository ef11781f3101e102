"""HeteroFL's local training of a narrow network: scaled outputs, and no penalty for labels that are not there."""

from __future__ import annotations

from torch import Tensor, nn

from fedsim.learn.data import Examples
from fedsim.learn.train import batches, optimiser, step, training_load
from fedsim.learn.values import Model
from fedsim.work import job


@job(
    size=lambda model, *_, **__: model,
    load=lambda model, data, *_, **settings: training_load(model, data, **settings),
    passes="epochs",
)
def scaled_sgd(
    model: Model,
    data: Examples,
    present: Tensor | None = None,
    *,
    epochs: int,
    batch_size: int,
    optimizer: str,
    lr: float,
    momentum: float,
    weight_decay: float,
    clip_norm: float,
    seed: int,
    scale: float,
) -> Model:
    """Train as local_sgd does, with every hidden layer's output times *scale* and 0 for the logits of absent classes.

    Source: Diao et al. 2021, arXiv 2010.01264, section 3; scale is one over the width, folded into the layers.
    """
    module = model.module().train()
    *hidden, head = [layer for layer in module.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    for layer in hidden if scale != 1.0 else ():
        layer.register_forward_hook(lambda _layer, _given, out: out * scale)
    if present is not None:
        head.register_forward_hook(lambda _layer, _given, out: out.masked_fill(~present, 0.0))  # (B, classes)
    update = optimiser(module, optimizer, lr=lr, momentum=momentum, weight_decay=weight_decay)
    for x, y in batches(data, batch_size, epochs, seed=seed):
        step(module, x, y, update=update, clip_norm=clip_norm)
    return Model(model.spec, dict(module.state_dict()))
