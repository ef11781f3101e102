"""What the command prints of devices: profiles, links, how far off they are, and predictions."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table

from fedsim.fleet import Link, Profile
from fedsim.fleet.profile import KINDS, PEAK_ONLY
from fedsim.fleet.radio import Line, Radio
from fedsim.fleet.source import Source
from fedsim.fleet.thermal import said_of_heat
from fedsim.showing import console, doubts, table
from fedsim.units import short_bytes, short_energy, short_time

if TYPE_CHECKING:  # it brings scipy
    from fedsim.measuring import Measured
    from fedsim.validating import Family, Miss, Score

_TITLED = 130
_CHECK = ("batch", "measured", "predicted", "off by")
_FAR_OFF = 1.1  # a drift that is worth a word
_RATES_FROM = {"measured training": "training", "measured inference": "inference", PEAK_ONLY: "peaks"}


def profiles(found: Iterable[Profile]) -> None:
    """Print one line for each profile, by kind; what device it is where the terminal has room for that."""
    out = console()
    titled = out.width >= _TITLED
    numbers = ("year", "RAM", "idle", "busy")
    made = table(out, "profile", *["device"][:titled], *numbers, "rates from", "times off by", right=numbers)
    last = ""
    for p in sorted(found, key=lambda p: (KINDS.index(p.kind), p.name)):
        if p.kind != last:
            made.add_row(f"[bold]{p.kind}[/]")
        last = p.kind
        watts = f"{p.idle_w:.3g} W", f"+{p.busy_w:.3g} W"
        trust = _RATES_FROM[p.quality], f"{p.spread[0]:.2g}x to {p.spread[1]:.2g}x"
        title = [escape(p.title)][:titled]
        made.add_row(f"  {p.name}", *title, str(p.year), short_bytes(p.memory_bytes), *watts, *trust)
    out.print(made)
    out.print(
        "off by: nine true times of ten lie within these factors of a predicted one", style="dim", highlight=False
    )


def links(found: Iterable[Link]) -> None:
    """Print one line for each link."""
    out = console()
    made = table(out, "link", "down", "up", "latency", right=("down", "up", "latency"))
    for link in found:
        rates = (f"{rate * 8 / 1e6:.3g} Mbit/s" for rate in (link.down_bytes_per_s, link.up_bytes_per_s))
        made.add_row(escape(link.name), *rates, short_time(link.latency_s))
    out.print()
    out.print(made)


def profile(p: Profile) -> None:
    """Print one profile, every number with its source."""
    out = console()
    out.print(f"[bold]{escape(p.title)}[/] ({escape(p.name)}, {p.kind}, {p.year}): rates from {p.quality}")
    sizes = f"RAM {short_bytes(p.memory_bytes)}, storage {short_bytes(p.storage_bytes)}"
    battery = "" if p.battery_j is None else f", battery {p.battery_j / 3600:.3g} Wh"
    out.print(f"{sizes}{battery}, idle {p.idle_w:.3g} W, busy +{p.busy_w:.3g} W")
    out.print(f"90 % of true times lie within x{p.spread[0]:.2g} to x{p.spread[1]:.2g} of a predicted one")
    _states(out, p)
    out.print()
    rates = table(out, "kind of work", *_RATES, right=_RATES)
    for kind, rate in p.rates.items():
        numbers = (rate.flops_per_s / 1e9, rate.bytes_per_s / 1e9, rate.call_s * 1e6)
        rates.add_row(kind, *(f"{n:.4g}" if 0 < n < math.inf else "-" for n in numbers))
    out.print(rates)
    out.print()
    out.print(_radios(out, p.radio))
    if p.exact:
        steps = table(out, "exact times, which win over the rates", "time", right=("time",))
        for name, seconds in p.exact.items():
            steps.add_row(escape(name), short_time(seconds))
        out.print()
        out.print(steps)
    out.print()
    for s in p.sources:
        _source(out, s)
    parts = {f"radio.{name}": radio.sources for name, radio in p.radio.items()}
    parts |= {f"modes.{name}": mode.sources for name, mode in p.modes.items()}
    for of, sources in {"thermal": p.thermal.sources if p.thermal else (), **parts}.items():
        for s in sources:
            _source(out, s, of=f"{of}.")


def _states(out: Console, p: Profile) -> None:
    """Say how the device warms and which power modes it has, where that is known."""
    if p.thermal is not None:
        out.print(said_of_heat(p.thermal, (p.idle_w, p.busy_w)), highlight=False)
    for name, mode in p.modes.items():
        out.print(f"mode {escape(name)}: x{mode.speed:.3g} speed, x{mode.power:.3g} busy watts", highlight=False)


def scores(found: Sequence[Score]) -> None:
    """Print how far profiles are off measured times."""
    out = console()
    numbers, shares = ("rows", "fam", "fitted", "unseen", "FLOPs"), ("holds", "others")
    made = table(out, "profile", "step", *numbers, "90 % within", *shares, right=(*numbers, *shares))
    for s in found:
        errors = map(_percent, (s.fitted, s.unseen, s.flops_only))
        held = (_percent(share, digits=0) for share in (s.inside, s.covers))
        within = f"{s.low:.2f}x-{s.high:.2f}x"
        made.add_row(escape(s.profile), s.step, str(s.rows), str(s.families), *errors, within, *held)
    out.print(made)
    out.print(_SCORES, style="dim", highlight=False)
    for s in found:
        if s.energy is not None:
            out.print(f"{s.profile}: the energy of {s.step} above idle is {_percent(s.energy)} off")


def misses(families: Iterable[Family], worst: Iterable[Miss]) -> None:
    """Print the errors of one profile by family, and its worst rows; nothing where there are none."""
    out = console()
    made = table(out, "family", "step", *_FAMILY, right=_FAMILY)
    for f in families:
        bias = "-" if f.bias is None else f"{f.bias:+.1%}"
        made.add_row(escape(f.family), f.step, str(f.rows), _percent(f.fitted), _percent(f.unseen), bias)
    rows = table(out, "worst rows", "step", *_MISS, right=_MISS)
    for m in worst:
        rows.add_row(
            escape(m.name), m.step, str(m.batch), short_time(m.seconds), short_time(m.unseen_s), f"{m.error:+.1%}"
        )
    for part in (made, rows):
        if part.row_count:
            out.print()
            out.print(part)


def predictions(found: Mapping[str, Any]) -> None:
    """Print what a step takes on devices; of one also which class of work takes the time."""
    out = console()
    out.print(f"[bold]{escape(found['step'])}[/], {found['what']}", highlight=False)
    out.print(f"{_count(found['parameters'])} parameters, {_flops(found['flops'])}", highlight=False)
    numbers = ("time", "90 % within", "energy", "memory", "RAM")
    made = table(out, "device", *numbers, right=numbers)
    for row in found["devices"]:
        made.add_row(escape(row["device"]), *_predicted(row))
    out.print(made)
    if len(found["devices"]) == 1:
        _split(out, found["devices"][0])
    out.print(_PREDICTIONS, style="dim", highlight=False)
    doubts(out, found)


def _predicted(row: Mapping[str, Any]) -> list[str]:
    memory = [short_bytes(row["memory_bytes"]), short_bytes(row["ram_bytes"])]
    if not row["fits"]:
        return ["-", "[red]does not fit[/]", "-", *memory]
    low, high = (short_time(row[f"seconds_{end}"]) for end in ("low", "high"))
    within = "exact" if row["exact"] and low == high else f"{low} to {high}"
    return [short_time(row["seconds"]), within, short_energy(row["joules"]), *memory]


def _split(out: Console, row: Mapping[str, Any]) -> None:
    """Say which three classes of work take the most time."""
    longest = list(row["seconds_by_class"].items())[:3]
    shares = ", ".join(f"{kind} {s / row['seconds']:.0%}" for kind, s in longest if s)
    if shares and row["fits"]:
        out.print(f"most of the time: {shares}", highlight=False)


def _flops(n: float) -> str:
    return f"{n / 1e12:.3g} TFLOP" if n >= 1e12 else f"{n / 1e9:.3g} GFLOP"


def _count(n: int) -> str:
    return f"{n / 1e6:.3g} M" if n >= 1e6 else f"{n:,}"


_PREDICTIONS = "energy: idle power included; memory: the step's tensors, the program itself comes on top"


def _percent(share: float | None, digits: int = 1) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


_SCORES = (
    "errors are mean absolute ones; unseen, and FLOPs (one time per FLOP): the row's family (fam) was left out of the "
    "fit\nholds: rows whose true time is within; others: within the interval that the other families give"
)
_FAMILY = ("rows", "fitted", "unseen", "bias")
_MISS = ("batch", "measured", "unseen", "error")
_RATES = ("GFLOP/s", "GB/s", "us per call")


def _source(out: Console, s: Source, *, of: str = "") -> None:
    quality = f", {s.quality}" if s.quality else ""
    out.print(f"[bold]{escape(of + s.what)}[/]: {escape(s.value)} ({s.year}{quality})", highlight=False)
    text = f"{s.source}; {s.note}" if s.note else s.source
    out.print(Padding(escape(text), (0, 0, 0, 2)), highlight=False)


def _radios(out: Console, radios: Mapping[str, Radio]) -> Table:
    made = table(out, "radio, above idle", "sending", "receiving", "tail", "wakes in")
    for name, radio in sorted(radios.items()):
        tail = ", ".join(f"{watts:.3g} W for {short_time(length_s)}" for watts, length_s in radio.tail)
        made.add_row(
            escape(name),
            _line(radio.tx),
            _line(radio.rx),
            tail or "-",
            short_time(radio.promotion_s) if radio.promotion_s else "-",
        )
    return made


def _line(line: Line) -> str:
    slope = f" + {line.j_per_byte / 8e-9:.3g} nJ/bit" if line.j_per_byte else ""
    return f"{line.w:.3g} W{slope}"


def profile_facts(p: Profile) -> dict[str, Any]:
    """Return what a profile says of itself, its rates, radios and sources apart."""
    words, numbers = ("name", "title", "kind", "year", "quality"), ("memory_bytes", "storage_bytes", "idle_w", "busy_w")
    return {**{name: getattr(p, name) for name in (*words, *numbers, "battery_j")}, "spread": list(p.spread)}


def profile_in_full(p: Profile) -> dict[str, Any]:
    """Return all of a profile; a rate that has no such term, or a battery that is not there, is null."""
    terms = ("flops_per_s", "bytes_per_s", "call_s")
    rates = {k: {term: _known(getattr(rate, term)) for term in terms} for k, rate in p.rates.items()}
    radio = {name: _radio_facts(r) for name, r in p.radio.items()}
    modes = {name: asdict(mode) for name, mode in p.modes.items()}
    states = {"thermal": asdict(p.thermal) if p.thermal else None, "modes": modes}
    sources = [asdict(s) for s in p.sources]
    return {**profile_facts(p), "rates": rates, "radio": radio, "exact": dict(p.exact), **states, "sources": sources}


def _radio_facts(r: Radio) -> dict[str, Any]:
    tx, rx, tail = r.tx, r.rx, [{"w": watts, "s": length_s} for watts, length_s in r.tail]
    lines = {"tx_w": tx.w, "tx_j_per_byte": tx.j_per_byte, "rx_w": rx.w, "rx_j_per_byte": rx.j_per_byte}
    return {**lines, "tail": tail, "promotion_s": r.promotion_s, "sources": [asdict(s) for s in r.sources]}


def link_facts(link: Link) -> dict[str, Any]:
    """Return what a link is."""
    names = ("name", "down_bytes_per_s", "up_bytes_per_s", "latency_s", "technology")
    return {name: getattr(link, name) for name in names}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def measured(path: Path, found: Measured) -> None:
    """Print how the check on whole networks came out, and what is to be known of the profile."""
    out = console()
    made = table(out, "whole networks, not fitted", *_CHECK, right=_CHECK)
    for p in found.checks:
        times = short_time(p.seconds), short_time(p.fitted_s)
        made.add_row(escape(p.name), str(p.batch), *times, f"{p.fitted_s / p.seconds - 1:+.1%}")
    out.print(made)
    low, high = found.spread
    within = f"90 % of true times should lie within {low:.2f}x to {high:.2f}x of a predicted one"
    out.print(f"mean error {found.error:.1%}; {within}", highlight=False)
    out.print(f"[bold]{escape(str(path))}[/]: {_how(found)}", highlight=False)
    for word in _warnings(found):
        out.print(f"[yellow]note:[/] {word}", highlight=False)


def measured_facts(path: Path, found: Measured) -> dict[str, Any]:
    """Return what was measured, the rates and raw points apart: they are in the file."""
    checks = [asdict(point) for point in found.checks]
    power = {"idle_w": found.power.idle_w, "busy_w": found.power.busy_w, "source": found.power.source or None}
    numbers = {"error": found.error, "spread": found.spread, "drift": found.drift, "seconds": found.seconds}
    where = {"profile": str(path), "device": found.device.type, "threads": found.threads}
    return {**where, **numbers, "power": power, "checks": checks, "notes": _warnings(found)}


def _how(found: Measured) -> str:
    return f"{len(found.points)} timings in {short_time(found.seconds)}, {found.where}"


def _warnings(found: Measured) -> list[str]:
    words = []
    if not found.power.source:
        words.append(
            "no power meter was readable, so that idle and busy are 0 W: give --watts-command, or fill them in"
        )
    if found.drift[1] / found.drift[0] > _FAR_OFF:
        low, high = found.drift
        words.append(
            f"the machine's speed drifted from {low:.2f}x to {high:.2f}x meanwhile: leave it alone, or run again"
        )
    return words
