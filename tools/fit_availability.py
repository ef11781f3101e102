"""Fit how phones come and go to ExtraSensory, and write device_profiles/availability.toml.

Usage: fit_availability.py MEASUREMENTS_DIR [-o AVAILABILITY_TOML]

The shares by hour are means over users, taken as they are. Sessions are joined from stretches of constant state. One
that goes on when recording stops is censored there (Kaplan-Meier); one that is already going on when recording starts
is left out, since its age is not known and long sessions are met so more often. Records are made once a minute: a
session of n of them lasts n min, and one between two of them is never seen. The law is seen likewise before its
quantiles are compared. The three times of a curve are fitted to five quantiles, by least squares of their logarithms.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize

from fedsim.fleet.curve import Curve, curve_from
from fedsim.fleet.hourly import HOUR_S, HOURS
from fedsim.fleet.sessions import mean_session_s, survival

SOURCE = (
    "ExtraSensory (Vaizman, Ellis, Lanckriet, IEEE Pervasive Computing 2017), of arbeckmann/extrasensory_2@0153f6a6e10d"
)
HEAD = """# When phones charge or are on WiFi. Written by tools/fit_availability.py.
# shares: of phones that are on, at half past each hour from midnight on, local time. A phone is on in a long stay or in
# a short one. Long stays last long_stay in the mean, less where the shares fall faster than that; short ones
# short_stay, and begin short_every after the one before."""
COLUMNS = {
    "charging": "charging_mean_over_users",
    "wifi": "wifi_mean_over_users",
    "charging-and-wifi": "charging_and_wifi_mean_over_users",
}
LEVELS = np.array((0.1, 0.25, 0.5, 0.75, 0.9))
MINUTE_S = 60.0
MOST_SHORT = 0.9  # of the lowest share; all of it would have every long stay end in that hour
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Seen:
    """Sessions whose begin was recorded: their quantiles at the LEVELS, how many, and how many ended unseen."""

    quantiles_s: Vector
    count: int
    censored: int


def main() -> None:
    """Write every curve, and print how far the fitted law is off what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("measurements", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("device_profiles/availability.toml"))
    args = parser.parse_args()
    folder = args.measurements / "availability"
    hours = pd.read_csv(folder / "extrasensory_hourly.csv").query("days == 'all'").sort_values("local_hour")
    stretches = pd.read_csv(folder / "extrasensory_state_intervals.csv.gz").sort_values(["user", "start_s"])
    parts = [fitted(name, hours[column].to_numpy(float), stretches) for name, column in COLUMNS.items()]
    args.out.write_text("\n\n".join([HEAD, *parts]), "utf-8")


def fitted(name: str, shares: Vector, stretches: pd.DataFrame) -> str:
    """Return the table of one curve."""
    seen = kept(sessions(stretches.assign(on=state(name, stretches))))
    times_s = times(shares, seen)
    curve = curve_from(shares.tolist(), **times_s)
    tell(name, curve, (times_s, seen))
    return "\n".join(table(name, curve, (times_s, seen)))


def state(name: str, stretches: pd.DataFrame) -> Vector:
    """Return 1 (on), 0 (off) or nan (unknown) of each stretch."""
    charging = stretches.charging.map({1: 1.0, 0: 0.0, -1: np.nan}).to_numpy(float)
    wifi = stretches.network.map({"wifi": 1.0, "no_wifi": 0.0, "unknown": np.nan}).to_numpy(float)
    known_off = (charging == 0) | (wifi == 0)
    both = np.where(known_off, 0.0, charging * wifi)
    return {"charging": charging, "wifi": wifi, "charging-and-wifi": both}[name]


def sessions(stretches: pd.DataFrame) -> pd.DataFrame:
    """Join stretches that follow each other and are on; *begun* and *ended*: off just before, and just after."""
    before, after = stretches.shift(1), stretches.shift(-1)
    follows = (stretches.user == before.user) & (stretches.start_s == before.end_s)
    followed = (stretches.user == after.user) & (stretches.end_s == after.start_s)
    on = stretches.on == 1
    starts, ends = on & ~(follows & (before.on == 1)), on & ~(followed & (after.on == 1))
    return pd.DataFrame(
        {
            "length_s": stretches.end_s[ends].to_numpy() - stretches.start_s[starts].to_numpy(),
            "begun": (follows & (before.on == 0))[starts].to_numpy(),
            "ended": (followed & (after.on == 0))[ends].to_numpy(),
        }
    )


def kept(found: pd.DataFrame) -> Seen:
    """Return the Kaplan-Meier quantiles of sessions whose begin was seen."""
    begun = found[found.begun]
    lengths, ended = begun.length_s.to_numpy(float), begun.ended.to_numpy(bool)
    at = np.unique(lengths[ended])
    lasting = np.cumprod([1 - (ended & (lengths == x)).sum() / (lengths >= x).sum() for x in at])
    return Seen(at[[int(np.argmax(lasting <= 1 - level)) for level in LEVELS]], len(begun), int((~ended).sum()))


def times(shares: Vector, seen: Seen) -> dict[str, float]:
    """Return the mean long stay, short stay and time between short stays (s) that explain the quantiles best."""

    def off(x: Vector) -> float:
        times_s = named(x)
        short_share = 1 / (1 + times_s["short_every_s"] / times_s["short_stay_s"])
        if short_share > MOST_SHORT * shares.min():
            return 1e3 * short_share
        return float(np.square(np.log(quantiles(curve_from(shares.tolist(), **times_s)) / seen.quantiles_s)).sum())

    starts = [np.log((2e4, short_s, 20 * short_s)) for short_s in (200, 1500)]
    found = [minimize(off, start, method="Nelder-Mead", options={"fatol": 1e-4, "xatol": 1e-2}) for start in starts]
    return named(min(found, key=lambda fit: fit.fun).x)


def named(x: Vector) -> dict[str, float]:
    """Return logarithms of times as arguments of `curve_from`, rounded to three digits."""
    names = "long_stay_s", "short_stay_s", "short_every_s"
    return {name: float(f"{seconds:.3g}") for name, seconds in zip(names, np.exp(x), strict=True)}


def quantiles(curve: Curve) -> Vector:
    """Return the quantiles of the law's sessions as seen once a minute, at the LEVELS."""
    minutes = np.unique(np.round(np.geomspace(1, 720, 160)))
    longer = survival(curve, [MINUTE_S / 2, *(minutes + 0.5) * MINUTE_S])
    return np.interp(-(1 - LEVELS), -longer[1:] / longer[0], minutes * MINUTE_S)


