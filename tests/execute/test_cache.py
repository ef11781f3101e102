"""The value cache: whole values or none, least recently used out first, and no trust in files."""

from __future__ import annotations

import pytest
import torch

from fedsim.errors import InputError, RunError
from fedsim.execute import cache as cache_module
from fedsim.execute.cache import MISSING, Cache, environment
from fedsim.work import Ref
from tests.execute.jobs import ENV, Entries, add, lazy, noise, tensor

KIB = torch.zeros(256)


def cache_in(root, budget=1 << 30):
    return Cache(root, env=ENV, budget_bytes=budget)


def files(root):
    return sorted(file.name for file in root.rglob("values/*/*"))


def refs(n):
    return [noise(tensor(0.0), seed=seed) for seed in range(n)]


def test_a_value_comes_back_as_it_was(tmp_path):
    value = {"w": torch.randn(3, 2), "n": torch.tensor([1, 2]), "name": "x", "rest": (1, 2.5, None, [True])}
    (ref,) = refs(1)
    cache_in(tmp_path).put(ref, value)
    back = cache_in(tmp_path).get(ref.key)
    assert torch.equal(back["w"], value["w"])
    assert back["n"].dtype == torch.int64
    assert (back["name"], back["rest"]) == ("x", (1, 2.5, None, [True]))


def test_what_is_not_there_is_missing(tmp_path):
    cache = cache_in(tmp_path)
    assert (cache.get("0"), cache.size("0"), "0" in cache) == (MISSING, MISSING, False)


def test_a_value_comes_in_memory_of_its_own(tmp_path):
    cache, (ref,) = cache_in(tmp_path), refs(1)
    given = torch.ones(4)
    returned = cache.put(ref, given)
    given.zero_()
    returned.mul_(2.0)
    cache.get(ref.key).mul_(3.0)
    assert torch.equal(cache.get(ref.key), torch.ones(4))


def test_numbers_need_no_file(tmp_path):
    cache, (ref,) = cache_in(tmp_path), refs(1)
    cache.put(ref, {"accuracy": 0.5})
    assert (cache.get(ref.key), files(tmp_path)) == ({"accuracy": 0.5}, [])


def test_another_environment_sees_nothing(tmp_path):
    (ref,) = refs(1)
    cache_in(tmp_path).put(ref, KIB)
    assert ref.key not in Cache(tmp_path, env="elsewhere", budget_bytes=1 << 30)


def test_the_environment_names_the_kind_of_machine(monkeypatch):
    before = environment("cpu")
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "another one")
    assert environment("cpu") != before


# --- Eviction ------------------------------------------------------------------------------------------------
def test_the_least_recently_used_goes_first(tmp_path):
    cache, some = cache_in(tmp_path, budget=4 * 1024), refs(6)
    for ref in some[:4]:
        cache.put(ref, KIB)
    cache.get(some[0].key)
    for ref in some[4:]:
        cache.put(ref, KIB)
    cache.sweep()
    assert [ref.key in cache for ref in some] == [True, False, False, True, True, True]


def test_the_unpinned_stay_within_the_budget_on_disk(tmp_path):
    cache = cache_in(tmp_path, budget=4 * 1024)
    for ref in refs(20):
        cache.put(ref, KIB)
    cache.sweep()
    assert len(files(tmp_path)) == 4


def test_the_pinned_stay(tmp_path):
    cache, some = cache_in(tmp_path, budget=2 * 1024), refs(9)
    cache.put(some[0], KIB)
    cache.pin([some[0].key])
    for ref in some[1:]:
        cache.put(ref, KIB)
    cache.sweep()
    assert torch.equal(cache.get(some[0].key), KIB)


def test_a_pinned_value_that_is_put_again_stays_pinned(tmp_path):
    cache, some = cache_in(tmp_path, budget=2 * 1024), refs(9)
    cache.put(some[0], KIB)
    cache.pin([some[0].key])
    for ref in some:
        cache.put(ref, KIB)
    cache.sweep()
    assert some[0].key in cache


def test_numbers_and_sizes_are_never_evicted(tmp_path):
    cache, some = cache_in(tmp_path, budget=1024), refs(9)
    cache.put(some[0], {"loss": 1.0})
    cache.put_size(some[1].key, Entries(7))
    for ref in some[1:]:
        cache.put(ref, KIB)
    cache.sweep()
    assert (cache.get(some[0].key), cache.size(some[1].key)) == ({"loss": 1.0}, Entries(7))
    assert some[1].key not in cache


