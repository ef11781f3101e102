"""Top-k sends what is largest, and in the end everything."""

import torch

from fedsim.learn.updates import from_top_k
from fedsim.learn.values import flatten
from fedsim.methods.top_k import TopK
from tests.methods.hand import Hand
from tests.methods.runs import apart, billed, method, together


def test_all_entries_are_fedavg(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("top-k", rate=1.0))
    assert apart(path, results, "fedavg", "top-k") <= 1e-6


def test_a_hundredth_of_the_entries_takes_little_of_the_uplink_and_all_of_the_downlink(tmp_path):
    _, results = together(tmp_path, method("fedavg"), method("top-k", rate=0.01))
    (plain_up, up), (plain_down, down) = billed(results, "up_bytes"), billed(results, "down_bytes")
    assert (up < 0.02 * plain_up, down) == (True, plain_down)


def test_what_is_sent_and_what_is_kept_add_up_to_the_update_and_what_was_kept_before():
    hand, rate = Hand(), 0.1

    def entries(ref):
        return flatten(hand.look(ref).state)

    played = hand.play(TopK(rate=rate), rounds=2)
    for first, second in zip(*played.replies, strict=True):
        message = second.up[0]
        (corrected,) = message.inputs
        update = corrected.inputs[0]
        assert corrected.inputs[1] == first.keep
        assert torch.allclose(entries(from_top_k(message, rate=rate)) + entries(second.keep[0]), entries(corrected))
        assert torch.allclose(entries(corrected), entries(update) + entries(first.keep[0]))


def test_error_feedback_changes_the_second_round_and_not_the_first(tmp_path):
    methods = method("top-k", rate=0.05), method("top-k", rate=0.05, error_feedback=False, label="forgetful")
    path, results = together(tmp_path, *methods, rounds=1)
    assert apart(path, results, "top-k", "forgetful") == 0.0
    path, results = together(tmp_path, *methods, rounds=2)
    assert apart(path, results, "top-k", "forgetful") > 0.0


def test_without_error_feedback_nothing_is_kept():
    assert Hand().play(TopK(error_feedback=False), rounds=2).state.local == {}
