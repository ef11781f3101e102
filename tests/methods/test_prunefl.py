"""PruneFL starts on one device and adapts one mask to what gradients say."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from fedsim.errors import NeedsValues
from fedsim.learn.masks import Mask, weights_of
from fedsim.learn.reconfigure import reconfigured, squared_gradients
from fedsim.learn.values import Model
from fedsim.methods.prunefl import PruneFl
from fedsim.work import Reply
from tests.methods.hand import CLASSES, Hand, examples
from tests.methods.runs import apart, billed, executed, method, together

DENSE = 28 * 28 * 8 + 8 * 10  # the weights of what `together` trains
EXEMPT = 8 + 10


@dataclass
class World(Hand):
    def merges(self, method, count):
        """Return the state after *count* merges of all who are given work."""
        state = method.init(self)
        for _ in range(count):
            works = [(dev, method.plan(self, state, dev)) for dev in self.devices]
            state = method.merge(self, state, [reply(dev, work, state) for dev, work in works if work])
        return state

    def willing(self, method, state):
        return [dev.id for dev in self.devices if method.plan(self, state, dev)]


def reply(dev, work, state):
    return Reply(dev.id, work.up, work.keep, state.net.version, samples=dev.samples)


def network():
    """Return a perceptron whose 408 weights are 0, 1, 2, and so on."""
    model = Hand().look(Hand().initial)
    state, at = {}, 0
    for name, t in model.state.items():
        state[name] = torch.arange(at, at + t.numel(), dtype=torch.float32).reshape(t.shape) if t.dim() > 1 else t
        at += t.numel() if t.dim() > 1 else 0
    return Model(model.spec, state)


def mask_of(gains, before=(), **how):
    """Reconfigure *network* by one device's squared gradients."""
    settings = {"share": 0.25, "overhead": 0.0, "density": 0.0, **how}
    return reconfigured.value(network(), (gains,), (1,), before, **settings).kept


# --- Which weights are worth their time ----------------------------------------------------------------------------
def test_the_smallest_weights_of_each_layer_go_where_no_gradient_speaks_for_them():
    first, second = torch.split(mask_of(torch.zeros(408)), [64 * 6, 6 * CLASSES])
    assert first.tolist() == [False] * 96 + [True] * 288
    assert second.tolist() == [False] * 6 + [True] * 18


def test_weights_come_back_while_they_raise_the_ratio_of_gains_to_time():
    gains = torch.full((408,), 1.0)
    gains[:5] = torch.tensor([3.0, 1.0, 0.5, 2.0, 1.0])
    assert mask_of(gains)[:7].tolist() == [True, False, False, True, False, False, False]


def by_one(gains, fixed):
    """Return how many candidates come back, one after another: the rule as it is written."""
    stays = mask_of(torch.zeros(408))
    total, kept = float(gains[stays].sum()), int(stays.sum())
    back = 0
    for gain in sorted(gains[~stays].tolist(), reverse=True):
        if gain <= total / (fixed + kept):
            break
        total, kept, back = total + gain, kept + 1, back + 1
    return back


@pytest.mark.parametrize("overhead", [0.0, 0.5, 3.0])
def test_as_many_come_back_as_one_after_another(overhead):
    gains = torch.rand(408, generator=torch.Generator().manual_seed(1)).double() ** 2
    back = int((mask_of(gains, overhead=overhead) & ~mask_of(torch.zeros(408))).sum())
    assert back == by_one(gains, overhead * 408) > 0


def test_a_dearer_round_brings_more_weights_back():
    gains = torch.rand(408, generator=torch.Generator().manual_seed(1))
    counts = [int(mask_of(gains, overhead=overhead).sum()) for overhead in (0.0, 0.5, 5.0)]
    assert counts == sorted(set(counts))


def test_weights_that_were_dropped_before_may_come_back():
    before = torch.ones(408, dtype=torch.bool)
    before[200:] = False
    gains = torch.ones(408)
    gains[300] = 9.0
    kept = mask_of(gains, (Mask(network().spec, before),))
    assert (int(kept[200:].sum()), bool(kept[300])) == (1, True)


@pytest.mark.parametrize("density", [0.1, 0.5, 0.75, 0.9, 1.0])
def test_at_a_given_density_as_many_are_kept_as_declared(density):
    gains = torch.rand(408, generator=torch.Generator().manual_seed(1))
    model = network()
    declared = reconfigured.size(model.size(), (), (), (), share=0.25, overhead=0.0, density=density)
    assert int(mask_of(gains, density=density).sum()) == declared.kept == int(density * 408)


def test_at_a_given_density_the_best_gradients_come_back_and_the_largest_stay():
    gains = torch.zeros(408)
    gains[3] = 1.0
    kept = mask_of(gains, density=307 / 408)
    assert (int(kept.sum()), bool(kept[3]), bool(kept[:3].any())) == (307, True, False)


