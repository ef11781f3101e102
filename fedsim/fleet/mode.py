"""Power modes: a maker's settings that trade speed for watts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fedsim.fleet.source import Source, sources_in
from fedsim.fleet.table import Table


@dataclass(frozen=True, slots=True)
class Mode:
    """*speed* multiplies every rate of the profile, *power* its busy watts; what it idles at stays."""

    speed: float
    power: float
    sources: tuple[Source, ...] = field(default=(), repr=False, compare=False)


def modes_from(table: Table) -> Mapping[str, Mode]:
    """Read the tables of [modes] by name; raises InputError."""
    return {name: _mode(part) for name, part in table.parts().items()}


def _mode(table: Table) -> Mode:
    sources = sources_in(table) if table.has("source") else ()
    mode = Mode(table.factor("speed"), table.factor("power"), sources)
    table.close()
    return mode
