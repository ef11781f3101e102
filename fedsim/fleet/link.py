"""A device's access link: two rates and a latency, as a named preset or written inline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fedsim.errors import InputError, unknown
from fedsim.fleet.capacity import Capacity, Constant, Key, Variation
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import sources_in
from fedsim.fleet.table import Table, read_toml

WIFI = "wifi"  # the radio of a link that names none, or "default", as resolved scenarios once said
_CUSTOM = "{ down = '20 Mbit/s', up = '5 Mbit/s', latency = '20 ms' }"


@dataclass(frozen=True, slots=True)
class Link:
    """Rates in bytes per second as seen from the device, one-way latency in seconds, and the radio it uses.

    shared: both ways share one capacity, that of ``down_bytes_per_s``; else each has its own. loss: the share of all
    packets that is lost, and sent again. varies: how the rates change over time; None: they never do.
    """

    name: str
    down_bytes_per_s: float
    up_bytes_per_s: float
    latency_s: float
    technology: str = WIFI
    shared: bool = False
    loss: float = 0.0
    varies: Variation | None = None

    def rate(self, *, up: bool) -> float:
        """Return the nominal rate of one direction."""
        return self.up_bytes_per_s if up and not self.shared else self.down_bytes_per_s

    def capacity(self, key: Key, *, seed: int, up: bool) -> Capacity:
        """Return what the link of *key* carries over time."""
        if self.varies is None:
            return Constant(self.rate(up=up))
        return self.varies.capacity(self.rate(up=up), key, seed=seed, up=up and not self.shared)


def link_names() -> list[str]:
    """Return the names of the packaged links.

    >>> link_names()[:3]
    ['5g-low-band', '5g-mmwave', 'cable']
    """
    return sorted(_presets())


def load_link(name: str) -> Link:
    """Return a packaged link; raises InputError that names the nearest one."""
    if name not in _presets():
        raise InputError(f"{unknown('link', name, _presets())}; or write one inline: {_CUSTOM}")
    return _presets()[name]


def link_from(value: str | Mapping[str, Any]) -> Link:
    """Return the link that a scenario names or spells out.

    >>> link_from({"down": "20 Mbit/s", "up": "5 Mbit/s", "latency": "20 ms"}).up_bytes_per_s
    625000.0
    """
    if isinstance(value, str):
        return load_link(value)
    if not isinstance(value, Mapping):
        raise InputError(f"link is {value!r}; allowed is one of {', '.join(link_names())}, or {_CUSTOM}")
    table = Table("link", value)
    link = _read("custom", table)
    table.close()
    return link


@cache
def _presets() -> dict[str, Link]:
    return {
        name: _preset(name, part)
        for name, part in read_toml(packaged("device_profiles") / "links.toml").parts().items()
    }


def _preset(name: str, table: Table) -> Link:
    """Read a preset, whose every number says where it comes from."""
    link = _read(name, table)
    table.text("title")
    sources_in(table)
    table.close()
    return link


def _read(name: str, table: Table) -> Link:
    down, up = table.quantity("down", "rate"), table.quantity("up", "rate")
    if not down or not up:
        raise InputError(f"{table.where}: a rate is 0, so nothing would ever arrive; give rates above 0")
    latency_s = table.quantity("latency", "time")
    technology = table.text("technology", WIFI)
    return Link(table.text("name", name), down, up, latency_s, WIFI if technology == "default" else technology)
