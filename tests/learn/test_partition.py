"""Partitions: what every kind promises, against flwr-datasets where both have it, and what is refused."""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from fedsim.errors import InputError
from fedsim.learn.partition import PARTITIONS, partition


def labels_of(n, classes=10, seed=0):
    return np.random.default_rng(seed).integers(0, classes, n)


LABELS = st.builds(labels_of, st.integers(40, 400), st.integers(1, 12), st.integers(0, 5))
DRAWN = st.sampled_from(["iid", "dirichlet", "lda", "shards"])
NO_MINIMUM = {"dirichlet": {"min_partition_size": 0}}


def joined(parts):
    return np.sort(np.concatenate(parts))


@given(LABELS, st.integers(1, 20), DRAWN, st.integers(0, 2**63 - 1))
def test_shards_of_devices_are_disjoint_sorted_and_one_per_device(labels, n, kind, seed):
    parts = partition(labels, n, kind=kind, seed=seed, **NO_MINIMUM.get(kind, {}))
    assert len(parts) == n
    assert all((np.diff(part) > 0).all() and part.dtype == np.int64 for part in parts)
    assert len(np.unique(joined(parts))) == len(joined(parts))


@given(LABELS, st.integers(1, 20), st.sampled_from(["iid", "dirichlet", "shards"]), st.integers(0, 9))
def test_iid_dirichlet_and_shards_lose_no_example(labels, n, kind, seed):
    parts = partition(labels, n, kind=kind, seed=seed, **NO_MINIMUM.get(kind, {}))
    assert np.array_equal(joined(parts), np.arange(len(labels)))


