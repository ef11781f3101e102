"""Oort (Lai et al., OSDI 2021): who has much to teach, and is fast enough; written from the paper's algorithm 1."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from fedsim.fleet import Device
from fedsim.seeds import uniforms
from fedsim.sim.deadlines import quantile
from fedsim.sim.selection import Ranking, Sight, drawn_by_weight

_CLIP = 0.95  # utilities above this quantile count as much as the one there
_CUT_OFF = 0.95  # who has this share of the last good utility still has a chance
_PATIENCE = 0.1  # of the bonus for who was not heard of for long


@dataclass(frozen=True, slots=True)
class Oort:
    """Ask those whose examples have taught most, unless they are slow, and a share of those not heard of yet.

    The utility of a device is |B| times its last mean loss (the paper's root of the mean squared loss is more than
    devices report), over that at the 95th percentile, where it is clipped; plus sqrt(0.1 ln R / L) in round R for one
    last heard of in round L; times (T / t) ^ *alpha* for one whose last task took t > T. They are drawn by utility
    among all above 95 % of the last that would do.
    The share of newcomers is *exploration* x *exploration_decay* ^ R, *exploration_least* at least; *explore*: "speed",
    by predicted speed, or "random". The pacer: T is the quantile *pace* of durations, as in the authors' program, and
    *pace* grows by *pace_step* after each *window* of rounds that taught less than the one before.
    Who has worked *max_participation* times is asked only when nobody else will (0: never mind).
    """

    pool: float = 20.0
    alpha: float = 2.0
    exploration: float = 0.9
    exploration_decay: float = 0.98
    exploration_least: float = 0.2
    explore: str = "speed"
    pace: float = 0.3
    pace_step: float = 0.05
    window: int = 20
    max_participation: int = 0

    kind: ClassVar[str] = "oort"
    hears: ClassVar[bool] = True
    needs_losses: ClassVar[bool] = True

    def begin(self) -> Ranking:
        return _Paced(self)


class _Paced:
    """One run's ranking: it holds what each round taught, and how slow a device may be."""

    def __init__(self, how: Oort) -> None:
        self._how, self._pace = how, how.pace
        self._taught: list[float] = []
        self._noted = 0

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        how = self._how
        self._note(sight)
        tired = {d.id for d in pool if 0 < how.max_participation <= sight.times(d)}
        losses = sight.reported(d for d in pool if d.id not in tired)
        new = self._newcomers([d for d in pool if d.id not in tired and d.id not in losses], sight)
        share = max(how.exploration * how.exploration_decay**sight.round, how.exploration_least)
        explored = min(_about(share * sight.want, sight.seed), len(new))
        kept = max(sight.want - explored, 0)
        old = _exploited([d for d in pool if d.id in losses], self._utilities(losses, sight), kept, seed=sight.seed)
        last = [d for d in pool if d.id in tired]
        return old[:kept] + new[:explored] + old[kept:] + new[explored:] + last

    def _utilities(self, losses: Mapping[int, float], sight: Sight) -> dict[int, float]:
        """Return the utility of each device that reported its loss."""
        taught = {number: sight.heard[number].samples * loss for number, loss in losses.items()}
        most = quantile(sorted(taught.values()), _CLIP) or 1.0
        limit_s = self._limit_s(sight)
        found = {}
        for number, value in taught.items():
            heard = sight.heard[number]
            utility = min(value / most, 1.0) + math.sqrt(_PATIENCE * math.log(sight.round) / heard.round)
            late = heard.duration_s > limit_s
            found[number] = utility * (limit_s / heard.duration_s) ** self._how.alpha if late else utility
        return found

    def _newcomers(self, devices: Sequence[Device], sight: Sight) -> list[Device]:
        if self._how.explore == "random":
            return list(devices)
        return drawn_by_weight(devices, {d.id: 1.0 / max(sight.seconds(d), 1e-9) for d in devices}, sight.seed)

    def _limit_s(self, sight: Sight) -> float:
        """Return T, the time within which a device is not too slow."""
        durations = sorted(heard.duration_s for heard in sight.heard.values())
        return quantile(durations, self._pace) if self._pace < 1.0 else math.inf

    def _note(self, sight: Sight) -> None:
        """Sum up what was heard since the last round, and loosen the pace at the end of a window that taught less."""
        if sight.round <= max(self._noted, 1):
            return
        fresh = [h for h in sight.heard.values() if max(self._noted, 1) <= h.round < sight.round]
        losses = sight.losses([heard.loss for heard in fresh if heard.loss])
        self._taught.append(sum(heard.samples * loss for heard, loss in zip(fresh, losses, strict=True)))
        self._noted, window = sight.round, self._how.window
        if len(self._taught) == 2 * window:
            before, now = sum(self._taught[:window]), sum(self._taught[window:])
            self._pace += self._how.pace_step if now < before else 0.0
            del self._taught[:window]


def _exploited(devices: Sequence[Device], utilities: Mapping[int, float], want: int, *, seed: int) -> list[Device]:
    """Return *devices*, those above the cut-off in the order of a draw by utility, then the others by utility."""
    ranked = sorted(devices, key=lambda device: -utilities[device.id])
    if not ranked or want < 1:
        return ranked
    cut = _CUT_OFF * utilities[ranked[min(want, len(ranked)) - 1].id]
    above = [device for device in ranked if utilities[device.id] >= cut]
    return drawn_by_weight(above, utilities, seed) + ranked[len(above) :]


def _about(number: float, seed: int) -> int:
    """Return *number* up or down to a whole one, by chance so that it is right in the mean."""
    return math.floor(number + uniforms(seed)[0])
