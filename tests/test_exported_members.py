"""The public names: there, callable as documented, and all of them listed."""

from __future__ import annotations

import importlib
import pkgutil
import types
from importlib import metadata

import pytest

import fedsim

PACKAGES = [m.name for m in pkgutil.iter_modules(fedsim.__path__, "fedsim.") if m.ispkg]


@pytest.mark.parametrize("name", fedsim.__all__)
def test_a_listed_name_is_there(name):
    assert getattr(fedsim, name) is not None


def test_dir_shows_the_listed_names_and_no_others():
    assert dir(fedsim) == sorted(fedsim.__all__)


def test_names_are_listed_once_and_in_order():
    assert fedsim.__all__ == sorted(set(fedsim.__all__))


def test_run_is_a_function_whatever_has_been_imported():
    importlib.import_module("fedsim.runner")
    assert isinstance(fedsim.run, types.FunctionType)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(AttributeError, match=r"no attribute 'rum'; it has Prediction, Results, .*, run"):
        fedsim.rum  # noqa: B018  the look-up is the test


def test_the_version_is_that_of_the_installed_distribution():
    assert fedsim.__version__ == metadata.version("fedsim-edge")


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_package_lists_is_there(package):
    module = importlib.import_module(package)
    assert [name for name in getattr(module, "__all__", ()) if not hasattr(module, name)] == []