@given(LABELS, st.integers(1, 20), st.floats(1e-3, 1e3), st.integers(0, 9))
def test_lda_makes_equal_sizes_and_leaves_out_only_the_remainder(labels, n, alpha, seed):
    sizes = {len(part) for part in partition(labels, n, kind="lda", seed=seed, alpha=alpha)}
    assert sizes == {len(labels) // n}


@given(LABELS, st.integers(1, 20), st.sampled_from(["iid", "shards"]), st.integers(0, 9))
def test_iid_and_shards_make_sizes_that_differ_by_at_most_their_cut(labels, n, kind, seed):
    sizes = [len(part) for part in partition(labels, n, kind=kind, seed=seed)]
    assert max(sizes) - min(sizes) <= {"iid": 1, "shards": 2}[kind]


@given(st.integers(1, 8), st.floats(0.3, 10), st.integers(0, 12), st.integers(0, 9))
def test_dirichlet_respects_its_minimum(n, alpha, least, seed):
    parts = partition(labels_of(1000), n, kind="dirichlet", seed=seed, alpha=alpha, min_partition_size=least)
    assert min(len(part) for part in parts) >= least


@given(LABELS, st.integers(1, 8), st.integers(1, 5), st.integers(0, 9))
def test_a_device_of_shards_has_few_labels(labels, n, each, seed):
    labels = np.sort(labels)
    for part in partition(labels, n, kind="shards", seed=seed, shards_per_device=each):
        runs = 1 + int((np.diff(part) > 1).sum())
        assert runs <= each


@pytest.mark.parametrize("kind", ["iid", "dirichlet", "lda", "shards"])
def test_another_seed_gives_another_partition(kind):
    one, same, other = (partition(labels_of(400), 10, kind=kind, seed=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", ["dirichlet", "lda"])
def test_a_smaller_alpha_makes_labels_less_even(kind):
    labels = labels_of(6000)

    def evenness(alpha):
        parts = partition(labels, 20, kind=kind, seed=0, alpha=alpha, **NO_MINIMUM.get(kind, {}))
        return np.mean([entropy(np.bincount(labels[part], minlength=10)) for part in parts if len(part)])

    assert evenness(0.05) < evenness(0.5) - 0.3 < evenness(100) - 0.6


def test_lda_gives_the_first_device_the_classes_it_drew():
    draws = np.random.default_rng(7)
    labels = labels_of(60_000)
    draws.permutation(len(labels))
    shares = draws.dirichlet(np.full(10, 0.5), size=10)[0]
    part = partition(labels, 10, kind="lda", seed=7, alpha=0.5)[0]
    assert np.abs(np.bincount(labels[part], minlength=10) / len(part) - shares).max() < 0.03


def test_natural_gives_each_device_a_client_in_the_order_of_names():
    clients = np.array(["b", "a", "c", "a", "b", "d"])
    parts = partition(np.zeros(6, np.int64), 3, kind="natural", seed=0, clients=clients)
    assert [part.tolist() for part in parts] == [[1, 3], [0, 4], [2]]


@pytest.mark.parametrize("form", ["json", "npz"])
def test_a_file_is_taken_as_it_stands(tmp_path, form):
    path, lists = tmp_path / f"lists.{form}", [[4, 0], [1], [2, 3]]
    if form == "json":
        path.write_text(json.dumps(lists))
    else:
        np.savez(path, indices=np.array([4, 0, 1, 2, 3]), sizes=np.array([2, 1, 2]))
    parts = partition(np.zeros(6, np.int64), 2, kind="file", seed=0, path=str(path))
    assert [part.tolist() for part in parts] == [[0, 4], [1]]


def refused(words, labels=None, n=4, **given):
    with pytest.raises(InputError) as caught:
        partition(labels_of(20) if labels is None else labels, n, **{"seed": 0, **given})
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"kind": "shard"}, ["unknown partition 'shard'", "did you mean 'shards'", "dirichlet"]),
        ({"kind": "dirichlet", "alhpa": 1}, ["partition 'dirichlet'", "'alhpa'", "did you mean 'alpha'"]),
        ({"kind": "iid", "alpha": 1.0}, ["partition 'iid'", "'alpha'"]),
        ({"kind": "dirichlet", "alpha": 0}, ["alpha = 0.0", "above 0"]),
        ({"kind": "lda", "alpha": "x"}, ["'alpha' of partition 'lda' is 'x'", "a number"]),
        ({"kind": "lda", "alpha": float("inf")}, ["'alpha' of partition 'lda' is inf"]),
        ({"kind": "shards", "shards_per_device": 0}, ["shards_per_device = 0"]),
        ({"kind": "shards", "shards_per_device": 1.5}, ["is 1.5", "a whole number"]),
        ({"kind": "dirichlet", "min_partition_size": -1}, ["min_partition_size = -1", "at least 0"]),
        ({"kind": "dirichlet"}, ["20 examples", "4 devices", "at least 8", "32", "at most 2 devices"]),
        ({"kind": "iid", "n": 21}, ["20 examples", "21 devices", "at least 1"]),
        ({"kind": "lda", "n": 21}, ["20 examples", "21 devices", "at least 1"]),
        ({"kind": "shards", "n": 11}, ["20 examples", "11 devices", "at least 2"]),
        ({"kind": "iid", "n": 0}, ["0 devices"]),
        ({"kind": "dirichlet", "alpha": 0.01, "min_partition_size": 5}, ["200 tries", "alpha = 0.01", "lda"]),
        ({"kind": "natural"}, ["names no clients", "client_train"]),
        ({"kind": "natural", "clients": np.arange(20) % 3}, ["3 clients", "4 devices"]),
        ({"kind": "natural", "clients": np.arange(3)}, ["(3,)", "(20,)"]),
        ({"kind": "file"}, ["option 'path' of partition 'file' is missing"]),
        ({"kind": "iid", "labels": np.zeros((4, 4), np.int64)}, ["(4, 4)"]),
        ({"kind": "iid", "labels": np.zeros(9)}, ["float64"]),
    ],
)
def test_what_cannot_be_divided_is_refused_with_its_reason(given, words):
    refused(words, **given)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[0], [1]]", ["2 index lists", "3 devices"]),
        ("[[0], [1], [0]]", ["list 2", "repeats"]),
        ("[[0], [1, 1], [2]]", ["list 1", "repeats"]),
        ("[[0], [], [2]]", ["list 1", "at least one"]),
        ("[[0], [20], [2]]", ["list 1", "20", "0 to 19"]),
        ("[[0], [-1], [2]]", ["list 1", "-1"]),
        ("[[0], [1.5], [2]]", ["list 1", "float64"]),
        ("[[0], [[1], [2, 3]], [2]]", ["cannot be read"]),
        ("[[0", ["cannot be read"]),
        ("7", ["cannot be read"]),
    ],
)
def test_a_broken_file_of_lists_is_refused_with_the_place(tmp_path, text, words):
    path = tmp_path / "lists.json"
    path.write_text(text)
    refused([str(path), *words], n=3, kind="file", path=str(path))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"index": np.arange(3)}, ["holds index", "indices and sizes"]),
        ({"indices": np.arange(3), "sizes": np.array([1, 1])}, ["sum"]),
        ({"indices": np.arange(3), "sizes": np.array([4, -1])}, ["from 0"]),
    ],
)
def test_a_broken_npz_of_lists_is_refused_with_the_reason(tmp_path, arrays, words):
    np.savez(tmp_path / "lists.npz", **arrays)
    refused(words, n=2, kind="file", path=tmp_path / "lists.npz")


