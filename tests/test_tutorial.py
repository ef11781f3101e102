"""The tutorial works as it is written: its files are taken from the page and run."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import fedsim
from fedsim.learn.values import Model, model_size
from fedsim.methods import METHODS
from tests.command import fedsim as command

PAGE = (Path(__file__).parents[1] / "docs" / "tutorials" / "own-method.md").read_text(encoding="utf-8")


def files() -> dict[str, str]:
    """Return what the page puts into each file, piece by piece."""
    found: dict[str, str] = {}
    for name, text in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL):
        found[name] = f"{found[name]}\n\n{text}" if name in found else text
    world = found["digits.toml"].partition("[[method]]")[0]
    return {**found, "attack.toml": world + found["attack.toml"]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Return a folder with the files of the page, from which Python imports."""
    path = tmp_path_factory.mktemp("own")
    for name, text in files().items():
        (path / name).write_text(text, encoding="utf-8")
    before = dict(METHODS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [str(path), *sys.path])
        yield path
    METHODS.clear()
    METHODS.update(before)
    for name in ("trimmed_mean", "liars"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def trimmed_mean(folder):
    """Return the job of the page."""
    import trimmed_mean

    return trimmed_mean.trimmed_mean


def accuracies(results):
    return results.metrics.groupby("method").accuracy.last()


def models(rows):
    return tuple(Model((), {"w": row, "n": torch.tensor(7)}) for row in rows)


def by_hand(rows, cut):
    """Take the *cut* smallest and largest away one after another, (models, N) to (N,)."""
    columns = [sorted(column) for column in rows.T.tolist()]
    return torch.tensor([sum(column[cut : len(column) - cut]) / (len(column) - 2 * cut) for column in columns])


def printed(folder, name):
    """Return what a script of the page prints, run with a cache of its own."""
    env = {**os.environ, "FEDSIM_CACHE": str(folder / f"cache of {name}")}
    return subprocess.run(
        [sys.executable, name], cwd=folder, env=env, capture_output=True, text=True, check=True
    ).stdout


def test_the_method_is_shorter_than_40_lines():
    text = files()["trimmed_mean.py"]
    first = next(node for node in ast.parse(text).body if isinstance(node, ast.FunctionDef))
    lines = text.splitlines()[min(d.lineno for d in first.decorator_list) - 1 :]
    count = sum(1 for line in lines if line.strip())
    assert count < 40
    assert f"{count} lines from `@job` on" in PAGE


@given(st.integers(1, 9), st.sampled_from([0.0, 0.1, 0.2, 0.34, 0.49]), st.integers(0, 99))
def test_the_mean_is_the_one_made_by_hand(trimmed_mean, count, trim, seed):
    rows = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    found = trimmed_mean.value(models(rows), trim=trim).state
    assert torch.allclose(found["w"], by_hand(rows, int(trim * count)), atol=1e-6)
    assert found["n"] == 7


def test_the_declared_size_and_load_are_the_models(trimmed_mean):
    spec = ("mlp", 10, (1, 8, 8), (("hidden", (4,)),))
    size = model_size(spec)
    assert trimmed_mean.size((size, size), trim=0.2) == size
    assert trimmed_mean.load((size,) * 4, trim=0.2).flops == 2 * trimmed_mean.load((size,) * 2, trim=0.2).flops > 0


def test_the_page_runs_from_the_command_line(folder):
    kept = ["--out", folder / "out", "--cache", folder / "cache", "--quiet", "--set", "schedule.rounds=2"]
    ran = command("run", folder / "digits.toml", "--plugin", folder / "trimmed_mean.py", *kept)
    assert (ran.code, ran.err) == (0, "")
    assert "trimmed-mean" in ran.out


def test_a_liar_ruins_the_mean_and_not_the_trimmed_one(folder):
    import liars  # noqa: F401 - which adds a method

    found = accuracies(fedsim.run(folder / "attack.toml", out=folder / "out", cache=folder / "cache"))
    assert found["mean"] < found["trimmed"] - 0.1
    assert abs(found["trimmed"] - found["honest"]) < 0.03


@pytest.mark.slow
def test_the_scripts_run_and_the_pool_finds_the_jobs(folder):
    pool = files()["compare.py"].replace('("digits.toml")', '("digits.toml", executor="pool", workers=2)')
    (folder / "pool.py").write_text(pool, encoding="utf-8")
    told = [printed(folder, name) for name in ("try_it.py", "compare.py", "pool.py")]
    assert told[0] == "tensor([3.])\n"
    assert told[1] == told[2]
    assert "trimmed-mean" in told[1]


@pytest.mark.parametrize("name", ["none.py", "digits.toml", "torch.py"])
def test_a_plugin_that_is_none_is_refused(folder, name, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "torch.py").write_text("")
    path = folder / name if (folder / name).exists() else tmp_path / name
    ran = command("methods", "--plugin", path)
    assert (ran.code, "--plugin" in ran.err) == (2, True)


def test_an_unknown_method_is_told_of_plugins(folder, monkeypatch):
    monkeypatch.delitem(METHODS, "trimmed-mean", raising=False)
    ran = command("check", folder / "digits.toml")
    assert (ran.code, "for one of your own give --plugin FILE.py" in ran.err) == (2, True)
