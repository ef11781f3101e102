"""What a radio draws above idle, by technology: a line over the rate in each direction, then a tail."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import Source, sources_in
from fedsim.fleet.table import Table, read_toml


@dataclass(frozen=True, slots=True)
class Line:
    """Power over rate: *w* watts at any rate, *j_per_byte* more for each byte that crosses.

    Slope times rate times time is slope times bytes, so that no rate need be known: what stalls draws *w*.
    """

    w: float
    j_per_byte: float = 0.0

    def joules(self, seconds: float, nbytes: float) -> float:
        """Return the energy of *nbytes* in *seconds*, latency included."""
        return self.w * seconds + self.j_per_byte * nbytes


@dataclass(frozen=True, slots=True)
class Radio:
    """Sending, receiving, and the states (watts, seconds) that follow the last byte one after the other.

    ``promotion_s`` passes before a transfer that finds the radio asleep, its tail over, and draws what that draws.
    """

    tx: Line
    rx: Line
    tail: tuple[tuple[float, float], ...] = ()
    promotion_s: float = 0.0
    sources: tuple[Source, ...] = field(default=(), repr=False, compare=False)

    @property
    def tail_s(self) -> float:
        return sum(length_s for _, length_s in self.tail)

    def transfer_j(self, seconds: float, nbytes: float, *, up: bool) -> float:
        """Return the energy of a transfer of *seconds*, of which *nbytes* crossed."""
        return (self.tx if up else self.rx).joules(seconds, nbytes)

    def tail_j(self, seconds: float = math.inf) -> float:
        """Return the energy of the first *seconds* of the tail.

        >>> Radio(Line(2.0), Line(1.0), tail=((1.0, 3.0), (0.5, 10.0))).tail_j(5.0)
        4.0
        """
        joules = 0.0
        for watts, length_s in self.tail:
            joules += watts * min(length_s, seconds)
            seconds = max(0.0, seconds - length_s)
        return joules


@cache
def shared_radios() -> Mapping[str, Radio]:
    """Return the radios by technology that a profile without numbers of its own has.

    >>> sorted(shared_radios())[:3]
    ['5g-low-band', '5g-mmwave', 'ethernet']
    """
    return {
        name: _preset(part) for name, part in read_toml(packaged("device_profiles") / "radios.toml").parts().items()
    }


def radio_from(table: Table, shared: Radio | None = None) -> Radio:
    """Read a radio; a direction or tail that *table* leaves out is that of *shared*; raises InputError.

    Without *shared* both directions are required and a tail is optional.
    """
    parts: dict[str, Any] = {key: _line(table, key) for key in ("tx", "rx") if shared is None or _names(table, key)}
    if "tail" in table.values:
        parts["tail"] = tuple(map(_state, table.tables("tail")))
    if "promotion" in table.values:
        parts["promotion_s"] = table.quantity("promotion", "time")
    table.close()
    if shared is None:
        return Radio(**parts)
    return replace(shared, **parts, sources=tuple(s for s in shared.sources if s.what not in {*parts, *table.values}))


def _preset(table: Table) -> Radio:
    """Read a shared radio, whose every number says where it comes from."""
    sources = sources_in(table)
    return replace(radio_from(table), sources=sources)


def _names(table: Table, key: str) -> bool:
    return key in table.values or f"{key}_per_bit" in table.values


def _line(table: Table, key: str) -> Line:
    return Line(table.quantity(key, "power"), table.quantity(f"{key}_per_bit", "energy of a bit", 0.0))


def _state(table: Table) -> tuple[float, float]:
    state = table.quantity("power", "power"), table.quantity("time", "time")
    table.close()
    return state
