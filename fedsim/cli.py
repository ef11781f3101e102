"""The command: run, check, devices, methods, scenarios, schema, explain."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from fedsim.errors import FedsimError, InputError

if TYPE_CHECKING:
    from fedsim.results import Results

app = typer.Typer(
    help="Emulate federated learning on an edge network: real training on a clock of measured devices.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
)  # fmt: skip
devices_app = typer.Typer(help="The device profiles.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(devices_app, name="devices")

OUT, ERR = Console(), Console(stderr=True)

Set = Annotated[list[str], typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the scenario.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder of data sets [default: $FEDSIM_DATA].")]
Cache = Annotated[Path | None, typer.Option(help="Value cache [default: $FEDSIM_CACHE, else the user's].")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


def main() -> None:
    """Run the command and map errors to exit codes: 2 input, 3 the run could not go on, 130 interrupted."""
    try:
        app(standalone_mode=False)
    except FedsimError as error:
        ERR.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        ERR.print("interrupted: finished runs are whole; the same command goes on from here")
        sys.exit(130)
    except Exception as error:
        if _is_usage(error):
            ERR.print(f"[red]error:[/] {escape(error.format_message())}", soft_wrap=True)  # type: ignore[attr-defined]
            sys.exit(2)
        raise


@app.command()
def run(
    scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO...", help="Paths or packaged names.")],
    changes: Set = [],  # noqa: B006 - typer's own way
    seeds: Annotated[str | None, typer.Option(help="Seeds, such as 0,1,2.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of results.")] = Path("results"),
    executor: Annotated[str, typer.Option(help="lazy, eager, pool or cost-only.")] = "lazy",
    workers: Annotated[int | None, typer.Option(help="Worker processes of the pool [default: one per core].")] = None,
    torch_device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    fresh: Annotated[bool, typer.Option("--fresh", help="Read neither earlier results nor the cache.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    data_dir: DataDir = None,
    cache: Cache = None,
) -> None:
    """Run every method of the scenarios; pick up where a killed run stopped."""
    from fedsim.execute.build import Choice
    from fedsim.progress import Bars
    from fedsim.runner import Where, prepare
    from fedsim.runner import run as run_scenario

    overrides = _overrides(changes)
    where, choice, chosen = Where(out, data_dir, cache), Choice(executor, workers, torch_device), _seeds(seeds)
    choice.check()
    for name in scenarios[1:]:
        prepare(name, overrides, where, seeds=chosen)
    with Bars(ERR, hidden=quiet or not ERR.is_terminal) as bars:
        made = [
            run_scenario(name, overrides, seeds=chosen, where=where, choice=choice, fresh=fresh, progress=bars)
            for name in scenarios
        ]
    if as_json:
        summaries = [results.summary for results in made]
        _print_json(summaries[0] if len(summaries) == 1 else {"scenarios": summaries})
    else:
        for results in made:
            _show_summary(results)


@app.command()
def check(
    scenarios: Annotated[list[str], typer.Argument(metavar="SCENARIO...")],
    changes: Set = [],  # noqa: B006
    as_json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Validate scenarios; show fleet and cost of a round per device; train nothing."""
    from fedsim.checking import survey
    from fedsim.runner import Where, prepare

    reports = []
    for name in scenarios:
        experiment = prepare(name, _overrides(changes), Where(data_dir=data_dir))
        reports.append(survey(experiment))
    if as_json:
        _print_json(reports[0] if len(reports) == 1 else {"scenarios": reports})
        return
    for report in reports:
        _show_survey(report)


@app.command()
def methods(as_json: Json = False) -> None:
    """List the methods, their options and defaults."""
    from fedsim.methods import METHODS
    from fedsim.scenario.options import option_defaults

    found = {name: (_about(kind), option_defaults(kind)) for name, kind in METHODS.items()}
    if as_json:
        _print_json({name: {"about": about, "options": options} for name, (about, options) in found.items()})
        return
    table = _table("method", "options and defaults", "what it does")
    for name, (about, options) in found.items():
        table.add_row(name, escape(", ".join(f"{k} = {v!r}" for k, v in options.items()) or "none"), about)
    OUT.print(table)


