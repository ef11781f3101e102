"""The rows of the measurement files, each with the Load of the step that was timed."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import timm
import torch
from fitting import Row
from phone_models import PHONE_MODELS
from torch import nn

from fedsim.learn.trace import built, trace_step
from fedsim.work import Load

TIMM = {
    "vit_tiny": "vit_tiny_patch16_224",
    "vit_small": "vit_small_patch16_224",
    "vit_base": "vit_base_patch16_224",
    "mlpmixer_b16": "mixer_b16_224",
    "maxvit_tiny": "maxvit_tiny_tf_224",
}


def pi_rows(folder: Path, board: str) -> list[Row]:
    """Return the rows of *board* whose models this timm knows: full training, and the head alone at weight 0.3."""
    found = []
    for line in table(folder / "training/rpi_pytorch_training.csv"):
        model = TIMM.get(line["model"], line["model"])
        if line["device"] != board:
            continue
        if not timm.is_model(model):
            print(f"{board}: skipped {model}, which timm {timm.__version__} does not have")
            continue
        if line["train_s_per_batch"]:
            found.append(Row(model, timm_load(model), float(line["train_s_per_batch"]), 16))
        found.append(Row(model, timm_load(model, head_only=True), float(line["finetune_s_per_batch"]), 16, 0.3))
    return found


def timm_load(model: str, *, batch: int = 16, classes: int = 1000, head_only: bool = False) -> Load:
    """Return the Load of one plain SGD step on images of 224 x 224."""
    net: nn.Module = built(lambda: timm.create_model(model, num_classes=classes))
    if head_only:
        net.requires_grad_(False)
        heads = net.get_classifier()  # type: ignore[operator]
        for head in heads if isinstance(heads, tuple) else (heads,):
            head.requires_grad_(True)
    return step_load(net, (3, 224, 224), batch)


def step_load(net: nn.Module, shape: tuple[int, ...], batch: int, *, momentum: float = 0.0) -> Load:
    """Return the Load of one SGD step on *batch* images."""
    images = torch.empty((batch, *shape), device="meta")
    return trace_step(net, (images,), torch.empty(batch, dtype=torch.long, device="meta"), momentum=momentum)


def phone_rows(folder: Path) -> Iterable[Row]:
    """Yield MNN's rows of the Xiaomi Mi 9."""
    for line in table(folder / "training/phone_mnn_training.csv"):
        if line["device"] == "Xiaomi Mi 9":
            build, shape = PHONE_MODELS[line["model"]]
            load = step_load(built(build), shape, int(line["batch"]), momentum=0.9)
            yield Row(line["model"], load, float(line["train_ms_per_batch"]) / 1e3)


def flash_times(folder: Path, device: str) -> dict[str, float]:
    """Return FLASH's milliseconds per batch by LEAF model."""
    lines = table(folder / "flash_training/flash_model_batch_times.csv")
    return {f"{x['dataset']} {x['model']}": float(x["train_ms_mean"]) for x in lines if x["measured_device"] == device}


def table(path: Path) -> list[dict[str, str]]:
    """Return the lines of a CSV file."""
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))
