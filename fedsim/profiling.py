"""Turns what was measured into a profile's file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import torch

from fedsim.errors import InputError
from fedsim.fleet.machine import Machine
from fedsim.fleet.points import write_points
from fedsim.fleet.source import Source
from fedsim.fleet.writing import write_rates
from fedsim.measuring import Measured
from fedsim.units import written


def checked_path(path: Path, *, force: bool) -> Path:
    """Return *path* if a profile can be written there; raises InputError before anything is measured."""
    if path.suffix != ".toml" or not re.fullmatch(r"[a-z0-9_-]{1,64}", path.stem):
        raise InputError(f"--out {str(path)!r}: give a name of a-z, 0-9, - and _ that ends in .toml")
    if path.exists() and not force:
        raise InputError(f"--out {str(path)!r} is there already: give another name, or --force to write over it")
    if not path.parent.is_dir():
        raise InputError(f"--out {str(path)!r}: there is no folder {str(path.parent)!r}; make it first")
    return path


def write_profile(path: Path, machine: Machine, found: Measured) -> None:
    """Write the profile of *machine*, whole or not at all."""
    partial = path.with_suffix(".toml.partial")
    partial.write_text(_text(path.stem, _as_seen(machine, found), found), "utf-8")
    partial.replace(path)


def _as_seen(machine: Machine, found: Measured) -> Machine:
    """Return the accelerator in place of the machine around it, where that was measured."""
    if found.device.type != "cuda":
        return machine
    card = torch.cuda.get_device_properties(found.device)
    return replace(machine, title=card.name, kind="gpu", memory_bytes=card.total_memory)


def _text(name: str, machine: Machine, found: Measured) -> str:
    power = found.power
    head = [
        f"name = {json.dumps(name)}", f"title = {json.dumps(machine.title)}", f"kind = {json.dumps(machine.kind)}",
        f"year = {datetime.now(UTC).year}", 'quality = "measured training"',
        f'memory = "{written(machine.memory_bytes, "size")}"', f'storage = "{written(machine.storage_bytes, "size")}"',
        "", "[power]", f'idle = "{power.idle_w:.4g} W"', f'busy = "{power.busy_w:.4g} W" # above idle', "",
    ]  # fmt: skip
    sources = [line for source in _sources(machine, found) for line in _source(source)]
    return "\n".join([*head, *sources, write_rates(found.rates, found.spread), write_points(found.points)]) + "\n"


def _sources(machine: Machine, found: Measured) -> Iterable[Source]:
    year, power = datetime.now(UTC).year, found.power
    watts = power.source or "not measured: no meter was readable"
    told = f"{len(found.points) - len(found.checks)} timings, fitted; {len(found.checks)} whole networks, checked"
    low, high = found.drift
    note = (
        f"torch {torch.__version__} on {found.where}; mean error on whole networks "
        f"{found.error:.1%}; the machine's speed drifted from {low:.2f}x to {high:.2f}x meanwhile, divided out"
    )
    yield Source("memory", written(machine.memory_bytes, "size"), "the operating system", year)
    yield Source("storage", written(machine.storage_bytes, "size"), "the operating system, the whole disk", year)
    yield Source("power.idle", f"{power.idle_w:.4g} W", watts, year)
    yield Source("power.busy", f"{power.busy_w:.4g} W", watts, year)
    yield Source("rates", told, "fedsim devices measure", year, note)


def _source(source: Source) -> list[str]:
    lines = [f"{key} = {json.dumps(getattr(source, key))}" for key in ("what", "value", "source", "year", "note")]
    return ["[[source]]", *(line for line in lines if not line.endswith('""')), ""]
