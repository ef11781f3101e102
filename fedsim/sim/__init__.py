"""Virtual time: places, the network, tasks and schedules. The only package that imports simpy."""

from fedsim.sim.schedules import Async, Schedule, Sync
from fedsim.sim.simulation import Observer, Published, Simulation, World

__all__ = ["Async", "Observer", "Published", "Schedule", "Simulation", "Sync", "World"]
