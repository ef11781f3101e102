"""The fleet as data: profiles, links, availability and cost. No behaviour in time, no tensors."""

from fedsim.fleet.availability import Always, Availability, Markov
from fedsim.fleet.battery import BatteryLaw
from fedsim.fleet.capacity import Capacity, Constant, Variation
from fedsim.fleet.charging import Charging
from fedsim.fleet.combined import Absent, All, ByGroup, all_of
from fedsim.fleet.cost import CostModel
from fedsim.fleet.curve import Curve, curve_from, curve_names, load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.dynamics import STILL, Clock, Dynamics
from fedsim.fleet.failures import Crashes, Event, Failures, Members, Spared
from fedsim.fleet.fleet import NOMINAL, Condition, Device, Fleet, Group
from fedsim.fleet.level import FULL, Level, Product, Switched
from fedsim.fleet.link import Link, link_from, link_names, load_link
from fedsim.fleet.mode import Mode
from fedsim.fleet.profile import Profile, load_profile, profile_names
from fedsim.fleet.remembered import remembering
from fedsim.fleet.thermal import Heat, Thermal
from fedsim.fleet.topology import Hop, Route, Tier, Topology
from fedsim.fleet.transport import Transport
from fedsim.fleet.trust import peaks_only, said_of, said_of_power, unmetered

__all__ = [
    "FULL",
    "NOMINAL",
    "STILL",
    "Absent",
    "All",
    "Always",
    "Availability",
    "BatteryLaw",
    "ByGroup",
    "Capacity",
    "Charging",
    "Clock",
    "Condition",
    "Constant",
    "CostModel",
    "Crashes",
    "Curve",
    "Device",
    "Diurnal",
    "Dynamics",
    "Event",
    "Failures",
    "Fleet",
    "Group",
    "Heat",
    "Hop",
    "Level",
    "Link",
    "Markov",
    "Members",
    "Mode",
    "Product",
    "Profile",
    "Route",
    "Spared",
    "Switched",
    "Thermal",
    "Tier",
    "Topology",
    "Transport",
    "Variation",
    "all_of",
    "curve_from",
    "curve_names",
    "link_from",
    "link_names",
    "load_curve",
    "load_link",
    "load_profile",
    "peaks_only",
    "profile_names",
    "remembering",
    "said_of",
    "said_of_power",
    "unmetered",
]
