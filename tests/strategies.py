"""What Hypothesis draws: fleets, links, comings and goings, schedules and work graphs in a toy world."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st

from fedsim.fleet import (
    FULL,
    Always,
    Charging,
    Clock,
    Crashes,
    Dynamics,
    Failures,
    Fleet,
    Group,
    Level,
    Link,
    Markov,
    Product,
    Profile,
    Switched,
    Tier,
    Topology,
    Transport,
    all_of,
)
from fedsim.fleet.radio import Line, Radio
from fedsim.fleet.thermal import Thermal
from fedsim.sim import Async, Hierarchical, Sync
from fedsim.work import Ref, Work
from tests.sim.toys import PUBLIC, State, Toy, blob, learn, make, profile, train

seconds = st.floats(0.01, 20.0)
watts = st.floats(0.0, 10.0)
seeds = st.integers(0, 2**31)
sizes = st.integers(0, 2_000)
EDGE = profile("edge", idle_w=1.5, busy_w=4.0)


@dataclass(frozen=True)
class Wave:
    """A variation: half of each period at the nominal rate, half at *low* times that."""

    half_s: float
    low: float

    def capacity(self, bytes_per_s: float, key: Any, *, seed: int, up: bool) -> Waving:
        return Waving(self, bytes_per_s)


@dataclass(frozen=True)
class Waving:
    """One link's wave."""

    wave: Wave
    bytes_per_s: float

    def rate(self, at_s: float) -> float:
        return self.bytes_per_s * (self.wave.low if self._half(at_s) % 2 else 1.0)

    def next_change(self, at_s: float) -> float:
        half = self._half(at_s)
        return next(t for t in ((half + n) * self.wave.half_s for n in (1, 2, 3)) if t > at_s)

    def _half(self, at_s: float) -> int:
        return math.floor(at_s / self.wave.half_s)


waves = st.builds(Wave, st.floats(5.0, 40.0), st.one_of(st.just(0.0), st.floats(0.01, 1.0)))


@st.composite
def links(draw: st.DrawFn, *, varies: bool = False) -> Link:
    rate = st.floats(1.0, 1e4)
    return Link(
        draw(st.sampled_from(["a", "b"])), draw(rate), draw(rate), draw(st.floats(0.0, 2.0)),
        shared=draw(st.booleans()), loss=draw(st.sampled_from([0.0, 0.25])),
        varies=draw(st.one_of(st.none(), waves)) if varies else None,
    )  # fmt: skip


@st.composite
def topologies(draw: st.DrawFn, *, most: int = 4, varies: bool = False) -> Topology:
    """Draw up to *most* tiers, each behind a later one or the server, in any order, some of them with edges."""
    some = links(varies=varies)
    names = ["a", "b", "c", "d"][: draw(st.integers(0, most))]
    ways = [draw(st.sampled_from([*names[place:], "server"])) for place in range(1, len(names) + 1)]
    tiers = [
        Tier(name, draw(some), draw(st.integers(1, 5)), way, draw(st.sampled_from([None, EDGE])))
        for name, way in zip(names, ways, strict=True)
    ]
    return Topology(replace(draw(some), name="server"), tuple(draw(st.permutations(tiers))))


lines = st.builds(Line, watts, st.floats(0.0, 0.1))
tails = st.lists(st.tuples(watts, st.floats(0.0, 20.0)), max_size=3).map(tuple)
radios = st.builds(Radio, lines, lines, tails)


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    return profile(draw(st.sampled_from(["x", "y"])), idle_w=draw(watts), busy_w=draw(watts), radio=draw(radios))


@st.composite
def fleets(draw: st.DrawFn, *, most: int = 4, tiers: Sequence[Tier] = (), varies: bool = False) -> Fleet:
    behind = st.sampled_from([*(tier.name for tier in tiers), "server"])
    group = st.builds(Group, profiles(), links(varies=varies), st.integers(1, most), behind)
    return Fleet(tuple(draw(st.lists(group, min_size=1, max_size=2))), draw(st.integers(1, 9)))


