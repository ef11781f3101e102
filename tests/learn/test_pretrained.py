"""Hugging Face's models: their published sizes, and the weights of a local folder, which give what they gave there."""

import shutil
import sys

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn import loads
from fedsim.learn.data import DataSize, Examples
from fedsim.learn.models import ModelSpec, build_model, make_spec
from fedsim.learn.trace import built
from fedsim.learn.train import init_model, local_sgd, training_load
from fedsim.learn.values import model_size

hf = pytest.importorskip("transformers")
torch.set_num_threads(1)

TINY = {"dim": 16, "heads": 2, "depth": 1, "ffn": 32}
TEXTS = ("hf_bert", "hf_distilbert", "hf_roberta")
NAMES = (*TEXTS, "hf_vit")
SETTINGS = {
    "epochs": 1, "batch_size": 4, "optimizer": "adamw", "lr": 0.01, "momentum": 0.0, "weight_decay": 0.0,
    "clip_norm": 0.0, "seed": 0,
}  # fmt: skip
NETS = {
    "hf_bert": ("Bert", {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}),
    "hf_distilbert": ("DistilBert", {"dim": 16, "n_heads": 2, "n_layers": 1, "hidden_dim": 32}),
    "hf_roberta": (
        "Roberta",
        {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32},
    ),
}


def tiny(name, classes=3):
    """Return the spec of a tiny model *name*."""
    options = {} if name == "hf_vit" else {"vocab": 50}
    return make_spec(name, classes, (3, 32, 32) if name == "hf_vit" else (12,), **TINY, **options)


def examples(name, n=10):
    torch.manual_seed(1)
    x = torch.randn(n, 3, 32, 32) if name == "hf_vit" else torch.randint(0, 50, (n, 12), dtype=torch.int16)
    return Examples(x, torch.arange(n) % 3)


def saved(folder, name="hf_bert", classes=3, task="SequenceClassification", seed=5):
    """Save a random tiny net as Hugging Face's users have it, and return it."""
    stem, sizes = NETS[name]
    torch.manual_seed(seed)
    net = getattr(hf, f"{stem}For{task}")(getattr(hf, f"{stem}Config")(vocab_size=60, num_labels=classes, **sizes))
    net.save_pretrained(folder)
    return net.eval()


def initial(spec, seed=0):
    torch.manual_seed(seed)
    return init_model.value(spec=spec.as_params(), seed=seed)


def counted(model):
    """Count as RaFFM does: the weights of modules, without biases and loose parameters."""
    return sum(p.numel() for key, p in model.named_parameters() if key.endswith(".weight"))


def test_bert_base_has_the_109_380864_million_weights_that_raffm_counts():
    with torch.device("meta"):
        assert counted(build_model("hf_bert", classes=2, shape=(128,), vocab=30_522)) == 109_380_864


@pytest.mark.parametrize(
    ("name", "vocab", "parameters"),
    [("hf_roberta", 50_265, 124_647_170), ("hf_distilbert", 30_522, 66_955_010), ("hf_bert", 30_522, 109_483_778)],
)
def test_parameter_counts_are_the_published_ones(name, vocab, parameters):
    with torch.device("meta"):
        model = build_model(name, classes=2, shape=(128,), vocab=vocab)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_the_vit_has_as_many_weights_as_our_own():
    with torch.device("meta"):
        models = [build_model(name, classes=10, shape=(3, 224, 224)) for name in ("hf_vit", "vit", "torchvision_vit")]
    counts = [sum(p.numel() for p in model.parameters()) for model in models]
    assert counts[0] == counts[1] == counts[2] == 85_806_346


@pytest.mark.parametrize("name", NAMES)
def test_training_moves_every_parameter_and_is_the_same_every_time(name):
    model = initial(tiny(name))
    once, again = (local_sgd.value(model, examples(name), **SETTINGS).state for _ in range(2))
    assert all(torch.equal(once[key], again[key]) for key in once)
    assert [key for key in once if torch.equal(once[key], model.state[key])] == []


@pytest.mark.parametrize("name", NAMES)
def test_the_load_is_known_without_data(name):
    spec = tiny(name)
    size = DataSize(10, spec.shape, 3, 100)
    load = training_load(model_size(spec.as_params()), size, **SETTINGS)
    assert load.flops > 2 * loads.predicting(spec.as_params(), size).flops > 0


@pytest.mark.parametrize("name", TEXTS)
def test_what_fills_up_changes_nothing(name):
    model = initial(tiny(name)).module().eval()
    text = torch.randint(1, 50, (3, 12))
    text[:, 7:] = 0
    logits = model(text)
    embeddings = next(layer for layer in model.modules() if isinstance(layer, torch.nn.Embedding))
    embeddings.weight.data[0] += 3.0
    assert torch.allclose(model(text), logits, atol=1e-6)


# --- local folders


@pytest.mark.parametrize("name", TEXTS)
def test_a_folders_model_gives_the_logits_it_gave_there(name, tmp_path):
    net = saved(tmp_path, name)
    pad, sep = net.config.pad_token_id, 3
    spec = make_spec(name, 3, (8,), path=str(tmp_path), **({"sep": sep} if name == "hf_bert" else {}))
    x = torch.tensor([[2, 7, 8, sep, 9, 10, sep, pad], [2, 7, sep, pad, pad, pad, pad, pad]])
    types = {"token_type_ids": torch.tensor([[0, 0, 0, 0, 1, 1, 1, 0], [0] * 8])} if name == "hf_bert" else {}
    with torch.no_grad():
        there = net(input_ids=x, attention_mask=(x != pad).long(), **types).logits
        assert torch.equal(initial(spec).module().eval()(x), there)


