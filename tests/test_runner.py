"""fedsim.run from Python: everything meets, and nothing is lost on the way."""

from __future__ import annotations

import numpy as np
import pytest

import fedsim
from fedsim.errors import InputError, NeedsValues
from fedsim.experiment import Where, prepare
from fedsim.fleet import load_profile
from tests.command import changed, write


def digests(results):
    """Return the digest of every run's timeline."""
    return {(one["method"], one["seed"]): one["timeline_digest"] for one in results.summary["runs"]}


def test_a_packaged_scenario_runs_by_name_with_overrides(tmp_path):
    results = fedsim.run("quickstart", {"schedule.rounds": 2, "task.model": "mlp"}, out=tmp_path, executor="cost-only")
    assert [one["rounds"] for one in results.summary["runs"]] == [2, 2, 2]
    assert results.path.parent == tmp_path


def test_every_executor_gives_the_same_timelines(tmp_path):
    path = write(tmp_path)
    made = {
        name: fedsim.run(path, out=tmp_path / name, cache=tmp_path / f"cache-{name}", executor=name, workers=workers)
        for name, workers in (("lazy", None), ("eager", None), ("pool", 2), ("cost-only", None))
    }
    assert len({tuple(digests(results).items()) for results in made.values()}) == 1
    accuracies = {name: [one["accuracy"] for one in results.summary["runs"]] for name, results in made.items()}
    assert accuracies["lazy"] == accuracies["eager"] == accuracies["pool"]
    assert accuracies["cost-only"] == [None, None]


def test_methods_live_in_one_world_and_seeds_in_others(tmp_path):
    results = fedsim.run(write(tmp_path), seeds=[0, 1], out=tmp_path / "out", executor="cost-only")
    frame = results.timeline
    first = [frame[(frame.method == m) & (frame.seed == 0) & (frame.version == 0)] for m in ("fedavg", "fedprox")]
    assert set(first[0].device) == set(first[1].device)
    assert len(set(digests(results).values())) == 4


def test_a_method_has_its_own_label_training_model_and_schedule(tmp_path):
    methods = [
        {"name": "fedavg"},
        {"name": "fedavg", "label": "twice", "train": {"epochs": 2}},
        {"name": "fedavg", "label": "wide", "model": {"name": "mlp", "hidden": [64]}},
        {"name": "fedasync", "label": "async", "schedule": {"kind": "async", "merges": 5, "concurrency": 2}},
        {"name": "fedavg", "label": "long", "schedule": {"rounds": 4}},
    ]
    results = fedsim.run(write(tmp_path, changed(method=methods)), out=tmp_path / "out", executor="cost-only")
    found = {one["method"]: one for one in results.summary["runs"]}
    assert list(found) == ["fedavg", "twice", "wide", "async", "long"]
    assert found["twice"]["energy_j"] > found["fedavg"]["energy_j"]
    assert found["twice"]["up_bytes"] == found["fedavg"]["up_bytes"]
    assert found["wide"]["up_bytes"] > found["fedavg"]["up_bytes"]
    assert [found[label]["rounds"] for label in ("fedavg", "async", "long")] == [2, 5, 4]


def test_a_target_is_reported_with_its_cost(tmp_path):
    scenario = changed(run={"target": {"accuracy": 0.05, "loss": 0.0001}})
    results = fedsim.run(write(tmp_path, scenario), out=tmp_path / "out")
    reached = results.summary["runs"][0]["to_target"]
    assert set(reached) == {"accuracy=0.05", "loss=0.0001"}
    assert set(reached["accuracy=0.05"]) == {"version", "at_s", "energy_j", "up_bytes", "down_bytes"}
    assert reached["loss=0.0001"] is None


def test_the_last_version_is_evaluated_however_seldom_others_are(tmp_path):
    scenario = changed(schedule__rounds=5, run={"evaluate_every": 3})
    results = fedsim.run(write(tmp_path, scenario), out=tmp_path / "out", executor="cost-only")
    metrics = results.metrics
    assert list(metrics[metrics.method == "fedavg"].version) == [0, 3, 5]


LABELLED = {"evaluate_every": 2, "by_label": True, "target": {"accuracy": 0.05}}


