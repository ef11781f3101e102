"""The command: what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from unittest import mock

import pytest

from fedsim.errors import Stalled
from fedsim.fleet.profile import KINDS, profile_names
from fedsim.results import Results
from tests.command import changed, fedsim, write

_WIDTHS = (80, 100, 160)


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path, monkeypatch):
    """Work where any file that is written shows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.delenv("FEDSIM_DATA", raising=False)


def test_run_prints_a_table_of_all_runs(tmp_path):
    ran = fedsim("run", write(tmp_path), "--seeds", "0,1")
    assert (ran.code, ran.err) == (0, "")
    lines = ran.out.splitlines()
    assert lines[0] == "small"
    assert lines[1].split() == ["method", "seed", "acc", "time", "up", "down", "energy", "wasted", "rounds", "jobs"]
    assert [line.split()[:2] for line in lines[2:6]] == [
        ["fedavg", "0"], ["fedavg", "1"], ["fedprox", "0"], ["fedprox", "1"],
    ]  # fmt: skip
    assert re.fullmatch(r"results in results/small-[0-9a-f]{12}", lines[-1])


def test_run_as_json_prints_one_object_and_it_is_the_summary(tmp_path):
    ran = fedsim("run", write(tmp_path), "--json", "--out", "there")
    summary = json.loads(ran.out)
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    (folder,) = (tmp_path / "there").iterdir()
    assert summary == json.loads((folder / "summary.json").read_text()) == Results.find(folder).summary
    assert list(summary) == ["name", "digest", "out", "peaks_only", "unmetered", "runs"]
    assert list(summary["runs"][0])[:19] == [
        "method", "seed", "status", "timeline_digest", "accuracy", "virtual_s", "up_bytes", "down_bytes", "energy_j",
        "wasted_s", "wasted_bytes", "wasted_j", "rounds", "jobs_run", "jobs_cached", "wall_s", "peak_rss_bytes",
        "executor", "to_target",
    ]  # fmt: skip


def test_several_scenarios_as_json_are_one_object_too(tmp_path):
    path = write(tmp_path)
    ran = fedsim("run", path, path, "--json", "--quiet", "--executor", "cost-only")
    assert [one["name"] for one in json.loads(ran.out)["scenarios"]] == ["small", "small"]


