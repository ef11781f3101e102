"""What a run names before its clock starts."""

from __future__ import annotations

from collections.abc import Iterator

from fedsim.method import Combines
from fedsim.sim.simulation import Simulation
from fedsim.work import Ref, Reply, refs_in


def first_refs(sim: Simulation) -> Iterator[Ref]:
    """Yield what the first round names: at the server, and for one device of each group that has work.

    Where devices work for edges, that is also what those make of such a reply.
    """
    state = sim.method.init(sim)
    yield from refs_in((state, sim.method.models(state)))
    for device in (sim.fleet.device(number) for number in sim.fleet.starts[:-1]):
        work = sim.method.plan(sim, state, device) if device.samples else None
        if work is not None:
            yield from refs_in(work)
            if sim.schedule.at_edges and isinstance(sim.method, Combines):
                yield from sim.method.combine(sim, state, [Reply(device.id, work.up, (), 0, samples=device.samples)])
