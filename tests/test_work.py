"""Recipes: what a key says, what a parameter may be, and what a place must compute."""

from __future__ import annotations

import pickle
import re
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim import work
from fedsim.errors import LocalityError
from fedsim.work import (
    Load,
    Local,
    Op,
    OpClass,
    Ref,
    map_refs,
    missing_at,
    passes_of,
    refs_in,
    shortened,
    source,
    substituted,
)
from tests.sim.toys import combine, learn, make, train

A, B = source("a", nbytes=1), source("b", nbytes=1)
plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


# --- Keys ------------------------------------------------------------------------------------------------
def test_calling_a_job_runs_nothing():
    assert type(train(A, B)) is Ref


def test_equal_recipes_have_equal_keys():
    assert train(A, B, tag=(1, 2)) == train(A, B, tag=(1, 2))


@pytest.mark.parametrize(
    "other", [train(B, A), train(A), train(A, B, seconds=4.0), train(A, B, tag=1), make(A, B, nbytes=10, seconds=3.0)]
)
def test_other_recipes_have_other_keys(other):
    assert other != train(A, B)


def test_defaults_are_bound_into_the_key():
    assert train(A, B, seconds=3.0, nbytes=10) == train(A, B)
    assert dict(train(A).params)["seconds"] == 3.0


def test_the_order_of_keywords_does_not_matter():
    assert train(A, seconds=1.0, nbytes=2) == train(A, nbytes=2, seconds=1.0)


@given(plain, plain)
def test_keys_tell_parameters_apart_just_as_their_spelling_does(one, other):
    assert (train(A, tag=one) == train(A, tag=other)) == (repr(one) == repr(other))


def test_a_whole_number_and_its_float_and_its_truth_are_three_values():
    assert len({train(A, tag=tag).key for tag in (1, 1.0, True)}) == 3


def test_text_cannot_pass_for_a_structure():
    tags = ["('a','b')", ("a", "b"), ("a','b",), (("a",), "b"), "a", ("a",)]
    assert len({train(A, tag=tag).key for tag in tags}) == len(tags)


def test_a_ref_in_a_parameter_is_a_parent():
    assert list(train(A, tag=(1, (B,))).parents()) == [A, B]


@pytest.mark.parametrize(
    "param", [np.float64(1.0), np.int64(1), {1, 2}, [1, 2], {"a": 1}, print, object(), b"bytes", (1, np.float32(1))]
)
def test_what_has_no_fixed_spelling_is_no_parameter(param):
    with pytest.raises(TypeError, match="a job's parameter is"):
        train(A, tag=param)


def test_an_unknown_parameter_is_refused_with_its_name():
    with pytest.raises(TypeError, match="epochz"):
        combine((A,), epochz=3)


def test_other_code_is_another_key(monkeypatch):
    before = train(A)
    monkeypatch.setattr(work, "code_digest", lambda module: "other code")
    monkeypatch.delitem(train.__dict__, "identity")
    after = train(A)
    monkeypatch.delitem(train.__dict__, "identity")
    assert before != after


def test_a_job_travels_by_name():
    assert pickle.loads(pickle.dumps(train)) is train


def test_a_ref_travels_with_its_key():
    ref = train(A, B)
    back = pickle.loads(pickle.dumps(ref))
    assert (back, back.kind, back.inputs, back.params) == (ref, ref.kind, ref.inputs, ref.params)


def test_a_ref_shows_its_job_and_the_start_of_its_key():
    assert re.fullmatch(r"<train [0-9a-f]{8}>", repr(train(A)))


# --- Trees of Refs -----------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Tree:
    one: Ref
    many: tuple[Ref, ...]
    named: dict[str, Ref]
    local: Local
    number: int = 3


TREE = Tree(A, (B, train(A)), {"x": train(B)}, Local({0: make(A, nbytes=1, seconds=1.0)}))


def test_refs_are_found_in_dataclasses_tuples_and_mappings_but_not_in_local():
    assert list(refs_in(TREE)) == [A, B, train(A), train(B)]


def test_mapping_refs_keeps_the_shape_and_reaches_local_too():
    mapped = map_refs(TREE, lambda ref: Ref(ref.key))
    assert mapped == TREE
    assert (mapped.many[1].kind, mapped.local[0].kind, type(mapped.local)) == (None, None, Local)


def test_replacing_in_local_leaves_the_others():
    assert Local({0: A, 1: A}).replace({1: B}) == {0: A, 1: B}


# --- What is missing ------------------------------------------------------------------------------------------
def test_what_is_missing_comes_inputs_first_and_once():
    first, second = train(A), train(B)
    both = combine((first, second, first))
    assert missing_at("here", {A.key, B.key}, (both, second)) == [first, second, both]


