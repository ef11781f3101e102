"""Policies that rank devices by their losses: values steer time, and alike under every executor that computes."""

from __future__ import annotations

import pytest

from tests.contract.small import FLEET, digests, executed, method, metrics, scenario

ROUNDS = {"kind": "sync", "rounds": 5, "cohort": 3, "deadline": {"start": "2 s", "slack": 1.5}}
OORT = {"kind": "oort", "exploration": 0.5, "window": 2}


@pytest.mark.parametrize("name", ["fedavg", "scaffold"])
@pytest.mark.parametrize("select", [OORT, "power-of-choice", {"kind": "tifl", "tiers": 2, "adaptive": True}], ids=str)
def test_the_same_cohorts_come_of_values_made_late_or_at_once(tmp_path, name, select):
    path = scenario(tmp_path, schedule={**ROUNDS, "select": select}, method=[method(name)])
    lazy, eager = (executed(path, executor, out=executor, cache=executor) for executor in ("lazy", "eager"))
    assert digests(lazy) == digests(eager)
    assert metrics(lazy, name) == metrics(eager, name)


def test_oort_asks_the_same_in_a_pool_of_workers_and_from_a_warm_cache(tmp_path):
    path = scenario(tmp_path, schedule={**ROUNDS, "select": OORT})
    first = executed(path, out="first", cache="one")
    others = [executed(path, "pool", out="pool", cache="two"), executed(path, out="again", cache="one")]
    assert [digests(other) for other in others] == [digests(first)] * 2


def test_oort_asks_others_than_chance_does(tmp_path):
    fleet = [{**group, "count": 10} for group in FLEET]
    schedules = [{**ROUNDS, "select": select} for select in (OORT, "random")]
    ranked, drawn = (digests(executed(scenario(tmp_path, schedule=one, fleet=fleet))) for one in schedules)
    assert ranked != drawn


@pytest.mark.parametrize("select", ["fair", "battery", "tifl"])
def test_policies_without_losses_need_no_values(tmp_path, select):
    path = scenario(tmp_path, schedule={**ROUNDS, "select": select})
    lazy, costs = (executed(path, executor, out=executor) for executor in ("lazy", "cost-only"))
    assert digests(lazy) == digests(costs)
