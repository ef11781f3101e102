"""RaFFM: Yu, Munoz and Jannesari, 2023 (arXiv 2310.00247), and the authors' code (yusx-swapp/RaFFM).

Every layer of a transformer is cut to a ratio drawn at random; each round its units are ranked by salience, so that
the leading ones are worth keeping. Departs from the code in cutting each head by itself; in drawing among the ratios
that a device can pay, or, as its sandwich, whole and smallest with a chance each; in averaging over the devices that
hold an entry (rule "zero_padded" is the code's); and in keeping the server's order of units: a ranking travels with
each cut, so that late replies find their places. Edges send whole networks, of what nobody there held as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, MinLen

from fedsim.fleet import Device
from fedsim.learn.elastic import Sampling, Space, offered
from fedsim.learn.salience import rank_units, salience
from fedsim.learn.subnets import leading, merge_subnets
from fedsim.learn.train import local_sgd
from fedsim.method import Context
from fedsim.methods.fedavg import State
from fedsim.training import Train
from fedsim.units import Seconds
from fedsim.work import Ref, Reply, Work

Ratios = Annotated[tuple[Annotated[float, Gt(0), Le(1)], ...], MinLen(1)]


@dataclass(frozen=True, slots=True)
class RaFFM:
    """Train perceptrons cut to one of the ratios *ffn* and heads to one of *attention*, each layer its own.

    sampling "budget": up to the largest cut that fits a device's memory and *budget* (0 s: the deadline); "largest":
    that cut; "sandwich", prices aside: whole or smallest with chance 1/cohort each. mu: FedProx.
    spp: what is ranked; "qk", the code's, tells only where heads are cut.
    """

    ffn: Ratios = (1.0, 0.625, 0.4167)
    attention: Ratios = (1.0,)
    sampling: Literal["budget", "largest", "sandwich"] = "budget"
    budget: Seconds = 0.0
    cohort: Annotated[int, Ge(1)] = 10
    spp: Literal["qk", "qk+ffn", "naive", "none"] = "qk"
    spp_every_round: bool = True
    rule: Literal["coverage", "zero_padded"] = "coverage"
    mu: Annotated[float, Ge(0)] = 0.0
    train: Train = field(default_factory=Train)

    def init(self, ctx: Context) -> State:
        return State(rank_units(ctx.initial, scope=self.spp))

    def plan(self, ctx: Context, state: State, device: Device) -> Work | None:
        how, lot = Sampling(self.sampling, self.budget, self.cohort), ctx.seed("lot", device.key, state.version)
        space = Space(self.ffn, self.attention)
        return offered(space, ctx, device, how=how, lot=lot, work=lambda cut: self._work(ctx, state, device, space=cut))

    def merge(self, ctx: Context, state: State, replies: Sequence[Reply]) -> State:
        parts, *rankings = zip(*(reply.up for reply in replies), strict=True)
        weights = tuple(reply.samples for reply in replies)
        return State(merge_subnets(state.model, parts, weights, *rankings, rule=self.rule), state.version + 1)

    def combine(self, ctx: Context, state: State, replies: Sequence[Reply]) -> tuple[Ref, ...]:
        whole, (_, *ranking) = self.merge(ctx, state, replies).model, replies[0].up
        return (leading(whole, *ranking, ffn=(1.0,)), *ranking)  # in the order that the ranking says

    def models(self, state: State) -> Mapping[str, Ref]:
        cuts, ranking = Space(self.ffn, self.attention).narrower(), self._ranking(state)
        made = {name: leading(state.model, *ranking, **cut.drawn_by(0)) for name, cut in cuts.items()}
        return {"global": state.model, **made}

    def _work(self, ctx: Context, state: State, device: Device, *, space: Space) -> Work:
        who, ranking = (device.key, state.version), self._ranking(state)
        sent = leading(state.model, *ranking, **space.drawn_by(ctx.seed("cut", *who)))
        settings, seed = self.train.at(state.version, ctx.rounds), ctx.seed("train", *who)
        trained = local_sgd(sent, ctx.shard(device), **settings, seed=seed, mu=self.mu)
        return Work(down=(sent, *ranking), up=(trained, *ranking))

    def _ranking(self, state: State) -> tuple[Ref, ...]:
        idle = self.spp == "none" or (self.spp == "qk" and min(self.attention) == 1.0)  # the same cuts either way
        each_round = self.spp_every_round and not idle
        return (salience(state.model, scope=self.spp),) if each_round else ()
