"""Who shares which links: tiers of them between the devices' own links and the server's."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fedsim.errors import InputError, unknown
from fedsim.fleet.capacity import Capacity
from fedsim.fleet.fleet import Device, Fleet
from fedsim.fleet.link import Link
from fedsim.fleet.profile import Profile

SERVER = "server"


@dataclass(frozen=True, slots=True)
class Tier:
    """*count* equal links, such as homes or cells, each shared by the devices behind it.

    ``behind`` names the next tier towards the server, "server" being its own link. ``edge`` is the profile of the
    aggregators that sit at the upper ends of these links; None: there are none.
    """

    name: str
    link: Link
    count: int = 1
    behind: str = SERVER
    edge: Profile | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """One link on a way: ``key`` is (tier, index in the tier), that of the device for its own, (-1, 0) the server's.

    far: the link is written down as the place at its upper end sees it, which sends what goes down.
    """

    name: str
    key: tuple[int, int]
    link: Link
    edge: Profile | None = None
    far: bool = False

    def rate(self, *, up: bool) -> float:
        """Return the nominal rate of what goes up or down."""
        return self.link.rate(up=up != self.far)

    def capacity(self, seed: int, *, up: bool, own: bool = False) -> Capacity:
        """Return what it carries over time; a device's own link draws apart from links that are shared."""
        return self.link.capacity((0 if own else 1, *self.key), seed=seed, up=up != self.far)


@dataclass(frozen=True, slots=True)
class Route:
    """The links between a device and the place that it works for: its own, and those that it shares with others.

    own: None on the way between an aggregator and the server.
    """

    own: Hop | None
    shared: tuple[Hop, ...]

    @property
    def hops(self) -> tuple[Hop, ...]:
        """All its links, upwards."""
        return self.shared if self.own is None else (self.own, *self.shared)

    @property
    def name(self) -> str:
        """The name of its first link."""
        return self.hops[0].name

    @property
    def latency_s(self) -> float:
        """The one-way latency of the whole way."""
        return sum(hop.link.latency_s for hop in self.hops)

    def rate(self, *, up: bool, own: float = 1.0) -> float:
        """Return the nominal rate of a transfer that has the way to itself, in bytes per second.

        *own*: the share of its nominal rate that the device's own link has.
        """
        shared = min((hop.rate(up=up) for hop in self.shared), default=math.inf)
        return shared if self.own is None else min(self.own.rate(up=up) * own, shared)

    def on_wire(self, nbytes: float) -> float:
        """Return how many bytes are sent for *nbytes* to arrive: what is lost is sent again, all the way."""
        return nbytes / math.prod(1.0 - hop.link.loss for hop in self.hops)


@dataclass(frozen=True, slots=True)
class Topology:
    """Tiers and the server's link; without tiers a star. Raises InputError where a tier leads nowhere or back.

    The device or link with index i in its group or tier is behind link i modulo the count of the next tier, so that
    one more device displaces nobody.
    """

    server: Link
    tiers: tuple[Tier, ...] = ()
    _numbers: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_numbers", {tier.name: number for number, tier in enumerate(self.tiers)})
        for tier in self.tiers:
            self._check(tier)

    def route(self, device: Device, *, to_edge: bool = False) -> Route:
        """Return the way between *device* and the server or, *to_edge*, the first aggregator on it if there is one."""
        own, hops = Hop(device.link.name, device.key, device.link), tuple(self._upwards(device.behind, device.key[1]))
        length = next((n for n, hop in enumerate(hops, 1) if to_edge and hop.edge), len(hops))
        return Route(own, hops[:length])

    def route_from(self, edge: Hop) -> Route:
        """Return the way between the aggregator at the upper end of *edge* and the server."""
        return Route(None, self.above(edge))

    def edges(self) -> list[Hop]:
        """Return the links with an aggregator at their upper end."""
        return [self._hop(number, i) for number, t in enumerate(self.tiers) if t.edge for i in range(t.count)]

    def above(self, hop: Hop) -> tuple[Hop, ...]:
        """Return the links between *hop* and the server, the server's own last."""
        return tuple(self._upwards(self.tiers[hop.key[0]].behind, hop.key[1]))

    def crowd(self, fleet: Fleet, tier: Tier) -> tuple[int, int]:
        """Return how many devices are behind a link of *tier*: the last, which has the fewest, and the first."""
        ways = [(group.count, self._counts(group.behind, tier.name)) for group in fleet.groups]
        last, first = (sum(_behind(n, way, i) for n, way in ways if way) for i in (tier.count - 1, 0))
        return last, first

    def _counts(self, behind: str, name: str) -> list[int]:
        """Return the counts of the tiers from *behind* to *name*; empty: it is not on the way."""
        counts = []
        while behind != SERVER:
            tier = self.tiers[self._numbers[behind]]
            counts.append(tier.count)
            if tier.name == name:
                return counts
            behind = tier.behind
        return []

    def _upwards(self, behind: str, index: int) -> Iterator[Hop]:
        while behind != SERVER:
            number = self._numbers[behind]
            hop = self._hop(number, index % self.tiers[number].count)
            yield hop
            behind, index = self.tiers[number].behind, hop.key[1]
        yield Hop(SERVER, (-1, 0), self.server, far=True)

    def _hop(self, number: int, index: int) -> Hop:
        tier = self.tiers[number]
        return Hop(f"{tier.name}-{index}", (number, index), tier.link, tier.edge)

    def _check(self, tier: Tier) -> None:
        behind, seen = tier.behind, {tier.name}
        while behind != SERVER:
            if behind not in self._numbers:
                raise InputError(unknown("tier", behind, [*self._numbers, SERVER]))
            if behind in seen:
                raise InputError(f"tier {tier.name!r} is behind {tier.behind!r}, which leads back to {behind!r}")
            seen.add(behind)
            behind = self.tiers[self._numbers[behind]].behind


def _behind(n: int, counts: Sequence[int], link: int) -> int:
    """Return how many of devices 0 to *n* - 1 reach *link* of the last tier, tier after tier of so many links."""
    first, *others = counts
    if not others:
        return n // first + (link < n % first)
    return n // first * _behind(first, others, link) + _behind(n % first, others, link)
