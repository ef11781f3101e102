"""What `fedsim world` writes: what happens to sampled devices whoever runs in their world, as tables over time.

A history is a function of a device and its world alone. What depends on the work a device was given, such as its
battery's charge, is in the timeline of a run instead.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice, product
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from fedsim.errors import InputError
from fedsim.experiment import Experiment
from fedsim.fleet import FULL, Always, Availability, Clock, Device, Level
from fedsim.results import RunKey, check_folder, make_folder
from fedsim.seeds import seed_of
from fedsim.sim import World
from fedsim.timeline import write_table

VERSIONS, ATTEMPTS = 100, 3  # of tasks and uploads that are looked at
MOST_ROWS = 5_000_000  # of one history: about a minute, and 100 MB in memory


Span = tuple[float, float]
"""(start, end) in seconds"""


@dataclass(frozen=True, slots=True)
class Sample:
    """The *devices* of the world of one *seed* that are looked at, from time 0 until *until_s*."""

    world: World
    seed: int
    devices: tuple[Device, ...]
    until_s: float


@dataclass(frozen=True, slots=True)
class History:
    """One table: its *name*, its columns after seed and device, and what makes the *rows* of a device in order.

    ``there`` tells whether a world has any such thing: where none has, no table is written.
    """

    name: str
    columns: pa.Schema
    rows: Callable[[Sample, Device], Iterator[tuple[Any, ...]]]
    there: Callable[[World], bool] = field(default=lambda _: True)


def sample(world: World, seed: int, *, most: int, until_s: float) -> Sample:
    """Draw at most *most* devices by key, so that a larger fleet keeps most of them; sorted by number."""
    numbers = sorted(islice(world.fleet.candidates(seed_of(seed, "world")), min(most, len(world.fleet))))
    return Sample(world, seed, tuple(map(world.fleet.device, numbers)), until_s)


def online(found: Sample, device: Device) -> Iterator[Span]:
    """Yield start and end of each time online, the last cut at the end of the sample."""
    return _spells(found.world.availability, device, found.until_s)


def rates(found: Sample, device: Device) -> Iterator[tuple[str, float, float]]:
    """Yield way, time and rate of the device's own link at the start and at each change; nothing if it never varies."""
    own = found.world.topology.route(device).own
    assert own is not None, "a device has a link"
    if own.link.varies is None:
        return
    for way in ("shared",) if own.link.shared else ("down", "up"):
        capacity = own.capacity(found.seed, up=way == "up", own=True)
        found_rates = _changes(capacity.rate, capacity.next_change, found.until_s)
        yield from ((way, at_s, rate) for at_s, rate in found_rates)


def _spells(law: Availability, device: Device, until_s: float, *, on: bool = True) -> Iterator[Span]:
    """Yield start and end of each time for which *law* is on, or off."""
    at_s, since_s = 0.0, None
    while at_s < until_s:
        here = law.online(device.key, at_s) == on
        if here and since_s is None:
            since_s = at_s
        if not here and since_s is not None:
            yield since_s, at_s
            since_s = None
        at_s = law.next_change(device.key, at_s)
    if since_s is not None:
        yield since_s, until_s


def _changes(
    value: Callable[[float], float], next_change: Callable[[float], float], until_s: float
) -> Iterator[tuple[float, float]]:
    """Yield the *value* at time 0 and wherever it changes, with the time."""
    at_s, last = 0.0, None
    while at_s < until_s:
        now = value(at_s)
        if now != last:
            yield at_s, now
        at_s, last = next_change(at_s), now


def clock(found: Sample, device: Device) -> Iterator[tuple[float, float]]:
    """Yield the share of its speed at which a processor runs, where it saves power at times."""
    law, key = found.world.dynamics.clock, device.key
    return _changes(
        lambda at_s: 1.0 if law.full.online(key, at_s) else law.speed,
        lambda at_s: law.full.next_change(key, at_s),
        found.until_s,
    )


def plugged(found: Sample, device: Device) -> Iterator[Span]:
    """Yield the times for which a device that has a battery is plugged in."""
    charging = found.world.dynamics.charging
    return _spells(charging.plugged, device, found.until_s) if charging and charging.law(device.profile) else iter(())


def absences(found: Sample, device: Device) -> Iterator[tuple[int, float, float]]:
    """Yield version, share and seconds of the absences that cut a device's first tasks, if it is given them."""
    for version in range(VERSIONS):
        absence = found.world.dynamics.failures.absence(device.key, version)
        if absence:
            yield version, *absence


def uploads(found: Sample, device: Device) -> Iterator[tuple[int, int, float, bool]]:
    """Yield version, attempt, share that is sent, and whether it arrives as it was."""
    for version, attempt in product(range(VERSIONS), range(ATTEMPTS)):
        yield version, attempt, *found.world.dynamics.failures.arrives(device.key, version, attempt)


def _left(name: str) -> History:
    """Return the history of what is left of a device's speed, memory or storage."""

    def rows(found: Sample, device: Device) -> Iterator[tuple[float, float]]:
        law: Level = getattr(found.world.dynamics, name)
        share, next_change = partial(law.share, device.key), partial(law.next_change, device.key)
        return _changes(share, next_change, found.until_s)

    return History(name, _SHARE, rows, lambda world: getattr(world.dynamics, name) != FULL)


