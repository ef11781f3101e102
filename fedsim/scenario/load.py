"""Reads a scenario: a file or a packaged name, overrides, and one report of all that is wrong."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import InitErrorDetails

from fedsim.errors import InputError, unknown
from fedsim.fleet.packaged import packaged
from fedsim.fleet.topology import SERVER
from fedsim.scenario.around import Around, Catalogue
from fedsim.scenario.hierarchy import uncombined, without_edges
from fedsim.scenario.laws import misplaced, never, outlived
from fedsim.scenario.network import upwards
from fedsim.scenario.override import put
from fedsim.scenario.schema import Scenario, merged_schedule, schedule_adapter
from fedsim.scenario.table import Table, unknown_keys
from fedsim.scenario.wording import Place, absent, no_such, reworded, show_error, wrong


def scenario_names() -> list[str]:
    """Return the names of the packaged scenarios, those in folders as folder/name."""
    root = packaged("scenarios")
    return sorted(path.relative_to(root).with_suffix("").as_posix() for path in root.rglob("*.toml"))


def find(name: str) -> Path:
    """Return the file of a scenario given by path or by packaged name."""
    path = Path(name)
    if path.is_file():
        return path
    inside = packaged("scenarios") / f"{name}.toml"
    if inside.is_file():
        return inside
    if path.is_dir():
        raise InputError(f"{name}: is a folder; give the path of a .toml file in it, or a packaged name")
    if path.suffix == ".toml":
        raise InputError(f"{name}: no such file; correct the path, or give a packaged name (see fedsim scenarios)")
    raise InputError(f"{unknown('scenario', name, scenario_names())}; or give the path of a .toml file")


def read(path: Path) -> dict[str, Any]:
    """Read a scenario file as it stands."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}): check the path and its permissions") from None
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not TOML ({error}): correct that line") from None


@dataclass(slots=True)
class Draft:
    """A scenario with what is wrong so far; ``parts`` are the top-level tables that are sound."""

    path: Path
    data: dict[str, Any]
    around: Around
    parts: dict[str, Any] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    changed: list[Place] = field(default_factory=list)

    def wrong(self, place: Place, message: str) -> None:
        """Take down that the value at *place* is wrong."""
        value = _at(self.data, place)
        self.refuse([wrong(place, value, message) if value is not None else absent(place, message)])

    def refuse(self, errors: list[InitErrorDetails]) -> None:
        """Take down *errors*, each once."""
        if errors:
            made = ValidationError.from_exception_data("scenario", errors)
            lines = [self._line(one) for one in made.errors(include_url=False)]
            self.errors += [line for line in dict.fromkeys(lines) if line not in self.errors]

    def finished(self) -> Scenario:
        """Return the scenario, or raise InputError with all that is wrong with it."""
        if self.errors:
            raise InputError("\n".join(self.errors))
        return self.scenario

    @property
    def scenario(self) -> Scenario:
        """The scenario as far as it is sound."""
        return Scenario.model_construct(**self.parts)

    def _line(self, error: Any) -> str:
        place = error["loc"]
        set_here = any(place[: len(other)] == other or other[: len(place)] == place for other in self.changed)
        return f"{self.path}{', as overridden' if set_here else ''}: {show_error(error, self.data)}"


def draft(path: Path, overrides: Mapping[str, Any], catalogue: Catalogue) -> Draft:
    """Check the scenario in *path* with *overrides* (dotted keys), table by table."""
    found = Draft(path, read(path), Around(catalogue, path.parent))
    found.changed = [put(found.data, key, value) for key, value in overrides.items()]
    found.refuse(unknown_keys("key", found.data, Scenario.model_fields))
    for key in Scenario.model_fields:
        _read_part(found, key)
    _check_labels(found)
    _check_schedules(found)
    _check_network(found)
    _check_hierarchies(found)
    _check_laws(found)
    return found


def load(path: Path, overrides: Mapping[str, Any], catalogue: Catalogue) -> Scenario:
    """Return the checked scenario in *path* with *overrides*; raises InputError that reports all its errors."""
    return draft(path, overrides, catalogue).finished()


def digest(scenario: Scenario) -> str:
    """Return the digest of the resolved scenario without description and seeds."""
    tables = scenario.resolved()
    del tables["description"], tables["run"]["seeds"]
    return hashlib.sha256(json.dumps(tables, sort_keys=True).encode()).hexdigest()[:12]


@cache
def _adapter(key: str) -> TypeAdapter[Any]:
    info = Scenario.model_fields[key]
    kind: Any = Annotated[info.annotation, info]
    return TypeAdapter(kind)


def _read_part(found: Draft, key: str) -> None:
    if key not in found.data and Scenario.model_fields[key].is_required():
        found.refuse([absent((key,), f"is missing; {_ADVICE[key]}")])
        return
    adapter = _adapter(key)
    try:
        if key in found.data:
            found.parts[key] = adapter.validate_python(found.data[key], strict=True, context=found.around)
        else:
            found.parts[key] = _default(key, found.around)
    except ValidationError as error:
        found.refuse(reworded(error, at=(key,)))


