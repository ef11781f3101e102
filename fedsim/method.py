"""The one interface a federated method implements, and what it may ask of the world."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from fedsim.fleet import Device
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class Quote:
    """What a piece of work would cost a device, alone on its link and never cut.

    ``joules`` include idle power and the radio's tails, the last of them in full: less is billed where another
    transfer, a dropout or the end of the run comes before it is over.
    ``fits`` says whether the peak memory of its jobs is within the device's RAM;
    ``transfer_s`` are those of ``seconds`` that the link takes, both ways.
    """

    seconds: float
    joules: float
    down_bytes: int
    up_bytes: int
    memory_bytes: float
    fits: bool
    transfer_s: float = 0.0


class Context(Protocol):
    """What a method may ask of the world; asking changes nothing in it.

    ``public`` is the shared unlabelled set (None if the scenario has none), ``rounds`` the
    number of merges to come in all, ``deadline_s`` the time a device has (None if open).
    """

    @property
    def initial(self) -> Ref: ...
    @property
    def public(self) -> Ref | None: ...
    @property
    def now_s(self) -> float: ...
    @property
    def rounds(self) -> int: ...
    @property
    def deadline_s(self) -> float | None: ...

    def shard(self, device: Device) -> Ref:
        """Name the private data of *device*; only there can it be computed with."""
        ...

    def seed(self, *labels: object) -> int:
        """Return the seed of this run for *labels*."""
        ...

    def quote(self, device: Device, work: Work) -> Quote:
        """Price *work* on *device*."""
        ...

    def look(self, ref: Ref) -> Any:
        """Return the value of *ref*: the one place where values may steer time."""
        ...


class Method(Protocol):
    """A federated method: pure functions over a state of its own, a frozen dataclass of Refs."""

    def init(self, ctx: Context) -> Any:
        """Return the state before the first merge."""
        ...

    def plan(self, ctx: Context, state: Any, device: Device) -> Work | None:
        """Say what *device* receives and sends back; None: not now."""
        ...

    def merge(self, ctx: Context, state: Any, replies: Sequence[Reply]) -> Any:
        """Return the next state; the server computes what it names."""
        ...

    def models(self, state: Any) -> Mapping[str, Ref]:
        """Name the models to evaluate, the one to report first."""
        ...


@runtime_checkable
class Combines(Protocol):
    """A method whose replies can be merged in two steps, at edge aggregators first: what a hierarchy asks for."""

    def combine(self, ctx: Context, state: Any, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        """Return what an edge sends on in place of *replies*, in the form of one reply's ``up``; it computes that.

        The server merges it as the reply of one device, whose id is above all of the fleet's, that has the
        samples of all and keeps nothing. Raises InputError if the method's options do not allow for it.
        """
        ...
