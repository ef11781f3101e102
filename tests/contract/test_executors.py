"""Every method through every executor, under every schedule that it can have: one timeline, one set of metrics."""

from __future__ import annotations

import math

import pytest

from fedsim.methods import METHODS
from tests.contract.small import (
    AT_EDGES,
    COMBINING,
    NAMES,
    OPTIONS,
    SCHEDULES,
    digests,
    executed,
    method,
    metrics,
    scenario,
)

EXECUTORS = ("lazy", "eager", "pool", "cost-only")
COMPUTING = EXECUTORS[:3]
WORLDS = {**{kind: {"schedule": schedule} for kind, schedule in SCHEDULES.items()}, "hierarchical": AT_EDGES}
CASES = [(name, kind) for name in NAMES for kind in sorted(WORLDS) if kind in SCHEDULES or name in COMBINING]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def runs(request, tmp_path_factory):
    """Run one method under one schedule by every executor, each with a cache of its own."""
    name, kind = request.param
    path = scenario(tmp_path_factory.mktemp("runs"), **WORLDS[kind], method=[method(name)])
    return {executor: executed(path, executor, out=f"out-{executor}", cache=executor) for executor in EXECUTORS}


def summary(results):
    return results.summary["runs"][0]


def rows_of(results):
    return metrics(results, results.runs[0].method)


def test_the_timeline_is_one_under_every_executor(runs):
    assert len({summary(results)["timeline_digest"] for results in runs.values()}) == 1


def test_metrics_are_equal_under_every_executor_that_computes(runs):
    first, *others = [rows_of(runs[executor]) for executor in COMPUTING]
    assert all(other == first for other in others)


def test_metrics_are_finite_and_there_for_every_version(runs):
    rows = rows_of(runs["lazy"])
    assert all(0.0 <= row["accuracy"] <= 1.0 and math.isfinite(row["loss"]) for row in rows)
    assert sorted({row["version"] for row in rows}) == list(range(max(row["version"] for row in rows) + 1))


def test_a_method_merges_something_and_its_model_moves(runs):
    rows = rows_of(runs["lazy"])
    assert rows[-1]["version"] > 0
    assert len({row["key"] for row in rows}) > 1


def test_cost_only_says_what_a_run_costs_and_not_how_good_it_is(runs):
    costs, real = summary(runs["cost-only"]), summary(runs["lazy"])
    names = ("virtual_s", "up_bytes", "down_bytes", "energy_j", "server_energy_j", "wasted_s", "wasted_bytes", "rounds")
    assert {key: costs[key] for key in names} == {key: real[key] for key in names}
    assert (costs["accuracy"], costs["jobs_run"]) == (None, 0)


def test_the_scenario_has_churn_and_work_in_vain_in_it(runs):
    timeline = runs["cost-only"].timeline
    assert {"done", "late", "wait"} <= set(timeline.outcome) | set(timeline.kind)


def test_lazy_computes_no_more_than_eager(runs):
    assert 0 < summary(runs["lazy"])["jobs_run"] <= summary(runs["eager"])["jobs_run"]


def test_every_method_with_options_of_its_own_is_a_method():
    assert OPTIONS.keys() <= METHODS.keys()


def test_a_size_that_only_computing_tells_is_the_same_under_executors_that_compute(tmp_path):
    path = scenario(tmp_path, method=[method("message-pruning", coder="zlib")])
    runs = [executed(path, name, out=name, cache=name) for name in COMPUTING]
    assert len({tuple(digests(results)) for results in runs}) == 1
    assert metrics(runs[0], "message-pruning") == metrics(runs[1], "message-pruning")


def test_the_number_of_workers_does_not_show(tmp_path):
    path = scenario(tmp_path)
    one, two = (executed(path, "pool", out=f"out-{n}", cache=f"cache-{n}", workers=n) for n in (1, 2))
    assert (digests(one), metrics(one, "fedavg")) == (digests(two), metrics(two, "fedavg"))