def tell(name: str, curve: Curve, found: tuple[dict[str, float], Seen]) -> None:
    """Print how the law compares with what was measured."""
    times_s, seen = found
    hours = np.arange(HOURS) * HOUR_S
    mean = [np.mean([curve.share(start + s) for s in np.arange(30.0, HOUR_S, 60.0)]) for start in hours]
    print(f"{name}: {', '.join(f'{key} {value:.0f}' for key, value in times_s.items())}")
    print(f"  sessions at {LEVELS.tolist()}: measured {seen.quantiles_s.tolist()}, law {quantiles(curve).round()} s")
    print(f"  {seen.count} begun, {seen.censored} of them cut; mean of the law {mean_session_s(curve):.0f} s")
    print(f"  means over an hour are off by {np.abs(np.subtract(mean, curve.shares)).max():.3f} at most")


def table(name: str, curve: Curve, found: tuple[dict[str, float], Seen]) -> list[str]:
    """Return the lines of a curve in TOML."""
    times_s, seen = found
    told, law = (", ".join(f"{q:.0f}" for q in qs) for qs in (seen.quantiles_s, quantiles(curve)))
    lines = [f"[{name}]", f"shares = {list(curve.shares)}"]
    lines += [f'{key.removesuffix("_s")} = "{value:g} s"' for key, value in times_s.items()]
    lines += source(
        name, "shares", (f"mean over users, all days, {COLUMNS[name]}", "37 phones of one campus, a week each")
    )
    lengths = f"10, 25, 50, 75, 90 % of sessions last up to {told} s"
    note = f"Kaplan-Meier, {seen.count} sessions, of which {seen.censored} were cut; the law has {law} s"
    return lines + source(name, "long_stay, short_stay, short_every", (lengths, note))


def source(name: str, what: str, told: tuple[str, str]) -> list[str]:
    """Return the lines that say where numbers come from."""
    value, note = told
    quality = "measured" if what == "shares" else "derived"
    keys = {"what": what, "value": value, "source": SOURCE, "year": 2017, "quality": quality, "note": note}
    return ["", f"[[{name}.source]]", *(f"{k} = {v}" if k == "year" else f'{k} = "{v}"' for k, v in keys.items())]


if __name__ == "__main__":
    main()