@pytest.mark.parametrize("name", TEXTS)
def test_what_classifies_is_drawn_from_the_seed_where_the_folder_lacks_it(name, tmp_path):
    saved(tmp_path, name, task="MaskedLM")
    spec = make_spec(name, 2, (8,), path=str(tmp_path))
    first, again, other = (initial(spec, seed).state for seed in (0, 0, 1))
    assert all(torch.equal(first[key], again[key]) for key in first)
    drawn = {key.split(".")[1] for key in first if not torch.equal(first[key], other[key])}
    assert drawn <= {"classifier", "pre_classifier", "bert"}
    assert not any("encoder" in key or "embeddings" in key for key in first if not torch.equal(first[key], other[key]))


def test_a_classifier_for_other_classes_is_drawn_anew(tmp_path):
    saved(tmp_path, classes=5)
    state = initial(make_spec("hf_bert", 2, (8,), path=str(tmp_path))).state
    assert state["net.classifier.weight"].shape == (2, 16)


def test_a_folder_says_the_sizes(tmp_path):
    saved(tmp_path)
    options = dict(make_spec("hf_bert", 3, (8,), path=str(tmp_path)).options)
    assert {key: options[key] for key in ("vocab", *TINY)} == {"vocab": 60, **TINY}


def test_building_on_the_meta_device_reads_no_weights(tmp_path):
    saved(tmp_path)
    spec = make_spec("hf_bert", 3, (8,), path=str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"")
    assert {p.device.type for p in built(spec.build).parameters()} == {"meta"}


def test_other_weights_are_another_spec(tmp_path):
    specs = []
    for seed in (1, 1, 2):
        saved(tmp_path, seed=seed)
        specs.append(make_spec("hf_bert", 3, (8,), path=str(tmp_path)))
    assert specs[0] == specs[1] != specs[2]


def test_weights_that_have_changed_since_are_refused(tmp_path):
    saved(tmp_path, seed=1)
    spec = make_spec("hf_bert", 3, (8,), path=str(tmp_path))
    saved(tmp_path, seed=2)
    with pytest.raises(InputError, match="put back what has changed"):
        ModelSpec.from_params(spec.as_params()).build()


def test_a_folder_that_lacks_other_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    saved(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["bert.embeddings.word_embeddings.weight"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(InputError, match=r"lacks the weights bert.embeddings.word_embeddings.weight"):
        initial(make_spec("hf_bert", 3, (8,), path=str(tmp_path)))


def test_reading_a_folder_writes_nothing(tmp_path, capfd):
    saved(tmp_path, classes=5)
    capfd.readouterr()
    initial(make_spec("hf_bert", 2, (8,), path=str(tmp_path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("hf_bert", {"path": "nowhere"}, ["nowhere/config.json is not there", "save_pretrained"]),
        ("hf_roberta", {"path": "."}, ["model_type is 'bert'", "'hf_roberta' reads 'roberta'"]),
        ("hf_bert", {"path": ".", "dim": 64}, ["dim = 64 of model 'hf_bert'", "says 16", "leave the option out"]),
        ("hf_bert", {"path": ".", "digest": "0" * 16}, ["digest = '0000000000000000'", "leave it out"]),
        ("hf_bert", {"vocab": 9, "heads": 5}, ["heads = 5 of model 'hf_bert'", "dim = 768"]),
        ("hf_bert", {"vocab": 9, "positions": 7}, ["does not fit sequences of 8 tokens", "positions for 7 tokens"]),
        ("hf_roberta", {"vocab": 9, "positions": 8}, ["does not fit sequences of 8 tokens", "positions for 7 tokens"]),
        ("hf_bert", {"vocab": 9, "dropout": "x"}, ["'dropout' of model 'hf_bert' is 'x'"]),
    ],
)
def test_what_cannot_be_built_is_refused_with_its_reason(name, options, words, tmp_path, monkeypatch):
    saved(tmp_path)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        make_spec(name, 3, (8,), **options)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_folder_without_weights_is_refused(tmp_path):
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="has no weights"):
        make_spec("hf_bert", 3, (8,), path=str(tmp_path))


def test_a_vit_takes_the_images_of_its_folder_alone(tmp_path):
    config = hf.ViTConfig(image_size=32, **NETS["hf_bert"][1])
    hf.ViTForImageClassification(config).save_pretrained(tmp_path)
    assert make_spec("hf_vit", 3, (3, 32, 32), path=str(tmp_path))
    with pytest.raises(InputError, match=r"does not fit data of shape \(3, 64, 64\)"):
        make_spec("hf_vit", 3, (3, 64, 64), path=str(tmp_path))


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(InputError, match=r"fedsim-edge\[transformers\]"):
        make_spec("hf_bert", 3, (8,), vocab=9)


def test_a_copied_folder_has_the_same_digest(tmp_path):
    saved(tmp_path / "a")
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    digests = {dict(make_spec("hf_bert", 3, (8,), path=str(tmp_path / at)).options)["digest"] for at in "ab"}
    assert len(digests) == 1
