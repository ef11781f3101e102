"""The scripts that draw figures say of a small world what is true of it."""

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pytest

from fedsim.fleet import profile_names
from fedsim.results import Results
from tests.contract.small import TASK, executed, method, scenario

ROOT = Path(__file__).parents[1]
STEADY = {"availability": {"kind": "always"}, "task": TASK}


def script(name):
    spec = importlib.util.spec_from_file_location(f"figures_{name}", ROOT / "figures" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "figures")  # as for a script that is run
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def levels():
    return script("levels")


@pytest.fixture(scope="module")
def network():
    return script("network")


@pytest.fixture
def lines(tmp_path):
    """Return what runs four devices at once on so many lines, and returns the folder of results."""

    def run(lines=1, cohort=4, methods=("fedavg",), **schedules):
        line = {"name": "line", "count": lines, "down": "1 Mbit/s", "up": "500 kbit/s"}
        changes = {"network": {"tier": [line]}, "schedule": {"kind": "sync", "rounds": 2, "cohort": cohort}}
        fleet = [{"profile": "raspberry-pi-4", "count": 4, "link": "fibre", "behind": "line"}]
        every = [method(name, schedule=schedules.get(name, {})) for name in methods]
        return executed(scenario(tmp_path, **STEADY, **changes, fleet=fleet, method=every), "cost-only").path

    return run


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


def test_the_parts_of_every_task_add_up_to_its_duration(network, lines):
    found = network.tasks(network.spans_of([lines()]))
    assert (len(found), set(found.network)) == (2 * 4, {"small"})
    assert list(found[list(network.PARTS)].sum(axis=1)) == pytest.approx(list(found.seconds), rel=1e-9)
    assert (found.lost > 0).all()


def test_a_device_that_works_alone_loses_nothing(network, lines):
    found = network.tasks(network.spans_of([lines(cohort=1)]))
    assert (len(found), found.lost.abs().max()) == (2, pytest.approx(0, abs=1e-9))


def test_a_round_without_others_is_what_it_is_on_lines_of_their_own(network, lines):
    one, own = (network.rounds(network.tasks(network.spans_of([lines(count)]))) for count in (1, 4))
    assert list(one.alone) == pytest.approx(list(own.shared), rel=1e-6)
    assert list(own.alone) == pytest.approx(list(own.shared), rel=1e-6)
    assert (one.shared > 1.5 * own.shared).all()


def test_of_rounds_that_overlap_nothing_is_said(network, lines):
    schedule = {"kind": "async", "merges": 8, "concurrency": 4, "buffer": 2}
    rows = network.table(network.tasks(network.spans_of([lines(methods=("fedavg", "fedbuff"), fedbuff=schedule)])))
    assert rows.loc["small"].ratio.isna().to_dict() == {"fedavg": False, "fedbuff": True}
    assert (rows.lost > 0).all()


def test_the_seconds_lost_are_counted_by_link_and_way(network, lines):
    shares = network.links(network.spans_of([lines()]))
    assert list(shares) == [("line", "download"), ("line", "upload")]
    assert shares.loc["small"].sum() == pytest.approx(1)


def test_a_method_is_held_against_the_whole_time_of_fedavg(network, lines):
    path = lines(methods=("message-pruning", "fedavg"))
    rows = network.table(network.tasks(network.spans_of([path]))).loc["small"]
    ends = Results.find(path).metrics.groupby("method", observed=True).at_s.max()
    assert list(rows.index) == ["message-pruning", "fedavg"]
    assert list(rows.gain) == pytest.approx([ends["fedavg"] / ends["message-pruning"], 1])
    assert rows.gain["message-pruning"] > rows.gain_alone["message-pruning"] > 1


def test_the_script_draws_the_network(network, lines, tmp_path, monkeypatch, capsys):
    out = tmp_path / "drawn"
    monkeypatch.setattr(sys, "argv", ["network.py", str(lines()), "-o", str(out)])
    network.main()
    assert {path.name for path in out.iterdir()} == {"network.csv", "network-links.csv", "network.png"}
    assert "| small | fedavg |" in capsys.readouterr().out
