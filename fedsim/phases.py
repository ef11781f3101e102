"""Training that thins a network out: which share of its weights is left from which merge on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Protocol

from fedsim.errors import InputError


@dataclass(frozen=True, slots=True)
class Stage:
    """From version *start* on a share *density* of the weights is left; *admits*: with what its phase began."""

    start: int
    density: float
    admits: float


class Phased(Protocol):
    """The options of a method whose network thins out."""

    @property
    def densities(self) -> tuple[float, ...]: ...
    @property
    def phase_rounds(self) -> tuple[int, ...]: ...
    @property
    def steps(self) -> int: ...


def stage_at(method: Phased, version: int, rounds: int) -> Stage:
    """Return the stage that work on *version* belongs to, of *rounds* merges in all; raises InputError as stages do."""
    found = stages(method.densities, rounds, lengths=method.phase_rounds, steps=method.steps)
    return [stage for stage in found if stage.start <= version][-1]


def require_all(method: Phased, rounds: int) -> None:
    """Raise InputError unless every phase begins before the last of *rounds* merges."""
    last = stages(method.densities, rounds, lengths=method.phase_rounds)[-1].start
    if last >= rounds:
        raise InputError(
            f"the last phase begins after merge {last} of {rounds}: run longer, or take fewer densities or phase_rounds"
        )


def stages(densities: Sequence[float], rounds: int, *, lengths: Sequence[int] = (), steps: int = 1) -> list[Stage]:
    """Return the stages of phases that begin with *densities*, in order; several may start at once, the last counts.

    lengths: merges of each phase, of which the last takes what remains; none: equal parts of *rounds*, so that with
    fewer rounds than phases the last ones fall away. steps: cuts from one density to the next, all by one factor;
    each follows on an equal part of the phase, and the last ends it. Raises InputError.

    >>> [(s.start, s.density, s.admits) for s in stages((1.0, 0.25), 8, steps=2)]
    [(0, 1.0, 1.0), (2, 0.5, 1.0), (4, 0.25, 0.25)]
    """
    _check(densities, lengths)
    equal = [math.ceil(phase * rounds / len(densities)) for phase in range(len(densities))]
    starts = [0, *accumulate(lengths[:-1])] if lengths else equal
    found = []
    for (start, density), (end, below) in pairwise(zip(starts, densities, strict=True)):
        for step in range(steps):
            at = start + math.ceil(step * (end - start) / steps)
            found.append(Stage(at, density * (below / density) ** (step / steps), density))
    return [*found, Stage(starts[-1], densities[-1], densities[-1])]


def _check(densities: Sequence[float], lengths: Sequence[int]) -> None:
    if any(above <= below for above, below in pairwise(densities)):
        raise InputError(f"densities is {list(densities)}: allowed are shares that fall, such as [1.0, 0.6, 0.2]")
    if lengths and len(lengths) != len(densities):
        raise InputError(
            f"phase_rounds is {list(lengths)} for {len(densities)} densities: give one number per phase (the last one "
            f"takes what remains), or none for equal parts"
        )
