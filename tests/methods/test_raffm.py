"""RaFFM sends cuts that devices can pay, and what they send back finds its place."""

import pytest
import torch
from torchvision.models import VisionTransformer

from fedsim.errors import InputError, Stalled
from fedsim.learn import models
from fedsim.learn.models import ModelSpec
from fedsim.learn.subnets import leading
from fedsim.learn.values import flatten, model_size
from fedsim.method import Quote
from fedsim.methods.raffm import RaFFM
from fedsim.methods.raffm_lora import RaFFMLoRA
from fedsim.work import Reply
from tests.methods.hand import Hand, device
from tests.methods.runs import ALONE, EQUAL, SYNTHETIC, apart, billed, executed, method, scenario, together

VIT = {"name": "vit_tiny", "dim": 8, "heads": 2, "depth": 3, "patch": 4}
TASK = {**SYNTHETIC, "model": VIT}
WHOLE = {"ffn": [1.0], "attention": [1.0]}
HALVES = {"ffn": (1.0, 0.5), "attention": (1.0, 0.5)}


def cut_of(work):
    """Return the ratios and the seed that *work* draws its cut by."""
    params = dict(work.down[0].params)
    return params["ffn"], params["attention"]


def widths_at(hand, made, number, version=0):
    work = made.plan(hand, made.init(hand), device(number))
    return ModelSpec.from_params(hand.look(work.down[0]).spec).widths


def planned(made, hand):
    return made.plan(hand, made.init(hand), hand.devices[0])


def test_whole_cuts_are_fedavg(tmp_path):
    fedavg, ours = method("fedavg", model=VIT), method("raffm", model=VIT, **WHOLE, spp="none")
    path, results = together(tmp_path, fedavg, ours, task=TASK)
    assert apart(path, results, "fedavg", "raffm") <= 1e-6


def test_with_mu_whole_cuts_are_fedprox(tmp_path):
    prox, ours = method("fedprox", mu=0.5), method("raffm", model=VIT, **WHOLE, spp="none", mu=0.5)
    path, results = together(tmp_path, prox, ours, method("fedavg"), task=TASK, train={"batch_size": 8})
    assert apart(path, results, "fedprox", "raffm") <= 1e-6 < apart(path, results, "fedavg", "raffm")


@pytest.mark.parametrize("spp", ["qk", "qk+ffn"])
def test_ranking_each_round_does_not_change_what_whole_cuts_learn(spp):
    hand = Hand(VIT)
    plain, ranked = (hand.play(RaFFM(ffn=(1.0,), spp=scope), rounds=2) for scope in ("none", spp))
    x = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    one, other = (hand.look(run.state.model).module()(x) for run in (plain, ranked))
    assert torch.allclose(one, other, atol=1e-4)


@pytest.mark.parametrize("made", [RaFFM(spp="qk+ffn", **HALVES), RaFFM(rule="zero_padded", spp_every_round=False)])
def test_rounds_of_cuts_change_the_model_and_leave_it_finite(made):
    hand = Hand(VIT)
    before = flatten(hand.look(made.init(hand).model).state)
    after = flatten(hand.look(hand.play(made, rounds=2).state.model).state)
    assert torch.isfinite(after).all()
    assert not torch.equal(before, after)


def test_late_replies_are_merged_where_their_ranking_puts_them():
    """A reply to the first version, unchanged since, gives the first version's entries, whatever was ranked since."""
    hand, made = Hand(VIT), RaFFM(ffn=(1.0,), spp="qk+ffn")
    first = made.init(hand)
    second = made.merge(hand, first, [hand.reply(made, first, dev) for dev in hand.devices])
    orders = [hand.look(made.plan(hand, state, hand.devices[0]).down[1]).units for state in (first, second)]
    assert any(not torch.equal(orders[0][key], orders[1][key]) for key in orders[0])
    back = Reply(0, made.plan(hand, first, hand.devices[0]).down, (), version=0, staleness=1, samples=5)
    merged = made.merge(hand, second, [back]).model
    assert torch.equal(flatten(hand.look(merged).state), flatten(hand.look(first.model).state))


