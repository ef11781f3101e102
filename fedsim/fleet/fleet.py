"""The fleet as columns: groups of equal devices, in which a device is an index."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import numpy as np

from fedsim.fleet.link import Link
from fedsim.fleet.profile import Profile
from fedsim.fleet.radio import Radio
from fedsim.seeds import integers


@dataclass(frozen=True, slots=True)
class Condition:
    """What a device has left for work right now, as shares of its profile's: all of it, unless something else runs.

    ``charge`` is that of its battery; None where none is modelled. ``down`` and ``up`` are of its own link's nominal
    rates, and may be more than 1.
    """

    speed: float = 1.0
    memory: float = 1.0
    storage: float = 1.0
    charge: float | None = None
    plugged: bool = False
    down: float = 1.0
    up: float = 1.0


NOMINAL = Condition()


@dataclass(frozen=True, slots=True)
class Device:
    """One device: ``id`` counts over the fleet, ``key`` (group, index in the group) seeds its draws.

    ``behind`` names the tier of shared links that its own leads to; ``now`` is the state it reports when asked.
    """

    id: int
    key: tuple[int, int]
    profile: Profile
    link: Link
    samples: int
    behind: str = "server"
    now: Condition = NOMINAL

    def reporting(self, now: Condition) -> Device:
        """Return the device as it is *now*."""
        return Device(self.id, self.key, self.profile, self.link, self.samples, self.behind, now)

    @property
    def memory_bytes(self) -> float:
        """Return the RAM that is free for work."""
        return self.profile.memory_bytes * self.now.memory

    @property
    def storage_bytes(self) -> float:
        """Return the storage that is free for work."""
        return self.profile.storage_bytes * self.now.storage

    @property
    def radio(self) -> Radio:
        """Return the radio that its link takes."""
        return self.profile.radio_for(self.link.technology)


@dataclass(frozen=True, slots=True)
class Group:
    """*count* devices with one profile and one link; raises InputError if the profile has no radio for the link."""

    profile: Profile
    link: Link
    count: int
    behind: str = "server"

    def __post_init__(self) -> None:
        self.profile.radio_for(self.link.technology)


@dataclass(frozen=True)
class Fleet:
    """Groups side by side; *samples* is examples per device, one number or one per device."""

    groups: tuple[Group, ...]
    samples: int | Sequence[int] = 0
    starts: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        starts = tuple(accumulate((g.count for g in self.groups), initial=0))
        object.__setattr__(self, "starts", starts)

    def __len__(self) -> int:
        return self.starts[-1]

    def device(self, number: int) -> Device:
        """Return device *number*; devices are made when asked for."""
        g = bisect_right(self.starts, number) - 1
        group = self.groups[g]
        samples = self.samples if isinstance(self.samples, int) else int(self.samples[number])
        return Device(number, (g, number - self.starts[g]), group.profile, group.link, samples, group.behind)

    def candidates(self, seed: int) -> Iterator[int]:
        """Yield distinct device ids in the keyed random order of *seed*, without a scan.

        A draw names (index, group) in a grid whose sides are powers of two above the fleet;
        a cell without a device is passed over. An added device therefore displaces at most
        itself, until a side doubles (minimum sides 1,024 and 8).
        """
        wide = max(8, _power_of_two(len(self.groups)))
        tall = max(1024, _power_of_two(max(g.count for g in self.groups)))
        counts = np.zeros(wide, dtype=np.int64)
        counts[: len(self.groups)] = [g.count for g in self.groups]
        seen: set[int] = set()
        start, block = 0, 1024
        while len(seen) < len(self):
            cells = integers(seed, start, block) & np.uint64(wide * tall - 1)
            group, index = (cells % np.uint64(wide)).astype(np.int64), (cells // np.uint64(wide)).astype(np.int64)
            present = index < counts[group]
            for g, i in zip(group[present].tolist(), index[present].tolist(), strict=True):
                number = self.starts[g] + i
                if number not in seen:
                    seen.add(number)
                    yield number
            start, block = start + block, min(2 * block, 1 << 16)


def _power_of_two(n: int) -> int:
    return 1 << (n - 1).bit_length()
