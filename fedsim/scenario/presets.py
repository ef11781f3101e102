"""The networks that a scenario may name: functions from the number of devices to tiers, outermost first.

An option named after a tier in the plural says how many links it has; one named as the tier is, what each carries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import PrivateAttr, ValidationError, model_validator

from fedsim.fleet import Link as FleetLink
from fedsim.fleet import Tier, link_from, load_profile
from fedsim.fleet.topologies import shared_links
from fedsim.scenario.around import Around
from fedsim.scenario.table import Count, Rate, Table
from fedsim.scenario.wording import said, wrong
from fedsim.scenario.world import Link
from fedsim.units import Seconds, written

_RATES = ({"link"}, {"down", "up"}, {"rate"})
_ALLOWED = "write down and up, or shared = true and rate = '150 Mbit/s', or link = 'cable'"


class SharedLinkTable(Table):
    """A link that devices share: a rate each way, one rate that both ways share, or those of a link by name.

    latency: without it none, not even that of a link by name, for the devices' own links have it end to end.
    """

    down: Rate | None = None
    up: Rate | None = None
    shared: bool = False
    rate: Rate | None = None
    link: Link | None = None
    latency: Seconds | None = None

    _folder: Path = PrivateAttr(default=Path())

    def model_post_init(self, context: Any) -> None:
        """Remember where the paths of traces start."""
        if isinstance(context, Around):
            self._folder = context.folder

    @classmethod
    def example(cls) -> str:
        return "{ down = '100 Mbit/s', up = '20 Mbit/s' }"

    @model_validator(mode="after")
    def _one_capacity(self) -> Self:
        given = {key for key in ("down", "up", "rate", "link") if getattr(self, key) is not None}
        if given not in _RATES:
            raise said(f"gives {' and '.join(sorted(given)) or 'no rates'}: {_ALLOWED}")
        if self.rate and not self.shared:
            self._refuse("rate", written(self.rate, "rate"), "is of both ways together: add shared = true")
        if self.shared and isinstance(self.link, dict):
            self._refuse("shared", True, "is beside a link with a table of its own: give both rates there, or here")
        link = self.made()
        if link.shared and link.down_bytes_per_s != link.up_bytes_per_s:
            rates = [written(rate, "rate") for rate in (link.down_bytes_per_s, link.up_bytes_per_s)]
            self._refuse("shared", True, f"is of one rate, not of {' down and '.join(rates)} up: write rate = …")
        return self

    def made(self) -> FleetLink:
        """Return the link itself."""
        latency_s = self.latency or 0.0
        if self.link is None:
            down, up = self.down or self.rate, self.up or self.rate
            assert down is not None
            assert up is not None
            return FleetLink("custom", down, up, latency_s, shared=self.shared)
        link = link_from(self.link, self._folder)
        if self.latency is None and isinstance(self.link, dict) and "latency" in self.link:
            latency_s = link.latency_s  # given after all
        return replace(link, latency_s=latency_s, shared=self.shared or link.shared)

    def _refuse(self, key: str, value: object, message: str) -> None:
        raise ValidationError.from_exception_data("link", [wrong((key,), value, message)])


Tiers = tuple[Tier, ...]


def star(devices: int) -> Tiers:  # noqa: ARG001
    """Lead every device's own link to the server's."""
    return ()


def wifi_homes(
    devices: int,
    *,
    homes: Count | None = None,
    home: SharedLinkTable | None = None,
    line: SharedLinkTable | None = None,
) -> Tiers:
    """Share the radio channel of a home's access point and the home's line; a home for every four devices."""
    count = homes or -(-devices // 4)
    return (
        Tier("home", _link(home, "wifi-homes", "home"), count, behind="line"),
        Tier("line", _link(line, "wifi-homes", "line"), count),
    )


def cellular_cells(
    devices: int,
    *,
    cells: Count | None = None,
    technology: Literal["lte", "5g-low-band", "5g-mmwave"] = "lte",
    cell: SharedLinkTable | None = None,
    backhaul: SharedLinkTable | None = None,
) -> Tiers:
    """Share a cell, and the backhaul of all cells; a cell for every 25 devices."""
    return (
        Tier("cell", _link(cell, "cellular-cells", technology), cells or -(-devices // 25), behind="backhaul"),
        Tier("backhaul", _link(backhaul, "cellular-cells", "backhaul")),
    )


def edge_tree(
    devices: int,
    *,
    edges: Count | None = None,
    edge: SharedLinkTable | None = None,
    backhaul: SharedLinkTable | None = None,
) -> Tiers:
    """Share the network of a place, with an aggregator in it, and the backhaul of all; a place for every 25 devices."""
    link, aggregator = _link(edge, "edge-tree", "edge"), load_profile("edge-server")
    return (
        Tier("edge", link, edges or -(-devices // 25), behind="backhaul", edge=aggregator),
        Tier("backhaul", _link(backhaul, "edge-tree", "backhaul")),
    )


PRESETS: Mapping[str, Callable[..., Tiers]] = {
    "star": star,
    "wifi-homes": wifi_homes,
    "cellular-cells": cellular_cells,
    "edge-tree": edge_tree,
}


def _link(own: SharedLinkTable | None, preset: str, name: str) -> FleetLink:
    return own.made() if own else shared_links()[preset][name]
