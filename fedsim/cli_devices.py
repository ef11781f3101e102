"""The command's part about devices: list, show."""

from __future__ import annotations

from typing import Annotated

import typer

import fedsim.showing as show
from fedsim.showing import print_json

devices = typer.Typer(help="List the device profiles, or show one.", no_args_is_help=True, rich_markup_mode=None)

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
