"""What local training is, as plain settings; the torch body is `fedsim.learn.train`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt


@dataclass(frozen=True, slots=True)
class Train:
    """Local training by SGD, Adam or AdamW, unless a method says otherwise.

    lr_schedule: how the learning rate goes over the versions of the model: constant; step
    (times lr_decay every lr_decay_every versions); cosine (to 0 at the last). clip_norm: the
    gradient's largest global L2 norm, 0 for none.
    """

    epochs: Annotated[int, Ge(1)] = 1
    batch_size: Annotated[int, Ge(1)] = 16
    optimizer: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: Annotated[float, Gt(0)] = 0.05
    momentum: Annotated[float, Ge(0)] = 0.9
    weight_decay: Annotated[float, Ge(0)] = 0.0
    clip_norm: Annotated[float, Ge(0)] = 0.0
    lr_schedule: Literal["constant", "step", "cosine"] = "constant"
    lr_decay: Annotated[float, Gt(0)] = 0.98
    lr_decay_every: Annotated[int, Ge(1)] = 5

    def at(self, version: int, versions: int) -> dict[str, Any]:
        """Return the parameters of a training job that starts from *version* of *versions* to come."""
        return {
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "optimizer": self.optimizer,
            "lr": self.lr * self._factor(version, versions),
            "momentum": self.momentum if self.optimizer == "sgd" else 0.0,
            "weight_decay": self.weight_decay,
            "clip_norm": self.clip_norm,
        }

    def _factor(self, version: int, versions: int) -> float:
        if self.lr_schedule == "step":
            return self.lr_decay ** (version // self.lr_decay_every)
        if self.lr_schedule == "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * version / max(versions, 1)))
        return 1.0
