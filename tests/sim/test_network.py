"""What a transfer waits for: other flows, links that change, its connection and its radio; logs of round numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest

from fedsim.fleet import Fleet, Group, Link, Tier, Topology, Transport
from fedsim.fleet.radio import Line, Radio
from fedsim.sim import Sync
from fedsim.work import Work
from tests.sim.toys import FAST, SLOW, Script, Toy, profile, rows, simulate, train


def ways(timeline):
    """Return (device, kind, start, end, bytes, bottleneck, seconds lost to others) of every transfer."""
    names = ("device", "kind", "start_s", "end_s", "bytes", "bottleneck")
    transfers = [row for row in rows(timeline) if row["kind"] in ("download", "upload")]
    return [(*(row[n] for n in names), round(row["waited_s"], 9)) for row in transfers]


def link(rate, name="own", **more):
    return Link(name, rate, rate, more.pop("latency", 0.0), **more)


def fleet_of(*links, behind="server", radio=None, count=1):
    made = profile(radio=radio) if radio else profile()
    return Fleet(tuple(Group(made, own, count, behind) for own in links), 1)


@dataclass(frozen=True)
class Steps:
    """A variation: rates that hold from given instants on, the same for every link."""

    rates: tuple[tuple[float, float], ...]

    def capacity(self, bytes_per_s, key, *, seed, up):
        return self

    def rate(self, at_s):
        return [rate for since_s, rate in self.rates if since_s <= at_s][-1]

    def next_change(self, at_s):
        return min((since_s for since_s, _ in self.rates if since_s > at_s), default=math.inf)


# --- Sharing --------------------------------------------------------------------------------------------
def test_devices_share_the_servers_link_and_wait_for_each_other():
    server = link(10.0, "fibre")
    _, timeline = simulate(Sync(1, 2), fleet=fleet_of(link(10.0), link(10.0)), topology=Topology(server))
    assert ways(timeline) == [
        (0, "download", 0.0, 4.0, 20, "server", 2.0),
        (1, "download", 0.0, 4.0, 20, "server", 2.0),
        (0, "upload", 7.0, 9.0, 10, "server", 1.0),
        (1, "upload", 7.0, 9.0, 10, "server", 1.0),
    ]


def test_what_a_slow_device_leaves_goes_to_the_others():
    server = link(10.0, "fibre")
    _, timeline = simulate(Sync(1, 2), fleet=fleet_of(link(2.0, "thin"), link(20.0)), topology=Topology(server))
    assert ways(timeline)[:2] == [
        (1, "download", 0.0, 2.5, 20, "server", 0.5),
        (0, "download", 0.0, 10.0, 20, "thin", 0.0),
    ]


def test_a_home_is_shared_by_those_behind_it_alone():
    home = Tier("home", link(5.0), count=2)
    fleet = fleet_of(link(10.0), behind="home", count=3)  # 0 and 2 at home-0, 1 at home-1
    _, timeline = simulate(Sync(1, 3), fleet=fleet, topology=Topology(FAST, (home,)))
    assert ways(timeline)[:3] == [
        (1, "download", 0.0, 4.0, 20, "home-1", 0.0),
        (0, "download", 0.0, 8.0, 20, "home-0", 4.0),
        (2, "download", 0.0, 8.0, 20, "home-0", 4.0),
    ]


@pytest.mark.parametrize(("shared", "end_s", "waited_s"), [(True, 10.0, 5.0), (False, 5.0, 0.0)])
def test_both_ways_of_a_half_duplex_link_share_its_capacity(shared, end_s, waited_s):
    def plan(ctx, state, device):  # device 0 sends while device 1 receives
        if device.id == 0:
            return Work(down=(), up=(train(ctx.shard(device), nbytes=20, seconds=0.0),))
        return Work(down=(state.model,), up=())

    topology = Topology(FAST, (Tier("air", link(4.0, shared=shared)),))
    _, timeline = simulate(Sync(1, 2), Toy(plan), fleet=fleet_of(SLOW, behind="air", count=2), topology=topology)
    assert ways(timeline) == [
        (0, "upload", 0.0, end_s, 20, "air-0", waited_s),
        (1, "download", 0.0, end_s, 20, "air-0", waited_s),
    ]


def test_a_flow_that_is_cut_leaves_its_share_to_others():
    server = link(10.0, "fibre")
    _, timeline = simulate(
        Sync(1, 2), fleet=fleet_of(link(10.0), count=2), topology=Topology(server),
        availability=Script({1: (2.0,)}), on_dropout="discard",
    )  # fmt: skip
    assert ways(timeline)[:2] == [
        (1, "download", 0.0, 2.0, 10, "server", 1.0),
        (0, "download", 0.0, 3.0, 20, "server", 1.0),
    ]


def test_the_links_of_flows_that_are_over_are_forgotten():
    home = Tier("home", link(5.0), count=2)
    sim, _ = simulate(Sync(2, 3), fleet=fleet_of(link(10.0), behind="home", count=3), topology=Topology(FAST, (home,)))
    assert (sim.network._channels, sim.network._moving) == ({}, {})


# --- Links that change ------------------------------------------------------------------------------------
def test_a_devices_link_that_changes_in_mid_flow_changes_its_rate_at_that_instant():
    own = link(10.0, varies=Steps(((0.0, 10.0), (1.0, 2.0), (3.0, 6.0))))
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own))
    assert ways(timeline)[0] == (0, "download", 0.0, 4.0, 20, "own", 0.0)  # 10 + 4 + 6 bytes


def test_a_shared_link_that_changes_in_mid_flow_changes_the_rates_of_all_on_it():
    home = Tier("home", link(20.0, varies=Steps(((0.0, 20.0), (1.0, 10.0)))))
    fleet = fleet_of(link(20.0), behind="home", count=2)
    _, timeline = simulate(Sync(1, 2), fleet=fleet, topology=Topology(FAST, (home,)))
    assert [row[:5] for row in ways(timeline)[:2]] == [(0, "download", 0.0, 3.0, 20), (1, "download", 0.0, 3.0, 20)]


def test_a_transfer_outlasts_an_outage():
    own = link(10.0, varies=Steps(((0.0, 10.0), (1.0, 0.0), (101.0, 10.0))))
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own))
    assert ways(timeline)[0] == (0, "download", 0.0, 102.0, 20, "own", 0.0)


# --- Connections --------------------------------------------------------------------------------------------
def test_a_connection_is_opened_once_for_a_task():
    own = link(10.0, latency=1.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own))
    assert [row[:4] for row in ways(timeline)] == [
        (0, "download", 0.0, 8.0),  # two round trips, the request and its answer, 20 bytes
        (0, "upload", 11.0, 13.0),  # one way, 10 bytes
    ]


def test_a_connection_is_opened_again_after_a_dropout():
    own = link(10.0, latency=1.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own), availability=Script({0: (7.0, 20.0)}))
    assert [row[:5] for row in ways(timeline)[:2]] == [
        (0, "download", 0.0, 7.0, 10),
        (0, "download", 20.0, 27.0, 10),
    ]


def test_without_a_handshake_a_download_is_asked_for_and_an_upload_goes_at_once():
    own, transport = link(10.0, latency=1.0), Transport(handshake=0.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own), transport=transport)
    assert [row[:4] for row in ways(timeline)] == [(0, "download", 0.0, 4.0), (0, "upload", 7.0, 9.0)]


def test_windows_double_with_every_round_trip_until_the_line_is_full():
    own, transport = link(10.0, latency=0.5), Transport(handshake=0.0, window_bytes=2.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(own), transport=transport)
    # 1 s until bytes may arrive, 2 bytes, 4 and 8 in a second each, then 6 at the full rate
    assert ways(timeline)[0][3] == pytest.approx(1.0 + 3.0 + 0.6)


@pytest.mark.parametrize(("nbytes", "stalled_s"), [(2.0, 0.0), (2.1, 0.8), (6.0, 0.8), (7.0, 1.4), (1e6, 1.6)])
def test_a_message_waits_for_as_many_acknowledgements_as_it_has_windows(nbytes, stalled_s):
    assert Transport(window_bytes=2.0).stalls_s(nbytes, 10.0, 1.0) == pytest.approx(stalled_s)


def test_what_is_lost_is_sent_again_and_costs_time_and_energy_but_no_bytes_of_the_message():
    radio = Radio(tx=Line(1.0), rx=Line(3.0, 0.5))
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(link(10.0, loss=0.5), radio=radio))
    (download,) = [row for row in rows(timeline) if row["kind"] == "download"]
    assert (download["end_s"], download["bytes"], download["energy_j"]) == (4.0, 20, 3.0 * 4.0 + 0.5 * 40)


# --- Radios -------------------------------------------------------------------------------------------------
def test_a_radio_wakes_first_unless_its_tail_is_not_over():
    radio = Radio(tx=Line(1.0), rx=Line(1.0), tail=((0.5, 4.0),), promotion_s=2.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(SLOW, radio=radio))
    assert [row[:4] for row in ways(timeline)] == [(0, "download", 0.0, 4.0), (0, "upload", 7.0, 8.0)]


def test_a_radio_that_fell_asleep_during_the_work_wakes_again():
    radio = Radio(tx=Line(1.0), rx=Line(1.0), tail=((0.5, 2.0),), promotion_s=2.0)
    _, timeline = simulate(Sync(1, 1), fleet=fleet_of(SLOW, radio=radio))
    assert [row[:4] for row in ways(timeline)] == [(0, "download", 0.0, 4.0), (0, "upload", 7.0, 10.0)]


@pytest.mark.parametrize("tail_s", [2.0, 4.0])
def test_a_quote_knows_whether_the_radio_will_sleep(tail_s):
    radio = Radio(tx=Line(1.0), rx=Line(1.0), tail=((0.5, tail_s),), promotion_s=2.0)
    quoted = []

    def plan(ctx, state, device):
        work = Work(down=(state.model,), up=(train(state.model, ctx.shard(device)),))
        quoted.append(ctx.quote(device, work).seconds)
        return work

    _, timeline = simulate(Sync(1, 1), Toy(plan), fleet=fleet_of(SLOW, radio=radio))
    assert quoted == [ways(timeline)[-1][3]]
