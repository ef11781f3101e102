"""What an import brings along, asked of a fresh interpreter; import-linter reads the same rules off the source."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

TENSORS = {"torch", "torchvision", "fedsim.learn", "fedsim.methods"}
CLOCK = {"simpy", "fedsim.sim"}

FORBIDDEN = {
    "fedsim": TENSORS | CLOCK | {"numpy", "pandas", "pyarrow", "pydantic", "typer"},
    "fedsim.errors": TENSORS | CLOCK,
    "fedsim.execute": TENSORS | CLOCK,
    "fedsim.fleet": TENSORS | CLOCK,
    "fedsim.learn": CLOCK,
    "fedsim.method": TENSORS | CLOCK,
    "fedsim.methods": CLOCK,
    "fedsim.results": TENSORS | CLOCK,
    "fedsim.scenario": TENSORS | CLOCK,
    "fedsim.sim": TENSORS,
    "fedsim.timeline": TENSORS | CLOCK,
    "fedsim.units": TENSORS | CLOCK,
}


def modules_after(statement: str) -> set[str]:
    script = f"import json, sys; {statement}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize("module", FORBIDDEN)
def test_an_import_brings_nothing_forbidden_along(module):
    assert modules_after(f"import {module}") & FORBIDDEN[module] == set()


def test_a_look_at_what_fedsim_offers_imports_nothing():
    assert modules_after("import fedsim; dir(fedsim)") & FORBIDDEN["fedsim"] == set()


def test_the_vocabulary_needs_the_standard_library_only():
    known = set(sys.stdlib_module_names) | {"fedsim"}
    brought = {name.partition(".")[0] for name in modules_after("import fedsim.work") - modules_after("pass")}
    assert brought - known == set()
