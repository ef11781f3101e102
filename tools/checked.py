"""How wrong times are that follow from inference or from peaks, where the training time is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from fast_core import CALL_S, COPY_MB_PER_S, GFLOPS, STEPS
from measured import TIMM, flash_times, timm_load
from ratios import Cells, Ncnn, Over, lines
from similar_devices import ARM_4, ARM_5, INFERENCE, PEAK, PI_4, SERIES, Like, board
from tails import Tail, at_once, scaled, seconds

from fedsim.work import OpClass

Spread = tuple[float, float]
LEAST_OF_PEAKS = 0.4, 2.5  # only three machines can be checked, none of them a GPU with memory of its own


class Bounds(NamedTuple):
    """Factors from a predicted to the true time that hold 90 % of cases, and what shows it."""

    spread: Spread
    words: str


def bounds_by_quality(folder: Path, made: Mapping[str, Tail]) -> dict[str, Bounds]:
    """Return what scaling by inference and by peaks is worth; peaks never bind closer than inference."""
    inference = [*pi_5(folder, made, by_ncnn()), *phones(folder)]
    peaks = [*pi_5(folder, made, by_linpack()), *epyc(made), *xavier(made)]
    low, high = zip(ends(inference), ends(peaks), LEAST_OF_PEAKS, strict=True)
    words = (
        f"those that follow from inference, as in 90 % of {len(inference)} checks (a Pi 5 by ncnn, a phone by score)",
        f"those that follow from peaks: 90 % of {len(peaks)} checks (a Pi 5, an EPYC, a Xavier NX) lie at "
        "{:.2f}x to {:.2f}x, but few devices could be checked".format(*ends(peaks)),
    )
    return {INFERENCE: Bounds(ends(inference), words[0]), PEAK: Bounds((min(low), max(high)), words[1])}


def ends(factors: Sequence[float]) -> Spread:
    """Return the factors that hold 90 %, and 1."""
    return min(1.0, float(np.quantile(factors, 0.05))), max(1.0, float(np.quantile(factors, 0.95)))


def pi_5(folder: Path, made: Mapping[str, Tail], like: Like) -> Iterable[float]:
    """Yield true over predicted seconds of every model trained on a Pi 5, by the rates fitted to both boards."""
    base, truth = (made[name].rates for name in ("raspberry-pi-4", "raspberry-pi-5"))
    arithmetic, memory, calls = like.factors(folder, base)
    told = scaled(base, (arithmetic, memory, 1 / calls))
    for line in lines(folder / "training/rpi_pytorch_training.csv"):
        if line["device"] == "Raspberry Pi 5" and line["train_s_per_batch"]:
            load = timm_load(TIMM.get(line["model"], line["model"]))
            yield seconds(truth, load) / seconds(told, load)


def by_ncnn() -> Like:
    """Return a Pi 5 by ncnn, which has half-precision arithmetic there and none on the Pi 4: the worst case."""
    return board("raspberry-pi-4", Ncnn(ARM_5, ARM_4, SERIES), ("review", "Raspberry Pi 5 model B", PI_4))


def by_linpack() -> Like:
    """Return a Pi 5 by Linpack."""
    like = board("raspberry-pi-4", Ncnn(ARM_5, ARM_4), ("review", "Raspberry Pi 5 model B", PI_4))
    products = Over("review", "hpl_gflops_fp64", "Raspberry Pi 5 model B", 2.0)
    return like._replace(arithmetic=products)


def phones(folder: Path) -> Iterable[float]:
    """Yield the true over the told ratio of four models on a Redmi Note 8 and a Galaxy Note 10, told by scores."""
    score = Cells("AI Benchmark", "cpu_f_ai_score", "Samsung Galaxy Note10", "Xiaomi Redmi Note 8").faster(folder, {})
    high, mid = (flash_times(folder, name) for name in ("Samsung Galaxy Note 10", "Xiaomi Redmi Note 8"))
    return [mid[model] / high[model] / score for model in high]


def epyc(made: Mapping[str, Tail]) -> Iterable[float]:
    """Yield true over predicted seconds on one core of an EPYC, from the Pi 4: another kind of processor."""
    base = at_once(made["raspberry-pi-4"].rates)
    call_s = max(rate.call_s for rate in base.values())
    factors = GFLOPS * 1e9 / base[OpClass.MATMUL].flops_per_s, COPY_MB_PER_S / 2737.5, CALL_S / call_s
    told = scaled(base, factors)
    return [true_s / seconds(told, timm_load(model, batch=batch)) for (model, batch), true_s in STEPS.items()]


def xavier(made: Mapping[str, Tail]) -> Iterable[float]:
    """Yield true over predicted seconds of two models on a Xavier NX, from the Nano by peaks and bandwidth."""
    base, truth = (made[name].rates for name in ("jetson-nano", "jetson-xavier-nx"))
    told = scaled(base, (844.8 / 235.8, 59.7 / 25.6, 1578 / 2201))  # 384 cores x 2 x 1.1 GHz; one-thread 7-zip
    loads = (timm_load(model) for model in ("resnet18", "mobilenetv2_100"))
    return [seconds(truth, load) / seconds(told, load) for load in loads]
