"""Hosts about a router, as network namespaces of this machine with links of given rates."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

HOSTS, ROUTER = "abcd", "r"
FRAME = 1514  # bytes of a full one, as tc counts
_BURST_S, _QUEUE_S, _QUEUE_FRAMES = 0.005, 0.1, 30


def address(host: str, side: int = 2) -> str:
    return f"10.99.{HOSTS.index(host)}.{side}"


def lacking() -> str:
    """Say what keeps this from measuring, or nothing."""
    absent = [tool for tool in ("ip", "tc") if shutil.which(tool) is None]
    if absent:
        return f"there is no {' and no '.join(absent)} here (iproute2)"
    return "" if os.geteuid() == 0 else "only root may make network namespaces"


@dataclass(frozen=True, slots=True)
class City:
    """Hosts about a router, as namespaces."""

    name: str
    congestion: str

    def build(self) -> None:
        """Make the namespaces and join them."""
        for place in HOSTS + ROUTER:
            _do("ip", "netns", "add", self._at(place))
            self._in(place, "ip", "link", "set", "lo", "up")
            self._in(place, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/tcp_no_metrics_save")
        self._in(ROUTER, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
        for host in HOSTS:
            self._join(host)

    def raze(self) -> None:
        """Remove what is there of the namespaces, and with them their links."""
        for place in HOSTS + ROUTER:
            subprocess.run(["ip", "netns", "del", self._at(place)], capture_output=True, check=False)

    def shape(self, rates_mbps: Mapping[str, float], ports: Sequence[int]) -> None:
        """Give each directed link its rate; and one queue, or one for each of *ports* and one for the rest."""
        for host in HOSTS:
            for link, place, device in ((f"{host}>", host, "out"), (f">{host}", ROUTER, f"to-{host}")):
                with suppress(RuntimeError):  # there is none to remove where the last case had none
                    self._in(place, "tc", "qdisc", "del", "dev", device, "root")
                if link in rates_mbps:
                    self._limit(place, device, rates_mbps[link] * 1e6, ports)

    @contextmanager
    def process(self, host: str, *words: str) -> Iterator[subprocess.Popen]:
        """Run Python in a host, for as long as the context lasts."""
        command = ["ip", "netns", "exec", self._at(host), sys.executable, *words]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
            try:
                yield running
            finally:
                running.kill()

    def _limit(self, place: str, device: str, rate_bps: float, ports: list[int]) -> None:
        bytes_per_s = rate_bps / 8
        burst = max(2 * FRAME, round(_BURST_S * bytes_per_s))
        limits = f"ceil {rate_bps:.0f}bit burst {burst} cburst {burst} quantum {FRAME}".split()
        frames = str(max(_QUEUE_FRAMES, round(_QUEUE_S * bytes_per_s / FRAME)))
        self._in(place, "tc", "qdisc", "add", "dev", device, "root", "handle", "1:", "htb", "default", "10")
        at = "tc", "class", "add", "dev", device, "parent"
        self._in(place, *at, "1:", "classid", "1:1", "htb", "rate", f"{rate_bps:.0f}bit", *limits)
        leaves = {port: 11 + i for i, port in enumerate(ports)}
        for leaf in (10, *leaves.values()):
            self._in(place, *at, "1:1", "classid", f"1:{leaf}", "htb", "rate", "8kbit", *limits)
            parent = "parent", f"1:{leaf}", "handle", f"{leaf}:"
            self._in(place, "tc", "qdisc", "add", "dev", device, *parent, "pfifo", "limit", frames)
        for port, leaf in leaves.items():
            match = "u32", "match", "ip", "dport", str(port), "0xffff", "flowid", f"1:{leaf}"
            self._in(place, "tc", "filter", "add", "dev", device, "parent", "1:", "protocol", "ip", *match)

    def _join(self, host: str) -> None:
        near, far = self._at(host), self._at(ROUTER)
        peer = "peer", "name", f"to-{host}", "netns", far
        _do("ip", "-n", near, "link", "add", "out", "type", "veth", *peer)
        for place, device, side in ((near, "out", 2), (far, f"to-{host}", 1)):
            _do("ip", "-n", place, "link", "set", device, "mtu", str(FRAME - 14), "gso_max_segs", "1", "up")
            _do("ip", "-n", place, "address", "add", f"{address(host, side)}/24", "dev", device)
        _do("ip", "-n", near, "route", "add", "default", "via", address(host, 1))

    def _in(self, place: str, *words: str) -> None:
        _do("ip", "netns", "exec", self._at(place), *words)

    def _at(self, place: str) -> str:
        return f"{self.name}-{place}"


def _do(*words: str) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: {done.stderr.strip()}")
