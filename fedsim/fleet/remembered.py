"""A law that remembers its last answers: asking again within the stretch that they hold for costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import TypeVar

from fedsim.fleet.availability import Availability, Key, Markov, zone_in
from fedsim.fleet.charging import Charging
from fedsim.fleet.combined import All, ByGroup
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.dynamics import Clock, Dynamics
from fedsim.fleet.failures import Crashes, Members, Spared
from fedsim.fleet.level import Product, Switched
from fedsim.fleet.presence import Presence

T = TypeVar("T")

_MOST = 1 << 17

Stretch = tuple[float, float, bool]
"""(from, until just before, whether on)"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """*law* itself, but for the time that an answer takes: a device at work is asked for much the same again and again.

    Of each device the last stretch that was asked for is kept. Whether it is on is found without how long it stays so,
    unless laws are asked of devices at work alone, *whole* from the start.
    """

    law: Availability
    whole: bool
    _known: dict[Key, Stretch] = field(default_factory=dict, init=False, repr=False, compare=False)

    def online(self, key: Key, at_s: float) -> bool:
        known = self._known.get(key)
        if known is not None and (known[0] == at_s or known[0] <= at_s < known[1]):
            return known[2]
        on = not known[2] if known is not None and at_s == known[1] else self.law.online(key, at_s)
        self._keep(key, (at_s, self._until(key, at_s, online=on) if self.whole else at_s, on))
        return on

    def next_change(self, key: Key, at_s: float) -> float:
        known = self._known.get(key)
        if known is not None and known[0] <= at_s < known[1]:
            return known[1]
        on = self.online(key, at_s)
        change_s = self._known[key][1] if self.whole else self._until(key, at_s, online=on)
        self._keep(key, (at_s, change_s, on))
        return change_s

    def _until(self, key: Key, at_s: float, *, online: bool) -> float:
        law = self.law
        return (
            law.change_from(key, at_s, online=online)
            if isinstance(law, Markov | Diurnal)
            else law.next_change(key, at_s)
        )

    def zone_of(self, key: Key) -> float:
        """Return the time zone of a device; raises InputError where the law knows none."""
        return zone_in(self.law, key)

    def _keep(self, key: Key, stretch: Stretch) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = stretch


_WORTH_IT = (Crashes, Diurnal, Markov, Members, Presence, Spared)
_OF_PARTS = (All, ByGroup, Charging, Clock, Dynamics, Product, Switched)


def remembering(law: T, *, whole: bool = False) -> T:
    """Return *law* with each law in it that draws remembering what it said; what has none is returned as it is."""
    if isinstance(law, _WORTH_IT):
        return Remembered(law, whole)  # type: ignore[return-value]
    if isinstance(law, tuple):
        parts = tuple(remembering(part, whole=whole) for part in law)
        return parts if any(new is not old for new, old in zip(parts, law, strict=True)) else law  # type: ignore[return-value]
    if not isinstance(law, _OF_PARTS):
        return law
    whole = whole or isinstance(law, Dynamics)
    parts_of = {f.name: getattr(law, f.name) for f in fields(law)}
    changed = {name: new for name, old in parts_of.items() if (new := remembering(old, whole=whole)) is not old}
    return replace(law, **changed) if changed else law