@app.command()
def scenarios(as_json: Json = False) -> None:
    """List the packaged scenarios."""
    from fedsim.scenario import find, read, scenario_names

    found = {name: str(read(find(name)).get("description", "")) for name in scenario_names()}
    if as_json:
        _print_json(found)
        return
    table = _table("scenario", "what it shows")
    for name, about in found.items():
        table.add_row(name, escape(about))
    OUT.print(table)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a scenario."""
    from fedsim.methods import METHODS
    from fedsim.scenario import json_schema

    _print_json(json_schema(METHODS))


@app.command()
def explain(
    key: Annotated[str, typer.Argument(help="The start of a value's key, as in the column key of the metrics.")],
    depth: Annotated[int, typer.Option(min=1, help="How many steps back.")] = 3,
    cache: Cache = None,
) -> None:
    """Show the recipe behind a value in the cache."""
    from fedsim.explaining import recipe_tree
    from fedsim.runner import Where, cache_folder

    OUT.print(recipe_tree(cache_folder(Where(cache=cache)), key, depth))


@devices_app.command("list")
def devices_list(as_json: Json = False) -> None:
    """List the profiles, and the links that go with them."""
    from fedsim.fleet import load_profile, profile_names
    from fedsim.units import show_bytes

    profiles = [load_profile(name) for name in profile_names()]
    if as_json:
        _print_json([{"name": p.name, "title": p.title, "quality": p.quality} for p in profiles])
        return
    table = _table("profile", "device", "year", "RAM", "idle", "busy", "rates from")
    for p in profiles:
        busy = f"+{p.busy_w:.3g} W"
        table.add_row(p.name, p.title, str(p.year), show_bytes(p.memory_bytes), f"{p.idle_w:.3g} W", busy, p.quality)
    OUT.print(table)


@devices_app.command("show")
def devices_show(name: Annotated[str, typer.Argument(help="A packaged name, or the path of a .toml file.")]) -> None:
    """Show one profile, every number with its source."""
    from fedsim.fleet import load_profile
    from fedsim.units import show_bytes

    p = load_profile(name)
    OUT.print(f"[bold]{escape(p.title)}[/] ({p.name}, {p.kind}, {p.year}): rates from {p.quality}")
    sizes = f"RAM {show_bytes(p.memory_bytes)}, storage {show_bytes(p.storage_bytes)}"
    bounds = f"a predicted time is within x{p.spread[0]:.2g} to x{p.spread[1]:.2g}"
    OUT.print(f"{sizes}, idle {p.idle_w:.3g} W, busy +{p.busy_w:.3g} W; {bounds}", soft_wrap=True)
    rates = _table("operator class", "GFLOP/s", "GB/s", "µs per call")
    for kind, rate in p.rates.items():
        numbers = (rate.flops_per_s / 1e9, rate.bytes_per_s / 1e9, rate.call_s * 1e6)
        rates.add_row(kind.value, *(f"{n:.4g}" if 0 < n < float("inf") else "-" for n in numbers))
    OUT.print(rates)
    sources = _table("what", "value", "source", "year")
    for s in p.sources:
        sources.add_row(escape(s.what), escape(s.value), escape(f"{s.source} {s.note}".strip()), str(s.year))
    OUT.print(sources)


def _show_summary(results: Results) -> None:
    from fedsim.results import cells

    summary = results.summary
    table = _table("method", "seed", "accuracy", "virtual time", "up", "down", "energy", "wasted", "rounds", "jobs run")
    for column in table.columns[1:]:
        column.justify = "right"
    for one in summary["runs"]:
        table.add_row(*map(escape, cells(one)), str(one["jobs_run"]))
    table.title = escape(summary["name"])
    table.caption = "energy: of the devices, while asked; wasted: the share no merge used"
    OUT.print(table)
    for one in summary["runs"]:
        if one["status"] == "stopped":
            OUT.print(f"{one['method']}, seed {one['seed']}: stopped by run.stop.time before its schedule's end")
    OUT.print(f"results in {escape(summary['out'])}", soft_wrap=True)


def _show_survey(report: dict[str, Any]) -> None:
    from rich.syntax import Syntax

    OUT.print(f"[bold]{report['name']}[/] ({report['digest']}) is valid")
    OUT.print(Syntax(report["resolved"], "toml", background_color="default"))
    fleet = _table("devices", "profile", "link", "examples each")
    for row in report["fleet"]:
        fleet.add_row(*(str(row[key]) for key in ("count", "profile", "link", "samples")))
    OUT.print(fleet)
    costs = _table("method", "profile", "link", "seconds", "joules", "down", "up", "memory", "fits")
    for row in report["costs"]:
        costs.add_row(*row.values())
    costs.title = "One round of one device (the group's first), alone on its link"
    OUT.print(costs)


def _print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


def _overrides(changes: list[str]) -> dict[str, Any]:
    from fedsim.scenario import parse_override

    return dict(parse_override(text) for text in changes)


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text!r}: write whole numbers with commas, such as 0,1,2") from None


def _table(*names: str) -> Table:
    table = Table(box=None, header_style="bold", title_justify="left", caption_justify="left")
    for name in names:
        table.add_column(name, overflow="fold")
    return table


def _about(kind: type[Any]) -> str:
    return (kind.__doc__ or "").strip().splitlines()[0]


def _is_usage(error: Exception) -> bool:
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


if __name__ == "__main__":
    main()
