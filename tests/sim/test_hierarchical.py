"""The whole log of rounds that merge at edges first, in a world of round numbers.

Devices have 10 bytes/s of their own, edges 5 bytes/s to the server, shared by all of them where a test says so.
"""

from __future__ import annotations

from fedsim.fleet import Fleet, Group, Link, Tier, Topology
from fedsim.sim import Hierarchical, Sync
from fedsim.work import Work
from tests.sim.toys import FAST, PUBLIC, SLOW, Script, Toy, make, profile, rows, simulate, train

LINE = Link("line", 5.0, 5.0, 0.0)


def edges(count=1, *, lines=None):
    """Return a topology of *count* edges, each with a line of its own unless there are fewer *lines*."""
    edge = Tier("edge", FAST, count, behind="line", edge=profile("edge", idle_w=0.5, busy_w=4.0))
    return Topology(FAST, (edge, Tier("line", LINE, lines or count)))


def fleet_of(count, *others):
    """Return *count* devices at edges, and groups of so many that have none."""
    groups = (Group(profile(), SLOW, count, "edge"), *(Group(profile(), SLOW, n) for n in others))
    return Fleet(tuple(group for group in groups if group.count), 1)


def lived(schedule, method=None, *, devices=1, others=(), topology=None, **world):
    """Run a toy world, and return the simulation with (place, kind, job, start, end, bytes, outcome) of every span."""
    there = {"fleet": fleet_of(devices, *others), "topology": topology or edges()}
    sim, timeline = simulate(schedule, method, **{**there, **world})
    names = ("place", "kind", "job", "start_s", "end_s", "bytes", "outcome")
    return sim, [tuple(row[name] for name in names) for row in rows(timeline)]


def at(spans, *places):
    return [row for row in spans if row[0] in places and row[1] != "idle"]


def test_a_round_goes_down_and_up_by_way_of_the_edge():
    sim, spans = lived(Hierarchical(rounds=1, cohort=1), Toy(merge_s=1.0, combine_s=2.0))
    assert spans == [
        ("edge-0", "download", "", 0.0, 4.0, 20, "done"),
        ("device-0", "wait", "", 0.0, 4.0, 0, "done"),
        ("device-0", "idle", "", 0.0, 10.0, 0, "done"),
        ("edge-0", "idle", "", 0.0, 15.0, 0, "done"),
        ("server", "idle", "", 0.0, 15.0, 0, "done"),
        ("device-0", "download", "", 4.0, 6.0, 20, "done"),
        ("device-0", "compute", "train", 6.0, 9.0, 0, "done"),
        ("device-0", "upload", "", 9.0, 10.0, 10, "done"),
        ("edge-0", "compute", "make", 10.0, 12.0, 0, "done"),
        ("edge-0", "upload", "", 12.0, 14.0, 10, "done"),
        ("server", "compute", "make", 14.0, 15.0, 0, "done"),
    ]
    assert (sim.now_s, sim.rounds_done, sim.complete) == (15.0, 1, True)


def test_what_several_devices_need_crosses_the_line_once():
    _, spans = lived(Hierarchical(rounds=1, cohort=3), devices=3)
    assert at(spans, "edge-0") == [
        ("edge-0", "download", "", 0.0, 4.0, 20, "done"),
        ("edge-0", "compute", "make", 10.0, 10.0, 0, "done"),
        ("edge-0", "upload", "", 10.0, 12.0, 10, "done"),
    ]
    downloads = [row for row in spans if row[1] == "download" and row[0] != "edge-0"]
    assert [row[3:6] for row in downloads] == [(4.0, 6.0, 20)] * 3


def test_edges_go_at_their_own_pace_and_share_a_line():
    def uneven(ctx, state, device):
        trained = train(state.model, ctx.shard(device), seconds=3.0 + 10.0 * (device.id % 2), tag=device.id)
        return Work(down=(state.model,), up=(trained,))

    _, spans = lived(Hierarchical(rounds=1, cohort=4), Toy(uneven), devices=4, topology=edges(2, lines=1))
    assert at(spans, "edge-0", "edge-1", "server") == [
        ("edge-0", "download", "", 0.0, 8.0, 20, "done"),  # half of 5 bytes/s each
        ("edge-1", "download", "", 0.0, 8.0, 20, "done"),
        ("edge-0", "compute", "make", 14.0, 14.0, 0, "done"),
        ("edge-0", "upload", "", 14.0, 16.0, 10, "done"),
        ("edge-1", "compute", "make", 24.0, 24.0, 0, "done"),
        ("edge-1", "upload", "", 24.0, 26.0, 10, "done"),
        ("server", "compute", "make", 26.0, 26.0, 0, "done"),
    ]


