"""What Hypothesis draws: fleets, links, comings and goings, schedules and work graphs in a toy world."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from fedsim.fleet import Always, Fleet, Group, Link, Markov, Profile, Tier, Topology
from fedsim.fleet.radio import Line, Radio
from fedsim.sim import Async, Hierarchical, Sync
from fedsim.work import Ref, Work
from tests.sim.toys import PUBLIC, State, Toy, blob, make, profile, train

seconds = st.floats(0.01, 20.0)
watts = st.floats(0.0, 10.0)
seeds = st.integers(0, 2**31)
sizes = st.integers(0, 2_000)


@st.composite
def links(draw: st.DrawFn) -> Link:
    rate = st.floats(1.0, 1e4)
    return Link(draw(st.sampled_from(["a", "b"])), draw(rate), draw(rate), draw(st.floats(0.0, 2.0)))


@st.composite
def topologies(draw: st.DrawFn) -> Topology:
    """Draw up to four tiers, each behind a later one or the server, in any order."""
    names = ["a", "b", "c", "d"][: draw(st.integers(0, 4))]
    ways = [draw(st.sampled_from([*names[place:], "server"])) for place in range(1, len(names) + 1)]
    tiers = [Tier(n, draw(links()), draw(st.integers(1, 5)), way) for n, way in zip(names, ways, strict=True)]
    return Topology(replace(draw(links()), name="server"), tuple(draw(st.permutations(tiers))))


lines = st.builds(Line, watts, st.floats(0.0, 0.1))
tails = st.lists(st.tuples(watts, st.floats(0.0, 20.0)), max_size=3).map(tuple)
radios = st.builds(Radio, lines, lines, tails)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    return profile(draw(st.sampled_from(["x", "y"])), idle_w=draw(watts), busy_w=draw(watts), radio=draw(radios))


@st.composite
def edge_trees(draw: st.DrawFn) -> Topology:
    """Draw access links behind edges behind one line or more, with aggregators at one of them, both or none."""
    tiers = (
        Tier("access", draw(links()), draw(st.integers(1, 3)), behind="edge", edge=draw(st.none() | profiles())),
        Tier("edge", draw(links()), draw(st.integers(1, 3)), behind="line", edge=draw(st.none() | profiles())),
        Tier("line", draw(links()), draw(st.integers(1, 2))),
    )
    return Topology(replace(draw(links()), name="server"), tiers)


@st.composite
def fleets(draw: st.DrawFn, *, most: int = 4, behind: tuple[str, ...] = ("server",)) -> Fleet:
    group = st.builds(Group, profiles(), links(), st.integers(1, most), st.sampled_from(behind))
    return Fleet(tuple(draw(st.lists(group, min_size=1, max_size=2))), draw(st.integers(1, 9)))


@st.composite
def markovs(draw: st.DrawFn) -> Markov:
    return Markov(draw(st.floats(1.0, 60.0)), draw(st.floats(1.0, 60.0)), draw(seeds))


def availabilities() -> st.SearchStrategy[Any]:
    return st.one_of(st.just(Always()), markovs())


policies = st.sampled_from(["discard", "restart", "resume"])
deadlines = st.one_of(st.none(), st.floats(3.0, 60.0))


@st.composite
def schedules(draw: st.DrawFn, *, devices: int, at_edges: bool) -> Sync | Async | Hierarchical:
    length, places, deadline_s = draw(st.integers(1, 5)), draw(st.integers(1, devices)), draw(deadlines)
    if at_edges:
        return Hierarchical(length, places, deadline_s)
    if draw(st.booleans()):
        return Sync(length, places, deadline_s, draw(st.sampled_from([1.0, 1.5, 2.0])))
    return Async(length, places, draw(st.integers(1, 4)), deadline_s)


@dataclass(frozen=True)
class WorkGraph:
    """A method's plan: what a round of each device consists of, the same for all but for its pace."""

    prepared_s: float | None
    public: bool
    kept: bool
    jobs: tuple[tuple[float, int], ...]
    uneven: bool
    refused: int

    def __call__(self, ctx: Any, state: State, device: Any) -> Work | None:
        if device.id == self.refused:
            return None
        sent: Ref = state.model
        if self.prepared_s is not None:
            sent = make(sent, nbytes=30, seconds=self.prepared_s, tag=device.id % 2)
        made: Ref = train(sent, ctx.shard(device), tag=(device.id, state.merges))
        for at, (pace, nbytes) in enumerate(self.jobs):
            slow = 1 + device.id if self.uneven else 1
            made = make(made, sent, nbytes=nbytes, seconds=pace * slow, tag=at)
        keep = (make(ctx.shard(device), nbytes=7, seconds=2.0),) if self.kept else ()
        return Work(down=(sent, *((ctx.public,) if self.public else ())), up=(made,), keep=keep)


work_graphs = st.builds(
    WorkGraph,
    prepared_s=st.one_of(st.none(), seconds),
    public=st.booleans(),
    kept=st.booleans(),
    jobs=st.lists(st.tuples(seconds, sizes), max_size=3).map(tuple),
    uneven=st.booleans(),
    refused=st.integers(-5, 5),
)


@st.composite
def worlds(draw: st.DrawFn, *, always: bool = False) -> dict[str, Any]:
    """Draw the arguments of ``tests.sim.toys.simulate``; every run ends by 120 s."""
    at_edges = draw(st.booleans())
    fleet = draw(fleets(behind=("access", "edge", "line", "server") if at_edges else ("server",)))
    star = st.builds(lambda link: Topology(replace(link, name="server")), links())
    return {
        "fleet": fleet,
        "availability": Always() if always else draw(availabilities()),
        "on_dropout": draw(policies),
        "topology": draw(edge_trees() if at_edges else star),
        "schedule": draw(schedules(devices=len(fleet), at_edges=at_edges)),
        "method": Toy(draw(work_graphs), merge_s=draw(st.floats(0.0, 5.0)), combine_s=draw(st.floats(0.0, 5.0))),
        "public": PUBLIC,
        "initial": blob("model", draw(sizes)),
        "stop_s": 120.0,
    }
