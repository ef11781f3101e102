"""Numbers with units: "5 Mbit/s", "2 MiB", "90 s", "4 W"; a bare number is refused.

Everything inside fedsim is in seconds, bytes, bytes per second, joules, watts and FLOP.
"""

from __future__ import annotations

import math
import re

from fedsim.errors import InputError, nearest

_SI = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_IEC = {"Ki": 2.0**10, "Mi": 2.0**20, "Gi": 2.0**30, "Ti": 2.0**40}

UNITS: dict[str, dict[str, float]] = {
    "time": {
        "us": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "min": 60.0, "h": 3600.0, "hour": 3600.0, "hours": 3600.0,
        "d": 86400.0, "day": 86400.0, "days": 86400.0,
    },
    "size": {f"{p}B": f for p, f in (_SI | _IEC).items()},
    "rate": {f"{p}bit/s": f / 8 for p, f in (_SI | _IEC).items()} | {f"{p}B/s": f for p, f in (_SI | _IEC).items()},
    "power": {"mW": 1e-3, "W": 1.0, "kW": 1e3},
    "energy": {"mJ": 1e-3, "J": 1.0, "kJ": 1e3, "Wh": 3600.0, "kWh": 3.6e6},
    "compute": {f"{p}FLOP/s": f for p, f in _SI.items()},
}  # fmt: skip

_EXAMPLE = {
    "time": "90 s", "size": "2 MiB", "rate": "5 Mbit/s", "power": "4 W", "energy": "10 Wh", "compute": "20 GFLOP/s",
}  # fmt: skip


def parse(text: object, kind: str) -> float:
    """Read a quantity of *kind* (a key of UNITS) into its base unit.

    >>> parse("5 Mbit/s", "rate"), parse("1.5 h", "time"), parse("2 MiB", "size")
    (625000.0, 5400.0, 2097152.0)

    Raises InputError on a bare number, an unknown unit, a negative number or NaN.
    """
    units = UNITS[kind]
    allowed = f"write a number and a unit, such as {_EXAMPLE[kind]!r}; units: {', '.join(units)}"
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        raise InputError(f"{text!r} has no unit: {allowed}")
    match = re.fullmatch(r"\s*([-+\w.]*?)\s*([A-Za-z/]+)\s*", text) if isinstance(text, str) else None
    if match is None:
        raise InputError(f"{text!r} is not a quantity: {allowed}")
    number, unit = match.groups()
    if unit not in units:
        raise InputError(f"{text!r} has the unknown unit {unit!r}{nearest(unit, units)}: {allowed}")
    try:
        value = float(number)
    except ValueError:
        raise InputError(f"{text!r} does not start with a number: {allowed}") from None
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{text!r} is not a finite number of at least 0: {allowed}")
    return value * units[unit]


def show_time(seconds: float) -> str:
    """Write virtual time for people.

    >>> show_time(5120.3), show_time(0.25), show_time(200000)
    ('1 h 25 min', '0.25 s', '2 d 7 h')
    """
    if seconds < 60:
        return f"{seconds:.3g} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    if seconds < 86400:
        return f"{int(seconds // 3600)} h {int(seconds % 3600 // 60)} min"
    return f"{int(seconds // 86400)} d {int(seconds % 86400 // 3600)} h"


def show_bytes(nbytes: float) -> str:
    """Write a size for people, in binary units.

    >>> show_bytes(3 * 2**20), show_bytes(100)
    ('3 MiB', '100 B')
    """
    for unit, factor in (("GiB", 2.0**30), ("MiB", 2.0**20), ("KiB", 2.0**10)):
        if nbytes >= factor:
            return f"{nbytes / factor:.4g} {unit}"
    return f"{nbytes:.4g} B"


def show_energy(joules: float) -> str:
    """Write an energy for people.

    >>> show_energy(12345.0), show_energy(12.0)
    ('12.35 kJ', '12 J')
    """
    return f"{joules / 1e3:.4g} kJ" if joules >= 1e3 else f"{joules:.4g} J"
