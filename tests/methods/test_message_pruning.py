"""Pruned messages: what is sent and what stays behind, in every direction, with every coder, under every executor."""

from __future__ import annotations

import pytest
import torch

from fedsim.errors import NeedsValues
from fedsim.fleet import load_profile
from fedsim.learn.messages import decode
from fedsim.learn.quantise import as_quantised
from fedsim.methods.fedavg import FedAvg
from fedsim.methods.message_pruning import MessagePruning
from tests.contract.small import SCHEDULES, digests, executed, method, metrics, scenario
from tests.methods.worlds import Alone, device, reply

VARIANTS = {
    "updates with feedback": {"payload": "updates", "error_feedback": True, "rate": 0.9, "direction": "up"},
    "weights with feedback": {"error_feedback": True, "coder": "none"},
    "4 bits by layer": {"bits": 4, "scope": "layer", "scale": "pow2", "coder": "bitmask"},
    "1 bit gaps with feedback": {"bits": 1, "coder": "gaps", "error_feedback": True},
    "down only": {"direction": "down", "coder": "zstd"},
}
DECLARED = ["updates with feedback", "weights with feedback"]


def rounds(world, way, count):
    """Return what one device sent and kept in each of *count* rounds, and the last state."""
    state, seen = way.init(world), []
    for _ in range(count):
        work = way.plan(world, state, device(0))
        seen.append(work)
        state = way.merge(world, state, [reply(0, work, state.version)])
    return seen, state


def total(world, refs):
    states = [world.state(ref) for ref in refs]
    return {name: sum(state[name].double() for state in states) for name in states[0]}


@pytest.mark.parametrize("payload", ["weights", "updates"])
@pytest.mark.parametrize("bits", [32, 4])
def test_what_was_sent_and_what_was_kept_make_the_whole(payload, bits):
    world = Alone()
    (work,), _ = rounds(world, MessagePruning(rate=0.8, payload=payload, bits=bits, error_feedback=True), 1)
    whole = world.state(work.keep[0].inputs[0])
    parts = total(world, [decode(work.up[0]), work.keep[0]])
    for name, t in whole.items():
        torch.testing.assert_close(parts[name], t.double(), rtol=0, atol=0 if bits == 32 else 1e-7)


def test_over_rounds_all_that_was_learnt_is_sent_but_for_what_is_still_kept():
    world, way = Alone(), MessagePruning(rate=0.9, direction="up", payload="updates", error_feedback=True)
    seen, state = rounds(world, way, 4)
    learnt = []
    for version, work in enumerate(seen):
        full = work.keep[0].inputs[0]  # the update, plus from the second round what was kept
        learnt.append(full if version == 0 else full.inputs[0])
    sent = total(world, [decode(work.up[0]) for work in seen] + [seen[-1].keep[0]])
    for name, t in total(world, learnt).items():
        torch.testing.assert_close(sent[name], t, rtol=0, atol=1e-6)
    assert state.unsent == {0: seen[-1].keep[0]}


def test_what_a_device_keeps_is_not_for_another_and_is_lost_on_nobody_who_was_not_merged():
    world, way = Alone(), MessagePruning(error_feedback=True)
    state = way.init(world)
    works = {number: way.plan(world, state, device(number)) for number in (0, 1)}
    state = way.merge(world, state, [reply(1, works[1])])
    assert state.unsent == {1: works[1].keep[0]}


def test_without_feedback_nothing_is_kept():
    world, way = Alone(), MessagePruning()
    assert way.plan(world, way.init(world), device(0)).keep == ()


def test_updates_that_drop_nothing_are_fedavg():
    world = Alone()
    ends = []
    for way in (FedAvg(), MessagePruning(rate=0.0, direction="up", payload="updates")):
        state = way.init(world)
        works = [way.plan(world, state, device(number)) for number in (0, 1)]
        ends.append(world.state(way.merge(world, state, [reply(n, work) for n, work in enumerate(works)]).model))
    for name, t in ends[0].items():
        torch.testing.assert_close(ends[1][name], t, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("direction", "cut"), [("both", (True, True)), ("up", (False, True)), ("down", (True, False))])
