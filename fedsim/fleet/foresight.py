"""What laws say of many devices at one instant, found at once: the very answers that they give one by one.

The same marks are drawn and the same operations follow in the same order, so that results are equal to the last bit;
those of numpy's functions that may round otherwise than `math` does (logarithms, cosines) are not used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fedsim.fleet.availability import POISSON_ONE, Key, Markov, unit_marks
from fedsim.fleet.combined import All, ByGroup
from fedsim.fleet.curve import MIDDLE_S
from fedsim.fleet.diurnal import LIFE, SLACK, Diurnal
from fedsim.fleet.dynamics import Clock, Dynamics
from fedsim.fleet.failures import CRASH, Crashes
from fedsim.fleet.hourly import DAY_S, HOUR_S, HOURS, Hourly
from fedsim.fleet.level import Product, Switched
from fedsim.fleet.remembered import Remembered

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.intp]

FEW = 8
"""Devices that are as soon asked one by one."""

_DRAWS = 7  # marks that one hash yields


def foresee(law: object, keys: Sequence[Key], at_s: float) -> None:
    """Let what `remembering` made of a law know the answers of many devices at *at_s*, where that is quicker at once.

    Of parts that must hold at once, each is asked only of those for which the ones before it do.
    """
    if isinstance(law, Remembered):
        _learn(law, law.unknown(keys, at_s), at_s)
    elif isinstance(law, All):
        for binding in law.parts:
            foresee(binding, keys, at_s)
            keys = [key for key in keys if binding.online(key, at_s)]
    elif isinstance(law, ByGroup):
        for number, of_group in enumerate(law.laws):
            foresee(of_group, [key for key in keys if key[0] == number], at_s)
    else:
        for part in _parts(law):
            foresee(part, keys, at_s)


def _parts(law: object) -> tuple[object, ...]:
    match law:
        case Dynamics():
            return law.speed, law.clock, law.memory, law.storage, law.network
        case Product():
            return law.parts
        case Switched():
            return (law.process,)
        case Clock():
            return (law.full,)
    return ()


def _learn(known: Remembered, keys: Sequence[Key], at_s: float) -> None:
    law = known.law
    if len(keys) >= FEW and isinstance(law, Crashes | Diurnal | Markov):
        until_s, online = stretches(law, keys, at_s, whole=known.whole)
        known.learn(keys, zip(repeat(at_s), until_s.tolist(), online.tolist(), strict=False))


def stretches(
    law: Crashes | Diurnal | Markov, keys: Sequence[Key], at_s: float, *, whole: bool = True
) -> tuple[Floats, Flags]:
    """Return (n,) until when devices stay as they are at *at_s*, and (n,) whether they are online then.

    Unless *whole*, of those that are not it is *at_s* itself.
    """
    places, now_s = np.array(keys, dtype=np.int64).reshape(-1, 2), np.full(len(keys), at_s)
    if isinstance(law, Markov):
        return _markov(law, places, now_s, whole=whole)
    if isinstance(law, Crashes):
        return _crashes(law, places, now_s)
    return _diurnal(law, keys, now_s, whole=whole)


def _markov(law: Markov, places: NDArray[np.int64], now_s: Floats, *, whole: bool) -> tuple[Floats, Flags]:
    begins = _Marks(_Even(law.mean_offline_s), places, seed=law.seed, label=1)
    ends = _Marks(_Even(law.mean_online_s), places, seed=law.seed, label=0)
    every = np.arange(len(now_s))
    online, until_s = _lasts((begins, ends), every, now_s), now_s.copy()
    until_s[online] = ends.following(every[online], now_s[online])
    if whole:
        until_s[~online] = begins.following(every[~online], now_s[~online])
    return until_s, online


def _crashes(law: Crashes, places: NDArray[np.int64], now_s: Floats) -> tuple[Floats, Flags]:
    marks, every = _Marks(_Even(law.mean_s), places, seed=law.seed, label=CRASH), np.arange(len(now_s))
    first, last = np.floor((now_s - law.reboot_s) / law.mean_s - SLACK), np.floor(now_s / law.mean_s)
    away, until_s = np.zeros(len(now_s), dtype=bool), now_s.copy()
    for back in range(int((last - first).max()) + 1):
        times_s = marks.drawn(every, last - back) * law.mean_s
        hit = (times_s <= now_s[:, None]) & (now_s[:, None] < times_s + law.reboot_s)
        away |= hit.any(axis=1) & (last - back >= first)
    until_s[~away] = marks.following(every[~away], now_s[~away])
    for row in np.flatnonzero(away).tolist():
        until_s[row] = law.next_change((int(places[row, 0]), int(places[row, 1])), float(now_s[row]))
    return until_s, ~away


def _diurnal(law: Diurnal, keys: Sequence[Key], now_s: Floats, *, whole: bool) -> tuple[Floats, Flags]:
    places, ahead_s = np.array(keys, dtype=np.int64), np.array([law.local_s(key, 0.0) for key in keys]) - MIDDLE_S
    stays = [
        (
            _Marks(_Daily(chain.on, ahead_s), places, seed=law.seed, label=2 * number + 1),
            _Marks(_Daily(chain.off, ahead_s), places, seed=law.seed, label=2 * number),
        )
        for number, chain in enumerate(law.curve.chains, LIFE * law.life + 1)
    ]
    every, until_s = np.arange(len(now_s)), now_s.copy()
    lasting = np.array([_lasts(stay, every, now_s) for stay in stays])  # (chains, n)
    online: Flags = np.any(lasting, axis=0)
    if whole and not online.all():
        off = every[~online]
        until_s[off] = np.min([begins.following(off, now_s[off]) for begins, _ in stays], axis=0)
    rows, lasting = every[online], lasting[:, online]
    while rows.size:
        first = lasting.argmax(axis=0)
        for number, (_, ends) in enumerate(stays):
            these = rows[first == number]
            until_s[these] = ends.following(these, until_s[these])
        lasting = np.array([_lasts(stay, rows, until_s[rows]) for stay in stays])
        more = lasting.any(axis=0)
        rows, lasting = rows[more], lasting[:, more]
    return until_s, online


def _lasts(stay: tuple[_Marks, _Marks], rows: Rows, at_s: Floats) -> Flags:
    """Return (n,) whether what began last has not ended by *at_s*."""
    begins, ends = stay
    return ~ends.any_since(rows, begins.last(rows, at_s), at_s)


class _Clock(Protocol):
    """Reads marks of rate 1, in the mean one to a window; rows say of which devices."""

    def reading(self, rows: Rows, at_s: Floats, side: float) -> tuple[Floats, Floats]:
        """Return the windows of *at_s*, and the marks of then, for rounding a little to one *side*."""

    def times_s(self, rows: Rows, marks: Floats) -> Floats:
        """Return the times of (n, k) marks."""


class _Even(NamedTuple):
    """Marks come *mean_s* apart in the mean at any time."""

    mean_s: float

    def reading(self, rows: Rows, at_s: Floats, side: float) -> tuple[Floats, Floats]:
        return np.floor(at_s / self.mean_s), np.full(len(rows), side * np.inf)

    def times_s(self, rows: Rows, marks: Floats) -> Floats:
        return marks * self.mean_s


class _Daily(NamedTuple):
    """Marks come as the hour has it, by clocks that are *ahead_s*."""

    rate: Hourly
    ahead_s: Floats

    def reading(self, rows: Rows, at_s: Floats, side: float) -> tuple[Floats, Floats]:
        rate, (day, rest_s) = self.rate, np.divmod(at_s + self.ahead_s[rows], DAY_S)
        hour = np.minimum((rest_s // HOUR_S).astype(np.intp), HOURS - 1)
        of_day = day * rate.until_hour[-1] + np.array(rate.until_hour)[hour]
        now = of_day + (rest_s - hour * HOUR_S) * np.array(rate.rates)[hour] + side * SLACK
        return np.floor(now), now

    def times_s(self, rows: Rows, marks: Floats) -> Floats:
        rate, (day, rest) = self.rate, np.divmod(marks, self.rate.until_hour[-1])
        until = np.array(rate.until_lively)
        place = np.searchsorted(until, rest, side="right") - 1
        hour = np.array(rate.lively)[place]
        since_s = (rest - until[place]) / np.array(rate.rates)[hour]
        times_s: Floats = day * DAY_S + hour * HOUR_S + since_s - self.ahead_s[rows, None]
        return times_s


class _Marks:
    """Keyed Poisson processes, one of each device, by a clock; of each the window drawn last is kept."""

    def __init__(self, clock: _Clock, places: NDArray[np.int64], *, seed: int, label: int) -> None:
        self.clock = clock
        self._labels = np.empty((len(places), 6), dtype=">i8")  # as `unit_marks` has them
        self._labels[:, 0], self._labels[:, 1:3], self._labels[:, 3], self._labels[:, 5] = seed, places, label, 0
        self._windows = np.full(len(places), np.nan)
        self._drawn = np.empty((len(places), _DRAWS))

    def last(self, rows: Rows, at_s: Floats) -> Floats:
        """Return (n,) the last marks up to *at_s*."""
        return self._first(rows, at_s, -1)

    def following(self, rows: Rows, at_s: Floats) -> Floats:
        """Return (n,) the first marks after *at_s*."""
        return self._first(rows, at_s, 1)

    def _first(self, rows: Rows, at_s: Floats, way: int) -> Floats:
        """Return the nearest marks, of later ones (*way* is 1) or of those up to *at_s* (-1)."""
        found_s, left = np.empty(len(rows)), np.arange(len(rows))
        windows, bounds = self.clock.reading(rows, at_s, -way)
        while left.size:
            marks = self.drawn(rows[left], windows[left])[:, ::way]
            times_s, limit_s, bound = self.clock.times_s(rows[left], marks), at_s[left, None], bounds[left, None]
            fits = (marks >= bound) & (times_s > limit_s) if way > 0 else (marks <= bound) & (times_s <= limit_s)
            hit = fits.any(axis=1)
            found_s[left[hit]] = times_s[hit, fits[hit].argmax(axis=1)]
            left = left[~hit]
            windows[left] += way
        return found_s

    def any_since(self, rows: Rows, since_s: Floats, at_s: Floats) -> Flags:
        """Tell (n,) whether there are marks from *since_s* to *at_s*."""
        (windows, most), (lowest, least) = self.clock.reading(rows, at_s, 1), self.clock.reading(rows, since_s, -1)
        found, left = np.zeros(len(rows), dtype=bool), np.flatnonzero(windows >= lowest)
        while left.size:
            marks = self.drawn(rows[left], windows[left])
            times_s = self.clock.times_s(rows[left], marks)
            meant = (least[left, None] <= marks) & (marks <= most[left, None])
            hit = (meant & (since_s[left, None] <= times_s) & (times_s <= at_s[left, None])).any(axis=1)
            found[left[hit]] = True
            windows[left] -= 1
            left = left[~hit & (windows[left] >= lowest[left])]
        return found

    def drawn(self, rows: Rows, windows: Floats) -> Floats:
        """Return (n, k) the marks of a window of each, in order; nan where there are fewer than k."""
        new = self._windows[rows] != windows
        if new.any():
            self._draw(rows[new], windows[new])
        return self._drawn[rows]

    def _draw(self, rows: Rows, windows: Floats) -> None:
        self._windows[rows], self._labels[rows, 4] = windows, windows
        shares = (_words(self._labels[rows]) >> np.uint64(11)) * 2.0**-53
        counts = np.searchsorted(POISSON_ONE, shares[:, 0])
        marks = windows[:, None] + shares[:, 1:]
        marks[np.arange(_DRAWS) >= counts[:, None]] = np.nan
        marks.sort(axis=1)
        if (wider := counts.max() - self._drawn.shape[1]) > 0:
            self._drawn = np.pad(self._drawn, ((0, 0), (0, wider)), constant_values=np.nan)
        self._drawn[rows, :_DRAWS], self._drawn[rows, _DRAWS:] = marks, np.nan
        for place in np.flatnonzero(counts > _DRAWS).tolist():  # more than one hash has
            *labels, window, _ = self._labels[rows[place]].tolist()
            self._drawn[rows[place], : counts[place]] = unit_marks(tuple(labels), window)


def _words(labels: NDArray[np.int64]) -> NDArray[np.uint64]:
    """Return (n, 8) what `fedsim.seeds.words` draws for each row of big-endian *labels*."""
    data, size, blake2b = labels.tobytes(), labels.itemsize * labels.shape[1], hashlib.blake2b
    digests = b"".join([blake2b(data[at : at + size]).digest() for at in range(0, len(data), size)])
    return np.frombuffer(digests, dtype=">u8").reshape(-1, 8).astype(np.uint64)
