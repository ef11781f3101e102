"""Who takes part and whom the model serves: what is read from results is what the runs' own totals say."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from fedsim.errors import InputError
from fedsim.fairness import by_class, by_label_group, by_run, jain, label_accuracies
from tests.contract.small import TASK, executed, method, scenario

RUN = ["method", "seed"]
UNEVEN = {**TASK, "partition": {"kind": "dirichlet", "alpha": 0.3, "min_partition_size": 8}}


def made(folder, by_label=True, executor="lazy", **changes):
    """Run the small scenario, in which devices drop out, are late and hold uneven labels."""
    run = {"seeds": [0, 1], "by_label": by_label}
    return executed(scenario(folder, task=UNEVEN, run=run, **changes), executor)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return made(tmp_path_factory.mktemp("made"), method=[method("fedavg"), method("fedprox")])


def test_jain_is_one_only_if_all_are_equal():
    assert jain([2, 2, 2]) == 1.0
    assert jain([2, 2, 3]) < 1.0


def test_jain_falls_by_the_devices_that_never_took_part():
    assert jain([1, 2, 0, 0, 0]) == pytest.approx(jain([1, 2], devices=5))


def test_jain_of_nothing_is_not_a_number():
    assert math.isnan(jain([0, 0]))


def test_participation_counts_the_devices_that_were_never_asked(tmp_path):
    fleet = [{"profile": "laptop", "count": 8}]
    schedule = {"kind": "sync", "rounds": 1, "cohort": 2}
    still = {"kind": "always"}
    found = made(tmp_path, executor="cost-only", fleet=fleet, schedule=schedule, availability=still)
    assert list(by_run(found)) == [0.25, 0.25]
    assert list(by_run(found, devices=16)) == [0.125, 0.125]


def test_classes_add_up_to_the_fleet_and_to_the_waste_of_the_run(results):
    sums = by_class(results).groupby(RUN).sum(numeric_only=True)
    runs = pd.DataFrame(results.summary["runs"]).set_index(RUN)
    assert (runs.wasted_j > 0).all()
    for name in ("wasted_s", "wasted_bytes", "wasted_j", "energy_j"):
        assert list(sums[name]) == pytest.approx(list(runs[name])), name
    assert (set(sums.devices), list(sums.share)) == ({6}, pytest.approx([1.0] * 4))


def test_a_class_is_served_as_well_as_the_labels_that_it_holds(results):
    devices = results.devices[(results.devices.method == "fedavg") & (results.devices.seed == 1)]
    known = label_accuracies(results).loc["fedavg", 1].to_numpy()
    held = np.stack(devices[devices.profile == "phone-mid"].label_counts).sum(axis=0)
    rows = by_class(results).set_index([*RUN, "profile"])
    assert rows.accuracy["fedavg", 1, "phone-mid"] == pytest.approx(known @ held / held.sum())
    assert rows.accuracy["fedavg", 1, "raspberry-pi-4"] != rows.accuracy["fedavg", 1, "phone-mid"]


def test_without_accuracy_by_label_a_class_has_none_and_its_waste_all_the_same(tmp_path):
    rows = by_class(made(tmp_path, by_label=False, executor="cost-only"))
    assert (rows.accuracy.isna().all(), rows.wasted_j.sum() > 0) == (True, True)


def test_labels_without_accuracy_are_refused_with_what_to_do(tmp_path):
    with pytest.raises(InputError, match=r"no accuracy by label; run its scenario with run\.by_label = true"):
        by_label_group(made(tmp_path, by_label=False, executor="cost-only"))


def test_labels_are_as_accurate_at_the_end_as_the_metrics_say(results):
    rows = by_label_group(results)
    metrics = results.metrics[(results.metrics.method == "fedprox") & (results.metrics.seed == 0)]
    each = rows[(rows.method == "fedprox") & (rows.seed == 0) & (rows.group == "each")]
    assert list(each.label) == list(range(10))
    assert list(each.accuracy) == list(metrics.accuracy.tail(10))


def test_the_worst_and_the_best_label_bound_all_others(results):
    rows = by_label_group(results).set_index([*RUN, "group"])
    each, worst, best = (rows.xs(group, level="group").accuracy for group in ("each", "worst", "best"))
    assert list(worst) == list(each.groupby(RUN).min())
    assert list(best) == list(each.groupby(RUN).max())


def test_a_label_is_trained_on_as_often_as_its_devices_took_part(results):
    rows = by_label_group(results)
    for (name, seed), devices in results.devices.groupby(RUN, observed=True):
        counts, done = np.stack(devices.label_counts), devices.done.to_numpy()
        mine = rows[(rows.method == name) & (rows.seed == seed)].set_index("group")
        assert list(mine.trained["each"]) == pytest.approx(list(done @ counts / counts.sum(axis=0)))
        assert mine.trained["rarest"] == mine.trained["each"].min()


def test_of_a_method_with_several_models_the_first_is_read(tmp_path):
    found = made(tmp_path, method=[method("reft", levels=[0.5], smallest=True)])
    metrics = found.metrics[found.metrics.seed == 0]
    first = metrics[metrics.model == metrics.model.iloc[0]]
    assert 0 < len(first) < len(metrics)
    assert list(label_accuracies(found).loc["reft", 0]) == list(first.accuracy.tail(10))
