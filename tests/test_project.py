"""What leaves the checkout: the wheel, and the files under version control."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())

PERSONAL = {
    "an absolute path of a machine": re.compile(r"(?<![\w.}~])/(?:home|Users|root|work)/[\w.]"),
    "an e-mail address": re.compile(r"\b[\w.+-]+@(?!example\.)[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}\b"),
}


def tracked_files() -> list[Path]:
    """Return what git tracks or would add, or skip where there is no git checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def text_of(path: Path) -> str:
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8", errors="replace")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory) -> set[str]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = out.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


@pytest.mark.parametrize("folder", ["scenarios", "device_profiles"])
def test_the_wheel_holds_every_file_of(folder, wheel_names):
    here = {path.relative_to(ROOT).as_posix() for path in (ROOT / folder).rglob("*.toml")}
    packaged = {name.removeprefix("fedsim/_data/") for name in wheel_names if name.endswith(".toml")}
    assert here
    assert here <= packaged


def test_the_wheel_holds_the_package_its_types_and_its_licence(wheel_names):
    sources = {path.relative_to(ROOT).as_posix() for path in (ROOT / "fedsim").rglob("*.py")}
    info = f"fedsim_edge-{PYPROJECT['project']['version']}.dist-info"
    assert sources | {"fedsim/py.typed", f"{info}/licenses/LICENSE"} <= wheel_names


def test_the_wheel_holds_nothing_else(wheel_names):
    assert {name.partition("/")[0].partition("-")[0] for name in wheel_names} == {"fedsim", "fedsim_edge"}


@pytest.mark.parametrize("what", PERSONAL)
def test_no_file_holds(what):
    found = [
        f"{path.relative_to(ROOT)}: {match.group()}"
        for path in tracked_files()
        for match in PERSONAL[what].finditer(text_of(path))
    ]
    assert found == []


def test_no_file_names_this_checkout():
    assert [str(path.relative_to(ROOT)) for path in tracked_files() if f"{ROOT}/" in text_of(path)] == []


def test_every_library_that_fedsim_imports_is_declared():
    declared = {re.split(r"[<>=!~;\[ ]", line)[0] for line in PYPROJECT["project"]["dependencies"]}
    declared |= {name.replace("-", "_") for name in declared}
    known = set(sys.stdlib_module_names) | {"fedsim"}
    distributions = metadata.packages_distributions()
    undeclared = {
        module
        for path in (ROOT / "fedsim").rglob("*.py")
        for module in imported_by(path) - known
        if not declared & set(distributions.get(module, ()))
    }
    assert undeclared == set()


def imported_by(path: Path) -> set[str]:
    """Return the top-level modules that the file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.partition(".")[0])
    return found
