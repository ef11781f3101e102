"""Equitable-FL lets devices join as the network thins out, and sets it back when it does."""

from dataclasses import dataclass, field, replace

import pytest
import torch

from fedsim.errors import InputError, Stalled
from fedsim.learn.masks import kept_values, masked_sgd, weights_of
from fedsim.learn.parts import layout, weight_entries
from fedsim.learn.values import flatten
from fedsim.method import Quote
from fedsim.methods.equitable_fl import EquitableFl
from fedsim.methods.fedavg import FedAvg, State
from fedsim.work import Reply
from tests.methods.hand import Hand
from tests.methods.runs import EQUAL, STILL, SYNTHETIC, apart, executed, method, metrics, scenario, together

SLOW = {"down": "100 Mbit/s", "up": "3 Mbit/s", "latency": "1 ms"}
MIXED = [
    {"profile": "raspberry-pi-5", "count": 2, "link": "fibre"},
    {"profile": "raspberry-pi-5", "count": 2, "link": SLOW},
]
WIDE = {"data": "synthetic", "model": {"name": "mlp", "hidden": 32}, "samples_per_device": 32}


@dataclass
class World(Hand):
    """Device d can carry a share ``able[d]`` of the dense network, whatever it is asked for."""

    able: dict[int, float] = field(default_factory=lambda: {0: 1.0, 1: 0.7, 2: 0.3})
    deadline_s: float | None = 1.0
    rounds: int = 6

    def __post_init__(self):
        super().__post_init__()
        self.quoted = lambda dev, work: Quote(1.0 / self.able[dev.id], 0.0, 0, 0, 0.0, fits=True)

    def willing(self, method, state):
        return [dev.id for dev in self.devices if method.plan(self, state, dev)]

    def merges(self, method, count, state=None):
        """Return the state after *count* merges of all who are willing."""
        state = state or method.init(self)
        for _ in range(count):
            works = [(dev, method.plan(self, state, dev)) for dev in self.devices]
            state = method.merge(self, state, [reply(dev, work, state) for dev, work in works if work])
        return state


def reply(dev, work, state):
    return Reply(dev.id, work.up, work.keep, state.net.version, samples=dev.samples)


def test_in_the_first_phase_it_is_fedavg():
    world = World()
    state = EquitableFl().init(world)
    assert EquitableFl().plan(world, state, world.devices[0]) == FedAvg().plan(
        world, State(world.initial), world.devices[0]
    )


def test_where_all_can_do_everything_and_nothing_is_cut_it_is_fedavg(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("equitable-fl", densities=[1.0], round_budget="1000 s"))
    assert apart(path, results, "fedavg", "equitable-fl") == 0.0


def test_devices_join_from_phase_to_phase():
    world, one = World(), EquitableFl()
    joined = [world.willing(one, world.merges(one, merges)) for merges in (0, 1, 2, 4)]
    assert joined == [[0], [0], [0, 1], [0, 1, 2]]


def test_who_cannot_carry_the_last_density_never_joins():
    world = World(able={0: 1.0, 1: 0.19, 2: 0.2})
    assert world.willing(EquitableFl(), world.merges(EquitableFl(), 4)) == [0, 2]


def test_at_a_cut_the_survivors_are_those_of_the_first_model_and_the_others_zero():
    world = World()
    first = world.look(world.initial)
    for merges, density in ((2, 0.6), (4, 0.2)):
        state = world.merges(EquitableFl(), merges)
        model, mask = world.look(state.net.model), world.look(*state.net.masks)
        assert int(mask.kept.sum()) == int(density * len(mask.kept))
        assert torch.equal(weights_of(model), weights_of(first) * mask.kept)
        exempt = [name for name, t in model.state.items() if t.dim() < 2]
        assert all(torch.equal(model.state[name], first.state[name]) for name in exempt)


