"""Pruned messages: exactly so many entries, exactly so many bytes, and back again."""

from __future__ import annotations

import math
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fedsim.learn.compress import decode, drop_small, encode
from fedsim.learn.models import MODELS, ModelSpec, make_spec
from fedsim.learn.values import Model, bitmask_bytes, flatten, measure, model_size

MLP = make_spec("mlp", 10, (1, 28, 28), hidden=8).as_params()
SMALL = [name for name in MODELS if name not in ("vgg16", "resnet18", "mobilenet_v2", "vit_tiny")]
LARGE = sorted(MODELS.keys() - set(SMALL))
rates = st.floats(0.0, 1.0, exclude_max=True)


def spec_of(name):
    shape = (3, 32, 32) if name in LARGE or name.startswith("resnet") else (1, 28, 28)
    return make_spec(name, 10, shape).as_params()


@cache
def model_of(spec, seed=0):
    torch.manual_seed(seed)
    return Model(spec, {name: t.detach() for name, t in ModelSpec.from_params(spec).build().state_dict().items()})


def of_entries(*values):
    """Return a model whose state is one vector: no architecture, for what does not decode."""
    return Model(MLP, {"w": torch.tensor(values)})


@given(rates)
def test_exactly_the_floor_of_the_share_is_dropped(rate):
    model = model_of(MLP)
    n = model_size(MLP).entries
    pruned = drop_small.value(model, rate=rate)
    assert int((~pruned.mask).sum()) == math.floor(n * rate) == n - len(pruned.values)


@given(rates)
def test_what_is_kept_is_nowhere_nearer_to_zero_than_what_is_dropped(rate):
    entries = flatten(model_of(MLP).state).abs()
    mask = drop_small.value(model_of(MLP), rate=rate).mask
    assert mask.all() or entries[mask].min() >= entries[~mask].max()


def test_ties_are_dropped_by_index():
    pruned = drop_small.value(of_entries(1.0, -1.0, 2.0, 1.0, -1.0), rate=0.5)
    assert pruned.mask.tolist() == [False, False, True, True, True]


def test_one_threshold_goes_over_all_tensors():
    model = Model(MLP, {"small": torch.tensor([0.1, 0.2]), "large": torch.tensor([5.0, 6.0])})
    assert drop_small.value(model, rate=0.5).mask.tolist() == [False, False, True, True]


def test_whole_numbers_are_not_pruned():
    model = Model(MLP, {"w": torch.tensor([0.1, 0.2]), "steps": torch.tensor([0, 7])})
    assert drop_small.value(model, rate=0.5).rest["steps"].tolist() == [0, 7]


@pytest.mark.parametrize("coder", ["bitmask", "zlib"])
@given(rate=rates)
@settings(max_examples=20)
def test_a_message_decodes_to_the_kept_entries_and_zeros(coder, rate):
    model = model_of(MLP)
    pruned = drop_small.value(model, rate=rate)
    back = decode.value(encode.value(pruned, coder=coder))
    assert torch.equal(flatten(back.state), flatten(model.state) * pruned.mask)


@pytest.mark.parametrize("coder", ["bitmask", "zlib"])
@pytest.mark.parametrize("name", SMALL)
def test_a_message_of_any_model_comes_back_in_its_shapes(name, coder):
    model = model_of(spec_of(name))
    back = decode.value(encode.value(drop_small.value(model, rate=0.0), coder=coder))
    assert [(n, t.shape, t.dtype) for n, t in back.state.items()] == [
        (n, t.shape, t.dtype) for n, t in model.state.items()
    ]
    assert all(torch.equal(back.state[n], t) for n, t in model.state.items())


def check_declared_size(spec, rate):
    declared = encode.size(drop_small.size(model_size(spec), rate=rate), coder="bitmask")
    message = encode.value(drop_small.value(model_of(spec), rate=rate), coder="bitmask")
    assert declared == measure(message)


@pytest.mark.parametrize("name", SMALL)
@given(rate=rates)
@settings(max_examples=8)
def test_the_declared_size_of_a_bitmask_message_is_its_length(name, rate):
    check_declared_size(spec_of(name), rate)


@pytest.mark.parametrize("name", LARGE)
def test_the_declared_size_of_a_large_bitmask_message_is_its_length(name):
    check_declared_size(spec_of(name), 0.7)


def test_an_entropy_coders_size_is_not_declared():
    assert encode.size(drop_small.size(model_size(MLP), rate=0.5), coder="zlib") is None


@given(rates)
def test_a_pruned_models_size_is_its_bitmask_messages(rate):
    pruned = drop_small.size(model_size(MLP), rate=rate)
    assert pruned.nbytes == bitmask_bytes(pruned) == encode.size(pruned, coder="bitmask").nbytes


# --- Sizes of the paper's network (methods.md 4.4) ---------------------------------------------------------------
@cache
def he_resnet12():
    """Return the 780,266-parameter ResNet-12 with He initialisation, as the table has it."""
    spec = spec_of("resnet12")
    torch.manual_seed(0)
    module = ModelSpec.from_params(spec).build()
    for part in module.modules():
        if isinstance(part, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(part.weight)
            if part.bias is not None:
                nn.init.zeros_(part.bias)
    return Model(spec, {name: t.detach() for name, t in module.state_dict().items()})


TABLE = [  # theta, zlib-6, bitmask and values: % of the dense message
    (0.0, 92.5, 103.1), (0.3, 70.7, 73.1), (0.5, 53.0, 53.1), (0.8, 23.6, 23.1), (0.9, 12.4, 13.1), (0.95, 6.4, 8.1),
    (0.99, 1.3, 4.1),
]  # fmt: skip


@pytest.mark.parametrize(("theta", "zlib", "bitmask"), TABLE)
def test_sizes_of_the_papers_network_are_those_expected(theta, zlib, bitmask):
    model = he_resnet12()
    dense = model_size(model.spec).nbytes
    pruned = drop_small.value(model, rate=theta)
    shares = [100 * encode.value(pruned, coder=coder).data.numel() / dense for coder in ("zlib", "bitmask")]
    assert shares == pytest.approx([zlib, bitmask], abs=2.0)
