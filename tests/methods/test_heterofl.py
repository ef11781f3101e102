"""HeteroFL gives each device what it can do, and is FedAvg where all can do everything."""

import pytest
import torch
from torch import nn

from fedsim.errors import Stalled
from fedsim.learn.data import Examples
from fedsim.learn.heterofl import scaled_sgd
from fedsim.learn.slices import head_names
from fedsim.learn.train import local_sgd
from fedsim.method import Quote
from fedsim.methods.heterofl import HeteroFl
from fedsim.training import Train
from tests.methods.hand import Hand, examples
from tests.methods.runs import EQUAL, apart, billed, executed, method, scenario, together

SETTINGS = Train(batch_size=8).at(0, 1)
WIDE = {"data": "synthetic", "model": {"name": "mlp", "hidden": 32}, "samples_per_device": 32}
TWO = [
    {"profile": "raspberry-pi-5", "count": 2, "link": "fibre"},
    {"profile": "raspberry-pi-3", "count": 2, "link": "lte"},
]


def widths_of(work):
    return {ref.params[0][1] if ref.kind and ref.label == "front_slice" else 1.0 for ref in work.down}


def test_the_whole_width_without_masks_is_fedavg(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("heterofl", ratios=[1.0], masked=False))
    assert apart(path, results, "fedavg", "heterofl") <= 1e-6


def test_the_whole_width_with_masks_is_fedavg_where_no_label_is_absent(tmp_path):
    many = {**WIDE, "samples_per_device": 200}
    path, results = together(tmp_path, method("fedavg"), method("heterofl"), task=many, rounds=2)
    assert apart(path, results, "fedavg", "heterofl") <= 1e-6


def test_a_quarter_of_the_width_travels_as_a_quarter_of_a_two_layer_model(tmp_path):
    quarter = method("heterofl", by_group=[0.25], masked=False)
    _, results = together(tmp_path, method("fedavg"), quarter, task=WIDE)
    for name in ("up_bytes", "down_bytes"):
        plain, cut = billed(results, name)
        assert cut == pytest.approx(plain / 4, rel=0.01)


def test_groups_may_be_given_their_ratios(tmp_path):
    both = method("heterofl", by_group=[1.0, 0.25])
    _, results = together(tmp_path, both, fleet=TWO, task=WIDE, rounds=1)
    down = results.timeline[results.timeline.kind == "download"].groupby("device").bytes.sum()
    assert down[0] == down[1] > 3.9 * down[2] == 3.9 * down[3]


def test_the_largest_ratio_within_the_budget_is_taken():
    hand, asked = Hand(), []

    def quoted(dev, work):
        asked.append(widths_of(work).pop())
        return Quote(10.0 * asked[-1], 0.0, 0, 0, 0.0, fits=True)

    hand.quoted = quoted
    state = HeteroFl().init(hand)
    assert widths_of(HeteroFl(budget=2.6).plan(hand, state, hand.devices[0])) == {0.25}
    hand.deadline_s = 6.0
    assert widths_of(HeteroFl(ratios=(0.1, 1.0, 0.5)).plan(hand, state, hand.devices[0])) == {0.5}
    assert HeteroFl(budget=0.1).plan(hand, state, hand.devices[0]) is None


def test_memory_counts_as_well_as_time():
    hand = Hand()
    hand.quoted = lambda dev, work: Quote(0.0, 0.0, 0, 0, 0.0, fits=widths_of(work) == {0.125})
    assert widths_of(HeteroFl().plan(hand, HeteroFl().init(hand), hand.devices[0])) == {0.125}


def test_devices_too_slow_for_any_ratio_are_declined_and_the_others_go_on(tmp_path):
    slow = {"down": "1 kbit/s", "up": "1 kbit/s", "latency": "1 s"}
    fleet = [EQUAL[0], {"profile": "raspberry-pi-3", "count": 3, "link": slow}]
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4, "deadline": "2 s"}
    _, results = together(tmp_path, method("heterofl"), fleet=fleet, task=WIDE, schedule=schedule)
    marks = results.timeline[results.timeline.outcome == "declined"]
    assert set(marks.device) <= {4, 5, 6}
    assert (len(marks) > 0, billed(results, "status")) == (True, ["done"])


def test_if_nobody_can_do_anything_the_run_says_so(tmp_path):
    schedule = {"kind": "sync", "rounds": 2, "cohort": 4}
    path = scenario(tmp_path, task=WIDE, fleet=EQUAL, schedule=schedule, availability={"kind": "always"},
                    method=[method("heterofl", budget="1 us")])  # fmt: skip
    with pytest.raises(Stalled, match="declined"):
        executed(path)


@pytest.mark.parametrize("name", ["mlp", "cnn"])
def test_without_scale_and_mask_the_training_is_local_sgd(name):
    hand = Hand({"name": name} | ({"width": 0.1} if name == "cnn" else {"hidden": 6}))
    model, data = hand.look(hand.initial), examples(0, 24)
    plain = local_sgd.value(model, data, **SETTINGS, seed=3)
    scaled = scaled_sgd.value(model, data, **SETTINGS, seed=3, scale=1.0)
    assert all(torch.equal(t, plain.state[entry]) for entry, t in scaled.state.items())


def test_hidden_outputs_are_scaled_and_the_logits_are_not():
    hand = Hand()
    model, data = hand.look(hand.initial), examples(0, 8)
    scaled = scaled_sgd.value(model, data, **SETTINGS, seed=3, scale=2.0).state  # one batch: one step
    w1, b1, w2, b2 = params = [t.clone().requires_grad_(True) for t in model.state.values()]
    hidden = torch.relu(2.0 * nn.functional.linear(data.x.flatten(1), w1, b1))
    nn.functional.cross_entropy(nn.functional.linear(hidden, w2, b2), data.y).backward()
    stepped = [p.detach() - SETTINGS["lr"] * p.grad for p in params]
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(scaled.values(), stepped, strict=True))


def test_absent_labels_leave_their_row_as_it_was():
    hand = Hand()
    model, full = hand.look(hand.initial), examples(0, 24)
    data = Examples(full.x[full.y != 2], full.y[full.y != 2])
    present = torch.tensor([True, True, False, True])
    weight, _ = head_names(model.spec)
    masked = scaled_sgd.value(model, data, present, **SETTINGS, seed=3, scale=1.0).state[weight]
    plain = local_sgd.value(model, data, **SETTINGS, seed=3).state[weight]
    before = model.state[weight]
    assert (torch.equal(masked[2], before[2]), torch.equal(plain[2], before[2])) == (True, False)
    assert not torch.equal(masked[1], before[1])
