"""Kill a run with -9 ten times at random instants, start it again each time, and print what was lost.

.venv/bin/python tests/bench/kill_nine.py
"""

from __future__ import annotations

import random
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.contract.small import digests, executed, jobs, metrics, scenario  # noqa: E402
from tests.contract.test_killing import LONG, TRAIN, kill_after, values  # noqa: E402

KILLS = 10


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        path = scenario(_folder(name, "whole"), schedule=LONG, train=TRAIN)
        whole = executed(path)
        wanted, count = (digests(whole), metrics(whole, "fedavg")), jobs(whole)
        last = values(path)
        _print("executor", "kill", "values kept", "jobs rerun", "of", "orphans", "same digest and metrics")
        good = [_kill(Path(name), executor, number, wanted=wanted, count=count, last=last)
                for executor in sys.argv[1:] or ["lazy", "pool"] for number in range(KILLS)]  # fmt: skip
    return 0 if all(good) else 1


def _kill(folder: Path, executor: str, number: int, *, wanted: tuple, count: int, last: int) -> bool:
    path = scenario(_folder(folder, f"{executor}-{number}"), schedule=LONG, train=TRAIN)
    orphans = kill_after(path, executor, n=random.Random(f"{executor}{number}").randrange(1, last - 10))
    kept = values(path)
    again = executed(path, executor)
    same = (digests(again), metrics(again, "fedavg")) == wanted
    _print(executor, number, kept, jobs(again), count, len(orphans), same)
    return same and not orphans


def _folder(where: str | Path, name: str) -> Path:
    path = Path(where) / name
    path.mkdir()
    return path


def _print(*cells: object) -> None:
    print("".join(f"{cell!s:>14}" for cell in cells), flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
