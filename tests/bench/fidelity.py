"""How well a profile measured on this machine tells the training steps of networks that the measuring never saw.

    fidelity.py PROFILE.toml [--batches 8,32] [--rounds 3] [--threads 1] [-o FOLDER] [--memory]

Twenty networks, plain SGD on random images. Every round goes through all of them, so that what drifts falls on all;
a step's time is divided by the pulses around it and brought to the speed at which the profile was measured. With
--memory: the peak of a step in a process of its own over what the process held before, for ten of them.
"""

from __future__ import annotations

import argparse
import gc
import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import NamedTuple

import torch
import torchvision
from scipy.stats import spearmanr
from torch import nn

from fedsim.fleet.cost import CostModel
from fedsim.fleet.profile import Profile, load_profile
from fedsim.learn.models import VGG16_CONVS, build_model
from fedsim.learn.stopwatch import Pulse, once, training_step
from fedsim.learn.trace import trace_step

IMAGES, SMALL = ((3, 224, 224), 1000), ((3, 32, 32), 10)
PUBLISHED = (
    "vgg11", "vgg11_bn", "resnet18", "resnet34", "resnet50", "mobilenet_v2", "mobilenet_v3_small",
    "mobilenet_v3_large", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "densenet121", "efficientnet_b0",
    "efficientnet_b1", "vit_b_32", "swin_t",
)  # fmt: skip
WIDTHS = 1.0, 0.75, 0.5, 0.25, 0.125
FOR_MEMORY = (
    "vgg11", "resnet18", "resnet50", "mobilenet_v2", "mobilenet_v3_large", "shufflenet_v2_x1_0", "densenet121",
    "efficientnet_b0", "vit_b_32", "swin_t",
)  # fmt: skip
MEMORY_BATCH = 16
LONG_S = 4.0


class Network(NamedTuple):
    """A network with what it takes: the shape of an image, and classes."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    classes: int


class Line(NamedTuple):
    """One network at one batch size: seconds measured, steadied and predicted, and the interval."""

    name: str
    batch: int
    raw_s: float
    measured_s: float
    predicted_s: float
    low_s: float
    high_s: float
    gflop: float

    @property
    def error(self) -> float:
        return self.predicted_s / self.measured_s - 1


def pruned(width: float) -> nn.Module:
    """Return REFT's VGG-16 at a share of its width throughout."""
    convs = tuple(max(8, int(channels * width)) for channels in VGG16_CONVS)
    return build_model("vgg16", classes=10, shape=(3, 32, 32), convs=convs, hidden=(int(4096 * width),) * 2)


NETWORKS = {name: Network(partial(getattr(torchvision.models, name)), *IMAGES) for name in PUBLISHED}
NETWORKS |= {f"vgg16 x{width}": Network(partial(pruned, width), *SMALL) for width in WIDTHS}


def example(network: Network, batch: int) -> tuple[nn.Module, tuple[torch.Tensor], torch.Tensor]:
    """Return a fresh network with random images and targets."""
    torch.manual_seed(0)
    target = torch.randint(0, network.classes, (batch,))
    return network.build(), (torch.randn(batch, *network.shape),), target


def timed(network: Network, batch: int, pulse: Pulse) -> tuple[float, float]:
    """Return the median seconds of two steps after one unseen, of one if it is long, and of the pulses around them."""
    step = training_step(*example(network, batch), loss=nn.functional.cross_entropy)
    count = 1 if once(step) > LONG_S else 2
    steps, pulses = [], [pulse.take()]
    for _ in range(count):
        steps.append(once(step))
        pulses.append(pulse.take())
    return median(steps), median(pulses)


def compare(profile: Profile, batches: list[int], rounds: int) -> list[Line]:
    """Time and predict every network at every batch size."""
    pulse, found = Pulse(torch.device("cpu")), defaultdict(list)
    usual_s = next(point.seconds for point in profile.points if point.name == "pulse")
    for number in range(rounds):
        for batch in batches:
            for name, network in NETWORKS.items():
                found[name, batch].append(timed(network, batch, pulse))
                gc.collect()
                print(f"round {number + 1}: {name}, batch {batch}: {found[name, batch][-1][0]:.3g} s", file=sys.stderr)
    return [line(profile, key, times, usual_s=usual_s) for key, times in found.items()]


