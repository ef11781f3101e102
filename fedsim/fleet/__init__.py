"""The fleet as data: profiles, links, availability and cost. No behaviour in time, no tensors."""

from fedsim.fleet.availability import Always, Availability, Markov
from fedsim.fleet.battery import BatteryLaw
from fedsim.fleet.capacity import Capacity, Constant, Variation
from fedsim.fleet.cost import CostModel
from fedsim.fleet.fleet import NOMINAL, Condition, Device, Fleet, Group
from fedsim.fleet.link import Link, link_from, link_names, load_link
from fedsim.fleet.mode import Mode
from fedsim.fleet.profile import Profile, load_profile, profile_names
from fedsim.fleet.thermal import Heat, Thermal
from fedsim.fleet.topology import Hop, Route, Tier, Topology
from fedsim.fleet.transport import Transport
from fedsim.fleet.trust import peaks_only, said_of, said_of_power, unmetered

__all__ = [
    "NOMINAL",
    "Always",
    "Availability",
    "BatteryLaw",
    "Capacity",
    "Condition",
    "Constant",
    "CostModel",
    "Device",
    "Fleet",
    "Group",
    "Heat",
    "Hop",
    "Link",
    "Markov",
    "Mode",
    "Profile",
    "Route",
    "Thermal",
    "Tier",
    "Topology",
    "Transport",
    "Variation",
    "link_from",
    "link_names",
    "load_link",
    "load_profile",
    "peaks_only",
    "profile_names",
    "said_of",
    "said_of_power",
    "unmetered",
]
