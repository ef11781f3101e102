"""How long bytes take: latency, rate and interruption live here only."""

from __future__ import annotations

from collections.abc import Generator
from typing import NamedTuple

import simpy

from fedsim.fleet import Link


class Sent(NamedTuple):
    """What came of a transfer: bytes that crossed, and the cause if it was cut."""

    nbytes: int
    cut_by: str | None


class Network:
    """Links that nobody shares: a path is as fast as the slower of its two ends.

    ``sent_bytes`` left a sender, ``received_bytes`` are of transfers that ended, ``cut_bytes``
    of those that did not: sent = received + cut.
    """

    def __init__(self, env: simpy.Environment, server: Link) -> None:
        self._env, self._server = env, server
        self.sent_bytes = self.received_bytes = self.cut_bytes = 0

    def seconds(self, link: Link, nbytes: int, *, up: bool) -> float:
        """Return the time of an uncut transfer between a device's *link* and the server."""
        return self._latency_s(link) + nbytes / self._rate(link, up=up)

    def transfer(self, link: Link, nbytes: int, *, up: bool) -> Generator[simpy.Event, None, Sent]:
        """Move *nbytes* and return what crossed; an interrupt cuts the transfer, and is returned."""
        start_s = self._env.now
        try:
            yield self._env.timeout(self.seconds(link, nbytes, up=up))
        except simpy.Interrupt as cut:
            flowing_s = self._env.now - start_s - self._latency_s(link)
            crossed = min(nbytes, max(0, int(flowing_s * self._rate(link, up=up))))
            self.sent_bytes += crossed
            self.cut_bytes += crossed
            return Sent(crossed, str(cut.cause))
        self.sent_bytes += nbytes
        self.received_bytes += nbytes
        return Sent(nbytes, None)

    def _rate(self, link: Link, *, up: bool) -> float:
        if up:
            return min(link.up_bytes_per_s, self._server.down_bytes_per_s)
        return min(link.down_bytes_per_s, self._server.up_bytes_per_s)

    def _latency_s(self, link: Link) -> float:
        return link.latency_s + self._server.latency_s
