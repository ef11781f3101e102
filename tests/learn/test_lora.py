"""Adapters beside a frozen network: what they compute, weigh and cost."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedsim.errors import InputError
from fedsim.learn import loads, lora
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.lora import (
    Adapters,
    adapters_size,
    init_adapters,
    leading_adapters,
    lora_sgd,
    merge_adapters,
    with_adapters,
)
from fedsim.learn.models import make_spec
from fedsim.learn.slices import head_names
from fedsim.learn.subnets import leading
from fedsim.learn.train import training_load
from fedsim.learn.values import Model, flatten, model_size
from fedsim.training import Train
from tests.learn.transformers import as_if_trained

SPEC = make_spec("vit_tiny", 3, (1, 8, 8), dim=16, heads=2, depth=2, patch=4)
SETTINGS = {**Train(batch_size=8, epochs=2).at(0, 1), "seed": 3, "alpha": 8.0}
CUT = {"ffn": (0.5,), "attention": (0.5,), "seed": 0}


def network():
    torch.manual_seed(0)
    return Model(SPEC.as_params(), dict(as_if_trained(SPEC.build()).state_dict()))


def adapters_of(model, seed=0):
    fresh = init_adapters.value(model, rank=4, seed=seed)
    draws = torch.Generator().manual_seed(seed)
    return Adapters(fresh.spec, 4, {n: t + 0.1 * torch.randn(t.shape, generator=draws) for n, t in fresh.state.items()})


def data():
    draws = torch.Generator().manual_seed(1)
    y = torch.randint(3, (24,), generator=draws)
    return Examples(torch.randn(24, 1, 8, 8, generator=draws) + y.view(-1, 1, 1, 1), y)


def test_fresh_adapters_change_nothing():
    model = network()
    joined = with_adapters.value(model, init_adapters.value(model, rank=4, seed=0), alpha=8.0)
    assert torch.equal(flatten(joined.state), flatten(model.state))


def test_the_joined_weights_compute_what_network_and_adapters_do():
    model, x = network(), data().x
    adapters = adapters_of(model)
    beside = lora.adapted(model.module(), model.spec, rank=4, scale=2.0, dropout=0.1).eval()
    with torch.no_grad():
        for name, p in lora._parameters(beside, model.spec).items():
            p.copy_(adapters.state[name])
    joined = with_adapters.value(model, adapters, alpha=8.0).module()
    assert torch.allclose(joined(x), beside(x), atol=1e-4)
    assert not torch.allclose(joined(x), model.module()(x), atol=0.1)


def test_adapters_are_as_large_as_declared():
    adapters = adapters_of(network())
    assert flatten(adapters.state).numel() == adapters_size(SPEC.as_params(), 4).entries
    head = sum(network().state[name].numel() for name in head_names(SPEC.as_params()))
    assert adapters_size(SPEC.as_params(), 4).nbytes == 4 * (2 * 3 * 4 * (16 + 16) + head)


def test_only_adapters_and_the_output_layer_are_trained():
    model = network()
    fresh = init_adapters.value(model, rank=4, seed=0)
    trained = lora_sgd.value(model, fresh, data(), **SETTINGS, dropout=0.0)
    assert [name for name, t in trained.state.items() if torch.equal(t, fresh.state[name])] == []
    assert torch.equal(flatten(model.state), flatten(network().state))


def test_training_lowers_the_loss():
    model, shard = network(), data()
    fresh = init_adapters.value(model, rank=4, seed=0)
    trained = lora_sgd.value(model, fresh, shard, **SETTINGS, dropout=0.0)
    before, after = (
        nn.functional.cross_entropy(with_adapters.value(model, a, alpha=8.0).module()(shard.x), shard.y).item()
        for a in (fresh, trained)
    )
    assert after < before


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**62), ffn=st.sampled_from([(1.0,), (1.0, 0.5)]))
def test_cut_adapters_fit_the_cut_network(seed, ffn):
    model, cut = network(), {"ffn": ffn, "attention": (1.0, 0.5, 0.25), "seed": seed}
    small, adapters = leading.value(model, **cut), leading_adapters.value(adapters_of(model), **cut)
    assert adapters.spec == small.spec
    assert adapters_size(small.spec, 4) == leading_adapters.size(adapters_size(model.spec, 4), **cut)
    assert adapters_size(small.spec, 4).entries == flatten(adapters.state).numel()
    joined = with_adapters.value(small, adapters, alpha=8.0)
    whole = leading.value(with_adapters.value(model, adapters_of(model), alpha=8.0), **cut)
    assert torch.allclose(flatten(joined.state), flatten(whole.state), atol=1e-5)


def test_adapters_are_merged_where_they_are_held():
    adapters = adapters_of(network())
    part = leading_adapters.value(adapters, **CUT)
    up = Adapters(part.spec, 4, {name: t + 1.0 for name, t in part.state.items()})
    merged = merge_adapters.value(adapters, (adapters, up), (1, 3)).state
    moved = merged["blocks.0.q.b"] - adapters.state["blocks.0.q.b"]
    assert torch.allclose(moved.mean(1), torch.tensor(([0.75] * 4 + [0.0] * 4) * 2), atol=1e-6)
    assert torch.allclose(merged["blocks.0.q.a"] - adapters.state["blocks.0.q.a"], torch.tensor(0.75), atol=1e-6)


def test_as_published_adapters_that_are_absent_count_as_zero():
    adapters = adapters_of(network())
    part = leading_adapters.value(adapters, **CUT)
    merged = merge_adapters.value(adapters, (adapters, part), (1, 3), rule="zero_padded").state
    share = (merged["blocks.0.v.b"] / adapters.state["blocks.0.v.b"]).mean(1)
    assert torch.allclose(share, torch.tensor(([1.0] * 4 + [0.5] * 4) * 2), atol=1e-5)


def test_frozen_weights_cost_no_gradients_and_no_memory_for_them():
    size, shard = model_size(SPEC.as_params()), DataSize(32, (1, 8, 8), 3, 64)
    how = {"epochs": 1, "batch_size": 8, "optimizer": "adam", "momentum": 0.0}
    frozen = lora._training_load(size, adapters_size(size.spec, 2), shard, **how, dropout=0.1)
    full = training_load(size, shard, **how)
    assert loads.predicting(size.spec, shard).flops < frozen.flops < 0.85 * full.flops
    assert frozen.memory_bytes < full.memory_bytes


def test_a_model_without_blocks_is_refused_from_its_size():
    size = model_size(make_spec("mlp", 3, (1, 8, 8)).as_params())
    with pytest.raises(InputError, match="no transformer blocks"):
        init_adapters.size(size, rank=4, seed=0)
