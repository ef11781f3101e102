"""The recipe behind a stored value, as a tree."""

from __future__ import annotations

import re
from pathlib import Path

from rich.markup import escape
from rich.tree import Tree

from fedsim.errors import InputError
from fedsim.execute.cache import Cache

Recipe = tuple[str, str, list[str], dict[str, str]]
_WIDEST = 12


def recipe_tree(root: Path, prefix: str, depth: int) -> Tree:
    """Return the recipe of the one value in the cache whose key starts with *prefix*; raises InputError."""
    if not re.fullmatch(r"[0-9a-f]+", prefix):
        raise InputError(f"{prefix!r} is no start of a key: take hexadecimal digits from the column key of the metrics")
    folders = sorted(path.parent.name for path in root.glob("*/index.sqlite"))
    caches = [Cache(root, env=name, budget_bytes=0) for name in folders]
    found = {recipe[0]: (recipe, cache) for cache in caches for recipe in cache.recipes(prefix)}
    if len(found) != 1:
        what = "no value" if not found else f"{len(found)} values or more"
        raise InputError(
            f"{what} in the cache {str(root)!r} with a key that starts with {prefix!r}: "
            f"take a key from the column key of a metrics table"
        )
    recipe, cache = next(iter(found.values()))
    tree = Tree(_line(recipe))
    _grow(tree, recipe, cache, depth=depth)
    return tree


def _grow(tree: Tree, recipe: Recipe, cache: Cache, *, depth: int) -> None:
    parents = recipe[2]
    for key in parents[:_WIDEST]:
        known = cache.recipes(key)
        branch = tree.add(_line(known[0]) if known else f"data or a value not stored  [dim]{key[:12]}[/]")
        if known and depth > 1:
            _grow(branch, known[0], cache, depth=depth - 1)
    if len(parents) > _WIDEST:
        tree.add(f"… and {len(parents) - _WIDEST} more")


def _line(recipe: Recipe) -> str:
    key, name, _, params = recipe
    settings = ", ".join(f"{k}={v}" for k, v in params.items())
    return f"[bold]{name.rpartition('.')[2]}[/] [dim]{key[:12]}[/] {escape(settings)}"
