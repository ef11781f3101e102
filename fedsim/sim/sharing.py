"""Max-min fair shares of links among the flows on them; an event solves again only what it touches.

A flow's rate is limited by its own cap or by one link of its path, its bottleneck: a link that is used up and on
which no flow has more. Rates of which every one has such a limit are the max-min fair ones, and there are no others
(Bertsekas and Gallager, Data Networks, section 6.5). An event unfreezes the flows that are bound where it happened.
They are solved while all others keep their rates; whoever then lacks a bottleneck is unfrozen too, until nobody does.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

OWN = -1  # the bottleneck of a flow that its own cap limits
_NOWHERE = 0  # pads paths to one length: a link without a limit
_TIE = 1e-11  # rates this close, relative, are the same: sums of floats differ in their last digits
_FEW = 4


class _Solved(NamedTuple):
    """Rates and bottlenecks of *flows*, and what *links*, those they touch, then carry."""

    flows: Ints
    rate: Floats
    bottleneck: Ints
    links: Ints
    local: Ints  # (flows, hops): the paths, as positions in *links*
    used: Floats


class Sharing:
    """Links and flows by number; rates in bytes per second, of use after `resolve`."""

    def __init__(self) -> None:
        self.rate: Floats = np.zeros(16)
        self.bottleneck: Ints = np.full(16, OWN)
        self._cap: Floats = np.zeros(16)
        self._paths: Ints = np.zeros((16, 1), dtype=np.int64)
        self._capacity: Floats = np.array([np.inf] + [0.0] * 15)
        self._used: Floats = np.zeros(16)
        self._bound: Ints = np.zeros(16, dtype=np.int64)  # flows whose bottleneck a link is
        self._count: Ints = np.zeros(16, dtype=np.int64)
        self._position: Ints = np.zeros(16, dtype=np.int64)  # of links; scratch
        self._on: list[set[int]] = [set() for _ in range(16)]
        self._free_flows, self._free_links = list(range(15, -1, -1)), list(range(15, 0, -1))
        self._changed: set[int] = set()
        self._touched: set[int] = set()

    # --- What happens ---------------------------------------------------------------------------
    def add_link(self, capacity: float) -> int:
        """Return the number of a new link."""
        if not self._free_links:
            self._more_links()
        link = self._free_links.pop()
        self._capacity[link] = capacity
        return link

    def drop_link(self, link: int) -> None:
        """Forget a link that no flow is on; its number may be given again."""
        self._free_links.append(link)

    def add(self, path: Iterable[int], cap: float = np.inf) -> int:
        """Return the number of a new flow over the links of *path*, at most *cap* fast.

        Its own cap or one of its links must be finite.
        """
        links = sorted(set(path))
        if not self._free_flows:
            self._more_flows()
        if len(links) > self._paths.shape[1]:
            wider = np.zeros((len(self._paths), len(links) - self._paths.shape[1]), dtype=np.int64)
            self._paths = np.concatenate([self._paths, wider], axis=1)
        flow = self._free_flows.pop()
        self._paths[flow] = links + [_NOWHERE] * (self._paths.shape[1] - len(links))
        self._cap[flow], self.rate[flow], self.bottleneck[flow] = cap, 0.0, OWN
        for link in links:
            self._on[link].add(flow)
            self._count[link] += 1
        self._changed.add(flow)
        return flow

    def remove(self, flow: int) -> None:
        """Take a flow away; its number may be given again."""
        rate = self.rate[flow]
        if self.bottleneck[flow] != OWN:
            self._bound[self.bottleneck[flow]] -= 1
        for link in self.path(flow):
            self._on[link].remove(flow)
            self._count[link] -= 1
            self._used[link] = self._used[link] - rate if self._count[link] else 0.0
            self._touched.add(link)
        self._changed.discard(flow)
        self._free_flows.append(flow)

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change what a link carries."""
        self._capacity[link] = capacity
        self._touched.add(link)

    def set_cap(self, flow: int, cap: float) -> None:
        """Change how fast a flow may be at most."""
        self._cap[flow] = cap
        self._changed.add(flow)

    def path(self, flow: int) -> list[int]:
        """Return the links of a flow."""
        return [link for link in self._paths[flow].tolist() if link != _NOWHERE]

    def alone(self, flows: Ints) -> Floats:
        """Return the rate that each flow would have, were there no other."""
        alone: Floats = np.minimum(self._cap[flows], self._capacity[self._paths[flows]].min(axis=1))
        return alone

    # --- What follows -----------------------------------------------------------------------------
    def resolve(self) -> Ints:
        """Make all rates fair again, and return the flows whose rate or bottleneck may have changed."""
        done: list[int] = []
        if len(self._changed) <= _FEW:
            done = [flow for flow in sorted(self._changed) if self._fits(flow)]
            self._changed.difference_update(done)
        flows = self._unfrozen()
        self._changed.clear()
        self._touched.clear()
        if not flows.size:
            return np.array(done, dtype=np.int64)
        solved = self._solve(flows)
        while (more := self._unfair(solved)).size:
            solved = self._solve(np.concatenate([solved.flows, more]))
        self._commit(solved)
        return np.unique(np.concatenate([solved.flows, np.array(done, dtype=np.int64)])) if done else solved.flows

    def _fits(self, flow: int) -> bool:
        """Give *flow* all that it may have, if every link on its path has room for that and binds nobody."""
        cap, path = self._cap[flow], self.path(flow)
        more = cap - self.rate[flow]
        if self.bottleneck[flow] != OWN or any(
            self._bound[link] or self._used[link] + more > self._capacity[link] for link in path
        ):
            return False
        for link in path:
            self._used[link] += more
        self.rate[flow] = cap
        return True

    def _unfrozen(self) -> Ints:
        """Return the flows that changed, and those bound on a link where something did or that is overfull."""
        found, links = set(self._changed), set(self._touched)
        for flow in self._changed:
            links.update(self.path(flow))
        for link in links:
            on = self._on[link]
            if self._used[link] > self._capacity[link] * (1 + _TIE):
                found |= on
            elif self._bound[link]:
                found.update(flow for flow in on if self.bottleneck[flow] == link)
        return np.fromiter(found, dtype=np.int64, count=len(found))

    def _solve(self, flows: Ints) -> _Solved:
        """Share among *flows* what all others leave them."""
        links, local = self._localised(self._paths[flows])
        hops, many = local.shape[1], len(links)
        here = np.bincount(local.ravel(), minlength=many)
        taken = np.bincount(local.ravel(), np.repeat(self.rate[flows], hops), many)
        others = np.where(here == self._count[links], 0.0, self._used[links] - taken)
        rate, bottleneck = _filled(np.maximum(self._capacity[links] - others, 0.0), local, self._cap[flows])
        used: Floats = others + np.bincount(local.ravel(), np.repeat(rate, hops), many)
        bottleneck = np.where(bottleneck == OWN, OWN, links[bottleneck])
        return _Solved(flows, rate, bottleneck, links, local, used)

    def _unfair(self, solved: _Solved) -> Ints:
        """Return the flows left out of *solved* that have more than those it binds, or are bound no longer."""
        inside = np.zeros(len(self.rate), dtype=np.bool_)
        inside[solved.flows] = True
        here = np.bincount(solved.local.ravel(), minlength=len(solved.links))
        binds = np.zeros(len(self._capacity), dtype=np.bool_)
        binds[solved.bottleneck[solved.bottleneck != OWN]] = True
        shared = (self._count[solved.links] > here) & (binds[solved.links] | (self._bound[solved.links] > 0))
        found = [self._unfair_on(int(at), solved, inside) for at in np.flatnonzero(shared) if solved.links[at]]
        return np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)

    def _unfair_on(self, place: int, solved: _Solved, inside: NDArray[np.bool_]) -> Ints:
        """Return those on one link: *place* is its position in *solved*."""
        link = int(solved.links[place])
        on = np.fromiter(self._on[link], dtype=np.int64, count=len(self._on[link]))
        outside = on[~inside[on]]
        rates, bound = self.rate[outside], self.bottleneck[outside] == link
        mine = solved.rate[(solved.local == place).any(axis=1)]
        level = solved.rate[solved.bottleneck == link]
        least = level.min() if level.size else np.inf
        full = solved.used[place] >= self._capacity[link] * (1 - _TIE)
        held_back = bound & (rates < mine.max() * (1 - _TIE)) if full else bound
        unfair: Ints = outside[(rates > least * (1 + _TIE)) | held_back]
        return unfair

    def _commit(self, solved: _Solved) -> None:
        before = self.bottleneck[solved.flows]
        np.subtract.at(self._bound, before[before != OWN], 1)
        np.add.at(self._bound, solved.bottleneck[solved.bottleneck != OWN], 1)
        self.rate[solved.flows], self.bottleneck[solved.flows] = solved.rate, solved.bottleneck
        self._used[solved.links] = solved.used

    def _localised(self, paths: Ints) -> tuple[Ints, Ints]:
        """Return the links of *paths*, each once, and the paths as positions among them, without sorting."""
        flat = paths.ravel()
        order = np.arange(flat.size)
        self._position[flat] = order
        links = flat[self._position[flat] == order]
        self._position[links] = np.arange(links.size)
        return links, self._position[paths]

    # --- Room ---------------------------------------------------------------------------------------
    def _more_flows(self) -> None:
        many = len(self.rate)
        self._free_flows.extend(range(2 * many - 1, many - 1, -1))
        self.rate, self._cap = _doubled(self.rate), _doubled(self._cap)
        self.bottleneck, self._paths = _doubled(self.bottleneck), _doubled(self._paths)

    def _more_links(self) -> None:
        many = len(self._capacity)
        self._free_links.extend(range(2 * many - 1, many - 1, -1))
        self._on.extend(set() for _ in range(many))
        self._capacity, self._used = _doubled(self._capacity), _doubled(self._used)
        self._bound, self._count, self._position = (_doubled(a) for a in (self._bound, self._count, self._position))


