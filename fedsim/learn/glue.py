"""Four tasks of GLUE from the tables it is handed out as: sst2, mrpc, rte, cola.

Source: Wang et al. 2018, arXiv 1804.07461. Its test sets have no labels, so the development set is for testing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fedsim.errors import InputError
from fedsim.learn.data import Arrays
from fedsim.learn.tokens import Reading, read_tokenizer, trained_tokenizer
from fedsim.learn.tsv import Row, find_table, read_table

TOKENS = 64  # a text's length unless the scenario says it


@dataclass(frozen=True, slots=True)
class Table:
    """Which columns hold the texts and the label, how labels are written, and what they mean.

    header: the names of the columns where the files do not give them.
    """

    texts: tuple[str, ...]
    label: str
    labels: tuple[str, ...]
    classes: tuple[str, ...]
    header: tuple[str, ...] = ()


_RTE = ("entailment", "not_entailment")
GLUE: Mapping[str, Table] = {
    "sst2": Table(("sentence",), "label", ("0", "1"), ("negative", "positive")),
    "mrpc": Table(("#1 String", "#2 String"), "Quality", ("0", "1"), ("different", "equivalent")),
    "rte": Table(("sentence1", "sentence2"), "label", _RTE, _RTE),
    "cola": Table(
        ("sentence",), "label", ("0", "1"), ("unacceptable", "acceptable"), ("source", "label", "mark", "sentence")
    ),
}


def read_glue(name: str, folder: Path | None, reading: Reading) -> Arrays:
    """Read the task *name* from NAME_train.tsv.gz and NAME_dev.tsv.gz (or .tsv) in *folder* or its subfolder glue.

    Unless *reading* names a tokenizer, one is trained on the training texts.
    Raises InputError on files that are missing or broken.
    """
    table = GLUE[name]
    paths = find_table(name, (f"{name}_train", f"{name}_dev"), folder)
    train, test = ([*read_table(path, (*table.texts, table.label), header=table.header)] for path in paths)
    y_train, y_test = (_labels(path, rows, table) for path, rows in zip(paths, (train, test), strict=True))
    texts = [row[:-1] for row in train]
    given = reading.tokenizer
    tokenizer = read_tokenizer(given) if given else trained_tokenizer([text for pair in texts for text in pair])
    length = reading.length or TOKENS
    x_train, x_test = (tokenizer.encode(part, length) for part in (texts, [row[:-1] for row in test]))
    return Arrays(x_train, y_train, x_test, y_test, table.classes, vocab=tokenizer.vocab)


def _labels(path: Path, rows: Sequence[Row], table: Table) -> NDArray[Any]:
    strange = sorted({row[-1] for row in rows} - set(table.labels))
    if strange:
        allowed = " and ".join(table.labels)
        raise InputError(
            f"{path}: column {table.label!r} holds {', '.join(map(repr, strange[:5]))}; allowed: {allowed}"
        )
    return np.array([table.labels.index(row[-1]) for row in rows], dtype=np.int64)
