"""RaFFM with adapters: Yu, Munoz and Jannesari, 2023 (arXiv 2310.00247), and the authors' raffm/fl_vit_peft.py.

Units are ranked once; a device keeps its cut of the frozen network, and adapters alone travel. Departs from the code
as raffm does, and in that a device draws its cut once, not each round: a new one would send the network again. The
budget is that of a first round, in which the network comes down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from fedsim.fleet import Device
from fedsim.learn.elastic import Sampling, Space, offered
from fedsim.learn.lora import init_adapters, leading_adapters, lora_sgd, merge_adapters, with_adapters
from fedsim.learn.salience import rank_units
from fedsim.learn.subnets import leading
from fedsim.method import Context
from fedsim.methods.raffm import Ratios
from fedsim.training import Train
from fedsim.units import Seconds
from fedsim.work import Ref, Reply, Work


@dataclass(frozen=True, slots=True)
class State:
    """The frozen network, the adapters that are trained, and how many merges made them."""

    network: Ref
    adapters: Ref
    version: int = 0


@dataclass(frozen=True, slots=True)
class RaFFMLoRA:
    """Train adapters of *rank* on query, key and value, and the head; the other options are raffm's."""

    rank: Annotated[int, Ge(1)] = 16
    alpha: Annotated[float, Gt(0)] = 16.0
    dropout: Annotated[float, Ge(0), Lt(1)] = 0.1
    ffn: Ratios = (1.0, 0.625, 0.4167)
    attention: Ratios = (1.0,)
    sampling: Literal["budget", "largest", "sandwich"] = "budget"
    budget: Seconds = 0.0
    cohort: Annotated[int, Ge(1)] = 10
    spp: Literal["qk", "qk+ffn", "none"] = "qk"
    rule: Literal["coverage", "zero_padded"] = "coverage"
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        network = rank_units(ctx.initial, scope=self.spp)
        return State(network, init_adapters(network, rank=self.rank, seed=ctx.seed("adapters")))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", device.key, state.version)

        def work(space: Space) -> Work:
            cut = space.drawn_by(ctx.seed("cut", device.key))
            network, sent = leading(state.network, **cut), leading_adapters(state.adapters, **cut)
            how = {**settings, "seed": seed, "alpha": self.alpha, "dropout": self.dropout}
            return Work((network, sent), (lora_sgd(network, sent, ctx.shard(device), **how),), keep=(network,))

        how, lot = Sampling(self.sampling, self.budget, self.cohort), ctx.seed("lot", device.key)
        return offered(Space(self.ffn, self.attention), ctx, device, how=how, lot=lot, work=work)

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        parts, weights = tuple(reply.up[0] for reply in replies), tuple(reply.samples for reply in replies)
        merged = merge_adapters(state.adapters, parts, weights, rule=self.rule)
        return State(state.network, merged, state.version + 1)

    def models(self, state: State) -> Mapping[str, Ref]:
        whole = with_adapters(state.network, state.adapters, alpha=self.alpha)
        cuts = Space(self.ffn, self.attention).narrower()
        return {"global": whole, **{name: leading(whole, **cut.drawn_by(0)) for name, cut in cuts.items()}}
