"""The fleet as data: profiles, links, availability and cost. No behaviour in time, no tensors."""

from fedsim.fleet.availability import Always, Availability, Markov
from fedsim.fleet.capacity import Capacity, Constant, Variation
from fedsim.fleet.cost import CostModel
from fedsim.fleet.curve import Curve, curve_from, curve_names, load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.fleet import NOMINAL, Condition, Device, Fleet, Group
from fedsim.fleet.link import Link, link_from, link_names, load_link
from fedsim.fleet.profile import Profile, load_profile, profile_names
from fedsim.fleet.topology import Hop, Route, Tier, Topology
from fedsim.fleet.transport import Transport
from fedsim.fleet.trust import peaks_only, said_of, said_of_power, unmetered

__all__ = [
    "NOMINAL",
    "Always",
    "Availability",
    "Capacity",
    "Condition",
    "Constant",
    "CostModel",
    "Curve",
    "Device",
    "Diurnal",
    "Fleet",
    "Group",
    "Hop",
    "Link",
    "Markov",
    "Profile",
    "Route",
    "Tier",
    "Topology",
    "Transport",
    "Variation",
    "curve_from",
    "curve_names",
    "link_from",
    "link_names",
    "load_curve",
    "load_link",
    "load_profile",
    "peaks_only",
    "profile_names",
    "said_of",
    "said_of_power",
    "unmetered",
]
