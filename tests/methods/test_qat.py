"""Quantisation-aware training: what crosses the link, and what is evaluated."""

from __future__ import annotations

import pytest
import torch

from fedsim.learn.messages import decode
from fedsim.learn.values import model_size
from fedsim.methods.qat import QAT
from tests.contract.small import digests, executed, method, metrics, scenario
from tests.methods.worlds import SPEC, Alone, device, reply

STILL = {"kind": "always"}
FEW = [8, 4, 2, 1]


def planned(way):
    world = Alone()
    return world, way.plan(world, way.init(world), device(0))


@pytest.mark.parametrize("bits", FEW)
@pytest.mark.parametrize("direction", ["both", "up", "down"])
def test_a_quantised_message_is_bits_of_weights_and_32_of_biases_and_steps(bits, direction):
    """The network has 128 + 24 weights in two tensors, and 8 + 3 biases."""
    world, work = planned(QAT(bits=bits, direction=direction))
    few, whole = -(-152 * bits // 8) + 4 * (8 + 3 + 2), model_size(SPEC).nbytes
    found = [world.value(ref).size().nbytes for ref in (work.down[0], work.up[0])]
    assert found == [whole if direction == "up" else few, whole if direction == "down" else few]


@pytest.mark.parametrize("bits", FEW)
def test_a_device_sends_as_many_values_as_its_bits_tell_apart(bits):
    world, work = planned(QAT(bits=bits))
    state = world.state(decode(work.up[0]))
    assert 1 < len(state["1.weight"].unique()) <= 2**bits
    assert len(state["1.bias"].unique()) == 8


def test_the_server_averages_in_fp32():
    world, way = Alone(), QAT(bits=1)
    state = way.init(world)
    works = [way.plan(world, state, device(number)) for number in (0, 1)]
    merged = world.state(way.merge(world, state, [reply(n, work) for n, work in enumerate(works)]).model)
    sent = [world.state(decode(work.up[0]))["1.weight"] for work in works]
    torch.testing.assert_close(merged["1.weight"], (sent[0] + sent[1]) / 2)


def test_what_is_evaluated_is_quantised():
    world, way = Alone(), QAT(bits=1)
    assert world.state(way.models(way.init(world))["global"])["1.weight"].unique().tolist() == [-1.0, 1.0]


def test_at_32_bits_it_is_fedavg(tmp_path):
    path = scenario(tmp_path, availability=STILL, method=[method("fedavg"), method("qat", bits=32)])
    results = executed(path)
    first, second = digests(results)
    assert first == second
    assert [row["key"] for row in metrics(results, "fedavg")] == [row["key"] for row in metrics(results, "qat")]


@pytest.mark.parametrize("options", [{"bits": 4, "scale": "pow2"}, {"bits": 1, "direction": "up"}])
def test_its_sizes_need_no_values(tmp_path, options):
    path = scenario(tmp_path, method=[method("qat", **options)])
    assert digests(executed(path, "cost-only", out="costs")) == digests(executed(path))
