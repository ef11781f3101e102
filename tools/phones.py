"""Two phones with one processor under MNN: costs common to all conditions, and a factor for each condition.

Five networks tell three costs apart: arithmetic, traffic and calls. Traffic of matrix products is left out: with it
a network left out is 20 % off, not 9. So are the calls of depthwise convolutions, counted one per group of channels,
which MNN runs all at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from measured import MEIZU, MEIZU_SLOW, MI_9, Timed, phone_rows
from tails import Tail, scaled
from told import bounds, errors, points_of, summary

from fedsim.fleet.fitting import Column, Fit, Row, Vector
from fedsim.fleet.points import Point
from fedsim.work import OpClass

REPO = "UbiquitousLearning/Benchmark-On-Device-Training@752659f8f4aee8a6146860882a050d8d1f3564cf"
FOLDER = f"{REPO}:tools/train/benchmark"
CONVOLUTIONS = OpClass.CONV, OpClass.POINTWISE, OpClass.DEPTHWISE
PRODUCTS = OpClass.MATMUL, OpClass.ATTENTION
TRAFFIC = OpClass.NORM, OpClass.MEMORY, OpClass.OPTIMIZER
COLUMNS = (
    Column("flops", (*CONVOLUTIONS, *PRODUCTS)),
    Column("bytes", (*CONVOLUTIONS, *TRAFFIC)),
    Column("calls", (OpClass.CONV, OpClass.POINTWISE, *PRODUCTS, *TRAFFIC)),
)
# The 4 big cores' 16 FLOP per cycle, at 2.84 and 3 x 2.42 GHz.
FIT = Fit(COLUMNS, peak_flops_per_s=161.6e9)
ROUNDS = 20  # of costs and factors in turn; they stand still after about five


class Found(NamedTuple):
    """The costs, and how many times longer all takes in each condition than on the Mi 9."""

    costs: Vector
    factors: dict[str, float]

    def predict(self, timed: Sequence[Timed]) -> Vector:
        times = [self.factors[t.condition] for t in timed]
        return np.asarray(FIT.predict(self.costs, [t.row for t in timed]) * times)


def phones(folder: Path) -> dict[str, Tail]:
    """Return the tails of the Mi 9 and of the Meizu at the clock whose energy was measured."""
    timed = list(phone_rows(folder))
    found, unseen = solved(timed), left_out(timed)
    points = points_of(timed, found.predict(timed), unseen)
    by = {
        name: tuple(point for point, t in zip(points, timed, strict=True) if t.condition == name)
        for name in found.factors
    }
    told = f"5 CNNs under MNN, 4 threads, 2 phones in 3 conditions: {errors([p for some in by.values() for p in some])}"
    high = tail(found, by[MI_9], MI_9, note=f"{told}; of this phone, batch 1 to 16: {summary(by[MI_9])}")
    slow = (
        f"the Mi 9's costs times {found.factors[MEIZU_SLOW]:.3f} (times {found.factors[MEIZU]:.3f} at full clock), "
        f"all by one factor, the clock set to 1.7088 GHz; batch 1 to 32, Squeezenet's of 32 left out, the phone being "
        f"out of memory: {summary(by[MEIZU_SLOW])}"
    )
    return {"phone-high": high, "meizu-16t": tail(found, by[MEIZU_SLOW], MEIZU_SLOW, note=slow)}


def tail(found: Found, points: tuple[Point, ...], condition: str, *, note: str) -> Tail:
    """Return the tail of one condition."""
    factor = found.factors[condition]
    rates = scaled(FIT.rates(found.costs), (1 / factor, 1 / factor, factor))
    where = f"{FOLDER}/{'XIAOMI' if condition == MI_9 else 'MEIZU_Freq_1708800'}"
    return Tail(rates, bounds(points), where, 2021, note, points)


def solved(timed: Sequence[Timed]) -> Found:
    """Fit costs and factors in turn; the Mi 9's factor is 1."""
    factors = {t.condition: 1.0 for t in timed}
    for _ in range(ROUNDS):
        costs = FIT.solve([t.row._replace(seconds=t.row.seconds / factors[t.condition]) for t in timed])
        for name in factors.keys() - {MI_9}:
            factors[name] = slower(costs, [t.row for t in timed if t.condition == name])
    return Found(costs, factors)


def slower(costs: Vector, rows: Sequence[Row]) -> float:
    """Return the factor on *costs* that explains *rows* best in relative error."""
    told = FIT.errors(costs, rows) + 1
    return float(told.sum() / (told**2).sum())


def left_out(timed: Sequence[Timed]) -> Vector:
    """Return the seconds by costs and factors that saw no row of the network."""
    found = np.zeros(len(timed))
    for family in {t.row.family for t in timed}:
        which = [i for i, t in enumerate(timed) if t.row.family == family]
        rest = solved([t for t in timed if t.row.family != family])
        found[which] = rest.predict([timed[i] for i in which])
    return found
