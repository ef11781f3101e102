"""What the command prints: tables that fit 80 columns, and JSON."""

from __future__ import annotations

import inspect
import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.syntax import Syntax
from rich.table import Table

from fedsim.fleet import Link, Profile, said_of
from fedsim.fleet.profile import KINDS, PEAK_ONLY
from fedsim.fleet.radio import Line, Radio
from fedsim.fleet.source import Source
from fedsim.results import CAPTION, HEADERS, cells
from fedsim.scenario import to_toml
from fedsim.units import short_bytes, short_energy, short_time

if TYPE_CHECKING:  # it brings scipy
    from fedsim.validating import Family, Miss, Score

_ROOMY, _TITLED = 100, 130
_RATES_FROM = {"measured training": "training", "measured inference": "inference", PEAK_ONLY: "peaks"}
_STATUS = {
    "stopped": "stopped by run.stop.time before its schedule's end",
    "diverged": "diverged, its last loss is no finite number: lower train.lr, or set train.clip_norm",
}
_COST_STATUS = {
    "needs values": "the size of a message is known only by computing it",
    "declines": "the method has nothing for this device in the first round; loosen its budget or the deadline",
}
_PIPED = 160


def console(*, stderr: bool = False) -> Console:
    """Return a console of the terminal's width; a wide one where nobody has said how wide it is."""
    stream = sys.stderr if stderr else sys.stdout
    unknown = not stream.isatty() and "COLUMNS" not in os.environ
    return Console(stderr=stderr, width=_PIPED if unknown else None)


def print_json(value: object) -> None:
    """Print one line of JSON on stdout."""
    sys.stdout.write(json.dumps(value, allow_nan=False) + "\n")


def about(kind: type[Any]) -> str:
    """Return the first sentence on a method."""
    return (kind.__doc__ or "").strip().splitlines()[0]


def all_about(kind: type[Any]) -> str:
    """Return what a method's file and class say: the paper, departures from it, and the options."""
    said = inspect.getdoc(inspect.getmodule(kind)), inspect.getdoc(kind)
    return "\n\n".join(text for text in said if text)


def method(found: Mapping[str, Any]) -> None:
    """Print all that is said of one method, and its options."""
    out = console()
    out.print(found["about"], markup=False, highlight=False)
    made = _table(out, "option", "default")
    for name, default in found["options"].items():
        made.add_row(name, escape(repr(default)))
    out.print(made)


def summary(found: Mapping[str, Any]) -> None:
    """Print a table of runs."""
    out = console()
    made = _table(out, *HEADERS, right=HEADERS[1:])
    for one in found["runs"]:
        made.add_row(*map(escape, cells(one)))
    out.print(f"[bold]{escape(found['name'])}[/]")
    out.print(made)
    out.print(CAPTION, style="dim", highlight=False)
    _peaks(out, found)
    if any(one["accuracy"] is None and one["executor"] != "cost-only" for one in found["runs"]):
        out.print("acc -: there is no test set, so nothing is evaluated, and lazily nothing was trained")
    for one in found["runs"]:
        if one["status"] in _STATUS:
            out.print(f"{escape(one['method'])}, seed {one['seed']}: {_STATUS[one['status']]}")
    out.print(f"results in {escape(found['out'])}", soft_wrap=True, highlight=False)


