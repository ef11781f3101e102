"""TiFL (Chai et al., HPDC 2020): a round asks devices that are about equally fast."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from fedsim.fleet import Device
from fedsim.seeds import uniforms
from fedsim.sim.selection import POOL, Ranking, Sight


@dataclass(frozen=True, slots=True)
class Tifl:
    """Part the pool into *tiers* of equal size by predicted time, and ask one of them, drawn by chance.

    Chances are equal; *adaptive*: by the mean of the losses that a tier's devices have last reported (the paper: by its
    accuracy on a test set), a tier without any counting as the worst, and a tier is taken for at most *credits* rounds
    (0: twice its equal share of all); when none has any left, credits begin anew. Where a tier is not willing or large
    enough, the nearest ones are asked. The paper parts the fleet once, ahead of training; a pool is drawn anew.
    """

    pool: float = POOL
    tiers: int = 5
    adaptive: bool = False
    credits: int = 0

    kind: ClassVar[str] = "tifl"
    hears: ClassVar[bool] = True

    @property
    def needs_losses(self) -> bool:
        return self.adaptive

    def begin(self) -> Ranking:
        return _Credited(self)


class _Credited:
    """One run's ranking: it holds which rounds each tier was taken for."""

    def __init__(self, how: Tifl) -> None:
        self._how = how
        self._taken: dict[int, int] = {}

    def order(self, pool: Sequence[Device], sight: Sight) -> Sequence[Device]:
        seconds = {device.id: sight.seconds(device) for device in pool}
        able = [device for device in pool if seconds[device.id] < math.inf]
        if not able:
            return pool
        tiers = _parted(able, self._how.tiers, seconds)
        chances = self._chances(tiers, sight) if self._how.adaptive else [1.0] * len(tiers)
        taken = self._taken[sight.round] = _drawn(chances, uniforms(sight.seed)[0])
        nearest = sorted(range(len(tiers)), key=lambda n: abs(n - taken))
        return [d for n in nearest for d in tiers[n]] + [d for d in pool if seconds[d.id] == math.inf]

    def _chances(self, tiers: Sequence[Sequence[Device]], sight: Sight) -> list[float]:
        means = [_mean(list(sight.reported(tier).values())) for tier in tiers]
        worst = max([mean for mean in means if mean is not None], default=1.0)
        losses = [worst if mean is None else mean for mean in means]
        still = self._open(len(tiers), sight)
        return [loss if n in still else 0.0 for n, loss in enumerate(losses)]

    def _open(self, tiers: int, sight: Sight) -> set[int]:
        """Return the tiers that have credits left."""
        credit = self._how.credits or math.ceil(2 * sight.merges / tiers)
        left = {n for n in range(tiers) if list(self._taken.values()).count(n) < credit}
        if not left:
            self._taken.clear()
        return left or set(range(tiers))


def _parted(pool: Sequence[Device], tiers: int, seconds: Mapping[int, float]) -> list[list[Device]]:
    """Return the pool in tiers, the fastest first, each in the order of the draw."""
    place = {device.id: at for at, device in enumerate(pool)}
    ranked = sorted(pool, key=lambda device: seconds[device.id])
    count = min(tiers, len(ranked))
    ends = [len(ranked) * n // count for n in range(count + 1)]
    return [sorted(ranked[a:b], key=lambda d: place[d.id]) for a, b in pairwise(ends)]


def _drawn(chances: Sequence[float], u: float) -> int:
    """Return a number drawn by *chances*, which need not add up to 1, for *u* in [0, 1)."""
    left = u * sum(chances)
    for number, chance in enumerate(chances):
        left -= chance
        if left < 0:
            return number
    return max(range(len(chances)), key=lambda n: chances[n])  # all chances are 0, or a sum was rounded


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
