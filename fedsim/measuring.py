"""Measures the machine it runs on: times stacks of layers, fits rates to them, checks them on whole networks.

A machine's speed drifts while it is measured, so that every time is divided by the pulses taken around it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fedsim.errors import InputError
from fedsim.fleet.fitting import Column, Fit, Row, spread
from fedsim.fleet.points import Point
from fedsim.fleet.profile import Rate
from fedsim.learn.fragments import Fragment, fragments
from fedsim.learn.models import build_model
from fedsim.learn.stopwatch import Pulse, Timing, forward_pass, timed, training_step
from fedsim.learn.trace import trace_forward, trace_step
from fedsim.power import Meter
from fedsim.work import KINDS, Load, OpClass

Tick = Callable[[str], None]
PULSE = "pulse"  # the point that says how fast the machine was
_WAYS = "forward", "backward"
_WEIGHTY_S = 0.02  # shorter rows count less: in a network the large layers take the time


class Timed(NamedTuple):
    """One timed piece of work; ``step`` is training, forward or check."""

    name: str
    family: str
    step: str
    batch: int
    load: Load
    timing: Timing


class Power(NamedTuple):
    """Watts of the machine at rest, what training adds, and what told so; zeros where nothing did."""

    idle_w: float
    busy_w: float
    source: str


@dataclass(frozen=True, slots=True)
class Measured:
    """What the measuring found; ``drift`` is the spread of the pulses, from a tenth to nine tenths of them."""

    rates: dict[str, Rate]
    points: tuple[Point, ...]
    spread: tuple[float, float]
    drift: tuple[float, float]
    power: Power
    threads: int
    device: torch.device
    seconds: float

    @property
    def checks(self) -> list[Point]:
        return [point for point in self.points if point.step == "check"]

    @property
    def where(self) -> str:
        """What was measured, such as "cpu, 2 threads"."""
        return f"{self.device.type}, {self.threads} thread{'s'[: self.threads > 1]}"

    @property
    def error(self) -> float:
        """The mean absolute error on whole networks that the fit never saw."""
        return sum(abs(p.fitted_s / p.seconds - 1) for p in self.checks) / len(self.checks)


def ready(device: str, threads: int | None) -> torch.device:
    """Return the torch device called so, torch set to so many threads; raises InputError."""
    if device not in ("cpu", "cuda"):
        raise InputError(f"--torch-device {device!r}: measure 'cpu' or 'cuda'")
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("--torch-device 'cuda': this torch sees no CUDA device; measure 'cpu'")
    if threads is not None and threads < 1:
        raise InputError(f"--threads {threads}: give a whole number of at least 1")
    if threads is not None:
        torch.set_num_threads(threads)
    return torch.device(device)


def steps(*, quick: bool) -> int:
    """Return how many ticks :func:`measure` will give."""
    return len(fragments(quick=quick)) + len(_CHECKS)


def measure(device: torch.device, *, quick: bool, meter: Meter | None, tick: Tick) -> Measured:
    """Measure *device* with the threads torch is set to use; *tick* hears of each piece of work as it is done."""
    start_s, bench = time.perf_counter(), _Bench(device, Pulse(device), tick)
    power = _power(meter, bench.pulse)  # first, so that a meter that fails costs nothing else
    rows = [timed for each in fragments(quick=quick) for timed in bench.stack(each)]
    checks = [bench.network(each) for each in _CHECKS]
    beat_s = median(row.timing.pulse_s for row in (*rows, *checks))
    fit = _fit([_row(row, beat_s) for row in rows])
    pulse = Point(PULSE, PULSE, "operator", 4, beat_s, beat_s, 0.0, 0.0)
    points = (pulse, *_points(rows, fit, beat_s), *_points(checks, fit, beat_s))
    found = [p for p in points if p.step == "check"]
    pulses = np.quantile([row.timing.pulse_s / beat_s for row in (*rows, *checks)], (0.1, 0.9))
    return Measured(
        fit.rates, points, spread([p.seconds / p.fitted_s for p in found], [p.family for p in found]),
        (float(pulses[0]), float(pulses[1])), power, torch.get_num_threads(), device,
        time.perf_counter() - start_s,
    )  # fmt: skip


def columns(*, fresh: bool = True) -> tuple[Column, ...]:
    """Return what a machine's time is made of; *fresh*: with memory taken from the operating system."""
    both = [column for way in _WAYS for column in _one_way(way)]
    both += [
        Column("bytes", tuple(f"{OpClass.NORM}.{way}.batch" for way in _WAYS)),  # timed in training only, as one
        Column("bytes", tuple(f"{OpClass.MEMORY}.{way}.strided" for way in _WAYS)),
        Column("flops", (OpClass.MATMUL,)),
        Column("bytes", (OpClass.MATMUL, OpClass.ATTENTION)),
        Column("calls", (OpClass.MATMUL,)),
        Column("bytes", (OpClass.OPTIMIZER,)),
        Column("calls", (OpClass.OPTIMIZER,)),
    ]
    return (*both, Column("bytes", (OpClass.ALLOCATE,))) if fresh else tuple(both)


def _one_way(way: str) -> Iterable[Column]:
    conv, thin, point = f"conv.{way}", f"depthwise.{way}", f"pointwise.{way}"
    for form in ("3x3", "large", "thin", "grouped"):
        yield Column("flops", (f"{conv}.{form}",))
    for form in ("3x3", "large"):
        yield Column("flops", (f"{thin}.{form}",))
    yield Column("flops", (point,))
    yield Column("flops", (f"attention.{way}",))
    yield Column("bytes", (f"{conv}.3x3", f"{conv}.large", f"{conv}.grouped"))
    yield Column("bytes", (point,))
    yield Column("bytes", (thin,))
    yield Column("bytes", (f"norm.{way}.layer",))
    for form in ("plain", "activation", "pool"):
        yield Column("bytes", (f"memory.{way}.{form}",))
    yield Column("calls", (f"{conv}.3x3", f"{conv}.large", f"{conv}.thin", point))
    yield Column("calls", (f"{conv}.grouped", thin))
    yield Column("calls", (f"norm.{way}", f"memory.{way}", f"attention.{way}"))


