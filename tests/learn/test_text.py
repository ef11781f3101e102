"""Models of tokens: their sizes, that they learn, and that padding changes nothing."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.data import DataSize
from fedsim.learn.models import ModelSpec, build_model, make_spec
from fedsim.work import OpClass

torch.set_num_threads(1)

SMALL = {"lstm": {"hidden": 16, "depth": 1}, "bert_tiny": {"dim": 16, "ffn": 32}}
NAMES = sorted(SMALL)


def small(name, classes=2, tokens=12, vocab=20):
    return build_model(name, classes=classes, shape=(tokens,), vocab=vocab, **SMALL[name])


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("lstm", {"vocab": 80}, 640 + 4 * 256 * (8 + 256 + 2) + 4 * 256 * (512 + 2) + 80 * 257),
        ("bert_tiny", {"vocab": 30_522}, 30_522 * 128 + 80 * 128 + 2 * 198_272 + 256 + 80 * 129),
    ],
)
def test_parameter_counts_follow_from_the_published_sizes(name, options, parameters):
    with torch.device("meta"):
        model = build_model(name, classes=80, shape=(80,), **options)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("name", NAMES)
def test_what_fills_up_changes_nothing(name):
    torch.manual_seed(0)
    model = small(name).eval()
    text = torch.randint(1, 20, (3, 12))
    text[:, 7:] = 0
    logits = model(text)
    model.embed.weight.data[0] += 3.0
    assert torch.equal(model(text), logits)


@pytest.mark.parametrize("name", NAMES)
def test_a_text_of_nothing_but_padding_has_logits(name):
    assert small(name)(torch.zeros(2, 12, dtype=torch.int64)).isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_every_parameter_takes_part_in_the_output(name):
    torch.manual_seed(0)
    model = small(name, classes=3)
    nn.functional.cross_entropy(model(torch.randint(0, 20, (8, 12))), torch.arange(8) % 3).backward()
    assert [key for key, p in model.named_parameters() if p.grad is None or not (p.grad != 0).any()] == []


@pytest.mark.parametrize("name", NAMES)
def test_models_learn_which_token_occurs(name):
    torch.manual_seed(0)
    model = small(name)
    y = torch.arange(32) % 2
    x = torch.randint(5, 20, (32, 12))
    x[torch.arange(32), torch.randint(0, 12, (32,))] = 3 + y
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_the_torch_seed_alone_decides_the_initial_values(name):
    made = []
    for seed in (3, 3, 4):
        torch.manual_seed(seed)
        made.append(small(name).state_dict())
    assert all(torch.equal(made[0][key], made[1][key]) for key in made[0])
    assert not all(torch.equal(made[0][key], made[2][key]) for key in made[0])


@pytest.mark.parametrize("name", NAMES)
def test_the_load_of_a_model_of_tokens_is_known_without_data(name):
    spec = make_spec(name, 2, (12,), vocab=20, **SMALL[name]).as_params()
    size = DataSize(10, (12,), 2, 13)
    step = loads.training(spec, size, epochs=1, batch_size=5, optimizer="sgd")
    assert step.within(OpClass.MATMUL).flops > 2 * loads.predicting(spec, size).within(OpClass.MATMUL).flops > 0


def test_a_spec_of_tokens_survives_the_journey_through_a_jobs_parameters():
    spec = make_spec("lstm", 2, (12,), vocab=20)
    assert ModelSpec.from_params(spec.as_params()) == spec
    assert spec.dtype == torch.int64


def test_an_encoder_can_be_cut_and_an_lstm_cannot():
    spec = make_spec("bert_tiny", 2, (12,), vocab=20, **SMALL["bert_tiny"])
    cut = replace(spec, widths=tuple(sorted((group.name, group.units // 2) for group in spec.groups())))
    assert cut.build()(torch.ones(3, 12, dtype=torch.int64)).shape == (3, 2)
    with pytest.raises(InputError, match="allowed are images"):
        make_spec("lstm", 2, (12,), vocab=20).groups()


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("lstm", {}, ["vocab of model 'lstm' is (0,)", "above 0"]),
        ("lstm", {"vocab": 9, "depth": 0}, ["depth of model 'lstm' is (0,)"]),
        ("lstm", {"vocab": 9, "hiden": 9}, ["'hiden'", "did you mean 'hidden'"]),
        ("bert_tiny", {"vocab": 9, "heads": 3}, ["heads = 3 of model 'bert_tiny'", "dim = 128"]),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_reason(name, options, words):
    with pytest.raises(InputError) as caught:
        make_spec(name, 2, (12,), **options)
    assert [word for word in words if word not in str(caught.value)] == []
