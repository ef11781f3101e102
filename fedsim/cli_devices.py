"""The command's part about devices: list, show, validate, predict."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

import fedsim.showing_devices as show
from fedsim.errors import InputError
from fedsim.showing import print_json

devices = typer.Typer(
    help="The device profiles: list, show, validate them, predict a training step, or measure this machine.",
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
    quick: Annotated[bool, typer.Option("--quick", help="A fifth of the pieces: under a minute, less sure.")] = False,
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


@devices.command("predict")
def devices_predict(
    names: Annotated[list[str], typer.Argument(metavar="NAME", help="Profiles, or all: every packaged one.")],
    model: Annotated[
        str,
        typer.Option(metavar="M", help="A model of ours, torchvision:NAME, timm:NAME, or FILE.py:FUNCTION."),
    ],
    batch: Annotated[int, typer.Option(min=1, metavar="N", help="Examples in a step.")] = 16,
    shape: Annotated[str, typer.Option(metavar="C,H,W", help="Of one example; one number: tokens.")] = "3,32,32",
    classes: Annotated[int, typer.Option(min=1, metavar="N", help="What they are told apart in.")] = 10,
    options: Annotated[
        list[str], typer.Option("--option", metavar="KEY=VALUE", help="Of the model, such as width=0.5; repeatable.")
    ] = [],  # noqa: B006 - typer's own way
    optimizer: Annotated[str, typer.Option(metavar="NAME", help="sgd, adam or adamw.")] = "sgd",
    momentum: Annotated[float, typer.Option(min=0.0, metavar="X", help="Of sgd.")] = 0.0,
    inference: Annotated[bool, typer.Option("--inference", help="A forward pass, no training step.")] = False,
    from_storage: Annotated[bool, typer.Option("--from-storage", help="Images are read and decoded too.")] = False,
    as_json: Json = False,
) -> None:
    """Predict what a training step takes on devices: time, energy and memory; nothing is run.

    Whole steps for which a profile carries an exact time, under the name printed first, take that.
    """
    from fedsim.fleet import load_profile, peaks_only, profile_names, unmetered
    from fedsim.learn.networks import example_of, find_network
    from fedsim.predicting import facts, step_load

    profiles = [load_profile(name) for name in (profile_names() if names == ["all"] else names)]
    sides = _sides(shape)
    network = find_network(model, classes=classes, shape=sides, options=dict(map(_option, options)))
    load = step_load(
        network.module, *example_of(sides, batch), optimizer=optimizer, momentum=momentum, training=not inference,
        images_from_storage=from_storage, network=network.name,
    )  # fmt: skip
    rows = [facts(load, profile) for profile in profiles]
    found = {
        "step": next(iter(load.steps)),
        "what": f"{'a forward pass over' if inference else 'a training step on'} {batch} examples",
        "parameters": sum(p.numel() for p in network.module.parameters()),
        "flops": load.flops,
        "peaks_only": peaks_only(profiles),
        "unmetered": unmetered(profiles),
        "devices": sorted(rows, key=lambda row: (not row["fits"], row["seconds"])) if names == ["all"] else rows,
    }
    print_json(found) if as_json else show.predictions(found)


def _sides(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if len(parts) not in (1, 3) or not all(part.strip().isdecimal() and int(part) for part in parts):
        raise InputError(f"--shape {text!r}: write channels,height,width, such as 3,32,32, or a number of tokens")
    return tuple(map(int, parts))


def _option(text: str) -> tuple[str, Any]:
    from fedsim.scenario import parse_override

    name, equals, _ = text.partition("=")
    if not equals or not name.isidentifier():
        raise InputError(f"--option {text!r}: write KEY=VALUE, such as width=0.5")
    if name in ("name", "classes", "shape"):
        raise InputError(f"--option {text!r}: this is no option of a model; there are --model, --classes and --shape")
    return parse_override(text)
