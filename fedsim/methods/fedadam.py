"""FedAdam: Reddi et al., ICLR 2021 (arXiv 2003.00295), algorithm 2: Adam on the server, on the mean update.

The second moment starts at tau^2 and neither moment is corrected for its start, as there. Departs
from it in that the mean update is weighted by examples, as in its experiments and in FedAvg.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Gt, Lt

from fedsim.fleet import Device
from fedsim.learn.adaptive import adam_step, filled, second_moment
from fedsim.learn.aggregate import average, difference, mix
from fedsim.method import Context
from fedsim.methods import fedavg
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The global model, the first and the second moment of its updates, and how many merges made it."""

    model: Ref
    first: Ref
    second: Ref
    version: int = 0


@dataclass(frozen=True, slots=True)
class FedAdam:
    """Step by server_lr * first / (sqrt(second) + tau); devices send updates."""

    server_lr: Annotated[float, Gt(0)] = 0.01
    beta1: Annotated[float, Ge(0), Lt(1)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1)] = 0.99
    tau: Annotated[float, Gt(0)] = 1e-3
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(ctx.initial, filled(ctx.initial, value=0.0), filled(ctx.initial, value=self.tau**2))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        work = fedavg.FedAvg(self.train).plan(ctx, fedavg.State(state.model, state.version), device)
        return Work(down=work.down, up=(difference(work.up[0], state.model),))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        (update,) = self.combine(ctx, state, replies)
        first = mix(state.first, update, rate=1.0 - self.beta1)
        second = second_moment(state.second, update, beta=self.beta2)
        model = adam_step(state.model, update, first, second, lr=self.server_lr, tau=self.tau)
        return State(model, first, second, state.version + 1)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        return (average(tuple(r.up[0] for r in replies), tuple(r.samples for r in replies)),)

    def models(self, state: State) -> Mapping[str, Ref]:
        return {"global": state.model}
