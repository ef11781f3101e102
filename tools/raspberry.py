"""The two Raspberry Pis whose training was measured: the Pi 4's costs, and the Pi 5 as so many times faster.

PyTorch 1.13 for aarch64 has no oneDNN: NNPACK runs the forward pass of convolutions, a copy of the patches and a
matrix product the backward one, and both go over groups of channels one by one. Hence arithmetic of both ways apart,
traffic for 1 x 1, and seconds per group. Reading and decoding an image costs what it costs, in all rows alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from measured import Timed, pi_rows
from tails import Tail, scaled
from told import bounds, points_of, summary

from fedsim.fleet.fitting import Column, Fit, Row, Vector
from fedsim.work import OpClass

REPO = "jafermarq/federated-embedded-vision@17ecd8b098384d365b2749cd42b1e63dc557da29"
CALL_S = 33e-6
CALL = (
    "calls other than those of groups cost 33 us: 5.5 us per counted call measured with torch 2.15 on one core of an "
    "AMD EPYC (Zen 4), times 6 for a Cortex-A72, an assumption that rows of batch 16 neither confirm nor refute"
)
COLUMNS = (
    Column("flops", ("conv.forward",)),
    Column("flops", ("conv.backward",)),
    Column("flops", ("pointwise.forward",)),
    Column("bytes", ("pointwise.forward",)),
    Column("flops", ("pointwise.backward",)),
    Column("flops", ("depthwise.forward",)),
    Column("flops", ("depthwise.backward",)),
    Column("calls", ("depthwise.forward", "conv.forward.grouped")),
    Column("calls", ("depthwise.backward", "conv.backward.grouped")),
    Column("flops", (OpClass.MATMUL, OpClass.ATTENTION)),
    Column("bytes", (OpClass.NORM, OpClass.MEMORY, OpClass.OPTIMIZER)),
    Column("calls", (OpClass.IMAGE,)),
)
FIT = Fit(COLUMNS, peak_flops_per_s=47.883e9, call_s=CALL_S)


def raspberry(folder: Path) -> tuple[Tail, Tail]:
    """Fit the Pi 4 on full training and, at less weight, on head-only training; scale it to the Pi 5."""
    four, five = (pi_rows(folder, board) for board in ("Raspberry Pi 4 Model B", "Raspberry Pi 5"))
    return pi_4(four), pi_5(four, five)


def pi_4(timed: Sequence[Timed]) -> Tail:
    """Fit the costs of the Pi 4."""
    rows = [t.row for t in timed]
    costs = FIT.solve(rows)
    points = points_of(timed, FIT.predict(costs, rows), FIT.left_out(rows))
    note = f"PyTorch 1.13, batch 16; {summary(points)}; {CALL}"
    return Tail(FIT.rates(costs), bounds(points), f"{REPO}:results", 2023, note, points)


def pi_5(four: Sequence[Timed], five: Sequence[Timed]) -> Tail:
    """Take one factor on all costs of the Pi 4; a family is left out of both boards' rows at once."""
    theirs, mine = [t.row for t in four], [t.row for t in five]
    costs = FIT.solve(theirs)
    factor = slower(costs, mine)
    points = points_of(five, factor * FIT.predict(costs, mine), left_out(theirs, mine))
    note = (
        f"the Pi 4's costs times {factor:.3f}, all by one factor; PyTorch 1.13, batch 16; a family is left out "
        f"of the Pi 4's rows too; {summary(points)}; calls other than those of groups are assumed, as there"
    )
    rates = scaled(FIT.rates(costs), (1 / factor, 1 / factor, factor))
    return Tail(rates, bounds(points), f"{REPO}:README.md and plot.ipynb", 2023, note, points)


def slower(costs: Vector, rows: Sequence[Row]) -> float:
    """Return the factor on *costs* that explains *rows* best in relative error."""
    weight = np.array([row.weight for row in rows])
    told = FIT.errors(costs, rows) + 1
    return float((weight * told).sum() / (weight * told**2).sum())


def left_out(theirs: Sequence[Row], mine: Sequence[Row]) -> Vector:
    """Return the seconds of *mine* by costs and factor that saw their family on neither board."""
    found = np.zeros(len(mine))
    for family in {row.family for row in mine}:
        costs = FIT.solve([row for row in theirs if row.family != family])
        factor = slower(costs, [row for row in mine if row.family != family])
        which = [i for i, row in enumerate(mine) if row.family == family]
        found[which] = factor * FIT.predict(costs, [mine[i] for i in which])
    return found
