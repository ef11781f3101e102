"""Tables of what changes and what goes wrong: the laws they make, and the numbers in them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import tomli_w

from fedsim.experiment import catalogue
from fedsim.fleet import (
    STILL,
    All,
    Always,
    Clock,
    Crashes,
    Event,
    Failures,
    Markov,
    Members,
    Product,
    Spared,
    Switched,
    load_profile,
)
from fedsim.scenario import Drawing, digest, find, laws_of, load
from fedsim.seeds import seed_of
from tests.command import changed, write

AT_TIMES = {"every": "20 min", "lasts": "5 min"}
EVERYTHING = {
    "dynamics": {
        "load": {**AT_TIMES, "leaves": 0.3},
        "clock": {**AT_TIMES, "speed": 0.5, "power": 0.25},
        "thermal": True,
        "memory": {**AT_TIMES, "leaves": 0.4},
        "storage": {**AT_TIMES, "leaves": 0},
        "reported": False,
    },
    "failures": {
        "dropout": 1, "back": "10 s", "crash": AT_TIMES, "outage": AT_TIMES, "corrupted": 0.1, "truncated": 0.2,
        "retries": 0, "leave": "2 h", "late": {"share": 0.5, "within": "1 h"},
    },
    "event": [{"at": "3 s", "what": "leave", "share": 0.0}, {"at": "4 s", "what": "slow", "group": "laptop"}],
}  # fmt: skip


@pytest.fixture
def loaded(tmp_path):
    """Return what loads a scenario with changes."""

    def load_it(overrides=None, **changes):
        return load(write(tmp_path, changed(**changes)), overrides or {}, catalogue(None))

    return load_it


@pytest.fixture
def laws(loaded, tmp_path):
    """Return what makes the laws of such a scenario, drawn from 5."""

    def make(**changes):
        made = loaded(**changes)
        return laws_of(made, [load_profile(group.profile) for group in made.fleet], Drawing(5, tmp_path))

    return make


def at_times(*labels):
    return Markov(1200.0, 300.0, seed_of(5, *labels))


def event(what, at_s, until_s=math.inf, *, group=None, share=1.0, factor=0.5, number=0):
    return Event(what, at_s, until_s, group, share, factor=factor, number=number)


def test_where_nothing_is_said_nothing_changes(laws):
    availability, dynamics = laws()
    assert availability == Always()
    assert dynamics is STILL


def test_dynamics_are_laws_with_the_numbers_of_the_table(laws):
    _, dynamics = laws(dynamics=EVERYTHING["dynamics"])
    assert dynamics.speed == Product((Switched(at_times("slow"), 0.3),))
    assert dynamics.clock == Clock(at_times("clock"), 0.5, 0.25)
    assert dynamics.memory == Product((Switched(at_times("memory"), 0.4),))
    assert dynamics.storage == Product((Switched(at_times("storage"), 0.0),))
    assert (dynamics.heat, dynamics.reported) == (True, False)


def test_failures_are_laws_with_the_numbers_of_the_table(laws):
    availability, dynamics = laws(failures=EVERYTHING["failures"])
    expected = Failures(dropout=1, back_s=10.0, corrupted=0.1, truncated=0.2, retries=0, seed=seed_of(5, "failures"))
    assert dynamics.failures == expected
    assert dynamics.network == at_times("outage")
    assert dynamics.rebooting == Crashes(1200.0, 300.0, seed_of(5, "crash"))
    members = Members(0.5, 3600.0, mean_s=7200.0, seed=seed_of(5, "members"))
    assert availability == All((dynamics.rebooting, members))


def test_who_joins_late_stays_for_ever_unless_the_table_says(laws):
    availability, _ = laws(failures={"late": {"share": 0.5, "within": "1 h"}})
    assert availability == Members(0.5, 3600.0, mean_s=math.inf, seed=seed_of(5, "members"))


def test_who_leaves_was_there_from_the_start_unless_the_table_says(laws):
    availability, _ = laws(failures={"leave": "2 h"})
    assert availability == Members(0.0, 0.0, mean_s=7200.0, seed=seed_of(5, "members"))


def test_processes_that_are_alike_draw_apart(laws):
    _, dynamics = laws(**EVERYTHING)
    parts = [dynamics.speed.parts[0].process, dynamics.clock.full, dynamics.memory.parts[0].process]
    parts += [dynamics.storage.parts[0].process, dynamics.network, dynamics.rebooting, dynamics.failures]
    assert len({part.seed for part in parts}) == len(parts)


@pytest.mark.parametrize("what", ["leave", "join"])
def test_who_an_event_takes_away_is_not_there(laws, what):
    availability, _ = laws(event=[{"at": "3 s", "what": what, "share": 0.5}])
    assert availability == Spared(event(what, 3.0, share=0.5), 5)


@pytest.mark.parametrize(("what", "law"), [("slow", "speed"), ("memory", "memory"), ("storage", "storage")])
def test_an_event_leaves_a_share_for_as_long_as_it_lasts(laws, what, law):
    _, dynamics = laws(event=[{"at": "3 s", "what": what, "lasts": "2 s", "leaves": 0.1}])
    assert getattr(dynamics, law) == Product((Switched(Spared(event(what, 3.0, 5.0, factor=0.1), 5), 0.1),))


def test_a_crash_of_an_event_takes_as_long_as_a_reboot_and_is_an_absence(laws):
    availability, dynamics = laws(event=[{"at": "3 s", "what": "crash"}])
    assert availability == dynamics.rebooting == Spared(event("crash", 3.0, 33.0), 5)


def test_an_outage_leaves_a_device_there_but_off_the_network(laws):
    availability, dynamics = laws(event=[{"at": "3 s", "what": "outage", "lasts": "1 s"}])
    assert availability == Always()
    assert dynamics.network == Spared(event("outage", 3.0, 4.0), 5)


def test_a_profile_stands_for_all_groups_that_have_it(laws):
    fleet = [{"profile": name, "count": 2} for name in ("laptop", "phone-mid", "laptop")]
    _, dynamics = laws(fleet=fleet, event=[{"at": "1 s", "what": "outage", "group": "laptop"}])
    assert [part.event.group for part in dynamics.network.parts] == [0, 2]


def test_events_hit_shares_that_are_drawn_apart(laws):
    _, dynamics = laws(event=[{"at": "1 s", "what": "outage", "share": 0.5}] * 2)
    one, two = (part.event for part in dynamics.network.parts)
    keys = [(0, index) for index in range(200)]
    hit = [[one.hits(key, 5), two.hits(key, 5)] for key in keys]
    assert [one.number, two.number] == [0, 1]
    assert 20 < sum(both == [True, True] for both in hit) < 80


def test_tables_that_say_nothing_else_are_left_out(loaded):
    scenario = loaded(dynamics={"thermal": False}, failures={"back": "60 s"}, event=[])
    assert not scenario.resolved().keys() & {"dynamics", "failures", "event"}
    assert digest(scenario) == digest(loaded())


def test_resolved_tables_load_again_as_themselves(loaded, tmp_path):
    first = loaded(**EVERYTHING)
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(first.resolved()))
    again = load(path, {}, catalogue(None))
    assert again == first
    assert digest(again) == digest(first)


README = Path(__file__).parents[2] / "README.md"


def test_the_example_of_the_readme_is_sound(tmp_path):
    section = README.read_text(encoding="utf-8").partition("## Devices that come and go, slow down and fail")[2]
    path = write(tmp_path, changed(availability=..., fleet=[{"profile": "phone-mid"}]))
    path.write_text(path.read_text() + section.partition("```toml\n")[2].partition("```")[0])
    made = load(path, {}, catalogue(None))
    assert [part.kind for part in made.availability.of] == ["battery", "diurnal"]
    assert made.event[0].group == "phone-mid"


DIGESTS = {
    "quickstart": "44f87f0c47ae",
    "papers/reft-cifar10": "b7a0e244b756",
    "smoke/fedavg": "3b5a08785206",
    "smoke/hierarchical": "6830764b356f",
    "studies/network-lte-cells": "b615a72acb34",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_a_scenario_without_dynamics_has_the_digest_it_had_before_there_were_any(name):
    assert digest(load(find(name), {}, catalogue(None))) == DIGESTS[name]


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({"failures.dropout": 0.2}, lambda made: made.failures.dropout == 0.2),
        ({"dynamics.load.leaves": 0.9}, lambda made: made.dynamics.load.leaves == 0.9),
        ({"event.0.at": "300 s"}, lambda made: made.event[0].at == 300.0),
        ({"event": []}, lambda made: made.event == []),
    ],
)
def test_dynamics_are_changed_from_outside(loaded, change, read):
    assert read(loaded(change, **EVERYTHING))
