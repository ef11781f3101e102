"""Lazy computes what is looked at, once; eager at once; the crew does not show."""

from __future__ import annotations

import pytest
import torch

from fedsim.errors import NeedsValues, WorkerDied
from fedsim.execute.build import Choice
from fedsim.execute.cost_only import CostOnly
from fedsim.work import Ref
from tests.execute.jobs import (
    Entries,
    Full,
    add,
    compress,
    die,
    eager,
    fail,
    foreign,
    lazy,
    noise,
    tensor,
    threads,
)

ONE, TWO = tensor(1.0), tensor(2.0)
THREE = add(ONE, TWO)


@pytest.fixture(params=[0, 1, 2], ids=["alone", "one worker", "two workers"])
def executor(request, tmp_path):
    made = lazy(tmp_path, workers=request.param)
    yield made
    made.close()


def test_a_value_is_computed_from_its_recipe(executor):
    assert torch.equal(executor.get(add(THREE, THREE)), torch.full((4,), 6.0))


def test_a_hint_computes_nothing(executor):
    executor.hint(THREE)
    assert executor.jobs_run == 0


def test_nothing_is_computed_twice(executor):
    executor.get_all([add(THREE, THREE), add(THREE, ONE), add(THREE, THREE)])
    executor.get(add(THREE, THREE))
    assert (executor.jobs_run, executor.jobs_cached) == (3, 0)


def test_what_another_process_left_is_found(executor, tmp_path):
    lazy(tmp_path).get(THREE)
    executor.get(add(THREE, ONE))
    assert (executor.jobs_run, executor.jobs_cached) == (1, 1)


def test_what_lies_behind_a_found_value_is_not_looked_for(executor, tmp_path):
    last = add(add(THREE, THREE), ONE)
    lazy(tmp_path).get(last)
    executor.get(last)
    assert (executor.jobs_run, executor.jobs_cached) == (0, 1)


def test_a_declared_size_takes_no_job(executor):
    assert (executor.size(add(THREE, THREE)), executor.jobs_run) == (Entries(16), 0)


def test_a_size_that_is_not_declared_takes_the_value_once(executor, tmp_path):
    assert (executor.size(compress(THREE)), executor.jobs_run) == (Entries(16), 2)
    again = lazy(tmp_path)
    assert (again.size(compress(THREE)), again.jobs_run, again.jobs_cached) == (Entries(16), 0, 1)


def test_randomness_is_the_jobs_own(executor, tmp_path):
    torch.manual_seed(99)
    before = torch.get_rng_state()
    drawn = executor.get(noise(ONE, seed=7))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(1)
    assert torch.equal(lazy(tmp_path / "elsewhere").get(noise(ONE, seed=7)), drawn)
    assert not torch.equal(executor.get(noise(ONE, seed=8)), drawn)


def test_a_job_computes_in_one_thread(executor):
    assert executor.get(threads(ONE)).tolist() == [1.0] * 4


def test_a_failure_names_the_job_and_its_parameters(executor):
    with pytest.raises(ValueError, match="out of ideas") as caught:
        executor.get(fail(THREE, why="out of ideas"))
    note = "".join(getattr(caught.value, "__notes__", [])) + str(caught.value.__cause__ or "")
    assert "while computing <fail" in note
    assert "out of ideas" in note


def test_after_a_failure_the_rest_still_works(executor):
    with pytest.raises(ValueError, match="no"):
        executor.get(fail(THREE, why="no"))
    assert torch.equal(executor.get(THREE), torch.full((4,), 3.0))


def test_a_value_that_cannot_be_kept_is_refused(executor):
    with pytest.raises(TypeError, match="a job returned set"):
        executor.get(foreign(ONE))


def test_fresh_reads_nothing_that_was_there_and_writes(tmp_path):
    lazy(tmp_path).get(THREE)
    fresh = lazy(tmp_path, fresh=True)
    fresh.get(add(THREE, ONE))
    assert (fresh.jobs_run, fresh.jobs_cached) == (2, 0)