class _Fitted(NamedTuple):
    fit: Fit
    costs: np.ndarray

    @property
    def rates(self) -> dict[str, Rate]:
        kinds = [kind for kind in KINDS if any(column.covers(kind) for column in self.fit.columns)]
        return self.fit.rates(self.costs, kinds)

    def predict(self, rows: Sequence[Row]) -> np.ndarray:
        return self.fit.predict(self.costs, rows)


def _fit(rows: Sequence[Row]) -> _Fitted:
    """Fit the rows; no kind of work is let run much faster than anything that was seen."""
    flops = max(row.load.flops / row.seconds for row in rows)
    passes = max(sum(op.bytes for op in row.load.ops.values()) / row.seconds for row in rows)
    fresh = any(OpClass.ALLOCATE in row.load.ops for row in rows)
    fit = Fit(columns(fresh=fresh), 1.25 * flops, 10 * passes, tolerance=0.08)
    return _Fitted(fit, fit.solve(rows))


def _row(timed: Timed, beat_s: float) -> Row:
    return Row(timed.name, timed.load, _steady_s(timed, beat_s), timed.family, _weight(timed.timing.fastest_s))


def _steady_s(timed: Timed, beat_s: float) -> float:
    """Return the time at the machine's usual speed: a short piece is only ever disturbed upwards."""
    timing = timed.timing
    return (timing.median_s if timed.step == "check" else timing.fastest_s) * beat_s / timing.pulse_s


def _weight(seconds: float) -> float:
    return min(1.0, max(0.05, seconds / _WEIGHTY_S))


def _points(timed: Sequence[Timed], fit: _Fitted, beat_s: float) -> list[Point]:
    fitted = fit.predict([_row(each, beat_s) for each in timed])
    return [
        Point(
            t.name, t.family, "check" if t.step == "check" else "operator", t.batch,
            _steady_s(t, beat_s), float(fitted_s), 0.0, t.load.flops / 1e9,
        )
        for t, fitted_s in zip(timed, fitted, strict=True)
    ]  # fmt: skip


class Check(NamedTuple):
    """A whole network, of which the fit sees nothing."""

    name: str
    shape: tuple[int, ...]
    batch: int
    build: Callable[[], nn.Module]


def check(name: str, shape: tuple[int, ...], batch: int, *, label: str = "", **options: object) -> Check:
    """Return one of our networks as a check."""
    return Check(label or name, shape, batch, partial(build_model, name, classes=10, shape=shape, **options))


_VGG = {"convs": (16, 16, 32, 32, 64, 64, 64, *(128,) * 6), "hidden": (256, 256)}
_CHECKS = (
    check("cnn", (1, 28, 28), 32),
    check("resnet8", (3, 32, 32), 32),
    check("resnet12", (3, 32, 32), 8),
    check("resnet18", (3, 32, 32), 16),
    check("mobilenet_v2", (3, 64, 64), 16),
    check("vit_tiny", (3, 32, 32), 16, dim=128, heads=4, depth=6),
    check("vgg16", (3, 32, 32), 32, label="vgg16, pruned", **_VGG),
)


@dataclass(frozen=True, slots=True)
class _Bench:
    """Where pieces of work are timed, one after the other."""

    device: torch.device
    pulse: Pulse
    tick: Tick

    def stack(self, fragment: Fragment) -> list[Timed]:
        """Time a stack's training step and its forward pass."""
        name, family, build, shape, batch = fragment
        module, inputs, target = self._ready(build, (batch, *shape))
        step, forward = trace_step(module, inputs, target, loss=_mean), trace_forward(module, inputs)
        trained = timed(training_step(module, inputs, target, loss=_mean), self.pulse)
        passed = timed(forward_pass(module, inputs), self.pulse, at_least_s=0.05)
        self.tick(name)
        return [
            Timed(name, family, "training", batch, step, trained),
            Timed(f"{name}, forward", family, "forward", batch, forward, passed),
        ]

    def network(self, one: Check) -> Timed:
        """Time a training step of a whole network."""
        module, inputs, target = self._ready(one.build, (one.batch, *one.shape))
        loss = nn.functional.cross_entropy
        step = training_step(module, inputs, target, loss=loss)
        timing = timed(step, self.pulse, at_least_s=1.0, most=10)
        self.tick(one.name)
        return Timed(one.name, one.name, "check", one.batch, trace_step(module, inputs, target, loss=loss), timing)

    def _ready(self, build: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, tuple[Tensor], Tensor]:
        """Return a module with an input of *shape* and targets of class 0."""
        torch.manual_seed(0)
        target = torch.zeros(shape[0], dtype=torch.int64, device=self.device)
        return build().to(self.device), (torch.randn(*shape, device=self.device),), target


def _mean(out: Tensor, _: Tensor) -> Tensor:
    return out.mean()


def _power(meter: Meter | None, pulse: Pulse) -> Power:
    """Take the watts of a few seconds at rest and at work."""
    if meter is None:
        return Power(0.0, 0.0, "")
    idle_w = meter.average_w(lambda: time.sleep(4))
    return Power(idle_w, max(0.0, meter.average_w(lambda: _busy(pulse, 5.0)) - idle_w), meter.name)


def _busy(pulse: Pulse, seconds: float) -> None:
    end_s = time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        pulse.take()