def evaluated(folder, by_label, **changes):
    """Run the small scenario with a target and every second version evaluated."""
    tables = changed(run={**LABELLED, "by_label": by_label}, schedule__rounds=3, **changes)
    return fedsim.run(write(folder, tables), out=folder / "out", cache=folder / "cache")


def test_labels_weighted_by_their_examples_are_as_good_as_the_whole_test_set(tmp_path):
    made = evaluated(tmp_path, by_label=True, task__data="digits", task__samples_per_device=...)
    (problem,) = prepare(made.path / "scenario.toml", {}, Where()).problems.values()
    counts = np.bincount(problem.data.test.y.numpy())
    whole, parts = (made.metrics[(made.metrics.split == "test") == whole] for whole in (True, False))
    assert set(parts.split) == {f"label-{k}" for k in range(10)}
    assert len(parts) == 10 * len(whole) == 10 * 2 * 3
    for metric, off in (("accuracy", 1e-12), ("loss", 1e-5)):
        weighted = parts[metric].to_numpy().reshape(-1, 10) @ counts / counts.sum()
        assert weighted == pytest.approx(whole[metric].to_numpy(), abs=off)


def test_labels_change_no_other_row_and_no_timeline(tmp_path):
    without, made = (evaluated(tmp_path, by_label) for by_label in (False, True))
    whole = made.metrics[made.metrics.split == "test"].assign(run=without.path.name)
    assert whole.to_dict("records") == without.metrics.to_dict("records")
    assert digests(made) == digests(without)
    for name in ("accuracy", "to_target", "status"):
        assert [one[name] for one in made.summary["runs"]] == [one[name] for one in without.summary["runs"]]


def test_where_nothing_is_computed_there_is_a_row_for_all_labels_together(tmp_path):
    tables = changed(run=LABELLED)
    made = fedsim.run(write(tmp_path, tables), out=tmp_path / "out", executor="cost-only")
    assert (set(made.metrics.split), made.metrics.accuracy.isna().all()) == ({"test"}, True)


def test_the_scenario_that_was_run_lies_beside_the_results_and_runs_again(tmp_path):
    results = fedsim.run(write(tmp_path), {"schedule.rounds": 3}, out=tmp_path / "out", executor="cost-only")
    again = fedsim.run(results.path / "scenario.toml", out=tmp_path / "again", executor="cost-only")
    assert again.path.name == results.path.name
    assert digests(again) == digests(results)


def test_more_seeds_join_those_that_are_there(tmp_path):
    path = write(tmp_path)
    first = fedsim.run(path, seeds=[0], out=tmp_path / "out", executor="cost-only")
    fedsim.run(path, seeds=[1], out=tmp_path / "out", executor="cost-only")
    assert {run.seed for run in fedsim.Results.find(first.path).runs} == {0, 1}


def test_another_profile_file_under_the_same_name_is_run_again(tmp_path):
    from fedsim.scenario import find

    text = (find("quickstart").parents[1] / "device_profiles" / "laptop.toml").read_text()
    profile = tmp_path / "mine.toml"
    profile.write_text(text)
    path = write(tmp_path, changed(fleet=[{"profile": "mine.toml", "count": 4}]))
    first = fedsim.run(path, out=tmp_path / "out", executor="cost-only")
    profile.write_text(text.replace('idle = "', 'idle = "1'))
    second = fedsim.run(path, out=tmp_path / "out", executor="cost-only")
    assert second.path == first.path
    assert second.summary["runs"][0]["energy_j"] > first.summary["runs"][0]["energy_j"]


@pytest.mark.parametrize(("link", "changes"), [("lte", True), ("wifi-home", False)])
def test_what_a_run_reads_holds_the_radios_of_its_links_and_no_others(tmp_path, link, changes):
    from fedsim.scenario import find

    text = (find("quickstart").parents[1] / "device_profiles" / "laptop.toml").read_text()
    path = write(tmp_path, changed(fleet=[{"profile": "mine.toml", "count": 4, "link": link}]))
    found = []
    for radio in ("", "[radio.lte]\ntail = []\n"):
        (tmp_path / "mine.toml").write_text(f"{text}\n{radio}")
        experiment = prepare(path, {}, Where())
        found.append(experiment.inputs(experiment.keys[0]))
    assert (found[0] != found[1]) is changes


