"""The cuts that a device may be given: ratios to draw from, narrowed to what it can pay."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

from fedsim.fleet import Device
from fedsim.method import Context
from fedsim.work import Work


@dataclass(frozen=True, slots=True)
class Space:
    """Ratios from which each layer draws its own, of perceptrons and of heads."""

    ffn: tuple[float, ...]
    attention: tuple[float, ...]

    def uniform(self) -> list[Space]:
        """Return the cuts in which all layers are alike, the widest first."""
        ordered = sorted(self.ffn, reverse=True), sorted(self.attention, reverse=True)
        return [Space((ffn,), (attention,)) for ffn, attention in product(*ordered)]

    def up_to(self, widest: Space) -> Space:
        """Return the ratios that are no larger than the uniform cut *widest*."""
        ffn, attention = max(widest.ffn), max(widest.attention)
        return Space(tuple(r for r in self.ffn if r <= ffn), tuple(r for r in self.attention if r <= attention))

    def drawn_by(self, seed: int) -> dict[str, Any]:
        """Return the parameters of a cut; *seed* counts only where there is something to draw."""
        single = len(self.ffn) == len(self.attention) == 1
        return {"ffn": self.ffn, "attention": self.attention, "seed": 0 if single else seed}

    def narrower(self) -> dict[str, Space]:
        """Return the uniform cuts that cut anything, by their names."""
        return {cut.label: cut for cut in self.uniform() if min(*cut.ffn, *cut.attention) < 1}

    @property
    def label(self) -> str:
        """The name of a uniform cut, such as ffn=0.625 or ffn=0.625,attention=0.5."""
        heads = f",attention={self.attention[0]:g}" if self.attention[0] < 1 else ""
        return f"ffn={self.ffn[0]:g}{heads}"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a device comes by its ratios.

    kind "budget": any up to the largest uniform cut whose price fits memory and *budget_s* (0: the deadline);
    "largest": that cut; "sandwich": prices aside, the widest or the smallest with chance 1/cohort each, else any.
    """

    kind: str
    budget_s: float
    cohort: int


def offered(
    space: Space, ctx: Context, device: Device, *, how: Sampling, lot: int, work: Callable[[Space], Work]
) -> Work | None:
    """Return the *work* on the ratios that a device is given; None if it can pay no cut. *lot* is a random draw.

    RaFFM's code gives the first of a round the widest cut and the second the smallest. Who is first is not known
    when one device is asked; a chance of 1/cohort gives as many on average.
    """
    if how.kind == "sandwich":
        cuts = space.uniform()
        return work({0: cuts[0], 1: cuts[-1]}.get(lot % how.cohort, space))
    limit_s = how.budget_s or ctx.deadline_s or math.inf
    quoted = [(cut, ctx.quote(device, work(cut))) for cut in space.uniform()]
    fitting = [(quote.up_bytes, cut) for cut, quote in quoted if quote.fits and quote.seconds <= limit_s]
    if not fitting:
        return None
    widest = max(fitting, key=lambda found: found[0])[1]
    return work(widest if how.kind == "largest" else space.up_to(widest))
