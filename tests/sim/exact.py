"""Max-min fair sharing in exact fractions: slow, short, and evidently right, to compare the simulator's with."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from fractions import Fraction
from math import inf
from operator import itemgetter
from typing import NamedTuple

Number = int | float | Fraction


class Flow(NamedTuple):
    """Bytes that are there to be sent from ``start_s`` on, over each link of ``path`` at once, at most at ``cap``."""

    start_s: Number
    nbytes: Number
    path: tuple[Hashable, ...]
    cap: Number = inf


class Stretch(NamedTuple):
    """Bytes per second of the flows under way, by number, from one event to the next."""

    start_s: Fraction
    end_s: Fraction
    capacities: dict[Hashable, Number]
    rates: dict[int, Fraction]


def allocation(capacities: Mapping[Hashable, Number], flows: Mapping[Hashable, Flow]) -> dict[Hashable, Number]:
    """Fill all flows at one pace; whoever meets a full link, or its own cap, stays where it is."""
    room = {(link,): Fraction(rate) for link, rate in capacities.items() if rate != inf}
    room |= {("cap of", name): Fraction(flow.cap) for name, flow in flows.items() if flow.cap != inf}
    on = {link: {name for name, flow in flows.items() if _crosses(name, flow, link)} for link in room}
    rates: dict[Hashable, Number] = dict.fromkeys(flows, inf)
    while any(on.values()):
        pace, fullest = min(((room[link] / len(names), link) for link, names in on.items() if names), key=itemgetter(0))
        for name in tuple(on[fullest]):
            rates[name] = pace
            for link, names in on.items():
                room[link] -= pace if name in names else 0
                names.discard(name)
    return rates


def _crosses(name: Hashable, flow: Flow, link: tuple[Hashable, ...]) -> bool:
    return link == ("cap of", name) or (len(link) == 1 and link[0] in flow.path)


def transfers(
    capacities: Mapping[Hashable, Number],
    flows: Sequence[Flow],
    steps: Iterable[tuple[Number, Hashable, Number]] = (),
) -> tuple[list[Fraction], list[Stretch]]:
    """Return when each flow ends, and who had which rate until then.

    steps: instants at which a link has a new capacity. Raises ValueError where a flow would never end.
    """
    carries, todo = dict(capacities), sorted(steps, key=lambda step: step[0])
    left = [Fraction(flow.nbytes) for flow in flows]
    ended: list[Fraction | None] = [None] * len(flows)
    lived, now = [], Fraction(0)
    while None in ended:
        while todo and todo[0][0] <= now:
            _, link, carries[link] = todo.pop(0)
        waiting = [i for i, flow in enumerate(flows) if ended[i] is None and flow.start_s > now]
        here = {i: flow for i, flow in enumerate(flows) if ended[i] is None and flow.start_s <= now}
        rates = allocation(carries, here)
        for i in here:
            if left[i] == 0 or rates[i] == inf:
                ended[i] = now
        if any(ended[i] is not None for i in here):
            continue
        instants = [now + left[i] / rates[i] for i in here if rates[i]]
        then = min([*instants, *(Fraction(flows[i].start_s) for i in waiting), *(Fraction(s[0]) for s in todo[:1])])
        for i in here:
            left[i] -= rates[i] * (then - now)
        lived.append(Stretch(now, then, dict(carries), rates))
        now = then
    return ended, lived