def test_what_is_held_is_not_missing_nor_what_lies_behind_it():
    first = train(A)
    assert missing_at("here", {first.key}, (train(first),)) == [train(first)]


def test_a_source_that_is_not_held_is_a_locality_error_that_names_both():
    with pytest.raises(LocalityError, match=r"here needs <source \w+> to compute <train \w+>"):
        missing_at("here", set(), (train(A),))


def test_a_recipe_of_ten_thousand_steps_is_no_problem():
    ref = A
    for step in range(10_000):
        ref = train(ref, tag=step)
    assert len(missing_at("here", {A.key}, (ref,))) == 10_000


@given(st.lists(st.lists(st.integers(0, 30), max_size=3), min_size=1, max_size=12), st.data())
def test_every_job_comes_after_its_inputs(graph, data):
    refs = [A]
    for at, inputs in enumerate(graph):
        refs.append(make(*(refs[i % len(refs)] for i in inputs), nbytes=1, seconds=1.0, tag=at))
    held = {A.key} | {ref.key for ref in data.draw(st.lists(st.sampled_from(refs), max_size=3))}
    known = set(held)
    for ref in missing_at("here", held, (refs[-1], refs[len(refs) // 2])):
        assert ref.key not in known
        assert all(parent.key in known for parent in ref.parents())
        known.add(ref.key)
    assert refs[-1].key in known


# --- Partial work -------------------------------------------------------------------------------------------
def test_a_job_says_how_many_passes_it_makes():
    assert (passes_of(learn(A, epochs=4)), passes_of(learn(A)), passes_of(train(A)), passes_of(A)) == (4, 3, None, None)


@pytest.mark.parametrize(
    ("share", "passes"), [(0.25, 1), (0.49, 1), (0.5, 2), (0.75 - 1e-12, 3), (0.99, 3), (1.0, 4), (1.0 - 1e-12, 4)]
)
def test_what_is_made_of_a_share_is_its_whole_passes(share, passes):
    assert shortened(learn(A, B, epochs=4, tag=1), share) == learn(A, B, epochs=passes, tag=1)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.2499])
def test_less_than_a_pass_makes_nothing(share):
    assert shortened(learn(A, epochs=4), share) is None


@pytest.mark.parametrize("ref", [train(A), A])
def test_what_makes_no_passes_cannot_be_shortened(ref):
    assert shortened(ref, 1.0) is None


@given(st.integers(1, 50), st.data())
def test_so_many_passes_of_so_many_are_found_in_their_quotient(passes, data):
    done = data.draw(st.integers(1, passes))
    assert passes_of(shortened(learn(A, epochs=passes), done / passes)) == done


OLD, NEW = learn(A, epochs=4), learn(A, epochs=1)


@pytest.mark.parametrize(
    "made",
    [
        lambda ref: ref,
        train,
        lambda ref: train(B, train(ref, tag=2)),
        lambda ref: train(B, tag=(1, (ref, "x"))),
        lambda ref: combine((B, ref, train(ref))),
        lambda ref: learn(ref, ref, epochs=4),
    ],
    ids=["itself", "input", "deep", "parameter", "tuple", "twice"],
)
def test_what_is_substituted_is_what_would_have_been_made_of_the_new(made):
    assert substituted(made(OLD), OLD, NEW) == made(NEW)


@pytest.mark.parametrize("ref", [A, train(A), train(B, tag=(1, A)), learn(A, epochs=3)])
def test_what_does_not_take_the_old_stays_the_very_same(ref):
    assert substituted(ref, OLD, NEW) is ref


# --- Loads ------------------------------------------------------------------------------------------------------
ops = st.builds(Op, st.integers(0, 99), st.integers(0, 99), st.integers(0, 99))
loads = st.builds(Load, st.dictionaries(st.sampled_from(list(OpClass)), ops), st.integers(0, 99))


@given(loads, loads)
def test_loads_add_up_by_class_and_memory_is_the_peak(one, other):
    both = one + other
    assert both.flops == one.flops + other.flops
    assert both.memory_bytes == max(one.memory_bytes, other.memory_bytes)
    assert both.ops.keys() == one.ops.keys() | other.ops.keys()


@given(loads, st.integers(0, 5))
def test_a_load_many_times_is_that_much_work_in_the_same_memory(load, times):
    assert ((load * times).flops, (load * times).memory_bytes) == (load.flops * times, load.memory_bytes)


def test_a_recipe_of_many_diamonds_is_gone_through_once():
    ref = OLD
    for tag in range(60):
        ref = train(ref, ref, tag=tag)
    assert substituted(ref, OLD, NEW) != ref
