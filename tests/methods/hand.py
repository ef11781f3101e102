"""A method run by hand: no clock, no fleet, every device in every round, any value to be looked at."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import torch

from fedsim.execute.graph import missing, resolve
from fedsim.fleet import Device, load_profile
from fedsim.fleet.link import Link
from fedsim.learn.data import Examples
from fedsim.learn.models import make_spec
from fedsim.learn.train import init_model
from fedsim.method import Quote
from fedsim.seeds import seed_of
from fedsim.work import Ref, Reply, missing_at, source

SHAPE, CLASSES = (1, 8, 8), 4
PUBLIC = source("public")


def device(number: int, samples: int = 24) -> Device:
    return Device(number, (0, number), load_profile("raspberry-pi-4"), Link("any", 1e6, 1e6, 0.0), samples)


def examples(number: int, n: int) -> Examples:
    """Draw *n* labelled images, whose mean tells the label."""
    draws = torch.Generator().manual_seed(number)
    y = torch.randint(CLASSES, (n,), generator=draws)
    return Examples(torch.randn(n, *SHAPE, generator=draws) + y.view(-1, 1, 1, 1), y)


@dataclass
class Hand:
    """A context that grants everything, and an executor; ``model`` names the architecture."""

    model: dict[str, Any] = field(default_factory=lambda: {"name": "mlp", "hidden": 6})
    devices: list[Device] = field(default_factory=lambda: [device(0), device(1), device(2)])
    rounds: int = 10
    deadline_s: float | None = None
    public: Ref | None = PUBLIC

    def __post_init__(self) -> None:
        options = {key: value for key, value in self.model.items() if key != "name"}
        self.spec = make_spec(self.model["name"], CLASSES, SHAPE, **options)
        self.initial = init_model(spec=self.spec.as_params(), seed=5)
        self.values: dict[str, Any] = {PUBLIC.key: examples(99, 40)}
        self.quoted = lambda dev, work: Quote(1.0, 1.0, 0, 0, 0.0, fits=True)

    def shard(self, dev: Device) -> Ref:
        ref = source("shard", device=dev.id)
        self.values.setdefault(ref.key, examples(dev.id, dev.samples))
        return ref

    def seed(self, *labels: object) -> int:
        return seed_of(0, *labels)

    def quote(self, dev: Device, work: Any) -> Quote:
        return self.quoted(dev, work)

    def look(self, ref: Ref) -> Any:
        """Return the value of *ref*, computed in this process."""
        for job in missing([ref], lambda r: r.key in self.values, lambda r: r.parents()):
            torch.manual_seed(int(dict(job.params).get("seed", 0)))
            params = {name: resolve(given, self._value) for name, given in job.params}
            self.values[job.key] = job.kind.value(*resolve(job.inputs, self._value), **params)
        return self.values[ref.key]

    def play(self, method: Any, rounds: int = 1) -> SimpleNamespace:
        """Run *rounds* in which every willing device replies; return the state and all replies."""
        state, heard = method.init(self), []
        for _ in range(rounds):
            replies = [self.reply(method, state, dev) for dev in self.devices]
            heard.append([reply for reply in replies if reply])
            state = method.merge(self, state, heard[-1])
        return SimpleNamespace(state=state, replies=heard)

    def reply(self, method: Any, state: Any, dev: Device) -> Reply | None:
        """Return what *dev* sends back, having checked that it can compute it."""
        work = method.plan(self, state, dev)
        if work is None:
            return None
        mine = getattr(state, "local", {}).get(dev.id)
        holds = {ref.key for ref in (*work.down, self.shard(dev), *([mine] if mine else []))}
        missing_at("a device", holds, work.up + work.keep)
        return Reply(dev.id, work.up, work.keep, getattr(state, "version", 0), samples=dev.samples)

    def _value(self, ref: Ref) -> Any:
        return self.values[ref.key]