def _away(name: str, process: str) -> History:
    """Return the history of the times at which a process of the dynamics is off."""

    def rows(found: Sample, device: Device) -> Iterator[Span]:
        return _spells(getattr(found.world.dynamics, process), device, found.until_s, on=False)

    return History(name, _SPAN, rows, lambda world: getattr(world.dynamics, process) != Always())


_TIME, _COUNT = pa.float64(), pa.int64()
_SPAN = pa.schema({"start_s": _TIME, "end_s": _TIME})
_SHARE = pa.schema({"at_s": _TIME, "share": pa.float64()})
_ABSENCE = pa.schema({"version": _COUNT, "share": pa.float64(), "seconds": _TIME})
_UPLOAD = pa.schema({"version": _COUNT, "attempt": _COUNT, "share": pa.float64(), "whole": pa.bool_()})
AVAILABILITY = History("availability", _SPAN, online)
LINKS = History("links", pa.schema({"direction": pa.string(), "at_s": _TIME, "bytes_per_s": pa.float64()}), rates)
HISTORIES = (
    AVAILABILITY,
    LINKS,
    _left("speed"),
    History("clock", _SHARE, clock, lambda world: world.dynamics.clock != Clock()),
    _left("memory"),
    _left("storage"),
    _away("outages", "network"),
    _away("crashes", "rebooting"),
    History("plug", _SPAN, plugged, lambda world: world.dynamics.charging is not None),
    History("absences", _ABSENCE, absences, lambda world: world.dynamics.failures.dropout > 0),
    History("uploads", _UPLOAD, uploads, lambda world: world.dynamics.failures.checks),
)


def table(history: History, samples: Sequence[Sample]) -> pa.Table:
    """Return a history of all devices of the *samples*, by seed and device; raises InputError above MOST_ROWS rows."""
    schema = pa.schema([("seed", pa.int64()), ("device", pa.int64()), *history.columns])
    made, rows = [schema.empty_table()], 0
    for found in samples:
        for number, device in enumerate(found.devices, 1):
            lasting = list(islice(history.rows(found, device), MOST_ROWS + 1 - rows))
            rows += len(lasting)
            if rows > MOST_ROWS:
                raise InputError(_too_many(history, found, number))
            made.append(_columns(schema, (found.seed, device.id), lasting))
    return pa.concat_tables(made).combine_chunks()


def write(
    experiment: Experiment, folder: Path, *, devices: int, until_s: float, as_csv: bool = False
) -> dict[str, Any]:
    """Write every history of a scenario's world into *folder*, all seeds in one file, and return what is in them.

    The methods of a scenario live in one world, so there is one for them all.
    """
    check_folder("-o", folder)
    label = experiment.scenario.method[0].label
    samples = [
        sample(experiment.world(RunKey(label, seed)), seed, most=devices, until_s=until_s)
        for seed in experiment.problems
    ]
    return {
        "name": experiment.scenario.name,
        "digest": experiment.digest,
        **write_samples(samples, folder, as_csv=as_csv),
    }


def write_samples(samples: Sequence[Sample], folder: Path, *, as_csv: bool = False) -> dict[str, Any]:
    """Write every history of the *samples*; return the seeds' figures, and rows and digest of each file."""
    there = [history for history in HISTORIES if any(history.there(found.world) for found in samples)]
    made = {history.name: table(history, samples) for history in there}
    make_folder("-o", folder)
    files = [_written(name, found, folder, as_csv=as_csv) for name, found in made.items()]
    figures = [_figures(found, made[AVAILABILITY.name]) for found in samples]
    return {"out": str(folder), "seeds": figures, "files": files}


def _written(name: str, made: pa.Table, folder: Path, *, as_csv: bool) -> dict[str, Any]:
    path = folder / f"{name}.{'csv' if as_csv else 'parquet'}"
    _write_csv(made, path) if as_csv else write_table(made, path)
    return {"file": path.name, "rows": made.num_rows, "digest": hashlib.sha256(path.read_bytes()).hexdigest()[:16]}


def _write_csv(made: pa.Table, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    csv.write_csv(made, temporary)
    temporary.replace(path)


def _figures(found: Sample, intervals: pa.Table) -> dict[str, Any]:
    """Return the share of time online, and how often per hour a device comes or goes, of the devices of one seed."""
    own = intervals.filter(pc.equal(intervals["seed"], found.seed))
    starts, ends = (own[name].to_numpy() for name in ("start_s", "end_s"))
    device_s = len(found.devices) * found.until_s
    changes = int((starts > 0).sum() + (ends < found.until_s).sum())
    return {
        "seed": found.seed,
        "devices": len(found.devices),
        "until_s": found.until_s,
        "online": float((ends - starts).sum()) / device_s,
        "changes_per_h": 3600 * changes / device_s,
    }


def _columns(schema: pa.Schema, whose: tuple[int, int], rows: Sequence[tuple[Any, ...]]) -> pa.Table:
    columns = zip(*((*whose, *row) for row in rows), strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema)


def _too_many(history: History, found: Sample, number: int) -> str:
    return (
        f"{history.name}: more than {MOST_ROWS:,} rows by device {number} of {len(found.devices)} of seed "
        f"{found.seed}: lower --devices, --until ({found.until_s:g} s) or the number of --seeds"
    )
