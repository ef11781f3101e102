"""What the machine at hand says of itself: its name, kind, memory and storage."""

from __future__ import annotations

import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from fedsim.errors import InputError, unknown
from fedsim.fleet.profile import KINDS


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine's own description; sizes in bytes, whole MiB of memory and GB of storage."""

    title: str
    kind: str
    memory_bytes: int
    storage_bytes: int


def this_machine(kind: str | None = None) -> Machine:
    """Describe the machine this runs on, a *kind* given taking the place of the one found; raises InputError."""
    if kind is not None and kind not in KINDS:
        raise InputError(f"--kind: {unknown('kind', kind, KINDS)}; choose one of them")
    title, disk_bytes = f"{_processor()}, {os.cpu_count()} logical cores", shutil.disk_usage(Path.home()).total
    memory_bytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Machine(title, kind or _kind(), memory_bytes >> 20 << 20, disk_bytes // 10**9 * 10**9)


def _processor() -> str:
    """Return the processor's name, or the board's where there is a device tree."""
    board = Path("/proc/device-tree/model")
    if board.is_file():
        return board.read_text("utf-8").strip("\0\n ")
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.processor() or platform.machine()


def _kind() -> str:
    if any(Path("/sys/class/power_supply").glob("BAT*")):
        return "laptop"
    return "sbc" if Path("/proc/device-tree/model").is_file() else "server"
