"""The command's part about devices: list, show, validate."""

from __future__ import annotations

from typing import Annotated

import typer

import fedsim.showing as show
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
