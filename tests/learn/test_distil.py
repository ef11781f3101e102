"""Predictions are made, averaged, sharpened and learnt as they should be."""

import pytest
import torch
from torch import nn

from fedsim.learn.data import DataSize
from fedsim.learn.distil import (
    Predictions,
    PredictionsSize,
    distil,
    mean_logits,
    mean_probabilities,
    predict,
    sharpened,
)
from fedsim.learn.train import training_load
from fedsim.learn.values import flatten, model_size
from fedsim.training import Train
from tests.methods.hand import CLASSES, SHAPE, Hand, examples

SETTINGS = Train(batch_size=8, lr=0.1).at(0, 1)
DATA = examples(7, 30)
SIZE = DataSize(30, SHAPE, CLASSES, 64)


@pytest.fixture
def model():
    hand = Hand({"name": "mlp", "hidden": 24})
    return hand.look(hand.initial)


def entropy(labels):
    return float(-(labels.values * labels.values.log()).sum(1).mean())


def softened(predictions, temperature=1.0):
    return Predictions(predictions.index, (predictions.values / temperature).softmax(1))


def test_predictions_are_the_models_logits(model):
    told = predict.value(model, DATA)
    assert torch.allclose(told.values, model.module()(DATA.batch(slice(None))[0]).detach(), atol=1e-6)
    assert told.index.tolist() == list(range(30))


def test_a_part_of_the_examples_is_drawn_by_seed_alone(model):
    whole, part, again, other = (predict.value(model, DATA, n=n, seed=s) for n, s in ((0, 0), (9, 1), (9, 1), (9, 2)))
    assert torch.allclose(part.values, whole.values[part.index], atol=1e-6)
    assert (part.index.tolist(), len(set(part.index.tolist()))) == (again.index.tolist(), 9)
    assert part.index.tolist() != other.index.tolist()


@pytest.mark.parametrize(("n", "taken"), [(0, 30), (9, 9), (100, 30)])
def test_predictions_are_as_many_as_declared(model, n, taken):
    assert predict.size(model.size(), SIZE, n=n, seed=1) == PredictionsSize(taken, CLASSES)
    assert predict.value(model, DATA, n=n, seed=1).values.shape == (taken, CLASSES)
    assert PredictionsSize(taken, CLASSES).nbytes == 4 * taken * CLASSES


def test_the_mean_is_of_probabilities_by_weight():
    one, other = (Predictions(torch.arange(2), torch.randn(2, 3)) for _ in range(2))
    mean = mean_probabilities.value((one, other), (3, 1)).values
    assert torch.allclose(mean, 0.75 * one.values.softmax(1) + 0.25 * other.values.softmax(1))


def test_the_mean_of_logits_is_by_weight():
    one, other = (Predictions(torch.arange(2), torch.randn(2, 3)) for _ in range(2))
    assert torch.allclose(mean_logits.value((one, other), (3, 1)).values, 0.75 * one.values + 0.25 * other.values)


def test_a_model_fits_logits_by_their_mean_absolute_error(model):
    other = predict.value(Hand().look(Hand().initial), DATA)
    settings = {**SETTINGS, "epochs": 60, "lr": 0.01}
    after = distil.value(model, DATA, (other,), **settings, seed=0, loss="mae")
    wrong = [float(nn.functional.l1_loss(predict.value(m, DATA).values, other.values)) for m in (model, after)]
    assert wrong[1] < 0.3 * wrong[0]


def test_sharpening_lowers_the_entropy_and_keeps_the_order():
    labels = softened(Predictions(torch.arange(20), torch.randn(20, 5)))
    sharp = sharpened.value(labels, temperature=0.1)
    assert entropy(sharp) < entropy(labels)
    assert torch.equal(sharp.values.argsort(1), labels.values.argsort(1))
    assert torch.allclose(sharp.values.sum(1), torch.ones(20))


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_model_learns_nothing_from_itself(model, temperature):
    own = softened(predict.value(model, DATA), temperature)
    after = distil.value(model, DATA, (own,), **SETTINGS, seed=0, temperature=temperature)
    assert torch.allclose(flatten(after.state), flatten(model.state), atol=1e-5)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_student_comes_to_predict_what_its_teachers_do(model, temperature):
    truth = Predictions(torch.arange(30), 4.0 * nn.functional.one_hot(DATA.y, CLASSES).float())
    labels = softened(truth, temperature)
    parts = tuple(Predictions(labels.index[part], labels.values[part]) for part in (slice(0, 12), slice(12, 30)))
    settings = {**SETTINGS, "epochs": 60, "lr": 0.01}
    after = distil.value(model, DATA, parts, **settings, seed=0, temperature=temperature)
    right = [(predict.value(m, DATA).values.argmax(1) == DATA.y).float().mean() for m in (model, after)]
    assert right[1] > max(0.9, right[0])


def test_one_step_at_a_temperature_is_hintons(model):
    labels = softened(predict.value(Hand().look(Hand().initial), examples(8, 8)), 2.0)
    data = examples(3, 8)
    after = distil.value(model, data, (labels,), **SETTINGS, seed=0, temperature=2.0)
    module = model.module()
    (4.0 * nn.functional.cross_entropy(module(data.x) / 2.0, labels.values)).backward()
    stepped = torch.cat([(p - SETTINGS["lr"] * p.grad).detach().flatten() for p in module.parameters()])
    assert torch.allclose(flatten(after.state), stepped, atol=1e-6)


def test_distilling_costs_what_training_on_as_many_examples_does(model):
    size = model_size(model.spec)
    labels = PredictionsSize(10, CLASSES), PredictionsSize(6, CLASSES)
    assert distil.load(size, SIZE, labels, **SETTINGS) == training_load(
        size, DataSize(16, SHAPE, CLASSES, 64), **SETTINGS
    )
