"""REFT cuts networks to compute rates, and distils what devices say of the public set."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from fedsim.errors import InputError, NeedsValues
from fedsim.learn.logits import teacher
from fedsim.learn.models import ModelSpec
from fedsim.learn.train import batches, spec_of
from fedsim.levels import estimated_rate
from fedsim.method import Quote
from fedsim.methods.reft import Reft
from fedsim.training import Train
from tests.contract.small import TASK, digests, scenario
from tests.methods.hand import PUBLIC, Hand, device
from tests.methods.runs import ALONE, STILL, billed, executed, method, metrics, together

PLAIN = Train(batch_size=8)
FOUR = [{**ALONE[0], "count": 4}]
HIDDEN = {"name": "mlp", "hidden": 100}  # so that a level shows as so many units gone


def in_group(number, group):
    return replace(device(number), key=(group, number))


def units_of(hand, ref):
    """Return how many hidden units are left in the network that is sent."""
    return len(next(iter(hand.look(ref).state.values())))


def planned(hand, made, dev=None):
    work = made.plan(hand, made.init(hand), dev or hand.devices[0])
    return None if work is None else units_of(hand, work.down[0])


# --- What travels ---------------------------------------------------------------------------------------
def test_uploads_are_logits_and_the_public_set_travels_once(tmp_path):
    """20 public examples of 8 x 8 bytes and 10 classes, 4 devices, 3 rounds; a unit of the mlp is 65 + 10 numbers."""
    _, results = together(tmp_path, method("reft", levels=0.5), task=TASK, fleet=FOUR)
    assert billed(results, "up_bytes") == [3 * 4 * 20 * 10 * 4]
    assert billed(results, "down_bytes") == [4 * 20 * 64 + 3 * 4 * (4 * 75 + 10) * 4]


def test_a_preinstalled_public_set_never_travels(tmp_path):
    task = {**TASK, "public": {"n": 20, "preinstalled": True}}
    both = method("reft", levels=0.0), method("ds-fl")
    _, results = together(tmp_path, *both, task=task, fleet=FOUR, rounds=1)
    assert billed(results, "down_bytes") == [4 * (8 * 75 + 10) * 4, 0]


@pytest.mark.parametrize(("form", "nbytes"), [("fp32", 800), ("fp16", 400), ("int8", 208)])
def test_logits_may_be_sent_in_fewer_bits(tmp_path, form, nbytes):
    _, results = together(tmp_path, method("reft", logits=form), task=TASK, fleet=FOUR, rounds=1)
    assert billed(results, "up_bytes") == [4 * nbytes]


def test_the_server_prunes_and_distils_on_its_own_clock(tmp_path):
    _, results = together(tmp_path, method("reft"), task=TASK)
    server = results.timeline[(results.timeline.device == -1) & (results.timeline.kind == "compute")]
    assert {"shrink", "teacher", "distil"} <= set(server.job)


# --- How much of the network ----------------------------------------------------------------------------
def test_reading_a_drops_what_the_rate_lacks_of_the_target():
    hand = Hand(HIDDEN)
    rate = estimated_rate(hand.devices[0], error=0.0, seed=0)
    found = [planned(hand, Reft(f_lambda=rate / share)) for share in (0.25, 0.6, 2.0, 0.01)]
    assert found == [25, 60, 100, 10]


def test_reading_b_goes_by_the_place_between_the_ends():
    hand = Hand(HIDDEN)
    rate = estimated_rate(hand.devices[0], error=0.0, seed=0)
    made = Reft(reading="B", f_min=0.5 * rate, f_max=1.5 * rate, gamma=2.0, p_max=0.8)
    assert planned(hand, made) == 80  # 0.8 * (1 - 1/2)^2 of the units go


def test_reading_c_drops_no_more_than_the_time_asks():
    """The whole mlp has 64 * 100 + 100 * 4 multiply-adds: 68 a unit, 6 FLOP each in training, 24 examples."""
    rate = estimated_rate(device(0), error=0.0, seed=0)
    whole_s = 6 * 6800 * 24 / rate
    hand = Hand(HIDDEN, deadline_s=0.904 * whole_s)
    made = [Reft(reading="C"), *(Reft(reading="C", tau=share * whole_s) for share in (1.001, 0.505, 0.114, 0.09))]
    assert [planned(hand, one) for one in made] == [90, 100, 50, 11, None]


@given(tau=st.floats(0.11, 0.45), error=st.floats(0.0, 1.0))
def test_reading_d_keeps_as_many_units_as_predicted_time_allows_whatever_is_believed(tau, error):
    """An order takes 0.1 s and 3 ms a unit; a level is as many units in a hundred gone."""
    hand, made = Hand(HIDDEN), Reft(reading="D", tau=tau, estimate_error=error)
    hand.quoted = lambda dev, work: Quote(0.1 + 0.003 * units_of(hand, work.down[0]), 0.0, 0, 0, 0.0, fits=True)
    allowed = [units for units in range(10, 101) if 0.1 + 0.003 * units <= tau]
    assert planned(hand, made) == (max(allowed) if allowed else None)


def test_by_flops_everybody_is_late_and_by_predicted_time_nobody(tmp_path):
    """In six tenths of the time that the whole network takes, which FLOPS think a third of what it is."""
    task, fleet = {**TASK, "model": {"name": "resnet8", "width": 0.25}}, [{**ALONE[0], "count": 2}]
    tables = {"task": task, "fleet": fleet, "availability": STILL}
    timed = scenario(tmp_path, method=[method("reft", levels=0.0)], schedule=sync(), **tables)
    (whole_s,) = (run["virtual_s"] for run in executed(timed, "cost-only", out="timed").summary["runs"])
    both = [method("reft", reading=reading, label=reading) for reading in "CD"]
    found = executed(
        scenario(tmp_path, method=both, schedule=sync(deadline=f"{0.6 * whole_s} s"), **tables), "cost-only"
    )
    by = found.devices.groupby("method", observed=True)
    assert (dict(by.late.sum()), dict(by.done.sum())) == ({"C": 2, "D": 0}, {"C": 0, "D": 2})


def sync(**changes):
    return {"kind": "sync", "rounds": 1, "cohort": 2, **changes}


def test_a_wrong_estimate_changes_the_network_and_is_the_same_all_along():
    hand = Hand(HIDDEN)
    made = Reft(estimate_error=0.7)
    exact = planned(hand, Reft())
    found = [planned(hand, made, dev) for dev in hand.devices]
    assert len({exact, *found}) == 4
    state = replace(made.init(hand), version=5)
    assert [units_of(hand, made.plan(hand, state, dev).down[0]) for dev in hand.devices] == found


def test_a_wrong_estimate_does_not_change_the_clock(tmp_path):
    both = [method("reft", levels=0.5, estimate_error=error, label=f"e{error}") for error in (0.0, 1.0)]
    _, results = together(tmp_path, *both, task=TASK, rounds=1)
    assert len(set(digests(results))) == 1


def test_groups_of_the_fleet_may_be_given_their_levels():
    hand = Hand(HIDDEN)
    made = Reft(levels=(0.9, 0.0))
    assert [planned(hand, made, in_group(n, n)) for n in range(3)] == [10, 100, 10]


def test_a_device_too_small_for_its_level_is_pruned_harder_or_declines():
    rate = estimated_rate(device(0), error=0.0, seed=0)
    hand, made = Hand(HIDDEN), Reft(f_lambda=rate / 0.75, p_max=0.8)  # 0.25 by the rate
    found = []
    for limit in (100, 60, 19):
        hand.quoted = lambda dev, work, limit=limit: Quote(
            0.0, 0.0, 0, 0, 0.0, fits=units_of(hand, work.down[0]) <= limit
        )
        found.append(planned(hand, made))
    assert found == [75, 54, None]


def test_warming_up_sends_whole_networks():
    hand = Hand(HIDDEN)
    made = Reft(f_lambda=1e15, warmup=2, train=PLAIN)
    played = hand.play(made, rounds=3)
    sent = [made.plan(hand, replace(played.state, version=n), hand.devices[0]).down[0] for n in range(3)]
    assert [units_of(hand, ref) for ref in sent] == [100, 100, 10]


def test_a_global_threshold_runs_where_values_are_computed(tmp_path):
    path, results = together(tmp_path, method("reft", policy="global_l1", levels=0.4), task=TASK, fleet=FOUR)
    assert billed(results, "down_bytes") == [4 * 20 * 64 + 3 * 4 * (5 * 75 + 10) * 4]
    with pytest.raises(NeedsValues):
        executed(path, "cost-only", out="costs")


# --- What is learnt -------------------------------------------------------------------------------------
def test_distillation_is_the_published_loop():
    """T^2 KL(q || softmax(z / T)) by SGD, the loss written out."""
    hand = Hand()
    made = Reft(levels=(0.5,), temperature=2.0, distil_epochs=2, distil_lr=0.1, distil_batch_size=16, train=PLAIN)
    played = hand.play(made)
    told = tuple(hand.look(reply.up[0]) for reply in played.replies[0])
    labels = teacher.value(told, (24, 24, 24), importance="data", temperature=2.0)
    module = hand.look(hand.initial).module().train()
    update = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    data = replace(hand.values[PUBLIC.key], y=labels.values)
    for x, q in batches(data, 16, 2, seed=hand.seed("distil", 0)):
        update.zero_grad()
        log_p = torch.log_softmax(module(x) / 2.0, 1)
        (4.0 * nn.functional.kl_div(log_p, q, reduction="batchmean")).backward()
        update.step()
    found = hand.look(made.models(played.state)["global"]).state
    assert all(torch.allclose(t, found[name], atol=1e-5) for name, t in module.state_dict().items())


def test_each_architecture_is_cut_for_its_group_and_distilled_from_all():
    hand = Hand(HIDDEN, devices=[in_group(0, 0), in_group(1, 1), in_group(2, 2)])
    made = Reft(architectures=("mlp", "cnn"), levels=(0.5, 0.75, 0.9), train=PLAIN, distil_epochs=1)
    first = made.init(hand)
    sent = [hand.look(made.plan(hand, first, dev).down[0]).spec for dev in hand.devices]
    assert [ModelSpec.from_params(spec).name for spec in sent] == ["mlp", "cnn", "mlp"]
    assert [dict(ModelSpec.from_params(spec).widths)["1" if spec[0] == "mlp" else "0"] for spec in sent] == [100, 8, 20]
    played = hand.play(made)
    models = made.models(played.state)
    assert list(models) == ["mlp", "cnn"]
    for name, model in models.items():
        before, after = hand.look(first.models[name]).state, hand.look(model).state
        assert any(not torch.equal(before[entry], t) for entry, t in after.items())


def test_the_smallest_network_is_distilled_as_well():
    hand = Hand(HIDDEN)
    made = Reft(smallest=True, train=PLAIN)
    played = hand.play(made, rounds=1)
    models = made.models(played.state)
    assert list(models) == ["global", "smallest"]
    assert units_of(hand, models["smallest"]) == 10
    distilled = models["smallest"]
    assert (distilled.label, distilled.inputs[0].label, distilled.inputs[0].inputs[0]) == (
        "distil", "shrink", models["global"],
    )  # fmt: skip


def test_one_exchange_of_logits_teaches_the_server(tmp_path):
    task = {**TASK, "public": 300, "model": {"name": "mlp", "hidden": 64}}
    made = method("reft", policy="cap", hidden_cap=16, levels=[0.9], smallest=True, train={"epochs": 20})
    _, results = together(tmp_path, made, task=task, rounds=1)
    last = {row["model"]: row["accuracy"] for row in metrics(results, "reft")}
    assert min(last["global"], last["smallest"]) > 0.7


def test_replies_to_different_versions_make_one_teacher():
    hand, made = Hand(), Reft(levels=(0.5,), train=PLAIN, distil_epochs=1)
    old = made.init(hand)
    new = made.merge(hand, old, [hand.reply(made, old, hand.devices[0])])
    replies = [hand.reply(made, state, dev) for state, dev in zip((old, new), hand.devices[1:], strict=True)]
    state = made.merge(hand, new, replies)
    assert (state.version, all(t.isfinite().all() for t in hand.look(state.models["global"]).state.values())) == (
        2,
        True,
    )


# --- What is refused ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reading": "B"}, "give its slowest and its fastest"),
        ({"reading": "C"}, "set tau, or the schedule's deadline"),
        ({"reading": "C", "tau": 1.0, "policy": "global_l1"}, "readings C and D cannot price"),
        ({"reading": "D"}, "reading D prunes until .* set tau, or the schedule's deadline"),
        ({"reading": "D", "tau": 1.0, "policy": "global_l1"}, "readings C and D cannot price"),
    ],
)
def test_options_that_leave_the_level_open_are_refused(options, said):
    with pytest.raises(InputError, match=said):
        Reft(**options).init(Hand())
    Reft(**options, levels=(0.5,)).init(Hand())


def test_without_a_public_set_the_error_says_what_to_set():
    with pytest.raises(InputError, match=r"set task\.public, such as public = 200"):
        Reft().init(Hand(public=None))


def test_an_architecture_that_does_not_fit_the_data_is_refused_at_once():
    with pytest.raises(InputError, match="model 'vgg16' does not fit data of shape"):
        Reft(architectures=("mlp", "vgg16")).init(Hand())


def test_the_first_model_says_its_architecture():
    hand = Hand(HIDDEN)
    assert spec_of(hand.initial) == hand.look(hand.initial).spec
