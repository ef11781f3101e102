"""How long the sessions of a curve last: the law of one that begins at any time of day, as often as they do then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fedsim.fleet.curve import MIDDLE_S, Curve
from fedsim.fleet.hourly import DAY_S, HOUR_S, HOURS

Array = NDArray[np.float64]
_STEP_S = 30.0
_EVERY_S = 900.0  # from start to start


def survival(curve: Curve, lengths_s: Sequence[float]) -> Array:
    """Return the shares of sessions that last longer than *lengths_s*.

    A session is the time from when no chain is on until none is again. Of its states (long, short, both) the chance
    is carried on in steps of 30 s, exact as long as rates last, for starts every 15 min. Log-linear between steps.
    """
    at, chances = _starts(curve)
    hours, steps = _steps(curve), int(max(lengths_s) // _STEP_S) + 1
    alive = [1.0]
    for step in range(steps):
        hour = ((at + step * _STEP_S) // HOUR_S).astype(int) % HOURS
        chances = (chances[:, None] @ hours[hour])[:, 0]
        alive.append(float(chances.sum()))
    log_alive: Array = np.interp(lengths_s, np.arange(steps + 1) * _STEP_S, np.log(np.maximum(alive, 1e-300)))
    return np.exp(log_alive)


def mean_session_s(curve: Curve) -> float:
    """Return the mean length of a session: the time on in a day over the number that begin."""
    at = np.arange(0.0, DAY_S, _EVERY_S) + _EVERY_S / 2
    on = np.array([curve.share(local_s + MIDDLE_S) for local_s in at])
    return float(on.sum() / ((1 - on) @ _begin(curve, at).sum(1)))


def _starts(curve: Curve) -> tuple[Array, Array]:
    """Return times of day from half past midnight, and the chances (times, 3) that a session begins then, as what."""
    at = np.arange(0.0, DAY_S, _EVERY_S)
    off = np.array([1 - curve.share(local_s + MIDDLE_S) for local_s in at])
    begin = off[:, None] * _begin(curve, at)
    return at, np.column_stack([begin, np.zeros(len(at))]) / begin.sum()


def _begin(curve: Curve, at: Array) -> Array:
    """Return the rates (times, 2) at which long and short stays begin."""
    on, _, short_on, _ = _rates(curve)
    hour = (at // HOUR_S).astype(int)
    return np.column_stack([on[hour], short_on[hour]])


def _rates(curve: Curve) -> Array:
    """Return the rates (4, hours): long on and off, short on and off."""
    rates = [course.rates for chain in curve.chains for course in (chain.on, chain.off)]
    return np.array([*rates, [0.0] * HOURS, [0.0] * HOURS][:4])


def _steps(curve: Curve) -> Array:
    """Return what a step does in each hour (hours, 3, 3) to the chances of long alone, short alone, both."""
    from scipy.linalg import expm

    on, off, short_on, short_off = _rates(curve)
    zero = np.zeros(HOURS)
    flows = np.array(
        [
            [-(off + short_on), zero, short_on],
            [zero, -(short_off + on), on],
            [short_off, off, -(short_off + off)],
        ]
    )  # (from, to, hours)
    return np.asarray(expm(flows.transpose(2, 0, 1) * _STEP_S))
