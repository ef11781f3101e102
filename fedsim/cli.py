"""The command: run, check, world, devices, methods, scenarios, schema, explain."""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

import fedsim.showing as show
from fedsim.cli_devices import Json, devices
from fedsim.errors import FedsimError, InputError, unknown
from fedsim.showing import console, print_json
from fedsim.units import parse

app = typer.Typer(
    help="Emulate federated learning on an edge network: real training on a clock of measured devices.",
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
app.add_typer(devices, name="devices")

Set = Annotated[
    list[str], typer.Option("--set", metavar="KEY=VALUE", help="Change a key, such as fleet.0.count=5; repeatable.")
]
DataDir = Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of data sets (else $FEDSIM_DATA).")]
Cache = Annotated[Path | None, typer.Option(metavar="DIR", help="Value cache (else $FEDSIM_CACHE, else the user's).")]
Plugin = Annotated[
    list[Path], typer.Option("--plugin", metavar="FILE", help="A .py file that adds methods of its own; repeatable.")
]
Scenarios = Annotated[list[str], typer.Argument(metavar="SCENARIO", help="Paths, or names of packaged ones.")]


def main() -> None:
    """Run the command and map errors to exit codes: 2 input, 3 the run could not go on, 130 interrupted."""
    try:
        code = app(prog_name="fedsim", standalone_mode=False)
    except FedsimError as error:
        _fail(str(error), error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        code = 130
    except BrokenPipeError:  # who read our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if not _is_usage(error):
            raise
        message = error.format_message()  # type: ignore[attr-defined]
        if message.startswith("Usage:"):  # called without arguments
            sys.stderr.write(f"{message}\n")
            sys.exit(2)
        _fail(message, 2)
    if code == 130:
        console(stderr=True).print("interrupted: finished runs are whole, and the same command goes on from here")
    sys.exit(code or 0)


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"fedsim {version_of('fedsim-edge')}\n")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None: ...


@app.command()
def run(
    scenarios: Scenarios,
    changes: Set = [],  # noqa: B006 - typer's own way
    seeds: Annotated[str | None, typer.Option(metavar="LIST", help="Seeds, such as 0,1,2.")] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Folder of results.")] = Path("results"),
    executor: Annotated[str, typer.Option(metavar="NAME", help="lazy, eager, pool or cost-only.")] = "lazy",
    workers: Annotated[str | None, typer.Option(metavar="N", help="Processes of the pool (else one per core).")] = None,
    torch_device: Annotated[str, typer.Option(metavar="DEVICE", help="cpu or cuda.")] = "cpu",
    fresh: Annotated[bool, typer.Option("--fresh", help="Read neither earlier results nor the cache.")] = False,
    as_json: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    data_dir: DataDir = None,
    cache: Cache = None,
    plugins: Plugin = [],  # noqa: B006
) -> None:
    """Run every method of the scenarios; go on where a killed run stopped.

    Exit codes: 0 done; 2 the input is wrong; 3 the run could not go on; 130 interrupted.
    """
    from fedsim.execute.build import Choice
    from fedsim.experiment import Where, prepare
    from fedsim.progress import Bars
    from fedsim.runner import run as run_scenario

    _import(plugins)
    crew = None if workers is None else _whole("--workers", workers)
    Choice(executor, crew, torch_device).check()
    overrides, chosen, errors = _overrides(changes), _seeds(seeds), console(stderr=True)
    for name in scenarios if len(scenarios) > 1 else []:  # all are sound before the first is run
        prepare(name, overrides, Where(data_dir=data_dir), seeds=chosen)
    with Bars(errors, hidden=quiet or not errors.is_terminal) as bars:
        made = [
            run_scenario(
                name, overrides, seeds=chosen, out=out, executor=executor, workers=crew, torch_device=torch_device,
                data_dir=data_dir, cache=cache, fresh=fresh, progress=bars,
            )
            for name in scenarios
        ]  # fmt: skip
    if as_json:
        _print_each("scenarios", [results.summary for results in made])
    else:
        for results in made:
            show.summary(results.summary)


@app.command()
def check(
    scenarios: Scenarios,
    changes: Set = [],  # noqa: B006
    as_json: Json = False,
    data_dir: DataDir = None,
    plugins: Plugin = [],  # noqa: B006
) -> None:
    """Validate scenarios and price a round of every method; train nothing.

    Prints the scenario with its defaults, the fleet, and one round's cost per kind of device.
    """
    from fedsim.checking import survey
    from fedsim.experiment import Where, prepare

    _import(plugins)
    overrides = _overrides(changes)
    reports = [survey(prepare(name, overrides, Where(data_dir=data_dir))) for name in scenarios]
    if as_json:
        _print_each("scenarios", reports)
    else:
        for report in reports:
            show.survey(report)


@app.command()
def world(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="A path, or the name of a packaged one.")],
    changes: Set = [],  # noqa: B006
    seeds: Annotated[str | None, typer.Option(metavar="LIST", help="Seeds, such as 0,1,2.")] = None,
    devices: Annotated[str, typer.Option(metavar="N", help="How many devices at most, drawn by key.")] = "1000",
    until: Annotated[str, typer.Option(metavar="TIME", help="How long they are looked at.")] = "24 h",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FOLDER", help="Folder of the files.")] = Path("world"),
    as_csv: Annotated[bool, typer.Option("--csv", help="Write CSV in place of Parquet.")] = False,
    as_json: Json = False,
    data_dir: DataDir = None,
    plugins: Plugin = [],  # noqa: B006
) -> None:
    """Write what happens in a scenario's world whoever runs in it: who is online when, what links carry, what fails."""
    from fedsim.experiment import Where, prepare
    from fedsim.histories import write

    _import(plugins)
    most, until_s = _whole("--devices", devices), parse(until, "time")
    if not until_s:
        raise InputError(f"--until {until!r}: nothing happens in no time; give more than 0 s")
    experiment = prepare(scenario, _overrides(changes), Where(data_dir=data_dir), seeds=_seeds(seeds))
    report = write(experiment, out, devices=most, until_s=until_s, as_csv=as_csv)
    print_json(report) if as_json else show.world(report)


