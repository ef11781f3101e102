"""Tables of availability: the laws they make, what is left out, and where their files lie."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w

from fedsim.errors import InputError
from fedsim.experiment import Where, catalogue, prepare
from fedsim.fleet import All, Always, ByGroup, Markov, load_profile
from fedsim.fleet.curve import curve_from, load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.presence_files import read_presence
from fedsim.scenario import Drawing, digest, laws_of, load
from fedsim.seeds import seed_of
from tests.command import changed, write

RECORD = "device,start_s,end_s\na,0,40000\nb,100,50000\n"
STATES = "user,start_s,end_s,charging,network\na,0,40000,1,no_wifi\na,40000,86400,0,wifi\n"
HOURS = [0.6] * 12 + [0.2] * 12
OWN = {"hourly": HOURS, "long_stay": "2 h", "short_stay": "2 min", "short_every": "1 h"}
LIVES = {"kind": "trace", "file": "lives.csv"}
ORDER = {**LIVES, "draw": "order", "loop": False}

KINDS = {
    "always": {"kind": "always"},
    "markov": {"mean_online": "20 min"},
    "diurnal": {"kind": "diurnal", "curve": "wifi", "zones": ["0 h", "8 h"], "spread": "1 h", "starts_at": "6 h"},
    "own curve": {"kind": "diurnal", "curve": OWN},
    "trace": {**LIVES, "offset": "any", "holes": "off"},
    "trace of states": {"kind": "trace", "file": "states.csv", "needs": ["charging"]},
    "battery": {"kind": "battery", "use": 0},
    "charger": {"kind": "battery", "only_plugged": True, "plugged": {"curve": "wifi"}},
    "recorded charger": {"kind": "battery", "plugged": LIVES},
    "all": {"kind": "all", "of": [{"kind": "battery"}, {"kind": "diurnal"}, LIVES], "on_dropout": "partial"},
}


@pytest.fixture
def loaded(tmp_path):
    """Return what loads a scenario of phones and boards with this availability, beside two records."""
    (tmp_path / "lives.csv").write_text(RECORD)
    (tmp_path / "states.csv").write_text(STATES)

    def load_it(availability, overrides=None, **changes):
        fleet = [{"profile": "phone-mid", "count": 4}, {"profile": "raspberry-pi-4", "count": 2}]
        made = changed(**{"fleet": fleet, "availability": availability, **changes})
        return load(write(tmp_path, made), overrides or {}, catalogue(None))

    return load_it


@pytest.fixture
def laws(loaded, tmp_path):
    """Return what makes the laws of such a scenario, drawn from 5."""

    def make(availability, **changes):
        made = loaded(availability, **changes)
        return laws_of(made, [load_profile(group.profile) for group in made.fleet], Drawing(5, tmp_path))

    return make


@pytest.mark.parametrize("kind", KINDS)
def test_a_resolved_availability_loads_again_as_itself(loaded, tmp_path, kind):
    first = loaded(KINDS[kind])
    path = tmp_path / "again.toml"
    path.write_text(tomli_w.dumps(first.resolved()))
    again = load(path, {}, catalogue(None))
    assert again == first
    assert digest(again) == digest(first)


def test_every_kind_has_a_digest_of_its_own(loaded):
    assert len({digest(loaded(table)) for table in KINDS.values()}) == len(KINDS)


def test_what_comes_and_goes_by_one_chain_draws_from_the_seed_itself(laws):
    assert laws({"mean_online": "20 min", "mean_offline": "4 min"})[0] == Markov(1200.0, 240.0, 5)


def test_a_curve_has_its_zones_spread_and_start(laws):
    expected = Diurnal(load_curve("wifi"), 5, (0.0, 28800.0), spread_s=3600.0, starts_at_s=21600.0)
    assert laws(KINDS["diurnal"])[0] == expected


def test_a_curve_of_ones_own_goes_through_its_shares(laws):
    curve = curve_from(HOURS, long_stay_s=7200.0, short_stay_s=120.0, short_every_s=3600.0)
    assert laws(KINDS["own curve"])[0] == Diurnal(curve, 5)


def test_recorded_lives_are_read_as_the_table_says(laws, tmp_path):
    expected = read_presence(tmp_path / "lives.csv", seed=5, offset="any", holes="off")
    assert laws(KINDS["trace"])[0] == expected


def test_devices_with_a_battery_charge_and_the_others_are_always_there(laws):
    availability, dynamics = laws(KINDS["charger"])
    plug = Diurnal(load_curve("wifi"), 5, life=seed_of(0, "plug") >> 31)
    assert availability == ByGroup((plug, Always()))
    assert dynamics.charging
    assert dynamics.charging.plugged == plug


def test_a_battery_has_the_numbers_of_its_table(laws):
    table = {"kind": "battery", "floor": 0.1, "resume": 0.4, "start": [0.5, 0.6], "charge": 0.3, "use": 0.05}
    charging = laws(table)[1].charging
    assert (charging.floor, charging.resume, charging.start, charging.seed) == (0.1, 0.4, (0.5, 0.6), 5)
    assert (charging.charge_per_h, charging.use_per_h) == (0.3, 0.05)
    assert charging.plugged.curve == load_curve("charging")


def test_parts_that_are_alike_draw_apart(laws):
    part = {"kind": "markov"}
    availability, dynamics = laws({"kind": "all", "of": [part, part, {"kind": "battery", "plugged": part}]})
    phones = availability.laws[0]
    assert isinstance(phones, All)
    seeds = [law.seed for law in phones.parts] + [dynamics.charging.seed, dynamics.charging.plugged.seed]
    assert seeds == [seed_of(5, 0), seed_of(5, 1), seed_of(5, 2), seed_of(seed_of(5, 2), "plug")]
    assert len(set(seeds)) == 4


def test_a_group_may_have_an_availability_of_its_own(laws):
    availability, _ = laws({"kind": "diurnal"}, fleet__1__availability={"kind": "markov"})
    assert availability.laws[1] == Markov(2400.0, 600.0, 5)
    assert availability.laws[0] == Diurnal(load_curve("charging-and-wifi"), 5)


def test_the_charge_of_a_group_that_lives_by_its_own_availability_still_counts(laws):
    availability, dynamics = laws({"kind": "battery"}, fleet__0__availability={"kind": "markov"})
    assert availability == ByGroup((Markov(2400.0, 600.0, 5), Always()))
    assert dynamics.charging


@pytest.mark.parametrize(
    ("change", "read"),
    [
        ({"availability": {"kind": "diurnal"}}, lambda table: table.kind == "diurnal"),
        ({"availability.of.0.floor": 0.1}, lambda table: table.of[0].floor == 0.1),
        ({"availability.of.1.zones": ["3 h"]}, lambda table: table.of[1].zones == [10800.0]),
        ({"availability.on_dropout": "restart"}, lambda table: table.on_dropout == "restart"),
    ],
)
def test_an_availability_is_changed_from_outside(loaded, change, read):
    assert read(loaded(KINDS["all"], change).availability)


def placed_files(experiment):
    found = json.dumps(experiment.movable())
    return [part.split('"')[0] for part in found.split('"file": "')[1:]]


def test_files_start_at_the_scenario_and_are_absolute_once_moved(tmp_path, monkeypatch, loaded):
    table = {"kind": "all", "of": [{"kind": "battery", "plugged": LIVES}, LIVES]}
    loaded(table, fleet__0__availability={"kind": "trace", "file": "states.csv", "needs": ["wifi"]})
    monkeypatch.chdir(Path(tmp_path.anchor))
    experiment = prepare(tmp_path / "s.toml", {}, Where())
    assert sorted(map(Path, placed_files(experiment))) == sorted(
        tmp_path.resolve() / name for name in ("lives.csv", "lives.csv", "states.csv")
    )
    (tmp_path / "elsewhere").mkdir()
    moved = tmp_path / "elsewhere" / "s.toml"
    moved.write_text(tomli_w.dumps(experiment.movable()))
    key = experiment.keys[0]
    assert prepare(moved, {}, Where()).world(key).availability == experiment.world(key).availability


def test_what_a_run_reads_includes_the_record(tmp_path, loaded):
    loaded(LIVES)
    experiment = prepare(tmp_path / "s.toml", {}, Where())
    before = experiment.inputs(experiment.keys[0])
    assert experiment.inputs(experiment.keys[0]) == before
    (tmp_path / "lives.csv").write_text(RECORD + "c,0,3\n")
    assert experiment.inputs(experiment.keys[0]) != before


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"availability": ORDER}, "availability.draw"),
        ({"availability": {"kind": "all", "of": [{"kind": "always"}, ORDER]}}, "availability.of.1.draw"),
        ({"availability": {"kind": "battery", "plugged": ORDER}}, "availability.plugged.draw"),
        ({"availability": {"kind": "always"}, "fleet__0__availability": ORDER}, "fleet.0.availability.draw"),
    ],
)
def test_more_devices_than_recorded_lives_in_order_are_refused(loaded, changes, place):
    with pytest.raises(InputError) as error:
        loaded(**changes)
    (line,) = str(error.value).splitlines()
    assert f"{place} = 'order': of group 0, phone-mid, there are 4 devices and 2 recorded lives" in line


@pytest.mark.parametrize(
    "changes",
    [
        {"availability": {**ORDER, "loop": True}},
        {"availability": {"kind": "always"}, "fleet__1__availability": ORDER},
        {"availability": {"kind": "battery", "plugged": ORDER}, "fleet": [{"profile": "raspberry-pi-4"}]},
    ],
    ids=["looped", "as many lives as devices", "nobody with a battery to plug in"],
)
def test_lives_in_order_that_go_round_are_taken(loaded, changes):
    assert loaded(**changes).devices
