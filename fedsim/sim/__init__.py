"""Virtual time: places, the network, tasks and schedules. The only package that imports simpy."""

from fedsim.sim.asking import unseen
from fedsim.sim.deadlines import Adaptive
from fedsim.sim.first import first_refs
from fedsim.sim.hierarchical import Hierarchical
from fedsim.sim.schedules import Async, Schedule, Sync
from fedsim.sim.selection import Selector
from fedsim.sim.simulation import Simulation
from fedsim.sim.world import Observer, Published, World

__all__ = [
    "Adaptive",
    "Async",
    "Hierarchical",
    "Observer",
    "Published",
    "Schedule",
    "Selector",
    "Simulation",
    "Sync",
    "World",
    "first_refs",
    "unseen",
]