def test_gains_are_the_mean_over_examples():
    one, other = torch.zeros(408), torch.zeros(408)
    one[0], other[1] = 1.0, 2.0
    settings = {"share": 0.25, "overhead": 0.0, "density": 307 / 408}
    kept = [
        reconfigured.value(network(), (one, other), samples, (), **settings).kept[:2].tolist()
        for samples in ((30, 10), (10, 10))
    ]
    assert kept == [[True, False], [False, True]]


def test_squared_gradients_are_of_the_whole_shard_dropped_weights_among_them():
    model, data = Hand().look(Hand().initial), examples(0, 24)
    module = model.module()
    nn.functional.cross_entropy(module(data.x), data.y).backward()
    whole = torch.cat([p.grad.flatten() for p in module.parameters() if p.dim() > 1]).square()
    for batch_size in (5, 24):
        found = squared_gradients.value(model, data, batch_size=batch_size, seed=1)
        assert torch.allclose(found, whole, rtol=1e-4, atol=1e-9)
    assert 4 * len(whole) == squared_gradients.size(model.size(), None, batch_size=5, seed=1).nbytes


# --- The method ------------------------------------------------------------------------------------------------
def test_one_device_of_those_that_reply_first_is_alone_at_first_and_prunes():
    world, alone = World(), PruneFl(first_rounds=2, first_every=5)
    states = [world.merges(alone, merges) for merges in (0, 1, 2)]
    assert [world.willing(alone, state) for state in states] == [[0, 1, 2], [0], [0, 1, 2]]
    assert [len(state.net.masks) for state in states] == [0, 0, 1]


def test_what_others_sent_to_the_first_model_does_not_count():
    world, alone = World(), PruneFl(first_rounds=2, first_every=5)
    new = alone.init(world)
    replies = [reply(dev, alone.plan(world, new, dev), new) for dev in (world.devices[2], world.devices[0])]
    assert alone.merge(world, new, replies).net.model == alone.merge(world, new, replies[:1]).net.model


def test_a_new_mask_is_made_every_so_many_merges():
    world, some = World(), PruneFl(first_rounds=4, first_every=3, every=2)
    assert [world.merges(some, merges).net.since for merges in range(9)] == [0, 0, 0, 3, 4, 4, 6, 6, 8]


def test_gradients_are_sent_before_a_new_mask_only():
    world, some = World(), PruneFl(first_rounds=0, every=3)
    sent = [len(some.plan(world, world.merges(some, merges), world.devices[0]).up) for merges in range(6)]
    assert sent == [1, 1, 2, 1, 1, 2]


def test_where_no_reply_brings_gradients_the_mask_stays_and_they_are_asked_for_again():
    world, some = World(), PruneFl(first_rounds=0, every=2)
    states = [world.merges(some, merges) for merges in (0, 1)]
    late = reply(world.devices[0], some.plan(world, states[0], world.devices[0]), states[0])
    state = some.merge(world, states[1], [late])
    assert (state.net.masks, state.net.version, len(some.plan(world, state, world.devices[0]).up)) == ((), 2, 2)


def test_the_model_is_zero_where_the_mask_is_and_what_came_back_begins_there():
    world, some = World(), PruneFl(first_rounds=0, every=1, density=0.3)
    masks = [world.look(*world.merges(some, merges).net.masks).kept for merges in (1, 2)]
    weights = weights_of(world.look(world.merges(some, 2).net.model))
    back = masks[1] & ~masks[0]
    assert bool(back.any())
    assert not bool(weights[~masks[1] | back].any())


def test_the_share_that_goes_decays():
    world, some = World(), PruneFl(first_rounds=0, every=1, half_life=1.0)
    shares = [dict(world.merges(some, merges).net.masks[0].params)["share"] for merges in (1, 2)]
    assert shares == [0.15, 0.075]


def test_until_the_first_mask_it_is_fedavg(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("prunefl", every=50))
    assert apart(path, results, "fedavg", "prunefl") == 0.0


def test_gradients_and_masks_are_billed_and_what_was_dropped_is_not(tmp_path):
    _, results = together(tmp_path, method("prunefl", every=2, density=0.5), rounds=4)
    whole, half, mask = 4 * (DENSE + EXEMPT), 4 * (DENSE // 2 + EXEMPT), DENSE // 8
    timeline = results.timeline
    bytes_of = [list(timeline[timeline.kind == kind].groupby("version").bytes.max()) for kind in ("upload", "download")]
    assert bytes_of == [[whole, whole + 4 * DENSE, half, half + 4 * DENSE], [whole, whole, half + mask, half]]


def test_a_mask_that_gradients_size_is_told_by_computing_only(tmp_path):
    adaptive = {"name": "prunefl", "first_rounds": 0, "every": 1}
    path, results = together(tmp_path, adaptive, rounds=3)
    assert billed(results, "status") == ["done"]
    with pytest.raises(NeedsValues):
        executed(path, "cost-only", out="costs")
