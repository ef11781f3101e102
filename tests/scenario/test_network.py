"""The network of a scenario: presets, tiers spelt out, and what is refused."""

from __future__ import annotations

import json
from itertools import chain

import pytest

from fedsim.errors import InputError
from fedsim.experiment import Where, catalogue, prepare
from fedsim.fleet import load_link
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import sources_in
from fedsim.fleet.table import read_toml
from fedsim.scenario import digest, find, json_schema, load, read
from fedsim.scenario.presets import PRESETS
from tests.command import changed, fedsim, write

MBIT = 1e6 / 8
HOME = {"name": "home", "count": 3, "down": "100 Mbit/s", "up": "20 Mbit/s"}
STREET = {"name": "street", "link": "cable", "edge": "laptop"}
RADIO = {"shared": True, "rate": "150 Mbit/s"}
CHAIN = [{**HOME, "behind": "street"}, STREET]


@pytest.fixture
def loaded(tmp_path):
    """Return what loads a scenario with this network, its first group behind a tier."""

    def load_it(network, behind=None, **overrides):
        changes = {} if behind is None else {"fleet__0__behind": behind}
        path = write(tmp_path, changed(network=network, **changes))
        return load(path, {key.replace("__", "."): value for key, value in overrides.items()}, catalogue(None))

    return load_it


def tiers_of(table):
    """Return (name, links, what it is behind, profile of its aggregators) of every tier."""
    tiers = table.network.tiers(table.devices)
    return [(tier.name, tier.count, tier.behind, tier.edge.name if tier.edge else None) for tier in tiers]


def first_link(table):
    return table.network.tiers(table.devices)[0].link


STRUCTURES = {
    "star": [],
    "wifi-homes": [("home", 2, "line", None), ("line", 2, "server", None)],
    "cellular-cells": [("cell", 1, "backhaul", None), ("backhaul", 1, "server", None)],
    "edge-tree": [("edge", 1, "backhaul", "edge-server"), ("backhaul", 1, "server", None)],
}


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_is_its_tiers(loaded, preset):
    assert tiers_of(loaded({"preset": preset})) == STRUCTURES[preset]


@pytest.mark.parametrize("preset", PRESETS)
def test_groups_are_behind_the_outermost_tier_of_a_preset(loaded, preset):
    table = loaded({"preset": preset})
    outermost = next((tier[0] for tier in STRUCTURES[preset]), "server")
    assert [group.behind for group in table.fleet] == [outermost, outermost]


def test_groups_are_behind_the_server_where_nobody_says_otherwise(loaded):
    assert [group.behind for group in loaded({"tier": CHAIN}, "home").fleet] == ["home", "server"]


NUMBERS = {
    ("wifi-homes", "homes"): {4: 1, 5: 2, 8: 2, 9: 3},
    ("cellular-cells", "cells"): {25: 1, 26: 2, 60: 3},
    ("edge-tree", "edges"): {25: 1, 26: 2, 60: 3},
}


@pytest.mark.parametrize(("preset", "option"), NUMBERS)
def test_a_preset_has_links_for_the_fleet(loaded, preset, option):
    expected = NUMBERS[preset, option]
    tables = [loaded({"preset": preset}, fleet__0__count=n - 2) for n in expected]  # and two laptops
    assert [table.resolved()["network"][option] for table in tables] == list(expected.values())


def test_an_option_of_a_preset_wins(loaded):
    table = loaded({"preset": "wifi-homes", "homes": 5, "home": {"link": "ethernet"}})
    assert [count for _, count, *_ in tiers_of(table)] == [5, 5]
    assert first_link(table).down_bytes_per_s == 940 * MBIT


def test_an_option_of_a_preset_can_be_set_from_outside(loaded):
    table = loaded({}, network__preset="cellular-cells", network__cells=4, network__cell__link="5g-mmwave")
    assert tiers_of(table)[0] == ("cell", 4, "backhaul", None)
    assert first_link(table).down_bytes_per_s == 494 * MBIT


def test_a_tier_can_be_changed_from_outside(loaded):
    assert tiers_of(loaded({"tier": CHAIN}, "home", network__tier__home__count=7))[0][1] == 7


def test_cells_are_of_their_technology(loaded):
    rates = [
        first_link(loaded({"preset": "cellular-cells", "technology": technology})).down_bytes_per_s / MBIT
        for technology in ("lte", "5g-low-band", "5g-mmwave")
    ]
    assert rates == [44.0, 140.9, 1922.0]


