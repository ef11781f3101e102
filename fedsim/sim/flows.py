"""Bytes in flight over shared links: when each flow ends, who held it back, and for how long."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fedsim.errors import InputError, unknown
from fedsim.sim.sharing import OWN, Floats, Ints, Sharing


class Ended(NamedTuple):
    """A flow that ended or was cut: bytes not sent, the limit that held longest, and seconds lost to other flows.

    ``bottleneck`` is a link's number or OWN; ``waited_s`` adds up 1 - rate / (rate alone) over the time.
    """

    left: float
    bottleneck: int
    waited_s: float


class Flows:
    """Flows that move at fair rates between events; between `begin`, `end` or a change and `settle` no time passes."""

    def __init__(self) -> None:
        self.sharing = Sharing()
        self._left = self._rate = self._since_s = self._waited_s = self._alone = self._held_since_s = np.zeros(0)
        self._end_s = np.full(0, math.inf)
        self._by: Ints = np.zeros(0, dtype=np.int64)
        self._held: dict[int, dict[int, float]] = {}

    @property
    def next_end_s(self) -> float:
        """When the next flow ends, if nothing happens before; inf: none does."""
        return float(self._end_s.min()) if self._held else math.inf

    def begin(self, at_s: float, nbytes: float, *, path: Iterable[int], cap: float = math.inf) -> int:
        """Start a flow of *nbytes* > 0, and return its number."""
        flow = self.sharing.add(path, cap)
        if flow >= len(self._left):
            self._grow(len(self.sharing.rate))
        self._left[flow], self._since_s[flow], self._held_since_s[flow] = nbytes, at_s, at_s
        self._rate[flow], self._waited_s[flow], self._alone[flow], self._by[flow] = 0.0, 0.0, 1.0, OWN
        self._held[flow] = {}
        return flow

    def end(self, at_s: float, flow: int) -> Ended:
        """Take a flow out, done or not."""
        self._advance(at_s, np.array([flow]))
        self._hold(at_s, flow)
        self.sharing.remove(flow)
        self._end_s[flow] = math.inf
        held = self._held.pop(flow)
        longest = max(held, key=lambda by: (held[by], by), default=OWN)
        return Ended(float(self._left[flow]), longest, float(self._waited_s[flow]))

    def ended_by(self, at_s: float) -> list[int]:
        """Return the flows that are done at *at_s*."""
        return [int(flow) for flow in np.flatnonzero(self._end_s <= at_s)] if at_s < math.inf else []

    def settle(self, at_s: float) -> None:
        """Share anew after what happened at *at_s*."""
        flows = self.sharing.resolve()
        if not flows.size:
            return
        self._advance(at_s, flows)
        rate, by = self.sharing.rate[flows], self.sharing.bottleneck[flows]
        for flow in flows[by != self._by[flows]].tolist():
            self._hold(at_s, flow)
        self._rate[flows], self._by[flows], self._alone[flows] = rate, by, self.sharing.alone(flows)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            self._end_s[flows] = at_s + np.where(rate > 0, self._left[flows] / rate, math.inf)

    def _advance(self, at_s: float, flows: Ints) -> None:
        """Move the bytes that went at the old rates."""
        seconds, rate = at_s - self._since_s[flows], self._rate[flows]
        self._left[flows] = np.maximum(self._left[flows] - rate * seconds, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            lost = np.where(self._alone[flows] > 0, 1 - rate / self._alone[flows], 0.0)
        self._waited_s[flows] += seconds * np.maximum(lost, 0.0)
        self._since_s[flows] = at_s

    def _hold(self, at_s: float, flow: int) -> None:
        """Note how long what has held *flow* back until now has done so."""
        by, held = int(self._by[flow]), self._held[flow]
        if at_s > self._held_since_s[flow]:
            held[by] = held.get(by, 0.0) + at_s - float(self._held_since_s[flow])
        self._by[flow], self._held_since_s[flow] = self.sharing.bottleneck[flow], at_s

    def _grow(self, many: int) -> None:
        def grown(array: Floats, fill: float = 0.0) -> Floats:
            return np.concatenate([array, np.full(many - len(array), fill)])

        self._left, self._rate, self._since_s = grown(self._left), grown(self._rate), grown(self._since_s)
        self._waited_s, self._alone = grown(self._waited_s), grown(self._alone)
        self._held_since_s, self._end_s = grown(self._held_since_s), grown(self._end_s, math.inf)
        self._by = np.concatenate([self._by, np.full(many - len(self._by), OWN)])


def transfer_times(links: Mapping[str, float], flows: Sequence[tuple[float, float, Sequence[str]]]) -> list[float]:
    """Return when each flow ends under max-min fair sharing, in seconds; there is no latency.

    links: {name: bytes per second}; flows: [(start in seconds, bytes, [link names])], a flow crosses all its links at
    once. A flow without bytes, or without a link of finite rate, ends as it starts. Raises InputError for an unknown
    link, a rate that is not above 0, a start or a size below 0.

    >>> transfer_times({"up": 10.0}, [(0.0, 100.0, ["up"]), (5.0, 20.0, ["up"])])
    [12.0, 9.0]
    """
    _check(links, flows)
    moving, ends_s = Flows(), [float(start_s) for start_s, _, _ in flows]
    number = {name: moving.sharing.add_link(rate) for name, rate in links.items()}
    coming = [(start_s, i) for i, (start_s, nbytes, path) in enumerate(flows) if nbytes and _limited(links, path)]
    heapq.heapify(coming)
    index: dict[int, int] = {}
    while coming or index:
        now_s = min(coming[0][0] if coming else math.inf, moving.next_end_s)
        if math.isinf(now_s):  # later than a float can tell
            return [math.inf if i in index.values() else end_s for i, end_s in enumerate(ends_s)]
        for flow in moving.ended_by(now_s):
            moving.end(now_s, flow)
            ends_s[index.pop(flow)] = now_s
        while coming and coming[0][0] <= now_s:
            _, i = heapq.heappop(coming)
            _, nbytes, path = flows[i]
            index[moving.begin(now_s, nbytes, path=[number[name] for name in path])] = i
        moving.settle(now_s)
    return ends_s


def _limited(links: Mapping[str, float], path: Sequence[str]) -> bool:
    return any(math.isfinite(links[name]) for name in path)


def _check(links: Mapping[str, float], flows: Sequence[tuple[float, float, Sequence[str]]]) -> None:
    for name, rate in links.items():
        if not rate > 0:
            raise InputError(
                f"link {name!r} carries {rate!r} bytes/s, so nothing would ever arrive; give a rate above 0"
            )
    for i, (start_s, nbytes, path) in enumerate(flows):
        for what, value in (("start", start_s), ("size", nbytes)):
            if not (value >= 0 and math.isfinite(value)):
                raise InputError(f"flow {i}: its {what} is {value!r}; give a finite number from 0")
        for name in path:
            if name not in links:
                raise InputError(f"flow {i}: {unknown('link', name, links)}")
