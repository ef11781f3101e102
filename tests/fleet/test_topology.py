"""Laws of a topology: every way ends at the server, and whoever comes displaces nobody."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.fleet import Fleet, Group, Link, Tier, Topology
from tests.sim.toys import FAST, SLOW, profile
from tests.strategies import topologies

SERVER = Link("server", 1e9, 1e9, 0.0)


def topology_of(*tiers):
    """Return a topology of (name, links, what it is behind)."""
    return Topology(SERVER, tuple(Tier(name, FAST, count, behind) for name, count, behind in tiers))


@st.composite
def peopled(draw):
    """Draw a topology and a fleet of groups behind its tiers."""
    topology = draw(topologies())
    names = st.sampled_from(["server", *(tier.name for tier in topology.tiers)])
    groups = draw(st.lists(st.builds(Group, st.just(profile()), st.just(SLOW), st.integers(1, 30), names), min_size=1))
    return topology, Fleet(tuple(groups))


@given(peopled())
def test_every_way_ends_at_the_server_and_passes_no_tier_twice(drawn):
    topology, fleet = drawn
    for number in range(len(fleet)):
        *tiers, last = [hop.key[0] for hop in topology.route(fleet.device(number)).shared]
        assert last == -1
        assert len(set(tiers)) == len(tiers)


@given(peopled())
def test_a_way_goes_from_tier_to_tier_as_they_say(drawn):
    topology, fleet = drawn
    for number in range(len(fleet)):
        device = fleet.device(number)
        *hops, server = topology.route(device).shared
        names = [topology.tiers[hop.key[0]].name for hop in hops]
        assert [device.behind, *(topology.tiers[hop.key[0]].behind for hop in hops)] == [*names, "server"]
        assert server.link is topology.server


@given(peopled())
def test_what_is_above_a_link_is_the_rest_of_the_way(drawn):
    topology, fleet = drawn
    for number in range(len(fleet)):
        hops = topology.route(fleet.device(number)).shared
        for place, hop in enumerate(hops[:-1], 1):
            assert topology.above(hop) == hops[place:]


@given(peopled(), st.integers(0, 9))
def test_a_device_added_displaces_nobody(drawn, which):
    topology, fleet = drawn
    which %= len(fleet.groups)
    groups = list(fleet.groups)
    groups[which] = replace(groups[which], count=groups[which].count + 1)
    more = Fleet(tuple(groups))
    after = {device.key: topology.route(device).shared for device in map(more.device, range(len(more)))}
    assert all(after[device.key] == topology.route(device).shared for device in map(fleet.device, range(len(fleet))))


@given(peopled())
def test_the_devices_behind_a_link_are_as_many_as_count_themselves(drawn):
    topology, fleet = drawn
    met = Counter(hop.key for n in range(len(fleet)) for hop in topology.route(fleet.device(n)).shared)
    for number, tier in enumerate(topology.tiers):
        behind = [met[number, i] for i in range(tier.count)]
        assert topology.crowd(fleet, tier) == (min(behind), max(behind))


def test_a_crowd_is_counted_without_a_scan():
    topology = topology_of(("home", 250_000_000, "street"), ("street", 3, "server"))
    fleet = Fleet((Group(profile(), SLOW, 10**9, "home"),))
    assert [topology.crowd(fleet, tier) for tier in topology.tiers] == [(4, 4), (333333332, 333333336)]


def test_devices_take_turns():
    topology = topology_of(("home", 3, "street"), ("street", 2, "server"))
    fleet = Fleet((Group(profile(), SLOW, 4, "home"), Group(profile(), SLOW, 1, "street")))
    assert [[hop.name for hop in topology.route(fleet.device(n)).shared] for n in range(5)] == [
        ["home-0", "street-0", "server"],
        ["home-1", "street-1", "server"],
        ["home-2", "street-0", "server"],
        ["home-0", "street-0", "server"],
        ["street-0", "server"],
    ]


def test_aggregators_are_at_the_links_of_the_tiers_that_have_them():
    edge = profile("edge")
    topology = Topology(SERVER, (Tier("home", FAST, 2, "street"), Tier("street", FAST, 2, edge=edge)))
    assert [(hop.name, hop.key, hop.edge) for hop in topology.edges()] == [
        ("street-0", (1, 0), edge),
        ("street-1", (1, 1), edge),
    ]


def test_a_way_to_an_edge_ends_at_the_first_aggregator():
    edge = profile("edge")
    tiers = Tier("home", FAST, 2, "street", edge), Tier("street", FAST, 2, "town", edge), Tier("town", FAST)
    topology = Topology(SERVER, tiers)
    fleet = Fleet(
        (Group(profile(), SLOW, 1, "home"), Group(profile(), SLOW, 2, "street"), Group(profile(), SLOW, 1, "town"))
    )
    ways = [topology.route(fleet.device(n), to_edge=True).shared for n in range(4)]
    assert [[hop.name for hop in way] for way in ways] == [["home-0"], ["street-0"], ["street-1"], ["town-0", "server"]]


def test_the_way_from_an_edge_is_what_is_above_it_and_nothing_of_its_own():
    line = Link("line", 30.0, 20.0, 0.5, loss=0.5)
    topology = Topology(SERVER, (Tier("home", FAST, 2, "line", profile()), Tier("line", line)))
    route = topology.route_from(topology.edges()[1])
    assert (route.own, route.name, [hop.name for hop in route.hops]) == (None, "line-0", ["line-0", "server"])
    assert (route.rate(up=True), route.rate(up=False), route.latency_s, route.on_wire(5)) == (20.0, 30.0, 0.5, 10.0)


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        ([("home", 1, "stret"), ("street", 1, "server")], "unknown tier 'stret'; did you mean 'street'"),
        ([("home", 1, "home")], "tier 'home' is behind 'home', which leads back to 'home'"),
        ([("home", 1, "street"), ("street", 1, "home")], "leads back to 'home'"),
        ([("a", 1, "b"), ("b", 1, "c"), ("c", 1, "b")], "leads back to 'b'"),
    ],
)
def test_tiers_that_lead_nowhere_or_back_are_refused(tiers, message):
    with pytest.raises(InputError, match=message):
        topology_of(*tiers)
