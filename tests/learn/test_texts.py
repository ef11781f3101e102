"""Data sets of texts: what is read is what was written, as the same ids every time; what is broken is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn.data import Arrays, DataSize, Examples, Vocab, dataset_from
from fedsim.learn.datasets import dataset_names, load_dataset
from fedsim.learn.tokens import SPECIAL, Reading, read_tokenizer, trained_tokenizer
from tests.learn.texts import GOOD, ROWS, write_plays, write_sst2, write_table

tokenizers = pytest.importorskip("tokenizers")

WORDS = [text for text, _ in ROWS]
RTE = "index\tsentence1\tsentence2\tlabel"


def read(folder, name="sst2", **reading):
    return load_dataset(name, data_dir=folder, reading=Reading(**reading))


# --- tokens as examples


def test_a_batch_of_tokens_is_int64_however_narrow_they_are_stored():
    for dtype in (torch.uint8, torch.int16, torch.int32):
        x, y = Examples(torch.tensor([[1, 2, 3], [4, 5, 0]], dtype=dtype), torch.tensor([0, 1])).batch(slice(1, 2))
        assert (x.dtype, x.tolist(), y.tolist()) == (torch.int64, [[4, 5, 0]], [1])


@pytest.mark.parametrize(("dtype", "item_bytes"), [(torch.uint8, 6), (torch.int16, 11), (torch.int32, 21)])
def test_a_sequence_weighs_its_tokens_as_stored_and_a_label(dtype, item_bytes):
    examples = Examples(torch.zeros(4, 5, dtype=dtype), torch.zeros(4, dtype=torch.int64))
    assert examples.size(2) == DataSize(4, (5,), 2, item_bytes)


@given(st.sampled_from([(2, np.uint8), (256, np.uint8), (257, np.int16), (32_768, np.int16), (32_769, np.int32)]))
def test_ids_are_stored_in_the_narrowest_type_that_has_room_for_the_vocabulary(case):
    size, dtype = case
    x, y = np.array([[0, size - 1]]), np.array([0])
    data = dataset_from("d", Arrays(x, y, x, y, ("a",), vocab=Vocab(size)))
    assert data.train.x.numpy().dtype == dtype
    assert data.train.batch(slice(None))[0].tolist() == [[0, size - 1]]


# --- tokenizers


def test_another_process_trains_a_tokenizer_of_the_same_ids():
    script = (
        "import json, sys; from fedsim.learn.tokens import trained_tokenizer;"
        "words = json.loads(sys.argv[1]); found = trained_tokenizer(words, size=60);"
        "print(found.vocab.digest, found.encode([(text,) for text in words], 12).tolist())"
    )
    command = [sys.executable, "-c", script, json.dumps(WORDS)]
    other = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    here = trained_tokenizer(WORDS, size=60)
    assert other.strip() == f"{here.vocab.digest} {here.encode([(text,) for text in WORDS], 12).tolist()}"


def test_texts_are_cut_or_filled_up_and_case_is_nothing():
    tokenizer = trained_tokenizer(WORDS)
    ids = tokenizer.encode([("a film",), ("A FILM",), (GOOD[0] * 5,)], 8)
    assert ids.shape == (3, 8)
    assert ids[0].tolist() == ids[1].tolist()
    assert (ids[0, 0], ids[0, -1], ids[2, -1]) == (2, 0, 3)
    assert (ids[2] != 0).all()


def test_a_pair_is_cls_a_sep_b_sep():
    tokenizer = trained_tokenizer(["a b c"])
    a, b = (tokenizer.inner.token_to_id(f"\u2581{letter}") for letter in "ab")
    assert tokenizer.encode([("a", "b")], 7).tolist() == [[2, a, 3, b, 3, 0, 0]]


def test_what_was_never_seen_is_unknown():
    assert 1 in trained_tokenizer(["a b c"]).encode([("z",)], 5)


def test_a_tokenizer_in_a_folder_keeps_its_own_ids(tmp_path):
    inner = tokenizers.Tokenizer(tokenizers.models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "a": 3, "<unk>": 4}))
    inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    inner.save(str(tmp_path / "tokenizer.json"))
    found = read_tokenizer(tmp_path)
    assert (found.vocab.size, found.vocab.pad, found.vocab.sep) == (5, 1, 2)
    assert found.encode([("a a",)], 3).tolist() == [[3, 3, 1]]


def test_a_tokenizer_that_was_saved_reads_as_it_was_trained(tmp_path):
    made = trained_tokenizer(WORDS)
    made.inner.save(str(tmp_path / "mine.json"))
    assert read_tokenizer(tmp_path / "mine.json").vocab == made.vocab


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, ["tokenizer.json is not there", "task.tokenizer"]),
        ("{}", ["is no tokenizer"]),
        ("no padding", ["has no token for padding", "[PAD]"]),
    ],
)
def test_a_tokenizer_that_cannot_be_used_is_refused(tmp_path, content, words):
    if content == "no padding":
        content = tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0})).to_str()
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(InputError) as caught:
        read_tokenizer(tmp_path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(InputError, match=r"fedsim-edge\[text\]"):
        read(write_sst2(tmp_path))


# --- GLUE


@pytest.mark.parametrize("ending", [".tsv", ".tsv.gz"])
@pytest.mark.parametrize("below", ["", "glue"])
def test_sst2_is_read_from_the_data_folder_or_its_glue_folder(tmp_path, ending, below):
    write_sst2(tmp_path / below, copies=2, ending=ending)
    data = read(tmp_path, length=16)
    assert (data.shape, data.train.n, data.test.n, data.classes) == ((16,), 12, 6, ("negative", "positive"))
    assert data.train.y.tolist() == [label for _, label in ROWS] * 2
    assert data.train.x[:6].tolist() == data.test.x.tolist()
    assert data.vocab.pad == 0
    assert data.vocab.sep == SPECIAL.index("[SEP]")


def test_texts_are_64_tokens_long_unless_said(tmp_path):
    assert read(write_sst2(tmp_path)).shape == (64,)


def test_quotes_in_a_table_are_text(tmp_path):
    lines = ("sentence\tlabel", 'a "quoted word\t1', 'another" one\t0')
    for part in ("train", "dev"):
        write_table(tmp_path / f"sst2_{part}.tsv", *lines)
    assert read(tmp_path).train.y.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("name", "lines", "labels", "pair"),
    [
        ("mrpc", ["\ufeffQuality\t#1 ID\t#2 ID\t#1 String\t#2 String", "1\t7\t8\ta b\tc"], [1], True),
        ("rte", [RTE, "0\ta b\tc\tnot_entailment", "1\ta b\tc\tentailment"], [1, 0], True),
        ("cola", ["gj04\t1\t\ta b", "gj04\t0\t*\tb a"], [1, 0], False),
    ],
)  # fmt: skip
def test_each_task_has_its_own_columns(tmp_path, name, lines, labels, pair):
    for part in ("train", "dev"):
        write_table(tmp_path / f"{name}_{part}.tsv.gz", *lines)
    data = read(tmp_path, name, length=8)
    assert data.train.y.tolist() == labels
    assert int((data.train.x[0] == data.vocab.sep).sum()) == (2 if pair else 1)


def test_the_digest_is_of_the_tokens_and_their_number(tmp_path):
    write_sst2(tmp_path)
    assert read(tmp_path).digest == read(tmp_path).digest != read(tmp_path, length=32).digest


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (["sentence\tlabel", "a\t1\textra"], ["sst2_train.tsv: line 2 has 3 fields", "allowed are 2"]),
        (["sentence\tlabel", "a\t1", "b\tgood"], ["column 'label' holds 'good'", "0 and 1"]),
        (["text\tlabel", "a\t1"], ["has no column sentence", "text, label"]),
        (["sentence\tlabel"], ["sst2_train.tsv: has no rows"]),
        ([], ["has no column sentence"]),
    ],
)
def test_a_broken_table_is_refused_by_file_and_line(tmp_path, lines, words):
    write_table(tmp_path / "sst2_train.tsv", *lines)
    write_table(tmp_path / "sst2_dev.tsv", "sentence\tlabel", "a\t1")
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_file_that_is_not_gzip_is_refused(tmp_path):
    write_sst2(tmp_path)
    (tmp_path / "sst2_dev.tsv.gz").write_bytes(b"plain")
    with pytest.raises(InputError, match=r"sst2_dev.tsv.gz: cannot be read"):
        read(tmp_path)


def test_missing_files_are_named_with_their_folder_and_the_way_to_give_it(tmp_path):
    write_sst2(tmp_path)
    (tmp_path / "sst2_dev.tsv.gz").unlink()
    with pytest.raises(InputError) as caught:
        read(tmp_path)
    assert [
        w for w in ("sst2_dev.tsv.gz", str(tmp_path), "--data-dir", "FEDSIM_DATA") if w not in str(caught.value)
    ] == []
    assert "sst2_train" not in str(caught.value)


def test_without_a_data_folder_the_files_and_the_way_to_give_them_are_named():
    with pytest.raises(InputError, match=r"mrpc_train.tsv.gz and mrpc_dev.tsv.gz .*--data-dir or FEDSIM_DATA"):
        load_dataset("mrpc")


def test_texts_are_among_the_names_of_data_sets():
    assert {"sst2", "mrpc", "rte", "cola", "shakespeare"} <= set(dataset_names())


@pytest.mark.parametrize("name", ["digits", "npz:x.npz", "mnist"])
def test_images_have_no_tokens(name):
    with pytest.raises(InputError, match=r"task.tokens and task.tokenizer are for texts .*remove"):
        load_dataset(name, reading=Reading(64))


# --- Shakespeare


def test_a_role_is_cut_into_windows_and_their_next_characters(tmp_path):
    text = "abcdefghij" * 6  # 60 characters: 48 to train on, 12 to test on
    data = read(write_plays(tmp_path, A=text), "shakespeare", length=5)
    assert data.classes == tuple("abcdefghij")
    assert (data.shape, data.vocab.size) == ((5,), 11)
    assert data.train.x[:3].tolist() == [[1, 2, 3, 4, 5], [6, 7, 8, 9, 10], [1, 2, 3, 4, 5]]
    assert data.train.y[:3].tolist() == [5, 0, 5]
    assert (data.train.n, data.test.n) == (9, 2)
    assert data.test.x[0].tolist() == [9, 10, 1, 2, 3]
    assert data.test.y[0] == 3


def test_each_role_is_a_client_and_those_with_little_text_are_left_out(tmp_path):
    long, short = "to be or not to be " * 4, "to be"
    data = read(write_plays(tmp_path, B=long, A=long, C=short), "shakespeare", length=6)
    assert sorted(set(data.client_train)) == ["P: A", "P: B"]
    assert (data.client_train[: data.train.n // 2] == "P: A").all()


def test_a_roles_speeches_are_joined_and_backslash_n_is_a_line_break(tmp_path):
    lines = ["P\t1\t1\tA\tabc\\nabc"] * 10
    write_table(tmp_path / "shakespeare_speeches.tsv", "play\tact\tscene\tspeaker\ttext", *lines)
    data = read(tmp_path, "shakespeare", length=4)
    assert data.classes == ("\n", "a", "b", "c")
    assert data.train.x[:2].tolist() == [[2, 3, 4, 1], [2, 3, 4, 1]]


def test_shakespeare_has_no_tokenizer_and_needs_text(tmp_path):
    write_plays(tmp_path, A="abc")
    with pytest.raises(InputError, match="the tokens of data set 'shakespeare' are characters; remove it"):
        read(tmp_path, "shakespeare", tokenizer=tmp_path)
    with pytest.raises(InputError, match="no role has 960 characters"):
        read(tmp_path, "shakespeare")
