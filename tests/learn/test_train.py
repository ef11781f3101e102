"""Local training: a function of the model, the shard, the settings and the seed, and of nothing else."""

from __future__ import annotations

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn.data import Examples
from fedsim.learn.evaluate import evaluate, evaluate_labels
from fedsim.learn.models import make_spec
from fedsim.learn.synthetic import SyntheticRule
from fedsim.learn.train import batch_indices, init_model, local_sgd, spec_like
from fedsim.learn.values import flatten, model_size
from fedsim.training import Train

SPEC = make_spec("mlp", 10, (1, 28, 28), hidden=8).as_params()
RULE = SyntheticRule(seed=0, samples=50)
DATA = RULE.examples((0, 0))
PLAIN = Train(lr=0.05, batch_size=16).at(0, 1)


def first_model(seed=0, spec=SPEC):
    torch.manual_seed(seed)
    return init_model.value(spec=spec, seed=seed)


def trained(model=None, data=DATA, *, seed=1, mu=0.0, **changes):
    return local_sgd.value(model or first_model(), data, **{**PLAIN, **changes}, seed=seed, mu=mu)


def vector(model):
    return flatten(model.state)


def moved(model):
    return float((vector(model) - vector(first_model())).norm())


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_training_twice_gives_the_same_bits(optimizer):
    changes = {"optimizer": optimizer, "lr": 0.01, "epochs": 2}
    assert torch.equal(vector(trained(**changes)), vector(trained(**changes)))


def test_the_global_random_state_does_not_show():
    first = trained()
    torch.manual_seed(12345)
    torch.rand(7)
    assert torch.equal(vector(trained()), vector(first))


def test_another_seed_is_another_order():
    assert not torch.equal(vector(trained(seed=2)), vector(trained(seed=1)))


def test_training_leaves_the_given_model_alone():
    model = first_model()
    before = vector(model).clone()
    trained(model)
    assert torch.equal(vector(model), before)


@pytest.mark.parametrize(("optimizer", "lr"), [("sgd", 0.05), ("adam", 0.005), ("adamw", 0.005)])
def test_training_reduces_the_loss(optimizer, lr):
    before = evaluate.value(first_model(), DATA)["loss"]
    after = evaluate.value(trained(optimizer=optimizer, lr=lr, epochs=5), DATA)["loss"]
    assert after < 0.8 * before


def test_training_helps_on_examples_never_seen():
    many = SyntheticRule(0, 500).examples((0, 0))
    before, after = (evaluate.value(m, RULE.test())["accuracy"] for m in (first_model(), trained(data=many, epochs=5)))
    assert before < 0.2
    assert after > 0.25


def test_one_step_of_sgd_is_the_gradient_times_the_rate():
    model, n = first_model(), DATA.n
    module = model.module()
    x, y = DATA.batch(slice(None))
    torch.nn.functional.cross_entropy(module(x), y).backward()
    gradient = torch.cat([p.grad.reshape(-1) for p in module.parameters()])
    step = vector(trained(batch_size=n, momentum=0.0, lr=0.1)) - vector(model)
    assert torch.allclose(step, -0.1 * gradient, atol=1e-6)


def test_the_proximal_term_is_the_gradient_of_half_mu_times_the_squared_distance():
    """With batches of the whole shard, no momentum and two steps: w2 = w1 - lr (g(w1) + mu (w1 - w0))."""
    whole = {"batch_size": DATA.n, "momentum": 0.0, "lr": 0.1}
    start, one = vector(first_model()), vector(trained(**whole))
    two, pulled = (vector(trained(**whole, epochs=2, mu=mu)) for mu in (0.0, 0.5))
    assert torch.allclose(pulled, two - 0.1 * 0.5 * (one - start), atol=1e-6)


def test_a_strong_proximal_term_holds_the_model_back():
    assert moved(trained(epochs=5, mu=5.0)) < 0.6 * moved(trained(epochs=5))


def test_a_proximal_term_of_nothing_changes_no_bit():
    assert torch.equal(vector(trained(mu=0.0)), vector(local_sgd.value(first_model(), DATA, **PLAIN, seed=1)))


def test_clipping_bounds_a_step():
    steps = trained(batch_size=DATA.n, momentum=0.0, lr=1.0, clip_norm=0.01)
    assert moved(steps) == pytest.approx(0.01, rel=1e-3)


def test_clipping_above_the_gradient_changes_no_bit():
    assert torch.equal(vector(trained(clip_norm=1e9)), vector(trained()))