def test_a_direction_says_which_messages_are_cut(direction, cut):
    world, way = Alone(), MessagePruning(direction=direction)
    work = way.plan(world, way.init(world), device(0))
    assert (work.down[0].label == "encode", work.up[0].label == "encode") == cut


@pytest.mark.parametrize("bits", [32, 8, 1])
def test_a_quantised_model_is_evaluated_as_it_computes(bits):
    world, way = Alone(), MessagePruning(bits=bits)
    state = way.init(world)
    found = way.models(state)["global"]
    assert found == (state.model if bits == 32 else as_quantised(state.model, bits=bits, scale="float"))


def test_fewer_bits_are_fewer_bytes():
    world, nbytes = Alone(), []
    for bits in (32, 8, 4, 2, 1):
        way = MessagePruning(bits=bits)
        nbytes.append(world.value(way.plan(world, way.init(world), device(0)).up[0]).data.numel())
    assert nbytes == sorted(nbytes, reverse=True)
    assert len(set(nbytes)) == 5


@pytest.mark.parametrize("kind", sorted(SCHEDULES))
@pytest.mark.parametrize("variant", VARIANTS)
def test_each_variant_runs_under_churn_and_is_one_run_lazy_or_eager(tmp_path, variant, kind):
    path = scenario(tmp_path, schedule=SCHEDULES[kind], method=[method("message-pruning", **VARIANTS[variant])])
    lazy, eager = (executed(path, name, out=name, cache=name) for name in ("lazy", "eager"))
    assert digests(lazy) == digests(eager)
    assert metrics(lazy, "message-pruning") == metrics(eager, "message-pruning")
    assert metrics(lazy, "message-pruning")[-1]["version"] > 0


@pytest.mark.parametrize("variant", DECLARED)
def test_sizes_that_follow_from_the_rate_need_no_values(tmp_path, variant):
    path = scenario(tmp_path, method=[method("message-pruning", **VARIANTS[variant])])
    assert digests(executed(path, "cost-only", out="costs")) == digests(executed(path))


@pytest.mark.parametrize("coder", ["gaps", "zlib", "lzma", "zstd", "huffman"])
def test_sizes_that_values_decide_need_them(tmp_path, coder):
    with pytest.raises(NeedsValues, match="message-pruning"):
        executed(scenario(tmp_path, method=[method("message-pruning", coder=coder)]), "cost-only")


def test_cutting_and_coding_take_the_devices_time_and_its_computing_power(tmp_path):
    pi, table = load_profile("raspberry-pi-4"), {"profile": "raspberry-pi-4", "count": 3, "link": "wifi-home"}
    results = executed(scenario(tmp_path, fleet=[table], method=[method("message-pruning")]), "cost-only")
    spans = results.timeline[lambda rows: (rows.device >= 0) & (rows.kind == "compute") & (rows.outcome == "done")]
    assert {"decode", "drop_small", "encode"} <= set(spans.job)
    assert (spans.end_s > spans.start_s).all()
    assert spans.energy_j.to_list() == pytest.approx((pi.busy_w * (spans.end_s - spans.start_s)).to_list(), rel=1e-6)


@pytest.mark.parametrize(
    "way", [{}, {"direction": "up", "payload": "updates"}, {"direction": "down"}, {"bits": 4, "scope": "layer"}]
)
def test_an_edge_sends_a_message_of_the_size_of_a_devices(way):
    made, world = MessagePruning(rate=0.5, **way), Alone()
    state = made.init(world)
    replies = [reply(n, made.plan(world, state, device(n))) for n in range(2)]
    sizes = [world.value(up[0]).size().nbytes for up in (made.combine(world, state, replies), replies[0].up)]
    assert sizes[0] == sizes[1]