def test_a_ranking_travels_only_where_each_round_has_one_that_changes_a_cut():
    hand, both = Hand(VIT), {"spp": "qk+ffn"}
    given = (
        both,
        {**both, "spp_every_round": False},
        {"spp": "none"},
        {"spp": "qk"},
        {"spp": "qk", "attention": (0.5,)},
    )
    assert [len(planned(RaFFM(**how), hand).down) for how in given] == [2, 1, 1, 1, 2]


def test_the_largest_cut_within_the_budget_bounds_what_is_drawn():
    hand = Hand(VIT)

    def quoted(dev, work):
        (ffn,), (attention,) = cut_of(work)
        return Quote(10.0 * ffn * attention, 0.0, 0, int(1000 * ffn * attention), 0.0, fits=True)

    hand.quoted = quoted
    made = RaFFM(ffn=(1.0, 0.625, 0.4167), attention=(1.0, 0.5), budget=6.3)
    assert cut_of(planned(made, hand)) == ((0.625, 0.4167), (1.0, 0.5))
    hand.deadline_s = 4.5
    assert cut_of(planned(RaFFM(sampling="largest"), hand)) == ((0.4167,), (1.0,))
    assert planned(RaFFM(budget=0.1), hand) is None


def test_memory_counts_as_well_as_time():
    hand = Hand(VIT)
    hand.quoted = lambda dev, work: Quote(0.0, 0.0, 0, 0, 0.0, fits=max(cut_of(work)[0]) < 0.5)
    assert cut_of(planned(RaFFM(), hand)) == ((0.4167,), (1.0,))


def test_the_sandwich_gives_one_in_a_cohort_the_whole_and_one_the_smallest():
    hand, made = Hand(VIT), RaFFM(sampling="sandwich", cohort=5)
    state = made.init(hand)
    found = [cut_of(made.plan(hand, state, device(n)))[0] for n in range(1000)]
    shares = [found.count(ratios) / 1000 for ratios in ((1.0,), (0.4167,), (1.0, 0.625, 0.4167))]
    assert shares == pytest.approx([0.2, 0.2, 0.6], abs=0.04)


def test_devices_draw_cuts_of_their_own_and_anew_for_each_version():
    hand, made = Hand(VIT), RaFFM()
    assert len({widths_at(hand, made, n) for n in range(12)}) > 4
    assert widths_at(hand, made, 3) == widths_at(hand, made, 3)
    state = made.init(hand)
    moved = type(state)(state.model, 1)
    sent = [made.plan(hand, s, device(n)).down[0] for s in (state, moved) for n in range(6)]
    assert len({hand.look(ref).spec for ref in sent[:6]} ^ {hand.look(ref).spec for ref in sent[6:]}) > 0


def test_every_uniform_cut_is_evaluated_with_the_whole_model_first():
    hand = Hand(VIT)
    names = list(RaFFM().models(RaFFM().init(hand)))
    assert names == ["global", "ffn=0.625", "ffn=0.4167"]
    made = RaFFM(**HALVES)
    found = made.models(made.init(hand))
    assert list(found) == ["global", "ffn=1,attention=0.5", "ffn=0.5", "ffn=0.5,attention=0.5"]
    sizes = [flatten(hand.look(ref).state).numel() for ref in found.values()]
    assert sizes[0] == max(sizes) > min(sizes) == sizes[3]


def test_smaller_cuts_are_billed_fewer_bytes(tmp_path):
    small = method("raffm", model=VIT, ffn=[0.25], attention=[0.5], spp="none")
    _, results = together(tmp_path, method("fedavg"), small, task=TASK)
    for name in ("up_bytes", "down_bytes"):
        plain, cut = billed(results, name)
        assert cut < 0.6 * plain


@pytest.mark.parametrize("name", ["raffm", "raffm-lora"])
def test_a_model_without_transformer_blocks_is_refused_before_anything_is_written(name, tmp_path):
    path = scenario(tmp_path, task=SYNTHETIC, fleet=EQUAL, method=[{"name": name, "spp": "none"}])
    with pytest.raises(InputError, match="no transformer blocks"):
        executed(path)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["raffm", "raffm-lora"])