# --- Files that are not what they should be ----------------------------------------------------------------------
def spoilt(root, how):
    file = next(root.rglob("*.safetensors"))
    how(file)
    return file


DAMAGE = {
    "removed": lambda file: file.unlink(),
    "empty": lambda file: file.write_bytes(b""),
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "header only": lambda file: file.write_bytes(file.read_bytes()[:10]),
    "garbage": lambda file: file.write_bytes(b"\xff" * 300),
}
damages = pytest.mark.parametrize("how", DAMAGE.values(), ids=DAMAGE.keys())


@damages
def test_a_spoilt_file_is_as_good_as_none(tmp_path, how):
    cache, (ref,) = cache_in(tmp_path), refs(1)
    cache.put(ref, KIB)
    spoilt(tmp_path, how)
    assert cache.get(ref.key) is MISSING
    assert ref.key not in cache


@damages
@pytest.mark.parametrize("workers", [0, 1])
def test_a_spoilt_value_is_computed_again_when_it_is_needed(tmp_path, how, workers):
    first = add(tensor(1.0), tensor(2.0))
    lazy(tmp_path).get(first)
    spoilt(tmp_path, how)
    executor = lazy(tmp_path, workers=workers)
    assert torch.equal(executor.get(add(first, first)), torch.full((4,), 6.0))
    executor.close()


@pytest.mark.parametrize("how", [DAMAGE["removed"], DAMAGE["truncated"]], ids=["removed", "truncated"])
def test_a_published_value_whose_file_is_gone_is_computed_again(tmp_path, how):
    first = add(tensor(1.0), tensor(2.0))
    lazy(tmp_path).get(first)
    spoilt(tmp_path, how)
    executor = lazy(tmp_path)
    sealed = executor.seal((first,))[0]
    assert torch.equal(executor.get(add(sealed, sealed)), torch.full((4,), 6.0))


def test_a_published_value_whose_bits_rotted_says_to_run_again_and_then_works(tmp_path):
    first = add(tensor(1.0), tensor(2.0))
    lazy(tmp_path).get(first)
    spoilt(tmp_path, DAMAGE["garbage"])
    executor = lazy(tmp_path)
    with pytest.raises(RunError, match="run again"):
        executor.get(add(executor.seal((first,))[0], first))
    again = lazy(tmp_path)
    assert torch.equal(again.get(add(again.seal((first,))[0], first)), torch.full((4,), 6.0))


@damages
def test_a_spoilt_value_that_is_looked_at_is_computed_again(tmp_path, how):
    first = add(tensor(1.0), tensor(2.0))
    lazy(tmp_path).get(first)
    spoilt(tmp_path, how)
    assert torch.equal(lazy(tmp_path).get(first), torch.full((4,), 3.0))


def test_a_put_that_fails_leaves_nothing(tmp_path, monkeypatch):
    def half(tensors, path):
        path.write_bytes(b"half a file")
        raise OSError("disk full")

    cache, (ref,) = cache_in(tmp_path), refs(1)
    monkeypatch.setattr(cache_module, "save_file", half)
    with pytest.raises(RunError, match="cannot take a value: disk full"):
        cache.put(ref, KIB)
    assert (cache.get(ref.key), files(tmp_path)) == (MISSING, [])


def test_a_folder_that_cannot_be_made_is_an_input_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="choose another with --cache"):
        cache_in(tmp_path / "file")


def test_a_recipe_is_told_by_the_start_of_its_key(tmp_path):
    cache, ref = cache_in(tmp_path), noise(add(tensor(1.0), tensor(2.0)), seed=5)
    cache.put(ref, KIB)
    (found,) = cache.recipes(ref.key[:8])
    assert found == (ref.key, "tests.execute.jobs.noise", [ref.inputs[0].key], {"seed": "5"})


def test_a_source_has_a_recipe_too(tmp_path):
    cache = cache_in(tmp_path)
    cache.put(Ref("abc"), KIB)
    assert cache.recipes("ab")[0][1] == "source"


def test_a_value_of_empty_tensors_comes_back(tmp_path):
    cache, ref = cache_in(tmp_path), refs(1)[0]
    cache.put(ref, {"mask": torch.zeros(0, dtype=torch.bool)})
    assert (ref.key in cache, cache_in(tmp_path).get(ref.key)["mask"].shape) == (True, (0,))


def test_what_is_pinned_while_others_are_swept_stays(tmp_path):
    cache, ref = cache_in(tmp_path, budget=0), refs(1)[0]
    cache.put(ref, torch.zeros(10))
    cache.pin([ref.key])
    cache.sweep()
    assert ref.key in cache
