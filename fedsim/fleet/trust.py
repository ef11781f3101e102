"""How far a fleet's times and energy can be trusted: which of its profiles rest on nothing but peaks, or lack power."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from fedsim.fleet.profile import PEAK_ONLY, Profile


def peaks_only(profiles: Iterable[Profile]) -> dict[str, Any] | None:
    """Return which of *profiles* rest on peaks alone, of how many, with the widest factors on their times; else None.

    Equal names count once.
    """
    known = {profile.name: profile for profile in profiles}
    found = [profile for profile in known.values() if profile.quality == PEAK_ONLY]
    if not found:
        return None
    lows, highs = zip(*(profile.spread for profile in found), strict=True)
    return {"profiles": [p.name for p in found], "of": len(known), "low": min(lows), "high": max(highs)}


def said_of(found: Mapping[str, Any]) -> str:
    """Return the sentence that says what :func:`peaks_only` found.

    >>> said_of({"profiles": ["laptop"], "of": 2, "low": 0.4, "high": 2.5})
    '1 of 2 profiles rests on peaks only (laptop): its times may be off by 0.4x to 2.5x'
    """
    names = found["profiles"]
    rest, their = ("rests", "its") if len(names) == 1 else ("rest", "their")
    bounds = f"{found['low']:.2g}x to {found['high']:.2g}x"
    return (
        f"{len(names)} of {found['of']} profiles {rest} on peaks only ({', '.join(names)}): "
        f"{their} times may be off by {bounds}"
    )


def unmetered(profiles: Iterable[Profile]) -> list[str]:
    """Return the names of the profiles whose power nobody measured, so that their energy counts as nothing."""
    return sorted({profile.name for profile in profiles if not profile.idle_w and not profile.busy_w})


def said_of_power(names: Iterable[str]) -> str:
    """Return the sentence that says what :func:`unmetered` found.

    >>> said_of_power(["mine"])
    'power was not measured, so that energy counts as 0 J: mine; give [power] of the profile its watts'
    """
    who = ", ".join(names)
    return f"power was not measured, so that energy counts as 0 J: {who}; give [power] of the profile its watts"
