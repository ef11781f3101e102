"""SCAFFOLD's variates are the paper's."""

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn.control import reach
from fedsim.learn.values import flatten
from fedsim.methods.scaffold import Scaffold
from fedsim.training import Train
from tests.methods.hand import Hand
from tests.methods.runs import ALONE, EQUAL, apart, billed, method, together

PLAIN = Train(momentum=0.0, batch_size=8, epochs=2)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_device_alone_is_fedavg(tmp_path, momentum):
    """Its own variate is the server's, so that nothing is corrected."""
    train = {"batch_size": 8, "momentum": momentum}
    path, results = together(tmp_path, method("fedavg"), method("scaffold"), fleet=ALONE, train=train)
    assert apart(path, results, "fedavg", "scaffold") <= 1e-6


def test_the_first_round_with_zero_variates_is_fedavg(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("scaffold"), rounds=1)
    assert apart(path, results, "fedavg", "scaffold") <= 1e-6


def test_several_devices_are_corrected_from_the_second_round_on(tmp_path):
    """Of one local step each the corrections cancel in the mean; of four they do not."""
    methods = method("fedavg"), method("scaffold")
    path, results = together(tmp_path, *methods, rounds=2, train={"batch_size": 8})
    assert apart(path, results, "fedavg", "scaffold") > 1e-4


def test_both_directions_carry_twice_the_bytes(tmp_path):
    _, results = together(tmp_path, method("fedavg"), method("scaffold"), fleet=EQUAL)
    for name in ("up_bytes", "down_bytes"):
        plain, both = billed(results, name)
        assert both == 2 * plain


def test_the_servers_variate_is_the_mean_of_the_devices_own():
    hand = Hand()
    state = hand.play(Scaffold(train=PLAIN), rounds=3).state
    own = [flatten(hand.look(ref).state) for ref in state.local.values()]
    assert torch.allclose(flatten(hand.look(state.variate).state), torch.stack(own).mean(0), atol=1e-6)


def test_devices_that_join_later_leave_the_variate_a_mean():
    hand = Hand()
    scaffold, state = Scaffold(train=PLAIN), Scaffold(train=PLAIN).init(hand)
    for group in ((0,), (1, 2), (0, 2)):
        replies = [hand.reply(scaffold, state, hand.devices[number]) for number in group]
        state = scaffold.merge(hand, state, replies)
    own = [flatten(hand.look(ref).state) for ref in state.local.values()]
    assert torch.allclose(flatten(hand.look(state.variate).state), torch.stack(own).mean(0), atol=1e-6)


def test_with_the_number_of_devices_given_the_variate_is_their_sum_over_it():
    hand = Hand()
    state = hand.play(Scaffold(devices=6, train=PLAIN), rounds=2).state
    own = [flatten(hand.look(ref).state) for ref in state.local.values()]
    assert torch.allclose(flatten(hand.look(state.variate).state), torch.stack(own).sum(0) / 6, atol=1e-6)


def test_a_variate_is_the_mean_gradient_of_the_local_steps():
    """Option II: (x - y) / (K * lr), for K = 2 epochs of 3 batches."""
    hand = Hand()
    played = hand.play(Scaffold(train=PLAIN))
    move, own = (flatten(hand.look(ref).state) for ref in (played.replies[0][0].up[0], played.replies[0][0].keep[0]))
    assert torch.allclose(own, -move / (6 * PLAIN.lr), atol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_reach_is_that_of_torchs_sgd(momentum):
    p = torch.nn.Parameter(torch.zeros(1))
    sgd = torch.optim.SGD([p], lr=0.1, momentum=momentum)
    for _ in range(7):
        p.grad = torch.ones(1)
        sgd.step()
    assert -float(p.detach()) == pytest.approx(reach(0.1, momentum, 7), rel=1e-6)


def test_an_optimizer_without_a_gradient_step_is_refused():
    with pytest.raises(InputError, match=r"train\.optimizer = 'adam'.*choose 'sgd'"):
        Scaffold(train=Train(optimizer="adam"))
