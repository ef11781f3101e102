"""How long bytes take: connections, shared links and interruption live here only."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

import simpy

from fedsim.fleet import NOMINAL, Capacity, Condition, Constant, Hop, Route, Transport
from fedsim.fleet.radio import Radio
from fedsim.sim.clock import Order, call_at
from fedsim.sim.flows import Flows


class Sent(NamedTuple):
    """What came of a transfer: bytes that crossed, the cause if it was cut, and who was in the way.

    ``bottleneck`` names the link that held it back longest; ``waited_s`` were lost to other transfers.
    """

    nbytes: int
    cut_by: str | None = None
    bottleneck: str = ""
    waited_s: float = 0.0


@dataclass(slots=True)
class _Channel:
    """One direction of a shared link while there are flows on it."""

    key: tuple[int, ...]
    name: str
    link: int
    capacity: Capacity
    flows: int = 0


@dataclass(slots=True, eq=False)
class _Flow:
    """Bytes on their way: ``capacity`` is that of the device's own link."""

    number: int
    capacity: Capacity
    channels: tuple[_Channel, ...]
    done: simpy.Event
    sent: tuple[float, str, float] | None = None  # bytes left, bottleneck, seconds lost; once it is over


class Network:
    """Links shared by flows at max-min fair rates, which change as flows come, end and are cut, and as links do.

    ``sent_bytes`` left a sender, ``received_bytes`` are of transfers that ended, ``cut_bytes``
    of those that did not: sent = received + cut.
    """

    def __init__(self, env: simpy.Environment, transport: Transport, *, seed: int) -> None:
        self.transport = transport
        self.sent_bytes = self.received_bytes = self.cut_bytes = 0
        self.env, self._seed = env, seed
        self._flows = Flows()
        self._moving: dict[int, _Flow] = {}
        self._channels: dict[tuple[int, ...], _Channel] = {}
        self._changes: list[tuple[float, int, _Flow | _Channel]] = []
        self._order = count()
        self._unsettled, self._armed_s = False, math.inf

    def move(self, route: Route, nbytes: int, *, up: bool) -> Generator[simpy.Event, None, Sent]:
        """Let *nbytes* flow, latency apart, and return what crossed; an interrupt cuts the flow, and is returned."""
        on_wire, cause = route.on_wire(nbytes), None
        if not nbytes or math.isinf(route.rate(up=up)):
            return self._counted(Sent(nbytes))
        flow = self._begin(route, on_wire, up=up)
        try:
            yield flow.done
        except simpy.Interrupt as cut:
            cause = str(cut.cause)
            if flow.sent is None:
                self._end(flow)
                self._settle_soon()
        assert flow.sent is not None
        left, bottleneck, waited_s = flow.sent
        crossed = nbytes if cause is None else min(nbytes, int(nbytes * (1 - left / on_wire) + 1e-6))
        return self._counted(Sent(crossed, cause, bottleneck or route.name, waited_s))

    def _counted(self, sent: Sent) -> Sent:
        self.sent_bytes += sent.nbytes
        if sent.cut_by is None:
            self.received_bytes += sent.nbytes
        else:
            self.cut_bytes += sent.nbytes
        return sent

    # --- Flows come and go ------------------------------------------------------------------------
    def _begin(self, route: Route, nbytes: float, *, up: bool) -> _Flow:
        now_s = self.env.now
        capacity = route.own.capacity(self._seed, up=up, own=True) if route.own else Constant(math.inf)
        channels = tuple(self._enter(hop, up=up) for hop in route.shared)
        path = [channel.link for channel in channels]
        number = self._flows.begin(now_s, nbytes, path=path, cap=capacity.rate(now_s))
        flow = self._moving[number] = _Flow(number, capacity, channels, self.env.event())
        self._await_change(flow, now_s)
        self._settle_soon()
        return flow

    def _enter(self, hop: Hop, *, up: bool) -> _Channel:
        key = (*hop.key, int(up and not hop.link.shared))
        channel = self._channels.get(key)
        if channel is None:
            capacity = hop.capacity(self._seed, up=up)
            link = self._flows.sharing.add_link(capacity.rate(self.env.now))
            channel = self._channels[key] = _Channel(key, hop.name, link, capacity)
            self._await_change(channel, self.env.now)
        channel.flows += 1
        return channel

    def _end(self, flow: _Flow) -> None:
        """Take a flow out, done or cut."""
        ended = self._flows.end(self.env.now, flow.number)
        name = next((channel.name for channel in flow.channels if channel.link == ended.bottleneck), "")
        flow.sent = ended.left, name, ended.waited_s
        del self._moving[flow.number]
        for channel in flow.channels:
            channel.flows -= 1
            if not channel.flows:
                self._flows.sharing.drop_link(channel.link)
                del self._channels[channel.key]

    # --- Instants -----------------------------------------------------------------------------------
    def _settle_soon(self) -> None:
        """Share anew at the end of this instant, once for all that happens at it."""
        if not self._unsettled:
            self._unsettled = True
            call_at(self.env, self.env.now, Order.SETTLE, then=self._settle)

    def _settle(self) -> None:
        self._unsettled = False
        self._flows.settle(self.env.now)
        next_s = min(self._flows.next_end_s, self._changes[0][0] if self._changes else math.inf)
        if next_s < self._armed_s:
            self._armed_s = next_s
            call_at(self.env, next_s, Order.COMPLETION, then=partial(self._wake, next_s))

    def _wake(self, at_s: float) -> None:
        """Do what is due, unless an earlier alarm has taken this one's place."""
        if at_s != self._armed_s:
            return
        self._armed_s = math.inf
        while self._changes and self._changes[0][0] <= at_s:
            self._change(heappop(self._changes)[2], at_s)
        for number in self._flows.ended_by(at_s):
            flow = self._moving[number]
            self._end(flow)
            flow.done.succeed()
        self._settle_soon()

    def _change(self, changed: _Flow | _Channel, at_s: float) -> None:
        """Take the rate of *at_s*, the instant named, from which the clock may be a rounding away."""
        rate = changed.capacity.rate(at_s)
        if isinstance(changed, _Channel) and changed.flows:
            self._flows.sharing.set_capacity(changed.link, rate)
        elif isinstance(changed, _Flow) and changed.sent is None:
            self._flows.sharing.set_cap(changed.number, rate)
        else:
            return
        self._await_change(changed, at_s)

    def _await_change(self, changing: _Flow | _Channel, since_s: float) -> None:
        at_s = changing.capacity.next_change(since_s)
        if at_s < math.inf:
            heappush(self._changes, (at_s, next(self._order), changing))


