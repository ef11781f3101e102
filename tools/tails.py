"""What is written below a profile's head: its rates, how sure they are, where they come from, and the rows behind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from fedsim.fleet.points import Point, write_points
from fedsim.fleet.profile import Rate
from fedsim.fleet.writing import write_rates
from fedsim.work import Load, OpClass

MARK = "# Below: written by tools/fit_profiles.py"
GROUPED = "conv.forward.grouped", "conv.backward.grouped"
Rates = Mapping[str, Rate]


class Tail(NamedTuple):
    """What is written: rates, the factors that hold 90 % of times, where all this comes from, and the rows behind."""

    rates: Rates
    spread: tuple[float, float]
    source: str
    year: int
    note: str
    points: tuple[Point, ...] = ()


def scaled(rates: Rates, factors: tuple[float, float, float]) -> dict[str, Rate]:
    """Return *rates* with arithmetic and memory faster, and calls longer, by these *factors*."""
    arithmetic, memory, calls = factors
    return {
        kind: Rate(r.flops_per_s * arithmetic, r.bytes_per_s * memory, r.call_s * calls) for kind, r in rates.items()
    }


def at_once(rates: Rates) -> dict[str, Rate]:
    """Return an Arm board's rates for a processor that takes all groups of channels in one call, its images in memory.

    Calls are counted one per group, so what had a cost per group has none.
    """
    grouped = {kind for kind in rates if kind in GROUPED or kind.startswith(OpClass.DEPTHWISE)}
    kept = {kind: rate for kind, rate in rates.items() if kind != OpClass.IMAGE}
    return {kind: replace(rate, call_s=0.0) if kind in grouped else rate for kind, rate in kept.items()}


def seconds(rates: Rates, load: Load) -> float:
    """Return the time of a load: each kind of work at its own rate, else at that of the nearest kind above it."""
    return sum(_nearest(rates, kind).seconds(op) for kind, op in load.ops.items())


def _nearest(rates: Rates, kind: str) -> Rate:
    while kind and kind not in rates:
        kind = kind.rpartition(".")[0]
    return rates.get(kind, Rate())


def write(path: Path, tail: Tail) -> None:
    """Replace what follows the marker line of a profile."""
    head = path.read_text("utf-8").partition(MARK)[0].rstrip()
    low, high = tail.spread
    lines = [head, "", MARK, write_rates(tail.rates, tail.spread)]
    lines += ["[[source]]", 'what = "rates"', f'value = "spread {low:.2f} to {high:.2f}"', f'source = "{tail.source}"']
    lines += [f"year = {tail.year}", f'note = "{tail.note}"']
    lines += ["", write_points(tail.points)] if tail.points else []
    path.write_text("\n".join(lines) + "\n", "utf-8")