def test_the_weights_that_stay_are_the_largest_that_were_learnt():
    world, one = World(), EquitableFl()
    state = world.merges(one, 1)
    works = [(dev, one.plan(world, state, dev)) for dev in world.devices]
    replies = [reply(dev, work, state) for dev, work in works if work]
    learnt = weights_of(world.look(state.net.merged(replies).model)).abs()
    kept = world.look(*one.merge(world, state, replies).net.masks).kept
    assert float(learnt[kept].min()) >= float(learnt[~kept].max())


def test_survivors_may_go_back_to_the_model_of_a_merge():
    world, one = World(), EquitableFl(rewind="round_k", rewind_round=1)
    later = weights_of(world.look(world.merges(one, 1).net.model))
    for merges in (2, 4):
        net = world.merges(one, merges).net
        assert torch.equal(weights_of(world.look(net.model)), later * world.look(*net.masks).kept)


def test_survivors_may_stay_as_they_are():
    world, one = World(), EquitableFl(rewind="none")
    state = world.merges(one, 1)
    work = one.plan(world, state, world.devices[0])
    merged = state.net.merged([reply(world.devices[0], work, state)])
    net = one.merge(world, state, [reply(world.devices[0], work, state)]).net
    kept = world.look(*net.masks).kept
    assert torch.equal(weights_of(world.look(net.model)), weights_of(world.look(merged.model)) * kept)


def test_steps_cut_within_a_phase_and_admit_nobody_new():
    world, two = World(), EquitableFl(densities=(1.0, 0.25), steps=2, rewind="none")
    world.rounds = 8
    kept, total = [], weight_entries(layout(world.spec.as_params()))
    for merges in (1, 2, 3, 4):
        state = world.merges(two, merges)
        kept.append(int(world.look(*state.net.masks).kept.sum()) if state.net.masks else total)
        assert world.willing(two, state) == ([0] if merges < 4 else [0, 1, 2])
    assert kept == [total, total // 2, total // 2, total // 4]


def test_the_last_merge_cuts_nothing():
    world = World(rounds=3)
    assert world.merges(EquitableFl(), 2).net.since == 2
    assert world.merges(EquitableFl(), 3).net.since == 2


def test_a_first_density_below_one_thins_the_first_model():
    world = World()
    net = EquitableFl(densities=(0.5, 0.1)).init(world).net
    assert float((weights_of(world.look(net.model)) == 0).double().mean()) == 0.5


def test_training_under_a_mask_says_its_density_and_keeps_the_mask_on_the_device():
    world, one = World(), EquitableFl()
    state = world.merges(one, 4)
    work = one.plan(world, state, world.devices[2])
    values, mask = work.down
    assert (values.kind, mask, work.keep) == (kept_values, *state.net.masks, state.net.masks)
    trained = work.up[0].inputs[0]
    assert trained.kind is masked_sgd
    assert float((weights_of(world.look(trained)) != 0).double().mean()) <= 0.2


def test_a_mean_under_a_mask_is_the_mean_of_the_trained_networks_and_zero_elsewhere():
    world, one = World(), EquitableFl()
    state = world.merges(one, 4)
    works = [(dev, one.plan(world, state, dev)) for dev in world.devices]
    merged = world.look(one.merge(world, state, [reply(dev, work, state) for dev, work in works]).net.model)
    mean = sum(flatten(world.look(work.up[0].inputs[0]).state).double() for _, work in works) / 3
    assert torch.allclose(flatten(merged.state).double(), mean, atol=1e-6)
    assert not bool(weights_of(merged)[~world.look(*state.net.masks).kept].any())


def test_a_reply_from_before_a_cut_is_left_out():
    world, one = World(), EquitableFl()
    before = world.merges(one, 1)
    late = reply(world.devices[0], one.plan(world, before, world.devices[0]), before)
    state = world.merges(one, 2)
    assert one.merge(world, state, [late]) == replace(state, net=replace(state.net, version=3))


@pytest.mark.parametrize(("rescore", "later"), [("phase", [0, 1]), ("round", [0])])
def test_who_gets_weaker_within_a_phase_stays_in_it_unless_scored_every_round(rescore, later):
    world, one = World(rounds=9), EquitableFl(rescore=rescore)
    state = world.merges(one, 4)
    assert world.willing(one, state) == [0, 1]
    world.able[1] = 0.5
    assert world.willing(one, state) == later


def test_who_gets_weaker_is_scored_again_in_the_next_phase():
    world, one = World(able={0: 1.0, 1: 0.9, 2: 0.1}), EquitableFl()
    state = world.merges(one, 3)
    world.able[1] = 0.1
    assert world.willing(one, state) == [0, 1]
    assert world.willing(one, world.merges(one, 1, state)) == [0]


@pytest.mark.parametrize("rescore", ["phase", "round"])
def test_who_gets_stronger_joins_at_once(rescore):
    world, one = World(), EquitableFl(rescore=rescore)
    state = one.init(world)
    world.able[2] = 1.0
    assert world.willing(one, state) == [0, 2]


def test_a_given_budget_counts_instead_of_the_deadline():
    world, one = World(), EquitableFl(round_budget=10.0)
    assert world.willing(one, one.init(world)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"densities": (0.6, 0.6)}, "shares that fall"),
        ({"phase_rounds": (1, 1)}, "one number per phase"),
        ({"rewind": "round_k", "rewind_round": 3}, "rewind_round is 3: allowed is up to the first cut"),
    ],
)
def test_options_that_do_not_fit_are_refused_at_once(options, says):
    with pytest.raises(InputError, match=says):
        EquitableFl(**options).init(World())
    assert EquitableFl(rewind="round_k", rewind_round=2).init(World())


