"""Coded updates: what comes out is what went in, as far as the coder says, and as long as declared."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedsim.learn.models import make_spec
from fedsim.learn.packing import pack_numbers, packed_bytes, unpack_numbers
from fedsim.learn.parameters import parameter_names
from fedsim.learn.updates import dequantised, from_top_k, kept_of, quantised, top_k
from fedsim.learn.values import Model, flatten

SPECS = {
    "mlp": make_spec("mlp", 3, (1, 4, 4), hidden=5),
    "cnn": make_spec("cnn", 3, (1, 8, 8), width=0.1),
    "vgg16": make_spec("vgg16", 3, (1, 32, 32), convs=(2,) * 13, hidden=(3, 3)),
}


def update_of(name, seed=0):
    torch.manual_seed(seed)
    spec = SPECS[name]
    state = {n: torch.randn_like(t) if t.is_floating_point() else t + 3 for n, t in spec.build().state_dict().items()}
    return Model(spec.as_params(), state)


def trained(model):
    return torch.cat([t.flatten() for name, t in model.state.items() if name in parameter_names(model.spec)])


def untrained(model):
    return {name: t for name, t in model.state.items() if name not in parameter_names(model.spec)}


@given(st.lists(st.integers(0, 2**19 - 1), max_size=40), st.integers(19, 30))
def test_packed_numbers_come_back(numbers, bits):
    data = pack_numbers(np.array(numbers, dtype=np.int64), bits)
    assert len(data) == packed_bytes(len(numbers), bits)
    assert unpack_numbers(data, bits, count=len(numbers)).tolist() == numbers


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=20)
@given(rate=st.floats(1e-6, 1.0), seed=st.integers(0, 9))
def test_a_top_k_message_is_as_long_as_declared(name, rate, seed):
    update = update_of(name, seed)
    assert top_k.value(update, rate=rate).data.numel() == top_k.size(update.size(), rate=rate).nbytes


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=20)
@given(rate=st.floats(1e-6, 1.0), seed=st.integers(0, 9))
def test_top_k_keeps_the_largest_entries_and_no_others(name, rate, seed):
    update = update_of(name, seed)
    before = trained(update)
    after = trained(from_top_k.value(top_k.value(update, rate=rate), rate=rate))
    kept = after != 0
    assert int(kept.sum()) == kept_of(len(before), rate)
    assert torch.equal(after[kept], before[kept])
    assert max(before[~kept].abs().tolist(), default=0.0) <= float(before[kept].abs().min())


@pytest.mark.parametrize("name", SPECS)
def test_top_k_of_all_entries_is_the_update(name):
    update = update_of(name)
    assert torch.equal(flatten(from_top_k.value(top_k.value(update, rate=1.0), rate=1.0).state), flatten(update.state))


def test_ties_go_to_the_first_entries():
    update = update_of("mlp")
    level = Model(update.spec, {name: torch.ones_like(t) for name, t in update.state.items()})
    kept = trained(from_top_k.value(top_k.value(level, rate=0.1), rate=0.1))
    assert kept.tolist() == sorted(kept.tolist(), reverse=True)


@pytest.mark.parametrize(("rate", "place_bytes"), [(0.01, 2), (0.1, 10), (0.14, 13), (0.5, 13)])
def test_places_are_listed_or_masked_whichever_is_shorter(rate, place_bytes):
    """An index of 103 entries takes 7 bits, a mask 13 bytes."""
    update, kept = update_of("mlp"), math.ceil(103 * rate)
    assert top_k.size(update.size(), rate=rate).nbytes == 4 * kept + place_bytes


@pytest.mark.parametrize("name", SPECS)
@settings(max_examples=20)
@given(levels=st.integers(1, 200), bucket=st.integers(1, 300), seed=st.integers(0, 2**31))
def test_a_quantised_update_is_as_long_as_declared_and_off_by_less_than_a_level(name, levels, bucket, seed):
    update = update_of(name)
    message = quantised.value(update, levels=levels, bucket=bucket, seed=seed)
    assert message.data.numel() == quantised.size(update.size(), levels=levels, bucket=bucket, seed=seed).nbytes
    before, after = trained(update), trained(dequantised.value(message, levels=levels, bucket=bucket))
    norms = torch.cat([part.norm().expand(len(part)) for part in before.split(bucket)])
    assert bool(((after - before).abs() <= norms / levels * (1 + 1e-5)).all())


def test_quantising_is_right_in_the_mean():
    """Of 400 draws the mean is off by no more than 6 of its own deviations, at most norm / levels / 2 / 20 each."""
    update = update_of("mlp")
    seen = [
        trained(dequantised.value(quantised.value(update, levels=2, bucket=64, seed=seed), levels=2, bucket=64))
        for seed in range(400)
    ]
    norms = torch.cat([part.norm().expand(len(part)) for part in trained(update).split(64)])
    off = (torch.stack(seen).mean(0) - trained(update)).abs()
    assert bool((off <= 6 * norms / 2 / 2 / 20).all())
    assert float((seen[0] - trained(update)).abs().max()) > 0.1


def test_zeros_stay_zero():
    update = update_of("mlp")
    zero = Model(update.spec, {name: torch.zeros_like(t) for name, t in update.state.items()})
    message = quantised.value(zero, levels=7, bucket=16, seed=0)
    assert not dequantised.value(message, levels=7, bucket=16).state["1.weight"].any()


@pytest.mark.parametrize("coder", ["top-k", "qsgd"])
def test_what_training_does_not_move_is_sent_as_it_is(coder):
    update = update_of("vgg16")
    if coder == "top-k":
        after = from_top_k.value(top_k.value(update, rate=0.01), rate=0.01)
    else:
        after = dequantised.value(quantised.value(update, levels=1, bucket=9, seed=0), levels=1, bucket=9)
    assert untrained(after).keys() == untrained(update).keys() != set()
    assert all(torch.equal(t, untrained(update)[name]) for name, t in untrained(after).items())
