"""Fit the [rates] of the device profiles to measured training times.

Usage: fit_profiles.py MEASUREMENTS_DIR [-o OUT]

A profile is a head written by hand and a tail, below the marker line, written here. Rates that were measured are
fitted by bounded least squares on relative errors: no arithmetic faster than the chip's instruction peak, no
negative time. Rates that were not are another device's, scaled by what was measured on both (similar_devices.py):
the tail says which, and its spread what such scaling is worth where the truth is known (checked.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from fitting import Column, Fit, Row, Vector, full, spread, summary
from measured import flash_times, phone_rows, pi_rows, timm_load
from scipy.optimize import lsq_linear
from similar import similar
from tails import Tail, scaled, write

from fedsim.fleet.profile import Rate
from fedsim.work import OpClass

CONV, POINTWISE, DEPTHWISE = OpClass.CONV, OpClass.POINTWISE, OpClass.DEPTHWISE
PRODUCTS = OpClass.MATMUL, OpClass.ATTENTION
TRAFFIC = OpClass.NORM, OpClass.MEMORY, OpClass.OPTIMIZER


# PyTorch on Arm boards. Attention cannot be told from matrix products, nor the update from memory traffic.
PI_CALL_S = 33e-6
PI_CALL = (
    "a call costs 33 us: 5.5 us per counted call measured with torch 2.15 on one core of an AMD EPYC (Zen 4), times 6 "
    "for a Cortex-A72, an assumption that the batch-16 rows can neither confirm nor refute"
)
PI = (Column("flops", (CONV,)), Column("flops", (POINTWISE,)), Column("flops", (DEPTHWISE,)),
      Column("bytes", (DEPTHWISE,)), Column("flops", PRODUCTS), Column("bytes", TRAFFIC), Column("images"))  # fmt: skip
# MNN on phones: five models tell four costs apart.
MNN = (
    Column("flops", (CONV, POINTWISE, *PRODUCTS)),
    Column("flops", (DEPTHWISE,)),
    Column("bytes", tuple(OpClass)),
    Column("calls", tuple(OpClass)),
)
PI_REPO = "jafermarq/federated-embedded-vision@17ecd8b098384d365b2749cd42b1e63dc557da29"
MNN_REPO = "UbiquitousLearning/Benchmark-On-Device-Training@752659f8f4aee8a6146860882a050d8d1f3564cf"
FLASH_REPO = "PKU-Chengxu/FLASH@55cbede0131877b583ed55333e980985a1925afd:models/utils/device_util/device_util.py"
JETSON_REPO = "dusty-nv/jetson-inference@45da40a8f3c1:docs"


def main() -> None:
    """Write the tail of every profile and print how well its rows are explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("device_profiles"))
    args = parser.parse_args()
    for name, tail in tails(args.measurements).items():
        write(args.out / f"{name}.toml", tail)
        print(f"{name}: {tail.note}")


def tails(folder: Path) -> dict[str, Tail]:
    """Return the tails by profile, from the files in the measurements *folder*."""
    pi4, pi5 = raspberry(folder)
    high = phone(folder)
    nano, xavier = jetsons()
    made = {
        "raspberry-pi-4": pi4, "raspberry-pi-5": pi5,
        "phone-high": high, "phone-mid": tier(high, folder, "Xiaomi Redmi Note 8"),
        "phone-low": tier(high, folder, "Google Nexus 6"),
        "jetson-nano": nano, "jetson-xavier-nx": xavier,
    }  # fmt: skip
    return made | similar(folder, made)


def raspberry(folder: Path) -> tuple[Tail, Tail]:
    """Fit the Pi 4 on full training and, at less weight, on head-only training; scale its shape to the Pi 5."""
    rows = {board: pi_rows(folder, board) for board in ("Raspberry Pi 4 Model B", "Raspberry Pi 5")}
    four, five = rows.values()
    fit = Fit(PI, peak_flops_per_s=47.883e9, call_s=PI_CALL_S)
    costs = fit.solve(four)
    left_out = fit.left_out(four)
    note = f"{summary(four, fit.errors(costs, four), left_out)}; {PI_CALL}; {decoding(costs[-1])}"
    pi4 = Tail(fit.rates(costs), spread(full(left_out, four)), f"{PI_REPO}:results", 2023, note)
    return pi4, pi5_tail(fit, costs, five)


