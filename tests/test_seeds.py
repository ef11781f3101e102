"""Draws by key: a number is a function of its labels, well spread, and never of earlier draws."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.seeds import integers, seed_of, uniforms

roots = st.integers(0, 2**62)
labels = st.lists(st.integers(-(2**40), 2**40), max_size=4)


@given(roots, st.lists(st.integers() | st.text(max_size=5) | st.tuples(st.integers()), max_size=4))
def test_a_seed_is_a_63_bit_number_and_the_same_each_time(root, given_labels):
    assert 0 <= seed_of(root, *given_labels) < 2**63
    assert seed_of(root, *given_labels) == seed_of(root, *given_labels)


def test_labels_are_told_apart():
    seeds = {seed_of(0, *some) for some in [(), (1,), ("1",), (1, 2), ((1, 2),), (12,), ("train", 3), ("train3",)]}
    assert len(seeds) == 8


@given(roots, labels)
def test_uniforms_are_eight_numbers_below_one_and_the_same_each_time(root, some):
    drawn = uniforms(root, *some)
    assert (len(drawn), drawn) == (8, uniforms(root, *some))
    assert all(0.0 <= u < 1.0 for u in drawn)


def test_uniforms_are_uniform():
    drawn = np.array([uniforms(1, n) for n in range(2500)]).ravel()
    assert np.histogram(drawn, bins=10, range=(0, 1))[0] / len(drawn) == pytest.approx([0.1] * 10, abs=0.01)


@given(st.integers(0, 2**63 - 1), st.integers(0, 10**6), st.integers(1, 50), st.integers(1, 50))
def test_integers_are_one_sequence_wherever_it_is_entered(seed, start, first, second):
    whole = integers(seed, start, first + second)
    assert (whole == np.concatenate([integers(seed, start, first), integers(seed, start + first, second)])).all()


def test_every_bit_of_integers_is_even():
    drawn = integers(7, 0, 20_000)
    ones = [float(((drawn >> np.uint64(bit)) & np.uint64(1)).mean()) for bit in range(64)]
    assert ones == pytest.approx([0.5] * 64, abs=0.02)


def test_seeds_do_not_depend_on_the_hash_seed():
    code = "from fedsim.seeds import seed_of; print(seed_of(3, 'train', (0, 1), 5))"
    told = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(told) == 1