class Connection:
    """A connection to the place that one works for: opened by its first transfer, lost with a cut one.

    *now*: how the device's own link is, for what is predicted.
    """

    def __init__(self, network: Network, route: Route, radio: Radio, *, now: Condition = NOMINAL) -> None:
        self.name, self.route, self.radio = route.name, route, radio
        self._network, self._now, self.is_open = network, now, False

    def seconds(self, nbytes: int, *, up: bool, awake: bool) -> float:
        """Return the time of a transfer that nobody else and no cut disturbs, at the rates of *now*; open it."""
        rate = self.route.rate(up=up, own=self._now.up if up else self._now.down)
        flows_s = self.route.on_wire(nbytes) / rate if rate else math.inf if nbytes else 0.0
        delay_s = self._delay_s(nbytes, up=up, awake=awake)
        self.is_open = True
        return delay_s + flows_s

    def transfer(self, nbytes: int, *, up: bool, awake: bool) -> Generator[simpy.Event, None, Sent]:
        """Move *nbytes* and return what crossed; an interrupt cuts the transfer, and is returned.

        awake: the radio is, after an earlier transfer.
        """
        try:
            yield self._network.env.timeout(self._delay_s(nbytes, up=up, awake=awake))
        except simpy.Interrupt as cut:
            sent = Sent(0, str(cut.cause))
        else:
            sent = yield from self._network.move(self.route, nbytes, up=up)
        self.is_open = sent.cut_by is None
        return sent

    def nominal_w(self, *, up: bool) -> float:
        """Return what the radio draws, above idle, at the nominal rate."""
        rate = self.route.rate(up=up)
        return self.radio.transfer_j(1.0, rate if math.isfinite(rate) else 0.0, up=up)

    def joules(self, seconds: float, nbytes: int, *, up: bool) -> float:
        """Return what the radio draws, above idle, in *seconds* of which *nbytes* crossed, what was lost included."""
        return self.radio.transfer_j(seconds, self.route.on_wire(nbytes), up=up)

    def _delay_s(self, nbytes: int, *, up: bool, awake: bool) -> float:
        """Return the time in which nothing flows: the radio wakes, the connection opens, acknowledgements are due."""
        route, transport = self.route, self._network.transport
        round_trip_s = 2 * route.latency_s
        delay_s = 0.0 if awake else self.radio.promotion_s
        delay_s += 0.0 if self.is_open else transport.opening_s(round_trip_s, up=up)
        return delay_s + route.latency_s + transport.stalls_s(route.on_wire(nbytes), route.rate(up=up), round_trip_s)
