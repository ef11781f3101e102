"""A scenario in which data go with devices."""

from __future__ import annotations

import json
import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import spearmanr

import fedsim as package
from fedsim.errors import InputError
from fedsim.experiment import Where, prepare
from fedsim.fleet.standing import standing
from fedsim.scenario import digest
from tests.command import changed, fedsim, write

MARKOV = {"kind": "markov", "mean_online": "2 h", "mean_offline": "2 h"}


def scenario(folder, assign=None, **changes):
    task = {"data": "digits", "model": {"name": "mlp", "hidden": [8]}}
    if assign is not None:
        task["assign"] = {"by": "samples", "to": "online", "rho": 1.0, **assign}
    return write(folder, changed(task=task, **{"availability": MARKOV, "fleet__0__count": 20, **changes}))


def prepared(folder, assign=None, seeds=None, **changes):
    return prepare(scenario(folder, assign, **changes), {}, Where(), seeds=seeds)


def samples(experiment, seed=0):
    return list(experiment.problems[seed].samples)


def refused(folder, assign, **changes):
    with pytest.raises(InputError) as caught:
        prepared(folder, assign, **changes)
    return str(caught.value)


def test_devices_with_more_data_are_online_more(tmp_path):
    results = package.run(scenario(tmp_path, {}, method=[{"name": "fedavg"}]), out=tmp_path, executor="cost-only")
    world = prepared(tmp_path, {}).world(prepared(tmp_path, {}).keys[0])
    online = standing(world.fleet, world.availability, "online")
    table = results.devices.sort_values("device")
    assert table.samples.tolist() == [sum(counts) for counts in table.label_counts]
    in_order = table.samples.to_numpy()[np.argsort(online, kind="stable")]
    by_share = [in_order[np.sort(online) == share] for share in np.unique(online)]
    assert all(less.max() <= more.min() for less, more in pairwise(by_share))
    assert len(by_share) > 5


def test_fast_devices_may_have_the_data(tmp_path):
    dealt = samples(prepared(tmp_path, {"to": "class"}))
    assert max(dealt[:20]) <= min(dealt[20:])  # 20 boards, then 2 laptops
    dealt = samples(prepared(tmp_path, {"to": "class", "rho": -1.0}))
    assert min(dealt[:20]) >= max(dealt[20:])


def test_without_it_shard_i_is_that_of_device_i_and_the_digest_does_not_know_of_it(tmp_path):
    experiment = prepared(tmp_path)
    assert experiment.problems[0].order is None
    assert "assign" not in experiment.scenario.resolved()["task"]


def test_a_resolved_scenario_says_how_data_are_assigned_and_has_another_digest(tmp_path):
    experiment = prepared(tmp_path, {"rho": 0.5})
    assert experiment.scenario.resolved()["task"]["assign"] == {"by": "samples", "to": "online", "rho": 0.5}
    assert digest(experiment.scenario) != digest(prepared(tmp_path).scenario)


def test_at_random_the_same_shards_are_elsewhere_for_each_seed(tmp_path):
    experiment = prepared(tmp_path, {"rho": 0.0}, seeds=[0, 1])
    plain = prepared(tmp_path, seeds=[0, 1])
    moved = [experiment.problems[seed].order.tolist() for seed in (0, 1)]
    assert moved[0] != moved[1]
    assert [sorted(samples(experiment, seed)) for seed in (0, 1)] == [sorted(samples(plain, seed)) for seed in (0, 1)]


def test_every_method_finds_the_same_data_at_the_same_device(tmp_path):
    results = package.run(scenario(tmp_path, {}), out=tmp_path, executor="cost-only")
    dealt = results.devices.pivot_table(index="device", columns="method", values="samples")
    assert dealt.fedavg.tolist() == dealt.fedprox.tolist() == samples(prepared(tmp_path, {}))


def test_data_go_with_time_online_as_strongly_as_rho_says(tmp_path):
    uneven = {"kind": "dirichlet", "alpha": 1.0, "min_partition_size": 0}
    experiment = prepared(tmp_path, {"rho": 0.8}, fleet__0__count=198, task__partition=uneven)
    world = experiment.world(experiment.keys[0])
    found = spearmanr(samples(experiment), standing(world.fleet, world.availability, "online")).statistic
    wanted = 6 / math.pi * math.asin(0.4)
    assert abs(found - wanted) < 3 * (1 - wanted**2) / math.sqrt(200)


def test_synthetic_data_cannot_be_assigned(tmp_path):
    said = refused(tmp_path, {}, task__data="synthetic")
    assert "task.assign" in said
    assert "is not to be had with data 'synthetic'" in said


@pytest.mark.parametrize(
    ("assign", "changes", "said"),
    [
        ({"rho": 1.5}, {}, "task.assign.rho = 1.5"),
        ({"by": "sample"}, {}, "task.assign.by = 'sample'"),
        ({"to": "zone"}, {}, "availability 'markov' knows none"),
        ({"to": "online"}, {"availability": {"kind": "always"}}, "all 22 devices have the same, 1"),
        ({}, {"task__partition": {"kind": "lda"}}, "all 22 shards have the same, 65"),
    ],
)
def test_what_is_wrong_is_said_where_it_stands(tmp_path, assign, changes, said):
    found = refused(tmp_path, assign, **changes)
    assert "task.assign" in found
    assert said in found


def test_a_partition_that_cannot_be_is_still_the_partitions_fault(tmp_path):
    assert "task.partition" in refused(tmp_path, {}, task__partition={"kind": "natural"})


def test_check_shows_the_assignment(tmp_path):
    found = json.loads(fedsim("check", scenario(tmp_path, {}), "--json").out)
    assert found["resolved"]["task"]["assign"] == {"by": "samples", "to": "online", "rho": 1.0}
