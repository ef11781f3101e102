"""Capacities that are drawn: measured quantiles, measured memory; functions of (seed, key, direction, time) alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cache, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.fleet.capacity import Capacity, Key
from fedsim.fleet.table import Table
from fedsim.seeds import integers, seed_of, uniforms

PROBABILITIES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 1.0)

_PLACE = 0x97ACE  # keeps these draws apart from others of the same key
_BLOCK = 64  # steps drawn at once
_BEFORE = 2**40  # number of the noise at time 0: what came before counts too
_MEMORY = 4.0  # time constants after which noise is forgotten


@dataclass(frozen=True, slots=True)
class Generated:
    """Rates that change every *step_s*: a Gaussian copula of the device's place and of moments.

    The normal score of a rate is sqrt(place) times that of the place, which both ways have in common for ever, plus
    sqrt(share) times a moving average of keyed noise for each of ``moments``, (share, time constant in seconds); place
    and shares add up to 1. ``down`` and ``up`` are the rates at the PROBABILITIES, relative to the nominal rate.
    """

    step_s: float
    place: float
    moments: tuple[tuple[float, float], ...]
    down: tuple[float, ...]
    up: tuple[float, ...]

    def capacity(self, bytes_per_s: float, key: Key, *, seed: int, up: bool) -> Capacity:
        u, *_ = uniforms(seed, *key, _PLACE)
        rates = tuple(share * bytes_per_s for share in (self.up if up else self.down))
        seeds = tuple(seed_of(seed, "rates", *key, up, number) for number in range(len(self.moments)))
        return Drawn(self, rates, math.sqrt(self.place) * NormalDist().inv_cdf(max(u, 2.0**-53)), seeds)


@dataclass(frozen=True, slots=True)
class Drawn:
    """One way of one link: *rates* in bytes per second at the PROBABILITIES, its place's score, its noise's seeds."""

    law: Generated = field(repr=False)
    rates: tuple[float, ...]
    place: float
    seeds: tuple[int, ...]

    def rate(self, at_s: float) -> float:
        block, step = divmod(self._step(at_s), _BLOCK)
        return _block(self, block)[step]

    def next_change(self, at_s: float) -> float:
        return (self._step(at_s) + 1) * self.law.step_s

    def _step(self, at_s: float) -> int:
        """Return the last step that starts up to *at_s*, whatever the rounding."""
        step = math.floor(at_s / self.law.step_s)
        while step * self.law.step_s > at_s:
            step -= 1
        while (step + 1) * self.law.step_s <= at_s:
            step += 1
        return step


def generated_from(table: Table) -> Generated:
    """Read how rates vary; raises InputError unless place and shares add up to 1 and quantiles rise from 0 or more."""
    place = table.read("place", _share)
    moments = tuple((part.read("share", _share), part.quantity("time", "time")) for part in table.tables("moments"))
    if not math.isclose(place + sum(share for share, _ in moments), 1.0, abs_tol=1e-9):
        raise InputError(f"{table.where}: place {place} and the shares of the moments must add up to 1")
    down, up = (table.read(way, _quantiles) for way in ("down", "up"))
    step_s = table.quantity("step", "time")
    if not step_s:
        raise InputError(f"{table.where}: step is 0 s: a step takes time")
    return Generated(step_s, place, moments, down, up)


def _share(value: object) -> float:
    if not isinstance(value, float) or not 0 <= value <= 1:
        raise InputError(f"{value!r} is no share: write a number from 0.0 to 1.0")
    return value


def _quantiles(value: object) -> tuple[float, ...]:
    found = tuple(map(float, value)) if isinstance(value, list) else ()
    if len(found) != len(PROBABILITIES) or list(found) != sorted(found) or found[0] < 0 or not found[-1] > 0:
        raise InputError(
            f"{value!r} are no quantiles: write {len(PROBABILITIES)} rising numbers from 0, the last above 0"
        )
    return found


@lru_cache(maxsize=4096)
def _block(link: Drawn, number: int) -> tuple[float, ...]:
    """Return the rates of block *number* of a link's steps."""
    score = np.full(_BLOCK, link.place)
    for seed, (share, time_s) in zip(link.seeds, link.law.moments, strict=True):
        score += math.sqrt(share) * _smooth(seed, number * _BLOCK, _weights(time_s / link.law.step_s))
    chances = [0.5 * math.erfc(-z / math.sqrt(2)) for z in score.tolist()]
    return tuple(np.interp(chances, PROBABILITIES, link.rates).tolist())


def _smooth(seed: int, start: int, weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a block of the moving average of noise from step *start* on."""
    past = len(weights) - 1
    return np.convolve(_normals(seed, _BEFORE + start - past, _BLOCK + past), weights, "valid")


@cache
def _weights(steps: float) -> NDArray[np.float64]:
    """Return weights that fall by e in so many steps and whose squares add up to 1; the newest noise first."""
    weights = np.exp(-np.arange(1 + math.ceil(_MEMORY * steps)) / max(steps, 1e-9))
    return weights / math.sqrt(float(np.sum(weights**2)))


def _normals(seed: int, start: int, count: int) -> NDArray[np.float64]:
    """Return the keyed normal draws number *start*, *start* + 1, ...: each two from two uniforms (Box and Muller)."""
    first, last = start // 2 * 2, (start + count + 1) // 2 * 2
    u = ((integers(seed, first, last - first) >> np.uint64(11)) + np.uint64(1)).reshape(-1, 2) * 2.0**-53
    radius, angle = np.sqrt(-2.0 * np.log(u[:, 0])), 2.0 * math.pi * u[:, 1]
    pairs = np.stack((radius * np.cos(angle), radius * np.sin(angle)), axis=1).ravel()
    return pairs[start - first : start - first + count]
