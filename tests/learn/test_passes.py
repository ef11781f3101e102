"""Training that is stopped after some of its epochs is training for so many: what partial work rests on."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import islice

import pytest
import torch

import fedsim.learn
from fedsim.learn.heterofl import scaled_sgd
from fedsim.learn.lora import init_adapters, lora_sgd
from fedsim.learn.masks import magnitude_mask, masked, masked_sgd
from fedsim.learn.models import make_spec
from fedsim.learn.qat import local_qat
from fedsim.learn.train import local_sgd
from fedsim.learn.values import Model, flatten
from fedsim.training import Train
from fedsim.work import JobKind, shortened, source
from tests.methods.hand import CLASSES, SHAPE, examples

N, BATCH = 20, 8  # three steps an epoch, the last of them smaller
HOW = {
    "sgd": Train(batch_size=BATCH, lr=0.05, momentum=0.9, weight_decay=0.1),
    "adamw": Train(batch_size=BATCH, lr=0.01, optimizer="adamw", clip_norm=0.1),
}


def network():
    torch.manual_seed(0)
    spec = make_spec("mlp", CLASSES, SHAPE, hidden=6)
    return Model(spec.as_params(), {n: t.detach() for n, t in spec.build().state_dict().items()})


def transformer():
    torch.manual_seed(0)
    spec = make_spec("vit_tiny", CLASSES, SHAPE, dim=16, heads=2, depth=1, patch=2)
    return Model(spec.as_params(), {n: t.detach() for n, t in spec.build().state_dict().items()})


def sparse():
    mask = magnitude_mask.value(network(), (), density=0.3, scope="global")
    return masked.value(network(), mask), mask


def with_adapters():
    model = transformer()
    return model, init_adapters.value(model, rank=2, seed=0)


JOBS = {
    local_sgd: (lambda: (network(),), {"mu": 0.1}),
    masked_sgd: (sparse, {}),
    local_qat: (lambda: (network(),), {"bits": 4, "scale": "float"}),
    scaled_sgd: (lambda: (network(),), {"scale": 2.0}),
    lora_sgd: (with_adapters, {"alpha": 4.0, "dropout": 0.1}),
}


def trained(kind, how, *, epochs):
    """Return what *kind* makes, as a vector; a job starts from its seed."""
    inputs, settings = JOBS[kind]
    models = inputs()
    torch.manual_seed(1)
    made = kind.value(*models, examples(0, N), **{**HOW[how].at(0, 1), "epochs": epochs}, seed=1, **settings)
    return flatten(made.state)


def test_every_job_that_has_passes_is_held_to_them_here():
    modules = [
        importlib.import_module(f"fedsim.learn.{found.name}") for found in pkgutil.iter_modules(fedsim.learn.__path__)
    ]
    kinds = {value for module in modules for value in vars(module).values() if isinstance(value, JobKind)}
    assert {kind.name for kind in kinds if kind.passes} == {kind.name for kind in JOBS}


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", JOBS, ids=lambda kind: kind.label)
def test_two_of_four_epochs_are_two_epochs_bit_for_bit(monkeypatch, kind, how):
    whole = trained(kind, how, epochs=2)
    module = importlib.import_module(kind.value.__module__)
    batches = module.batches
    monkeypatch.setattr(module, "batches", lambda *given, **seed: islice(batches(*given, **seed), 2 * -(-N // BATCH)))
    assert torch.equal(trained(kind, how, epochs=4), whole)


@pytest.mark.parametrize("kind", JOBS, ids=lambda kind: kind.label)
def test_more_epochs_are_another_model(kind):
    assert not torch.equal(trained(kind, "sgd", epochs=2), trained(kind, "sgd", epochs=1))


@pytest.mark.parametrize("kind", JOBS, ids=lambda kind: kind.label)
def test_half_done_is_the_same_recipe_with_half_the_epochs(kind):
    settings = {**HOW["sgd"].at(0, 1), "seed": 1, **JOBS[kind][1]}
    inputs = [source("a", n=number) for number in range(3 if kind in (masked_sgd, lora_sgd) else 2)]
    whole, half = (kind(*inputs, **{**settings, "epochs": epochs}) for epochs in (4, 2))
    assert shortened(whole, 0.5) == half
