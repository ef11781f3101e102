"""What coding a message costs: the tables in fedsim/learn/messages.py, and docs/decisions/0005.

.venv/bin/python -m tests.bench.coders
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable

import torch
import zstandard
from torch import nn

from fedsim.learn.coders import CODERS, read, write
from fedsim.learn.messages import KEPT
from fedsim.learn.parts import Parts, layout, put_together, take_apart
from fedsim.learn.prune import kept_mask
from fedsim.learn.trace import trace_step
from fedsim.learn.values import Message, flatten
from fedsim.work import OpClass
from tests.learn.nets import he_resnet12

_REPEATS = 5


def seconds(work: Callable[[], object], repeats: int = _REPEATS) -> float:
    """Return the least CPU time of some repetitions."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        taken.append(time.process_time() - start)
    return min(taken)


def memory_rate() -> float:
    """Return the bytes per second of memory-bound kernels in a training step, counted as a Load counts them."""
    layers = nn.GroupNorm(2, 64), nn.LeakyReLU(0.1), nn.MaxPool2d(2), nn.GroupNorm(2, 64), nn.ReLU()
    module = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    x, y = torch.randn(16, 64, 32, 32), torch.randint(0, 64, (16,))
    moved = trace_step(module, (x,), y).within(OpClass.MEMORY).bytes

    def step() -> None:
        module.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()

    return moved / seconds(step, 30)


def coding_s(parts: Parts, coder: str) -> tuple[int, float, float]:
    """Return the length of a message and the CPU seconds to write and to read it."""
    slots, repeats = layout(parts.spec), 2 if coder == "lzma" else _REPEATS
    data = torch.frombuffer(bytearray(write(parts, slots, coder)), dtype=torch.uint8)
    message = Message(parts.spec, coder, data, bits=32, kept=len(parts.values))
    writing_s = seconds(lambda: write(parts, slots, coder), repeats)
    return len(data), writing_s, seconds(lambda: put_together(read(message, slots), slots), repeats)


def main() -> None:
    """Print size, CPU seconds per MB of dense entries, and bytes of memory traffic per byte."""
    torch.set_num_threads(1)
    rate, model = memory_rate(), he_resnet12()
    entries = flatten(model.state)
    plain = 4 * len(entries)
    print(f"memory {rate / 1e9:.2f} GB/s, zlib {zlib.ZLIB_RUNTIME_VERSION}, zstandard {zstandard.__version__}")
    for coder in CODERS:
        print(coder)
        for kept in KEPT:
            mask = kept_mask(entries, layout(model.spec), rate=1 - kept, scope="global")
            nbytes, *taken = coding_s(take_apart(model, mask), coder)
            cost = "  ".join(f"{1e6 * s / plain:.4f} s/MB = {s * rate / plain:6.1f} B/B" for s in taken)
            print(f"  kept {kept:4.2f}: {100 * nbytes / plain:5.1f} %  {cost}")


if __name__ == "__main__":
    main()
