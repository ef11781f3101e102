"""A device as measured: rates per operator class, memory, power; each number with its source."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from fedsim.errors import InputError, unknown
from fedsim.fleet.packaged import packaged
from fedsim.fleet.points import Point, read_points
from fedsim.fleet.radio import Radio, radio_from, shared_radios
from fedsim.fleet.source import Source, sources_in
from fedsim.fleet.table import Table, read_toml
from fedsim.work import KINDS as WORK
from fedsim.work import WAYS, Op, OpClass, step_name

KINDS = ("sbc", "jetson", "phone", "laptop", "desktop", "server", "gpu")
PEAK_ONLY = "peak only"
QUALITIES = ("measured training", "measured inference", PEAK_ONLY)
_OPTIONAL = OpClass.ALLOCATE, OpClass.IMAGE
_STEP = re.compile(rf".+/[1-9]\d*/[1-9]\d*(x[1-9]\d*)*/({'|'.join(map(re.escape, WAYS))})/[1-9]\d*")
_NO_DEVICES = ("availability", "links", "radios", "topologies")  # files of the same folder


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one operator class runs; an infinite rate or a call of 0 s leaves its term out.

    sparse_flops_per_s: the arithmetic on non-zero weights alone; None where sparse kernels were not measured.
    """

    flops_per_s: float = math.inf
    bytes_per_s: float = math.inf
    call_s: float = 0.0
    sparse_flops_per_s: float | None = None

    def seconds(self, op: Op, density: float = 1.0) -> float:
        """Return the time of *op*: arithmetic, memory traffic and calls one after the other.

        Where sparse kernels were measured, arithmetic takes the shorter of dense and, at *density*, sparse.
        """
        arithmetic_s = op.flops / self.flops_per_s
        if self.sparse_flops_per_s is not None:
            arithmetic_s = min(arithmetic_s, density * op.flops / self.sparse_flops_per_s)
        return arithmetic_s + op.bytes / self.bytes_per_s + op.calls * self.call_s


_FREE = Rate()


@dataclass(frozen=True, slots=True)
class Profile:
    """One device. ``busy_w`` and the radios are increments over ``idle_w``; without a battery ``battery_j`` is None.

    ``radio``: by technology, its own before the shared ones; one of its own called default stands for all others.
    ``spread`` holds factors on a predicted time: 90 % of true times lie between low and high. ``points`` are the
    measured times behind the rates, where they are known one by one. ``exact`` holds the seconds of whole steps by
    name, which win over the rates.
    """

    name: str
    title: str
    kind: str
    year: int
    quality: str
    memory_bytes: float
    storage_bytes: float
    rates: Mapping[str, Rate] = field(repr=False, hash=False)
    spread: tuple[float, float]
    idle_w: float
    busy_w: float
    radio: Mapping[str, Radio] = field(repr=False, hash=False)
    sources: tuple[Source, ...] = field(repr=False)
    battery_j: float | None = None
    points: tuple[Point, ...] = field(default=(), repr=False)
    exact: Mapping[str, float] = field(default_factory=dict, repr=False, hash=False)

    def rate(self, kind: str) -> Rate:
        """Return the rate of a kind of work, or of the nearest kind above it that has one; of neither, a free one."""
        while kind and kind not in self.rates:
            kind = kind.rpartition(".")[0]
        return self.rates.get(kind, _FREE)

    def radio_for(self, technology: str) -> Radio:
        """Return the radio of *technology*, else the one called default; raises InputError where there is neither."""
        found = self.radio.get(technology) or self.radio.get("default")
        if found is None:
            wrong = unknown("technology", technology, self.radio)
            raise InputError(f"profile {self.name!r}: {wrong}; or give it a [radio.{technology}] of its own")
        return found


def profile_names() -> list[str]:
    """Return the names of the packaged profiles.

    >>> "raspberry-pi-4" in profile_names()
    True
    """
    return sorted(p.stem for p in packaged("device_profiles").glob("*.toml") if p.stem not in _NO_DEVICES)


