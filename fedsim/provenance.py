"""Digests of code, so that a cached value is never older than the code that made it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import sysconfig
from functools import cache
from pathlib import Path

from fedsim.errors import InputError


@cache
def code_digest(module: str) -> str:
    """Return a digest of *module* and of every module that it imports, in turn, save installed libraries.

    Raises InputError for code that lies in no file, such as a notebook's.
    """
    name = _real_name(module)
    if _file(name) is None:
        raise InputError(
            f"module {module!r} lies in no file, so its values could not be told from older ones: put jobs and "
            f"methods in a .py file"
        )
    whole = hashlib.sha256()
    for reached in sorted(_reached(name)):
        whole.update(reached.encode() + b"\0" + _source(reached))
    return whole.hexdigest()[:16]


@cache
def package_digest() -> str:
    """Return a digest of all of fedsim's own code."""
    whole = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        whole.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return whole.hexdigest()[:16]


def _reached(module: str) -> set[str]:
    seen: set[str] = set()
    todo = [module]
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(_imports(name))
    return seen


@cache
def _imports(module: str) -> frozenset[str]:
    """Return the modules, those of installed libraries aside, that *module* names in its import statements."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    return frozenset(name for name in found if _is_own(name.partition(".")[0]) and name != module and _file(name))


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """Return the full name of what *module* imports from, relative imports included."""
    name = node.module or ""
    if not node.level:
        return name
    path = _file(module)
    package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *([name] if name else [])])


def _real_name(module: str) -> str:
    """Return the importable name of a module that runs as a script with ``python -m``."""
    spec = getattr(sys.modules[module], "__spec__", None) if module == "__main__" else None
    return spec.name if spec else module


@cache
def _is_own(top: str) -> bool:
    """Tell whether the package *top* is fedsim or the user's, neither Python's nor an installed library."""
    if top == "fedsim":
        return True
    path = None if top in sys.stdlib_module_names else _file(top)
    libraries = {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib", "stdlib")}
    if path is None or libraries & set(path.parents):
        return False
    return not {"site-packages", "dist-packages"} & set(path.parts)  # those of another environment are libraries too


@cache
def _file(module: str) -> Path | None:
    loaded = getattr(sys.modules.get(module), "__file__", None)
    if loaded is None:
        try:
            spec = importlib.util.find_spec(module) if module != "__main__" else None
        except (ImportError, ValueError):
            return None
        loaded = spec.origin if spec else None
    return Path(loaded) if loaded and loaded.endswith(".py") else None


@cache
def _source(module: str) -> bytes:
    path = _file(module)
    return path.read_bytes() if path else b""
