"""How long real TCP takes over links that it shares, and what `fedsim.transfer_times` says: twenty cases.

    python -m tests.bench.tcp [--only WORD] [--congestion cubic]

Four hosts about a router, each a network namespace of this machine, joined by veth pairs. Each of the eight directed
links, ``a>`` from host a to the router and ``>a`` from the router to a, has the rate of the case, kept by tc's htb, or
none, which counts as infinite. A process sends, another receives; both were connected before. The time of a flow is
from the common start of its case to the instant at which the receiver has its last byte, by the one monotonic clock.

* Rates count whole frames, as tc does. Of 1514 bytes of a full one, 1448 are payload (14 Ethernet, 20 IP, 32 TCP with
  time stamps), so that predictions take 1448/1514 of each rate. Nothing else is put into them: no acknowledgements
  (66 bytes for two frames, 2 % of the other direction), no latency (there is none but that of queues), no slow start.
* Frames leave one by one (GSO and TSO are off), no more than 5 ms of a rate at once; a queue holds 100 ms of its rate,
  30 frames at least. Nothing is remembered from one connection to the next.
* A link that several flows share is run twice. "fair": each flow has its own queue, and htb serves the queues in turn,
  which is what max-min assumes. "fifo": one queue for all, where who gets what is up to TCP's congestion control.
* Cubic, as on most machines; --congestion takes another that the kernel has.

What to expect (Linux 6.18, two cores, busy with other work; two runs): with fair queues all 29 transfers are within
0.6 %, 0.2 % on average. Alone on their links, within 0.5 %; where data flows both ways they take 1 to 5 % longer, about
what the acknowledgements take. With one queue for all, the last of a case still ends when predicted, to 2 %, and so do
those that a slower link of their own holds back, to 5 %; but equals do not end together, and not alike from run to
run: 15 and 18 of 29 were within 5 %, mean 8 %, the worst ended after two thirds of its time. Of two equal transfers at
10 Mbit/s the first was ahead by 0.2 to 0.5 s as a rule, at 2 MB as at 10 MB (three runs each), so that it probably is
the losses of their starts that decide it, and the longer the transfers the less it matters; 400 ms of queue made it
worse, 30 ms hardly better. Reno and BBR, in a few runs, were less fair than Cubic.

Needs root, ip and tc (htb, u32, pfifo), and three minutes in which the machine is not overloaded; says so, and that it
measured nothing, where it lacks one of the former. Its namespaces go when it ends, interrupted or not.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from math import inf

from tests.bench.namespaces import FRAME, City, address, lacking

PAYLOAD = 1448  # bytes in a full frame
PORT = 5000  # of the first flow; the others follow
_ME = "-m", "tests.bench.tcp"
LONG_S, CLOSE = 1.0, 0.05
MB = 1e6


@dataclass(frozen=True, slots=True)
class Flow:
    """Bytes from one host to another, in MB, from some seconds after the start of its case."""

    source: str
    target: str
    mb: float
    start_s: float = 0.0

    @property
    def path(self) -> tuple[str, str]:
        return f"{self.source}>", f">{self.target}"


@dataclass(frozen=True, slots=True)
class Case:
    """Rates in Mbit/s of the directed links that have one, and who sends what."""

    name: str
    rates: dict[str, float]
    flows: tuple[Flow, ...]

    @property
    def queues(self) -> tuple[str, ...]:
        """The ways to queue that can differ: on a link that nobody shares there is but one."""
        crossed = [link for flow in self.flows for link in flow.path if link in self.rates]
        return ("fifo", "fair") if len(crossed) > len(set(crossed)) else ("fifo",)


CASES = (
    Case("slow", {"a>": 2}, (Flow("a", "b", 0.6),)),
    Case("moderate", {"a>": 5}, (Flow("a", "b", 2),)),
    Case("fast", {"a>": 20}, (Flow("a", "b", 8),)),
    Case("faster", {"a>": 50}, (Flow("a", "b", 16),)),
    Case("two links in a row", {"a>": 10, ">b": 4}, (Flow("a", "b", 1.5),)),
    Case("short", {"a>": 10}, (Flow("a", "b", 0.1),)),
    Case("two alike", {">b": 10}, (Flow("a", "b", 2), Flow("c", "b", 2))),
    Case("two sizes", {">b": 10}, (Flow("a", "b", 1), Flow("c", "b", 3))),
    Case("three alike", {">b": 15}, (Flow("a", "b", 2), Flow("c", "b", 2), Flow("d", "b", 2))),
    Case("three sizes", {">b": 20}, (Flow("a", "b", 1.5), Flow("c", "b", 3), Flow("d", "b", 5))),
    Case("second later", {">b": 10}, (Flow("a", "b", 3), Flow("c", "b", 1, 1.0))),
    Case("one after another", {">b": 12}, (Flow("a", "b", 3), Flow("c", "b", 1.5, 0.8), Flow("d", "b", 1, 1.6))),
    Case("one process, two peers", {"a>": 10}, (Flow("a", "b", 2), Flow("a", "c", 1.5))),
    Case("own link is slower", {"a>": 3, ">b": 10}, (Flow("a", "b", 1), Flow("c", "b", 2.5))),
    Case(
        "three own links",
        {"a>": 2, "c>": 4, "d>": 20, ">b": 10},
        (Flow("a", "b", 0.8), Flow("c", "b", 1.2), Flow("d", "b", 2)),
    ),
    Case("slower one first", {"a>": 4, ">b": 10}, (Flow("a", "b", 1.5), Flow("c", "b", 2, 1.0))),
    Case("slow receiver", {"a>": 10, ">b": 3}, (Flow("a", "b", 1), Flow("a", "c", 2.5))),
    Case(
        "both ways",
        {"a>": 10, ">a": 10, "b>": 10, ">b": 10},
        (Flow("a", "b", 3.5), Flow("b", "a", 3.5)),
    ),
    Case("both ways, up is slower", {"a>": 5, ">a": 10}, (Flow("a", "b", 1.8), Flow("b", "a", 3.5))),
    Case("parking lot", {"a>": 8, ">b": 8}, (Flow("a", "b", 1.5), Flow("a", "c", 1.5), Flow("d", "b", 2))),
)


def predicted(case: Case) -> list[float]:
    """Return what fedsim says of each flow, in seconds from the start of the case."""
    from fedsim import transfer_times

    links = {link: inf for flow in case.flows for link in flow.path}
    links |= {link: mbps * 1e6 / 8 * PAYLOAD / FRAME for link, mbps in case.rates.items()}
    return transfer_times(links, [(flow.start_s, int(flow.mb * MB), flow.path) for flow in case.flows])


def measured(city: City, case: Case, queue: str) -> list[float]:
    """Return what TCP does: the same instants."""
    city.shape(case.rates, range(PORT, PORT + len(case.flows)) if queue == "fair" else ())
    with ExitStack() as running:
        receivers, senders = [], []
        for number, flow in enumerate(case.flows):
            wanted = str(PORT + number), str(int(flow.mb * MB))
            receivers.append(running.enter_context(city.process(flow.target, *_ME, "receive", *wanted)))
            _heard(receivers[-1], "listening")
            to = address(flow.target), city.congestion, str(flow.start_s)
            senders.append(running.enter_context(city.process(flow.source, *_ME, "send", *wanted, *to)))
            _heard(senders[-1], "connected")
        start_s = time.monotonic() + 0.2
        for sender in senders:
            print(start_s, file=sender.stdin, flush=True)
        return [float(receiver.stdout.readline()) - start_s for receiver in receivers]


def _heard(process: subprocess.Popen, word: str) -> None:
    said = process.stdout.readline().strip()
    if said != word:
        raise RuntimeError(f"{process.args} said {said!r} instead of {word!r}")


def receive(port: int, nbytes: int) -> None:
    """Take *nbytes* from whoever connects, and say at which instant the last came."""
    with socket.create_server(("", port)) as server:
        print("listening", flush=True)
        peer, _ = server.accept()
    with peer:
        while nbytes:
            got = len(peer.recv(min(nbytes, 1 << 16)))
            if not got:
                raise ConnectionError(f"the sender left {nbytes} bytes short")
            nbytes -= got
        print(time.monotonic(), flush=True)


def send(port: int, nbytes: int, target: str, congestion: str, start_s: float) -> None:
    """Connect, read on stdin when the case starts, and send *nbytes* from *start_s* after that."""
    with socket.create_connection((target, port)) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, congestion.encode())
        print("connected", flush=True)
        time.sleep(max(0.0, float(sys.stdin.readline()) + start_s - time.monotonic()))
        peer.sendall(bytes(nbytes))
        peer.shutdown(socket.SHUT_WR)
        peer.recv(1)  # until the receiver leaves


def compare(city: City, cases: list[Case]) -> dict[str, list[tuple[float, float]]]:
    """Print a row for each flow of each case; return its predicted and measured seconds, by kind of queue."""
    print("| case | queue | rates (Mbit/s) | flow | MB | from (s) | predicted (s) | measured (s) | error (%) |")
    print("| --- | --- | --- | --- | ---: | ---: | ---: | ---: | ---: |")
    pairs: dict[str, list[tuple[float, float]]] = {}
    for case in cases:
        rates = ", ".join(f"{link} {rate:g}" for link, rate in case.rates.items())
        for queue in case.queues:
            kind = queue if len(case.queues) > 1 else "alone"
            for flow, said, was in zip(case.flows, predicted(case), measured(city, case, queue), strict=True):
                taken = said - flow.start_s, was - flow.start_s
                pairs.setdefault(kind, []).append(taken)
                path = f"{flow.source} to {flow.target} | {flow.mb:g} | {flow.start_s:g}"
                print(f"| {case.name} | {kind} | {rates} | {path} | {said:.2f} | {was:.2f} | {_error(*taken):+.1f} |")
    return pairs


def _error(said: float, was: float) -> float:
    """Return by how many percent of the measured duration the predicted one is too long."""
    return 100 * (said / was - 1)


def summarise(pairs: dict[str, list[tuple[float, float]]]) -> None:
    """Print how far predictions are off, of the transfers that took longer than a second."""
    for kind, taken in pairs.items():
        errors = [abs(_error(said, was)) for said, was in taken if was > LONG_S]
        if errors:
            near = sum(error <= 100 * CLOSE for error in errors)
            print(
                f"{kind}: {near} of {len(errors)} transfers over {LONG_S:g} s within {100 * CLOSE:g} %;"
                f" mean error {statistics.mean(errors):.1f} %, worst {max(errors):.1f} %"
            )


def main() -> None:
    """Measure all cases, or those whose name holds a word."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--congestion", default="cubic")
    chosen = parser.parse_args()
    if reason := lacking():
        print(f"measured nothing: {reason}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what follows "finally" is done
    city = City(f"fedsim-tcp-{os.getpid()}", chosen.congestion)
    try:
        city.build()
        summarise(compare(city, [case for case in CASES if chosen.only in case.name]))
    finally:
        city.raze()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["receive", port, nbytes]:
            receive(int(port), int(nbytes))
        case ["send", port, nbytes, target, congestion, start_s]:
            send(int(port), int(nbytes), target, congestion, float(start_s))
        case _:
            main()