def load_profile(name: str | Path) -> Profile:
    """Return a packaged profile by name, or one of your own by path; raises InputError."""
    if isinstance(name, Path) or name.endswith(".toml"):
        return _parsed(read_toml(Path(name)))
    if name not in profile_names():
        raise InputError(f"{unknown('profile', name, profile_names())}; or give the path of a .toml file")
    return _packaged(name)


@cache
def _packaged(name: str) -> Profile:
    return _parsed(read_toml(packaged("device_profiles") / f"{name}.toml"))


def _parsed(table: Table) -> Profile:
    power = table.table("power")
    spread, rates = _rates(table.table("rates"))
    profile = Profile(
        name=table.text("name"),
        title=table.text("title"),
        kind=table.one_of("kind", KINDS),
        year=table.year(),
        quality=table.one_of("quality", QUALITIES),
        memory_bytes=table.quantity("memory", "size"),
        storage_bytes=table.quantity("storage", "size"),
        rates=rates,
        spread=spread,
        idle_w=power.quantity("idle", "power"),
        busy_w=power.quantity("busy", "power"),
        radio=_radios(table.table("radio").parts() if "radio" in table.values else {}),
        sources=sources_in(table),
        battery_j=table.quantity("battery", "energy") if "battery" in table.values else None,
        points=read_points(table.table("points")) if table.has("points") else (),
        exact=_exact(table.table("exact")) if table.has("exact") else {},
    )
    power.close()
    table.close()
    return profile


def _rates(table: Table) -> tuple[tuple[float, float], Mapping[str, Rate]]:
    low, high = table.numbers("spread", 2)
    if not low <= 1 <= high:
        raise InputError(f"{table.where}: spread is {[low, high]}; allowed are factors with low <= 1 <= high")
    rates: dict[str, Rate] = {}
    for kind in OpClass:
        if kind not in _OPTIONAL or table.has(kind.value):
            rates |= _rates_below(table.table(kind.value), kind.value)
    table.close()
    return (low, high), rates


def _rates_below(table: Table, kind: str) -> dict[str, Rate]:
    """Return the rates of *kind* and of the kinds below it; where all of those are given, it needs none itself."""
    below = sorted({name.split(".")[kind.count(".") + 1] for name in WORK if name.startswith(f"{kind}.")})
    own = [name for name in below if table.has(name)]
    rates: dict[str, Rate] = {}
    for name in own:
        rates |= _rates_below(table.table(name), f"{kind}.{name}")
    return rates if below and own == below and table.only(own) else {kind: _rate(table), **rates}


def _rate(table: Table) -> Rate:
    flops, nbytes = (table.quantity(k, unit, math.inf) for k, unit in (("flops", "compute"), ("bytes", "rate")))
    sparse = table.quantity("sparse_flops", "compute", math.inf)  # infinite: not given
    rate = Rate(flops, nbytes, table.quantity("call", "time", 0.0), None if math.isinf(sparse) else sparse)
    table.close()
    if not flops or not nbytes or not sparse:
        raise InputError(f"{table.where}: a rate is 0, so nothing would ever end; leave the key out to drop its term")
    if rate == Rate():
        raise InputError(f"{table.where} is empty, so this class would be free; give flops, bytes or call")
    return rate


def _exact(table: Table) -> dict[str, float]:
    """Return the seconds of whole steps by their names."""
    for name in table.values:
        if not _STEP.fullmatch(name):
            example = step_name("resnet18/10/3x32x32", "sgd", 16)
            raise InputError(
                f"{table.where}: {name!r} names no step; write model/classes/shape/what is done/batch, such as "
                f"{example!r}, with one of {', '.join(WAYS)}; fedsim devices predict prints the name of each"
            )
        if not table.quantity(name, "time"):
            raise InputError(f"{table.where}: the step {name!r} takes no time; write what was measured")
    return {name: table.quantity(name, "time") for name in table.values}


def _radios(tables: Mapping[str, Table]) -> Mapping[str, Radio]:
    """Return a device's own radios over the shared ones; none of those where it has a default of its own."""
    shared = shared_radios()
    own = {name: radio_from(table, shared.get(name)) for name, table in tables.items()}
    return own if "default" in own else {**shared, **own}
