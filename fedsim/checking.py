"""What `fedsim check` reports: the fleet, and what one round costs each kind of device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tomli_w

from fedsim.errors import NeedsValues
from fedsim.execute.cost_only import CostOnly
from fedsim.results import RunKey
from fedsim.runner import Experiment
from fedsim.sim import Simulation
from fedsim.units import show_bytes, show_energy, show_time

_COSTS = ("joules", "down", "up", "memory", "fits")


def survey(experiment: Experiment) -> dict[str, Any]:
    """Return name, digest, resolved scenario, fleet, and each method's cost per group of devices."""
    scenario = experiment.scenario
    return {
        "name": scenario.name,
        "digest": experiment.digest,
        "resolved": tomli_w.dumps(experiment.text),
        "fleet": _fleet(experiment),
        "costs": [row for method in scenario.method for row in _costs(experiment, method.label)],
    }


def _fleet(experiment: Experiment) -> list[dict[str, Any]]:
    fleet = experiment.world(experiment.keys[0]).fleet
    rows = []
    for group, start in zip(fleet.groups, fleet.starts, strict=False):
        sizes = [fleet.device(n).samples for n in range(start, start + min(group.count, 10_000))]
        samples = f"{min(sizes)} to {max(sizes)}" if min(sizes) < max(sizes) else str(sizes[0])
        rows.append({"count": group.count, "profile": group.profile.name, "link": group.link.name, "samples": samples})
    return rows


def _costs(experiment: Experiment, label: str) -> list[dict[str, Any]]:
    key = RunKey(label, experiment.scenario.run.seeds[0])
    world = experiment.world(key)
    sim = Simulation(
        world,
        method=experiment.build_method(label),
        schedule=experiment.schedule(label),
        executor=CostOnly(experiment.problems[key.seed]),
        observer=_Deaf(),
        seed=key.seed,
    )
    return [{"method": label, **_cost(sim, start)} for start in world.fleet.starts[:-1]]


def _cost(sim: Simulation, number: int) -> Mapping[str, str]:
    device = sim.fleet.device(number)
    names = {"profile": device.profile.name, "link": device.link.name}
    try:
        quote = sim.first_quote(device)
    except NeedsValues:
        return {**names, "seconds": "depends on values", **dict.fromkeys(_COSTS, "-")}
    if quote is None:
        return {**names, "seconds": "declines", **dict.fromkeys(_COSTS, "-")}
    return {
        **names,
        "seconds": show_time(quote.seconds),
        "joules": show_energy(quote.joules),
        "down": show_bytes(quote.down_bytes),
        "up": show_bytes(quote.up_bytes),
        "memory": show_bytes(quote.memory_bytes),
        "fits": "yes" if quote.fits else "no",
    }


class _Deaf:
    def published(self, news: object) -> None:
        """Take no note."""
