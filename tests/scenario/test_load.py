"""What a scenario says where it says nothing, how it is changed, and what its digest depends on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

import pytest
import tomli_w
from annotated_types import Gt

from fedsim.errors import InputError
from fedsim.experiment import catalogue
from fedsim.methods import METHODS
from fedsim.scenario import AsyncSchedule, digest, find, load, parse_override, read
from fedsim.training import Train
from fedsim.units import ByteCount, ByteRate, FlopRate, Seconds
from tests.command import changed, write


@pytest.fixture
def loaded(tmp_path):
    """Return what loads a scenario with changes."""

    def load_it(overrides=None, **changes):
        return load(write(tmp_path, changed(**changes)), overrides or {}, catalogue(None))

    return load_it


@pytest.fixture
def bare(loaded):
    """Return a scenario of nothing but the keys that are required."""
    return loaded(
        task={"data": "digits", "model": "cnn"}, train=..., availability=..., fleet=[{"profile": "laptop"}],
        method=[{"name": "fedavg"}],
    )  # fmt: skip


def test_what_is_not_said_is_the_interface_default(bare):
    assert bare.resolved() == {
        "name": "small",
        "description": "",
        "task": {
            "data": "digits",
            "model": {"name": "cnn", "width": 1.0},
            "partition": {"kind": "dirichlet", "alpha": 0.5, "min_partition_size": 8},
            "samples_per_device": 64,
        },
        "train": {
            "epochs": 1, "batch_size": 16, "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "weight_decay": 0.0,
            "clip_norm": 0.0, "lr_schedule": "constant", "lr_decay": 0.98, "lr_decay_every": 5,
        },
        "fleet": [{"profile": "laptop", "count": 10, "link": "wifi-home", "behind": "server"}],
        "server": {"profile": "edge-server", "link": "fibre"},
        "network": {"preset": "star", "handshake": 2.0, "first_window": "14480 B"},
        "availability": {
            "kind": "markov", "mean_online": "40 min", "mean_offline": "10 min", "on_dropout": "resume",
        },
        "schedule": {"kind": "sync", "rounds": 2, "cohort": 3, "over_select": 1.0, "select": "random"},
        "method": [{"name": "fedavg", "label": "fedavg"}],
        "run": {"seeds": [0], "evaluate_every": 1, "stop": {"time": "24 h"}},
    }  # fmt: skip


def test_a_resolved_scenario_loads_again_as_itself(bare, tmp_path):
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(bare.resolved()))
    again = load(path, {}, catalogue(None))
    assert again == bare
    assert digest(again) == digest(bare)


@dataclass(frozen=True, slots=True)
class Measured:
    """A method with an option of every unit, alone, bounded, listed or left out."""

    longest: Annotated[Seconds, Gt(0)] = 90.0
    room: ByteCount = 3 * 2.0**20
    speed: FlopRate = 2e9
    links: tuple[ByteRate, ...] = (625000.0,)
    pause: Seconds | None = None
    train: Train = field(default_factory=Train)


GIVEN = {"longest": "300 ms", "room": "1500 B", "speed": "20 GFLOP/s", "links": ["5 Mbit/s", "0 B/s"], "pause": "0.1 s"}


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_resolves_to_what_loads_again(loaded, name):
    table = loaded(method=[{"name": name}])
    assert loaded(**table.resolved()) == table


@pytest.mark.parametrize("given", [{}, GIVEN], ids=["defaults", "given"])
def test_options_with_units_resolve_to_what_loads_again(loaded, monkeypatch, given):
    monkeypatch.setitem(METHODS, "measured", Measured)
    table = loaded(method=[{"name": "measured", **given}])
    assert loaded(**table.resolved()) == table


def test_options_are_numbers_inside_and_have_their_units_outside(loaded, monkeypatch):
    monkeypatch.setitem(METHODS, "measured", Measured)
    (table,) = (made := loaded(method=[{"name": "measured", **GIVEN}])).method
    assert table.options == {"longest": 0.3, "room": 1500.0, "speed": 2e10, "links": (625000.0, 0.0), "pause": 0.1}
    written = made.resolved()["method"][0]
    assert {key: written[key] for key in GIVEN} == {**GIVEN, "pause": "100 ms"}


def test_an_availability_without_a_kind_is_markov(loaded):
    assert loaded(availability={"mean_online": "1 h"}).availability.mean_offline == 600.0


def test_a_link_of_ones_own_is_kept_with_its_units(loaded):
    link = {"down": "20 Mbit/s", "up": "5000 kbit/s", "latency": "0.02 s"}
    assert loaded(fleet__0__link=link).resolved()["fleet"][0]["link"] == {
        "down": "20 Mbit/s", "up": "5 Mbit/s", "latency": "20 ms", "technology": "wifi", "name": "custom",
    }  # fmt: skip


LINKS = {
    "that varies": {"like": "lte", "varies": True},
    "with losses": {"like": "lte", "loss": 0.01, "down": "5 Mbit/s"},
    "of one capacity": {"like": "wifi-home", "shared": True},
    "with a table": {"like": "lte", "trace": "t.csv"},
    "with a trace of each way": {"like": "lte", "trace": {"down": "x.down", "up": "t.csv"}},
    "of its own": {
        "down": "5 Mbit/s", "up": "5 Mbit/s", "latency": "0 s", "technology": "lte", "name": "attic", "loss": 0.5,
        "shared": True, "trace": {"down": "x.down"},
    },
}  # fmt: skip


@pytest.mark.parametrize("case", LINKS)
def test_a_link_stays_what_it_says_and_no_more(loaded, tmp_path, case):
    (tmp_path / "t.csv").write_text("t_s,mbps\n0,1\n1,2\n")
    (tmp_path / "x.down").write_text("5\n")
    table = loaded(fleet__0__link=LINKS[case], server={"link": LINKS[case]})
    assert table.resolved()["fleet"][0]["link"] == LINKS[case] == table.resolved()["server"]["link"]
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(table.resolved()))
    assert digest(load(path, {}, catalogue(None))) == digest(table)


@pytest.mark.parametrize("public", [None, 0, 20, "mnist", {"data": "mnist", "n": 5}, {"n": 5, "preinstalled": True}])
def test_a_public_set_is_a_number_a_name_or_a_table(loaded, public):
    table = loaded(task__public=... if public is None else public) if public is not None else loaded()
    found = table.resolved()["task"].get("public")
    given = {"data": "mnist"} if public == "mnist" else public
    assert found == ({"preinstalled": False, **given} if isinstance(given, dict) else given)


OVERRIDES = {
    "fleet.0.count=5": ("fleet", 0, "count", 5),
    "method.fedprox.mu=0.9": ("method", 1, "mu", 0.9),
    "method.1.mu=1": ("method", 1, "mu", 1.0),
    "schedule.deadline=90 s": ("schedule", "deadline", "90 s"),
    "schedule.deadline='1.5 min'": ("schedule", "deadline", "90 s"),
    "availability.on_dropout=discard": ("availability", "on_dropout", "discard"),
    "task.model.hidden=[4, 4]": ("task", "model", "hidden", [4, 4]),
    "run.stop.time=2 h": ("run", "stop", "time", "2 h"),
    "description=a = b # c": ("description", "a = b # c"),
    "method.fedavg.label=first": ("method", 0, "label", "first"),
    'server={profile = "laptop", link = "lte"}': ("server", {"profile": "laptop", "link": "lte"}),
}


@pytest.mark.parametrize("text", OVERRIDES)
def test_an_override_reaches_its_key(loaded, text):
    found = loaded(dict([parse_override(text)])).resolved()
    *place, expected = OVERRIDES[text]
    for part in place:
        found = found[part]
    assert found == expected


def test_an_override_reaches_into_a_model_given_by_name(loaded):
    table = loaded({"task.model.width": 0.5}, task__model="cnn")
    assert table.task.model.options == {"width": 0.5}


def test_a_method_is_found_by_its_label_first(loaded):
    methods = [{"name": "fedprox", "label": "fedavg"}, {"name": "fedavg", "label": "plain"}]
    table = loaded({"method.fedavg.mu": 0.5}, method=methods)
    assert table.method[0].options == {"mu": 0.5}


def test_text_that_is_no_override_is_refused():
    with pytest.raises(InputError, match=r"write KEY=VALUE, such as schedule\.rounds=5"):
        parse_override("schedule..rounds=5")


SAME = {
    "description": {"description": "other words"},
    "seeds": {"run": {"seeds": [3, 4]}},
    "a default spelt out": {
        "train__lr": 0.05,
        "run": {"evaluate_every": 1, "by_label": False},
        "method__0__label": "fedavg",
    },
    "another unit": {"run": {"stop": {"time": "1 d"}}},
    "a whole number for a number": {"method__1__mu": 0.1, "schedule__over_select": 1},
}


@pytest.mark.parametrize("case", SAME)
def test_the_digest_does_not_depend_on(loaded, case):
    assert digest(loaded(**SAME[case])) == digest(loaded())


def test_the_digest_does_not_depend_on_the_order_of_keys(loaded, tmp_path):
    path = tmp_path / "turned.toml"
    path.write_text(tomli_w.dumps(dict(reversed(changed().items()))))
    assert digest(load(path, {}, catalogue(None))) == digest(loaded())


OTHER = {
    "name": {"name": "other"},
    "option": {"method__1__mu": 0.2},
    "label": {"method__1__label": "other"},
    "training": {"train__epochs": 2},
    "count": {"fleet__0__count": 5},
    "link": {"fleet__0__link": "lte"},
    "rounds": {"schedule__rounds": 3},
    "model": {"task__model__hidden": [9]},
    "order of methods": {"method": [{"name": "fedprox", "mu": 0.1}, {"name": "fedavg"}]},
    "stop": {"run": {"stop": {"time": "1 h"}}},
    "evaluation": {"run": {"evaluate_every": 2}},
    "evaluation by label": {"run": {"by_label": True}},
    "schedule of a method": {"method__0__schedule": {"rounds": 3}},
}


@pytest.mark.parametrize("case", OTHER)
def test_the_digest_depends_on(loaded, case):
    assert digest(loaded(**OTHER[case])) != digest(loaded())


def test_a_method_changes_the_schedule_key_by_key(loaded):
    table = loaded(schedule__deadline="9 s", method__0__schedule={"rounds": 5})
    assert table.schedule_of(table.method[0]).model_dump() == {
        "kind": "sync", "rounds": 5, "cohort": 3, "deadline": 9.0, "over_select": 1.0, "select": "random",
        "every": None,
    }  # fmt: skip
    assert table.schedule_of(table.method[1]) == table.schedule


def test_a_method_under_another_kind_of_schedule_keeps_the_deadline(loaded):
    own = {"kind": "async", "merges": 4, "concurrency": 2}
    table = loaded(schedule__deadline="9 s", method__0__schedule=own)
    assert table.schedule_of(table.method[0]) == AsyncSchedule(**own, deadline="9 s")


def test_a_profile_path_starts_at_the_scenario_file(loaded, tmp_path):
    source = find("quickstart").parents[1] / "device_profiles" / "laptop.toml"
    (tmp_path / "mine.toml").write_bytes(source.read_bytes())
    assert loaded(fleet__0__profile="mine.toml").fleet[0].profile == "mine.toml"


def test_packaged_scenarios_are_found_and_are_sound():
    from fedsim.scenario import scenario_names

    assert "quickstart" in scenario_names()
    for name in scenario_names():
        text = read(find(name))
        assert text["description"]
        overrides = {"task.data": "digits"} if text["task"]["data"] == "mnist" else {}
        assert load(find(name), overrides, catalogue(None)).name == text["name"]
