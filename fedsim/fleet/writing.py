"""Writes rates as the TOML tables that a profile is read from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from fedsim.fleet.profile import Rate


def write_rates(rates: Mapping[str, Rate], spread: tuple[float, float]) -> str:
    """Return the table [rates], numbers to four digits."""
    low, high = spread
    lines = ["[rates]", f"spread = [{low:.3g}, {high:.3g}]", ""]
    for kind, rate in rates.items():
        lines += [f"[rates.{kind}]", *_terms(rate), ""]
    return "\n".join(lines)


def _terms(rate: Rate) -> Iterable[str]:
    """Yield a rate's keys; a term that is absent has none."""
    if math.isfinite(rate.flops_per_s):
        yield f'flops = "{rate.flops_per_s / 1e9:.4g} GFLOP/s"'
    if math.isfinite(rate.bytes_per_s):
        yield f'bytes = "{rate.bytes_per_s / 1e9:.4g} GB/s"'
    if rate.call_s >= 1e-3:
        yield f'call = "{rate.call_s * 1e3:.4g} ms"'
    elif rate.call_s >= 1e-9:
        yield f'call = "{rate.call_s * 1e6:.4g} us"'
