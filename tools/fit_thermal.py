"""Fit how boards warm to runs of sbc-bench, and write it into their profiles as [thermal].

Usage: fit_thermal.py MEASUREMENTS_DIR [-o DEVICE_PROFILES]

A run (thermal/sbc_bench_health.csv.gz) goes through phases, each of which would lead to a steady temperature of its
own; these follow from the samples by linear least squares once tau is known, and tau is the best of a grid. A run
counts where the samples bound tau from above and where all cores busy are its hottest phase. Its watts are those of the
board under all cores at that clock, and the room is taken to be at 25 C, as no run tells. The median over a board's
runs is written, with their range: coolers differ from owner to owner. Jetsons are left out: their watts on the CPU are
unknown.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from thermal_boards import BOARDS, Board, Told

MARK = "# Heat: written by tools/fit_thermal.py"
BELOW = "# Below: written by tools/fit_profiles.py"
AMBIENT_C = 25.0
BUSY = ("7-zip multi core benchmark", "cpuminer")  # all cores
TAUS_S = np.geomspace(5, 600, 97)
SOURCE = "ThomasKaiser/sbc-bench@53f795176f28:results"
Vector = NDArray[np.float64]


@dataclass(frozen=True)
class Run:
    """What one run tells; *within* are the taus that explain it nearly as well."""

    name: str
    kelvin_per_w: float
    tau_s: float
    within: tuple[float, float]
    off_c: float


def main() -> None:
    """Fit every board, write its table and print each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("device_profiles"))
    args = parser.parse_args()
    samples = pd.read_csv(args.measurements / "thermal/sbc_bench_health.csv.gz").dropna(subset=["temp_c"])
    for profile, board in BOARDS.items():
        print(profile)
        write(args.out / f"{profile}.toml", table(board, runs(board, samples)))


def runs(board: Board, samples: pd.DataFrame) -> list[Run]:
    """Return the runs of a board that tell something."""
    rows = samples[(samples.device == board.device) & samples.nominal_clock.isin(board.watts)]
    found = [fitted(board, run) for _, run in rows.groupby("run") if run.power_from.ne("board PMIC").all()]
    return [run for run in found if run]


def fitted(board: Board, rows: pd.DataFrame) -> Run | None:
    """Return the best tau and the rise that follows, None where the run does not tell."""
    at_s, temp_c = rows.t_s.to_numpy(float), rows.temp_c.to_numpy()
    misses, levels = zip(*(explained(at_s, temp_c, (rows.phase.tolist(), tau)) for tau in TAUS_S), strict=True)
    best = int(np.argmin(misses))
    near = TAUS_S[np.array(misses) <= misses[best] * (1 + 4 / (len(rows) - len(levels[best]) - 2))]
    hottest = max(levels[best], key=levels[best].__getitem__)
    told = hottest in BUSY and near[-1] < TAUS_S[-1]
    rise = (levels[best][hottest] - AMBIENT_C) / board.watts[rows.nominal_clock.iloc[0]]
    off_c = float(np.sqrt(misses[best] / len(rows)))
    run = Run(rows.run.iloc[0], rise, float(TAUS_S[best]), (float(near[0]), float(near[-1])), off_c)
    print(f"  {run} {'counts' if told else 'left out'}, hottest in {hottest}: {levels[best][hottest]:.1f} C")
    return run if told and rise > 0 else None


def explained(at_s: Vector, temp_c: Vector, by: tuple[list[str], float]) -> tuple[float, dict[str, float]]:
    """Return the squared miss and the steady temperature of each phase; *by* is the phases of the samples and tau."""
    phases, tau = by
    names = list(dict.fromkeys(phases))
    weights = np.zeros((len(at_s), 1 + len(names)))  # of the first temperature and of each phase's level
    weights[0, 0] = 1.0
    for i, kept in enumerate(np.exp(-np.diff(at_s) / tau)):
        weights[i + 1] = weights[i] * kept
        weights[i + 1, 1 + names.index(phases[i])] += 1 - kept
    found = np.linalg.lstsq(weights, temp_c, rcond=None)[0]
    seen = weights.any(axis=0)[1:]  # a phase of the last sample alone has no say
    levels = {name: float(level) for name, level, said in zip(names, found[1:], seen, strict=True) if said}
    return float(((weights @ found - temp_c) ** 2).sum()), levels


def table(board: Board, found: list[Run]) -> str:
    """Return the [thermal] table of a board."""
    rises, taus = ([getattr(run, key) for run in found] for key in ("kelvin_per_w", "tau_s"))
    rise, tau = float(np.median(rises)), float(np.median(taus))
    lows, highs = zip(*(run.within for run in found), strict=True)
    off = max(run.off_c for run in found)
    watts = ", ".join(f"{watts:g} W at {clock}" for clock, watts in board.watts.items())
    note = f"{len(found)} runs with coolers of their owners; all cores busy draw {watts}"
    note += f"; steps of 10 to 120 s, met to {off:.1f} K{'; ' if board.note else ''}{board.note}"
    lines = [
        f"{MARK}", "[thermal]", f'ambient = "{AMBIENT_C:g} C"', f'rise = "{rise:.2g} K/W"', f'tau = "{tau:.2g} s"',
        f'limit = "{board.limit_c:g} C"', f'resume = "{board.resume_c:g} C"', f"speed = {board.speed:g}",
        f"power = {board.speed**2:.2g}",
    ]  # fmt: skip
    told = f"{min(rises):.2g} to {max(rises):.2g} K/W, {min(taus):.2g} to {max(taus):.2g} s"
    alike = f"tau would do from {min(lows):.0f} to {max(highs):.0f} s"
    lines += source("ambient", ("25 C", "assumed", 2026, "a room; no run says"))
    lines += source("rise, tau", (told, SOURCE, 2023, f"medians; {alike}; {note}"))
    return "\n".join([*lines, *source("limit, resume", board.limits), *source("speed, power", board.slows)])


def source(what: str, told: Told) -> list[str]:
    """Return the lines that say where numbers come from."""
    value, where, year, note = told
    rows = {"what": what, "value": value, "source": where, "note": note}
    lines = [f'{key} = "{text}"' for key, text in rows.items()]
    return ["", "[[thermal.source]]", *lines[:3], f"year = {year}", lines[3]]


def write(path: Path, heat: str) -> None:
    """Put the table between what is written by hand and the rates."""
    by_hand, below, rates = path.read_text("utf-8").partition(BELOW)
    path.write_text(f"{by_hand.partition(MARK)[0].rstrip()}\n\n{heat}\n\n{below}{rates}", "utf-8")


if __name__ == "__main__":
    main()
