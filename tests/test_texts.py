"""Whole runs on texts: tables in a data folder, tokens, models, training, a clock."""

from __future__ import annotations

import pytest
import torch

from fedsim.errors import InputError
from fedsim.learn.tokens import trained_tokenizer
from tests.contract.small import executed, metrics, scenario
from tests.learn.texts import ROWS, write_plays, write_sst2

tokenizers = pytest.importorskip("tokenizers")

SCHEDULE = {"kind": "sync", "rounds": 4, "cohort": 2}
FLEET = [{"profile": "raspberry-pi-4", "count": 2, "link": "wifi-home"}]
LSTM = {"name": "lstm", "hidden": 16, "depth": 1}
TINY = {"dim": 16, "heads": 2, "depth": 1, "ffn": 32}


def ran(folder, model, *, data="sst2", rounds=4, lr=0.01, by_label=False, **task):
    """Run fedavg on texts in *folder* with tokens and training to suit."""
    tables = {
        "task": {"data": data, "model": model, "partition": {"kind": "iid"}, "tokens": 12, **task},
        "train": {"optimizer": "adam", "lr": lr, "batch_size": 8, "epochs": 2},
        "fleet": FLEET,
        "availability": {"kind": "always"},
        "schedule": {**SCHEDULE, "rounds": rounds},
        "run": {"by_label": by_label},
    }
    return executed(scenario(folder, **tables), data_dir=folder)


def accuracies(results):
    return [row["accuracy"] for row in metrics(results, "fedavg")]


@pytest.mark.parametrize(
    "model",
    [{"name": "lstm", "hidden": 16, "depth": 1}, {"name": "bert_tiny", **TINY}],
    ids=lambda model: model["name"],
)
def test_a_model_learns_the_sentiment_of_six_sentences(tmp_path, model):
    results = ran(write_sst2(tmp_path), model)
    assert accuracies(results)[-1] == 1.0
    assert results.summary["runs"][0]["virtual_s"] > 0


def test_texts_are_evaluated_by_label_too(tmp_path):
    last = ran(write_sst2(tmp_path), LSTM, by_label=True).metrics.tail(3)
    assert list(last.split) == ["test", "label-0", "label-1"]
    assert list(last.accuracy) == [1.0, 1.0, 1.0]


def test_an_lstm_learns_the_next_character_of_two_roles(tmp_path):
    write_plays(tmp_path, A="abcd" * 100, B="abcd" * 100)
    results = ran(tmp_path, LSTM, data="shakespeare", partition={"kind": "natural"}, lr=0.05, rounds=6)
    assert accuracies(results)[-1] == 1.0


def test_a_tiny_bert_of_hugging_face_learns_from_random_weights(tmp_path):
    pytest.importorskip("transformers")
    results = ran(write_sst2(tmp_path), {"name": "hf_bert", **TINY}, rounds=8)
    assert accuracies(results)[-1] == 1.0


def test_a_model_and_a_tokenizer_in_folders_beside_the_scenario_are_used(tmp_path):
    hf = pytest.importorskip("transformers")
    write_sst2(tmp_path)
    tokenizer = trained_tokenizer([text for text, _ in ROWS])
    (tmp_path / "bert").mkdir()
    tokenizer.inner.save(str(tmp_path / "bert" / "tokenizer.json"))
    sizes = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 1, "intermediate_size": 32}
    torch.manual_seed(0)
    hf.BertForSequenceClassification(hf.BertConfig(vocab_size=300, **sizes)).save_pretrained(tmp_path / "bert")
    results = ran(tmp_path, {"name": "hf_bert", "path": "bert"}, tokenizer="bert", rounds=6)
    written = (results.path / "scenario.toml").read_text()
    assert accuracies(results)[-1] > accuracies(results)[0]
    assert f'path = "{tmp_path / "bert"}"' in written
    assert f'tokenizer = "{tmp_path / "bert"}"' in written


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        ("cnn", {}, ["model 'cnn' takes images", "12 tokens", "lstm"]),
        ({"name": "lstm", "vocab": 10}, {}, ["vocab = 10 of model 'lstm'", "leave it out"]),
        ({"name": "lstm", "pad": 2}, {}, ["pad = 2 of model 'lstm'", "filled up with 0"]),
        ("lstm", {"data": "digits"}, ["task.tokens and task.tokenizer are for texts", "'digits'"]),
        ("mlp", {"data": "synthetic"}, ["task.tokens and task.tokenizer are for texts", "'synthetic'"]),
        ("lstm", {"tokenizer": "nowhere"}, ["task.tokenizer", "nowhere", "is not there"]),
        ("lstm", {"data": "mrpc"}, ["mrpc_train.tsv.gz and mrpc_dev.tsv.gz", "--data-dir or FEDSIM_DATA"]),
        ("lstm", {"public": {"data": "cola"}}, ["its tokens mean something else", "task.tokenizer"]),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(tmp_path, model, task, words):
    write_sst2(tmp_path)
    for part in ("train", "dev"):
        (tmp_path / f"cola_{part}.tsv").write_text("x\t1\t\ta sentence\n")
    with pytest.raises(InputError) as caught:
        ran(tmp_path, model, **task)
    assert [word for word in words if word not in str(caught.value)] == []
    assert not (tmp_path / "out").exists()


def test_a_part_of_a_data_set_of_texts_keeps_its_vocabulary(tmp_path):
    results = ran(write_sst2(tmp_path), LSTM, rounds=1, subset={"train": 12, "test": 4})
    assert results.summary["runs"][0]["status"] == "done"


def test_a_public_set_is_of_the_same_tokens_under_one_tokenizer(tmp_path):
    write_sst2(tmp_path)
    (tmp_path / "cola_train.tsv").write_text("x\t1\t\ta film\n")
    (tmp_path / "cola_dev.tsv").write_text("x\t1\t\ta film\n")
    trained_tokenizer([text for text, _ in ROWS]).inner.save(str(tmp_path / "t.json"))
    results = ran(tmp_path, "lstm", rounds=1, tokenizer="t.json", public={"data": "cola"})
    assert results.summary["runs"][0]["status"] == "done"