_ADVICE = {
    "name": "such as name = 'my-study'",
    "task": "add [task] with data = 'digits' and model = 'cnn'",
    "fleet": "add [[fleet]] with profile = 'raspberry-pi-4' and count = 10",
    "schedule": "add [schedule] with kind = 'sync', rounds = 20 and cohort = 8",
    "method": "add [[method]] with name = 'fedavg'",
}


def _default(key: str, around: Around) -> Any:
    made = Scenario.model_fields[key].get_default(call_default_factory=True)
    return made if isinstance(made, Table | str) else _adapter(key).validate_python(made, strict=True, context=around)


def _check_labels(found: Draft) -> None:
    methods = found.parts.get("method", [])
    methods[:] = [method.model_copy(update={"label": method.label or method.name}) for method in methods]
    labels = [method.label for method in methods]
    for number, label in enumerate(labels):
        if label in labels[:number]:
            message = f"another method is called {label!r} too; give each [[method]] a label of its own"
            found.refuse([wrong(("method", number, "label"), label, message)])


def _check_schedules(found: Draft) -> None:
    """Check every method's schedule, and that the fleet has enough devices for each."""
    if "schedule" in found.parts:
        _check_places(found, found.parts["schedule"], ("schedule",))
    base, methods = found.data.get("schedule"), found.data.get("method")
    for number, method in enumerate(methods if isinstance(methods, list) else ()):
        own = method.get("schedule") if isinstance(method, dict) else None
        if isinstance(own, dict) and own:
            _check_own_schedule(found, number, base if isinstance(base, dict) else {})


def _check_own_schedule(found: Draft, number: int, base: dict[str, Any]) -> None:
    own, at = found.data["method"][number]["schedule"], ("method", number, "schedule")
    try:
        table = schedule_adapter.validate_python(merged_schedule(base, own), context=found.around)
    except ValidationError as error:
        same = own.get("kind", base.get("kind")) == base.get("kind")
        found.refuse([one for one in reworded(error, at=at) if not same or one["loc"][3] in own])
        return
    if own.keys() & {"kind", table.places_key}:
        _check_places(found, table, at)
    if "method" in found.parts:
        resolved = table.model_dump(mode="json")
        changed = {"schedule": {key: resolved[key] for key in own}}
        found.parts["method"][number] = found.parts["method"][number].model_copy(update=changed)


def _check_places(found: Draft, schedule: Any, at: Place) -> None:
    if "fleet" not in found.parts:
        return
    devices = _devices(found)
    if schedule.places > devices:
        message = f"is larger than the fleet of {devices} devices; lower it, or raise a count under [[fleet]]"
        found.refuse([wrong((*at, schedule.places_key), schedule.places, message)])


def _check_network(found: Draft) -> None:
    """Fill in how many links a preset has for the fleet, and behind what each group is."""
    if not found.parts.keys() >= {"network", "fleet"}:
        return
    fleet, devices = found.parts["fleet"], _devices(found)
    network = found.parts["network"] = found.parts["network"].counted(devices)
    behind = {tier.name: tier.behind for tier in network.tiers(devices, found.around.folder)}
    outermost = SERVER if network.tier else next(iter(behind), SERVER)
    fleet[:] = [group.model_copy(update={"behind": group.behind or outermost}) for group in fleet]
    _check_behind(found, {**behind, SERVER: ""})


def _check_behind(found: Draft, behind: Mapping[str, str]) -> None:
    """Check that every group leads to the server, and that every tier spelt out is for somebody."""
    strange = [(n, group.behind) for n, group in enumerate(found.parts["fleet"]) if group.behind not in behind]
    for number, name in strange:
        found.refuse([wrong(("fleet", number, "behind"), name, no_such("tier", name, behind))])
    used = {name for group in found.parts["fleet"] for name in upwards(behind, group.behind)}
    for number, tier in enumerate(found.parts["network"].tier):
        if tier.name not in used and not strange:
            message = f"no device is behind it: write behind = {tier.name!r} under [[fleet]], or take the tier away"
            found.refuse([wrong(("network", "tier", number, "name"), tier.name, message)])


def _check_hierarchies(found: Draft) -> None:
    """Check that whoever merges at edges has some, and a method that can."""
    if found.parts.keys() >= {"fleet", "network", "method"}:
        tiers = found.parts["network"].tiers(_devices(found), found.around.folder)
        found.refuse(without_edges(found.data, tiers))
        found.refuse(uncombined(found.data, found.around.catalogue.methods))


def _check_laws(found: Draft) -> None:
    """Check events against the fleet and the run's end, and recorded lives against the devices that live them."""
    parts = found.parts
    if parts.keys() >= {"event", "fleet"}:
        found.refuse(misplaced(parts["event"], parts["fleet"]))
    if parts.keys() >= {"event", "run"}:
        found.refuse(never(parts["event"], parts["run"].stop.time))
    if parts.keys() >= {"availability", "fleet"}:
        found.refuse(outlived(parts["availability"], parts["fleet"], found.around.folder))


def _devices(found: Draft) -> int:
    return sum(group.count for group in found.parts["fleet"])


def _at(data: Any, place: Place) -> Any:
    for part in place:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
