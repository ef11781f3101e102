"""Tab-separated tables of texts, packed with gzip or plain: no quoting, one row a line."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

from fedsim.errors import InputError

Row = tuple[str, ...]


def find_table(name: str, stems: Sequence[str], folder: Path | None) -> list[Path]:
    """Return the file STEM.tsv.gz or STEM.tsv of each stem, in *folder* or in its subfolder glue.

    Raises InputError that names the files of data set *name* which are missing.
    """
    give = "give their folder by --data-dir or FEDSIM_DATA"
    if folder is None:
        wanted = " and ".join(f"{stem}.tsv.gz" for stem in stems)
        raise InputError(f"data set {name!r} is read from {wanted} (or .tsv): {give}")
    found = [_first(stem, folder) for stem in stems]
    missing = [f"{stem}.tsv.gz" for stem, path in zip(stems, found, strict=True) if path is None]
    if missing:
        where = f"neither in {folder} nor in {folder / 'glue'}"
        raise InputError(
            f"data set {name!r} needs {' and '.join(missing)} (or .tsv), {where}: put them there, or {give}"
        )
    return [path for path in found if path is not None]


def read_table(path: Path, columns: Sequence[str], *, header: Sequence[str] = ()) -> list[Row]:
    """Return *columns* of the table in *path*, whose first line names them unless a *header* is given.

    Raises InputError that names the file, and the line where one is broken.
    """
    lines = _text(path).split("\n")
    rows = [line.rstrip("\r").split("\t") for line in lines[: -1 if not lines[-1] else None]]
    names = list(header) or (rows.pop(0) if rows else [])
    lacking = [column for column in columns if column not in names]
    if lacking:
        raise InputError(
            f"{path}: has no column {', '.join(lacking)} (it has {', '.join(names)}); correct its first line"
        )
    at = [names.index(column) for column in columns]
    for number, row in enumerate(rows, start=1 if header else 2):
        if len(row) != len(names):
            raise InputError(f"{path}: line {number} has {len(row)} fields; allowed are {len(names)}, parted by tabs")
    if not rows:
        raise InputError(f"{path}: has no rows; give at least one")
    return [tuple(row[i] for i in at) for row in rows]


def _first(stem: str, folder: Path) -> Path | None:
    places = [place / f"{stem}{ending}" for place in (folder, folder / "glue") for ending in (".tsv.gz", ".tsv")]
    return next((path for path in places if path.is_file()), None)


def _text(path: Path) -> str:
    try:
        packed = path.read_bytes()
        return (gzip.decompress(packed) if path.suffix == ".gz" else packed).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a table in UTF-8, packed with gzip if .gz") from error
