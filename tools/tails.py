"""What is written below a profile's head: its rates, how sure they are, and where they come from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from fedsim.fleet.profile import Rate
from fedsim.work import OpClass

MARK = "# Below: written by tools/fit_profiles.py"
Rates = Mapping[OpClass, Rate]


class Tail(NamedTuple):
    """What is written: rates, the factors that hold 90 % of times, and where all this comes from."""

    rates: Rates
    spread: tuple[float, float]
    source: str
    year: int
    note: str


def scaled(rates: Rates, factors: tuple[float, float, float]) -> dict[OpClass, Rate]:
    """Return *rates* with arithmetic and memory faster, and calls longer, by these *factors*."""
    arithmetic, memory, calls = factors
    return {
        kind: Rate(r.flops_per_s * arithmetic, r.bytes_per_s * memory, r.call_s * calls) for kind, r in rates.items()
    }


def write(path: Path, tail: Tail) -> None:
    """Replace what follows the marker line of a profile."""
    head = path.read_text("utf-8").partition(MARK)[0].rstrip()
    low, high = tail.spread
    lines = [head, "", MARK, "[rates]", f"spread = [{low:.2f}, {high:.2f}]", ""]
    for kind, rate in tail.rates.items():
        lines += [f"[rates.{kind.value}]", *rate_lines(rate), ""]
    lines += ["[[source]]", 'what = "rates"', f'value = "spread {low:.2f} to {high:.2f}"', f'source = "{tail.source}"']
    lines += [f"year = {tail.year}", f'note = "{tail.note}"']
    path.write_text("\n".join(lines) + "\n", "utf-8")


def rate_lines(rate: Rate) -> Iterable[str]:
    """Yield a rate's keys; a term that is absent has none."""
    if math.isfinite(rate.flops_per_s):
        yield f'flops = "{rate.flops_per_s / 1e9:.4g} GFLOP/s"'
    if math.isfinite(rate.bytes_per_s):
        yield f'bytes = "{rate.bytes_per_s / 1e9:.4g} GB/s"'
    if rate.call_s:
        yield f'call = "{rate.call_s * 1e6:.4g} us"'
