"""The world as tables: true to its laws, and the same whoever has run in it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim import histories
from fedsim.errors import InputError
from fedsim.execute.cost_only import CostOnly
from fedsim.experiment import Where, prepare
from fedsim.fleet import (
    STILL,
    Always,
    Charging,
    Clock,
    Crashes,
    Dynamics,
    Failures,
    Fleet,
    Group,
    Markov,
    Product,
    Switched,
    Topology,
    load_link,
    load_profile,
)
from fedsim.histories import (
    AVAILABILITY,
    HISTORIES,
    LINKS,
    History,
    Sample,
    online,
    rates,
    sample,
    table,
    write_samples,
)
from tests.command import changed, fedsim, write
from tests.strategies import markovs

FIBRE, LTE = load_link("fibre"), load_link("lte", varies=True)
MARKOV = {"kind": "markov", "mean_online": "20 min", "mean_offline": "10 min"}


def world(availability=None, *, link=FIBRE, count=5, dynamics=STILL):
    fleet = Fleet((Group(load_profile("phone-mid"), link, count),))
    return SimpleNamespace(
        fleet=fleet, availability=availability or Always(), topology=Topology(FIBRE), dynamics=dynamics
    )


def sampled(made, until_s, most=5):
    return sample(made, 3, most=most, until_s=until_s)


def scenario(folder, **changes):
    links = {"fleet__0__link": {"like": "lte", "varies": True}, "fleet__1__link": {"like": "wifi-home"}}
    return write(folder, changed(**{"availability": MARKOV, **links, **changes}))


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


class Deaf:
    """An observer to whom nothing matters."""

    def published(self, news):
        pass


@pytest.mark.parametrize("schedule", ["sync", "async"])
def test_a_world_is_the_same_for_every_method_before_and_after_its_run(tmp_path, schedule):
    kinds = {
        "sync": {"kind": "sync", "rounds": 3, "cohort": 3},
        "async": {"kind": "async", "merges": 8, "concurrency": 3},
    }
    experiment = prepare(scenario(tmp_path, schedule=kinds[schedule]), {}, Where())
    written = []
    for key in experiment.keys:
        sim = experiment.simulation(key, CostOnly(experiment.problems[key.seed]), Deaf())
        for when in ("before", "after"):
            folder = tmp_path / key.method / when
            write_samples([sample(sim._world, key.seed, most=4, until_s=1000.0)], folder)
            written.append(contents(folder))
            if when == "before":
                sim.run()
        assert sim.rounds_done > 0
    assert len(written) == 4
    assert all(one == written[0] for one in written)
    assert set(written[0]) == {"availability.parquet", "links.parquet"}


def test_where_everything_happens_the_world_is_still_the_same_for_every_method(tmp_path):
    experiment = prepare("smoke/dynamics", {"dynamics.storage": {"every": "1 s", "lasts": "1 s"}}, Where())
    written = []
    for key in experiment.keys:
        sim = experiment.simulation(key, CostOnly(experiment.problems[key.seed]), Deaf())
        for when in ("before", "after"):
            folder = tmp_path / key.method / when
            write_samples([sample(sim._world, key.seed, most=20, until_s=30.0)], folder)
            written.append(contents(folder))
            if when == "before":
                sim.run()
        assert sim.rounds_done > 0
    assert len(written) == 4
    assert all(one == written[0] for one in written)
    assert set(written[0]) == {f"{history.name}.parquet" for history in HISTORIES}
    assert all(
        len(pd.read_parquet(tmp_path / "fedavg" / "after" / name)) for name in written[0] if name != "links.parquet"
    )


@given(law=markovs(), times=st.lists(st.floats(0.0, 300.0, exclude_max=True), min_size=1, max_size=20))
def test_a_device_is_online_just_when_an_interval_says_so(law, times):
    made = sampled(world(law), 300.0)
    device = made.devices[0]
    spans = list(online(made, device))
    for at_s in times:
        assert any(start <= at_s < end for start, end in spans) == law.online(device.key, at_s)
    edges = [edge for span in spans for edge in span]
    assert edges == sorted(set(edges))
    assert all(0.0 <= edge <= 300.0 for edge in edges)


@dataclass(frozen=True)
class Ticking:
    """Offline in the third second of every four; says that something changes every second."""

    def online(self, key, at_s):
        return math.floor(at_s) % 4 != 2

    def next_change(self, key, at_s):
        return math.floor(at_s) + 1.0


def test_what_did_not_change_makes_no_new_interval():
    made = sampled(world(Ticking()), 9.5)
    assert list(online(made, made.devices[0])) == [(0.0, 2.0), (3.0, 6.0), (7.0, 9.5)]


def test_who_is_always_online_is_so_until_the_end():
    made = sampled(world(), 60.0)
    assert list(online(made, made.devices[0])) == [(0.0, 60.0)]


@given(st.lists(st.floats(0.0, 100.0, exclude_max=True), min_size=1, max_size=20))
def test_a_rate_holds_from_its_row_to_the_next(times):
    made = sampled(world(link=LTE), 100.0)
    device = made.devices[0]
    found = pd.DataFrame(rates(made, device), columns=["way", "at_s", "rate"])
    for way, rows in found.groupby("way"):
        capacity = LTE.capacity((0, *device.key), seed=3, up=way == "up")
        for at_s in times:
            assert rows[rows.at_s <= at_s].rate.iloc[-1] == capacity.rate(at_s)
        assert (rows.rate.diff().iloc[1:] != 0).all()
    assert set(found.way) == {"down", "up"}


def test_a_link_whose_ways_share_a_capacity_has_one_history():
    link = replace(LTE, shared=True, up_bytes_per_s=LTE.down_bytes_per_s)
    made = sampled(world(link=link), 9.0)
    assert {way for way, _, _ in rates(made, made.devices[0])} == {"shared"}


def test_a_link_that_never_varies_has_no_rows_but_its_table_has_columns():
    made = table(LINKS, [sampled(world(), 60.0)])
    assert made.num_rows == 0
    assert made.column_names == ["seed", "device", "direction", "at_s", "bytes_per_s"]


LAW = Markov(40.0, 20.0, 1)
HAPPENING = Dynamics(
    speed=Product((Switched(LAW, 0.25),)),
    clock=Clock(LAW, 0.5, 0.4),
    memory=Product((Switched(LAW, 0.125),)),
    network=LAW,
    rebooting=Crashes(40.0, 5.0, 2),
    failures=Failures(dropout=0.5, corrupted=0.2, truncated=0.3, retries=2, seed=3),
    charging=Charging(LAW, 0.2, 0.3, (0.3, 1.0), charge_per_h=0.44, use_per_h=0.1, seed=4),
)


def history(name, dynamics=HAPPENING):
    """Return the rows of a history of one device over 300 s."""
    (found,) = (one for one in HISTORIES if one.name == name)
    return table(found, [sampled(world(dynamics=dynamics, count=1), 300.0)]).to_pandas()


@pytest.mark.parametrize(("name", "low"), [("speed", 0.25), ("clock", 0.5), ("memory", 0.125)])
def test_a_share_holds_from_its_row_to_the_next(name, low):
    rows = history(name)
    assert len(rows) > 3
    for at_s in range(300):
        expected = 1.0 if LAW.online((0, 0), at_s) else low
        assert rows[rows.at_s <= at_s].share.iloc[-1] == expected
    assert (rows.share.diff().iloc[1:] != 0).all()


@pytest.mark.parametrize(
    ("name", "law", "on"),
    [("outages", LAW, False), ("crashes", HAPPENING.rebooting, False), ("plug", LAW, True)],
)
def test_a_spell_lasts_just_as_long_as_its_law_says(name, law, on):
    rows = history(name)
    assert len(rows) > 2
    for at_s in range(300):
        inside = ((rows.start_s <= at_s) & (at_s < rows.end_s)).any()
        assert inside == (law.online((0, 0), at_s) == on)


def test_who_has_no_battery_has_no_plug():
    board = SimpleNamespace(
        **{**vars(world(dynamics=HAPPENING)), "fleet": Fleet((Group(load_profile("raspberry-pi-4"), FIBRE, 1),))}
    )
    (plug,) = (one for one in HISTORIES if one.name == "plug")
    assert table(plug, [sampled(board, 300.0)]).num_rows == 0


def test_absences_are_those_of_the_first_versions():
    found = {row.version: (row.share, row.seconds) for row in history("absences").itertuples()}
    expected = {version: HAPPENING.failures.absence((0, 0), version) for version in range(100)}
    assert found == {version: tuple(absence) for version, absence in expected.items() if absence}
    assert 20 < len(found) < 80


def test_uploads_are_those_of_the_first_versions_and_attempts():
    rows = history("uploads")
    assert len(rows) == 300
    for row in rows.itertuples():
        assert (row.share, row.whole) == HAPPENING.failures.arrives((0, 0), row.version, row.attempt)
    assert 0.3 < rows.whole.mean() < 0.7


def test_what_cannot_happen_has_no_file(tmp_path):
    only = Dynamics(network=LAW)
    write_samples([sampled(world(), 9.0), sampled(world(dynamics=only), 9.0)], tmp_path)
    assert set(contents(tmp_path)) == {"availability.parquet", "links.parquet", "outages.parquet"}


def test_devices_are_drawn_by_key_and_stay_when_the_fleet_grows():
    few, more = (sample(world(count=count), 3, most=20, until_s=1.0).devices for count in (900, 901))
    numbers = [[device.id for device in devices] for devices in (few, more)]
    assert numbers[0] == sorted(numbers[0])
    assert len(numbers[0]) == 20
    assert len(set(numbers[0]) & set(numbers[1])) >= 19
    assert numbers[0] != [device.id for device in sample(world(count=900), 4, most=20, until_s=1.0).devices]


def test_a_small_fleet_is_looked_at_in_full():
    assert [device.id for device in sampled(world(), 1.0, most=100).devices] == [0, 1, 2, 3, 4]


def test_too_many_rows_are_refused_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(histories, "MOST_ROWS", 100)
    with pytest.raises(InputError, match=r"links: more than 100 rows by device 2 of 5 of seed 3: lower --devices"):
        write_samples([sampled(world(link=LTE), 40.0)], tmp_path / "there")
    assert not (tmp_path / "there").exists()


def test_the_share_online_and_the_changes_are_those_of_the_law(tmp_path):
    report = write_samples([sampled(world(Markov(600.0, 300.0, 1), count=50), 86_400.0, most=50)], tmp_path)
    (figures,) = report["seeds"]
    cycles = 50 * 86_400 / 900
    assert abs(figures["changes_per_h"] - 8) < 3 * 8 / math.sqrt(cycles)
    assert abs(figures["online"] - 2 / 3) < 3 * (2 / 3) * math.sqrt(2 / 9 / cycles) * 1.5


def test_a_history_more_is_a_file_more(tmp_path, monkeypatch):
    def twice(found: Sample, device):
        yield from ((device.samples, found.until_s),) * 2

    more = History("more", pa.schema({"samples": pa.int64(), "until_s": pa.float64()}), twice)
    monkeypatch.setattr(histories, "HISTORIES", (AVAILABILITY, more))
    report = write_samples([sampled(world(), 7.0, most=2)], tmp_path)
    assert [one["file"] for one in report["files"]] == ["availability.parquet", "more.parquet"]
    assert pq.read_table(tmp_path / "more.parquet")["until_s"].to_pylist() == [7.0] * 4


def test_the_command_writes_all_seeds_and_says_what_there_is(tmp_path):
    ran = fedsim("world", scenario(tmp_path), "--seeds", "0,5", "--until", "1 h", "-o", tmp_path / "w", "--json")
    report = json.loads(ran.out)
    assert (ran.code, ran.err) == (0, "")
    assert [(one["seed"], one["devices"]) for one in report["seeds"]] == [(0, 6), (5, 6)]
    frames = {one["file"]: pd.read_parquet(tmp_path / "w" / one["file"]) for one in report["files"]}
    assert {one["file"]: one["rows"] for one in report["files"]} == {name: len(rows) for name, rows in frames.items()}
    assert set(frames["links.parquet"].device) == {0, 1, 2, 3}  # the others' links never vary
    assert set(frames["availability.parquet"].seed) == {0, 5}


def test_csv_holds_what_parquet_holds(tmp_path):
    for more in ([], ["--csv"]):
        assert fedsim("world", scenario(tmp_path), "--until", "1 h", "-o", tmp_path / "w", *more).code == 0
    for name in ("availability", "links"):
        parquet, text = pd.read_parquet(tmp_path / "w" / f"{name}.parquet"), pd.read_csv(tmp_path / "w" / f"{name}.csv")
        pd.testing.assert_frame_equal(parquet, text, check_dtype=False, rtol=1e-12)


def test_the_command_prints_two_short_tables(tmp_path):
    ran = fedsim("world", scenario(tmp_path), "--until", "1 h", "--devices", "3", "-o", tmp_path / "w")
    lines = ran.out.splitlines()
    assert lines[0] == "small"
    assert lines[1].split() == ["seed", "devices", "time", "online", "changes", "per", "hour"]
    assert lines[2].split()[:4] == ["0", "3", "1", "h"]
    assert [line.split()[0] for line in lines[3:6]] == ["file", "availability.parquet", "links.parquet"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--until", "0 s"], "--until '0 s': nothing happens in no time"),
        (["--until", "24"], "not a quantity"),
        (["--devices", "0"], "--devices '0': write a whole number"),
    ],
)
def test_a_wrong_option_is_refused(tmp_path, arguments, said):
    ran = fedsim("world", scenario(tmp_path), "-o", tmp_path / "w", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert not (tmp_path / "w").exists()