def test_without_a_deadline_or_a_budget_nothing_is_started(tmp_path):
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4}
    path = scenario(tmp_path, task=SYNTHETIC, fleet=EQUAL, schedule=schedule, method=[{"name": "equitable-fl"}])
    with pytest.raises(InputError, match="round_budget"):
        executed(path)
    assert not (tmp_path / "out").exists()


def test_if_nobody_can_carry_the_dense_network_the_run_says_so(tmp_path):
    schedule = {"kind": "sync", "rounds": 3, "cohort": 4}
    path = scenario(tmp_path, task=SYNTHETIC, fleet=EQUAL, availability=STILL, schedule=schedule,
                    method=[method("equitable-fl", round_budget="1 us")])  # fmt: skip
    with pytest.raises(Stalled, match="4 declined"):
        executed(path)


def test_slow_links_join_in_the_last_phase_and_a_mask_goes_down_once(tmp_path):
    one = method("equitable-fl", round_budget="100 ms")
    _, results = together(tmp_path, one, fleet=MIXED, task=WIDE, rounds=6)
    weights, exempt = 28 * 28 * 32 + 32 * 10, 32 + 10
    mask = weights // 8
    dense, some, few = (4 * (int(density * weights) + exempt) for density in (1.0, 0.6, 0.2))
    fast, everybody = {0, 1}, {0, 1, 2, 3}
    assert sent(results, "upload") == [(dense, fast)] * 2 + [(some, fast)] * 2 + [(few, everybody)] * 2
    down = [(dense, fast)] * 2 + [(some + mask, fast), (some, fast), (few + mask, everybody), (few, everybody)]
    assert sent(results, "download") == down


def sent(results, kind):
    """Return, by version, the bytes that each message took, and who sent or received one."""
    rows = results.timeline[results.timeline.kind == kind]
    found = []
    for _, version in rows.groupby("version"):
        (nbytes,) = set(version.bytes)
        found.append((nbytes, set(version.device)))
    return found


def test_a_network_that_is_set_back_has_to_learn_anew(tmp_path):
    task = {**WIDE, "samples_per_device": 200}
    back, kept = (method("equitable-fl", rewind=how, label=how) for how in ("init", "none"))
    _, results = together(tmp_path, back, kept, task=task, rounds=9)
    losses = {label: [row["loss"] for row in metrics(results, label)] for label in ("init", "none")}
    for cut in (3, 6):
        assert losses["init"][cut] > losses["init"][cut - 1]
        assert losses["init"][cut] > losses["none"][cut]
        assert losses["init"][cut + 2] < losses["init"][cut]