def test_the_radio_channel_of_a_home_is_shared_both_ways_and_its_line_is_not(loaded):
    home, line = (tier.link for tier in loaded({"preset": "wifi-homes"}).network.tiers(6))
    assert (home.shared, home.rate(up=True)) == (True, 72.2 * MBIT)
    assert (line.shared, line.rate(up=False), line.rate(up=True)) == (False, 85.74 * MBIT, 10 * MBIT)


LINKS = {
    "two rates": ({"down": "8 Mbit/s", "up": "4 Mbit/s"}, (1e6, 5e5, False, 0.0)),
    "one rate": ({"shared": True, "rate": "8 Mbit/s"}, (1e6, 1e6, True, 0.0)),
    "equal rates": ({"shared": True, "down": "8 Mbit/s", "up": "8000 kbit/s"}, (1e6, 1e6, True, 0.0)),
    "latency": ({"down": "8 Mbit/s", "up": "4 Mbit/s", "latency": "9 ms"}, (1e6, 5e5, False, 0.009)),
    "a link by name, without its latency": ({"link": "cable"}, (85.7 * MBIT, 10 * MBIT, False, 0.0)),
    "a link by name, with a latency": ({"link": "cable", "latency": "9 ms"}, (85.7 * MBIT, 10 * MBIT, False, 0.009)),
    "a link by name, shared": ({"link": "fibre", "shared": True}, (940 * MBIT, 940 * MBIT, True, 0.0)),
    "a link in place, with its latency": (
        {"link": {"down": "8 Mbit/s", "up": "4 Mbit/s", "latency": "9 ms"}},
        (1e6, 5e5, False, 0.009),
    ),
}


@pytest.mark.parametrize("case", LINKS)
def test_a_tier_carries(loaded, case):
    given, expected = LINKS[case]
    link = first_link(loaded({"tier": [{"name": "home", **given}]}, "home"))
    assert (link.down_bytes_per_s, link.up_bytes_per_s, link.shared, link.latency_s) == pytest.approx(expected)


NETWORKS = {
    "nothing": ({}, None),
    **{preset: ({"preset": preset}, None) for preset in PRESETS},
    "options": ({"preset": "cellular-cells", "technology": "5g-low-band", "backhaul": RADIO}, None),
    "tiers": ({"tier": CHAIN}, "home"),
}


@pytest.mark.parametrize("case", NETWORKS)
def test_a_resolved_network_loads_again_as_itself(loaded, tmp_path, case):
    table = loaded(*NETWORKS[case])
    again = load(write(tmp_path, table.resolved()), {}, catalogue(None))
    assert (again, digest(again), again.resolved()) == (table, digest(table), table.resolved())


def test_a_resolved_network_says_what_nobody_said(loaded):
    transport = {"handshake": 2.0, "first_window": "14480 B"}
    assert loaded({"preset": "wifi-homes"}).resolved()["network"] == {"preset": "wifi-homes", "homes": 2, **transport}
    assert loaded({"tier": [{"name": "home", **RADIO}]}, "home").resolved()["network"] == {
        **transport,
        "tier": [{"name": "home", "count": 1, "behind": "server", "shared": True, "rate": "150 Mbit/s"}],
    }


@pytest.mark.parametrize("case", NETWORKS)
def test_the_json_schema_takes_it(tmp_path, case):
    jsonschema = pytest.importorskip("jsonschema")
    network, behind = NETWORKS[case]
    made = changed(network=network, **({"fleet__0__behind": behind} if behind else {}))
    jsonschema.Draft202012Validator(json_schema(catalogue(None))).validate(made)


def test_the_json_schema_refuses_an_option_of_another_preset():
    jsonschema = pytest.importorskip("jsonschema")
    validator = jsonschema.Draft202012Validator(json_schema(catalogue(None)))
    assert not validator.is_valid(changed(network={"preset": "wifi-homes", "cells": 3}))


def tiers(*changes):
    """Return the chain of tiers with changes to the first, and to the second."""
    return {"tier": [{**tier, **change} for tier, change in zip(CHAIN, [*changes, {}, {}], strict=False)]}


