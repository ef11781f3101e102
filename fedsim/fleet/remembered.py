"""A law that remembers its last answers: asking again within the stretch that they hold for costs next to nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

from fedsim.fleet.availability import Always, Availability, Key, Markov, zone_in

_MOST = 1 << 17

Stretch = tuple[float, float, bool]
"""(from, until just before, whether on)"""


@dataclass(frozen=True, slots=True)
class Remembered:
    """*law* itself, but for the time that an answer takes: a device at work is asked for much the same again and again.

    Of each device the last stretch that was asked for is kept, and of those that were only found off, the instant.
    """

    law: Availability
    _known: dict[Key, Stretch] = field(default_factory=dict, init=False, repr=False, compare=False)

    def online(self, key: Key, at_s: float) -> bool:
        known = self._known.get(key)
        if known is not None and (known[0] == at_s or known[0] <= at_s < known[1]):
            return known[2]
        on = self.law.online(key, at_s)
        self._keep(key, (at_s, at_s, on))
        return on

    def next_change(self, key: Key, at_s: float) -> float:
        known = self._known.get(key)
        if known is not None and known[0] <= at_s < known[1]:
            return known[1]
        on = known[2] if known is not None and known[0] == at_s else self.law.online(key, at_s)
        law = self.law
        change_s = law.change_from(key, at_s, online=on) if isinstance(law, Markov) else law.next_change(key, at_s)
        self._keep(key, (at_s, change_s, on))
        return change_s

    def zone_of(self, key: Key) -> float:
        """Return the time zone of a device; raises InputError where the law knows none."""
        return zone_in(self.law, key)

    def _keep(self, key: Key, stretch: Stretch) -> None:
        if len(self._known) >= _MOST:
            self._known.clear()
        self._known[key] = stretch


def remembered(law: Availability) -> Availability:
    """Return *law*, remembering what it said if that is worth it."""
    return law if isinstance(law, Always) else Remembered(law)
