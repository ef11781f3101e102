"""Rates of devices like others whose training was measured."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

from checked import Bounds, Spread, bounds_by_quality
from fast_core import PROFILE, fast_core
from similar_devices import SIMILAR, Like
from tails import Tail, scaled


def similar(folder: Path, made: Mapping[str, Tail]) -> dict[str, Tail]:
    """Return the tails of the devices like others, from the tails *made* from training."""
    bounds = bounds_by_quality(folder, made)
    found = {**made, PROFILE: fast_core()}
    for name, like in SIMILAR.items():
        base = found[like.base]
        factors = like.factors(folder, base.rates)
        found[name] = tail(like, factors, base=base, bounds=bounds[like.quality])
    return {name: found[name] for name in SIMILAR}


def tail(like: Like, factors: tuple[float, float, float], *, base: Tail, bounds: Bounds) -> Tail:
    """Scale a base's rates; what is unsure of the base and of the scaling add as independent factors do."""
    arithmetic, memory, calls = factors
    parts = [("arithmetic", arithmetic, like.arithmetic), ("memory", memory, like.memory), ("calls", calls, like.calls)]
    if like.arithmetic is like.memory is like.calls:
        parts = [("all", arithmetic, like.arithmetic)]
    told = "; ".join(f"{what} x{factor:.3g} ({ratio.words()})" for what, factor, ratio in parts)
    doubt = f"; {like.doubt}" if like.doubt else ""
    note = (
        f"the rates of {like.base}, faster by: {told}; training was not measured here; true times are taken to be "
        "{:.2f}x to {:.2f}x ".format(*bounds.spread)
        + f"{bounds.words}{doubt}"
    )
    rates = scaled(base.rates, (arithmetic, memory, 1 / calls))
    return Tail(rates, joint(base.spread, bounds.spread), like.source, like.year, note)


def joint(*spreads: Spread) -> Spread:
    """Return the factors of a product of independent unknowns."""
    low, high = (math.hypot(*(math.log(spread[side]) for spread in spreads)) for side in (0, 1))
    return math.exp(-low), math.exp(high)
