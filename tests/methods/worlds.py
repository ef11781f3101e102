"""A method on its own: what a device is asked for, and the values behind it, without a clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from fedsim.execute.graph import resolve
from fedsim.fleet import Device, link_from, load_profile
from fedsim.learn.data import Examples
from fedsim.learn.models import make_spec
from fedsim.learn.train import init_model
from fedsim.work import Ref, Reply, Work, source

SPEC = make_spec("mlp", 3, (1, 4, 4), hidden=(8,)).as_params()


def device(number: int) -> Device:
    return Device(number, (0, number), load_profile("raspberry-pi-4"), link_from("wifi-home"), samples=12)


@dataclass
class Alone:
    """A Context, and an executor that remembers."""

    rounds: int = 5
    deadline_s: float | None = None
    now_s: float = 0.0
    public: Ref | None = None
    initial: Ref = field(default_factory=lambda: init_model(spec=SPEC, seed=0))
    known: dict[str, Any] = field(default_factory=dict)

    def shard(self, device: Device) -> Ref:
        return source("shard", device=device.id)

    def seed(self, *labels: object) -> int:
        return sum(repr(labels).encode())

    def value(self, ref: Ref) -> Any:
        if ref.key not in self.known:
            self.known[ref.key] = _examples(dict(ref.params)["device"]) if ref.kind is None else self._run(ref)
        return self.known[ref.key]

    def _run(self, ref: Ref) -> Any:
        torch.manual_seed(int(dict(ref.params).get("seed", 0)))
        params = {name: resolve(value, self.value) for name, value in ref.params}
        return ref.kind.value(*resolve(ref.inputs, self.value), **params)

    def state(self, ref: Ref) -> dict[str, torch.Tensor]:
        """Return the tensors of a model."""
        return self.value(ref).state


def reply(number: int, work: Work, version: int = 0) -> Reply:
    return Reply(number, work.up, work.keep, version, samples=12)


def _examples(number: int) -> Examples:
    draws = torch.Generator().manual_seed(number)
    return Examples(torch.randn(12, 1, 4, 4, generator=draws), torch.randint(0, 3, (12,), generator=draws))
