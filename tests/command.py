"""The command in this very process, and a small scenario to change."""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import tomli_w

from fedsim.cli import main


class Ran(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


def fedsim(*arguments: object) -> Ran:
    """Run the command as a shell would."""
    out, err = io.StringIO(), io.StringIO()
    argv = ["fedsim", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as left:
            return Ran(int(left.code or 0), out.getvalue(), err.getvalue())
    return Ran(0, out.getvalue(), err.getvalue())


def tables() -> dict[str, Any]:
    """Return a sound scenario that runs in a second."""
    return {
        "name": "small",
        "task": {"data": "synthetic", "model": {"name": "mlp", "hidden": [8]}, "samples_per_device": 8},
        "train": {"epochs": 1, "batch_size": 8},
        "fleet": [{"profile": "raspberry-pi-4", "count": 4}, {"profile": "laptop", "count": 2}],
        "availability": {"kind": "always"},
        "schedule": {"kind": "sync", "rounds": 2, "cohort": 3},
        "method": [{"name": "fedavg"}, {"name": "fedprox", "mu": 0.1}],
    }


def changed(**changes: Any) -> dict[str, Any]:
    """Return that scenario with keys changed, such as task__data="digits"; ... takes a key away."""
    made = tables()
    for key, value in changes.items():
        *path, last = key.split("__")
        at: Any = made
        for part in path:
            at = at[int(part)] if isinstance(at, list) else at.setdefault(part, {})
        if value is ...:
            del at[last]
        else:
            at[int(last) if isinstance(at, list) else last] = value
    return made


def write(folder: Path, made: dict[str, Any] | None = None) -> Path:
    """Write a scenario into *folder*."""
    path = folder / "s.toml"
    path.write_text(tomli_w.dumps(tables() if made is None else made), encoding="utf-8")
    return path
