"""A world of round numbers: a job takes the seconds it is given, a link carries 10 bytes/s, 1 + 2 W."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from fedsim.execute.cost_only import CostOnly
from fedsim.fleet import Always, Device, Fleet, Group, Link, Profile, Topology
from fedsim.fleet.profile import Rate
from fedsim.fleet.radio import Line, Radio
from fedsim.fleet.thermal import Thermal
from fedsim.sim import Published, Simulation, World
from fedsim.timeline import Timeline
from fedsim.work import Load, Op, OpClass, Ref, Reply, Work, job, source

Row = tuple[Any, ...]


@dataclass(frozen=True)
class Bytes:
    """A size, and nothing else."""

    nbytes: int


def seconds_of(*_: object, seconds: float = 0.0, memory: float = 0.0, **__: object) -> Load:
    return Load({OpClass.MATMUL: Op(flops=seconds)}, memory)


@job(size=lambda *_, nbytes, **__: Bytes(nbytes), load=seconds_of)
def make(*inputs: object, nbytes: int, seconds: float, memory: float = 0.0, tag: object = ()) -> str:
    """Make *nbytes* out of *inputs* in *seconds*."""
    return f"{inputs} {nbytes} {seconds} {memory} {tag}"


@job(size=lambda *_, nbytes, **__: Bytes(nbytes), load=seconds_of)
def train(*inputs: object, nbytes: int = 10, seconds: float = 3.0, memory: float = 0.0, tag: object = ()) -> str:
    """Train, which makes 10 bytes in 3 seconds."""
    return f"{inputs} {nbytes} {seconds} {memory} {tag}"


def seconds_of_passes(*_: object, epochs: int, seconds: float, memory: float, **__: object) -> Load:
    return seconds_of(seconds=epochs * seconds, memory=memory)


@job(size=lambda *_, nbytes, **__: Bytes(nbytes), load=seconds_of_passes, passes="epochs")
def learn(
    *inputs: object, epochs: int = 3, nbytes: int = 10, seconds: float = 1.0, memory: float = 0.0, tag: object = ()
) -> str:
    """Train for so many passes of a second each, which makes 10 bytes."""
    return f"{inputs} {epochs} {nbytes} {seconds} {memory} {tag}"


@job(size=lambda *_: Bytes(10), load=lambda *_: Load())
def combine(models: tuple[object, ...]) -> str:
    """Combine replies in no time."""
    return str(models)


_THREE_SECONDS = Load({OpClass.MATMUL: Op(flops=3.0)})


@job(size=lambda *_: Bytes(10), load=lambda *_: _THREE_SECONDS)
def steady(data: object) -> str:
    """Take 3 seconds under one Load object, whatever the data."""
    return str(data)


def blob(name: str, nbytes: int) -> Ref:
    return source(name, nbytes=nbytes)


class Blobs:
    """Sources whose size is in their name."""

    def value(self, ref: Ref) -> Any:
        return ref.key

    def size(self, ref: Ref) -> Bytes:
        return Bytes(dict(ref.params)["nbytes"])


MODEL = blob("model", 20)
PUBLIC = blob("public", 50)


def shard_of(device: Device) -> Ref:
    return source("shard", nbytes=1000, key=device.key)


PLAIN = Radio(tx=Line(4.0), rx=Line(3.0))


def profile(
    name: str = "toy",
    *,
    memory: float = 1e9,
    storage: float = 1e9,
    idle_w: float = 1.0,
    busy_w: float = 2.0,
    radio: Radio = PLAIN,
    battery_j: float | None = None,
    thermal: Thermal | None = None,
) -> Profile:
    return Profile(
        name=name, title=name, kind="sbc", year=2020, quality="peak only", memory_bytes=memory, storage_bytes=storage,
        rates={kind: Rate(flops_per_s=1.0) for kind in OpClass}, spread=(1.0, 1.0), idle_w=idle_w, busy_w=busy_w,
        radio={"default": radio}, sources=(), battery_j=battery_j, thermal=thermal,
    )  # fmt: skip


SLOW = Link("slow", 10.0, 10.0, 0.0)
FAST = Link("fast", math.inf, math.inf, 0.0)


@dataclass(frozen=True)
class Script:
    """Devices are online at first and change at the given times; those without a script never do."""

    changes: Mapping[int, Sequence[float]]

    def online(self, key: tuple[int, int], at_s: float) -> bool:
        return sum(change <= at_s for change in self.changes.get(key[1], ())) % 2 == 0

    def next_change(self, key: tuple[int, int], at_s: float) -> float:
        return min((change for change in self.changes.get(key[1], ()) if change > at_s), default=math.inf)


@dataclass(frozen=True)
class Stairs:
    """All of a device until the first of some (time, share), and from each on that share of it."""

    steps: Sequence[tuple[float, float]]

    def share(self, key: tuple[int, int], at_s: float) -> float:
        return ([1.0] + [share for step_s, share in self.steps if step_s <= at_s])[-1]

    def next_change(self, key: tuple[int, int], at_s: float) -> float:
        return min((step_s for step_s, _ in self.steps if step_s > at_s), default=math.inf)


@dataclass(frozen=True)
class State:
    model: Ref
    merges: int = 0


Plan = Callable[[Any, State, Device], Work | None]


def plain_plan(ctx: Any, state: State, device: Device) -> Work | None:
    """Send 20 bytes down, train for 3 s, send 10 bytes up: 2 + 3 + 1 s."""
    return Work(down=(state.model,), up=(train(state.model, ctx.shard(device), tag=(state.merges, device.id)),))


def learning(ctx: Any, state: State, device: Device) -> Work | None:
    """Do as in `plain_plan`, with training that makes three passes of 1 s."""
    return Work(down=(state.model,), up=(learn(state.model, ctx.shard(device), tag=(state.merges, device.id)),))


@dataclass(frozen=True)
class Toy:
    """A method put together from a plan."""

    plan_: Plan = plain_plan
    merge_s: float = 0.0
    combine_s: float = 0.0
    heard: list[list[Reply]] = field(default_factory=list)
    members: dict[Ref, list[Reply]] = field(default_factory=dict)  # of what an edge sent on

    def init(self, ctx: Any) -> State:
        return State(ctx.initial)

    def plan(self, ctx: Any, state: State, device: Device) -> Work | None:
        return self.plan_(ctx, state, device)

    def merge(self, ctx: Any, state: State, replies: Sequence[Reply]) -> State:
        self.heard.append(list(replies))
        ups = tuple(ref for reply in replies for ref in reply.up)
        return State(make(ups, nbytes=20, seconds=self.merge_s, tag=state.merges), state.merges + 1)

    def combine(self, ctx: Any, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        ups = tuple(ref for reply in replies for ref in reply.up)
        combined = make(ups, nbytes=10, seconds=self.combine_s, tag=("edge", state.merges))
        self.members[combined] = list(replies)
        return (combined,)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}


@dataclass
class Ears:
    """An observer that remembers."""

    heard: list[Published] = field(default_factory=list)

    def published(self, news: Published) -> None:
        self.heard.append(news)


def simulate(
    schedule: Any, method: Any = None, *, devices: int = 1, executor: Any = None, **world: Any
) -> tuple[Simulation, Timeline]:
    """Run a toy world; *world* changes the World's fields, *devices* the size of a fleet of equal ones."""
    plain = World(
        fleet=Fleet((Group(profile(), SLOW, devices),), 1),
        availability=Always(), on_dropout="resume", server=profile("server"), topology=Topology(FAST),
        initial=MODEL, public=None, shard=shard_of,
    )  # fmt: skip
    changed = World(**{**{name: getattr(plain, name) for name in plain.__slots__}, **world})
    computes = executor or CostOnly(Blobs())
    sim = Simulation(changed, method=method or Toy(), schedule=schedule, executor=computes, observer=Ears(), seed=0)
    return sim, sim.run()


