"""The scripts that draw studies of dynamics say of small ones what is true of them."""

import math
import shutil
import sys
import tomllib

import numpy as np
import pandas as pd
import pytest
import tomli_w
from scipy import stats

from fedsim.fairness import by_class, by_run
from tests.contract.small import SCHEDULES, TASK, executed, method, scenario
from tests.test_figures import script

UNEVEN = {**TASK, "partition": {"kind": "dirichlet", "alpha": 0.3, "min_partition_size": 8}}
GOAL = 0.34  # which some of the runs below reach
RUN = {"seeds": [0, 1, 2], "by_label": True, "target": {"accuracy": GOAL}}
METHODS = [method("fedprox"), method("fedasync", schedule=SCHEDULES["async"])]
NEVER = math.inf


@pytest.fixture(scope="module")
def study():
    return script("study")


@pytest.fixture(scope="module")
def dynamics():
    return script("dynamics")


@pytest.fixture(scope="module")
def dropout():
    return script("dropout")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Return the results of two methods whose devices come and go, with three seeds."""
    return executed(scenario(tmp_path_factory.mktemp("made"), task=UNEVEN, run=RUN, method=METHODS))


@pytest.fixture
def setting(results, tmp_path):
    """Return what gives a copy of the results the scenario of a rate of dropouts and a policy."""

    def copied(rate, policy="resume"):
        path = shutil.copytree(results.path, tmp_path / f"small-{rate}-{policy}")
        tables = tomllib.loads((path / "scenario.toml").read_text())
        tables |= {"failures": {"dropout": rate}, "availability": {"kind": "always", "on_dropout": policy}}
        (path / "scenario.toml").write_text(tomli_w.dumps(tables))
        return path

    return copied


def rows_of(**seeds):
    """Return rows of one method under one policy, by rate their accuracies over seeds."""
    every = [
        (float(f"0.{rate[1:]}"), seed, value) for rate, values in seeds.items() for seed, value in enumerate(values)
    ]
    rows = pd.DataFrame(every, columns=["rate", "seed", "accuracy"]).assign(method="m", policy="resume")
    return rows.assign(reached_s=rows.accuracy, wasted_j=0.0, wasted_s=0.0, wasted_bytes=0.0)


# --- What they share ------------------------------------------------------------------------------------
def test_a_run_is_what_its_summary_says(study, results):
    rows = study.outcomes([results.path], GOAL).set_index(["method", "seed"])
    assert list(rows.index.unique("method")) == ["fedprox", "fedasync"]
    for run in results.summary["runs"]:
        row, reached = rows.loc[run["method"], run["seed"]], run["to_target"][f"accuracy={GOAL}"]
        assert row.accuracy == 100 * run["accuracy"]
        assert row.wasted_j == pytest.approx(100 * run["wasted_j"] / run["energy_j"])
        assert row.reached_s == (reached["at_s"] if reached else NEVER)


def test_some_runs_of_the_example_reach_the_target_and_some_do_not(study, results):
    assert 0 < np.isfinite(study.outcomes([results.path], GOAL).reached_s).sum() < 6


def test_no_more_than_everything_is_wasted(study, results):
    rows = study.outcomes([results.path])[list(study.WASTED)]
    assert ((rows >= 0) & (rows <= 100)).all(axis=None)
    assert (rows.max() > 10).all()


def test_participation_is_that_of_the_whole_fleet(study, results):
    rows = study.outcomes([results.path]).set_index(["method", "seed"])
    assert rows.jain.to_dict() == by_run(results, devices=6).to_dict()


def test_participation_is_that_of_a_fleet_of_which_only_a_few_are_listed(study, tmp_path):
    fleet, task = [{"profile": "laptop", "count": 10_001}], {"data": "synthetic", "model": "mlp"}
    still, schedule = {"kind": "always"}, {"kind": "sync", "rounds": 1, "cohort": 3}
    path = scenario(tmp_path, fleet=fleet, task=task, availability=still, schedule=schedule)
    assert list(study.outcomes([executed(path, "cost-only").path]).jain) == [3 / 10_001]


@pytest.mark.parametrize(
    ("times", "said"),
    [
        ([60.0, 120.0, 180.0], "2.00 ± 1.00"),
        ([60.0, 180.0], "2.00"),
        ([60.0, NEVER, 120.0], "2 of 3 reached, median 2.00"),
        ([60.0, NEVER, NEVER], "1 of 3 reached"),
        ([NEVER], "0 of 1 reached"),
        ([math.nan], ""),
    ],
)
def test_a_time_is_said_with_how_many_seeds_it_holds_for(study, times, said):
    assert study.times_said(pd.Series(times), "min") == said


def test_an_interval_is_that_of_a_paired_t_test(study):
    differences = pd.Series([1.0, 2.5, 0.5, 3.0])
    ends = stats.ttest_1samp(differences, 0).confidence_interval(0.95)
    half = study.half_width(differences)
    assert (differences.mean() - half, differences.mean() + half) == pytest.approx((ends.low, ends.high))


def test_of_two_seeds_there_is_no_interval(study):
    assert math.isnan(study.half_width(pd.Series([1.0, 2.0])))
    assert study.gap(1.5, math.nan) == "+1.5"


# --- Dynamics -------------------------------------------------------------------------------------------
def test_a_table_holds_means_and_deviations_over_seeds(dynamics, study, results):
    rows = dynamics.rows_of([results.path], GOAL)
    row = dynamics.table(rows, GOAL).loc["small", "fedasync"]
    accuracies = [100 * run["accuracy"] for run in results.summary["runs"] if run["method"] == "fedasync"]
    assert (row.accuracy, row.accuracy_sd) == pytest.approx((np.mean(accuracies), np.std(accuracies, ddof=1)))
    assert row.worst < row.accuracy < row.best
    assert row.seeds == 3


def test_classes_are_means_over_seeds_in_the_order_of_the_scenario(dynamics, results):
    found = dynamics.classes([results.path])
    assert list(found.loc["small"].index.unique("method")) == ["fedprox", "fedasync"]
    expected = by_class(results).groupby(["method", "profile"]).accuracy.mean()
    assert found.loc["small"].accuracy["fedprox", "phone-mid"] == pytest.approx(100 * expected["fedprox", "phone-mid"])
    assert list(found.share.groupby("method").sum()) == pytest.approx([100, 100])


def drawn(module, name, monkeypatch, *arguments):
    """Run a script, and return the figures that it drew."""
    made, draw = [], module.draw
    monkeypatch.setattr(module, "draw", lambda *given: made.append(draw(*given)) or made[-1])
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    module.main()
    return made


def test_the_script_draws_a_row_of_panels_per_study(dynamics, results, setting, tmp_path, monkeypatch, capsys):
    out = tmp_path / "drawn"
    paths = results.path, setting(0.0).rename(tmp_path / "dynamics-still-0")
    (figure,) = drawn(dynamics, "dynamics.py", monkeypatch, *paths, "-o", out, "--target", GOAL)
    assert {path.name for path in out.iterdir()} == {"dynamics.csv", "dynamics-classes.csv", "dynamics.png"}
    assert [axes.get_ylabel() for axes in figure.axes[::5]] == ["small", "still"]
    assert "| still | fedasync | phone-mid | 3 |" in capsys.readouterr().out


def test_without_accuracy_by_label_the_other_panels_are_drawn(dynamics, tmp_path, monkeypatch):
    path = executed(scenario(tmp_path), "cost-only").path
    (figure,) = drawn(dynamics, "dynamics.py", monkeypatch, path, "-o", tmp_path / "drawn")
    assert len(figure.axes) == 4


# --- Dropouts -------------------------------------------------------------------------------------------
def test_runs_without_dropouts_count_for_every_policy(dropout, setting):
    rows = dropout.rows_of([setting(0.3, "restart"), setting(0.0), setting(0.3, "discard")], GOAL)
    found = rows.drop_duplicates(["policy", "rate"])
    pairs = list(zip(found.policy, found.rate, strict=True))
    assert pairs == [("discard", 0.0), ("discard", 0.3), ("restart", 0.0), ("restart", 0.3)]
    assert len(rows) == 4 * 6


def test_runs_without_dropouts_of_a_policys_own_come_first(dropout, setting):
    own, other = setting(0.0, "restart"), setting(0.0, "resume")
    shutil.rmtree(own / "runs" / "fedasync")
    (own / "summary.json").unlink()
    rows = dropout.rows_of([other, own, setting(0.3, "restart")], None)
    assert set(rows.method[rows.rate == 0]) == {"fedprox"}


def test_differences_to_none_are_paired_by_seed(dropout):
    found = dropout.table(rows_of(_0=[90.0, 50.0, 70.0], _3=[88.0, 47.0, 69.0])).loc["m", "resume"]
    half = stats.t.ppf(0.975, 2) * np.std([-2, -3, -1], ddof=1) / 3**0.5
    assert (found.accuracy_gap[0.3], found.accuracy_half[0.3]) == pytest.approx((-2, half))
    assert math.isnan(found.accuracy_gap[0.0])


def test_of_times_that_some_seed_never_reached_there_is_no_difference(dropout):
    found = dropout.table(rows_of(_0=[9.0, 5.0, 7.0], _3=[10.0, NEVER, 12.0])).loc["m", "resume"]
    assert (found.reached[0.3], found.reached_s[0.3]) == (2, 12.0)
    assert math.isnan(found.reached_s_gap[0.3])


def test_the_script_draws_a_row_of_panels_per_method(dropout, setting, tmp_path, monkeypatch, capsys):
    out = tmp_path / "drawn"
    paths = [setting(0.0), setting(0.1), setting(0.3)]
    (figure,) = drawn(dropout, "dropout.py", monkeypatch, *paths, "-o", out, "--target", GOAL)
    assert {path.name for path in out.iterdir()} == {"dropout.csv", "dropout.png"}
    assert [axes.get_ylabel() for axes in figure.axes[::3]] == ["fedprox", "fedasync"]
    assert "| fedprox | resume | 30 | 3 |" in capsys.readouterr().out


@pytest.mark.parametrize("rates", [[0.0], [0.3]])
def test_one_rate_alone_is_drawn_without_differences(dropout, setting, tmp_path, monkeypatch, rates):
    drawn(dropout, "dropout.py", monkeypatch, *map(setting, rates), "-o", tmp_path / "drawn")
    assert pd.read_csv(tmp_path / "drawn" / "dropout.csv").accuracy_gap.isna().all()


# --- Accuracy by label elsewhere ------------------------------------------------------------------------
def test_tables_of_methods_are_of_the_whole_test_set(results):
    rows = script("methods").last_rows([results.path]).set_index(["method", "seed"])
    assert rows.accuracy.to_dict() == {(run["method"], run["seed"]): run["accuracy"] for run in results.summary["runs"]}
