"""A digest of code changes with whatever the code's values could depend on."""

from __future__ import annotations

import subprocess
import sys

import pytest

from fedsim.errors import InputError
from fedsim.provenance import code_digest

ASK = "from fedsim.provenance import code_digest; print(code_digest({!r}))"


def digest(folder, module):
    """Return the digest as a process of its own finds it, with *folder* to import from."""
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(module)], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize("import_", ["from consts import FACTOR", "import consts"])
def test_a_sibling_that_is_imported_counts(tmp_path, import_):
    (tmp_path / "trim.py").write_text(import_)
    (tmp_path / "consts.py").write_text("FACTOR = 1")
    before = digest(tmp_path, "trim")
    (tmp_path / "consts.py").write_text("FACTOR = 2")
    assert digest(tmp_path, "trim") != before


@pytest.mark.parametrize("import_", ["from . import consts", "from .consts import FACTOR", "import mine.consts"])
def test_a_relative_import_counts(tmp_path, import_):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "trim.py").write_text(import_)
    (package / "consts.py").write_text("FACTOR = 1")
    before = digest(tmp_path, "mine.trim")
    (package / "consts.py").write_text("FACTOR = 2")
    assert digest(tmp_path, "mine.trim") != before


def test_what_is_not_imported_does_not_count(tmp_path):
    (tmp_path / "trim.py").write_text("import json, numpy")
    (tmp_path / "other.py").write_text("A = 1")
    before = digest(tmp_path, "trim")
    (tmp_path / "other.py").write_text("A = 2")
    assert digest(tmp_path, "trim") == before


def test_a_library_of_another_environment_does_not_count(tmp_path, monkeypatch):
    elsewhere = tmp_path / "other" / "site-packages"
    elsewhere.mkdir(parents=True)
    monkeypatch.setenv("PYTHONPATH", str(elsewhere))
    (tmp_path / "trim.py").write_text("import borrowed")
    (elsewhere / "borrowed.py").write_text("A = 1")
    before = digest(tmp_path, "trim")
    (elsewhere / "borrowed.py").write_text("A = 2")
    assert digest(tmp_path, "trim") == before


@pytest.mark.parametrize("how", [["trim.py"], ["-m", "trim"]])
def test_a_script_counts_as_what_it_is(tmp_path, how):
    script = ASK.format("__main__") + "\n# {}"
    told = []
    for text in ("one", "two", "two"):
        (tmp_path / "trim.py").write_text(script.format(text))
        done = subprocess.run([sys.executable, *how], cwd=tmp_path, capture_output=True, text=True, check=True)
        told.append(done.stdout)
    assert (told[0] != told[1], told[1] == told[2]) == (True, True)


def test_code_in_no_file_is_refused():
    with pytest.raises(
        InputError, match=r"module 'notebook_cell' lies in no file.* put jobs and methods in a \.py file"
    ):
        code_digest("notebook_cell")
