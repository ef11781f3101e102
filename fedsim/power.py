"""Power meters that a machine may have: RAPL, NVML, or a command that prints watts."""

from __future__ import annotations

import math
import shlex
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from fedsim.errors import InputError

_RAPL = Path("/sys/class/powercap")
_SAMPLE_S = 0.5


class Meter(ABC):
    """Something that knows what the machine draws; ``name`` is where the watts come from."""

    name: str

    @abstractmethod
    def average_w(self, during: Callable[[], None]) -> float:
        """Return the mean watts while *during* runs."""


class Rapl(Meter):
    """The energy counters of a processor's packages, under /sys/class/powercap; memory and board are not in them."""

    name = "RAPL, processor packages alone"

    def __init__(self, counters: list[Path]) -> None:
        self._counters = counters

    def average_w(self, during: Callable[[], None]) -> float:
        start_s, before = time.perf_counter(), self._read()
        during()
        passed_s = time.perf_counter() - start_s
        wraps = [int(path.with_name("max_energy_range_uj").read_text()) for path in self._counters]
        spent = [(b - a) % (wrap + 1) for a, b, wrap in zip(before, self._read(), wraps, strict=True)]
        return sum(spent) / 1e6 / passed_s

    def _read(self) -> list[int]:
        return [int(path.read_text()) for path in self._counters]


class Sampled(Meter):
    """A meter that tells the watts of the moment, asked every half second."""

    def __init__(self, name: str, watts: Callable[[], float]) -> None:
        self.name, self._watts = name, watts

    def average_w(self, during: Callable[[], None]) -> float:
        over = threading.Event()
        with ThreadPoolExecutor(1) as pool:
            sampled = pool.submit(self._sample, over)
            try:
                during()
            finally:
                over.set()
        found = sampled.result()  # raises what the meter raised
        return sum(found) / len(found)

    def _sample(self, over: threading.Event) -> list[float]:
        found = [self._watts()]
        while not over.wait(_SAMPLE_S):
            found.append(self._watts())
        return found


def find_meter(command: str | None, *, cuda: bool) -> Meter | None:
    """Return the meter that *command* is, else NVML's on CUDA, else RAPL's; None where there is none."""
    if command:
        meter = Sampled(f"the command {command!r}", lambda: _said(command))
        meter.average_w(lambda: None)  # fails at once if it prints no number
        return meter
    return _nvml() if cuda else _rapl()


def _rapl() -> Meter | None:
    counters = sorted(_RAPL.glob("intel-rapl:?/energy_uj"))
    try:
        return Rapl(counters) if counters and counters[0].read_text() else None
    except OSError:  # root alone may read it since 2020
        return None


def _nvml() -> Meter | None:
    import torch

    try:
        torch.cuda.power_draw()
    except (ImportError, RuntimeError, OSError):  # it needs the package nvidia-ml-py
        return None
    return Sampled("NVML, the whole card", lambda: torch.cuda.power_draw() / 1e3)


def _said(command: str) -> float:
    try:
        done = subprocess.run(shlex.split(command), capture_output=True, text=True, check=True, timeout=10)
        return _watts(float(done.stdout))
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise InputError(
            f"--watts-command {command!r}: {error}; give a command that prints the watts of the moment alone"
        ) from None


def _watts(value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{value} is no power")
    return value
