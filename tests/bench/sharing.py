"""How fast flows are shared anew as they come and go, and how that grows with their number.

    python tests/bench/sharing.py [--most 10000] [--repeats 3] [--seconds 1] [--only WORD]
    python tests/bench/sharing.py --profile 3000 --only random

n flows over about n/10 shared links, under steady churn: whenever one ends, or is cut (one in ten), another begins
elsewhere, so that an event is an end, a beginning and the sharing after both. Topologies:

* homes: a device's own link, that of its home (four devices), its street (ten homes), and the server's, whose capacity
  is ample: what happens in one home hardly concerns another.
* one link: all flows share one link, which is full: every event concerns all.
* random: each flow crosses three of n/10 links, drawn anew: everything hangs together.

"event" is the time of one in `Flows`, as the simulator uses it; "growth" the exponent with which it grew since the row
before (0: not at all, 1: as n); "touched" the flows that an event solved, on average; "anew" the time in which the same
arrays are solved for all flows, which is what every event would take at least if nothing were kept. Medians over
repeats, in processor time, since others may use the machine.
"""

from __future__ import annotations

import argparse
import cProfile
import math
import pstats
import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import pairwise

from fedsim.sim.flows import Flows
from fedsim.sim.sharing import OWN, Ints, Sharing

SIZES = (100, 300, 1_000, 3_000, 10_000)
CUT = 0.1
Draw = Callable[[], tuple[list[int], float]]  # a path, and the flow's own cap


def homes(flows: Flows, n: int, drawn: random.Random) -> Draw:
    """Return a drawing of devices in homes in streets; own links, being nobody else's, are caps."""
    add = flows.sharing.add_link
    server = add(n * 1e6)
    streets = [add(drawn.uniform(1e7, 4e7)) for _ in range(math.ceil(n / 40))]
    households = [add(drawn.uniform(1e6, 1e7)) for _ in range(math.ceil(n / 4))]

    def draw() -> tuple[list[int], float]:
        home = drawn.randrange(len(households))
        return [households[home], streets[home // 10 % len(streets)], server], drawn.uniform(1e5, 5e6)

    return draw


def one_link(flows: Flows, n: int, drawn: random.Random) -> Draw:
    """Return a drawing of flows that all cross one full link, each after one of n/10 others, which are not."""
    link = flows.sharing.add_link(n * 1e5)
    own = [flows.sharing.add_link(1e9) for _ in range(n // 10)]
    return lambda: ([drawn.choice(own), link], drawn.uniform(1e5, 5e6))


def at_random(flows: Flows, n: int, drawn: random.Random) -> Draw:
    """Return a drawing of three of n/10 links."""
    links = [flows.sharing.add_link(drawn.uniform(1e6, 1e7)) for _ in range(n // 10)]
    return lambda: (drawn.sample(links, 3), math.inf)


TOPOLOGIES = {"homes": homes, "one link": one_link, "random": at_random}


class Counted(Sharing):
    """Sharing that counts the flows it solves."""

    touched = 0

    def resolve(self) -> Ints:
        flows = super().resolve()
        self.touched += flows.size
        return flows


@dataclass(slots=True)
class Churn:
    """Flows of which each that leaves is followed by another."""

    topology: str
    n: int
    seed: int
    flows: Flows = field(default_factory=Flows)
    now_s: float = 0.0
    drawn: random.Random = field(init=False)
    draw: Draw = field(init=False)
    live: list[int] = field(init=False)

    def __post_init__(self) -> None:
        self.flows.sharing = Counted()
        self.drawn = random.Random(self.seed)
        self.draw = TOPOLOGIES[self.topology](self.flows, self.n, self.drawn)
        self.live = [self.begun() for _ in range(self.n)]
        self.flows.settle(0.0)

    def begun(self) -> int:
        """Begin a flow anywhere, of 0.1 to 10 MB, and return its number."""
        path, cap = self.draw()
        return self.flows.begin(self.now_s, self.drawn.uniform(1e5, 1e7), path=path, cap=cap)

    def event(self) -> None:
        """Let the next flow end, or cut one, begin another in its place, and share anew."""
        if self.drawn.random() < CUT:
            gone = [self.drawn.choice(self.live)]
        else:
            self.now_s = self.flows.next_end_s
            gone = self.flows.ended_by(self.now_s)
        for flow in gone:
            self.flows.end(self.now_s, flow)
            self.live[self.live.index(flow)] = self.begun()
        self.flows.settle(self.now_s)


@dataclass(frozen=True, slots=True)
class Row:
    """What one repeat found: seconds an event, seconds to solve all flows, and flows touched by an event."""

    event_s: float
    anew_s: float
    touched: float


def once(topology: str, n: int, *, seed: int, seconds: float) -> Row:
    """Run events for some *seconds*, after a few that settle the mix of old flows and new."""
    churn = Churn(topology, n, seed)
    for _ in range(50):
        churn.event()
    churn.flows.sharing.touched = events = 0
    start_s = time.process_time()
    while (taken_s := time.process_time() - start_s) < seconds:
        churn.event()
        events += 1
    return Row(taken_s / events, anew_s(churn.flows.sharing), churn.flows.sharing.touched / events)


def anew_s(sharing: Sharing, repeats: int = 10) -> float:
    """Return the seconds to solve all flows, and nothing else."""
    everyone = sharing._paths[:, 0] != OWN
    start_s = time.process_time()
    for _ in range(repeats):
        sharing._solve(everyone)
    return (time.process_time() - start_s) / repeats


def rows(topology: str, chosen: argparse.Namespace) -> dict[int, Row]:
    """Return medians for each n."""
    found = {}
    for n in (size for size in SIZES if size <= chosen.most):
        runs = [once(topology, n, seed=seed, seconds=chosen.seconds) for seed in range(chosen.repeats)]
        found[n] = Row(*(statistics.median(getattr(run, name) for run in runs) for name in Row.__slots__))
    return found


def show(topology: str, found: dict[int, Row]) -> None:
    """Print a row for each n."""
    growth = {
        now: math.log(found[now].event_s / found[then].event_s) / math.log(now / then) for then, now in pairwise(found)
    }
    for n, row in found.items():
        grew = f"{growth[n]:.2f}" if n in growth else "-"
        cells = f"{1e3 * row.event_s:.2f} | {1 / row.event_s:,.0f} | {grew} | {row.touched:,.0f}"
        print(f"| {topology} | {n:,} | {cells} | {1e3 * row.anew_s:.2f} | {row.anew_s / row.event_s:.1f} |")


def profile(topology: str, n: int, seconds: float) -> None:
    """Print where the time goes."""
    churn, profiler = Churn(topology, n, 0), cProfile.Profile()
    until_s = time.process_time() + seconds
    with profiler:
        while time.process_time() < until_s:
            churn.event()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(15)


def main() -> None:
    """Print a table, or a profile."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--most", type=int, default=SIZES[-1], metavar="FLOWS")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0, help="of each repeat")
    parser.add_argument("--only", default="", metavar="WORD")
    parser.add_argument("--profile", type=int, metavar="FLOWS")
    chosen = parser.parse_args()
    topologies = [topology for topology in TOPOLOGIES if chosen.only in topology]
    if chosen.profile:
        for topology in topologies:
            profile(topology, chosen.profile, chosen.seconds)
        return
    print("| topology | flows | event (ms) | events/s | growth | touched | anew (ms) | anew/event |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for topology in topologies:
        show(topology, rows(topology, chosen))


if __name__ == "__main__":
    main()
