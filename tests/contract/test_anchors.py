"""Where two methods must be one, they are, to 1e-6."""

from __future__ import annotations

import pytest
import torch

from fedsim.execute.cache import Cache, environment
from fedsim.learn.values import flatten
from tests.contract.small import COMBINING, EDGES, FLEET, executed, method, metrics, scenario

STILL = {"kind": "always"}
EQUAL = [{"profile": "raspberry-pi-4", "count": 4, "link": "wifi-home"}]
SYNTHETIC = {"data": "synthetic", "model": {"name": "mlp", "hidden": 8}, "samples_per_device": 32}


def weights(path, results, label):
    """Return the last model of a run as one vector."""
    cache = Cache(path.parent / "cache", env=environment("cpu"), budget_bytes=1 << 30)
    return flatten(cache.get(metrics(results, label)[-1]["key"]).state)


def distance(path, results, *labels):
    first, second = (weights(path, results, label) for label in labels)
    return float((first - second).abs().max())


def test_fedprox_without_its_term_is_fedavg(tmp_path):
    path = scenario(
        tmp_path, method=[method("fedavg"), method("fedprox", mu=0.0), method("fedprox", label="p", mu=1.0)]
    )
    results = executed(path)
    assert distance(path, results, "fedavg", "fedprox") <= 1e-6 < distance(path, results, "fedavg", "p")


def test_fedbuff_with_a_full_buffer_of_equal_devices_is_fedavg(tmp_path):
    full = {"kind": "async", "merges": 3, "concurrency": 4, "buffer": 4}
    half = {**full, "buffer": 2}
    methods = [method("fedavg"), method("fedbuff", schedule=full), method("fedbuff", label="half", schedule=half)]
    schedule = {"kind": "sync", "rounds": 3, "cohort": 4}
    path = scenario(tmp_path, task=SYNTHETIC, fleet=EQUAL, availability=STILL, schedule=schedule, method=methods)
    results = executed(path)
    assert distance(path, results, "fedavg", "fedbuff") <= 1e-6 < distance(path, results, "fedavg", "half")


def test_message_pruning_that_drops_nothing_is_fedavg(tmp_path):
    path = scenario(tmp_path, availability=STILL, schedule={"kind": "sync", "rounds": 2, "cohort": 3},
                    method=[method("fedavg"), method("message-pruning", rate=0.0)])  # fmt: skip
    assert distance(path, executed(path), "fedavg", "message-pruning") == 0.0


def test_fedasync_at_rate_one_takes_over_each_reply(tmp_path):
    """One device, alone, at rate 1: its own training, which is FedAvg's too."""
    alone = [{"profile": "raspberry-pi-4", "count": 1, "link": "wifi-home"}]
    one = {"kind": "async", "merges": 3, "concurrency": 1}
    methods = [method("fedavg"), method("fedasync", rate=1.0, schedule=one)]
    schedule = {"kind": "sync", "rounds": 3, "cohort": 1}
    path = scenario(tmp_path, task=SYNTHETIC, fleet=alone, availability=STILL, schedule=schedule, method=methods)
    assert distance(path, executed(path), "fedavg", "fedasync") <= 1e-6


@pytest.mark.parametrize("rate", [0.5])
def test_pruned_messages_leave_zeros_in_what_devices_send_not_in_the_average(tmp_path, rate):
    schedule = {"kind": "sync", "rounds": 1, "cohort": 3}
    path = scenario(tmp_path, availability=STILL, schedule=schedule, method=[method("message-pruning", rate=rate)])
    zeros = float((weights(path, executed(path), "message-pruning") == 0).to(torch.float32).mean())
    assert zeros < rate


EXACT = {
    "equitable-fl": {},
    "fedadam": {},
    "fedavg": {},
    "fedprox": {},
    "message-pruning": {"rate": 0.0},
    "qat": {"bits": 32},
    "raffm": {"ffn": [1.0], "attention": [1.0]},  # whole, but in the order of the ranking
    "reft": {"importance": "capacity"},
}


@pytest.mark.parametrize("name", COMBINING)
def test_merging_at_edges_first_is_merging_at_once(tmp_path, name):
    at_once, first = ({"kind": kind, "rounds": 3, "cohort": 6} for kind in ("sync", "hierarchical"))
    methods = [method(name, label=kind["kind"], schedule=kind, **EXACT[name]) for kind in (at_once, first)]
    fleet = [*FLEET[:1], {**FLEET[1], "behind": "server"}]  # some of them at no edge
    path = scenario(tmp_path, availability=STILL, network=EDGES, fleet=fleet, schedule=at_once, method=methods)
    assert 0.0 < distance(path, executed(path), "sync", "hierarchical") <= 1e-5
