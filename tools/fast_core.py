"""One core of a server, measured by `fedsim devices measure`: the shape of processors with large caches."""

from __future__ import annotations

from tails import Tail

from fedsim.fleet.profile import load_profile

PROFILE = "epyc-zen4-core"
GFLOPS, COPY_MB_PER_S = 86.9, 12.3e3  # of that core: products of 2048 x 2048, copies of 64 MiB
CALL_S = 5.5e-6  # of that core, a kernel in a ViT's step

# Seconds of processor time of a plain SGD step with torch 2.15 on that core, by timm's model and batch.
STEPS = {
    ("resnet18", 16): 2.355, ("mobilenetv2_100", 16): 1.653, ("mobilenetv3_small_100", 16): 0.375,
    ("efficientnet_b0", 16): 2.240, ("vit_tiny_patch16_224", 16): 1.843, ("ghostnetv2_100", 16): 1.318,
    ("convnext_tiny", 8): 3.154,
}  # fmt: skip


def fast_core() -> Tail:
    """Return the rates of the packaged profile, as they were measured."""
    profile = load_profile(PROFILE)
    return Tail(profile.rates, profile.spread, "fedsim devices measure", profile.year, profile.title)