def test_if_nobody_can_pay_any_cut_the_run_says_so(name, tmp_path):
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4}
    path = scenario(tmp_path, task=TASK, fleet=EQUAL, schedule=schedule, availability={"kind": "always"},
                    method=[method(name, budget="1 us")])  # fmt: skip
    with pytest.raises(Stalled, match="declined"):
        executed(path)


def test_a_reply_that_never_comes_leaves_the_others_merged(tmp_path):
    slow = {"down": "1 Mbit/s", "up": "1 bit/s", "latency": "1 ms"}
    fleet = [{**ALONE[0], "count": 3}, {**ALONE[0], "count": 1, "link": slow}]
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4, "deadline": "5 s"}
    sandwich = method("raffm", model=VIT, sampling="sandwich", cohort=4)
    _, results = together(tmp_path, sandwich, fleet=fleet, task=TASK, schedule=schedule)
    ends = results.timeline[results.timeline.kind == "upload"]
    assert set(ends[ends.device == 3].outcome) != {"done"}
    assert (billed(results, "rounds"), billed(results, "status")) == ([2], ["done"])


def test_adapters_alone_travel_once_the_network_is_there(tmp_path):
    lora = method("raffm-lora", model=VIT, rank=2, **WHOLE)
    _, results = together(tmp_path, method("fedavg"), lora, task=TASK, rounds=3)
    plain, ours = billed(results, "up_bytes")
    assert ours < plain / 3
    plain, ours = billed(results, "down_bytes")
    assert plain / 3 < ours < plain / 3 * 2  # of three rounds, the first sends the network


def test_a_device_draws_its_cut_of_the_network_once():
    hand, made = Hand(VIT), RaFFMLoRA(rank=2)
    state = made.init(hand)
    later = made.merge(hand, state, [hand.reply(made, state, dev) for dev in hand.devices])
    works = [made.plan(hand, each, hand.devices[1]) for each in (state, later)]
    assert works[0].down[0] == works[1].down[0] == works[0].keep[0]
    assert works[0].down[1] != works[1].down[1]


def test_adapters_learn_and_the_network_beneath_stays():
    hand, made = Hand(VIT), RaFFMLoRA(rank=2, attention=(1.0, 0.5))
    played = hand.play(made, rounds=2)
    first = made.init(hand)
    assert played.state.network == first.network
    old, new = (hand.look(state.adapters).state for state in (first, played.state))
    assert all(not torch.equal(old[name], new[name]) for name in old)
    whole = hand.look(made.models(played.state)["global"])
    assert not torch.equal(flatten(whole.state), flatten(hand.look(first.network).state))


def test_heads_that_cannot_be_narrowed_are_refused_from_sizes(monkeypatch):
    def torchvision_vit(classes, shape):
        return VisionTransformer(8, 4, 1, 2, 8, 16, num_classes=classes)

    monkeypatch.setattr(models, "MODELS", {**models.MODELS, "other_vit": torchvision_vit})
    size = model_size(models.make_spec("other_vit", 3, (3, 8, 8)).as_params())
    with pytest.raises(InputError, match=r"heads of model 'other_vit' cannot be narrowed; set \[1.0\]"):
        leading.size(size, ffn=(1.0,), attention=(0.5,), seed=0)
    assert leading.size(size, ffn=(0.5,), attention=(1.0,), seed=0).entries < size.entries


@pytest.mark.parametrize("rule", ["coverage", "zero_padded"])
def test_an_edge_of_cut_networks_sends_what_the_server_would_have_made_of_them(rule):
    """A single edge: what it sends, merged as one reply, is the merge of its replies."""
    hand, made = Hand(VIT), RaFFM(**HALVES, sampling="sandwich", cohort=2, spp="qk+ffn", rule=rule)
    state = made.init(hand)
    replies = [hand.reply(made, state, dev) for dev in hand.devices]
    assert len({hand.look(one.up[0]).spec for one in replies}) > 1
    (whole, *ranking) = made.combine(hand, state, replies)
    as_one = Reply(len(hand.devices), (whole, *ranking), (), 0, samples=sum(one.samples for one in replies))
    at_once, in_two = (flatten(hand.look(made.merge(hand, state, heard).model).state) for heard in (replies, [as_one]))
    assert torch.equal(at_once, in_two)
