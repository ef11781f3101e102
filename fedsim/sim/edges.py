"""Aggregators between devices and the server: what their devices need they fetch once, what those send they combine."""

from __future__ import annotations

from collections.abc import Container, Generator, Sequence
from typing import TYPE_CHECKING, Any

import simpy

from fedsim.fleet import Device, Hop, Route, Topology
from fedsim.fleet.radio import Line, Radio
from fedsim.sim.network import Connection
from fedsim.sim.place import Host, Place
from fedsim.sim.pricing import Either
from fedsim.timeline.recorder import SERVER, Span
from fedsim.work import Ref, Reply, missing_at

if TYPE_CHECKING:
    from fedsim.sim.simulation import Simulation

_UNBILLED = Radio(Line(0.0), Line(0.0))  # a server's line has no price either


class Edge:
    """An aggregator, with a place of its own and a connection to the server.

    What devices are to receive the server prepares; it crosses the links between once, and is held from then on.
    """

    def __init__(self, sim: Simulation, hop: Hop, *, number: int, route: Route) -> None:
        assert hop.edge is not None
        self.place = Place(sim.env, hop.edge, name=hop.name, pricing=sim.pricing, recorder=sim.recorder)
        self._sim, self._number = sim, number
        self._connection = Connection(sim.network, route, _UNBILLED)
        self._coming: dict[str, simpy.Process] = {}

    def ensure(self, refs: Sequence[Ref], version: int) -> simpy.Event | None:
        lacking = {ref.key: ref for ref in refs if ref.key not in self.place.holds}
        new = tuple(ref for key, ref in lacking.items() if key not in self._coming)
        if new:
            fetching = self._sim.edges.start(self._fetch(new, version))
            self._coming.update((ref.key, fetching) for ref in new)
        return self._sim.env.all_of(dict.fromkeys(self._coming[key] for key in lacking)) if lacking else None

    def receive(self, refs: Sequence[Ref]) -> None:
        self.place.receive(refs)

    def drop(self, refs: Sequence[Ref], *, but: Container[str]) -> None:
        self.place.drop(refs, but=but)

    def report(self, replies: Sequence[Reply], version: int) -> Generator[simpy.Event, None, Reply | None]:
        """Send on what the method makes of *replies*, and return that as one; None if the end of the run cuts it."""
        up = self._sim.combine(replies)
        yield from self._prepare(up, version)
        if not (yield from self._transfer("upload", up, version=version)):
            return None
        self._sim.server.receive(up)
        stands_for = len(self._sim.fleet) + self._number
        return Reply(stands_for, up, (), version, samples=sum(reply.samples for reply in replies))

    def _prepare(self, wanted: tuple[Ref, ...], version: int) -> Generator[simpy.Event, None, None]:
        """Compute *wanted* here, having fetched what that takes of what the server holds."""
        holds = self.place.holds
        jobs = missing_at(self.place.name, Either(holds, self._sim.server.holds), wanted)
        here = Either(holds, {ref.key for ref in jobs})
        needed = (*wanted, *(parent for ref in jobs for parent in ref.parents()))
        fetched = self.ensure([ref for ref in needed if ref.key not in here], version)
        if fetched is not None:
            yield fetched
        made = self.place.ensure(wanted, version)
        if made is not None:
            yield made

    def _fetch(self, refs: tuple[Ref, ...], version: int) -> Generator[simpy.Event, None, None]:
        """Let the server prepare *refs*, and send them here."""
        try:
            ready = self._sim.server.ensure(refs, version)
            if ready is not None:
                yield ready
        except simpy.Interrupt:
            return
        if (yield from self._transfer("download", refs, version=version)):
            self.place.holds.update(ref.key for ref in refs)
            for ref in refs:
                del self._coming[ref.key]

    def _transfer(self, kind: str, refs: tuple[Ref, ...], *, version: int) -> Generator[simpy.Event, None, bool]:
        """Move *refs* from or to the server, and tell whether all of it crossed."""
        env, connection, nbytes = self._sim.env, self._connection, self._sim.pricing.nbytes(refs)
        start_s = env.now
        sent = yield from connection.transfer(nbytes, up=kind == "upload", awake=True)
        span = Span(
            self.place.name, SERVER, kind, connection.name, "", start_s, env.now, sent.nbytes, 0.0, version,
            sent.bottleneck, sent.waited_s,
        )  # fmt: skip
        self.place.note(span, "done" if sent.cut_by is None else "cut")
        return sent.cut_by is None


class Edges:
    """The aggregators of a topology, each made when first needed; only a schedule ``at_edges`` has devices at them.

    Where a way passes several, the first counts: those above it pass on what crosses their links.
    """

    def __init__(self, sim: Simulation, topology: Topology) -> None:
        self._sim, self._topology, self._used = sim, topology, sim.schedule.at_edges
        self._numbers = {hop.key: n for n, hop in enumerate(topology.edges())} if self._used else {}
        self._made: dict[tuple[int, int], Edge] = {}
        self._live: dict[simpy.Process, None] = {}

    def route(self, device: Device) -> Route:
        """Return the way between *device* and whom it works for."""
        return self._topology.route(device, to_edge=self._used)

    def host(self, device: Device) -> Host:
        """Return whom *device* works for."""
        end = self.route(device).shared[-1]
        return self._edge(end) if end.edge else self._sim.server

    def start(self, work: Generator[simpy.Event, None, Any]) -> simpy.Process:
        """Begin *work* at an edge, which the end of the run interrupts."""
        process = self._sim.env.process(work)
        self._live[process] = None
        process.callbacks.append(lambda _: self._live.pop(process))
        return process

    def stop(self) -> list[simpy.Process]:
        """Interrupt all that is under way, and return it."""
        live = [process for process in self._live if process.is_alive]
        for process in live:
            process.interrupt("stop")
        return live

    def close(self) -> None:
        """Bill the idle power of every edge, those included that nobody worked for."""
        for hop in self._topology.edges() if self._used else ():
            self._edge(hop).place.close()

    def _edge(self, hop: Hop) -> Edge:
        if hop.key not in self._made:
            route = self._topology.route_from(hop)
            self._made[hop.key] = Edge(self._sim, hop, number=self._numbers[hop.key], route=route)
        return self._made[hop.key]
