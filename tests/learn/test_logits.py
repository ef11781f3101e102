"""Logits arrive as near as their form allows, and the teacher weighs them as it says."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.learn.distil import Predictions, PredictionsSize
from fedsim.learn.logits import Told, pooled, teacher, tell
from fedsim.learn.parameters import trained_entries
from tests.methods.hand import Hand

FORMS = {
    "fp32": (4 * 60, 0.0, 0.0),
    "fp16": (2 * 60, 2.0**-11, 1e-7),
    "int8": (60 + 8, 0.0, 0.5 / 255),
}  # bytes, errors


@pytest.fixture(scope="module")
def model():
    hand = Hand()
    return hand.look(hand.initial)


def predictions(seed=0, size=20, scale=5.0):
    values = torch.randn(size, 3, generator=torch.Generator().manual_seed(seed)) * scale
    return Predictions(torch.arange(size), values)


def told(values, parameters=1):
    return Told(torch.arange(len(values)), torch.tensor(values), torch.zeros(0), parameters)


@pytest.mark.parametrize("form", FORMS)
def test_logits_are_as_long_as_declared_and_as_near_as_the_form_allows(model, form):
    nbytes, relative, of_the_range = FORMS[form]
    sent = predictions()
    made = tell.value(sent, model, form=form)
    held = made.codes.numel() * made.codes.element_size() + made.scale.numel() * made.scale.element_size()
    assert held == tell.size(PredictionsSize(20, 3), model.size(), form=form).nbytes == nbytes
    reach = float(sent.values.max() - sent.values.min())
    bound = relative * sent.values.abs() + of_the_range * reach * 1.001
    assert bool(((made.logits - sent.values).abs() <= bound).all())


@given(st.floats(1e-3, 1e30), st.sampled_from(["fp16", "int8"]))
def test_logits_of_any_size_arrive_finite(scale, form):
    hand = Hand()
    made = tell.value(predictions(scale=scale), hand.look(hand.initial), form=form)
    assert made.logits.isfinite().all()


def test_the_server_knows_how_large_the_network_was(model):
    assert tell.value(predictions(), model, form="int8").parameters == trained_entries(model.spec)


ONE, OTHER = [[2.0, 0.0, 0.0]], [[0.0, 0.0, 0.0]]


@pytest.mark.parametrize(("importance", "share"), [("data", 0.75), ("uniform", 0.5), ("capacity", 0.1)])
def test_logits_are_averaged_by_weight_before_the_softmax(importance, share):
    made = teacher.value((told(ONE, 10), told(OTHER, 90)), (3, 1), importance=importance, temperature=2.0)
    assert torch.allclose(made.values, torch.softmax(torch.tensor([[share * 2.0 / 2.0, 0.0, 0.0]]), 1))


def test_by_confidence_each_example_has_weights_of_its_own():
    one, other = told([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]]), told([[0.0, 0.0, 0.0], [0.0, 3.0, 0.0]])
    made = teacher.value((one, other), (1, 1), importance="confidence", temperature=1.0).values
    sure, unsure = torch.softmax(torch.tensor([2.0, 0.0, 0.0]), 0)[0], 1 / 3
    first = torch.softmax(torch.tensor([2.0 * sure / (sure + unsure), 0.0, 0.0]), 0)
    sure = torch.softmax(torch.tensor([3.0, 0.0, 0.0]), 0)[0]
    second = torch.softmax(torch.tensor([0.0, 3.0 * sure / (sure + unsure), 0.0]), 0)
    assert torch.allclose(made, torch.stack([first, second]))


def test_the_teacher_is_not_the_mean_of_probabilities():
    made = teacher.value((told([[4.0, 0.0]]), told([[0.0, 0.0]])), (1, 1), importance="uniform", temperature=1.0)
    mean = (torch.softmax(torch.tensor([4.0, 0.0]), 0) + 0.5) / 2
    assert float((made.values - mean).abs().max()) > 0.05


@pytest.mark.parametrize("importance", ["data", "capacity"])
def test_replies_pooled_in_two_steps_teach_as_all_at_once(importance):
    replies, samples = tuple(told(predictions(n).values.tolist(), 10 + 40 * n) for n in range(3)), (3, 1, 7)
    how = {"importance": importance, "temperature": 2.0}
    first = pooled.value(replies[:2], samples[:2], importance=importance, form="fp32")
    two_steps = teacher.value((first, replies[2]), (sum(samples[:2]), samples[2]), **how)
    assert torch.allclose(two_steps.values, teacher.value(replies, samples, **how).values, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_pooled_logits_are_as_long_as_one_reply(model, form):
    replies = tuple(tell.value(predictions(seed), model, form=form) for seed in range(2))
    sizes = (tell.size(PredictionsSize(20, 3), model.size(), form=form),) * 2
    made = pooled.value(replies, (1, 1), importance="data", form=form)
    held = made.codes.numel() * made.codes.element_size() + made.scale.numel() * made.scale.element_size()
    assert held == pooled.size(sizes, (1, 1), importance="data", form=form).nbytes == FORMS[form][0]
