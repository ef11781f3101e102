"""The script that draws whom a model serves over time says of small results what is true of them."""

import numpy as np
import pandas as pd
import pytest

from fedsim.fairness import by_class
from tests.contract.small import TASK, executed, method, scenario
from tests.test_figures import script

UNEVEN = {**TASK, "partition": {"kind": "dirichlet", "alpha": 0.3, "min_partition_size": 8}}
ABROAD = {"kind": "diurnal", "curve": "wifi", "zones": ["0 h", "12 h"]}


@pytest.fixture(scope="module")
def served():
    return script("served")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder, run = tmp_path_factory.mktemp("made"), {"seeds": [0, 1], "by_label": True, "stop": {"time": "9 d"}}
    return executed(scenario(folder, task=UNEVEN, run=run, availability=ABROAD, method=[method("fedavg")]))


def made_up(gaps, shares):
    """Return rows of one run with two groups, whose accuracies are as far below and above 50 as *gaps* say."""
    rows = [
        (version, float(version), group, 50 + sign * gap, 50 + sign * share)
        for version, (gap, share) in enumerate(zip(gaps, shares, strict=True))
        for group, sign in (("a", 1), ("b", -1))
    ]
    found = pd.DataFrame(rows, columns=["version", "at_s", "group", "accuracy", "share"])
    return found.assign(study="s", method="m", seed=0)


def test_at_the_end_a_class_is_served_as_fairness_says(served, results):
    ends = served.at_times(served.rows_of(results.path, "class"), [])["at the end"].droplevel("study")
    said = by_class(results).set_index(["method", "seed", "profile"]).accuracy
    assert len(ends) == len(said) == 4
    for key, accuracy in ends.items():
        assert accuracy == pytest.approx(100 * said[key])


def test_the_groups_shares_of_a_merges_replies_add_up_to_all(served, results):
    rows = served.rows_of(results.path, "class")
    sums = rows[rows.version > 0].groupby(["method", "seed", "version"]).share.sum()
    assert len(sums) == 6
    assert np.allclose(sums, 100)


def test_devices_are_in_the_zones_of_the_scenario(served, results):
    found = served.zones(results.path)
    assert set(found.group) == {"+00 h", "+12 h"}
    assert len(found) == 12


def test_accuracy_that_goes_with_the_replies_follows_them(served):
    assert served.following(made_up([0, 4, 0, 4], [0, 9, 0, 9]), -1).r.item() == pytest.approx(1)
    assert served.following(made_up([4, 0, 4, 0], [0, 9, 0, 9]), -1).r.item() == pytest.approx(-1)


def test_a_swing_leaves_out_by_how_much_a_group_is_always_ahead(served):
    assert served.following(made_up([7, 7, 7], [0, 9, 0]), -1).swing.item() == pytest.approx(0)


def test_accuracy_at_a_time_is_that_of_the_last_evaluation_up_to_it(served):
    found = served.at_times(made_up([1, 2, 3], [0, 0, 0]), [1.5]).xs("a", level="group")
    assert found.to_numpy().tolist() == [[52, 53]]