@st.composite
def markovs(draw: st.DrawFn) -> Markov:
    return Markov(draw(st.floats(1.0, 60.0)), draw(st.floats(1.0, 60.0)), draw(seeds))


def availabilities() -> st.SearchStrategy[Any]:
    return st.one_of(st.just(Always()), markovs())


policies = st.sampled_from(["discard", "restart", "resume"])
deadlines = st.one_of(st.none(), st.floats(3.0, 60.0))


@st.composite
def schedules(draw: st.DrawFn, *, devices: int) -> Sync | Async | Hierarchical:
    length, places, deadline_s = draw(st.integers(1, 5)), draw(st.integers(1, devices)), draw(deadlines)
    kind = draw(st.sampled_from(["sync", "async", "hierarchical"]))
    if kind == "sync":
        return Sync(length, places, deadline_s, draw(st.sampled_from([1.0, 1.5, 2.0])))
    if kind == "hierarchical":
        return Hierarchical(length, places, deadline_s)
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
    epochs: int | None = None  # of a training in passes

    def __call__(self, ctx: Any, state: State, device: Any) -> Work | None:
        if device.id == self.refused:
            return None
        sent: Ref = state.model
        if self.prepared_s is not None:
            sent = make(sent, nbytes=30, seconds=self.prepared_s, tag=device.id % 2)
        tag = device.id, state.merges
        made: Ref = train(sent, ctx.shard(device), memory=60.0, tag=tag)
        if self.epochs is not None:
            made = learn(sent, ctx.shard(device), epochs=self.epochs, memory=60.0, tag=tag)
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
def worlds(draw: st.DrawFn, *, always: bool = False, varies: bool = True) -> dict[str, Any]:
    """Draw the arguments of ``tests.sim.toys.simulate``; every run ends by 120 s."""
    topology = draw(topologies(most=2, varies=varies))
    fleet = draw(fleets(tiers=topology.tiers, varies=varies))
    return {
        "fleet": fleet,
        "availability": Always() if always else draw(availabilities()),
        "on_dropout": draw(policies),
        "topology": topology,
        "transport": Transport(draw(st.sampled_from([0.0, 2.0])), draw(st.floats(50.0, 1e4))),
        "schedule": draw(schedules(devices=len(fleet))),
        "method": Toy(draw(work_graphs), merge_s=draw(st.floats(0.0, 5.0)), combine_s=draw(st.floats(0.0, 5.0))),
        "public": PUBLIC,
        "initial": blob("model", draw(sizes)),
        "stop_s": 120.0,
    }


# --- Worlds in which everything changes -----------------------------------------------------------------------
on_off = st.builds(Markov, st.floats(1.0, 60.0), st.floats(0.5, 20.0), seeds)
shares = st.one_of(st.floats(0.05, 1.0), st.just(0.0))


def seldom(law: st.SearchStrategy[Any], none: Any) -> st.SearchStrategy[Any]:
    """Draw *law* one time in three, so that some worlds are kind enough for work to be done in."""
    return st.integers(0, 2).flatmap(lambda n: law if n == 2 else st.just(none))


def levels(low: st.SearchStrategy[float]) -> st.SearchStrategy[Level]:
    one = st.builds(Switched, on_off, low)
    return seldom(st.one_of(one, st.lists(one, max_size=2).map(lambda parts: Product(tuple(parts)))), FULL)


@st.composite
def thermals(draw: st.DrawFn, idle_w: float) -> Thermal:
    """Draw a law under which a device that idles cools below where it resumes."""
    rest_c = 20.0 + 5.0 * idle_w
    resume_c = rest_c + draw(st.floats(0.5, 20.0))
    return Thermal(
        20.0, 5.0, draw(st.floats(0.5, 30.0)), resume_c + draw(st.floats(0.5, 20.0)), resume_c,
        draw(st.floats(0.1, 1.0)), draw(st.floats(0.0, 1.0)),
    )  # fmt: skip


