"""Where each device stands in its fleet, and who comes first by it: data may go with speed or with time online."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.fleet.availability import Availability, Key, Zoned
from fedsim.fleet.cost import CostModel
from fedsim.fleet.fleet import Fleet
from fedsim.load import Load, Op, OpClass
from fedsim.seeds import uniforms

Standing = NDArray[np.float64]
"""(n,): a figure of each device, by which it is ranked"""

DAY_S = 86_400.0
INSTANTS = 48  # in the middle of every half hour of the first day
MOST_ASKED = 100_000  # devices whose time online is sampled: about five million questions, a minute or two

# A training step of a small convolutional network, in round numbers: half a gigaflop each way of convolutions, a
# quarter of matrix products, 50 MB read and written by elementwise passes, 100 calls of kernels.
REFERENCE = Load(
    {
        "conv.forward.3x3": Op(flops=5e8, calls=20),
        "conv.backward.3x3": Op(flops=1e9, calls=20),
        OpClass.MATMUL: Op(flops=2.5e8, calls=10),
        OpClass.MEMORY: Op(bytes=5e7, calls=50),
    }
)


def standing(fleet: Fleet, availability: Availability, to: str) -> Standing:
    """Return the figure of every device that *to* ranks it by, one of STANDINGS.

    Raises InputError where there is none, or where it is the same for all.
    """
    found = STANDINGS[to](fleet, availability)
    if found.min() == found.max():
        raise InputError(f"to = {to!r}: all {len(fleet)} devices have the same, {found[0]:g}; {_OTHERWISE[to]}")
    return found


def speeds(fleet: Fleet) -> Standing:
    """Return how often a second each device's profile does the REFERENCE load."""
    per_group = [1.0 / CostModel().seconds(group.profile, REFERENCE).value for group in fleet.groups]
    return np.repeat(per_group, [group.count for group in fleet.groups])


def shares_online(fleet: Fleet, availability: Availability) -> Standing:
    """Return the share of 48 instants of the first day at which each device is online; raises InputError of too many.

    The instants are the same for all, so that who is online by night and who by day have the same share.
    """
    if len(fleet) > MOST_ASKED:
        raise InputError(
            f"to = 'online' asks every device for its first day, which {len(fleet)} devices are too many for: "
            f"take at most {MOST_ASKED}, or to = 'class' or 'zone'"
        )
    instants = [(n + 0.5) * DAY_S / INSTANTS for n in range(INSTANTS)]
    shares = (sum(availability.online(key, at_s) for at_s in instants) / INSTANTS for key in _keys(fleet))
    return np.fromiter(shares, np.float64, len(fleet))


def zones(fleet: Fleet, availability: Availability) -> Standing:
    """Return the time zone of each device; raises InputError where the availability has none."""
    if not isinstance(availability, Zoned):
        name = type(availability).__name__.lower()
        raise InputError(
            f"to = 'zone' ranks devices by their time zone, of which availability {name!r} knows none: "
            f"take one with zones, such as 'diurnal', or to = 'class' or 'online'"
        )
    return np.fromiter((availability.zone_of(key) for key in _keys(fleet)), np.float64, len(fleet))


STANDINGS: Mapping[str, Callable[[Fleet, Availability], Standing]] = {
    "class": lambda fleet, availability: speeds(fleet), "online": shares_online, "zone": zones,
}  # fmt: skip
_OTHERWISE = {
    "class": "take groups of different profiles, or to = 'online'",
    "online": "take an availability in which devices differ, or to = 'class'",
    "zone": "take an availability of several zones, or to = 'class' or 'online'",
}


def scores(fleet: Fleet, found: Standing, *, rho: float, seed: int) -> Standing:
    """Return a score of each device that correlates with its rank in *found*: a Gaussian copula.

    The normal score of the rank, ties broken by a draw from the device's key, times *rho*, plus keyed normal noise so
    that the variance is 1. Sorted by it, devices stand as in *found* with rho 1, reversed with -1 and at random with 0;
    the rank correlation (Spearman) is 6/pi asin(rho/2). Source: Nelsen 2006, An Introduction to Copulas, 5.1.
    """
    n, inverse = len(fleet), NormalDist().inv_cdf
    draws = np.array([uniforms(seed, *key)[:2] for key in _keys(fleet)])  # (n, 2): for ties, for noise
    normal = np.empty(n)
    normal[np.lexsort((draws[:, 0], found))] = [inverse((rank + 0.5) / n) for rank in range(n)]
    noise = np.array([inverse(max(u, 2.0**-53)) for u in draws[:, 1].tolist()])
    return rho * normal + math.sqrt(1.0 - rho**2) * noise


def _keys(fleet: Fleet) -> Iterator[Key]:
    return ((number, index) for number, group in enumerate(fleet.groups) for index in range(group.count))
