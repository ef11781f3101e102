"""A file that was given by path: its bytes, unpacked, and its table of text; every error says where and the way out."""

from __future__ import annotations

import csv
import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fedsim.errors import InputError


@dataclass(frozen=True, slots=True)
class TextFile:
    """What stands in a file; *holds* says in its errors of what a table in it is one."""

    path: Path
    data: bytes
    holds: str

    @property
    def is_table(self) -> bool:
        return self.path.name.endswith((".csv", ".csv.gz"))

    def text(self) -> str:
        try:
            return self.data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise InputError(
                f"{self.path}: is no text (byte {error.start}): give a trace; packed ones end in .gz"
            ) from None

    def head(self) -> list[str]:
        return next(self.lines(), (0, []))[1]

    def lines(self) -> Iterator[tuple[int, list[str]]]:
        """Yield number and cells of each line."""
        reader = csv.reader(io.StringIO(self.text(), newline=""))
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise InputError(f"{self.path}: is no table of {self.holds} ({error}): look for an open quote") from None

    def cells(self, head: Sequence[str]) -> Iterator[tuple[int, Mapping[str, str]]]:
        """Yield the lines below the header, each by column."""
        below = self.lines()
        next(below)
        for line, cells in below:
            if cells and len(cells) != len(head):
                raise self.wrong(line, f"has {len(cells)} cells, the header {len(head)}: leave unknown ones empty")
            if cells:
                yield line, dict(zip(head, cells, strict=True))

    def wrong(self, line: int, message: str) -> InputError:
        return InputError(f"{self.path}, line {line}: {message}")

    def without(self, names: Sequence[str]) -> InputError:
        """Return the error of a table that has none of the columns *names*."""
        there = ", ".join(self.head()) or "none"
        return self.wrong(
            1, f"has no column {' or '.join(names)} (its columns: {there}): name it so, or give another file"
        )


def open_text(name: str, folder: Path, *, holds: str) -> TextFile:
    """Read a file, unpacked if it ends in .gz; paths start at *folder*. Raises InputError."""
    try:
        path = folder / Path(name).expanduser()
    except RuntimeError as error:
        raise InputError(f"cannot read the trace {name}: {error}; write the whole path") from None
    try:
        data = path.read_bytes()
        return TextFile(path, gzip.decompress(data) if path.suffix == ".gz" else data, holds)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: is no whole gzip file ({error}): fetch or pack it again") from None
    except OSError as error:
        raise InputError(
            f"cannot read the trace {path}: {error.strerror}; paths start at the scenario's file"
        ) from None


def number(text: str) -> float:
    """Return what a cell says, nan where it is no number."""
    try:
        return float(text)
    except ValueError:
        return math.nan
