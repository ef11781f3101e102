"""What `fedsim check` says of what happens to devices."""

from __future__ import annotations

import json

import pytest

from fedsim.checking import survey
from fedsim.experiment import Where, prepare
from tests.command import changed, fedsim, write

AT_TIMES = {"every": "20 min", "lasts": "5 min"}
PHONES = [{"profile": "phone-mid", "count": 500}, {"profile": "raspberry-pi-4", "count": 2}]


@pytest.fixture
def dynamics(tmp_path):
    """Return what tells of the dynamics of a scenario with changes; None: it does not."""

    def tell(**changes):
        return survey(prepare(write(tmp_path, changed(**changes)), {}, Where())).get("dynamics")

    return tell


@pytest.mark.parametrize("kind", ["always", "markov"])
def test_where_devices_only_come_and_go_nothing_is_told(dynamics, kind):
    assert dynamics(availability={"kind": kind}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"availability": {"kind": "diurnal"}},
        {"fleet__0__availability": {"kind": "markov"}},
        {"dynamics": {"thermal": True}},
        {"failures": {"dropout": 0.1}},
        {"event": [{"at": "3 s", "what": "crash"}]},
    ],
)
def test_what_else_happens_is_told_of(dynamics, changes):
    assert dynamics(**changes)


def test_each_group_has_its_share_online_and_its_mean_stay(dynamics):
    own = {"kind": "markov", "mean_online": "30 min", "mean_offline": "90 min"}
    phones, boards = dynamics(fleet=PHONES, fleet__0__availability=own)["groups"]
    assert (phones["count"], phones["sampled"], boards["sampled"]) == (500, 100, 2)
    assert phones["online"] == pytest.approx(0.25, abs=0.03)
    assert phones["stay_s"] == pytest.approx(1800.0, rel=0.1)
    assert (boards["online"], boards["stay_s"]) == (1.0, None)


def test_a_law_that_changes_every_second_is_only_sampled(dynamics):
    fast = {"kind": "markov", "mean_online": "1 s", "mean_offline": "1 s"}
    (phones, _) = dynamics(fleet=PHONES, fleet__0__availability=fast)["groups"]
    assert phones["online"] == pytest.approx(0.5, abs=0.03)
    assert phones["stay_s"] == pytest.approx(1.0, rel=0.1)


def test_a_run_shorter_than_a_day_is_looked_at_to_its_end(dynamics):
    event = [{"at": "30 s", "what": "leave"}]
    (row, _) = dynamics(event=event, run={"stop": {"time": "40 s"}})["groups"]
    assert (row["until_s"], row["online"], row["stay_s"]) == (40.0, 0.75, 30.0)


SAID = {
    "battery": ({"availability": {"kind": "battery"}}, "devices work while plugged in, or above 20 % of the battery;"),
    "plug": ({"availability": {"kind": "battery", "only_plugged": True}}, "devices work while plugged in"),
    "no battery": ({"availability": {"kind": "battery"}}, "always plugged in, without a battery: raspberry-pi-4"),
    "load": (
        {"dynamics": {"load": AT_TIMES}},
        "other programs leave 50 % of the processor for 5 min at a time, 20 min",
    ),
    "clock": ({"dynamics": {"clock": AT_TIMES}}, "processors run at 60 % of their speed to save power for 5 min"),
    "thermal": ({"dynamics": {"thermal": True}}, "processors that get too hot slow down until they have cooled"),
    "no heat": ({"dynamics": {"thermal": True}, "fleet__0__profile": "nvidia-t4"}, "never hot, as far as is known: nv"),
    "memory": ({"dynamics": {"memory": AT_TIMES}}, "50 % of the memory is left for 5 min at a time, 20 min apart"),
    "storage": ({"dynamics": {"storage": AT_TIMES}}, "50 % of the storage is left for 5 min at a time"),
    "unseen": ({"dynamics": {"reported": False}}, "methods do not see what is left of a device"),
    "dropout": ({"failures": {"dropout": 0.2}}, "20 % of tasks are cut by an absence of 1 min"),
    "crash": (
        {"failures": {"crash": AT_TIMES}},
        "devices crash for 5 min at a time, 20 min apart, and lose what is in",
    ),
    "outage": ({"failures": {"outage": AT_TIMES}}, "networks are down for 5 min at a time, 20 min apart"),
    "uploads": ({"failures": {"truncated": 0.1}}, "0 % of uploads arrive corrupted, 10 % truncated; retries: 1"),
    "late": ({"failures": {"late": {"share": 0.5, "within": "1 h"}}}, "50 % of devices join late, within 1 h"),
    "leave": ({"failures": {"leave": "2 h"}}, "devices leave for ever after 2 h in the mean"),
    "event": (
        {"event": [{"at": "5 min", "what": "slow", "share": 0.5, "group": 1, "leaves": 0.1, "lasts": "1 min"}]},
        "at 5 min 50 % of laptop keep 10 % of their speed for 1 min",
    ),
    "event of all": ({"event": [{"at": "5 min", "what": "crash"}]}, "at 5 min all of the fleet crash for 30 s"),
    "policy": ({"event": [{"at": "5 min", "what": "crash"}]}, "work that is cut goes on once its device is back"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_may_happen_is_said_in_words(dynamics, case):
    changes, expected = SAID[case]
    assert [line for line in dynamics(**changes)["said"] if line.startswith(expected)]


def test_the_text_fits_80_columns_and_holds_what_json_holds(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    out, found = fedsim("check", "smoke/dynamics").out, json.loads(fedsim("check", "smoke/dynamics", "--json").out)
    told = out[out.index("What happens to devices") : out.index("One round of one device")]
    assert max(map(len, told.splitlines())) <= 80
    assert all(f"- {line}" in " ".join(told.split()) for line in found["dynamics"]["said"])
    assert [row["profile"] in told for row in found["dynamics"]["groups"]] == [True, True]


def test_a_scenario_of_everything_loads_again_from_what_is_printed(tmp_path):
    head, text = fedsim("check", "smoke/dynamics").out.split("\n\n", 1)
    again = tmp_path / "again.toml"
    again.write_text(text[: text.index("\ndevices ")])
    assert fedsim("check", again).out.splitlines()[0] == head
