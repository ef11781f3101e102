"""Shakespeare's plays as next-character prediction, a client for each speaking role.

Source: LEAF (Caldas et al. 2018, arXiv 1812.01097), from another edition of the plays; LEAF takes a window at every
character, this takes one every *length* characters, which keeps the set at a moderate size.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.learn.data import Arrays, Vocab
from fedsim.learn.tokens import Reading
from fedsim.learn.tsv import find_table, read_table

STEM = "shakespeare_speeches"
TOKENS = 80  # LEAF's length
LEAST_WINDOWS = 12  # roles with fewer windows of text are left out: at 80 characters, those below 960
TEST_SHARE = 0.2

Windows = tuple[NDArray[np.int64], NDArray[np.int64]]  # x (N, T) ids, y (N,) classes


def read_shakespeare(name: str, folder: Path | None, reading: Reading) -> Arrays:
    """Read the roles' windows of *reading*.length characters from shakespeare_speeches.tsv.gz (or .tsv) in *folder*.

    x: T characters, ids from 1, for 0 is padding, which does not occur; y: the next one. Of each role the last 20 %
    of the text are for testing. client_train: "PLAY: SPEAKER". Raises InputError if the file is missing or broken,
    or a tokenizer is given: tokens are characters here.
    """
    if reading.tokenizer is not None:
        raise InputError(f"task.tokenizer: the tokens of data set {name!r} are characters; remove it")
    length = reading.length or TOKENS
    (path,) = find_table(name, (STEM,), folder)
    roles = {role: text for role, text in _texts(path).items() if len(text) >= LEAST_WINDOWS * length}
    if not roles:
        raise InputError(f"{path}: no role has {LEAST_WINDOWS * length} characters; take fewer by task.tokens")
    letters = sorted({letter for text in roles.values() for letter in text})
    parts = {role: _parts(_codes(roles[role], letters), length) for role in sorted(roles)}
    train, test = (_joined([both[i] for both in parts.values()]) for i in (0, 1))
    clients = np.repeat(list(parts), [len(both[0][1]) for both in parts.values()])
    vocab = Vocab(1 + len(letters), digest=hashlib.sha256("".join(letters).encode()).hexdigest()[:16])
    return Arrays(*train, *test, classes=tuple(letters), client_train=clients, vocab=vocab)


def _texts(path: Path) -> Mapping[str, str]:
    """Return all that each role says, its speeches a line break apart."""
    said: dict[str, list[str]] = {}
    for play, speaker, text in read_table(path, ("play", "speaker", "text")):
        said.setdefault(f"{play}: {speaker}", []).append(text.replace("\\n", "\n"))
    return {role: "\n".join(speeches) for role, speeches in said.items()}


def _codes(text: str, letters: list[str]) -> NDArray[np.int64]:
    """Return each character's place among the sorted *letters*, (len(text),)."""
    points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
    return np.searchsorted(np.array([ord(letter) for letter in letters], dtype="<u4"), points)


def _parts(codes: NDArray[np.int64], length: int) -> tuple[Windows, Windows]:
    cut = round((1 - TEST_SHARE) * len(codes))
    return _windows(codes[:cut], length), _windows(codes[cut:], length)


def _windows(codes: NDArray[np.int64], length: int) -> Windows:
    starts = np.arange(0, len(codes) - length, length)
    return codes[starts[:, None] + np.arange(length)] + 1, codes[starts + length]


def _joined(parts: list[Windows]) -> tuple[NDArray[Any], NDArray[Any]]:
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