class Losses(CostOnly):
    """An executor that knows one kind of value: the loss that each device reports, by its number."""

    def __init__(self, losses: Sequence[float]) -> None:
        super().__init__(Blobs())
        self._losses, self.looked = losses, 0

    def get_all(self, refs: Sequence[Ref]) -> list[Any]:
        self.looked += len(refs)
        return [self._losses[dict(ref.params)["device"]] for ref in refs]


def loss_of(model: Ref, shard: Ref) -> Ref:
    """Name the loss of *model* on the shard of a device of the first group."""
    return source("loss", model=model.key, device=dict(shard.params)["key"][1])


def rows(timeline: Timeline) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = timeline.table.to_pylist()
    return found


def log(timeline: Timeline, *, server: bool = False) -> list[Row]:
    """Return (device, kind, job, start, end, bytes, joules, outcome) of every span, the server's if asked for."""
    names = ("device", "kind", "job", "start_s", "end_s", "bytes", "energy_j", "outcome")
    return [tuple(row[name] for name in names) for row in rows(timeline) if server or row["device"] >= 0]


def busy(timeline: Timeline) -> list[Row]:
    """Return (device, kind, start, end, bytes, outcome) of what was done and waited for, without idle spans."""
    names = ("device", "kind", "start_s", "end_s", "bytes", "outcome")
    return [tuple(row[n] for n in names) for row in rows(timeline) if row["device"] >= 0 and row["kind"] != "idle"]


def overlapping(spans: Sequence[tuple[float, float]]) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Return the neighbours, in order of start, of which one starts before the other ends."""
    return [(a, b) for a, b in pairwise(sorted(spans)) if b[0] < a[1]]
