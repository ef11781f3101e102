"""What `fedsim check` reports: the scenario in full, the fleet, and what one round costs each kind of device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fedsim.errors import NeedsValues
from fedsim.execute.cost_only import CostOnly
from fedsim.experiment import Experiment
from fedsim.fleet import Availability, Tier, peaks_only, unmetered
from fedsim.fleet.availability import Key
from fedsim.fleet.charging import DAY_S
from fedsim.fleet.topology import SERVER
from fedsim.results import RunKey
from fedsim.scenario import plain, told
from fedsim.sim import Simulation, World

_MOST_COUNTED = 10_000
_MOST_SAMPLED, _INSTANTS, _CHANGES = 200, 48, 40  # so that a look at the dynamics takes a second at most
_NUMBERS = ("seconds", "joules", "down_bytes", "up_bytes", "memory_bytes", "fits", "transfer_s")


def survey(experiment: Experiment) -> dict[str, Any]:
    """Return name, digest, resolved scenario, fleet, network, and each method's cost per group of devices.

    Trains nothing. ``dynamics`` is there where devices do more than come and go by one chain. ``peaks_only`` names the
    profiles that rest on nothing better. In costs ``status`` is "ok", "declines" (the method has no work for the device
    at first) or "needs values" (a message's size is known only by computing it).
    """
    scenario = experiment.scenario
    return {
        "name": scenario.name,
        "digest": experiment.digest,
        "resolved": scenario.resolved(),
        "fleet": _fleet(experiment),
        "network": _network(experiment),
        **({} if plain(scenario) else {"dynamics": _dynamics(experiment)}),
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


def _dynamics(experiment: Experiment) -> dict[str, Any]:
    """Return how much the devices of each group are online on the first day, and what happens to them, in words."""
    world = experiment.world(experiment.keys[0])
    groups, until_s = world.fleet.groups, min(DAY_S, world.stop_s)
    most = max(1, _MOST_SAMPLED // len(groups))
    rows = []
    for number, group in enumerate(groups):
        keys = [(number, index) for index in range(min(group.count, most))]
        found = [_online(world.availability, key, until_s) for key in keys]
        stays = [_stays(world.availability, key, until_s) for key in keys]
        online_s, ended = (sum(part) for part in zip(*stays, strict=True))
        row = {"profile": group.profile.name, "count": group.count, "sampled": len(keys), "until_s": until_s}
        rows.append({**row, "online": sum(found) / len(found), "stay_s": online_s / ended if ended else None})
    return {"groups": rows, "said": told(experiment.scenario, [group.profile for group in groups])}


def _online(law: Availability, key: Key, until_s: float) -> float:
    """Return the share of instants, evenly spread, at which a device is online."""
    return sum(law.online(key, (n + 0.5) * until_s / _INSTANTS) for n in range(_INSTANTS)) / _INSTANTS


def _stays(law: Availability, key: Key, until_s: float) -> tuple[float, int]:
    """Return how long a device is online in its first changes, and how many stays end there."""
    at_s, online_s, ended = 0.0, 0.0, 0
    for _ in range(_CHANGES):
        here, next_s = law.online(key, at_s), min(until_s, law.next_change(key, at_s))
        online_s += here * (next_s - at_s)
        if next_s == until_s:
            break
        ended += here and not law.online(key, next_s)
        at_s = next_s
    return online_s, ended


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
