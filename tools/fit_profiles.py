"""Fit the [rates] of the device profiles to measured training times.

Usage: fit_profiles.py MEASUREMENTS_DIR [-o OUT]

A profile is a head written by hand and a tail, below the marker line, written here. Rates that were measured are
fitted by bounded least squares on relative errors: no arithmetic faster than the chip's instruction peak, no
negative time. Rates that were not are another device's, scaled by what was measured on both (similar_devices.py):
the tail says which, and its spread what such scaling is worth where the truth is known (checked.py).
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measured import flash_times, timm_load
from phones import phones
from raspberry import raspberry
from similar import similar
from tails import GROUPED, Tail, scaled, seconds, write

from fedsim.fleet.profile import Rate
from fedsim.work import OpClass

FLASH_REPO = "PKU-Chengxu/FLASH@55cbede0131877b583ed55333e980985a1925afd:models/utils/device_util/device_util.py"
JETSON_REPO = "dusty-nv/jetson-inference@45da40a8f3c1:docs"
PRODUCTS = OpClass.POINTWISE, OpClass.MATMUL, OpClass.ATTENTION
TRAFFIC = OpClass.NORM, OpClass.MEMORY, OpClass.OPTIMIZER


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
    both = phones(folder)
    high = both["phone-high"]
    nano, xavier = jetsons()
    made = {
        "raspberry-pi-4": pi4, "raspberry-pi-5": pi5,
        **both, "phone-mid": tier(high, folder, "Xiaomi Redmi Note 8"),
        "phone-low": tier(high, folder, "Google Nexus 6"),
        "jetson-nano": nano, "jetson-xavier-nx": xavier,
    }  # fmt: skip
    return made | similar(folder, made)


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
    true_s = float(np.mean([7.5 * 60 / (5000 / 8 + 1000 / 24), 15 * 60 / (10475 / 8)]))
    nano_peak = gpu_rates(235.8e9, 25.6e9, 100e-6)
    share = seconds(nano_peak, step) / true_s
    nano = gpu_rates(235.8e9 * share, 25.6e9 * share, 100e-6 / share)
    told = (
        f"one ResNet-18 step of 8 images takes {true_s:.2f} s, image reading included: {share:.0%} of the fp32 peak "
        f"(128 cores x 2 x 0.921 GHz) and of 25.6 GB/s; depthwise at a tenth of arithmetic, an assumption"
    )
    ratio = 14.65 / 4.77
    xavier = scaled(nano, (ratio, ratio, 1 / ratio))
    more = f"the Jetson Nano's rates x{ratio:.2f}, the ratio of published SSD-MobileNet training rates (14.65, 4.77/s)"
    return (
        Tail(nano, (0.5, 2.0), f"{JETSON_REPO}/pytorch-cat-dog.md and pytorch-plants.md", 2019, told),
        Tail(xavier, (0.4, 2.5), f"{JETSON_REPO}/pytorch-ssd.md", 2020, more),
    )


def gpu_rates(flops_per_s: float, bytes_per_s: float, call_s: float) -> dict[str, Rate]:
    """Return a GPU's shape: one arithmetic rate, a tenth of it for depthwise convolutions, one memory rate.

    Calls are counted one per group of channels, and a GPU takes all groups in one: those cost no calls.
    """
    plain, moved = Rate(flops_per_s, np.inf, call_s), Rate(np.inf, bytes_per_s, call_s)
    rates = {**dict.fromkeys(("conv.forward", "conv.backward"), plain), **dict.fromkeys(GROUPED, Rate(flops_per_s))}
    rates[OpClass.DEPTHWISE] = Rate(flops_per_s / 10)
    return {**rates, **dict.fromkeys(PRODUCTS, plain), **dict.fromkeys(TRAFFIC, moved)}


if __name__ == "__main__":
    main()
