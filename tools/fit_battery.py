"""Fit how phones are used and charged, and print it beside the numbers of fedsim/fleet/battery.py.

Usage: fit_battery.py MEASUREMENTS_DIR

Use: stretches without a charger of at least an hour (availability/extrasensory_state_intervals.csv.gz, intervals with
no hole between them put together), the share of the battery each lost per hour. Charging: intervals of 3 min to 1 h
that end below full, put together by the level in their middle; what the charger gives, the knee and the share at full
are the least squares to the rates of the levels, each weighed by its hours, with the median use going on meanwhile.
Each owner's charger is another, and one that gives nothing while plugged in counts too: it is the mean over all hours.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import least_squares

from fedsim.fleet import battery

AT = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
LEVELS = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0)
Vector = NDArray[np.float64]


def main() -> None:
    """Print what is fitted and what is packaged."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    folder = parser.parse_args().measurements / "availability"
    rows = pd.read_csv(folder / "extrasensory_state_intervals.csv.gz").dropna()
    rows["h"] = (rows.end_s - rows.start_s) / 3600
    uses = used(rows)
    print("use per hour, quantiles", dict(zip(AT, np.quantile(uses, AT).round(3), strict=True)), battery.USE_QUANTILES)
    levels = charged(rows)
    given = fitted(levels, float(np.median(uses)))
    print("charger's share per hour, knee, full:", given.round(3), (battery.CHARGE_PER_H, battery.KNEE, battery.FULL))
    print(levels.assign(told=net(given, levels.level.to_numpy(), float(np.median(uses)))).round(3).to_string())


def used(rows: pd.DataFrame) -> Vector:
    """Return the share lost per hour in each long stretch without a charger."""
    stretches = [part for _, user in rows.groupby("user") for part in unbroken(user.sort_values("start_s"))]
    lost = [(part.battery_start.iloc[0] - part.battery_end.iloc[-1], part.h.sum()) for part in stretches]
    print(f"{sum(h >= 1 for _, h in lost)} stretches of {rows.user.nunique()} phones")
    return np.array([share / h for share, h in lost if h >= 1])


def unbroken(user: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the stretches of one phone in which nothing was charged and nothing is missing."""
    breaks = (user.charging.ne(user.charging.shift()) | user.start_s.ne(user.end_s.shift())).cumsum()
    yield from (part for _, part in user.groupby(breaks) if part.charging.iloc[0] == 0)


def charged(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rate per hour of charging by level, with the hours behind it."""
    pieces = rows[(rows.charging == 1) & rows.h.between(0.05, 1) & (rows.battery_end < 1)]
    gained, middle = pieces.battery_end - pieces.battery_start, (pieces.battery_end + pieces.battery_start) / 2
    found = []
    for low, high in pairwise(LEVELS):
        at = (middle > low) & (middle <= high) & (gained >= 0)
        hours = pieces.h[at].sum()
        level = float((middle[at] * pieces.h[at]).sum() / hours)
        found.append((level, gained[at].sum() / hours, hours, pieces.user[at].nunique()))
    return pd.DataFrame(found, columns=["level", "rate", "hours", "phones"])


def net(given: Vector, level: Vector, use: float) -> Vector:
    """Return the rate of charging at *level* that fleet/battery.py tells."""
    charge, knee, full = given
    accepted = charge * (1 - (1 - full) * np.clip((level - knee) / (1 - knee), 0, 1))
    return np.minimum(charge - use, accepted)


def fitted(levels: pd.DataFrame, use: float) -> Vector:
    """Return the charger's share per hour, the knee and the share at full."""
    level, rate, weight = levels.level.to_numpy(), levels.rate.to_numpy(), np.sqrt(levels.hours.to_numpy())
    bounds = ([use, 0.5, 0.0], [2.0, 0.95, 1.0])
    found = least_squares(lambda x: (net(x, level, use) - rate) * weight, [0.4, 0.8, 0.2], bounds=bounds)
    return np.asarray(found.x)


if __name__ == "__main__":
    main()
