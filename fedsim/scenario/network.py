"""What lies between the devices' own links and the server's: a preset, or tiers spelt out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from fedsim.fleet import Tier, Transport, load_profile
from fedsim.fleet.topology import SERVER
from fedsim.scenario.around import Catalogue, profile_at
from fedsim.scenario.presets import PRESETS, SharedLinkTable, Tiers
from fedsim.scenario.table import Count, Errors, Name, Table, unknown_keys
from fedsim.scenario.wording import no_such, wrong
from fedsim.scenario.world import Open, Profile
from fedsim.units import ByteCount


class WhereTable(Table):
    """Links of one name, what they lead to, and the aggregators (edge) that there may be at their upper ends."""

    name: Name
    count: Count = 1
    behind: str = SERVER
    edge: Profile | None = None


class TierTable(SharedLinkTable, WhereTable):
    """Equal links, each shared by the devices behind it."""

    @classmethod
    def example(cls) -> str:
        return "{ name = 'home', count = 5, down = '100 Mbit/s', up = '20 Mbit/s' }"

    def tier(self, folder: Path) -> Tier:
        """Return the tier itself; *folder*: where the path of a profile starts."""
        edge = load_profile(profile_at(self.edge, folder)) if self.edge else None
        return Tier(self.name, self.made(), self.count, self.behind, edge)


class NetworkTable(Open):
    """A preset and its options, or tiers; nothing is a star.

    handshake: round trips until a new connection carries its first request, of TCP and TLS; first_window: what is sent
    before an acknowledgement has come, doubling from then on.
    """

    called: ClassVar[str] = "preset"
    what: ClassVar[str] = "preset"

    preset: str = "star"
    handshake: Annotated[float, Field(ge=0, le=100)] = Transport().handshake
    first_window: Annotated[ByteCount, Field(gt=0)] = Transport().window_bytes
    tier: list[TierTable] = Field(default_factory=list)

    @classmethod
    def known(cls, catalogue: Catalogue) -> Mapping[str, Callable[..., Any]]:  # noqa: ARG003
        return PRESETS

    @classmethod
    def other_keys(cls, data: Mapping[str, Any], info: ValidationInfo) -> tuple[dict[str, Any], Errors]:
        if "preset" not in data:
            return {}, unknown_keys("key", data, cls.model_fields)
        return super().other_keys(data, info)

    @classmethod
    def example(cls) -> str:
        return "{ preset = 'wifi-homes' }"

    @model_validator(mode="after")
    def _sound(self) -> Self:
        errors = _misnamed(self.tier) or _misled(self.tier)
        if self.tier and "preset" in self.model_fields_set:
            errors.append(wrong(("preset",), self.preset, "does not go with tiers of one's own: take one of them away"))
        if errors:
            raise ValidationError.from_exception_data("network", errors)
        return self

    def counted(self, devices: int) -> Self:
        """Return the table with the numbers of links that a preset has for so many devices."""
        made, options = PRESETS[self.preset], self.options
        counts = {f"{tier.name}s": tier.count for tier in made(devices, **options)}
        return self.model_copy(update={key: count for key, count in counts.items() if key in options})

    @property
    def transport(self) -> Transport:
        """How connections behave."""
        return Transport(self.handshake, self.first_window)

    def tiers(self, devices: int, folder: Path = Path()) -> Tiers:
        """Return the tiers between *devices* and the server; *folder*: where the paths of profiles start."""
        if self.tier:
            return tuple(one.tier(folder) for one in self.tier)
        return PRESETS[self.preset](devices, **self.options)


def _misnamed(tiers: Sequence[TierTable]) -> Errors:
    """Return what is wrong with the names of tiers."""
    errors: Errors = []
    for number, tier in enumerate(tiers):
        at = ("tier", number, "name")
        if tier.name == SERVER:
            errors.append(wrong(at, tier.name, "is what the server's own link is called; choose another"))
        if tier.name == "device":
            errors.append(wrong(at, tier.name, "is what places of devices are called; choose another"))
        if tier.name in [other.name for other in tiers[:number]]:
            errors.append(wrong(at, tier.name, "another tier is called so too; give each a name of its own"))
    return errors


def _misled(tiers: Sequence[TierTable]) -> Errors:
    """Return what is wrong with the ways of tiers to the server."""
    errors: Errors = []
    behind = {tier.name: tier.behind for tier in tiers}
    for number, tier in enumerate(tiers):
        at = ("tier", number, "behind")
        if tier.behind not in {*behind, SERVER}:
            errors.append(wrong(at, tier.behind, no_such("tier", tier.behind, {*behind, SERVER})))
        elif tier.name in upwards(behind, tier.behind):
            errors.append(wrong(at, tier.behind, f"leads back to {tier.name!r}; the last tier is behind {SERVER!r}"))
    return errors


def upwards(behind: Mapping[str, str], start: str) -> Iterable[str]:
    """Return the tiers from *start* on towards the server, each once."""
    found: dict[str, None] = {}
    while start in behind and start not in found:
        found[start] = None
        start = behind[start]
    return found
