"""What each method sends, asks for and merges, as recipes: nothing is computed here."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import pytest

from fedsim.fleet import Device
from fedsim.learn.aggregate import add_scaled, average, difference, mix
from fedsim.learn.models import make_spec
from fedsim.learn.train import local_sgd
from fedsim.method import Quote
from fedsim.methods import METHODS
from fedsim.methods.fedasync import FedAsync
from fedsim.methods.fedavg import FedAvg, State
from fedsim.methods.fedbuff import FedBuff
from fedsim.methods.fedprox import FedProx
from fedsim.scenario.options import options_of
from fedsim.training import Train
from fedsim.work import Ref, Reply, Work, missing_at, source
from tests.contract.small import OPTIONS
from tests.sim.toys import SLOW, profile

MODEL, PUBLIC = source("model", spec=make_spec("mlp", 4, (1, 8, 8)).as_params()), source("public")


@dataclass(frozen=True)
class Ctx:
    """A context in which nothing happens."""

    rounds: int = 10
    deadline_s: float | None = None
    now_s: float = 0.0
    initial: Ref = MODEL
    public: Ref = PUBLIC

    def shard(self, device: Device) -> Ref:
        return source("shard", device=device.id)

    def quote(self, device: Device, work: Work) -> Quote:
        return Quote(1.0, 1.0, 1, 1, 1.0, True)

    def seed(self, *labels: Any) -> int:
        return hash(labels) % 2**31  # of whole numbers and one short text: the same within a process


CTX = Ctx()
DEVICE = Device(3, (0, 3), profile(), SLOW, 7)


def trained(received=MODEL, version=0, **changes):
    settings = Train().at(version, CTX.rounds)
    return local_sgd(received, CTX.shard(DEVICE), **settings, seed=CTX.seed("train", DEVICE.key, version), **changes)


def reply(ref, *, samples=1, staleness=0):
    return Reply(0, (ref,), (), 0, staleness, samples)


A, B = source("a"), source("b")


# --- All of them ---------------------------------------------------------------------------------------------
@pytest.fixture(params=sorted(METHODS))
def made(request):
    rule, given = METHODS[request.param], OPTIONS.get(request.param, {})
    known = options_of(rule)
    return rule(**{name: known[name].read(given[name]) for name in known.keys() & given})  # a model is the scenario's


def test_options_are_fields_with_defaults_of_a_frozen_dataclass(made):
    assert type(made).__dataclass_params__.frozen
    assert "train" in {f.name for f in fields(made)}


def test_a_device_can_do_what_is_asked_with_what_it_is_sent(made):
    work = made.plan(CTX, made.init(CTX), DEVICE)
    held = {ref.key for ref in work.down} | {CTX.shard(DEVICE).key, MODEL.key}  # anybody can make the first model
    assert missing_at("the device", held, work.up)


def test_the_server_can_merge_with_what_it_is_sent(made):
    state = made.init(CTX)
    work = made.plan(CTX, state, DEVICE)
    merged = made.merge(CTX, state, [Reply(3, work.up, work.keep, 0, 0, 7)])
    held = {MODEL.key, PUBLIC.key, *(ref.key for ref in work.up)}
    assert missing_at("the server", held, tuple(made.models(merged).values()))


def test_planning_and_merging_leave_no_trace(made):
    state = made.init(CTX)
    assert made.plan(CTX, state, DEVICE) == made.plan(CTX, state, DEVICE)
    assert state == made.init(CTX)


def test_two_devices_get_work_of_their_own(made):
    other = Device(4, (0, 4), profile(), SLOW, 7)
    state = made.init(CTX)
    assert made.plan(CTX, state, DEVICE).up != made.plan(CTX, state, other).up


# --- Each of them ----------------------------------------------------------------------------------------------
def test_fedavg_sends_the_model_and_gets_it_back_trained():
    work = FedAvg().plan(CTX, State(MODEL), DEVICE)
    assert (work.down, work.up, work.keep) == ((MODEL,), (trained(),), ())


def test_fedavg_weighs_replies_by_their_examples():
    state = FedAvg().merge(CTX, State(MODEL, 4), [reply(A, samples=30), reply(B, samples=10)])
    assert state == State(average((A, B), (30, 10)), 5)


def test_training_follows_the_version_of_the_model():
    method = FedAvg(Train(lr=1.0, lr_schedule="step", lr_decay=0.5, lr_decay_every=1))
    rates = [dict(method.plan(CTX, State(MODEL, v), DEVICE).up[0].params)["lr"] for v in range(3)]
    assert rates == [1.0, 0.5, 0.25]


def test_each_version_trains_with_randomness_of_its_own():
    assert FedAvg().plan(CTX, State(MODEL, 0), DEVICE).up != FedAvg().plan(CTX, State(MODEL, 1), DEVICE).up


def test_fedprox_trains_with_its_term_and_merges_as_fedavg():
    assert FedProx(mu=0.3).plan(CTX, State(MODEL), DEVICE).up == (trained(mu=0.3),)
    replies = [reply(A, samples=2), reply(B, samples=3)]
    assert FedProx().merge(CTX, State(MODEL), replies) == FedAvg().merge(CTX, State(MODEL), replies)


def test_fedprox_without_its_term_shares_fedavgs_trainings():
    assert FedProx(mu=0.0).plan(CTX, State(MODEL), DEVICE) == FedAvg().plan(CTX, State(MODEL), DEVICE)


def test_fedasync_mixes_replies_in_one_after_another_by_their_staleness():
    method = FedAsync(rate=0.8, decay=0.5)
    state = method.merge(CTX, State(MODEL), [reply(A), reply(B, staleness=3)])
    assert state == State(mix(mix(MODEL, A, rate=0.8), B, rate=0.8 * 4**-0.5), 1)


def test_fedbuff_sends_the_update_not_the_model():
    assert FedBuff().plan(CTX, State(MODEL), DEVICE).up == (difference(trained(), MODEL),)


def test_fedbuff_adds_the_mean_update_discounted_by_staleness():
    state = FedBuff(server_lr=2.0).merge(CTX, State(MODEL), [reply(A), reply(B, staleness=3)])
    assert state == State(add_scaled(MODEL, (A, B), (1.0, 0.5)), 1)