def _filled(left: Floats, local: Ints, cap: Floats) -> tuple[Floats, Ints]:
    """Return fair rates and bottlenecks (positions in *left*, or OWN) of flows over empty links of capacity *left*.

    A link whose equal share is the least that any of its flows is offered can be shared out at once, as can what a cap
    allows: the shares of other links only grow by it. Few rounds suffice, since many such links are found in each.
    """
    rate, bottleneck = np.zeros(len(cap)), np.full(len(cap), OWN)
    still = np.arange(len(cap))
    while still.size:
        on = local[still]
        hops = on.shape[1]
        with np.errstate(divide="ignore", invalid="ignore"):
            share = left / np.bincount(on.ravel(), minlength=len(left))
        offered = share[on]
        least = np.minimum(offered.min(axis=1), cap[still])
        elsewhere = (least[:, None] < offered * (1 - _TIE)).ravel()
        loose = (np.bincount(on.ravel(), elsewhere, len(left)) > 0)[on]
        own = cap[still] <= least
        fixed = own | ~loose.all(axis=1)
        rate[still[fixed]] = least[fixed]
        tight = on[np.arange(len(on)), loose.argmin(axis=1)]
        bottleneck[still[fixed]] = np.where(own, OWN, tight)[fixed]
        gone = np.bincount(on[fixed].ravel(), np.repeat(least[fixed], hops), len(left))
        left = np.maximum(left - gone, 0.0)
        still = still[~fixed]
    return rate, bottleneck


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
