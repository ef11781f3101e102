"""What the links of packaged topologies carry; what leads where is the scenario's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from fedsim.errors import InputError
from fedsim.fleet.link import Link
from fedsim.fleet.packaged import packaged
from fedsim.fleet.source import sources_in
from fedsim.fleet.table import Table, read_toml


@cache
def shared_links() -> Mapping[str, Mapping[str, Link]]:
    """Return the links that devices share, by topology and name.

    >>> link = shared_links()["wifi-homes"]["home"]
    >>> link.down_bytes_per_s, link.shared, link.latency_s
    (9025000.0, True, 0.0)
    """
    found = read_toml(packaged("device_profiles") / "topologies.toml").parts()
    return {
        topology: {name: _link(name, part) for name, part in table.parts().items()} for topology, table in found.items()
    }


def _link(name: str, table: Table) -> Link:
    """Read one rate that both ways share, or one for each; every number says where it comes from."""
    shared = table.has("rate")
    down, up = (table.quantity("rate" if shared else way, "rate") for way in ("down", "up"))
    if not down or not up:
        raise InputError(f"{table.where}: a rate is 0, so nothing would ever arrive; give rates above 0")
    table.text("title")
    sources_in(table)
    table.close()
    return Link(name, down, up, 0.0, shared=shared)
