"""FedMD exchanges logits between models that may be of any kind; they stay where they are."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fedsim.errors import InputError
from fedsim.learn.models import ModelSpec
from fedsim.learn.values import flatten
from fedsim.methods.fedmd import FedMd
from fedsim.training import Train
from tests.contract.small import TASK
from tests.methods.hand import Hand
from tests.methods.runs import ALONE, billed, method, together

PLAIN = Train(batch_size=8)
TWO_KINDS = FedMd(by_group=("mlp", "cnn"), alignment=6, train=PLAIN)


def architectures(hand, replies):
    return [ModelSpec.from_params(hand.look(reply.keep[0]).spec).name for reply in replies]


def test_uploads_are_logits_and_the_public_set_travels_once(tmp_path):
    """20 public examples of 8 x 8 bytes and 10 classes, 4 devices, 3 rounds; logits go down from the second on."""
    _, results = together(tmp_path, method("fedmd"), task=TASK, fleet=[{**ALONE[0], "count": 4}])
    assert billed(results, "up_bytes") == [3 * 4 * 20 * 10 * 4]
    assert billed(results, "down_bytes") == [4 * 20 * 64 + 2 * 4 * 20 * 10 * 4]


def test_the_alignment_set_bounds_what_is_exchanged(tmp_path):
    _, results = together(tmp_path, method("fedmd", alignment=5), task=TASK, rounds=1)
    assert billed(results, "up_bytes") == [4 * 5 * 10 * 4]


def test_what_is_agreed_is_the_plain_mean_of_the_logits():
    hand = Hand()
    played = hand.play(FedMd(alignment=6, train=PLAIN))
    told = torch.stack([hand.look(reply.up[0]).values for reply in played.replies[0]])
    (agreed,) = played.state.agreed
    assert torch.allclose(hand.look(agreed).values, told.mean(0), atol=1e-6)


def test_devices_digest_what_was_agreed_and_then_revisit_their_own_data():
    hand = Hand()
    played = hand.play(FedMd(train=PLAIN), rounds=2)
    (trained,) = played.replies[1][0].keep
    digested = trained.inputs[0]
    assert (trained.label, digested.label, digested.inputs[0]) == (
        "local_sgd", "distil", played.replies[0][0].keep[0],
    )  # fmt: skip


def test_one_digest_is_a_step_of_the_mean_absolute_error():
    hand = Hand()
    played = hand.play(FedMd(alignment=6, digest_lr=0.1, train=Train(batch_size=8, momentum=0.0)))
    (agreed,), start = (hand.look(ref) for ref in played.state.agreed), hand.look(hand.initial).module()
    nn.functional.l1_loss(start(hand.values[hand.public.key].batch(agreed.index)[0]), agreed.values).backward()
    stepped = torch.cat([(p - 0.1 * p.grad).detach().flatten() for p in start.parameters()])
    assert torch.allclose(flatten(hand.look(played.state.model).state), stepped, atol=1e-6)


def test_each_group_has_a_model_of_its_own_and_all_agree():
    hand = Hand()
    hand.devices = [replace(device, key=(number, 0)) for number, device in enumerate(hand.devices)]
    played = hand.play(TWO_KINDS, rounds=2)
    assert [architectures(hand, replies) for replies in played.replies] == [["mlp", "cnn", "mlp"]] * 2
    assert torch.isfinite(flatten(hand.look(played.state.model).state)).all()


def test_devices_of_a_group_start_from_weights_of_their_own():
    hand = Hand()
    first, second = (TWO_KINDS._first(hand, device) for device in hand.devices[:2])
    assert not torch.equal(flatten(hand.look(first).state), flatten(hand.look(second).state))


def test_without_a_public_set_the_error_says_what_to_set():
    with pytest.raises(InputError, match=r"set task\.public, such as public = 200"):
        FedMd().init(Hand(public=None))


def test_replies_to_different_versions_are_averaged_apart():
    hand, method_ = Hand(), FedMd(alignment=6, train=PLAIN)
    old = method_.init(hand)
    new = method_.merge(hand, old, [hand.reply(method_, old, hand.devices[0])])
    replies = [hand.reply(method_, state, dev) for state, dev in zip((old, new), hand.devices[1:], strict=True)]
    state = method_.merge(hand, new, replies)
    assert [hand.look(logits).index.tolist() for logits in state.agreed] == [
        hand.look(reply.up[0]).index.tolist() for reply in replies
    ]
