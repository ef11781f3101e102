"""One core of a server, measured for this project: the shape of processors with large caches and wide vectors."""

from __future__ import annotations

from fitting import Column, Fit, Row, spread, summary
from measured import timm_load
from tails import Tail

from fedsim.work import OpClass

# Seconds of processor time of a plain SGD step with torch 2.15, one thread on an AMD EPYC (Zen 4), by model and batch.
STEPS = {
    ("resnet18", 16): 2.355, ("mobilenetv2_100", 16): 1.653, ("mobilenetv3_small_100", 16): 0.375,
    ("efficientnet_b0", 16): 2.240, ("vit_tiny_patch16_224", 16): 1.843, ("ghostnetv2_100", 16): 1.318,
    ("convnext_tiny", 8): 3.154,
}  # fmt: skip
GFLOPS, COPY_MB_PER_S, CALL_S = 86.9, 12.3e3, 5.5e-6  # products of 2048 x 2048, copies of 64 MiB, a counted call
DEPTHWISE, PRODUCTS = OpClass.DEPTHWISE, (OpClass.MATMUL, OpClass.ATTENTION)
COLUMNS = (
    Column("flops", (OpClass.CONV, OpClass.POINTWISE, *PRODUCTS)),
    Column("flops", (DEPTHWISE,)),
    Column("bytes", (DEPTHWISE, OpClass.MEMORY, OpClass.OPTIMIZER)),
)


def fast_core() -> Tail:
    """Fit the core's steps: arithmetic no faster than its products."""
    rows = [Row(model, timm_load(model, batch=batch), seconds) for (model, batch), seconds in STEPS.items()]
    fit = Fit(COLUMNS, peak_flops_per_s=GFLOPS * 1e9, call_s=CALL_S)
    costs = fit.solve(rows)
    left_out = fit.left_out(rows)
    return Tail(fit.rates(costs), spread(left_out), "measured", 2026, summary(rows, fit.errors(costs, rows), left_out))
