"""Tables of texts as GLUE and Shakespeare are handed out, small enough to write in a test."""

from __future__ import annotations

import gzip
from pathlib import Path

GOOD = ("a fine , warm film", "the best cast by far", 'truly "great" fun')
BAD = ("a dull , cold film", "the worst cast by far", 'truly "awful" stuff')
ROWS = [row for good, bad in zip(GOOD, BAD, strict=True) for row in ((good, 1), (bad, 0))]


def write_table(path: Path, *lines: str) -> Path:
    """Write *lines* into *path*, packed if it ends with .gz."""
    path.parent.mkdir(exist_ok=True)
    text = "".join(f"{line}\n" for line in lines).encode()
    path.write_bytes(gzip.compress(text, mtime=0) if path.suffix == ".gz" else text)
    return path


def write_sst2(folder: Path, *, copies: int = 8, ending: str = ".tsv.gz") -> Path:
    """Write sst2_train and sst2_dev into *folder*: six sentences of two kinds, *copies* times over."""
    lines = [f"{text}\t{label}" for text, label in ROWS]
    write_table(folder / f"sst2_train{ending}", "sentence\tlabel", *lines * copies)
    write_table(folder / f"sst2_dev{ending}", "sentence\tlabel", *lines)
    return folder


def write_plays(folder: Path, **roles: str) -> Path:
    """Write shakespeare_speeches.tsv into *folder*: what each role of the play P says, in one speech each."""
    lines = [f"P\t1\t1\t{role}\t{text}" for role, text in roles.items()]
    write_table(folder / "shakespeare_speeches.tsv", "play\tact\tscene\tspeaker\ttext", *lines)
    return folder