def test_a_deadline_cuts_devices_and_the_edge_sends_on_what_came():
    def uneven(ctx, state, device):
        trained = train(state.model, ctx.shard(device), seconds=3.0 + 10.0 * device.id, tag=device.id)
        return Work(down=(state.model,), up=(trained,))

    method = Toy(uneven)
    sim, spans = lived(Hierarchical(rounds=1, cohort=2, deadline_s=12.0), method, devices=2)
    assert at(spans, "device-1", "edge-0") == [
        ("edge-0", "download", "", 0.0, 4.0, 20, "done"),
        ("device-1", "wait", "", 0.0, 4.0, 0, "late"),
        ("device-1", "download", "", 4.0, 6.0, 20, "late"),
        ("device-1", "compute", "train", 6.0, 12.0, 0, "late"),
        ("edge-0", "compute", "make", 12.0, 12.0, 0, "done"),
        ("edge-0", "upload", "", 12.0, 14.0, 10, "done"),
    ]
    assert [[reply.device for reply in replies] for replies in method.members.values()] == [[0]]
    assert sim.now_s == 14.0


def test_a_dropout_leaves_its_edge_to_the_others():
    gone = Script({0: (7.0,)})
    method = Toy()
    _, spans = lived(Hierarchical(rounds=1, cohort=2), method, devices=2, availability=gone, on_dropout="discard")
    assert at(spans, "device-0") == [
        ("device-0", "wait", "", 0.0, 4.0, 0, "cut"),
        ("device-0", "download", "", 4.0, 6.0, 20, "cut"),
        ("device-0", "compute", "train", 6.0, 7.0, 0, "cut"),
    ]
    assert [[reply.device for reply in replies] for replies in method.members.values()] == [[1]]


def test_an_edge_without_replies_sends_nothing():
    gone, method = Script({0: (7.0,)}), Toy()
    _, spans = lived(
        Hierarchical(rounds=1, cohort=2), method, devices=2, topology=edges(2), availability=gone, on_dropout="discard"
    )
    assert at(spans, "edge-0") == [("edge-0", "download", "", 0.0, 4.0, 20, "done")]
    assert [[reply.device for reply in replies] for replies in method.heard] == [[2 + 1]]


def test_a_round_that_nobody_finishes_merges_nothing():
    method = Toy()
    sim, spans = lived(Hierarchical(rounds=1, cohort=2, deadline_s=5.0), method, devices=2)
    assert (method.heard, sim.rounds_done, sim.now_s) == ([], 1, 5.0)
    assert {row[6] for row in spans if row[0].startswith("device")} == {"late"}


def test_devices_behind_no_edge_work_for_the_server():
    method = Toy()
    _, spans = lived(Hierarchical(rounds=1, cohort=2), method, devices=1, others=(1,))
    assert at(spans, "device-1", "server") == [
        ("device-1", "download", "", 0.0, 2.0, 20, "done"),
        ("device-1", "compute", "train", 2.0, 5.0, 0, "done"),
        ("device-1", "upload", "", 5.0, 6.0, 10, "done"),
        ("server", "compute", "make", 12.0, 12.0, 0, "done"),
    ]
    assert [[(reply.device, reply.samples) for reply in replies] for replies in method.heard] == [[(1, 1), (2, 1)]]


def test_with_nobody_behind_an_edge_it_is_a_sync_run_with_idle_edges():
    def of(schedule):
        _, spans = lived(schedule, devices=0, others=(3,), topology=edges(2))
        return spans

    hierarchical = of(Hierarchical(rounds=2, cohort=2))
    idle = [row for row in hierarchical if row[0].startswith("edge")]
    assert idle == [("edge-0", "idle", "", 0.0, 12.0, 0, "done"), ("edge-1", "idle", "", 0.0, 12.0, 0, "done")]
    assert [row for row in hierarchical if row not in idle] == of(Sync(rounds=2, cohort=2))