def test_a_finished_run_repeated_runs_no_job_and_a_fresh_one_all(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    path = write(tmp_path)
    first, again, fresh = (
        json.loads(fedsim("run", path, "--json", *more).out)["runs"] for more in ([], [], ["--fresh"])
    )
    assert all(one["jobs_run"] for one in first)
    assert [one["jobs_run"] for one in again] == [0, 0]
    assert all(after["jobs_run"] >= before["jobs_run"] for before, after in zip(first, fresh, strict=True))
    assert [one["accuracy"] for one in fresh] == [one["accuracy"] for one in first]


def test_a_cost_only_run_knows_no_accuracy_and_needs_no_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FEDSIM_CACHE", str(tmp_path / "cache"))
    ran = fedsim("run", write(tmp_path), "--executor", "cost-only")
    assert ran.code == 0
    assert ran.out.splitlines()[2].split()[2] == "-"
    assert not (tmp_path / "cache").exists()


def test_a_run_that_is_stopped_says_so(tmp_path):
    ran = fedsim("run", write(tmp_path), "--set", "run.stop.time=50 ms", "--executor", "cost-only")
    assert "fedavg, seed 0: stopped by run.stop.time before its schedule's end" in ran.out


def test_check_prints_the_scenario_with_its_defaults_and_it_loads_again(tmp_path):
    ran = fedsim("check", write(tmp_path))
    assert (ran.code, ran.err) == (0, "")
    head, text = ran.out.split("\n\n", 1)
    assert re.fullmatch(r"small \([0-9a-f]{12}\) is valid", head)
    again = tmp_path / "again.toml"
    again.write_text(text[: text.index("devices  profile")])
    assert tomllib.loads(again.read_text())["server"] == {"profile": "edge-server", "link": "fibre"}
    assert fedsim("check", again).out.splitlines()[0] == head
    assert not (tmp_path / "results").exists()


def test_check_as_json_prices_a_round_of_every_method_on_every_group(tmp_path):
    report = json.loads(fedsim("check", write(tmp_path), "--json").out)
    assert list(report) == ["name", "digest", "resolved", "fleet", "network", "peaks_only", "unmetered", "costs"]
    assert [(row["method"], row["profile"]) for row in report["costs"]] == [
        ("fedavg", "raspberry-pi-4"), ("fedavg", "laptop"), ("fedprox", "raspberry-pi-4"), ("fedprox", "laptop"),
    ]  # fmt: skip
    assert all(row["status"] == "ok" and row["seconds"] > 0 and row["fits"] is True for row in report["costs"])
    assert report["fleet"][0] == {
        "count": 4, "profile": "raspberry-pi-4", "link": "wifi-home", "behind": "server",
        "samples_least": 8, "samples_most": 8,
    }  # fmt: skip


def test_check_says_where_a_size_depends_on_values(tmp_path):
    path = write(tmp_path, changed(method__1={"name": "message-pruning", "coder": "zlib"}))
    out = fedsim("check", path).out
    assert "  laptop          wifi-home  needs values" in out
    assert out.endswith("needs values: the size of a message is known only by computing it\n")


MEASURED = {"fleet": [{"profile": "raspberry-pi-4", "count": 4}], "server": {"profile": "raspberry-pi-5"}}


@pytest.mark.parametrize("command", [["check"], ["run", "--executor", "cost-only"]], ids=["check", "run"])
def test_a_fleet_that_rests_on_peaks_is_told_of_and_a_measured_one_is_not(command, tmp_path):
    told = fedsim(*command, write(tmp_path)).out
    assert "\n2 of 3 profiles rest on peaks only (laptop, edge-server): their times may be off by " in told
    assert "peaks only" not in fedsim(*command, write(tmp_path, changed(**MEASURED))).out


@pytest.mark.parametrize("command", [["check"], ["run", "--executor", "cost-only"]], ids=["check", "run"])
def test_json_tells_what_rests_on_peaks_and_null_where_nothing_does(command, tmp_path):
    found = json.loads(fedsim(*command, write(tmp_path), "--json").out)["peaks_only"]
    assert (found["profiles"], found["of"]) == (["laptop", "edge-server"], 3)
    assert found["low"] < 1 < found["high"]
    measured = write(tmp_path, changed(**MEASURED))
    assert json.loads(fedsim(*command, measured, "--json").out)["peaks_only"] is None


def test_the_summary_in_words_tells_it_too(tmp_path):
    fedsim("run", write(tmp_path), "--executor", "cost-only")
    (path,) = (tmp_path / "results").glob("*/summary.md")
    assert path.read_text().splitlines()[-1].startswith("2 of 3 profiles rest on peaks only")


def test_devices_list_gives_each_profile_one_line_under_its_kind(monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    lines = fedsim("devices", "list").out.partition("\n\n")[0].splitlines()
    names = [line.split()[0] for line in lines[1:-1] if line.startswith("  ")]
    kinds = [line.strip() for line in lines[1:-1] if not line.startswith("  ")]
    assert sorted(names) == profile_names()
    assert kinds == list(KINDS)


COMMANDS = [["methods"], ["scenarios"], ["devices", "list"], ["devices", "show", "raspberry-pi-4"], ["check"], ["run"]]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("width", _WIDTHS)
def test_no_line_is_wider_than_the_terminal_and_no_word_is_cut(command, width, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    labelled = changed(method__0={"name": "message-pruning"})
    more = {"run": [write(tmp_path, labelled), "--executor", "cost-only"], "check": [tmp_path / "s.toml"]}
    out = fedsim(*command, *more.get(command[0], [])).out
    lines = [line for line in out.splitlines() if "results in" not in line and " = " not in line]
    assert max(map(len, lines)) <= width
    assert "…" not in out
    if command == ["run"]:
        assert len([line for line in lines if line.startswith("message-pruning ")]) == 1


def test_what_is_piped_is_not_wrapped_at_80(tmp_path):
    out = fedsim("methods").out
    assert max(map(len, out.splitlines())) > 100


@pytest.mark.parametrize("command", [["methods"], ["scenarios"], ["devices", "list"], ["schema"]], ids=" ".join)
def test_every_listing_has_one_json_object(command):
    ran = fedsim(*command, *([] if command == ["schema"] else ["--json"]))
    assert (ran.code, ran.err, ran.out.count("\n")) == (0, "", 1)
    assert isinstance(json.loads(ran.out), dict)


def test_methods_lists_options_with_their_defaults():
    found = json.loads(fedsim("methods", "--json").out)
    assert found["fedprox"] == {
        "about": "FedAvg with (mu/2)||w - w_global||^2 in the local loss.", "options": {"mu": 0.01},
    }  # fmt: skip
    assert found["heterofl"]["options"]["budget"] == "0 s"


def test_devices_show_gives_every_number_with_its_source():
    profile = json.loads(fedsim("devices", "show", "raspberry-pi-4", "--json").out)
    assert profile["memory_bytes"] == 2**32
    assert {"what", "value", "source", "year", "note", "quality"} == set(profile["sources"][0])
    text = fedsim("devices", "show", "raspberry-pi-4").out
    assert all(source["what"] in text for source in profile["sources"])
    assert all(f"radio.{name}.{s['what']}: " in text for name, r in profile["radio"].items() for s in r["sources"])


def test_devices_show_tells_of_heat():
    text = fedsim("devices", "show", "raspberry-pi-3").out
    assert "heat: 52 C idle, in the end 73 C busy" in text
    assert "thermal.limit, resume: 1.4 to 1.2 GHz at the soft limit of 60 C" in text
    found = json.loads(fedsim("devices", "show", "raspberry-pi-3", "--json").out)
    assert (found["thermal"]["limit_c"], found["thermal"]["speed"], found["modes"]) == (60.0, 0.857, {})


def test_devices_show_tells_of_power_modes():
    assert "mode 15w: x0.21 speed, x0.066 busy watts" in fedsim("devices", "show", "jetson-agx-xavier").out
    found = json.loads(fedsim("devices", "show", "jetson-agx-xavier", "--json").out)
    assert found["thermal"] is None
    assert {name: mode["speed"] for name, mode in found["modes"].items()} == {
        "maxn": 1.0, "15w": 0.21, "30w-all": 0.337, "30w-6core": 0.325, "30w-4core": 0.356,
    }  # fmt: skip


def test_devices_show_tells_of_radios_and_battery():
    text = fedsim("devices", "show", "phone-mid").out
    assert "battery 15.4 Wh" in text
    assert re.search(
        r"^lte +0.581 W \+ 79 nJ/bit +0.308 W \+ 16.6 nJ/bit +0.308 W for 9.9 s +905 ms", text, re.MULTILINE
    )
    found = json.loads(fedsim("devices", "show", "phone-mid", "--json").out)
    assert (found["battery_j"], found["radio"]["lte"]["tail"]) == (15.4 * 3600, [{"w": 0.308, "s": 9.9}])
    assert found["radio"]["lte"]["promotion_s"] == 0.905


def test_devices_validate_says_how_far_every_measured_profile_is_off():
    found = json.loads(fedsim("devices", "validate", "--json").out)
    assert {"raspberry-pi-4", "raspberry-pi-5", "phone-high"} <= {score["profile"] for score in found["scores"]}
    assert found.keys() == {"scores"}
    assert "raspberry-pi-5" in fedsim("devices", "validate").out


def test_devices_validate_of_one_profile_adds_families_and_worst_rows():
    found = json.loads(fedsim("devices", "validate", "meizu-16t", "--json").out)
    assert {family["family"] for family in found["families"]} >= {"Alexnet", "Lenet"}
    text = fedsim("devices", "validate", "meizu-16t").out
    assert all(word in text for word in ("worst rows", "Lenet", "the energy of training above idle is"))


def test_explain_shows_the_recipe_behind_a_metric(tmp_path):
    fedsim("run", write(tmp_path))
    (folder,) = (tmp_path / "results").iterdir()
    metrics = Results.find(folder, method="fedavg").metrics
    ran = fedsim("explain", metrics.key.iloc[-1][:16])
    assert ran.code == 0
    assert ran.out.startswith("average ")
    assert "local_sgd" in ran.out


EXPLAIN = {
    "xyz": "'xyz' is no start of a key: take hexadecimal digits from the column key of the metrics",
    "f" * 40: "no value in the cache '",
    "": "'' is no start of a key",
}


@pytest.mark.parametrize("key", EXPLAIN)
def test_explain_of_no_key_is_refused(key):
    ran = fedsim("explain", key)
    assert ran.code == 2
    assert ran.err.startswith(f"error: {EXPLAIN[key]}")


@pytest.mark.parametrize(
    "command", ["", "run", "check", "world", "methods", "scenarios", "schema", "explain", "devices list"]
)
def test_every_command_has_help(command):
    ran = fedsim(*command.split(), "--help")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"Usage: fedsim {command}".rstrip())


def test_the_version_is_the_distributions():
    assert re.fullmatch(r"fedsim \d+\.\d+\.\d+\n", fedsim("--version").out)


def test_no_command_at_all_prints_the_help_and_is_wrong():
    ran = fedsim()
    assert ran.code == 2
    assert ran.err.startswith("Usage: fedsim")


def test_a_run_that_cannot_go_on_exits_with_3_and_what_is_done_is_whole(tmp_path):
    methods = [{"name": "fedavg"}, {"name": "fedprox", "model": {"name": "mlp", "hidden": [30000, 30000]}}]
    scenario = changed(method=methods, fleet=[{"profile": "raspberry-pi-3", "count": 4}])
    ran = fedsim("run", write(tmp_path, scenario), "--executor", "cost-only")
    assert ran.code == 3, ran
    assert ran.err.startswith("error: method 'fedprox', seed 0: at 0 s, ")
    (folder,) = (tmp_path / "results").iterdir()
    assert [run["method"] for run in Results.find(folder).summary["runs"]] == ["fedavg"]


def test_a_bug_leaves_its_trace():
    with mock.patch("fedsim.cli.app", side_effect=ZeroDivisionError("oops")), pytest.raises(ZeroDivisionError):
        fedsim("methods")


def test_a_stalled_run_is_an_error_of_ours():
    with mock.patch("fedsim.cli.app", side_effect=Stalled("nobody")):
        assert fedsim("methods").code == 3


@pytest.mark.parametrize("executor", ["lazy", "pool"])
def test_ctrl_c_exits_with_130_leaves_whole_files_and_can_be_resumed(executor, tmp_path):
    path = write(tmp_path, changed(schedule__rounds=2000, task__samples_per_device=256))
    command = [sys.executable, "-m", "fedsim", "run", str(path), "--executor", executor, "--cache", "cache"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=environment,
        start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("cache/*/values/*/*.safetensors"))) < 3:
        assert child.poll() is None, child.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out) == (130, "")
    assert "interrupted: finished runs are whole, and the same command goes on from here" in err
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.glob("results/*/runs/*/*/manifest.json"))
    again = fedsim(
        "run", path, "--cache", "cache", "--json", "--set", "schedule.rounds=2", "--set", "run.evaluate_every=2"
    )
    assert json.loads(again.out)["runs"][0]["jobs_cached"] > 0


def test_progress_shows_virtual_time_and_the_time_to_go(tmp_path):
    from rich.console import Console

    from fedsim.progress import Bars
    from fedsim.results import RunKey

    shown = Console(file=sys.stdout, force_terminal=True, width=80, record=True)
    run = RunKey("fedavg", 0)
    with Bars(shown, hidden=False) as bars:
        bars.started(run, 20)
        bars.moved(run, 5, 5120.0)
        bars.finished(run)
    text = shown.export_text()
    assert "fedavg, seed 0" in text
    assert "virtual 1.42 h" in text
    assert "ETA" in text


def test_a_diverged_run_says_so(tmp_path):
    path = write(tmp_path, changed(train={"lr": 1e30}, method=[{"name": "fedavg"}]))
    said = fedsim("run", path, "--out", tmp_path / "out").out
    assert "fedavg, seed 0: diverged, its last loss is no finite number: lower train.lr" in said


def test_one_method_is_told_in_full_by_name():
    found = fedsim("methods", "reft").out
    assert "arXiv 2308.13662" in found
    assert "distil_lr: 0 for that of training" in found
    assert "'100 GFLOP/s'" in found