REFUSED = {
    "preset": ({"preset": "wifi-home"}, "network.preset = 'wifi-home': unknown preset; did you mean 'wifi-homes'? (k"),
    "option": ({"preset": "wifi-homes", "hmoes": 3}, "network.hmoes = 3: unknown option; did you mean 'homes'? (kno"),
    "option of another": ({"preset": "edge-tree", "homes": 3}, "network.homes = 3: unknown option"),
    "option of a star": ({"preset": "star", "homes": 3}, "network.homes = 3: unknown option (known: none)"),
    "key": ({"presett": "star"}, "network.presett = 'star': unknown key; did you mean 'preset'?"),
    "no homes": ({"preset": "wifi-homes", "homes": 0}, "network.homes = 0: must be at least 1"),
    "rate of an option": (
        {"preset": "edge-tree", "edge": {"down": "1 Mbit/s"}},
        "network.edge = { down = '1 Mbit/s' }: gives down: write down and up, or shared = true",
    ),
    "technology": (
        {"preset": "cellular-cells", "technology": "5g-mmwav"},
        "network.technology = '5g-mmwav': unknown value; did you mean '5g-mmwave'?",
    ),
    "both": ({"preset": "star", **tiers()}, "network.preset = 'star': does not go with tiers of one's own: take one"),
    "no table": ("star", "network = 'star': must be a table, such as { preset = 'wifi-homes' }"),
    "no list": ({"tier": HOME}, "network.tier = { name = 'home', count = 3, down = '100 Mbit/s', up = '20 M…: must be"),
    "no tier": ({"tier": ["home"]}, "network.tier.0 = 'home': must be a table, such as { name = 'home'"),
    "no name": ({"tier": [RADIO]}, "network.tier.0.name: is missing"),
    "name": (tiers({"name": "Home 1"}), "network.tier.0.name = 'Home 1': must be 1 to 64 characters: small letters,"),
    "reserved": ({"tier": [{**HOME, "name": "server"}]}, "network.tier.server.name = 'server': is what the server's"),
    "twice": (tiers({}, {"name": "home"}), "network.tier.1.name = 'home': another tier is called so too; give each"),
    "count": (tiers({"count": 0}), "network.tier.home.count = 0: must be at least 1"),
    "rate of 0": (tiers({"up": "0 Mbit/s"}), "network.tier.home.up = '0 Mbit/s': must be above 0"),
    "bare rate": (tiers({"up": 3}), "network.tier.home.up = 3: has no unit"),
    "link": (tiers({}, {"link": "cabel"}), "network.tier.street.link = 'cabel': unknown link; did you mean 'cable'?"),
    "edge": (tiers({"edge": "laptob"}), "network.tier.home.edge = 'laptob': unknown profile; did you mean 'laptop'?"),
    "way": (tiers({"behind": "stret"}), "network.tier.home.behind = 'stret': unknown tier; did you mean 'street'? (k"),
    "itself": (tiers({"behind": "home"}), "network.tier.home.behind = 'home': leads back to 'home'; the last tier is"),
    "no rates": ({"tier": [{"name": "home"}]}, "network.tier.home = { name = 'home' }: gives no rates: write down and"),
    "shared by two": (tiers({"shared": True}), "network.tier.home.shared = true: is of one rate, not of 100 Mbit/s d"),
    "shared by name": (tiers({}, {"shared": True}), "network.tier.street.shared = true: is of one rate, not of 857"),
    "shared beside a table": (
        {"tier": [{"name": "home", "shared": True, "link": {"down": "1 MB/s", "up": "1 MB/s", "latency": "1 ms"}}]},
        "network.tier.home.shared = true: is beside a link with a table of its own",
    ),
    "one rate": (
        {"tier": [{"name": "home", "rate": "8 Mbit/s"}]},
        "network.tier.home.rate = '8 Mbit/s': is of both ways together: add shared = true",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_network_is_refused(loaded, case):
    network, expected = REFUSED[case]
    with pytest.raises(InputError) as error:
        loaded(network)
    (line,) = str(error.value).splitlines()
    assert expected in line


def test_a_circle_of_tiers_is_refused_at_each(loaded):
    with pytest.raises(InputError) as error:
        loaded(tiers({}, {"behind": "home"}), "home")
    home, street = str(error.value).splitlines()
    assert "network.tier.home.behind = 'street': leads back to 'home'" in home
    assert "network.tier.street.behind = 'home': leads back to 'street'; the last tier is behind 'server'" in street


FLEETS = {
    "a tier that is not there": (tiers(), "hom", "fleet.0.behind = 'hom': unknown tier; did you mean 'home'? (known: "),
    "a tier of a star": ({}, "home", "fleet.0.behind = 'home': unknown tier (known: server)"),
    "no text": ({}, 3, "fleet.0.behind = 3: must be text in quotes"),
    "nobody": (tiers(), "street", "network.tier.home.name = 'home': no device is behind it: write behind = 'home' und"),
}


@pytest.mark.parametrize("case", FLEETS)
def test_a_fleet_is_refused_behind(loaded, case):
    network, behind, expected = FLEETS[case]
    with pytest.raises(InputError) as error:
        loaded(network, behind)
    (line,) = str(error.value).splitlines()
    assert expected in line


def experiment_of(folder, **changes):
    made = changed(network=tiers(), fleet__0__behind="home", **changes)
    return prepare(write(folder, made), {}, Where(cache=folder / "cache"))


def test_a_device_meets_its_tiers_on_the_way_to_the_server(tmp_path):
    experiment = experiment_of(tmp_path)
    world = experiment.world(experiment.keys[0])
    hops = [[hop.name for hop in world.topology.route(world.fleet.device(n)).shared] for n in (0, 3, 4)]
    assert hops == [["home-0", "street-0", "server"], ["home-0", "street-0", "server"], ["server"]]


def test_what_a_run_reads_depends_on_the_rates_of_its_aggregators(tmp_path):
    text = (packaged("device_profiles") / "laptop.toml").read_text()
    found = []
    for factor in ("", "9"):
        (tmp_path / "mine.toml").write_text(text.replace('flops = "', f'flops = "{factor}'))
        made = {**STREET, "edge": str(tmp_path / "mine.toml")}
        experiment = experiment_of(tmp_path, network__tier__1=made)
        found.append(experiment.inputs(experiment.keys[0]))
    assert len(set(found)) == 2


def test_the_profile_of_an_aggregator_can_be_moved(tmp_path):
    (tmp_path / "mine.toml").write_bytes((packaged("device_profiles") / "laptop.toml").read_bytes())
    experiment = experiment_of(tmp_path, network__tier__1={**STREET, "edge": "mine.toml"})
    assert experiment.movable()["network"]["tier"][1]["edge"] == str(tmp_path / "mine.toml")


def test_check_shows_the_network(tmp_path):
    path = write(tmp_path, changed(network=tiers(), fleet__0__behind="home"))
    lines = [line.split() for line in fedsim("check", path).out.splitlines()]
    assert ["home", "3", "100", "Mbit/s", "20", "Mbit/s", "0", "s", "1", "to", "2", "street", "-"] in lines
    assert ["street", "1", "85.7", "Mbit/s", "10", "Mbit/s", "0", "s", "4", "server", "laptop"] in lines
    assert ["server", "1", "940", "Mbit/s", "940", "Mbit/s", "2.5", "ms", "6", "-", "-"] in lines


def test_check_says_nothing_of_tiers_where_there_are_none(tmp_path):
    assert "Links that devices share" not in fedsim("check", write(tmp_path)).out


def test_check_as_json_has_the_network(tmp_path):
    path = write(tmp_path, changed(network={"preset": "wifi-homes"}))
    home, line, server = json.loads(fedsim("check", path, "--json").out)["network"]
    assert home == {
        "tier": "home", "count": 2, "behind": "line", "edge": None, "latency_s": 0.0, "shared": True,
        "down_bytes_per_s": 9025000.0, "up_bytes_per_s": 9025000.0, "devices_least": 3, "devices_most": 3,
    }  # fmt: skip
    assert (line["behind"], server["behind"], server["devices_most"]) == ("server", None, 6)


def test_every_rate_of_a_preset_says_where_it_comes_from():
    presets = read_toml(packaged("device_profiles") / "topologies.toml").parts().values()
    for link in chain.from_iterable(preset.parts().values() for preset in presets):
        named = ", ".join(source.what for source in sources_in(link))
        assert [key for key in ("down", "up", "rate") if key in link.values and key not in named] == []


def test_the_line_of_a_home_is_the_packaged_cable(loaded):
    line = loaded({"preset": "wifi-homes"}).network.tiers(6)[1].link
    cable = load_link("cable")
    assert (line.down_bytes_per_s, line.up_bytes_per_s) == pytest.approx(
        (cable.down_bytes_per_s, cable.up_bytes_per_s), rel=1e-3
    )


STUDIES = [f"studies/network-{name}" for name in ("fibre", "wifi-homes", "lte-cells", "5g-cells")]


def test_the_studies_of_networks_differ_in_nothing_but_who_shares_which_links():
    texts = [read(find(name)) for name in STUDIES]
    for text in texts:
        del text["name"], text["description"]
    links = [{group.pop("link") for group in text["fleet"]} for text in texts]
    presets = [text.pop("network", {}).get("preset", "star") for text in texts]
    assert links == [{"fibre"}, {"wifi-home"}, {"lte"}, {"5g-low-band"}]
    assert presets == ["star", "wifi-homes", "cellular-cells", "cellular-cells"]
    assert all(text == texts[0] for text in texts)