@app.command()
def methods(
    name: Annotated[str | None, typer.Argument(help="One method: all that is said of it and of its options.")] = None,
    as_json: Json = False,
    plugins: Plugin = [],  # noqa: B006
) -> None:
    """List the methods, their options and defaults, or say all there is to say of one."""
    from fedsim.methods import METHODS
    from fedsim.scenario import option_defaults

    _import(plugins)
    if name is not None:
        if name not in METHODS:
            raise InputError(f"{unknown('method', name, METHODS)}; give one of these, or a file with --plugin")
        one = {"about": show.all_about(METHODS[name]), "options": option_defaults(METHODS[name])}
        print_json({name: one}) if as_json else show.method(one)
        return
    found = {name: {"about": show.about(kind), "options": option_defaults(kind)} for name, kind in METHODS.items()}
    print_json(found) if as_json else show.methods(found)


@app.command()
def scenarios(as_json: Json = False) -> None:
    """List the packaged scenarios."""
    from fedsim.scenario import find, read, scenario_names

    found = {name: str(read(find(name)).get("description", "")) for name in scenario_names()}
    print_json(found) if as_json else show.scenarios(found)


@app.command()
def schema(plugins: Plugin = []) -> None:  # noqa: B006
    """Print the JSON Schema of a scenario."""
    from fedsim.experiment import Where, catalogue
    from fedsim.scenario import json_schema

    _import(plugins)
    print_json(json_schema(catalogue(Where().data)))


@app.command()
def explain(
    key: Annotated[
        str, typer.Argument(metavar="KEY", help="The start of a value's key, as in the column key of the metrics.")
    ],
    depth: Annotated[str, typer.Option(metavar="N", help="How many steps back.")] = "3",
    cache: Cache = None,
) -> None:
    """Show the recipe behind a value in the cache."""
    from fedsim.experiment import Where
    from fedsim.explaining import recipe_tree

    console().print(recipe_tree(Where(cache=cache).values, key, _whole("--depth", depth)))


def _print_each(name: str, found: list[dict[str, Any]]) -> None:
    print_json(found[0] if len(found) == 1 else {name: found})


def _fail(message: str, code: int) -> None:
    console(stderr=True).print(f"[red]error:[/] {escape(message)}", soft_wrap=True, highlight=False)
    sys.exit(code)


def _overrides(changes: list[str]) -> dict[str, Any]:
    from fedsim.scenario import parse_override

    return dict(parse_override(text) for text in changes)


def _import(plugins: list[Path]) -> None:
    """Import files by their names, from their folders, where the workers of a pool look for them too."""
    for path in plugins:
        if path.suffixes != [".py"] or not path.is_file():
            raise InputError(f"--plugin {str(path)!r}: give a .py file that adds to fedsim.methods.METHODS")
        sys.path.insert(0, str(path.resolve().parent))
        found = getattr(importlib.import_module(path.stem), "__file__", None)
        if found is None or not path.samefile(found):
            raise InputError(f"--plugin {str(path)!r}: there is another module {path.stem!r}: rename the file")


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"--seeds {text!r}: write whole numbers with commas, such as 0,1,2") from None


def _whole(option: str, text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise InputError(f"{option} {text!r}: write a whole number of at least 1")
    return int(text)


def _is_usage(error: Exception) -> bool:
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


if __name__ == "__main__":
    main()
