"""The rows of the measurement files, each with the Load of the step that was timed."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import timm
import torch
from phone_models import PHONE_MODELS
from torch import nn

from fedsim.fleet.fitting import Row
from fedsim.learn.trace import built, trace_step
from fedsim.work import Load, Op, OpClass

TIMM = {
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "mlpmixer_b16": "mixer_b16_224",
    "maxvit_tiny": "maxvit_tiny_tf_224",
}
FAMILIES = (
    "convnext", "efficientformer", "efficientnet", "faster_vit", "fastvit", "ghostnetv2", "maxvit", "mlpmixer",
    "mobilenetv2", "mobilenetv3", "resnet", "vit",
)  # fmt: skip
PI_BATCH, HEAD_WEIGHT = 16, 0.3
MI_9, MEIZU, MEIZU_SLOW = "Xiaomi Mi 9", "Meizu 16T, big cores", "Meizu 16T at 1.71 GHz"
# 5.6 times the time of half as many images, at 4.3 GB resident: the phone was out of memory.
DISTURBED = {(MEIZU_SLOW, "Squeezenet", 32)}


class Timed(NamedTuple):
    """A row of a fit with what its point says of it."""

    row: Row
    step: str
    batch: int
    condition: str = ""
    joules: float = 0.0


def pi_rows(folder: Path, board: str) -> list[Timed]:
    """Return the rows of *board*: full training, and the head alone at a lower weight, each with its images.

    PyTorch 1.13 ran them, which has no fused attention. Says which rows are left out because their model is unknown.
    """
    found = []
    for line in table(folder / "training/rpi_pytorch_training.csv"):
        model, images = line["model"], Load({OpClass.IMAGE: Op(calls=PI_BATCH)})
        if line["device"] != board:
            continue
        if not known(model):
            print(f"{board}: SKIPPED {model}: neither timm {timm.__version__} nor an installed fastervit has it")
            continue
        if line["train_s_per_batch"]:
            row = Row(model, pi_load(model) + images, float(line["train_s_per_batch"]), family(model))
            found.append(Timed(row, "training", PI_BATCH))
        head = pi_load(model, head_only=True) + images
        row = Row(model, head, float(line["finetune_s_per_batch"]), family(model), HEAD_WEIGHT)
        found.append(Timed(row, "head", PI_BATCH))
    return found


def known(model: str) -> bool:
    """Return whether a library has the model; FasterViT is NVIDIA's own, with the optional fastervit."""
    if model.startswith("faster_vit"):
        return importlib.util.find_spec("fastervit") is not None
    return bool(timm.is_model(TIMM.get(model, model)))


def family(model: str) -> str:
    """Return the family whose rows are left out together."""
    return next(name for name in FAMILIES if model.startswith(name))


@cache
def pi_load(model: str, *, head_only: bool = False) -> Load:
    """Return the Load of one step of a model of the Raspberry Pi rows."""
    if model.startswith("faster_vit"):
        return step_load(thawed(faster_vit(model), head_only=head_only), (3, 224, 224), PI_BATCH)
    return timm_load(TIMM.get(model, model), batch=PI_BATCH, head_only=head_only, fused=False)


def faster_vit(model: str) -> nn.Module:
    """Build a FasterViT without weights."""
    import fastervit  # type: ignore[import-not-found]

    return built(lambda: fastervit.create_model(f"{model}_224", num_classes=1000))


def timm_load(model: str, *, batch: int = 16, classes: int = 1000, head_only: bool = False, fused: bool = True) -> Load:
    """Return the Load of one plain SGD step on images of 224 x 224."""
    timm.layers.set_fused_attn(fused)  # type: ignore[attr-defined]
    net: nn.Module = built(lambda: timm.create_model(model, num_classes=classes))
    return step_load(thawed(net, head_only=head_only), (3, 224, 224), batch)


def thawed(net: nn.Module, *, head_only: bool) -> nn.Module:
    """Freeze all but the head, if so asked."""
    if head_only:
        net.requires_grad_(False)
        heads = net.get_classifier() if hasattr(net, "get_classifier") else net.head  # type: ignore[operator]
        for head in heads if isinstance(heads, tuple) else (heads,):
            head.requires_grad_(True)
    return net


def step_load(net: nn.Module, shape: tuple[int, ...], batch: int, *, momentum: float = 0.0) -> Load:
    """Return the Load of one SGD step on *batch* images."""
    images = torch.empty((batch, *shape), device="meta")
    return trace_step(net, (images,), torch.empty(batch, dtype=torch.long, device="meta"), momentum=momentum)


def phone_rows(folder: Path) -> Iterable[Timed]:
    """Yield MNN's rows of both phones, with the energy where it was measured; MNN's SGD keeps a momentum."""
    joules = {
        (line["model"], int(line["batch"])): float(line["train_energy_J_per_batch_usb_above_idle"])
        for line in table(folder / "energy/phone_training_energy_usb.csv")
    }
    for line in table(folder / "training/phone_mnn_training.csv"):
        model, batch, condition = line["model"], int(line["batch"]), phone_condition(line)
        if (condition, model, batch) in DISTURBED:
            print(f"{condition}: left out {model} at batch {batch}, disturbed: {line['res_mem_MB']} MB resident")
            continue
        row = Row(model, phone_load(model, batch), float(line["train_ms_per_batch"]) / 1e3, model)
        yield Timed(row, "training", batch, condition, joules.get((model, batch), 0) if condition == MEIZU_SLOW else 0)


def phone_condition(line: dict[str, str]) -> str:
    """Return which phone ran a row, and how."""
    if line["device"] == MI_9:
        return MI_9
    return MEIZU if "big cores" in line["condition"] else MEIZU_SLOW


@cache
def phone_load(model: str, batch: int) -> Load:
    """Return the Load of one step of a phone's network."""
    build, shape = PHONE_MODELS[model]
    return step_load(built(build), shape, batch, momentum=0.9)


def flash_times(folder: Path, device: str) -> dict[str, float]:
    """Return FLASH's milliseconds per batch by LEAF model."""
    lines = table(folder / "flash_training/flash_model_batch_times.csv")
    return {f"{x['dataset']} {x['model']}": float(x["train_ms_mean"]) for x in lines if x["measured_device"] == device}


def table(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
