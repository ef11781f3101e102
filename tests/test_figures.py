"""The scripts that draw figures say of a small world what is true of it."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedsim.fleet import profile_names
from tests.contract.small import TASK, executed, method, scenario

ROOT = Path(__file__).parents[1]
STEADY = {"availability": {"kind": "always"}, "task": TASK}


@pytest.fixture(scope="module")
def levels():
    spec = importlib.util.spec_from_file_location("figures_levels", ROOT / "figures" / "levels.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def lenet(levels, monkeypatch):
    """Return what is chosen for one network, of which a Raspberry Pi 4 has to drop about half."""
    pi = levels.load_profile("raspberry-pi-4")
    spec = levels.make_spec("lenet5", 10, levels.DATA.shape).as_params()
    monkeypatch.setattr(levels, "LIMITS_S", {"lenet5": levels.seconds(pi, levels.at(spec, 0.5))})
    return levels.choices(["lenet5"])


def test_by_time_no_device_is_late_and_by_flops_some_are(levels, lenet):
    found = levels.counted(lenet).loc["lenet5"]
    assert (found.late["time"], found.vain["time"], set(found.devices)) == (0, 0, {len(profile_names())})
    assert found.late["FLOPS"] > 0


def test_calibrated_flops_say_the_time_of_the_whole_network_where_they_were_calibrated(levels):
    pi = levels.load_profile("raspberry-pi-4")
    spec = levels.make_spec("lenet5", 10, levels.DATA.shape).as_params()
    assert levels.beliefs(spec, pi)["FLOPS, calibrated"](0.0) == pytest.approx(levels.seconds(pi, spec))


def test_a_level_harder_than_needed_is_cut_in_vain(levels):
    rows = [{"way": way, "level": level, "ratio": ratio} for way, level, ratio in
            [("FLOPS", 0.2, 1.6), ("products", 0.7, 0.5), ("none", None, None), ("time", 0.5, 0.9)]]  # fmt: skip
    frame = pd.DataFrame(rows).assign(network="n", device="d").assign(low=lambda f: f.ratio / 2)
    found = levels.counted(frame).loc["n"]
    assert [list(found.loc[way, ["late", "sure", "vain", "out"]]) for way in found.index] == [
        [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0],
    ]  # fmt: skip


def test_of_a_run_the_share_of_late_replies_is_counted(levels, tmp_path):
    schedule = {"kind": "sync", "rounds": 2, "cohort": 6, "deadline": "1 ms"}
    both = [method("fedavg"), method("reft", schedule={"deadline": "30 s"})]
    results = executed(scenario(tmp_path, method=both, schedule=schedule, **STEADY))
    rows = levels.outcomes([results.path]).set_index("method")
    assert (rows.late.to_dict(), rows.heard.to_dict()) == ({"fedavg": 100, "reft": 0}, {"fedavg": 0, "reft": 6})
    assert set(rows.asked) == {12}
    assert "| small | reft | 1 | 12 | 0.0 ± 0.0 |" in levels.study_markdown(rows.reset_index())


def test_the_script_draws_every_device_and_the_study(levels, lenet, tmp_path, monkeypatch, capsys):
    results = executed(scenario(tmp_path, **STEADY))
    out = tmp_path / "drawn"
    monkeypatch.setattr(levels, "choices", lambda networks: lenet[lenet.network.isin(networks)])
    monkeypatch.setattr(sys, "argv", ["levels.py", str(results.path), "-o", str(out)])
    levels.main()
    assert {path.name for path in out.iterdir()} == {"levels.csv", "levels.png", "levels-study.png"}
    assert "| lenet5 |" in capsys.readouterr().out
