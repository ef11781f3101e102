"""Which shard goes to which device: a permutation that sorts by what it is told to, and nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.learn.assign import RANKINGS, Assignment
from fedsim.learn.problem import Wanted, make_problem

N = 12
SIZES = np.arange(N) * 1.0  # as scores: the last device comes last


def digits(**partition):
    return Wanted("digits", partition or {"kind": "dirichlet", "alpha": 0.5}, None, 64, Path(), None)


def made(assign=None, seed=0, **partition):
    return make_problem(digits(**partition), devices=N, seed=seed, assign=assign)


def keys(problem):
    return [problem.shard(number, (0, number)).key for number in range(N)]


shards = st.lists(st.lists(st.integers(0, 9), max_size=6), min_size=2, max_size=20)


@given(drawn=shards, by=st.sampled_from(sorted(RANKINGS)), seed=st.integers(0, 2**31), data=st.data())
def test_every_shard_goes_to_one_device(drawn, by, seed, data):
    labels = np.array([label for shard in drawn for label in shard], dtype=np.int64)
    ends = np.cumsum([len(shard) for shard in drawn])[:-1]
    parts = np.split(np.arange(len(labels)), ends)
    scores = np.array(data.draw(st.lists(st.floats(-9, 9), min_size=len(parts), max_size=len(parts))))
    found = RANKINGS[by](parts, labels)
    if found.min() == found.max():
        with pytest.raises(InputError, match="have the same"):
            Assignment(by, scores, seed).order(parts, labels)
    else:
        order = Assignment(by, scores, seed).order(parts, labels)
        assert sorted(order.tolist()) == list(range(len(parts)))
        assert (np.diff(found[order][np.argsort(scores, kind="stable")]) >= 0).all()


def test_by_samples_the_device_with_the_highest_score_has_most():
    problem = made(Assignment("samples", SIZES, 0))
    assert problem.samples == sorted(made().samples)
    assert made(Assignment("samples", -SIZES, 0)).samples == sorted(made().samples, reverse=True)


def test_by_label_devices_are_in_the_order_of_the_label_they_have_most_of():
    problem = made(Assignment("label", SIZES, 0), kind="shards", shards_per_device=1)
    dominant = [int(np.argmax(problem.label_counts(number, (0, number)))) for number in range(N)]
    assert dominant == sorted(dominant)
    assert len(set(dominant)) > 5


def test_shards_of_one_rank_change_places_with_the_seed():
    first, second = (
        keys(made(Assignment("label", SIZES, seed), kind="shards", shards_per_device=1)) for seed in (0, 1)
    )
    assert first != second
    assert sorted(first) == sorted(second)


def test_a_shard_keeps_its_key_whoever_has_it():
    plain, problem = made(), made(Assignment("samples", SIZES, 0))
    assert sorted(keys(problem)) == sorted(keys(plain))
    assert keys(problem) != keys(plain)


def test_samples_label_counts_sizes_and_examples_are_those_of_the_shard_that_a_device_has():
    problem = made(Assignment("samples", SIZES, 0))
    for number in range(N):
        ref = problem.shard(number, (0, number))
        counts = problem.label_counts(number, (0, number))
        examples = problem.value(ref)
        assert problem.samples[number] == sum(counts) == problem.size(ref).n == examples.n
        assert np.bincount(examples.y.numpy(), minlength=10).tolist() == counts


def test_a_problem_digests_who_has_what():
    orders = [None, Assignment("samples", SIZES, 0), Assignment("samples", -SIZES, 0)]
    assert len({made(order).digest for order in orders}) == 3


def test_shards_that_are_all_alike_are_refused():
    assign = Assignment("samples", SIZES, 0)
    with pytest.raises(InputError, match=r"by = 'samples': all 12 shards have the same, 119; take a partition of un"):
        made(assign, kind="lda", alpha=0.5)


def test_natural_clients_can_be_assigned(tmp_path):
    rng = np.random.default_rng(0)
    clients = np.repeat(np.arange(N), np.arange(1, N + 1))
    x, y = rng.integers(0, 255, (len(clients), 4, 4), dtype=np.uint8), rng.integers(0, 3, len(clients))
    np.savez(tmp_path / "some.npz", x_train=x, y_train=y, x_test=x[:0], y_test=y[:0], client_train=clients)
    wanted = Wanted(f"npz:{tmp_path / 'some.npz'}", {"kind": "natural"}, None, 64, Path(), None)
    problem = make_problem(wanted, devices=N, seed=0, assign=Assignment("samples", -SIZES, 0))
    assert problem.samples == list(range(N, 0, -1))
