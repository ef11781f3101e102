"""What `fedsim check` reports: the scenario in full, the fleet, and what one round costs each kind of device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fedsim.errors import NeedsValues
from fedsim.execute.cost_only import CostOnly
from fedsim.experiment import Experiment
from fedsim.fleet import Tier, peaks_only, unmetered
from fedsim.fleet.topology import SERVER
from fedsim.results import RunKey
from fedsim.sim import Simulation, World

_MOST_COUNTED = 10_000
_NUMBERS = ("seconds", "joules", "down_bytes", "up_bytes", "memory_bytes", "fits", "transfer_s")


def survey(experiment: Experiment) -> dict[str, Any]:
    """Return name, digest, resolved scenario, fleet, network, and each method's cost per group of devices.

    Trains nothing. ``peaks_only`` names the profiles that rest on nothing better. In costs ``status``
    is "ok", "declines" (the method has no work for the device at first) or "needs values" (a message's
    size is known only by computing it).
    """
    scenario = experiment.scenario
    return {
        "name": scenario.name,
        "digest": experiment.digest,
        "resolved": scenario.resolved(),
        "fleet": _fleet(experiment),
        "network": _network(experiment),
        "peaks_only": peaks_only(experiment.profiles),
        "unmetered": unmetered(experiment.profiles),
        "costs": [row for method in scenario.method for row in _costs(experiment, method.label)],
    }


def _fleet(experiment: Experiment) -> list[dict[str, Any]]:
    fleet = experiment.world(experiment.keys[0]).fleet
    rows = []
    for group, start in zip(fleet.groups, fleet.starts, strict=False):
        sizes = [fleet.device(n).samples for n in range(start, start + min(group.count, _MOST_COUNTED))]
        names = {"count": group.count, "profile": group.profile.name, "link": group.link.name, "behind": group.behind}
        rows.append({**names, "samples_least": min(sizes), "samples_most": max(sizes)})
    return rows


def _network(experiment: Experiment) -> list[dict[str, Any]]:
    """Return the links that devices share, with rates seen from the devices; the server's own last."""
    world = experiment.world(experiment.keys[0])
    server = world.topology.server
    end = {"tier": SERVER, "count": 1, "behind": None, "edge": None, "latency_s": server.latency_s}
    rates = {"down_bytes_per_s": server.rate(up=True), "up_bytes_per_s": server.rate(up=False), "shared": server.shared}
    rows = [_tier(world, tier) for tier in world.topology.tiers]
    return [*rows, {**end, **rates, "devices_least": len(world.fleet), "devices_most": len(world.fleet)}]


def _tier(world: World, tier: Tier) -> dict[str, Any]:
    link, (least, most) = tier.link, world.topology.crowd(world.fleet, tier)
    rates = {"down_bytes_per_s": link.rate(up=False), "up_bytes_per_s": link.rate(up=True), "shared": link.shared}
    names = {"tier": tier.name, "count": tier.count, "behind": tier.behind, "edge": tier.edge and tier.edge.name}
    return {**names, "latency_s": link.latency_s, **rates, "devices_least": least, "devices_most": most}


def _costs(experiment: Experiment, label: str) -> list[dict[str, Any]]:
    key = RunKey(label, experiment.scenario.run.seeds[0])
    sim = experiment.simulation(key, CostOnly(experiment.problems[key.seed]), None)
    return [{"method": label, **_cost(sim, start)} for start in sim.fleet.starts[:-1]]


def _cost(sim: Simulation, number: int) -> Mapping[str, Any]:
    device = sim.fleet.device(number)
    row: dict[str, Any] = {"profile": device.profile.name, "link": device.link.name, "samples": device.samples}
    try:
        quote = sim.first_quote(device)
    except NeedsValues:
        return {**row, "status": "needs values", **dict.fromkeys(_NUMBERS)}
    if quote is None:
        return {**row, "status": "declines", **dict.fromkeys(_NUMBERS)}
    return {**row, "status": "ok", **asdict(quote)}
