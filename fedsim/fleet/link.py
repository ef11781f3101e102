"""An access link: two rates, a latency and how they vary, as a named preset or written inline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from fedsim.errors import InputError, unknown
from fedsim.fleet.capacity import Capacity, Constant, Key, Variation
from fedsim.fleet.generated import generated_from
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import sources_in
from fedsim.fleet.table import Table, read_toml
from fedsim.fleet.trace_files import read_traces
from fedsim.fleet.traces import Traces

WIFI = "wifi"  # the radio of a link that names none, or "default", as resolved scenarios once said
MOST_LOSS = 0.5
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


def load_link(name: str, *, varies: bool = False) -> Link:
    """Return a packaged link, its rates constant unless it *varies*; raises InputError that names the nearest one."""
    if name not in _presets():
        raise InputError(f"{unknown('link', name, _presets())}; or write one inline: {_CUSTOM}")
    link = _presets()[name]
    if varies and link.varies is None:
        raise InputError(f"link {name!r} does not vary: leave varies out, or give it a trace")
    return link if varies else _constant(name)


def link_from(value: str | Mapping[str, Any], folder: Path = Path()) -> Link:
    """Return the link that a scenario names, spells out, or says is like another; traces start at *folder*.

    >>> link_from({"down": "20 Mbit/s", "up": "5 Mbit/s", "latency": "20 ms"}).up_bytes_per_s
    625000.0
    >>> link_from({"like": "lte", "down": "1 MB/s", "loss": 0.01}).technology
    'lte'
    """
    if isinstance(value, str):
        return load_link(value)
    if not isinstance(value, Mapping):
        raise InputError(f"link is {value!r}; allowed is one of {', '.join(link_names())}, or {_CUSTOM}")
    table = Table("link", value)
    varies = table.read("varies", _boolean) if table.has("varies") else False
    like = load_link(table.text("like"), varies=varies) if table.has("like") else None
    if varies and like is None:
        raise InputError(f"{table.where}: varies needs the link whose variation it is: add like = 'lte', say")
    link = _shared(_traced(_read("custom", table, like), table, folder), table)
    table.close()
    return link


@cache
def _presets() -> dict[str, Link]:
    return {
        name: _preset(name, part)
        for name, part in read_toml(packaged("device_profiles") / "links.toml").parts().items()
    }


@cache
def _constant(name: str) -> Link:
    return replace(_presets()[name], varies=None)


def _preset(name: str, table: Table) -> Link:
    """Read a preset, whose every number says where it comes from."""
    link = _read(name, table)
    if table.has("varies"):
        part = table.table("varies")
        link = replace(link, varies=generated_from(part))
        sources_in(part)
        part.close()
    table.text("title")
    sources_in(table)
    table.close()
    return link


def _read(name: str, table: Table, like: Link | None = None) -> Link:
    """Read a link; what *table* leaves out is as in *like*, without which rates and latency are required."""
    base = like or Link(name, 0.0, 0.0, 0.0)
    down, up = (
        table.quantity(way, "rate", rate if like else None)
        for way, rate in (("down", base.down_bytes_per_s), ("up", base.up_bytes_per_s))
    )
    if not down or not up:
        raise InputError(f"{table.where}: a rate is 0, so nothing would ever arrive; give rates above 0")
    technology = table.text("technology", base.technology)
    return replace(
        base,
        name=table.text("name", base.name),
        down_bytes_per_s=down,
        up_bytes_per_s=up,
        latency_s=table.quantity("latency", "time", base.latency_s if like else None),
        technology=WIFI if technology == "default" else technology,
        loss=table.read("loss", _loss) if table.has("loss") else base.loss,
    )


def _traced(link: Link, table: Table, folder: Path) -> Link:
    if not table.has("trace"):
        return link
    if link.varies is not None:
        raise InputError(f"{table.where}: varies and trace both say how the rates change: give one of them")
    return replace(link, varies=read_traces(table.values["trace"], folder))


def _shared(link: Link, table: Table) -> Link:
    """Let both ways share the capacity of down, where the table says so."""
    if not table.has("shared") or not table.read("shared", _boolean):
        return link
    if "up" in table.values and link.up_bytes_per_s != link.down_bytes_per_s:
        raise InputError(f"{table.where}: shared, so both ways have one capacity: give up the rate of down")
    if isinstance(link.varies, Traces) and not link.varies.down:
        raise InputError(f"{table.where}: shared, so both ways have the capacity of down, for which it has no trace")
    return replace(link, shared=True, up_bytes_per_s=link.down_bytes_per_s)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{value!r} is neither true nor false")
    return value


def _loss(value: Any) -> float:
    if type(value) not in (int, float) or not 0 <= value <= MOST_LOSS:
        raise InputError(f"{value!r} is no share of packets that may be lost: write a number from 0 to {MOST_LOSS}")
    return float(value)
