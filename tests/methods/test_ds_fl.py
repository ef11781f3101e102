"""DS-FL exchanges predictions; models stay where they are."""

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn.values import flatten
from fedsim.methods.ds_fl import DsFl
from fedsim.training import Train
from tests.contract.small import TASK
from tests.methods.hand import Hand
from tests.methods.runs import ALONE, apart, billed, method, together, vectors

PLAIN = Train(batch_size=8)


def test_uploads_are_predictions_and_the_public_set_travels_once(tmp_path):
    """20 public examples of 8 x 8 bytes and 10 classes, 4 devices, 3 rounds; labels go down from the second on."""
    _, results = together(tmp_path, method("ds-fl"), task=TASK, fleet=[{**ALONE[0], "count": 4}])
    assert billed(results, "up_bytes") == [3 * 4 * 20 * 10 * 4]
    assert billed(results, "down_bytes") == [4 * 20 * 64 + 2 * 4 * 20 * 10 * 4]


def test_the_open_batch_bounds_what_is_exchanged(tmp_path):
    _, results = together(tmp_path, method("ds-fl", open_batch=5), task=TASK, rounds=1)
    assert billed(results, "up_bytes") == [4 * 5 * 10 * 4]


def test_the_server_averages_sharpens_and_distils_on_its_own_clock(tmp_path):
    _, results = together(tmp_path, method("ds-fl"), method("ds-fl", aggregation="mean", label="mean"), task=TASK)
    timeline = results.timeline
    jobs = {
        name: set(rows[(rows.device == -1) & (rows.kind == "compute")].job) for name, rows in timeline.groupby("method")
    }
    assert {"mean_probabilities", "sharpened", "distil"} <= jobs["ds-fl"]
    assert jobs["mean"] == jobs["ds-fl"] - {"sharpened"}


def test_sharpening_makes_a_difference_to_the_model(tmp_path):
    methods = method("ds-fl"), method("ds-fl", aggregation="mean", label="mean")
    path, results = together(tmp_path, *methods, task=TASK)
    assert apart(path, results, "ds-fl", "mean") > 1e-3
    assert len({str(v) for v in vectors(path, results, "ds-fl")}) == 4


def test_devices_go_on_with_models_of_their_own():
    hand = Hand()
    played = hand.play(DsFl(train=PLAIN), rounds=2)
    first, second = ([flatten(hand.look(reply.keep[0]).state) for reply in replies] for replies in played.replies)
    assert not any(torch.equal(a, b) for a, b in ((first[0], first[1]), (first[0], second[0]), (second[0], second[1])))
    (trained,) = played.replies[1][0].keep
    distilled = trained.inputs[0]
    assert (distilled.label, distilled.inputs[0]) == ("distil", played.replies[0][0].keep[0])


def test_every_round_has_an_open_batch_of_its_own():
    hand = Hand()
    played = hand.play(DsFl(open_batch=6, train=PLAIN), rounds=2)
    batches = [[hand.look(reply.up[0]).index.tolist() for reply in replies] for replies in played.replies]
    assert batches[0][0] == batches[0][1] != batches[1][0] == batches[1][1]


def test_replies_to_different_versions_are_agreed_on_apart():
    hand, method_ = Hand(), DsFl(open_batch=6, train=PLAIN)
    old = method_.init(hand)
    new = method_.merge(hand, old, [hand.reply(method_, old, hand.devices[0])])
    replies = [hand.reply(method_, state, dev) for state, dev in zip((old, new), hand.devices[1:], strict=True)]
    state = method_.merge(hand, new, replies)
    assert [hand.look(labels).index.tolist() for labels in state.agreed] == [
        hand.look(reply.up[0]).index.tolist() for reply in replies
    ]
    assert torch.isfinite(flatten(hand.look(state.model).state)).all()


def test_without_a_public_set_the_error_says_what_to_set():
    with pytest.raises(InputError, match=r"set task\.public, such as public = 200"):
        DsFl().init(Hand(public=None))
