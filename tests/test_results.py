"""The tables on disk: their columns, how they are found again, and that a file is whole or not there."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fedsim.results as store
from fedsim.errors import InputError, RunError
from fedsim.results import Results, RunKey
from fedsim.runner import run
from tests.command import changed, write

COLUMNS = {
    "timeline": [
        "run", "method", "seed", "place", "device", "kind", "link", "job", "start_s", "end_s", "bytes", "energy_j",
        "version", "outcome", "bottleneck", "waited_s",
    ],
    "metrics": [
        "run", "method", "seed", "version", "at_s", "model", "split", "accuracy", "loss", "up_bytes", "down_bytes",
        "energy_j", "wasted_s", "wasted_bytes", "wasted_j", "server_energy_j", "key",
    ],
    "devices": [
        "run", "method", "seed", "device", "profile", "link", "samples", "label_counts", "busy_s", "busy_j",
        "up_bytes", "down_bytes", "asked", "done", "late", "cut", "lost", "declined", "oom", "battery", "storage",
        "crash", "outage", "energy_j",
        "transfer_s", "waited_s", "asked_s", "outside_j",
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the results of two methods and two seeds."""
    folder = tmp_path_factory.mktemp("made")
    scenario = changed(schedule={"kind": "sync", "rounds": 4, "cohort": 3, "deadline": "48 ms"})
    return run(write(folder, scenario), seeds=[0, 1], out=folder / "out")


@pytest.mark.parametrize("name", COLUMNS)
def test_a_table_has_the_columns_of_the_interface(made, name):
    assert list(getattr(made, name).columns) == COLUMNS[name]
    file = made.path / "runs" / "fedavg" / "seed-0" / f"{name}.parquet"
    assert pq.read_schema(file).names == COLUMNS[name]


def test_every_run_of_the_scenario_is_in_every_table(made):
    runs = {("fedavg", 0), ("fedavg", 1), ("fedprox", 0), ("fedprox", 1)}
    for frame in (made.timeline, made.metrics, made.devices):
        assert set(zip(frame.method, frame.seed, strict=True)) == runs
        assert set(frame.run) == {made.path.name}


def test_the_files_are_those_of_the_interface(made):
    found = {path.relative_to(made.path).as_posix() for path in made.path.rglob("*") if path.is_file()}
    runs = [f"runs/{method}/seed-{seed}" for method in ("fedavg", "fedprox") for seed in (0, 1)]
    names = ("manifest.json", "timeline.parquet", "metrics.parquet", "devices.parquet")
    assert found == {f"{folder}/{name}" for folder in runs for name in names} | {
        "scenario.toml", "devices.parquet", "summary.json", "summary.md",
    }  # fmt: skip


def test_the_devices_of_all_runs_lie_in_one_table(made):
    whole = pq.read_table(made.path / "devices.parquet").to_pandas()
    assert len(whole) == 4 * 6
    assert whole.equals(made.devices)


def test_devices_add_up_to_the_timeline_and_the_summary(made):
    timeline, devices = made.timeline, made.devices
    spans = timeline[(timeline.device >= 0) & (timeline.kind != "mark")]
    assert devices.energy_j.sum() == pytest.approx(spans.energy_j.sum())
    assert (devices.busy_j <= devices.energy_j).all()
    assert devices.asked.sum() == devices[["done", "late", "cut", "lost"]].sum().sum()
    assert devices.late.sum() > 0
    for summary in made.summary["runs"]:
        mine = devices[(devices.method == summary["method"]) & (devices.seed == summary["seed"])]
        assert mine.up_bytes.sum() == summary["up_bytes"]
        assert mine.down_bytes.sum() == summary["down_bytes"]
        assert mine.energy_j.sum() == pytest.approx(summary["energy_j"])


def test_every_device_is_listed_also_one_that_was_never_asked(tmp_path):
    scenario = changed(fleet=[{"profile": "laptop", "count": 30}], schedule__rounds=1, schedule__cohort=1)
    made = run(write(tmp_path, scenario), out=tmp_path / "out", executor="cost-only")
    assert list(made.devices[made.devices.method == "fedavg"].device) == list(range(30))
    assert made.devices.asked.sum() == 2
    assert (made.devices.label_counts.map(sum) == made.devices.samples).all()