def survey(report: Mapping[str, Any]) -> None:
    """Print a checked scenario, its fleet, and the cost of a round."""
    out = console()
    text = to_toml(report["resolved"])
    out.print(f"[bold]{escape(report['name'])}[/] ({report['digest']}) is valid\n", highlight=False)
    if out.is_terminal:
        out.print(Syntax(text, "toml", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text + "\n")
    out.print(_fleet(out, report["fleet"]))
    out.print("\n[bold]One round of one device[/], the first of its group, alone on its link")
    out.print(_costs(out, report["costs"]))
    _peaks(out, report)
    statuses = {row["status"] for row in report["costs"]}
    out.print("energy: idle power and the radio's tails included, the last one in full", style="dim", highlight=False)
    for status, meaning in _COST_STATUS.items():
        if status in statuses:
            out.print(f"{status}: {meaning}", style="dim", highlight=False)


def _peaks(out: Console, found: Mapping[str, Any]) -> None:
    """Say what rests on peaks only, if anything does."""
    if found["peaks_only"]:
        out.print(escape(said_of(found["peaks_only"])), style="dim", highlight=False)


def _fleet(out: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    made = _table(out, "devices", "profile", "link", "examples each", right=("devices", "examples each"))
    for row in rows:
        least, most = row["samples_least"], row["samples_most"]
        samples = str(least) if least == most else f"{least} to {most}"
        made.add_row(str(row["count"]), escape(row["profile"]), escape(row["link"]), samples)
    return made


def _costs(out: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    numbers = ("time", "energy", "down", "up", "memory")
    made = _table(out, "method, device", "link", *numbers, right=numbers)
    last = None
    for row in rows:
        if row["method"] != last:
            made.add_row(f"[bold]{escape(row['method'])}[/]")
        last = row["method"]
        made.add_row(f"  {escape(row['profile'])}", escape(row["link"]), *_cost(row))
    return made


def _cost(row: Mapping[str, Any]) -> list[str]:
    if row["status"] != "ok":
        return [row["status"]]
    memory = short_bytes(row["memory_bytes"]) + ("" if row["fits"] else " [red]too much[/]")
    sizes = [short_bytes(row["down_bytes"]), short_bytes(row["up_bytes"])]
    return [short_time(row["seconds"]), short_energy(row["joules"]), *sizes, memory]


def methods(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print methods with their options."""
    out = console()
    made = _table(out, "method", "options and defaults", "what it does", wrap=("options and defaults", "what it does"))
    for name, method in found.items():
        options = ", ".join(f"{key} = {value!r}" for key, value in method["options"].items())
        made.add_row(name, escape(options or "none"), escape(method["about"]))
    out.print(made)


def scenarios(found: Mapping[str, str]) -> None:
    """Print scenarios with what they show."""
    out = console()
    made = _table(out, "scenario", "what it shows", wrap=("what it shows",))
    for name, text in found.items():
        made.add_row(escape(name), escape(text))
    out.print(made)


def profiles(found: Iterable[Profile]) -> None:
    """Print one line for each profile, by kind; what device it is where the terminal has room for that."""
    out = console()
    titled = out.width >= _TITLED
    numbers = ("year", "RAM", "idle", "busy")
    made = _table(out, "profile", *["device"][:titled], *numbers, "rates from", "times off by", right=numbers)
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
    made = _table(out, "link", "down", "up", "latency", right=("down", "up", "latency"))
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
    out.print(f"90 % of true times lie within x{p.spread[0]:.2g} to x{p.spread[1]:.2g} of a predicted one\n")
    rates = _table(out, "kind of work", *_RATES, right=_RATES)
    for kind, rate in p.rates.items():
        numbers = (rate.flops_per_s / 1e9, rate.bytes_per_s / 1e9, rate.call_s * 1e6)
        rates.add_row(kind, *(f"{n:.4g}" if 0 < n < math.inf else "-" for n in numbers))
    out.print(rates)
    out.print()
    out.print(_radios(out, p.radio))
    out.print()
    for s in p.sources:
        _source(out, s)
    for name, radio in p.radio.items():
        for s in radio.sources:
            _source(out, s, of=f"radio.{name}.")


def scores(found: Sequence[Score]) -> None:
    """Print how far profiles are off measured times."""
    out = console()
    numbers, shares = ("rows", "fam", "fitted", "unseen", "FLOPs"), ("holds", "others")
    made = _table(out, "profile", "step", *numbers, "90 % within", *shares, right=(*numbers, *shares))
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
    made = _table(out, "family", "step", *_FAMILY, right=_FAMILY)
    for f in families:
        bias = "-" if f.bias is None else f"{f.bias:+.1%}"
        made.add_row(escape(f.family), f.step, str(f.rows), _percent(f.fitted), _percent(f.unseen), bias)
    rows = _table(out, "worst rows", "step", *_MISS, right=_MISS)
    for m in worst:
        rows.add_row(
            escape(m.name), m.step, str(m.batch), short_time(m.seconds), short_time(m.unseen_s), f"{m.error:+.1%}"
        )
    for table in (made, rows):
        if table.row_count:
            out.print()
            out.print(table)


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
    made = _table(out, "radio, above idle", "sending", "receiving", "tail")
    for name, radio in sorted(radios.items()):
        tail = ", ".join(f"{watts:.3g} W for {short_time(length_s)}" for watts, length_s in radio.tail)
        made.add_row(escape(name), _line(radio.tx), _line(radio.rx), tail or "-")
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
    sources = [asdict(s) for s in p.sources]
    return {**profile_facts(p), "rates": rates, "radio": radio, "sources": sources}


def _radio_facts(r: Radio) -> dict[str, Any]:
    tx, rx, tail = r.tx, r.rx, [{"w": watts, "s": length_s} for watts, length_s in r.tail]
    lines = {"tx_w": tx.w, "tx_j_per_byte": tx.j_per_byte, "rx_w": rx.w, "rx_j_per_byte": rx.j_per_byte}
    return {**lines, "tail": tail, "sources": [asdict(s) for s in r.sources]}


def link_facts(link: Link) -> dict[str, Any]:
    """Return what a link is."""
    names = ("name", "down_bytes_per_s", "up_bytes_per_s", "latency_s", "technology")
    return {name: getattr(link, name) for name in names}


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _table(out: Console, *names: str, right: Iterable[str] = (), wrap: Iterable[str] = ()) -> Table:
    """Return a table whose columns stay on one line, the first and those to *wrap* apart."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2 if out.width >= _ROOMY else 1, 0, 0))
    for number, name in enumerate(names):
        fixed = number > 0 and name not in wrap
        made.add_column(name, justify="right" if name in right else "left", no_wrap=fixed, overflow="fold")
    return made
