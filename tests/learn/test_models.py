"""Models: their published sizes, what data they take, and what they say when they do not."""

import pytest
import torch
from torch import nn

from fedsim.errors import InputError
from fedsim.learn.models import MODELS, TOKEN_MODELS, VGG16_CONVS, ModelSpec, build_model, make_spec
from fedsim.learn.pretrained import KINDS
from fedsim.learn.vit import Block
from fedsim.work import source

torch.set_num_threads(1)

PATCHED = ("vit_tiny", "vit", "torchvision_vit")
IMAGES = [name for name in MODELS if name not in TOKEN_MODELS | KINDS.keys()]
ANY_SIDE = [name for name in IMAGES if name not in ("vgg16", *PATCHED)]  # any side from 28
TINY = {"dim": 24, "depth": 2}
SMALL = {
    "vgg16": {"convs": (8,) * 13, "hidden": (8, 8)},
    "vit_tiny": TINY,
    "vit": {**TINY, "heads": 3},
    "torchvision_vit": {**TINY, "heads": 3, "ffn": 32},
}


def count(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "options", "parameters"),
    [
        ("mlp", (1, 28, 28), {}, 199_210),
        ("lenet5", (1, 28, 28), {}, 61_706),
        ("lenet5", (3, 32, 32), {}, 62_006),
        ("cnn", (1, 28, 28), {}, 1_663_370),
        ("resnet8", (3, 32, 32), {}, 1_227_594),
        ("resnet12", (3, 32, 32), {}, 780_266),
        ("resnet18", (3, 32, 32), {}, 11_173_962),
        ("vgg16", (3, 32, 32), {}, 33_646_666),
        ("vgg16", (3, 32, 32), {"convs": [64] * 13, "hidden": [128, 128]}, 472_714),
        ("mobilenet_v2", (3, 32, 32), {}, 2_236_682),
        ("vit_tiny", (3, 32, 32), {}, 5_362_762),
    ],
)
def test_parameter_counts_are_the_published_ones(name, shape, options, parameters):
    with torch.device("meta"):
        assert count(build_model(name, classes=10, shape=shape, **options)) == parameters


def test_vit_has_the_85_551360_million_weights_that_raffm_counts():
    with torch.device("meta"):
        model = build_model("vit", classes=10, shape=(3, 224, 224))
    assert sum(p.numel() for key, p in model.named_parameters() if key.endswith(".weight")) == 85_551_360


def test_vgg16_takes_128_35_mib_as_reft_prints():
    with torch.device("meta"):
        assert round(count(build_model("vgg16", classes=10, shape=(3, 32, 32))) * 4 / 2**20, 2) == 128.35


@pytest.mark.parametrize("name", sorted(set(IMAGES) - {"torchvision_vit"}))  # whose head starts at 0
def test_every_parameter_takes_part_in_the_output(name):
    torch.manual_seed(0)
    model = build_model(name, classes=3, shape=(1, 32, 32), **SMALL.get(name, {}))
    nn.functional.cross_entropy(model(torch.randn(4, 1, 32, 32)), torch.tensor([0, 1, 2, 0])).backward()
    idle = [
        key for key, p in model.named_parameters() if p.grad is None or not (p.grad.isfinite() & (p.grad != 0)).any()
    ]
    assert idle == []


@pytest.mark.parametrize("name", ["mlp", "lenet5", "cnn", "resnet12", "vgg16", "vit_tiny"])
def test_models_learn_what_is_easy(name):
    torch.manual_seed(0)
    options = {
        "cnn": {"width": 0.25},
        "vgg16": {"convs": (16,) * 13, "hidden": (32, 32)},
        "vit_tiny": SMALL["vit_tiny"],
    }
    model = build_model(name, classes=2, shape=(1, 32, 32), **options.get(name, {}))
    y = torch.arange(16) % 2
    x = torch.randn(16, 1, 32, 32) + 2 * y.view(-1, 1, 1, 1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    for _ in range(20):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).float().mean() > 0.9


@pytest.mark.parametrize("name", ANY_SIDE)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 28, 28), (3, 29, 31), (1, 45, 33), (3, 64, 64), (3, 96, 128)])
def test_image_models_take_one_or_three_channels_and_any_side_from_28(name, shape):
    with torch.device("meta"):
        assert build_model(name, classes=7, shape=shape)(torch.empty(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize("name", ["cnn", "mlp"])
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 9)])
def test_cnn_and_mlp_take_sides_from_8(name, shape):
    assert build_model(name, classes=10, shape=shape)(torch.zeros(2, *shape)).shape == (2, 10)


@pytest.mark.parametrize("name", IMAGES)
def test_the_torch_seed_alone_decides_the_initial_values(name):
    spec = make_spec(name, 5, (3, 32, 32), **SMALL.get(name, {}))
    torch.manual_seed(3)
    first = build_model(name, classes=5, shape=(3, 32, 32), **SMALL.get(name, {})).state_dict()
    torch.manual_seed(3)
    again = spec.build().state_dict()
    torch.manual_seed(4)
    other = spec.build().state_dict()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_only_vgg16_has_running_statistics():
    with torch.device("meta"):
        built = {name: make_spec(name, 10, (3, 32, 32)).build() for name in IMAGES}
    assert [name for name, model in built.items() if list(model.buffers())] == ["vgg16"]


def test_the_width_option_scales_every_hidden_layer_of_the_cnn():
    model = build_model("cnn", classes=10, shape=(1, 28, 28), width=0.25)
    assert [len(p) for p in model.parameters() if p.dim() > 1] == [8, 16, 128, 10]


