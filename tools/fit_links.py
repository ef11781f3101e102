"""Fit how the rates of the packaged links vary, and write it into device_profiles/links.toml.

Usage: fit_links.py MEASUREMENTS_DIR [-o LINKS_TOML]

Nominal rates are written by hand; what stands below the marker line is written here. Quantiles are those of a row of
network_summary.csv over its median, so that the nominal rate stays the median. How long rates last is fitted to traces
of the technology (link_sets.py): the correlation of the normal scores of their rates, over lags up to 100 s and
averaged over the sets, is explained by a constant, the share of the place, and two exponentials.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from link_sets import LINKS, Row, Set, Wanted
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.special import ndtr, ndtri
from scipy.stats import rankdata

MARK = "# Below: written by tools/fit_links.py"
HEAD = f"""{MARK}: how the rates vary where a scenario says so.
# down and up: the rates that 0, 5, 10, 25, 50, 75, 90, 95 and 100 % of the time is below, over the nominal rate. place:
# the share of their variance (of normal scores) that is the device's place, for ever; moments: what the rest lasts.
# Both ways have the place in common: in the speed tests the ranks of down and up are correlated by 0.57 (LTE), 0.50
# (3G), 0.33 (5G low band) and 0.24 (mmWave). Most traces are of devices that move, so that places count for less."""
FIBRE = """[fibre.varies]
step = "1 s"
place = 0.0
moments = [{ share = 1.0, time = "0 s" }]
down = [0.9, 0.97, 0.98, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0]
up = [0.9, 0.97, 0.98, 0.99, 1.0, 1.0, 1.0, 1.0, 1.0]

[[fibre.varies.source]]
what = "varies"
value = "within 10 % below the line's rate, 3 % at most times, anew each second"
source = "nominal"
year = 2026
note = "an assumption: no set at hand has a fibre line"
quality = "assumed"
"""
LAGS = np.array((1, 2, 3, 5, 7, 10, 15, 20, 30, 50, 70, 100))  # seconds
QUANTILES = ("min", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "max")
Vector = NDArray[np.float64]


def main() -> None:
    """Write every link's variation, and print how well the correlations are explained."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("device_profiles/links.toml"))
    args = parser.parse_args()
    by_hand = args.out.read_text("utf-8").partition(MARK)[0].rstrip()
    parts = [by_hand, HEAD, *(variation(name, wanted, args.measurements) for name, wanted in LINKS.items()), FIBRE]
    args.out.write_text("\n\n".join(parts), "utf-8")


def variation(name: str, wanted: Wanted, folder: Path) -> str:
    """Return the tables of one link."""
    mean = np.mean([correlations(one, folder) for one in wanted.sets], axis=0)
    place, moments = explained(mean)
    off = float(np.abs(told(place, moments) - mean).max())
    print(f"{name}: place {place}, moments {moments}, off by {off:.2f}; measured {np.round(mean, 2)}")
    rows = {way: row(folder, of) for way, of in wanted.rows.items()}
    times = ", ".join(f'{{ share = {share}, time = "{time_s:g} s" }}' for share, time_s in moments)
    lines = [f"[{name}.varies]", 'step = "1 s"', f"place = {place}", f"moments = [{times}]"]
    lines += [f"{way} = {quantiles(found).tolist()}" for way, found in rows.items()]
    for way, found in rows.items():
        told_of = f"{found.group}, {found.metric}: quantiles of {found.n_samples} values"
        lines += source(f"{name}.varies", way, (told_of, found.source, wanted.year, wanted.notes.get(way, "")))
    note = f"their mean correlation over lags of 1 to 100 s is met to {off:.2f}"
    for one in wanted.sets:
        lines += source(f"{name}.varies", "place, moments", (one.title, one.source, one.year, note))
    return "\n".join(lines)


def row(folder: Path, of: Row) -> pd.Series:
    """Return a row of the summary."""
    summary = pd.read_csv(folder / "network_summary.csv").set_index(["technology", "group", "metric"], drop=False)
    return summary.loc[of]


def source(table: str, what: str, told: tuple[str, str, int, str]) -> list[str]:
    """Return the lines that say where numbers come from."""
    value, where, year, note = told
    lines = [
        "",
        f"[[{table}.source]]",
        f'what = "{what}"',
        f'value = "{value}"',
        f'source = "{where}"',
        f"year = {year}",
    ]
    return [*lines, f'note = "{note}"'] if note else lines


def quantiles(row: pd.Series) -> Vector:
    """Return a row's quantiles over its median; of a share that is lost, those of what is not."""
    values = row[list(QUANTILES)].to_numpy(float)
    if row.unit == "fraction":
        return np.round(1 - values[::-1], 4)
    return np.round(values / row.p50, 4)


def correlations(one: Set, folder: Path) -> Vector:
    """Return the correlation of normal scores at the LAGS, of rows of one trace; the mean is that of the whole set."""
    series = [rows.to_numpy(float) for rows in one.series(folder)]
    scores = ndtri((rankdata(np.concatenate(series)) - 0.5) / sum(map(len, series)))
    parts = np.split(scores, np.cumsum([len(rows) for rows in series])[:-1])
    return latent(np.array([_at(lag, parts) for lag in LAGS]) / scores.var(), np.sort(scores))


def latent(seen: Vector, scores: Vector) -> Vector:
    """Return the correlations of normal variables whose *scores*, where many rates are equal, show those *seen*."""
    r = np.linspace(-0.99, 0.99, 199)
    (nodes, weights), n = np.polynomial.hermite_e.hermegauss(80), len(scores)
    first, second = (
        scores[_rank(nodes, n)],
        np.multiply.outer(r, nodes)[:, :, None] + np.sqrt(1 - r**2)[:, None, None] * nodes,
    )
    pairs = first[:, None] * scores[_rank(second, n)]  # (r, first, noise of the second)
    shown = np.einsum("rij,i,j->r", pairs, weights, weights) / weights.sum() ** 2 / scores.var()
    return np.interp(seen, [-1.0, *shown, 1.0], [-1.0, *r, 1.0])


def _rank(normal: Vector, n: int) -> NDArray[np.int64]:
    return np.minimum((ndtr(normal) * n).astype(int), n - 1)


def _at(lag: int, parts: Sequence[Vector]) -> float:
    products = np.concatenate([part[lag:] * part[:-lag] for part in parts if len(part) > lag])
    return float(products.mean())


def told(place: float, moments: Sequence[tuple[float, float]]) -> Vector:
    """Return the correlations at the LAGS that follow."""
    return place + sum(share * np.exp(-LAGS / time_s) for share, time_s in moments)


def explained(mean: Vector) -> tuple[float, list[tuple[float, float]]]:
    """Return the share of the place, and share and time constant (s) of two kinds of moments."""

    def parts(x: Vector) -> tuple[float, list[tuple[float, float]]]:
        shares = np.exp(x[:3]) / np.exp(x[:3]).sum()
        return shares[0], [(shares[1], x[3]), (shares[2], x[4])]

    bounds = [-9.0] * 3 + [0.2, 8.0], [9.0] * 3 + [8.0, 80.0]
    found = least_squares(lambda x: told(*parts(x)) - mean, [0.0, 0.0, 0.0, 2.0, 40.0], bounds=bounds)
    rounded = [(round(float(share), 2), float(f"{time_s:.2g}")) for share, time_s in parts(found.x)[1]]
    return round(1 - sum(share for share, _ in rounded), 2), rounded


if __name__ == "__main__":
    main()
