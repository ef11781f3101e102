"""Weights of few bits: their grid, their gradients, the messages they make and the training that uses them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from fedsim.learn.data import Examples
from fedsim.learn.messages import encode
from fedsim.learn.models import make_spec
from fedsim.learn.parts import layout
from fedsim.learn.prune import drop_small, restore
from fedsim.learn.qat import Quantised, local_qat
from fedsim.learn.quantise import as_quantised, codes_of, on_grid, quantise, step_of, straight_through
from fedsim.learn.train import local_sgd
from fedsim.learn.values import Model, flatten, model_size
from fedsim.work import OpClass
from tests.learn.nets import he_resnet12

FEW = [8, 4, 2, 1]
SCALES = ["float", "pow2"]
TRAINING = {
    "epochs": 2, "batch_size": 8, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0,
    "clip_norm": 0.0, "seed": 0,
}  # fmt: skip


def net(name="mlp", **options):
    torch.manual_seed(0)
    spec = make_spec(name, 3, (1, 28, 28), **({"hidden": (8,)} if name == "mlp" else options))
    return Model(spec.as_params(), {key: t.detach() for key, t in spec.build().state_dict().items()})


def shard(n=20):
    torch.manual_seed(1)
    return Examples(torch.randn(n, 1, 28, 28), torch.arange(n) % 3)


@pytest.mark.parametrize(("bits", "megabytes"), [(8, 0.787), (4, 0.398), (1, 0.107)])
def test_messages_of_resnet12_are_as_long_as_published(bits, megabytes):
    """777,888 weights of 17 tensors are quantised; 2,378 entries and 17 steps take 4 bytes each."""
    message = encode.value(quantise.value(he_resnet12(), bits=bits, scale="float"), coder="none")
    assert message.data.numel() == 777_888 * bits // 8 + 4 * (2_378 + 17)
    assert message.data.numel() / 1e6 == pytest.approx(megabytes, abs=0.001)
    assert encode.size(quantise.size(model_size(he_resnet12().spec), bits=bits), coder="none") == message.size()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bits", [8, 4, 2])
def test_an_entry_moves_by_half_a_step_at_most_and_there_are_two_to_the_bits_less_one_codes(bits, scale):
    weights = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    step = step_of(weights, bits=bits, scale=scale)
    codes = codes_of(weights, step, bits=bits)
    assert len(codes.unique()) <= 2**bits - 1
    assert float((codes * step - weights).abs().max()) <= float(step) / 2 * (1 + 1e-5)


@pytest.mark.parametrize("bits", FEW)
def test_a_power_of_two_step_is_the_next_one_above(bits):
    weights = torch.randn(50, generator=torch.Generator().manual_seed(0))
    plain, power = (float(step_of(weights, bits=bits, scale=scale)) for scale in SCALES)
    assert math.log2(power) == math.ceil(math.log2(plain))


def test_a_step_that_is_a_power_of_two_stays():
    assert float(step_of(torch.tensor([0.25, -0.5]), bits=2, scale="pow2")) == 0.5


@pytest.mark.parametrize("bits", FEW)
def test_quantising_what_was_received_changes_nothing(bits):
    once = restore.value(quantise.value(net(), bits=bits, scale="pow2"))
    twice = restore.value(quantise.value(once, bits=bits, scale="pow2"))
    assert all(torch.equal(once.state[name], twice.state[name]) for name in once.state)


@pytest.mark.parametrize("bits", FEW)
def test_norms_and_biases_are_sent_as_they_are(bits):
    model = net("resnet12")
    received = restore.value(quantise.value(model, bits=bits, scale="float"))
    whole = {slot.name for slot in layout(model.spec) if not slot.weight}
    assert len(whole) == 33
    assert {n for n in model.state if torch.equal(model.state[n], received.state[n])} == whole


def test_one_bit_is_received_with_the_mean_size_of_what_was_sent():
    model = net()
    received = restore.value(quantise.value(model, bits=1, scale="float"))
    sent, found = model.state["1.weight"], received.state["1.weight"]
    assert torch.equal(found.sign(), sent.sign())
    torch.testing.assert_close(found.abs(), sent.abs().mean().expand_as(found))


@pytest.mark.parametrize("bits", FEW)
@pytest.mark.parametrize("scope", ["global", "layer"])
def test_what_was_pruned_stays_zero_when_quantised(bits, scope):
    parts = drop_small.value(net(), rate=0.5, scope=scope)
    found = restore.value(quantise.value(parts, bits=bits, scale="float"))
    assert not flatten(found.state)[~parts.mask].any()


@pytest.mark.parametrize("bits", FEW)
def test_empty_and_zero_tensors_are_zero(bits):
    empty, zeros = torch.zeros(0), torch.zeros(3)
    assert float(step_of(empty, bits=bits, scale="pow2")) == 0.0
    assert torch.equal(codes_of(zeros, step := step_of(zeros, bits=bits, scale="float"), bits=bits) * step, zeros)


@pytest.mark.parametrize("bits", FEW)
def test_a_weight_that_is_no_number_is_not_hidden(bits):
    weights = torch.tensor([1.0, float("nan")])
    assert on_grid(weights, bits=bits, scale="float").isnan().any()
    step = step_of(weights, bits=bits, scale="float")
    assert (codes_of(weights, step, bits=bits) * step).isnan().all()


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bits", FEW)
def test_the_gradient_goes_straight_through(bits, scale):
    weights = torch.randn(6, requires_grad=True)
    found = straight_through(weights, bits=bits, scale=scale)
    (found * torch.arange(6.0)).sum().backward()
    assert torch.equal(found, on_grid(weights.detach(), bits=bits, scale=scale))
    assert torch.equal(weights.grad, torch.arange(6.0))


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("bits", FEW)
def test_training_computes_with_what_is_evaluated(bits, scale):
    model, x = net("resnet12"), shard(2).x
    trained = Quantised(model.module(), bits=bits, scale=scale)
    used = as_quantised.value(model, bits=bits, scale=scale).module()
    assert torch.equal(trained(x), used(x))


def test_one_bit_computes_with_signs_and_leaves_zeros():
    assert on_grid(torch.tensor([-0.3, 0.0, 2.0]), bits=1, scale="float").tolist() == [-1.0, 0.0, 1.0]


def test_binaryconnect_keeps_real_weights_between_minus_one_and_one():
    model = net()
    model.state["1.weight"].mul_(100)
    found = local_qat.value(model, shard(), bits=1, scale="float", **TRAINING).state["1.weight"]
    assert float(found.abs().max()) == 1.0
    assert len(found.unique()) > 2


def test_quantised_training_learns_and_moves_real_weights():
    model, data = net(), shard()
    found = local_qat.value(model, data, bits=4, scale="float", **{**TRAINING, "epochs": 20})
    used = as_quantised.value(found, bits=4, scale="float").module()
    assert nn.functional.cross_entropy(used(data.x), data.y).item() < 0.5
    assert len(found.state["1.weight"].unique()) > 15


def test_quantised_training_costs_more_memory_traffic_and_the_same_arithmetic():
    sizes = model_size(net("resnet12").spec), shard().size(classes=3)
    plain = local_sgd.load(*sizes, mu=0.0, **TRAINING)
    few = local_qat.load(*sizes, bits=4, scale="float", **TRAINING)
    assert few.within(OpClass.CONV) == plain.within(OpClass.CONV)
    assert few.within(OpClass.MEMORY).bytes > plain.within(OpClass.MEMORY).bytes
    assert local_qat.load(*sizes, bits=4, scale="float", **{**TRAINING, "seed": 5}) is few