def test_what_a_run_reads_holds_its_traces(tmp_path):
    path = write(
        tmp_path, changed(fleet=[{"profile": "laptop", "count": 4, "link": {"like": "lte", "trace": "t.csv"}}])
    )
    found = []
    for rate in (1, 1, 2):
        (tmp_path / "t.csv").write_text(f"t_s,down_mbps\n0,{rate}\n1,3\n")
        experiment = prepare(path, {}, Where())
        found.append(experiment.inputs(experiment.keys[0]))
    assert found[0] == found[1] != found[2]


@pytest.mark.parametrize("trace", ["t.csv", {"down": "t.csv"}])
def test_a_resolved_scenario_with_a_trace_can_be_moved(tmp_path, trace):
    (tmp_path / "t.csv").write_text("t_s,down_mbps\n0,1\n1,3\n")
    link = {"like": "lte", "trace": trace}
    path = write(tmp_path, changed(fleet=[{"profile": "laptop", "count": 4, "link": link}], server={"link": link}))
    placed = str((tmp_path / "t.csv").resolve())
    moved = prepare(path, {}, Where()).movable()
    expected = placed if isinstance(trace, str) else {"down": placed}
    assert moved["fleet"][0]["link"]["trace"] == moved["server"]["link"]["trace"] == expected


def test_bad_input_is_an_input_error_and_writes_nothing(tmp_path):
    with pytest.raises(InputError, match="unknown scenario 'quikstart'; did you mean 'quickstart'"):
        fedsim.run("quikstart", out=tmp_path / "out")
    with pytest.raises(InputError, match="unknown executor 'lasy'"):
        fedsim.run("quickstart", out=tmp_path / "out", executor="lasy")
    zlib = changed(method__1={"name": "message-pruning", "coder": "zlib"})
    with pytest.raises(NeedsValues, match="method 'message-pruning'"):
        fedsim.run(write(tmp_path, zlib), out=tmp_path / "out", executor="cost-only")
    assert not (tmp_path / "out").exists()


def test_the_scenario_beside_the_results_runs_from_anywhere(tmp_path):
    draws = np.random.default_rng(0)
    x, y = draws.integers(0, 255, (60, 8, 8), dtype=np.uint8), np.arange(60) % 3
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x[:9], y_test=y[:9])
    task = {"task__data": "npz:own.npz", "task__partition": {"kind": "iid"}, "task__samples_per_device": ...}
    task["task__public"] = {"data": "npz:own.npz", "n": 5}
    made = fedsim.run(write(tmp_path, changed(**task)), out=tmp_path / "one")
    again = fedsim.run(made.path / "scenario.toml", out=tmp_path / "two")
    assert [one["timeline_digest"] for one in again.summary["runs"]] == [
        one["timeline_digest"] for one in made.summary["runs"]
    ]


def test_devices_idle_outside_their_tasks_too(tmp_path):
    made = fedsim.run(write(tmp_path, changed()), out=tmp_path / "out")
    until_s = {(one["method"], one["seed"]): one["virtual_s"] for one in made.summary["runs"]}
    for row in made.devices.itertuples():
        idle_w = load_profile(row.profile).idle_w
        assert row.outside_j == pytest.approx(idle_w * (until_s[row.method, row.seed] - row.asked_s))


@pytest.mark.parametrize("label", [".", "..", "-x"])
def test_a_label_names_a_folder_of_its_own(tmp_path, label):
    with pytest.raises(InputError, match="a letter or digit first"):
        fedsim.run(write(tmp_path, changed(method__0__label=label)), out=tmp_path / "out")


def test_seeds_share_one_data_set_in_memory(tmp_path):
    path = write(tmp_path, changed(task__data="digits", task__partition={"kind": "iid"}, task__samples_per_device=...))
    made = prepare(path, {}, Where(), seeds=[0, 1])
    first, second = made.problems.values()
    assert (first.data is second.data, first.digest != second.digest) == (True, True)