def line(profile: Profile, key: tuple[str, int], times: list[tuple[float, float]], *, usual_s: float) -> Line:
    """Predict one step, and take the median over rounds of what was measured."""
    name, batch = key
    load = trace_step(*example(NETWORKS[name], batch))
    told = CostModel().seconds(profile, load)
    steady_s = median(step_s * usual_s / pulse_s for step_s, pulse_s in times)
    return Line(name, batch, median(s for s, _ in times), steady_s, *told, load.flops / 1e9)


def by_flops(lines: list[Line]) -> float:
    """Return the mean error of one time per FLOP, fitted to the other networks' steps."""
    errors = []
    for one in lines:
        rates = [other.measured_s / other.gflop for other in lines if other.name != one.name]
        errors.append(abs(one.gflop * median(rates) / one.measured_s - 1))
    return mean(errors)


def report(lines: list[Line]) -> str:
    """Return a Markdown table and what it comes to."""
    rows = [
        f"| {x.name} | {x.batch} | {x.raw_s:.3g} | {x.measured_s:.3g} | {x.predicted_s:.3g} | {x.error:+.1%} |"
        for x in lines
    ]
    errors = [abs(x.error) for x in lines]
    worst = max(lines, key=lambda x: abs(x.error))
    rank = spearmanr([x.measured_s for x in lines], [x.predicted_s for x in lines]).statistic
    inside = mean(x.low_s <= x.measured_s <= x.high_s for x in lines)
    head = [
        "| network | batch | measured s | at the profile's speed s | predicted s | error |",
        "| --- |" + " ---: |" * 5,
    ]
    told = (
        f"{len(lines)} steps: mean error {mean(errors):.1%}, median {median(errors):.1%}, worst {worst.name} at "
        f"{worst.batch}: {worst.error:+.1%}; rank correlation {rank:.3f}; {inside:.0%} inside the 90 % interval; "
        f"FLOPs only {by_flops(lines):.1%}"
    )
    return "\n".join([*head, *rows, "", told])


def peak(name: str) -> None:
    """Print the bytes that a step adds at its peak to a process that has trained something small before."""
    small = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    inputs, target = (torch.randn(2, 3, 8, 8),), torch.zeros(2, dtype=torch.int64)
    training_step(small, inputs, target, loss=nn.functional.cross_entropy)()  # loads what the libraries load late
    before = _status("VmRSS")
    training_step(*example(NETWORKS[name], MEMORY_BATCH), loss=nn.functional.cross_entropy)()
    print(_status("VmHWM") - before)


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{key}:"))


def memory(profile: Profile) -> str:
    """Compare predicted and measured peaks of ten networks."""
    lines, errors = ["| network | measured MiB | predicted MiB | error |", "| --- | ---: | ---: | ---: |"], []
    for name in FOR_MEMORY:
        command = [sys.executable, __file__, "--peak", name]
        true = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        told = CostModel().memory(profile, trace_step(*example(NETWORKS[name], MEMORY_BATCH))).value
        errors.append(told / true - 1)
        lines.append(f"| {name} | {true / 2**20:.0f} | {told / 2**20:.0f} | {errors[-1]:+.1%} |")
    worst = max(errors, key=abs)
    return "\n".join([*lines, "", f"batch {MEMORY_BATCH}: mean error {mean(map(abs, errors)):.1%}, worst {worst:+.1%}"])


def main() -> None:
    """Print the tables, and write them with the raw numbers into a folder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("profile", nargs="?")
    parser.add_argument("--batches", default="8,32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    if chosen.peak:
        return peak(chosen.peak)
    profile = load_profile(chosen.profile)
    if chosen.memory:
        return print(memory(profile))
    lines = compare(profile, [int(batch) for batch in chosen.batches.split(",")], chosen.rounds)
    print(report(lines))
    if chosen.out:
        chosen.out.mkdir(parents=True, exist_ok=True)
        (chosen.out / "fidelity.json").write_text(json.dumps([x._asdict() for x in lines], indent=1))
    return None


if __name__ == "__main__":
    main()