def test_the_last_metrics_are_the_summary(made):
    for summary in made.summary["runs"]:
        mine = made.metrics[(made.metrics.method == summary["method"]) & (made.metrics.seed == summary["seed"])]
        last = mine.iloc[-1]
        assert last.accuracy == summary["accuracy"]
        assert last.up_bytes <= summary["up_bytes"]
        assert list(mine.version) == sorted(mine.version)


def test_results_are_found_again_by_their_folder(made):
    found = Results.find(made.path)
    assert found.runs == made.runs
    assert found.summary == made.summary == json.loads((made.path / "summary.json").read_text())
    assert found.metrics.equals(made.metrics)


def test_results_are_narrowed_by_method_and_seed(made):
    found = Results.find(made.path, method="fedprox", seed=1)
    assert found.runs == (RunKey("fedprox", 1),)
    assert [(one["method"], one["seed"]) for one in found.summary["runs"]] == [("fedprox", 1)]
    assert set(found.timeline.method) == {"fedprox"}


def test_what_is_not_there_is_refused_with_what_is(made, tmp_path):
    with pytest.raises(InputError, match="holds no such run; it holds fedavg with seed 0, fedavg with seed 1,"):
        Results.find(made.path, method="fedsgd")
    with pytest.raises(InputError, match=f"holds no finished run; give one of those in it: {made.path.name}"):
        Results.find(made.path.parent)
    with pytest.raises(InputError, match="holds no finished run; give a folder such as results/quickstart-"):
        Results.find(tmp_path)
    with pytest.raises(InputError, match="holds no finished run of fedsgd with seed 7"):
        made.manifest(RunKey("fedsgd", 7))


def test_a_manifest_says_what_made_the_run(made):
    manifest = made.manifest(RunKey("fedavg", 0))
    assert set(manifest["made_by"]) == {"code", "executor", "inputs", "on"}
    assert manifest["summary"] == made.summary["runs"][0]


def test_the_summary_is_a_markdown_table_too(made):
    lines = (made.path / "summary.md").read_text().splitlines()
    assert lines[0] == "# small"
    assert lines[2] == "| method | seed | acc | time | up | down | energy | wasted | rounds | jobs |"
    assert len([line for line in lines if line.startswith("| fed")]) == 4


def test_results_look_like_a_table_in_a_notebook(made):
    assert "<table" in made._repr_html_()
    assert repr(made) == f"<Results {made.path} of 4 runs>"


TABLE = pa.table({"x": [1]})


def test_a_write_that_fails_leaves_no_file_and_says_so(tmp_path, monkeypatch):
    def fails(table, path, **_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pyarrow.parquet.write_table", fails)
    with pytest.raises(RunError, match="cannot be written \\(No space left on device\\); what was computed is in the"):
        store.write_run(tmp_path, RunKey("m", 0), {"timeline": TABLE}, manifest={})
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_write_that_is_interrupted_leaves_the_old_file(tmp_path, monkeypatch):
    store.write_text(tmp_path / "a.txt", "old")

    def stops(path, target):
        raise KeyboardInterrupt

    monkeypatch.setattr("pathlib.Path.replace", stops)
    with pytest.raises(KeyboardInterrupt):
        store._guarded(lambda: store.write_text(tmp_path / "a.txt", "new"), tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.txt", "old")]


def test_a_run_is_there_only_once_its_manifest_is(tmp_path, monkeypatch):
    run_key = RunKey("m", 0)
    store.write_run(tmp_path, run_key, {"timeline": TABLE}, manifest={"x": 1})
    assert store.read_manifest(tmp_path, run_key) == {"x": 1}
    monkeypatch.setattr("pyarrow.parquet.write_table", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        store.write_run(tmp_path, run_key, {"timeline": TABLE}, manifest={"x": 2})
    assert store.read_manifest(tmp_path, run_key) is None


@pytest.mark.parametrize(
    ("value", "short"),
    [(0.0, "0 s"), (59.96, "60 s"), (0.9999, "1 s"), (5120.3, "1.42 h"), (2e5, "2.31 d"), (1e9, "11574 d")],
)
def test_a_time_is_short(value, short):
    assert store.short_time(value) == short
