"""What it takes to merge at edge aggregators: a network that has some, and a method whose replies combine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from fedsim.method import Combines
from fedsim.scenario.presets import Tiers
from fedsim.scenario.schema import merged_schedule
from fedsim.scenario.table import Errors
from fedsim.scenario.wording import Place, wrong

KIND = "hierarchical"


def without_edges(data: Mapping[str, Any], tiers: Tiers) -> Errors:
    """Return what is wrong with hierarchical schedules in the scenario *data* where no tier has an aggregator."""
    if any(tier.edge for tier in tiers):
        return []
    message = (
        "merges at edge aggregators first, and there are none: write [network] preset = 'edge-tree', give a tier "
        "edge = 'edge-server', or choose 'sync'"
    )
    places = dict.fromkeys(place for _, _, place in _hierarchical(data))
    return [wrong(place, KIND, message) for place in places]


def uncombined(data: Mapping[str, Any], methods: Mapping[str, type[Any]]) -> Errors:
    """Return what is wrong with methods under a hierarchical schedule whose replies cannot be combined."""
    able = sorted(name for name, kind in methods.items() if issubclass(kind, Combines))
    message = f"cannot merge at edges, which schedule.kind = {KIND!r} asks for; {', '.join(able)} can, or choose 'sync'"
    found = [(number, name) for number, name, _ in _hierarchical(data) if name in methods]
    return [wrong(("method", number, "name"), name, message) for number, name in found if name not in able]


def _hierarchical(data: Mapping[str, Any]) -> Iterator[tuple[int, Any, Place]]:
    """Yield number and name of each method under a hierarchical schedule, and the place that says so."""
    base = data.get("schedule")
    for number, method in enumerate(data["method"]):
        own = method.get("schedule")
        merged = merged_schedule(_table(base), _table(own))
        if merged.get("kind") == KIND:
            by_itself = "kind" in _table(own)
            yield (
                number,
                method.get("name"),
                ("method", number, "schedule", "kind") if by_itself else ("schedule", "kind"),
            )


def _table(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