def test_the_idle_power_of_an_edge_and_its_work_are_the_servers_energy():
    sim, _ = lived(Hierarchical(rounds=1, cohort=1), Toy(merge_s=1.0, combine_s=2.0), topology=edges(3))
    assert sim.recorder.totals.server_energy_j == 15.0 * 1.0 + 3 * 15.0 * 0.5 + 1.0 * 2.0 + 2.0 * 4.0


def test_bytes_of_edges_are_not_those_of_devices():
    sim, _ = lived(Hierarchical(rounds=1, cohort=2), devices=2)
    assert (sim.recorder.totals.down_bytes, sim.recorder.totals.up_bytes) == (40, 20)
    assert sim.network.sent_bytes == sim.network.received_bytes == 40 + 20 + 20 + 10


def test_public_data_crosses_the_line_once_for_all_rounds():
    def with_public(ctx, state, device):
        trained = train(state.model, ctx.shard(device), ctx.public, tag=(state.merges, device.id))
        return Work(down=(state.model, ctx.public), up=(trained,))

    _, spans = lived(Hierarchical(rounds=2, cohort=2), Toy(with_public), devices=2, public=PUBLIC)
    assert [row[5] for row in spans if row[:2] == ("edge-0", "download")] == [70, 20]
    assert [row[5] for row in spans if row[:2] == ("device-0", "download")] == [70, 20]


def test_the_server_makes_what_devices_are_to_receive():
    def prepared(ctx, state, device):
        message = make(state.model, nbytes=15, seconds=1.0, tag=state.merges)
        return Work(down=(message,), up=(train(message, ctx.shard(device), tag=device.id),))

    _, spans = lived(Hierarchical(rounds=1, cohort=2), Toy(prepared), devices=2, topology=edges(2))
    assert at(spans, "edge-0", "edge-1", "server")[:3] == [
        ("server", "compute", "make", 0.0, 1.0, 0, "done"),
        ("edge-0", "download", "", 1.0, 4.0, 15, "done"),
        ("edge-1", "download", "", 1.0, 4.0, 15, "done"),
    ]


def test_what_combining_takes_and_the_edge_lacks_comes_from_the_server():
    class Careful(Toy):
        def combine(self, ctx, state, replies):
            return (make(state.model, *(reply.up[0] for reply in replies), nbytes=10, seconds=0.0),)

    def prepared(ctx, state, device):
        message = make(state.model, nbytes=10, seconds=0.0, tag="message")
        return Work(down=(message,), up=(train(message, ctx.shard(device), tag=device.id),))

    _, spans = lived(Hierarchical(rounds=1, cohort=1), Careful(prepared))
    assert at(spans, "edge-0") == [
        ("edge-0", "download", "", 0.0, 2.0, 10, "done"),
        ("edge-0", "download", "", 7.0, 11.0, 20, "done"),  # the model
        ("edge-0", "compute", "make", 11.0, 11.0, 0, "done"),
        ("edge-0", "upload", "", 11.0, 13.0, 10, "done"),
    ]


def test_the_end_of_the_run_cuts_what_crosses_a_line():
    for stop_s, kind, nbytes in ((3.0, "download", 15), (11.0, "upload", 5)):
        sim, spans = lived(Hierarchical(rounds=1, cohort=1), stop_s=stop_s)
        last = [row for row in at(spans, "edge-0") if row[6] == "cut"]
        assert [(row[1], row[4], row[5]) for row in last] == [(kind, stop_s, nbytes)]
        assert sim.network.cut_bytes == nbytes
        assert {row[6] for row in spans if row[0] == "device-0"} == {"late"}


def test_devices_are_quoted_the_way_to_their_edge():
    quoted = []

    def asking(ctx, state, device):
        work = Work(down=(state.model,), up=(train(state.model, ctx.shard(device), tag=device.id),))
        quoted.append(ctx.quote(device, work).seconds)
        return work

    lived(Hierarchical(rounds=1, cohort=1), Toy(asking))
    assert quoted == [2.0 + 3.0 + 1.0]
