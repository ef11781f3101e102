"""FedAdam's step is the paper's."""

import torch

from fedsim.learn.adaptive import adam_step, filled, second_moment
from fedsim.learn.aggregate import mix
from fedsim.learn.models import make_spec
from fedsim.learn.values import Model, flatten
from tests.methods.runs import apart, billed, method, together, vectors

BETA1, BETA2, TAU, LR = 0.9, 0.99, 1e-3, 0.02


def by_hand(x, updates):
    """Return where algorithm 2 goes from *x* by *updates*."""
    x, first, second = x.double(), torch.zeros(1), torch.full((1,), TAU**2)
    for update in updates:
        first = BETA1 * first + (1 - BETA1) * update.double()
        second = BETA2 * second + (1 - BETA2) * update.double() ** 2
        x = x + LR * first / (second.sqrt() + TAU)
    return x


def some_model(name="mlp", shape=(1, 8, 8), **options):
    torch.manual_seed(0)
    spec = make_spec(name, 3, shape, **options)
    return Model(spec.as_params(), spec.build().state_dict())


def test_the_first_step_is_adams_on_fedavgs_update(tmp_path):
    path, results = together(tmp_path, method("fedavg"), method("fedadam", server_lr=LR), rounds=1)
    plain, adam = vectors(path, results, "fedavg"), vectors(path, results, "fedadam")
    assert torch.allclose(adam[1].double(), by_hand(adam[0], [plain[1] - plain[0]]), atol=1e-6)


def test_the_jobs_of_three_rounds_are_algorithm_2():
    start = model = some_model(hidden=4)
    first, second = filled.value(model, value=0.0), filled.value(model, value=TAU**2)
    updates = [Model(model.spec, {n: torch.randn_like(t) for n, t in model.state.items()}) for _ in range(3)]
    for update in updates:
        first = mix.value(first, update, rate=1 - BETA1)
        second = second_moment.value(second, update, beta=BETA2)
        model = adam_step.value(model, update, first, second, lr=LR, tau=TAU)
    expected = by_hand(flatten(start.state), [flatten(update.state) for update in updates])
    assert torch.allclose(flatten(model.state).double(), expected, atol=1e-6)


def test_moments_remember_earlier_rounds(tmp_path):
    forgetful = method("fedadam", label="forgetful", beta1=0.0, beta2=0.0)
    path, results = together(tmp_path, method("fedadam"), forgetful, rounds=2)
    assert apart(path, results, "fedadam", "forgetful") > 1e-4


def test_a_huge_tau_without_momentum_is_fedavg(tmp_path):
    """The step is server_lr * update / (|update| + tau): with server_lr = tau, far above it, the update."""
    blunt = method("fedadam", server_lr=1e4, tau=1e4, beta1=0.0, beta2=0.0)
    path, results = together(tmp_path, method("fedavg"), blunt)
    assert apart(path, results, "fedavg", "fedadam") <= 1e-4


def test_updates_weigh_as_much_as_models(tmp_path):
    _, results = together(tmp_path, method("fedavg"), method("fedadam"))
    assert len(set(billed(results, "up_bytes"))) == len(set(billed(results, "down_bytes"))) == 1


def test_the_server_pays_for_its_step(tmp_path):
    _, results = together(tmp_path, method("fedadam"), rounds=1)
    timeline = results.timeline
    server = timeline[(timeline.device == -1) & (timeline.kind == "compute")]
    assert {"filled", "average", "mix", "second_moment", "adam_step"} <= set(server.job)


def test_running_statistics_take_the_plain_update():
    """An Adam step on a running variance could leave it below zero, and the model with NaN."""
    model = some_model("vgg16", (1, 32, 32), convs=(2,) * 13, hidden=(2, 2))
    down = filled.value(model, value=-0.5)
    stepped = adam_step.value(model, down, down, filled.value(model, value=0.0), lr=9.0, tau=1e-3).state
    assert (float(stepped["1.running_var"].min()), float(stepped["0.weight"].max()) < -100) == (0.5, True)
