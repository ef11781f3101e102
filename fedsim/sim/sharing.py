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
Bools = NDArray[np.bool_]

OWN = 0  # the bottleneck of a flow that its own cap limits; as a link, which pads paths to one length, without a limit
_TIE = 1e-11  # rates this close, relative, are the same: sums of floats differ in their last digits
_FEW = 4  # changes at one instant, up to which it is worth looking at each by itself
_MUCH = 0.25  # share of the flows from which on unfreezing some more costs more than solving them all


class _Solved(NamedTuple):
    """Rates and bottlenecks of *flows*, and what *links*, those they touch, then carry."""

    flows: Ints
    rate: Floats
    bottleneck: Ints
    links: Ints
    local: Ints  # (flows, hops): the paths, as positions in *links*
    here: Ints  # how many of *flows* are on each of *links*
    used: Floats


class Sharing:
    """Links and flows by number; rates in bytes per second, of use after `resolve`."""

    def __init__(self) -> None:
        self.rate: Floats = np.zeros(16)
        self.bottleneck: Ints = np.full(16, OWN)
        self._cap: Floats = np.zeros(16)
        self._paths: Ints = np.full((16, 1), OWN)
        self._capacity: Floats = np.full(16, np.inf)
        self._used: Floats = np.zeros(16)
        self._count: Ints = np.zeros(16, dtype=np.int64)  # flows on a link
        self._bound: Ints = np.zeros(16, dtype=np.int64)  # flows whose bottleneck it is
        self._position: Ints = np.zeros(16, dtype=np.int64)  # of links; scratch
        self._free_flows, self._free_links = list(range(15, -1, -1)), list(range(15, OWN, -1))
        self._changed: set[int] = set()
        self._touched: set[int] = set()
        self._varied: set[int] = set()

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
            wider = np.full((len(self._paths), len(links) - self._paths.shape[1]), OWN)
            self._paths = np.concatenate([self._paths, wider], axis=1)
        flow = self._free_flows.pop()
        self._paths[flow, : len(links)] = links
        self._cap[flow], self.rate[flow] = cap, 0.0
        self._count[links] += 1
        self._changed.add(flow)
        return flow

    def remove(self, flow: int) -> None:
        """Take a flow away; its number may be given again."""
        if self.bottleneck[flow] != OWN:
            self._bound[self.bottleneck[flow]] -= 1
        for link in self.path(flow):
            self._count[link] -= 1
            self._used[link] = self._used[link] - self.rate[flow] if self._count[link] else 0.0
            self._touched.add(link)
        self._paths[flow], self.bottleneck[flow], self.rate[flow] = OWN, OWN, 0.0
        self._changed.discard(flow)
        self._free_flows.append(flow)

    def set_capacity(self, link: int, capacity: float) -> None:
        """Change what a link carries."""
        self._capacity[link] = capacity
        self._touched.add(link)
        self._varied.add(link)

    def set_cap(self, flow: int, cap: float) -> None:
        """Change how fast a flow may be at most."""
        self._cap[flow] = cap
        self._changed.add(flow)

    def path(self, flow: int) -> list[int]:
        """Return the links of a flow."""
        return [link for link in self._paths[flow].tolist() if link != OWN]

    def alone(self, flows: Ints) -> Floats:
        """Return the rate that each flow would have, were there no other."""
        alone: Floats = np.minimum(self._cap[flows], self._capacity[self._paths[flows]].min(axis=1))
        return alone

    # --- What follows -----------------------------------------------------------------------------
    def resolve(self) -> Ints:
        """Make all rates fair again, and return the flows whose rate, alone or not, or bottleneck may have changed."""
        quick = [flow for flow in sorted(self._changed) if self._fits(flow)] if len(self._changed) <= _FEW else []
        self._changed.difference_update(quick)
        flows = self._solve_again() if self._changed or self._touched else np.empty(0, dtype=np.int64)
        found = [np.array(quick, dtype=np.int64), flows]
        if self._varied:
            varied = np.zeros(len(self._used), dtype=np.bool_)
            varied[list(self._varied)] = True
            found.append(np.flatnonzero(varied[self._paths].any(axis=1)))
        self._changed.clear()
        self._touched.clear()
        self._varied.clear()
        return np.concatenate(found)

    def _fits(self, flow: int) -> bool:
        """Give *flow* all that it may have, if every link on its path has room for that and binds nobody."""
        cap, path = self._cap[flow], self.path(flow)
        more = cap - self.rate[flow]
        if any(self._bound[link] or self._used[link] + more > self._capacity[link] for link in path):
            return False
        for link in path:
            self._used[link] += more
        self.rate[flow] = cap
        return True

    def _solve_again(self) -> Ints:
        """Solve what was touched and all that this touches; where that is much, solve the whole at once."""
        inside, moving = self._unfrozen(), self._paths[:, 0] != OWN
        solved = self._solve(inside)
        while self._unfreeze_unfair(inside, solved):
            if np.count_nonzero(inside) > _MUCH * np.count_nonzero(moving):
                inside |= moving
            solved = self._solve(inside)
        self._commit(solved)
        return solved.flows

    def _unfrozen(self) -> Bools:
        """Tell which flows changed, are bound on a link where something did, or are on one that is overfull."""
        changed, touched = list(self._changed), np.zeros(len(self._used), dtype=np.bool_)
        touched[self._paths[changed]] = True
        touched[list(self._touched)] = True
        touched[OWN] = False
        inside: Bools = touched[self.bottleneck]
        overfull = touched & (self._used > self._capacity * (1 + _TIE))
        if overfull.any():
            inside |= overfull[self._paths].any(axis=1)
        inside[changed] = True
        return inside

    def _solve(self, inside: Bools) -> _Solved:
        """Share among the flows *inside* what all others leave them."""
        flows = np.flatnonzero(inside)
        links, local = self._localised(self._paths[flows])
        hops, many = local.shape[1], len(links)
        here = np.bincount(local.ravel(), minlength=many)
        taken = np.bincount(local.ravel(), np.repeat(self.rate[flows], hops), many)
        others = np.where(here == self._count[links], 0.0, np.maximum(self._used[links] - taken, 0.0))
        rate, tight = _filled(np.maximum(self._capacity[links] - others, 0.0), local, self._cap[flows])
        used: Floats = others + np.bincount(local.ravel(), np.repeat(rate, hops), many)
        return _Solved(flows, rate, np.where(tight < 0, OWN, links[tight]), links, local, here, used)

    def _unfreeze_unfair(self, inside: Bools, solved: _Solved) -> bool:
        """Add to *inside* those that have more than flows it binds, or are bound no longer; tell if there are any."""
        links, bottleneck = solved.links, solved.bottleneck
        least = np.full(len(self._capacity), np.inf)
        np.minimum.at(least, bottleneck, solved.rate)
        least[OWN] = np.inf
        outside = self._count[links] > solved.here
        binds, shared = outside & (least[links] < np.inf), outside & (self._bound[links] > 0)
        if not (binds | shared).any():
            return False
        most, there = np.zeros(len(links)), np.zeros(len(self._capacity), dtype=np.bool_)
        np.maximum.at(most, solved.local.ravel(), np.repeat(solved.rate, solved.local.shape[1]))
        full = solved.used >= self._capacity[links] * (1 - _TIE)
        enough = np.zeros(len(self._capacity))  # what a flow that a link binds must have
        enough[links], there[links] = np.where(full, most * (1 - _TIE), np.inf), shared
        unfair = there[self.bottleneck] & (self.rate < enough[self.bottleneck])
        if binds.any():
            unfair |= (self.rate[:, None] > least[self._paths] * (1 + _TIE)).any(axis=1)
        unfair &= ~inside
        inside |= unfair
        return bool(unfair.any())

    def _commit(self, solved: _Solved) -> None:
        np.subtract.at(self._bound, self.bottleneck[solved.flows], 1)
        np.add.at(self._bound, solved.bottleneck, 1)
        self._bound[OWN] = 0
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
        self._capacity, self._used = _doubled(self._capacity), _doubled(self._used)
        self._bound, self._count, self._position = (_doubled(a) for a in (self._bound, self._count, self._position))


def _filled(left: Floats, local: Ints, cap: Floats) -> tuple[Floats, Ints]:
    """Return fair rates and bottlenecks (positions in *left*; -1: the cap) over empty links of capacity *left*.

    A link whose equal share is the least that any of its flows is offered can be shared out at once, as can what a cap
    allows: the shares of other links only grow by it. Few rounds suffice, since many such links are found in each.
    """
    rate, bottleneck = np.zeros(len(cap)), np.full(len(cap), -1)
    still = np.arange(len(cap))
    while still.size:
        on = local[still]
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
        bottleneck[still[fixed]] = np.where(own, -1, tight)[fixed]
        gone = np.bincount(on[fixed].ravel(), np.repeat(least[fixed], on.shape[1]), len(left))
        left = np.maximum(left - gone, 0.0)
        still = still[~fixed]
    return rate, bottleneck


def _doubled(array: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate([array, np.zeros_like(array)])
