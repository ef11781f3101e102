"""Numbers with units: "5 Mbit/s", "2 MiB", "90 s", "4 W"; a bare number is refused.

Everything inside fedsim is in seconds, bytes, bytes per second, joules, watts, FLOP, joules per byte and degrees C.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

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
    "energy of a bit": {"nJ/bit": 8e-9, "uJ/bit": 8e-6, "J/B": 1.0},
    "temperature": {"C": 1.0},
    "rise": {"K/W": 1.0},
}  # fmt: skip

_LEAST = {"temperature": -273.15}  # of all others it is 0

_EXAMPLE = {
    "time": "90 s", "size": "2 MiB", "rate": "5 Mbit/s", "power": "4 W", "energy": "10 Wh", "compute": "20 GFLOP/s",
    "energy of a bit": "50 nJ/bit", "temperature": "25 C", "rise": "6 K/W",
}  # fmt: skip


_WRITTEN = {
    "time": ("h", "min", "s", "ms", "us"),
    "size": ("GiB", "GB", "MiB", "MB", "KiB", "kB", "B"),
    "rate": ("Gbit/s", "Mbit/s", "kbit/s", "B/s"),
    "power": ("W", "mW"),
    "energy": ("kWh", "Wh", "kJ", "J", "mJ"),
    "compute": ("TFLOP/s", "GFLOP/s", "MFLOP/s", "FLOP/s"),
    "energy of a bit": ("J/B", "uJ/bit", "nJ/bit"),
    "temperature": ("C",),
    "rise": ("K/W",),
}  # largest first


@dataclass(frozen=True, slots=True)
class Quantity:
    """Mark a float as a quantity of *kind* (a key of UNITS): in base units inside, a text with its unit in a file."""

    kind: str

    def read(self, value: object) -> float:
        try:
            return parse(value, self.kind)
        except InputError as error:
            raise ValueError(str(error).removeprefix(f"{value!r} ")) from None

    def write(self, value: float) -> str:
        return written(value, self.kind)

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic_core import core_schema  # who asks has it, and nobody else needs it

        writer = core_schema.plain_serializer_function_ser_schema(self.write, when_used="json-unless-none")
        return core_schema.no_info_before_validator_function(self.read, handler(source), serialization=writer)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        sign = "" if self.kind in _LEAST else "(?!-)"
        return {"type": "string", "pattern": rf"^\s*{sign}[0-9.eE+-]+\s*({'|'.join(UNITS[self.kind])})\s*$"}


Seconds = Annotated[float, Quantity("time")]
ByteCount = Annotated[float, Quantity("size")]
ByteRate = Annotated[float, Quantity("rate")]
FlopRate = Annotated[float, Quantity("compute")]


def parse(text: object, kind: str) -> float:
    """Read a quantity of *kind* (a key of UNITS) into its base unit.

    >>> parse("5 Mbit/s", "rate"), parse("1.5 h", "time"), parse("2 MiB", "size")
    (625000.0, 5400.0, 2097152.0)

    Raises InputError on a bare number, an unknown unit, NaN, or a negative number that is no temperature.
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
    least = _LEAST.get(kind, 0)
    if not math.isfinite(value) or value < least:
        raise InputError(f"{text!r} is not a finite number of at least {least:g}: {allowed}")
    return value * units[unit]


def written(value: float, kind: str) -> str:
    """Write a quantity of *kind* so that it reads back as the same number, a whole one if it can be.

    >>> written(2400.0, "time"), written(86400.0, "time"), written(0.1, "time"), written(3 * 2.0**20, "size")
    ('40 min', '24 h', '100 ms', '3 MiB')
    """
    base = next(unit for unit, factor in UNITS[kind].items() if factor == 1.0)
    units = [unit for unit in _WRITTEN[kind] if value >= UNITS[kind][unit]] or [base]
    exact = [text for unit in units if parse(text := f"{value / UNITS[kind][unit]:g} {unit}", kind) == value]
    whole = [text for text in exact if text.partition(" ")[0].isdecimal()]
    return next(iter(whole + exact), f"{value!r} {base}")


def short_time(seconds: float) -> str:
    """Write a time in three digits.

    >>> short_time(5120.3), short_time(0.25), short_time(0.0)
    ('1.42 h', '250 ms', '0 s')
    """
    return _short(seconds, {"d": 86400.0, "h": 3600.0, "min": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6}, "s")


def short_bytes(nbytes: float) -> str:
    """Write a size in three digits and binary units.

    >>> short_bytes(3.456 * 2**20), short_bytes(100)
    ('3.46 MiB', '100 B')
    """
    return _short(nbytes, {"TiB": 2.0**40, "GiB": 2.0**30, "MiB": 2.0**20, "KiB": 2.0**10, "B": 1.0}, "B")


def short_rate(bytes_per_s: float) -> str:
    """Write a rate in three digits.

    >>> short_rate(10717500.0), short_rate(0.0)
    ('85.7 Mbit/s', '0 bit/s')
    """
    return _short(8 * bytes_per_s, {"Gbit/s": 1e9, "Mbit/s": 1e6, "kbit/s": 1e3, "bit/s": 1.0}, "bit/s")


def short_energy(joules: float) -> str:
    """Write an energy in three digits.

    >>> short_energy(12345.0), short_energy(12.0)
    ('12.3 kJ', '12 J')
    """
    return _short(joules, {"GJ": 1e9, "MJ": 1e6, "kJ": 1e3, "J": 1.0, "mJ": 1e-3}, "J")


def _short(value: float, units: Mapping[str, float], base: str) -> str:
    unit = next((name for name, factor in units.items() if value >= 0.9995 * factor), base)
    number = value / units[unit]
    return f"{number:.3g} {unit}" if number < 999.5 else f"{number:.0f} {unit}"
