"""What goes wrong: drawn by key, or written down for an instant; functions of (seed, device, time) alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

from fedsim.fleet.availability import Key, Marks, unit_marks
from fedsim.fleet.combined import Absent
from fedsim.seeds import uniforms

_CRASH, _MEMBER, _HIT, _DROP, _UPLOAD = 0xC2A5, 0x3E3B, 0x817, 0xD209, 0x0B1D  # keep draws of one key apart
_SLACK = 1e-9  # in marks: rounding takes no time further than this over the edge of a window

What = Literal["leave", "join", "crash", "outage", "slow", "memory", "storage"]
WHATS: tuple[What, ...] = ("leave", "join", "crash", "outage", "slow", "memory", "storage")


@dataclass(frozen=True, slots=True)
class Crashes:
    """Devices that fail at the instants of a Poisson process, one every *mean_s*, and are away for *reboot_s*."""

    mean_s: float
    reboot_s: float
    seed: int

    def online(self, key: Key, at_s: float) -> bool:
        first = math.floor((at_s - self.reboot_s) / self.mean_s - _SLACK)
        for window in range(first, math.floor(at_s / self.mean_s) + 1):
            for mark in unit_marks((self.seed, *key, _CRASH), window):
                if mark * self.mean_s <= at_s < mark * self.mean_s + self.reboot_s:
                    return False
        return True

    def next_change(self, key: Key, at_s: float) -> float:
        """Return the next crash, or while away the end of it; who crashes again meanwhile starts once more."""
        marks = Marks((self.seed, *key, _CRASH), self.mean_s)
        if self.online(key, at_s):
            return marks.following(at_s)
        back_s = marks.last(at_s) + self.reboot_s
        while (again_s := marks.last(back_s) + self.reboot_s) > back_s:
            back_s = again_s
        return back_s


@dataclass(frozen=True, slots=True)
class Members:
    """Devices that join late, a share *late* of them uniformly within *within_s*, or leave for ever after *mean_s*."""

    late: float
    within_s: float
    mean_s: float
    seed: int

    def online(self, key: Key, at_s: float) -> bool:
        joins_s, leaves_s = self._stay(key)
        return joins_s <= at_s < leaves_s

    def next_change(self, key: Key, at_s: float) -> float:
        joins_s, leaves_s = self._stay(key)
        changes = (joins_s, leaves_s) if joins_s < leaves_s else ()
        return next((change_s for change_s in changes if at_s < change_s), math.inf)

    def _stay(self, key: Key) -> tuple[float, float]:
        late, when, leaves, *_ = uniforms(self.seed, *key, _MEMBER)
        joins_s = when * self.within_s if late < self.late else -math.inf
        stay_s = -math.log(1.0 - leaves) * self.mean_s if self.mean_s < math.inf else math.inf
        return joins_s, max(joins_s, 0.0) + stay_s


@dataclass(frozen=True, slots=True)
class Event:
    """Something that befalls a share of a group (None: of all groups) from *at_s* until just before *until_s*.

    ``factor`` is what a slow-down leaves of the speed, a memory event of the RAM, and so on; ``number`` keys the draw
    of who is hit.
    """

    what: What
    at_s: float
    until_s: float
    group: int | None
    share: float
    factor: float
    number: int

    def hits(self, key: Key, seed: int) -> bool:
        """Tell whether the device of *key* is among those hit."""
        if self.group not in {None, key[0]}:
            return False
        return self.share >= 1.0 or uniforms(seed, *key, _HIT, self.number)[0] < self.share


@dataclass(frozen=True, slots=True)
class Spared:
    """On, except for the devices that *event* hits and while it lasts; of one who joins, before it begins."""

    event: Event
    seed: int

    def online(self, key: Key, at_s: float) -> bool:
        return self._interval.online(key, at_s) or not self.event.hits(key, self.seed)

    def next_change(self, key: Key, at_s: float) -> float:
        return self._interval.next_change(key, at_s) if self.event.hits(key, self.seed) else math.inf

    @property
    def _interval(self) -> Absent:
        if self.event.what == "join":
            return Absent(-math.inf, self.event.at_s)
        return Absent(self.event.at_s, self.event.until_s)


class Absence(NamedTuple):
    """Begins when a *share* of the task's time is over, and lasts some seconds."""

    share: float
    seconds: float


class Arrival(NamedTuple):
    """The share of an upload's bytes that is sent, and whether it arrives as it was."""

    share: float
    whole: bool


_WHOLE = Arrival(1.0, whole=True)


@dataclass(frozen=True, slots=True)
class Failures:
    """What goes wrong with a task: the same for every method that asks the device at the same version.

    ``dropout``: the share of tasks cut by an absence that begins somewhere within them and lasts *back_s* in the mean.
    ``corrupted``, ``truncated``: the shares of uploads that arrive so; the server refuses them, and after ``retries``
    more tries the reply is lost.
    """

    dropout: float = 0.0
    back_s: float = 60.0
    corrupted: float = 0.0
    truncated: float = 0.0
    retries: int = 1
    seed: int = 0

    def absence(self, key: Key, version: int) -> Absence | None:
        """Return the absence that cuts the device's task of *version*; None: none does."""
        if not self.dropout:
            return None
        hit, share, back, *_ = uniforms(self.seed, *key, _DROP, version)
        return Absence(share, -math.log(1.0 - back) * self.back_s) if hit < self.dropout else None

    def arrives(self, key: Key, version: int, attempt: int) -> Arrival:
        """Return how an upload arrives."""
        if not self.checks:
            return _WHOLE
        bad, share, *_ = uniforms(self.seed, *key, _UPLOAD, version, attempt)
        if bad < self.corrupted:
            return Arrival(1.0, whole=False)
        return Arrival(share, whole=False) if bad < self.corrupted + self.truncated else _WHOLE

    @property
    def checks(self) -> bool:
        """Whether uploads carry a digest, so that what is broken can be refused."""
        return self.corrupted > 0 or self.truncated > 0