def test_eager_computes_when_the_work_was_done(tmp_path):
    executor = eager(tmp_path)
    executor.hint(THREE)
    assert executor.jobs_run == 1


# --- The end of history ---------------------------------------------------------------------------------------
def test_sealing_what_is_stored_leaves_a_source_of_the_same_key_and_size(executor):
    executor.get(THREE)
    sealed = executor.seal((THREE,))[0]
    assert (sealed.key, sealed.kind, sealed.inputs) == (THREE.key, None, ())
    assert executor.size(sealed) == Entries(16)
    assert torch.equal(executor.get(add(sealed, ONE)), torch.full((4,), 4.0))


def test_sealing_what_is_not_yet_computed_still_lets_it_be(executor):
    sealed = executor.seal((THREE,))[0]
    assert executor.jobs_run == 0
    assert torch.equal(executor.get(add(sealed, ONE)), torch.full((4,), 4.0))


def test_a_chain_of_sealed_versions_can_be_computed_at_the_end(executor):
    version = THREE
    for _ in range(50):
        version = add(executor.seal((version,))[0], ONE)
    assert torch.equal(executor.get(version), torch.full((4,), 53.0))


def test_what_is_published_is_not_evicted(tmp_path):
    executor = lazy(tmp_path, budget=64)
    first = noise(tensor(0.0, 8), seed=0)
    executor.get(first)
    executor.seal((first,))
    for seed in range(1, 9):
        executor.get(noise(tensor(0.0, 8), seed=seed))
    again = lazy(tmp_path)
    again.get(first)
    assert again.jobs_run == 0


# --- Workers that die ------------------------------------------------------------------------------------------
@pytest.fixture
def marks(tmp_path):
    folder = tmp_path / "marks"
    folder.mkdir()
    return str(folder)


def test_a_job_whose_worker_died_is_tried_again(tmp_path, marks):
    executor = lazy(tmp_path, workers=1)
    assert torch.equal(executor.get(die(THREE, times=2, marks=marks)), torch.full((4,), 6.0))
    executor.close()


def test_a_job_that_kills_every_worker_is_given_up_and_what_was_computed_stays(tmp_path, marks):
    executor = lazy(tmp_path, workers=1)
    with pytest.raises(WorkerDied, match=r"died 3 times while <die \w+> was being computed"):
        executor.get(die(THREE, times=99, marks=marks))
    executor.close()
    again = lazy(tmp_path)
    again.get(THREE)
    assert (again.jobs_run, again.jobs_cached) == (0, 1)


def test_beside_a_job_that_kills_a_worker_once_the_others_are_done(tmp_path, marks):
    executor = lazy(tmp_path, workers=2)
    others = [noise(ONE, seed=seed) for seed in range(20)]
    executor.get_all([*others, die(THREE, times=1, marks=marks)])
    executor.close()
    assert executor.jobs_run == 22


# --- Cost only ---------------------------------------------------------------------------------------------------
def test_cost_only_knows_declared_sizes():
    assert CostOnly(Full()).size(add(THREE, ONE)) == Entries(16)


@pytest.mark.parametrize("ask", [lambda e: e.get(ONE), lambda e: e.size(compress(ONE)), lambda e: e.get_all([THREE])])
def test_cost_only_refuses_what_needs_values(ask):
    with pytest.raises(NeedsValues, match="--executor lazy"):
        ask(CostOnly(Full()))


def test_cost_only_forgets_recipes_and_keeps_sizes():
    executor = CostOnly(Full())
    version = THREE
    for _ in range(5):
        version = add(executor.seal((version,))[0], ONE)
    assert (executor.size(version), version.inputs[0]) == (Entries(16), Ref(version.inputs[0].key))


def test_a_pool_evaluates_a_window_of_versions():
    assert (Choice("pool", 3).window, Choice("lazy").window) == (12, 1)
