"""The content-addressed store of values on disk, shared by runs and worker processes.

Tensors lie in safetensors files, written whole or not at all; an SQLite index holds everything
small (metrics, measured sizes, recipes), what is pinned, and when each value was last used.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sqlite3
import threading
import time
import zlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from fedsim.errors import InputError, RunError
from fedsim.execute.codec import nbytes, pack, unpack
from fedsim.work import Ref, refs_in

MISSING = object()
_TABLES = """
create table if not exists vals(key text primary key, small text, nbytes integer, pinned integer, used_s real);
create table if not exists sizes(key text primary key, size text);
create table if not exists recipes(key text primary key, name text, inputs text, params text);
"""
_ROW = "select small, nbytes from vals where key = ?"
_PACKAGES = ("torch", "torchvision", "numpy", "safetensors", "zstandard")


def environment(device: str) -> str:
    """Name what, beside the recipe, decides a value's bits: versions, instruction set, device kind."""
    kind = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    isa = torch.backends.cpu.get_cpu_capability()
    packages = [f"{name}={version(name)}" for name in _PACKAGES] + [f"zlib={zlib.ZLIB_RUNTIME_VERSION}"]
    parts = [*packages, kind, isa, "plain", "float32", "threads=1"]
    return hashlib.sha256("|".join(parts).encode()).hexdigest()[:16]


class Cache:
    """Values by key, for one environment; at most *budget_bytes* of what is not pinned."""

    def __init__(self, root: Path, *, env: str, budget_bytes: int) -> None:
        self._folder = root / env
        self._budget = budget_bytes
        self._local = threading.local()
        try:
            (self._folder / "values").mkdir(parents=True, exist_ok=True)
            self._db.executescript(_TABLES)
        except (OSError, sqlite3.Error) as error:
            raise InputError(
                f"the value cache {str(root)!r} cannot be written ({error}); choose another with --cache or "
                f"$FEDSIM_CACHE"
            ) from error

    def __contains__(self, key: str) -> bool:
        """Tell whether the value is there; a file that is gone or cut short does not count."""
        row = self._row(key)
        return row is not None and (not _has_tensors(row[0]) or self._file_bytes(key) > row[1])

    def get(self, key: str) -> Any:
        """Return the value under *key* in fresh memory, or MISSING."""
        row = self._row(key)
        if row is None:
            return MISSING
        self._run("update vals set used_s = ? where key = ?", time.time(), key)
        skeleton = json.loads(row[0])
        if not _has_tensors(row[0]):
            return unpack({}, skeleton)
        try:
            with safe_open(self._path(key), "pt") as file:
                tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        except (OSError, ValueError, SafetensorError):
            self._run("delete from vals where key = ?", key)
            return MISSING
        return unpack(tensors, skeleton)

    def put(self, ref: Ref, value: Any) -> Any:
        """Store *value* with its recipe and return it as it would come back."""
        tensors, skeleton = pack(value)
        size = nbytes(tensors)
        if tensors:
            self._write(ref.key, tensors)
        self._run(
            "insert or replace into vals values (?, ?, ?, coalesce((select pinned from vals where key = ?), 0), ?)",
            ref.key, json.dumps(skeleton), size, ref.key, time.time(),
        )  # fmt: skip
        self._record(ref)
        return unpack(tensors, skeleton)

    def pin(self, keys: Iterable[str]) -> None:
        """Never evict *keys*."""
        self._db.executemany("update vals set pinned = 1 where key = ?", [(k,) for k in keys])

    def size(self, key: str) -> Any:
        """Return the measured size under *key*, or MISSING."""
        row = self._db.execute("select size from sizes where key = ?", (key,)).fetchone()
        return MISSING if row is None else unpack({}, json.loads(row[0]))

    def put_size(self, key: str, size: Any) -> None:
        """Keep a measured size for good."""
        self._run("insert or replace into sizes values (?, ?)", key, json.dumps(pack(size)[1]))

    def recipes(self, prefix: str) -> list[tuple[str, str, list[str], dict[str, str]]]:
        """Return (key, name, input keys, parameters) of the values whose key starts so."""
        rows = self._db.execute("select * from recipes where key glob ? limit 20", (prefix + "*",)).fetchall()
        return [(key, name, json.loads(inputs), json.loads(params)) for key, name, inputs, params in rows]

    @property
    def _db(self) -> sqlite3.Connection:
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.db = sqlite3.connect(self._folder / "index.sqlite", timeout=60, isolation_level=None)
            self._local.db.execute("pragma journal_mode = wal")
            self._local.db.execute("pragma synchronous = normal")
            self._local.pid = os.getpid()
        db: sqlite3.Connection = self._local.db
        return db

    def _run(self, statement: str, *values: object) -> None:
        try:
            self._db.execute(statement, values)
        except sqlite3.Error as error:
            raise RunError(f"the value cache {str(self._folder)!r} failed: {error}") from error

    def _row(self, key: str) -> tuple[str, int] | None:
        row: tuple[str, int] | None = self._db.execute(_ROW, (key,)).fetchone()
        return row

    def _path(self, key: str) -> Path:
        return self._folder / "values" / key[:2] / f"{key}.safetensors"

    def _file_bytes(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except OSError:
            return 0

    def _write(self, key: str, tensors: dict[str, torch.Tensor]) -> None:
        path = self._path(key)
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            path.parent.mkdir(exist_ok=True)
            save_file(tensors, temporary)
            temporary.replace(path)
        except Exception as error:
            temporary.unlink(missing_ok=True)
            raise RunError(f"the value cache {str(self._folder)!r} cannot take a value: {error}") from error

    def _record(self, ref: Ref) -> None:
        inputs = json.dumps([parent.key for parent in ref.parents()])
        params = json.dumps({name: repr(value) for name, value in ref.params if not list(refs_in(value))})
        name = ref.kind.name if ref.kind else "source"
        self._run("insert or ignore into recipes values (?, ?, ?, ?)", ref.key, name, inputs, params)

    def sweep(self) -> None:
        """Evict what is not pinned and was used longest ago, until the rest is within the budget."""
        held = self._db.execute("select coalesce(sum(nbytes), 0) from vals where not pinned").fetchone()[0]
        oldest = "select key, nbytes from vals where not pinned and nbytes > 0 order by used_s"
        for key, size in self._db.execute(oldest).fetchall():
            if held <= self._budget:
                return
            if self._db.execute("delete from vals where key = ? and not pinned", (key,)).rowcount:
                self._path(key).unlink(missing_ok=True)
                held -= size


def _has_tensors(skeleton: str) -> bool:
    """Tell whether a stored skeleton names tensors, which may be empty ones."""
    return '["tensor", ' in skeleton
