"""Digests of code, so that a cached value is never older than the code that made it."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
from functools import cache
from pathlib import Path


@cache
def code_digest(module: str) -> str:
    """Return a digest of *module* and of every module of its package that it imports, in turn."""
    whole = hashlib.sha256()
    for name in sorted(_reached(module)):
        whole.update(name.encode() + b"\0" + _source(name))
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
    """Return the modules of the same top package, or of fedsim, that *module* names in its import statements."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(_source(module))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(module, node)
            found.add(base)
            found.update(f"{base}.{alias.name}" for alias in node.names)
    own = {module.partition(".")[0], "fedsim"}
    return frozenset(n for n in found if n.partition(".")[0] in own and n != module and _file(n))


def _absolute(module: str, node: ast.ImportFrom) -> str:
    """Return the full name of what *module* imports from, relative imports included."""
    name = node.module or ""
    if not node.level:
        return name
    path = _file(module)
    package = module if path and path.name == "__init__.py" else module.rpartition(".")[0]
    parents = package.split(".")
    return ".".join([*parents[: len(parents) - node.level + 1], *([name] if name else [])])


@cache
def _file(module: str) -> Path | None:
    if module == "__main__":  # a script, which importlib would not find
        script = getattr(sys.modules["__main__"], "__file__", None)
        return Path(script) if script else None
    try:
        spec = importlib.util.find_spec(module)
    except (ModuleNotFoundError, ValueError):
        return None
    origin = spec.origin if spec else None
    return Path(origin) if origin and origin.endswith(".py") else None


@cache
def _source(module: str) -> bytes:
    path = _file(module)
    return path.read_bytes() if path else b""