def test_a_file_that_is_not_there_is_named(tmp_path):
    refused([str(tmp_path / "no.json")], kind="file", path=str(tmp_path / "no.json"))


@pytest.mark.parametrize("kind", sorted(PARTITIONS.keys() - {"file"}))
def test_ten_thousand_partitions_take_under_five_seconds(kind):
    labels = labels_of(60_000)
    start = time.perf_counter()
    parts = partition(labels, 10_000, kind=kind, seed=0, clients=np.arange(60_000) % 10_000, **NO_MINIMUM.get(kind, {}))
    assert time.perf_counter() - start < 5
    assert len(parts) == 10_000


def test_a_partition_does_not_depend_on_pythons_hash_seed():
    code = (
        "import numpy as np; from fedsim.learn.partition import partition;"
        "print([p.tolist() for k in ('iid', 'dirichlet', 'lda', 'shards') for p in"
        " partition(np.arange(200) % 7, 5, kind=k, seed=3)])"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("0", "1")
    ]
    assert runs[0] == runs[1]
    assert runs[0].count(b"[") == 21


@pytest.mark.filterwarnings("ignore")  # those of datasets and pyarrow, and flwr-datasets' own on a new try
@pytest.mark.parametrize("seed", [0, 1, 5])
@pytest.mark.parametrize("kind", ["iid", "dirichlet", "shards", "natural"])
def test_partitions_are_those_of_flwr_datasets(kind, seed):
    datasets = pytest.importorskip("datasets")
    flwr = pytest.importorskip("flwr_datasets.partitioner")
    labels, clients = labels_of(600), np.random.default_rng(3).permutation(600) % 10
    table = datasets.Dataset.from_dict({"label": labels, "client": clients, "index": np.arange(600)})
    theirs = {
        "iid": lambda: flwr.IidPartitioner(10),
        "dirichlet": lambda: flwr.DirichletPartitioner(10, "label", 0.5, min_partition_size=25, seed=seed),
        "shards": lambda: flwr.ShardPartitioner(10, "label", num_shards_per_partition=3, seed=seed),
        "natural": lambda: flwr.NaturalIdPartitioner("client"),
    }[kind]()
    theirs.dataset = table.shuffle(seed=seed) if kind == "iid" else table
    options = {"dirichlet": {"min_partition_size": 25}, "shards": {"shards_per_device": 3}}.get(kind, {})
    ours = partition(labels, 10, kind=kind, seed=seed, clients=clients, **options)
    assert [part.tolist() for part in ours] == [sorted(theirs.load_partition(i)["index"]) for i in range(10)]
