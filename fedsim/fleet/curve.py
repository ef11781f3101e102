"""Shares of devices that are on by the hour of the day, and the chains of stays that reproduce them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cache

from fedsim.errors import InputError, unknown
from fedsim.fleet.hourly import HOUR_S, HOURS, Hourly, hourly
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import Source, sources_in
from fedsim.fleet.table import Table, read_toml

MIDDLE_S = HOUR_S / 2
"""The share of an hour, a mean over it, holds in its middle; rates are constant from there to the next middle."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A chain of two states: *on* is the rate from off to on, *off* that back, hour 0 from half past midnight."""

    on: Hourly
    off: Hourly


@dataclass(frozen=True, slots=True)
class Curve:
    """A device is on in any of the *chains*: long stays, and short ones where there are any. Made by `curve_from`.

    shares: of devices that are on at half past each hour, local time.
    """

    shares: tuple[float, ...]
    chains: tuple[Chain, ...] = field(repr=False)
    sources: tuple[Source, ...] = field(default=(), repr=False, compare=False)

    def share(self, local_s: float) -> float:
        """Return the share of devices that are on, a time of day after midnight."""
        hours, rest_s = divmod(local_s - MIDDLE_S, HOUR_S)
        hour, (long, *short) = int(hours) % HOURS, self.chains
        off = 1 - _always_on(short)
        start = 1 - (1 - self.shares[hour]) / off
        return 1 - off * (1 - _after(rest_s, start, (long.on.rates[hour], long.off.rates[hour])))


def curve_from(
    shares: Sequence[float], *, long_stay_s: float, short_stay_s: float = 0.0, short_every_s: float = math.inf
) -> Curve:
    """Return the curve that goes through the *shares* of 24 hours.

    Long stays last *long_stay_s* in the mean, less where the shares fall faster than that; short ones *short_stay_s*,
    and begin *short_every_s* after the one before ended (inf: never), whether or not a long stay lasts.

    >>> curve_from([0.6] * 12 + [0.2] * 12, long_stay_s=7200.0).share(6 * 3600.0)
    0.6
    """
    wanted = _checked_shares(shares)
    if not 0 < long_stay_s < math.inf:
        raise InputError(f"long_stay is {long_stay_s} s; allowed is a finite time above 0")
    short = _short(short_stay_s, short_every_s, min(wanted))
    off = 1 - _always_on(short)
    long = [1 - (1 - share) / off for share in wanted]
    rates = [_rates(long[hour - 1], long[hour], 1 / long_stay_s) for hour in (*range(1, HOURS), 0)]
    on, ends = zip(*rates, strict=True)
    return Curve(wanted, (Chain(hourly(on), hourly(ends)), *short))


def curve_names() -> list[str]:
    """Return the names of the packaged curves.

    >>> curve_names()
    ['charging', 'charging-and-wifi', 'wifi']
    """
    return sorted(_packaged())


def load_curve(name: str) -> Curve:
    """Return a packaged curve; raises InputError.

    >>> round(load_curve("charging-and-wifi").share(4.5 * 3600), 4)
    0.6146
    """
    if name not in _packaged():
        raise InputError(f"{unknown('curve', name, _packaged())}; or give the shares of 24 hours")
    return _packaged()[name]


@cache
def _packaged() -> dict[str, Curve]:
    tables = read_toml(packaged("device_profiles") / "availability.toml").parts()
    return {name: _parsed(table) for name, table in tables.items()}


def _parsed(table: Table) -> Curve:
    curve = curve_from(
        table.numbers("shares", HOURS),
        long_stay_s=table.quantity("long_stay", "time"),
        short_stay_s=table.quantity("short_stay", "time"),
        short_every_s=table.quantity("short_every", "time"),
    )
    sources = sources_in(table)
    table.close()
    return replace(curve, sources=sources)


def _checked_shares(shares: Sequence[float]) -> tuple[float, ...]:
    if len(shares) != HOURS:
        raise InputError(f"there are {len(shares)} shares; give 24, one for each hour of the day from midnight on")
    for hour, share in enumerate(shares):
        if not 0 < share < 1:
            raise InputError(
                f"the share at {hour} h is {share}; allowed are numbers between 0 and 1, without both: no rate reaches "
                f"them within an hour, so write 0.001 or 0.999 for nearly none or all"
            )
    return tuple(map(float, shares))


def _short(stay_s: float, every_s: float, lowest: float) -> tuple[Chain, ...]:
    """Return the chain of short stays, or none; raises InputError where they alone are more than the shares allow."""
    if not 0 <= stay_s < math.inf or not every_s > 0:
        raise InputError(
            f"short stays of {stay_s} s, {every_s} s apart; allowed are a finite stay and a pause above 0, or no stay"
        )
    if not stay_s or math.isinf(every_s):
        return ()
    share = stay_s / (stay_s + every_s)
    if not share < min(lowest, 0.5):
        raise InputError(
            f"short stays of {stay_s} s, {every_s} s apart, keep {share:.3g} of the devices on at any hour; allowed is "
            f"less than 0.5 and than the lowest of the shares, {lowest}; shorten them or make them rarer"
        )
    return (Chain(hourly([1 / every_s] * HOURS), hourly([1 / stay_s] * HOURS)),)


def _always_on(short: Sequence[Chain]) -> float:
    """Return the share of devices in a short stay, at any hour."""
    return math.fsum(chain.on.rates[0] / (chain.on.rates[0] + chain.off.rates[0]) for chain in short)


def _rates(start: float, end: float, least_off: float) -> tuple[float, float]:
    """Return the rates on and off, not below *least_off*, that take a chain from one share to another in an hour."""
    if end <= start * math.exp(-least_off * HOUR_S):
        return 0.0, math.log(start / end) / HOUR_S
    low, high = 0.0, 1 / HOUR_S
    while _after(HOUR_S, start, (high, least_off)) < end:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _after(HOUR_S, start, (middle, least_off)) < end else (low, middle)
    return high, least_off


def _after(seconds: float, start: float, rates: tuple[float, float]) -> float:
    """Return the share that is on after *seconds* at the rates on and off."""
    on, off = rates
    rest = on / (on + off)
    return rest + (start - rest) * math.exp(-(on + off) * seconds)