@pytest.mark.parametrize("given", [300, (300,), [300]])
def test_mlp_takes_one_width_or_a_list_of_them(given):
    assert count(build_model("mlp", classes=10, shape=(1, 28, 28), hidden=given)) == 784 * 300 + 300 + 3010


def test_permuting_queries_and_keys_alike_leaves_the_vit_as_it_was():
    torch.manual_seed(0)
    vit = build_model("vit_tiny", classes=10, shape=(3, 32, 32), depth=2).eval()
    x = torch.randn(4, 3, 32, 32)
    before = vit(x)
    for block in vit.blocks:
        order = torch.cat([head * 64 + torch.randperm(64) for head in range(3)])
        for layer in (block.attention.q, block.attention.k):
            layer.weight.data, layer.bias.data = layer.weight.data[order], layer.bias.data[order]
    assert torch.allclose(vit(x), before, atol=1e-5)


def test_the_perceptron_of_a_block_is_as_wide_as_it_is_told():
    sizes = {ffn: tuple(Block(8, 2, ffn).wide.weight.shape) for ffn in (None, 5)}
    assert sizes == {None: (32, 8), 5: (5, 8)}


def test_a_head_of_the_vit_is_scaled_by_the_root_of_its_width():
    vit = build_model("vit_tiny", classes=10, shape=(3, 32, 32), depth=1)
    assert vit.blocks[0].attention.scale == 64**-0.5


@pytest.mark.parametrize("name", IMAGES)
def test_a_spec_survives_the_journey_through_a_jobs_parameters(name):
    spec = make_spec(name, 10, (3, 32, 32))
    assert ModelSpec.from_params(spec.as_params()) == spec
    assert source("model", spec=spec.as_params()) == source("model", spec=make_spec(name, 10, (3, 32, 32)).as_params())


def test_a_spec_binds_defaults_and_sorts_options():
    assert make_spec("vgg16", 10, (3, 32, 32), hidden=[64, 64]).options == (
        ("convs", VGG16_CONVS),
        ("hidden", (64, 64)),
    )


@pytest.mark.parametrize(
    ("name", "shape", "options", "words"),
    [
        ("cn", (1, 28, 28), {}, ["unknown model 'cn'", "did you mean 'cnn'", "vgg16"]),
        ("cnn", (1, 28, 28), {"widht": 2}, ["model 'cnn'", "'widht'", "did you mean 'width'"]),
        ("lenet5", (1, 28, 28), {"depth": 2}, ["model 'lenet5'", "'depth'"]),
        ("cnn", (1, 28, 28), {"width": "2"}, ["'width' of model 'cnn' is '2'", "a number"]),
        ("cnn", (1, 28, 28), {"width": True}, ["'width' of model 'cnn' is True"]),
        ("cnn", (1, 28, 28), {"width": float("nan")}, ["'width' of model 'cnn' is nan"]),
        ("cnn", (1, 28, 28), {"width": 0}, ["width of model 'cnn' is (0.0,)", "above 0"]),
        ("mlp", (1, 28, 28), {"hidden": [10, 0.5]}, ["'hidden' of model 'mlp'", "a list of whole numbers"]),
        ("mlp", (1, 0, 28), {}, ["shape of model 'mlp' is (1, 0, 28)", "above 0"]),
        ("vgg16", (3, 32, 32), {"hidden": 3}, ["'hidden' of model 'vgg16' has 1 widths (3,)", "give 2"]),
        ("vit_tiny", (3, 32, 32), {"heads": 5}, ["heads = 5", "dim = 192"]),
        ("vit_tiny", (3, 30, 30), {}, ["'vit_tiny' does not fit data of shape (3, 30, 30)", "patch = 4", "resnet8"]),
        ("lenet5", (1, 8, 8), {}, ["'lenet5' does not fit data of shape (1, 8, 8)", "the least (1, 12, 12)", "cnn"]),
        ("resnet12", (64,), {}, ["'resnet12' takes images (channels, height, width)", "64 tokens", "bert_tiny"]),
        ("mlp", (784,), {}, ["'mlp' takes images", "784 tokens", "lstm"]),
        ("lstm", (1, 28, 28), {"vocab": 9}, ["'lstm' takes tokens", "(1, 28, 28)", "cnn"]),
        ("vit", (3, 30, 30), {}, ["'vit' does not fit data of shape (3, 30, 30)", "patch = 16", "cnn"]),
        ("vit", (3, 32, 32), {"heads": 5}, ["heads = 5 of model 'vit'", "dim = 768"]),
        ("torchvision_vit", (3, 32, 32), {"heads": 5}, ["heads = 5 of model 'torchvision_vit'", "dim = 768"]),
        ("torchvision_vit", (3, 32, 48), {}, ["'torchvision_vit' does not fit", "square"]),
        ("vgg16", (3, 28, 28), {}, ["'vgg16' does not fit data of shape (3, 28, 28)", "the least (1, 32, 32)"]),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_reason(name, shape, options, words):
    with pytest.raises(InputError) as caught:
        make_spec(name, 10, shape, **options)
    assert [word for word in words if word not in str(caught.value)] == []


def test_checking_a_spec_draws_nothing_from_the_torch_seed():
    before = torch.random.get_rng_state()
    make_spec("mobilenet_v2", 10, (3, 32, 32))
    assert torch.equal(torch.random.get_rng_state(), before)