def pi5_tail(fit: Fit, costs: Vector, rows: Sequence[Row]) -> Tail:
    """Scale arithmetic, memory traffic and reading of the Pi 4's shape, one factor each."""
    groups = [np.array([c.what == what for c in PI]) * costs for what in ("flops", "bytes", "images")]

    def units(some: Sequence[Row]) -> Vector:
        shape = Fit(PI, fit.peak_flops_per_s)
        return np.array([shape.predict(group, some) for group in groups]).T

    def factors(some: Sequence[Row]) -> Vector:
        seconds, weight = np.array([r.seconds for r in some]), np.sqrt([r.weight for r in some])
        left = units(some) / seconds[:, None] * weight[:, None]
        return np.asarray(lsq_linear(left, weight, bounds=(0.2, 1.0)).x)

    errors = np.zeros(len(rows))
    for i, row in enumerate(rows):
        kept = factors([r for r in rows if r.model != row.model])
        errors[i] = (units([row]) @ kept)[0] / row.seconds - 1
    found = factors(rows)
    told = summary(rows, units(rows) @ found / [r.seconds for r in rows] - 1, errors)
    note = (
        f"the Pi 4's rates with arithmetic x{1 / found[0]:.2f} and memory x{1 / found[1]:.2f}; {told}; calls at half "
        f"the Pi 4's {PI_CALL_S * 1e6:.0f} us; {decoding(float(costs[-1] * found[2]))}"
    )
    rates = scaled(fit.rates(costs), (1 / found[0], 1 / found[1], 0.5))
    return Tail(rates, spread(full(errors, rows)), f"{PI_REPO}:README.md and plot.ipynb", 2023, note)


def phone(folder: Path) -> Tail:
    """Fit MNN's training times on a Xiaomi Mi 9."""
    rows = list(phone_rows(folder))
    fit = Fit(MNN, peak_flops_per_s=161.6e9)
    costs = fit.solve(rows)
    left_out = fit.left_out(rows)
    told = summary(rows, fit.errors(costs, rows), left_out)
    note = (
        f"5 CNNs under MNN, batch 1 to 16, 4 threads; {told}; arithmetic at its bound, the 4 big cores' "
        f"16 FLOP per cycle (2.84 + 3 x 2.42 GHz); attention tied to matrix products"
    )
    return Tail(fit.rates(costs), spread(left_out), f"{MNN_REPO}:tools/train/benchmark/XIAOMI", 2021, note)


def tier(high: Tail, folder: Path, device: str) -> Tail:
    """Slow a high tier's rates by the ratio of FLASH's times, which DL4J measured on both tiers."""
    times = {d: flash_times(folder, d) for d in ("Samsung Galaxy Note 10", device)}
    ratios = [times[device][k] / t for k, t in times["Samsung Galaxy Note 10"].items()]
    mean = float(np.exp(np.mean(np.log(ratios))))
    low, high_factor = (min(ratios) / mean * high.spread[0], max(ratios) / mean * high.spread[1])
    note = (
        f"phone-high's rates / {mean:.2f}, the geometric mean of 4 LEAF models' DL4J training times on this phone "
        f"over a Galaxy Note 10 ({min(ratios):.2f} to {max(ratios):.2f}); DL4J's own times are several times longer"
    )
    return Tail(scaled(high.rates, (1 / mean, 1 / mean, mean)), (low, high_factor), FLASH_REPO, 2021, note)


def jetsons() -> tuple[Tail, Tail]:
    """Take one share of both peaks from the Nano's ResNet-18 epochs; carry it to the Xavier NX.

    An epoch of the cat and dog set is 5000 training and 1000 validation images (a third of a step each).
    """
    step = timm_load("resnet18", batch=8, classes=2)
    seconds = float(np.mean([7.5 * 60 / (5000 / 8 + 1000 / 24), 15 * 60 / (10475 / 8)]))
    nano_peak = gpu_rates(235.8e9, 25.6e9, 100e-6)
    share = sum(nano_peak[kind].seconds(op) for kind, op in step.ops.items()) / seconds
    nano = gpu_rates(235.8e9 * share, 25.6e9 * share, 100e-6 / share)
    told = (
        f"one ResNet-18 step of 8 images takes {seconds:.2f} s, image reading included: {share:.0%} of the fp32 peak "
        f"(128 cores x 2 x 0.921 GHz) and of 25.6 GB/s; depthwise at a tenth of arithmetic, an assumption"
    )
    ratio = 14.65 / 4.77
    xavier = scaled(nano, (ratio, ratio, 1 / ratio))
    more = f"the Jetson Nano's rates x{ratio:.2f}, the ratio of published SSD-MobileNet training rates (14.65, 4.77/s)"
    return (
        Tail(nano, (0.5, 2.0), f"{JETSON_REPO}/pytorch-cat-dog.md and pytorch-plants.md", 2019, told),
        Tail(xavier, (0.4, 2.5), f"{JETSON_REPO}/pytorch-ssd.md", 2020, more),
    )


def gpu_rates(flops_per_s: float, bytes_per_s: float, call_s: float) -> dict[OpClass, Rate]:
    """Return a GPU's shape: one arithmetic rate, a tenth of it for depthwise convolutions, one memory rate."""
    plain = Rate(flops_per_s, np.inf, call_s)
    moved = Rate(np.inf, bytes_per_s, call_s)
    slow = Rate(flops_per_s / 10, np.inf, call_s)
    special = {DEPTHWISE: slow, **dict.fromkeys(TRAFFIC, moved)}
    return {kind: special.get(kind, plain) for kind in OpClass}


def decoding(seconds: float) -> str:
    """Say what the rows spent on images, which is left out of the rates."""
    return f"reading and decoding took {seconds * 1e3:.0f} ms per image and is not in the rates"


if __name__ == "__main__":
    main()
