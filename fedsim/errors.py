"""What can go wrong, as a tree; each leaf says what is wrong, the value, and the way out.

FedsimError
├── InputError        the scenario, a file or an option is wrong            (exit code 2)
│   ├── NeedsValues   a cost-only run met a size or decision that needs values
│   └── LocalityError a method computes from a value where it is not held
└── RunError          a sound run could not go on; results so far are whole (exit code 3)
    ├── Stalled       nobody is, or will be, willing to work
    └── WorkerDied    a worker process kept dying
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class FedsimError(Exception):
    """Anything that fedsim raises on purpose."""

    exit_code = 1


class InputError(FedsimError):
    """The input is wrong: says where, the value, what is allowed and what to do."""

    exit_code = 2


class NeedsValues(InputError):
    """A size or a decision depends on values, and this executor makes none."""


class LocalityError(InputError):
    """A place was asked to compute from a value it does not hold."""


class RunError(FedsimError):
    """A sound run could not go on."""

    exit_code = 3


class Stalled(RunError):
    """Nobody is willing to work, and nobody will be."""


class WorkerDied(RunError):
    """A worker process kept dying."""


def nearest(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the closest known word, or nothing.

    >>> nearest("fedavgg", ["fedavg", "fedprox"])
    "; did you mean 'fedavg'?"
    """
    close = difflib.get_close_matches(str(word), list(known), n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else ""


def unknown(what: str, word: str, known: Iterable[str]) -> str:
    """Say that *word* is no known *what*, the nearest one and all there are."""
    names = sorted(known)
    return f"unknown {what} {word!r}{nearest(word, names)} (known: {', '.join(names)})"