@st.composite
def chargings(draw: st.DrawFn, *, plugged: bool = True) -> Charging:
    """Draw batteries that are plugged in at times, or never."""
    floor, low = draw(st.floats(0.0, 0.5)), draw(st.floats(0.0, 1.0))
    return Charging(
        draw(on_off) if plugged else Never(), floor, draw(st.floats(floor, 1.0)), (low, draw(st.floats(low, 1.0))),
        draw(st.floats(0.0, 50.0)), draw(st.floats(0.0, 5.0)), draw(seeds),
    )  # fmt: skip


@dataclass(frozen=True)
class Never:
    """Off for ever."""

    def online(self, key: Any, at_s: float) -> bool:
        return False

    def next_change(self, key: Any, at_s: float) -> float:
        return math.inf


failures = st.builds(
    Failures, dropout=st.sampled_from([0.0, 0.5, 1.0]), back_s=st.floats(0.1, 30.0),
    corrupted=st.sampled_from([0.0, 0.3]), truncated=st.sampled_from([0.0, 0.3]), retries=st.integers(0, 3), seed=seeds,
)  # fmt: skip


@st.composite
def living(draw: st.DrawFn) -> Dynamics:
    """Draw all of what may change and go wrong."""
    crashes = st.builds(Crashes, st.floats(5.0, 100.0), st.floats(0.1, 5.0), seeds)
    clock = st.builds(Clock, on_off, st.floats(0.1, 1.0), st.floats(0.0, 1.0))
    return Dynamics(
        speed=draw(levels(shares)), clock=draw(seldom(clock, Clock())), heat=draw(st.booleans()),
        memory=draw(levels(shares)), storage=draw(levels(shares)), network=draw(seldom(on_off, Always())),
        rebooting=draw(seldom(crashes, Always())), failures=draw(seldom(failures, Failures())),
        charging=draw(seldom(chargings(), None)), reported=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def living_worlds(draw: st.DrawFn, *, dynamics: st.SearchStrategy[Dynamics] | None = None) -> dict[str, Any]:
    """Draw a world of `worlds` in which everything changes; devices have 100 bytes of RAM and batteries, and heat."""
    world = draw(worlds())
    world["dynamics"] = draw(living() if dynamics is None else dynamics)
    world["availability"] = all_of(world["availability"], world["dynamics"].rebooting)
    world["on_dropout"] = draw(st.sampled_from(["partial", "discard", "restart", "resume"]))
    world["initial"] = blob("model", draw(st.integers(0, 100)))
    graph, battery_j = world["method"].plan_, draw(st.floats(10.0, 1e4))
    graph = replace(graph, epochs=draw(st.one_of(st.integers(2, 9), st.none())))
    world["method"] = replace(world["method"], plan_=graph)
    changed = [
        replace(
            group,
            link=_brisk(group.link),
            profile=replace(
                group.profile, memory_bytes=100.0, storage_bytes=3_000.0, battery_j=battery_j,
                thermal=draw(thermals(group.profile.idle_w)),
            ),
        )
        for group in world["fleet"].groups
    ]  # fmt: skip
    topology: Topology = world["topology"]
    tiers = tuple(replace(tier, link=_brisk(tier.link)) for tier in topology.tiers)
    world["topology"] = replace(topology, server=_brisk(topology.server), tiers=tiers)
    return {**world, "fleet": replace(world["fleet"], groups=tuple(changed))}


def _brisk(link: Link) -> Link:
    """Return a link that leaves most of the time to computing."""
    down, up = 100 * link.down_bytes_per_s, 100 * link.up_bytes_per_s
    return replace(link, down_bytes_per_s=down, up_bytes_per_s=up, latency_s=link.latency_s / 20)


@st.composite
def charged_worlds(draw: st.DrawFn, *, battery_j: float | None = None, plugged: bool = True) -> dict[str, Any]:
    """Draw a world of batteries, with little else that changes."""
    world = draw(living_worlds(dynamics=st.builds(Dynamics, charging=chargings(plugged=plugged))))
    if battery_j is None:
        return world
    groups = [replace(g, profile=replace(g.profile, battery_j=battery_j)) for g in world["fleet"].groups]
    return {**world, "fleet": replace(world["fleet"], groups=tuple(groups))}
