"""FL-PQSU sends a quarter of the bytes of a pruned model, or none."""

import pytest
import torch

from fedsim.errors import NeedsValues
from fedsim.learn.affine import at_8_bits, from_8_bits, mean_of_sent, sent_if_better
from fedsim.learn.models import make_spec
from fedsim.learn.shrink import groups_of
from fedsim.learn.updates import Coded
from fedsim.learn.values import Model, flatten
from fedsim.methods.fl_pqsu import FlPqsu
from fedsim.training import Train
from tests.methods.hand import Hand
from tests.methods.runs import billed, executed, method, together


@pytest.mark.parametrize(
    ("name", "options"), [("mlp", {"hidden": 7}), ("vgg16", {"convs": (2,) * 13, "hidden": (3, 3)})]
)
def test_8_bits_are_off_by_half_a_step_and_as_long_as_declared(name, options):
    spec = make_spec(name, 3, (1, 32, 32), **options)
    model = Model(spec.as_params(), spec.build().state_dict())
    message = at_8_bits.value(model)
    assert message.data.numel() == at_8_bits.size(model.size()).nbytes
    for entry, t in from_8_bits.value(message).state.items():
        step = (model.state[entry].max() - model.state[entry].min()) / 255
        assert bool(((t - model.state[entry]).abs() <= 0.5001 * step + 1e-7).all())


def test_the_share_or_the_list_of_units_that_are_kept_is_that_of_the_first_model():
    hand = Hand({"name": "mlp", "hidden": (10, 8)})
    made = FlPqsu(keep=0.45), FlPqsu(widths=(3, 7)), FlPqsu(keep=1.0)
    models = [hand.look(one.init(hand).model) for one in made]
    assert [[group.units for group in groups_of(model.spec)] for model in models] == [[5, 4], [3, 7], [10, 8]]


def test_networks_with_shortcuts_are_pruned_too():
    hand = Hand({"name": "resnet8", "width": 0.125})
    model = hand.look(FlPqsu(keep=0.5).init(hand).model)
    assert model.size().entries < hand.look(hand.initial).size().entries / 2


def test_bytes_are_a_quarter_of_the_pruned_models(tmp_path):
    _, results = together(tmp_path, method("fedavg"), method("fl-pqsu", keep=1.0, selective=False))
    plain, coded = billed(results, "up_bytes")
    assert coded == plain // 4 + 4 * 3 * 4 * 8  # four tensors, three rounds, four devices, scale and zero point


def test_only_a_loss_below_that_of_the_last_upload_is_sent():
    message = Coded((), torch.zeros(5, dtype=torch.uint8))
    sent = [
        sent_if_better.value(message, loss, before).model for loss, before in ((1.0, ()), (0.5, (1.0,)), (0.5, (0.5,)))
    ]
    assert [one is message for one in sent] == [True, True, False]


def test_what_was_not_sent_takes_no_bytes_and_no_part_in_the_mean():
    hand = Hand()
    model = hand.look(hand.initial)
    message = at_8_bits.value(model)
    none = sent_if_better.value(message, 1.0, (0.0,))
    other = sent_if_better.value(
        at_8_bits.value(Model(model.spec, {n: t * 0 for n, t in model.state.items()})), 1.0, ()
    )
    assert none.size().nbytes == 0
    assert not flatten(mean_of_sent.value(model, (none, other)).state).any()
    assert mean_of_sent.value(model, (none, none)) is model


def test_devices_remember_the_loss_of_their_last_upload():
    hand = Hand()
    played = hand.play(FlPqsu(keep=1.0, train=Train(lr=1e-9, momentum=0.0, batch_size=24)), rounds=3)
    for first, second, third in zip(*played.replies, strict=True):
        losses = [hand.look(reply.keep[0]) for reply in (first, second, third)]
        assert losses == sorted(losses, reverse=True)
        assert hand.look(first.up[0]).model is not None


def test_skipped_uploads_save_bytes_which_only_computing_tells(tmp_path):
    every, some = method("fl-pqsu", selective=False, label="every"), {"name": "fl-pqsu"}
    path, results = together(tmp_path, every, some, train={"lr": 1.0, "momentum": 0.0}, rounds=5)
    full, part = billed(results, "up_bytes")
    assert part < full
    with pytest.raises(NeedsValues):
        executed(path, "cost-only", out="costs")
