"""What the command prints: tables that fit 80 columns, and JSON."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from fedsim.fleet import said_of, said_of_power
from fedsim.results import CAPTION, HEADERS, cells
from fedsim.scenario import to_toml
from fedsim.units import short_bytes, short_energy, short_rate, short_time, written

_ROOMY = 100
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
    made = table(out, "option", "default")
    for name, default in found["options"].items():
        made.add_row(name, escape(repr(default)))
    out.print(made)


def summary(found: Mapping[str, Any]) -> None:
    """Print a table of runs."""
    out = console()
    made = table(out, *HEADERS, right=HEADERS[1:])
    for one in found["runs"]:
        made.add_row(*map(escape, cells(one)))
    out.print(f"[bold]{escape(found['name'])}[/]")
    out.print(made)
    out.print(CAPTION, style="dim", highlight=False)
    doubts(out, found)
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
    if len(report["network"]) > 1:  # the server's link is not alone
        out.print("\n[bold]Links that devices share[/], on the way to the server")
        out.print(_network(out, report["network"]))
    if "dynamics" in report:
        _dynamics(out, report["dynamics"])
    out.print("\n[bold]One round of one device[/], the first of its group, alone on its link")
    out.print(_costs(out, report["costs"]))
    doubts(out, report)
    statuses = {row["status"] for row in report["costs"]}
    out.print("energy: idle power and the radio's tails included, the last one in full", style="dim", highlight=False)
    for status, meaning in _COST_STATUS.items():
        if status in statuses:
            out.print(f"{status}: {meaning}", style="dim", highlight=False)


def doubts(out: Console, found: Mapping[str, Any]) -> None:
    """Say what rests on peaks only, and whose power is not known."""
    if found["peaks_only"]:
        out.print(escape(said_of(found["peaks_only"])), style="dim", highlight=False)
    if found["unmetered"]:
        out.print(escape(said_of_power(found["unmetered"])), style="dim", highlight=False)


def _fleet(out: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    names = ("devices", "profile", "link", "behind", "examples each")
    made = table(out, *names, right=("devices", "examples each"))
    for row in rows:
        samples = _between(row["samples_least"], row["samples_most"])
        made.add_row(str(row["count"]), *(escape(row[key]) for key in ("profile", "link", "behind")), samples)
    return made


def _network(out: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    numbers = ("links", "down", "up", "latency", "devices each")
    made = table(out, "tier", *numbers, "behind", "aggregator", right=numbers)
    for row in rows:
        up = "(shared)" if row["shared"] else short_rate(row["up_bytes_per_s"])
        rates = (short_rate(row["down_bytes_per_s"]), up, short_time(row["latency_s"]))
        devices = _between(row["devices_least"], row["devices_most"])
        names = (escape(row[key] or "-") for key in ("behind", "edge"))
        made.add_row(escape(row["tier"]), str(row["count"]), *rates, devices, *names)
    return made


def _dynamics(out: Console, found: Mapping[str, Any]) -> None:
    until = written(found["groups"][0]["until_s"], "time")
    out.print(f"\n[bold]What happens to devices[/], online in the first {until}, charge apart", highlight=False)
    numbers = ("devices", "looked at", "online", "mean stay")
    made = table(out, "profile", *numbers, right=numbers)
    for row in found["groups"]:
        stay = "-" if row["stay_s"] is None else short_time(row["stay_s"])
        made.add_row(escape(row["profile"]), str(row["count"]), str(row["sampled"]), f"{row['online']:.0%}", stay)
    out.print(made)
    for line in found["said"]:
        out.print(f"- {escape(line)}", highlight=False)


def _between(least: int, most: int) -> str:
    return str(least) if least == most else f"{least} to {most}"


def _costs(out: Console, rows: Iterable[Mapping[str, Any]]) -> Table:
    numbers = ("time", "energy", "down", "up", "memory")
    made = table(out, "method, device", "link", *numbers, right=numbers)
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


def world(report: Mapping[str, Any]) -> None:
    """Print what the histories of a world amount to, and the files that hold them."""
    out, numbers = console(), ("devices", "time", "online", "changes per hour")
    out.print(f"[bold]{escape(report['name'])}[/]")
    made = table(out, "seed", *numbers, right=numbers)
    for one in report["seeds"]:
        shares = f"{one['online']:.1%}", f"{one['changes_per_h']:.3g}"
        made.add_row(str(one["seed"]), str(one["devices"]), short_time(one["until_s"]), *shares)
    out.print(made)
    made = table(out, "file", "rows", "digest", right=("rows",))
    for one in report["files"]:
        made.add_row(one["file"], str(one["rows"]), one["digest"])
    out.print(made)
    out.print(f"files in {escape(report['out'])}", soft_wrap=True, highlight=False)


def methods(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Print methods with their options."""
    out = console()
    made = table(out, "method", "options and defaults", "what it does", wrap=("options and defaults", "what it does"))
    for name, method in found.items():
        options = ", ".join(f"{key} = {value!r}" for key, value in method["options"].items())
        made.add_row(name, escape(options or "none"), escape(method["about"]))
    out.print(made)


def scenarios(found: Mapping[str, str]) -> None:
    """Print scenarios with what they show."""
    out = console()
    made = table(out, "scenario", "what it shows", wrap=("what it shows",))
    for name, text in found.items():
        made.add_row(escape(name), escape(text))
    out.print(made)


def table(out: Console, *names: str, right: Iterable[str] = (), wrap: Iterable[str] = ()) -> Table:
    """Return a table whose columns stay on one line, the first and those to *wrap* apart."""
    made = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2 if out.width >= _ROOMY else 1, 0, 0))
    for number, name in enumerate(names):
        fixed = number > 0 and name not in wrap
        made.add_column(name, justify="right" if name in right else "left", no_wrap=fixed, overflow="fold")
    return made
