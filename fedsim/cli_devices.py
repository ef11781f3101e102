"""The command's part about devices: list, show, validate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

import fedsim.showing_devices as show
from fedsim.showing import print_json

devices = typer.Typer(
    help="List the device profiles, show one, or say how well they tell measured times.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


@devices.command("list")
def devices_list(as_json: Json = False) -> None:
    """List the profiles, and the links that go with them."""
    from fedsim.fleet import link_names, load_link, load_profile, profile_names

    profiles, links = map(load_profile, profile_names()), map(load_link, link_names())
    if as_json:
        print_json(
            {"profiles": [show.profile_facts(p) for p in profiles], "links": [show.link_facts(n) for n in links]}
        )
    else:
        show.profiles(profiles)
        show.links(links)


@devices.command("show")
def devices_show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A packaged name, or the path of a .toml file.")],
    as_json: Json = False,
) -> None:
    """Show one profile, every number with its source."""
    from fedsim.fleet import load_profile

    profile = load_profile(name)
    print_json(show.profile_in_full(profile)) if as_json else show.profile(profile)


@devices.command("validate")
def devices_validate(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="NAME...", help="Profiles; without one, all that carry points.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say how far profiles are off the times measured on their devices, families of models left out.

    With one name also family by family, and the worst rows.
    """
    from dataclasses import asdict

    from fedsim import validating

    found = validating.chosen(names or [])
    scores = [score for profile in found for score in validating.scores(profile)]
    one = found[0] if len(names or []) == 1 else None
    families, misses = (validating.families(one), validating.worst(one)) if one else ([], [])
    if as_json:
        whole = {"scores": list(map(asdict, scores))}
        of_one = {"families": list(map(asdict, families)), "worst": list(map(asdict, misses))}
        print_json(whole | of_one if one else whole)
    else:
        show.scores(scores)
        show.misses(families, misses)


@devices.command("measure")
def devices_measure(
    out: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="The .toml file to write.")],
    quick: Annotated[bool, typer.Option("--quick", help="A third of the pieces: under a minute, less sure.")] = False,
    threads: Annotated[
        int | None, typer.Option(metavar="N", help="Threads of torch on the CPU (else its own).")
    ] = None,
    torch_device: Annotated[str, typer.Option(metavar="cpu|cuda", help="What to measure.")] = "cpu",
    watts_command: Annotated[
        str | None, typer.Option(metavar="CMD", help="Prints the machine's watts (else RAPL or NVML, where readable).")
    ] = None,
    kind: Annotated[str | None, typer.Option(metavar="KIND", help="What the machine is, such as laptop.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over an existing file.")] = False,
    as_json: Json = False,
) -> None:
    """Measure this machine and write its profile: a few minutes; leave it alone meanwhile."""
    from fedsim.fleet.machine import this_machine
    from fedsim.measuring import measure, ready, steps
    from fedsim.power import find_meter
    from fedsim.profiling import checked_path, write_profile
    from fedsim.progress import ticking

    path, machine = checked_path(out, force=force), this_machine(kind)
    device = ready(torch_device, threads)
    meter = find_meter(watts_command, cuda=device.type == "cuda")
    with ticking(steps(quick=quick), hidden=as_json) as tick:
        found = measure(device, quick=quick, meter=meter, tick=tick)
    write_profile(path, machine, found)
    print_json(show.measured_facts(path, found)) if as_json else show.measured(path, found)