def test_weight_decay_shrinks_weights():
    assert vector(trained(weight_decay=0.5)).norm() < vector(trained()).norm()


def test_an_epoch_visits_every_example_once_and_the_next_in_another_order():
    batches = list(batch_indices(10, 4, 2, seed=0))
    first, second = torch.cat(batches[:3]), torch.cat(batches[3:])
    assert [len(batch) for batch in batches] == [4, 4, 2, 4, 4, 2]
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(10))
    assert not torch.equal(first, second)


def test_a_first_model_follows_from_its_seed():
    assert torch.equal(vector(first_model(3)), vector(first_model(3)))
    assert not torch.equal(vector(first_model(3)), vector(first_model(4)))


def test_the_declared_size_is_the_models():
    size = model_size(SPEC)
    assert (size.entries, size.nbytes) == (vector(first_model()).numel(), 4 * vector(first_model()).numel())


def test_a_network_of_another_kind_takes_the_same_examples():
    mine, other = first_model(), first_model(spec=spec_like(SPEC, "cnn"))
    assert other.module()(DATA.batch(slice(None))[0]).shape == mine.module()(DATA.batch(slice(None))[0]).shape


def test_a_network_of_another_kind_has_as_many_tokens():
    mine = make_spec("lstm", 3, (8,), vocab=50, pad=2, hidden=4).as_params()
    assert spec_like(mine, "bert_tiny") == make_spec("bert_tiny", 3, (8,), vocab=50, pad=2).as_params()


def test_a_network_that_does_not_fit_the_examples_is_refused_by_its_size():
    with pytest.raises(InputError, match="'vgg16' does not fit data of shape"):
        spec_like(SPEC, "vgg16")


def test_evaluation_does_not_depend_on_how_examples_are_batched():
    data = SyntheticRule(0, 1100).examples((0, 0))
    whole = evaluate.value(first_model(), data)
    parts = [evaluate.value(first_model(), data.subset(slice(at, at + 550))) for at in (0, 550)]
    assert whole["accuracy"] == pytest.approx(sum(p["accuracy"] for p in parts) / 2)
    assert whole["loss"] == pytest.approx(sum(p["loss"] for p in parts) / 2)


def test_a_perfect_model_is_right_everywhere():
    class Oracle:
        def module(self):
            return torch.nn.Flatten()

    x = torch.nn.functional.one_hot(torch.arange(4), 4).float().reshape(4, 1, 2, 2) * 100
    assert evaluate.value(Oracle(), Examples(x, torch.arange(4))) == {"accuracy": 1.0, "loss": pytest.approx(0.0)}


def test_evaluation_by_label_says_of_all_examples_what_evaluation_says():
    data = SyntheticRule(0, 1100).examples((0, 0))
    found = evaluate_labels.value(first_model(), data)
    found.pop("labels")
    assert found == evaluate.value(first_model(), data)


def test_a_label_is_evaluated_on_its_own_examples():
    data = SyntheticRule(0, 1100).examples((0, 0))
    model = trained(data=data)
    alone = [evaluate.value(model, data.subset(torch.nonzero(data.y == label)[:, 0])) for label in range(10)]
    labels = evaluate_labels.value(model, data)["labels"]
    assert [label["accuracy"] for label in labels] == pytest.approx([one["accuracy"] for one in alone], abs=1e-12)
    assert [label["loss"] for label in labels] == pytest.approx([one["loss"] for one in alone], rel=1e-5)


def test_nothing_is_said_of_a_label_without_examples():
    data = DATA.subset(torch.nonzero(DATA.y != 3)[:, 0])
    labels = evaluate_labels.value(first_model(), data)["labels"]
    assert [k for k, label in enumerate(labels) if label == {"accuracy": None, "loss": None}] == [3]


# --- Schedules of the learning rate --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [1, 1, 1, 1]), ("step", [1, 1, 0.5, 0.5]), ("cosine", [1, 0.8535534, 0.5, 0.1464466])],
)
def test_the_rate_follows_its_schedule_over_versions(schedule, rates):
    train = Train(lr=2.0, lr_schedule=schedule, lr_decay=0.5, lr_decay_every=2)
    assert [train.at(version, 4)["lr"] / 2 for version in range(4)] == pytest.approx(rates)


def test_momentum_is_sgds_alone():
    assert [Train(optimizer=name).at(0, 1)["momentum"] for name in ("sgd", "adam", "adamw")] == [0.9, 0.0, 0.0]
