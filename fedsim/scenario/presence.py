"""When devices are there: the tables of availability, each of which makes the law of its kind."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import Field, ValidationError, ValidationInfo, model_validator

from fedsim.errors import InputError
from fedsim.fleet import Always, Availability, Charging, Markov, all_of
from fedsim.fleet.battery import CHARGE_PER_H, USE_PER_H
from fedsim.fleet.curve import load_curve
from fedsim.fleet.diurnal import Diurnal
from fedsim.fleet.holes import Holes
from fedsim.fleet.presence import Draw, Offset, Presence
from fedsim.fleet.presence_files import Need, read_presence
from fedsim.scenario.around import around
from fedsim.scenario.curves import CurveOf
from fedsim.scenario.table import Share, Span, Table, by_kind
from fedsim.scenario.wording import Place, said, wrong
from fedsim.seeds import seed_of
from fedsim.units import Seconds

OnDropout = Literal["discard", "restart", "resume", "partial"]


@dataclass(frozen=True, slots=True)
class Drawing:
    """What a table makes its law from beside itself: the seed of its draws, and where relative paths start.

    ``root`` is the seed of the whole scenario's laws: by it a device lives in one time zone under all of them, of
    which each has a ``life`` of its own.
    """

    seed: int
    folder: Path
    root: int | None = None  # None: this is it
    life: int = 0

    def at(self, *labels: object) -> Drawing:
        """Return where a part of the law draws from."""
        return Drawing(seed_of(self.seed, *labels), self.folder, self.whole, seed_of(self.life, *labels) >> 31)

    @property
    def whole(self) -> int:
        """The seed of the whole scenario's laws."""
        return self.seed if self.root is None else self.root


class PartTable(Table):
    """A law of availability, or a part of one."""

    kind: str

    @abstractmethod
    def law(self, drawing: Drawing) -> Availability:
        """Return the law itself; raises InputError where a file is not as it must be."""

    def charging(self, drawing: Drawing) -> Charging | None:
        """Return the batteries that go with the law, if any do."""
        return None

    def mains(self, drawing: Drawing) -> Availability:
        """Return the law of devices without a battery."""
        return self.law(drawing)

    def recorded(self, *, battery: bool) -> Iterator[tuple[Place, RecordedPart]]:
        """Yield the recorded lives that devices with or without a *battery* live, with their places in the table."""
        yield from ()

    def _refuse(self, key: str, message: str) -> NoReturn:
        raise ValidationError.from_exception_data(self.kind, [wrong((key,), getattr(self, key), message)])


class AlwaysPart(PartTable):
    """Every device is always online."""

    kind: Literal["always"]

    def law(self, drawing: Drawing) -> Availability:
        return Always()


class MarkovPart(PartTable):
    """Devices come and go for exponential times."""

    kind: Literal["markov"]
    mean_online: Span = 2400.0
    mean_offline: Span = 600.0

    def law(self, drawing: Drawing) -> Availability:
        return Markov(self.mean_online, self.mean_offline, drawing.seed)


class DiurnalPart(PartTable):
    """Devices come and go with the hour of their day; see `fedsim.fleet.diurnal.Diurnal`.

    zones: how far each time zone is ahead of the first; spread: the deviation of people's own hours; starts_at: the
    time of day, where zones are 0, at which the run starts.
    """

    kind: Literal["diurnal"]
    curve: CurveOf = "charging-and-wifi"
    zones: Annotated[list[Seconds], Field(min_length=1)] = Field(default_factory=lambda: [0.0])
    spread: Seconds = 0.0
    starts_at: Seconds = 0.0

    def law(self, drawing: Drawing) -> Availability:
        curve = load_curve(self.curve) if isinstance(self.curve, str) else self.curve.curve()
        hours = {"spread_s": self.spread, "starts_at_s": self.starts_at}
        return Diurnal(curve, drawing.whole, tuple(self.zones), **hours, life=drawing.life)


class RecordedPart(PartTable):
    """Devices live lives that were recorded; see `fedsim.fleet.presence_files.read_presence`."""

    kind: Literal["trace"]
    file: str
    needs: Annotated[list[Need], Field(min_length=1)] | None = None
    offset: Offset = "days"
    loop: bool = True
    holes: Holes = "borrow"
    draw: Draw = "random"

    @model_validator(mode="after")
    def _readable(self, info: ValidationInfo) -> RecordedPart:
        try:
            self.law(Drawing(0, around(info).folder))
        except InputError as error:
            self._refuse("file", str(error))
        return self

    def recorded(self, *, battery: bool) -> Iterator[tuple[Place, RecordedPart]]:
        yield (), self

    def law(self, drawing: Drawing) -> Presence:
        return read_presence(
            drawing.folder / Path(self.file).expanduser(),
            seed=drawing.seed,
            needs=None if self.needs is None else tuple(self.needs),
            offset=self.offset,
            loop=self.loop,
            holes=self.holes,
            draw=self.draw,
        )


Simple = AlwaysPart | MarkovPart | DiurnalPart | RecordedPart
SIMPLE: dict[str, type[PartTable]] = {
    "always": AlwaysPart,
    "markov": MarkovPart,
    "diurnal": DiurnalPart,
    "trace": RecordedPart,
}


class ChargerPart(DiurnalPart):
    """Devices are plugged in as phones are, or by another curve: `DiurnalPart`."""

    kind: Literal["diurnal"] = "diurnal"
    curve: CurveOf = "charging"


Plug = Annotated[
    AlwaysPart | MarkovPart | ChargerPart | RecordedPart, by_kind({**SIMPLE, "diurnal": ChargerPart}, "diurnal")
]


class BatteryPart(PartTable):
    """Devices work while plugged in (kinds as of an availability), or while their batteries are above *floor*.

    An empty one is ready again at the share *resume*. only_plugged: nobody works from the battery. start: between which
    shares a device's charge lies at the midnight before it is first asked; charge, use: shares of the battery an hour,
    from its charger and by its owner. Devices whose profile has no battery are always plugged in.
    """

    kind: Literal["battery"]
    plugged: Plug = Field(default_factory=dict, validate_default=True)
    only_plugged: bool = False
    floor: Share = 0.2
    resume: Share = 0.3
    start: Annotated[list[Share], Field(min_length=2, max_length=2)] = Field(default_factory=lambda: [0.3, 1.0])
    charge: Annotated[float, Field(gt=0, le=100)] = CHARGE_PER_H
    use: Annotated[float, Field(ge=0, le=100)] = USE_PER_H

    @model_validator(mode="after")
    def _rising(self) -> BatteryPart:
        if not self.floor <= self.resume:
            self._refuse("resume", f"is below floor, {self.floor}: an empty battery must fill up to be ready")
        if self.start[0] > self.start[1]:
            self._refuse("start", "falls: write the lower share first")
        return self

    def law(self, drawing: Drawing) -> Availability:
        return self.plugged.law(drawing.at("plug")) if self.only_plugged else Always()

    def mains(self, drawing: Drawing) -> Availability:
        return Always()

    def recorded(self, *, battery: bool) -> Iterator[tuple[Place, RecordedPart]]:
        found = self.plugged.recorded(battery=True) if battery else ()
        yield from ((("plugged", *place), part) for place, part in found)

    def charging(self, drawing: Drawing) -> Charging | None:
        plugged, (low, high) = self.plugged.law(drawing.at("plug")), self.start
        hourly = {"charge_per_h": self.charge, "use_per_h": self.use}
        return Charging(plugged, self.floor, self.resume, start=(low, high), **hourly, seed=drawing.seed)


PARTS: dict[str, type[PartTable]] = {**SIMPLE, "battery": BatteryPart}
_A_BATTERY: Any = {"properties": {"kind": {"const": "battery"}}, "required": ["kind"]}
_ONE_BATTERY = Field(json_schema_extra={"contains": _A_BATTERY, "minContains": 0, "maxContains": 1})


class AllPart(PartTable):
    """Devices are there while all that is named says so: idle and charging and on WiFi."""

    kind: Literal["all"]
    of: Annotated[list[Annotated[Simple | BatteryPart, by_kind(PARTS)]], Field(min_length=2), _ONE_BATTERY]

    @model_validator(mode="after")
    def _one_battery(self) -> AllPart:
        if sum(part.kind == "battery" for part in self.of) > 1:
            raise said("has two parts of kind 'battery': a device has one; put its floor and its plug into one part")
        return self

    def law(self, drawing: Drawing) -> Availability:
        return all_of(*(part.law(drawing.at(number)) for number, part in enumerate(self.of)))

    def mains(self, drawing: Drawing) -> Availability:
        return all_of(*(part.mains(drawing.at(number)) for number, part in enumerate(self.of)))

    def recorded(self, *, battery: bool) -> Iterator[tuple[Place, RecordedPart]]:
        for number, part in enumerate(self.of):
            yield from ((("of", number, *place), found) for place, found in part.recorded(battery=battery))

    def charging(self, drawing: Drawing) -> Charging | None:
        found = (part.charging(drawing.at(number)) for number, part in enumerate(self.of))
        return next((charging for charging in found if charging), None)

    @classmethod
    def example(cls) -> str:
        return "{ kind = 'all', of = [{ kind = 'battery' }, { kind = 'diurnal', curve = 'wifi' }] }"


class _Whole(Table):
    on_dropout: OnDropout = "resume"


class AlwaysTable(_Whole, AlwaysPart):
    """Every device is always online."""


class MarkovTable(_Whole, MarkovPart):
    """Devices come and go for exponential times."""

    kind: Literal["markov"] = "markov"


class DiurnalTable(_Whole, DiurnalPart):
    """Devices come and go with the hour of their day: `DiurnalPart`."""


class RecordedTable(_Whole, RecordedPart):
    """Devices live lives that were recorded: `RecordedPart`."""


class BatteryTable(_Whole, BatteryPart):
    """Devices work while plugged in, or from batteries that are not empty: `BatteryPart`."""


class AllTable(_Whole, AllPart):
    """Devices are there while all that is named says so: `AllPart`."""


_TABLES: dict[str, type[Table]] = {
    "always": AlwaysTable,
    "markov": MarkovTable,
    "diurnal": DiurnalTable,
    "trace": RecordedTable,
    "battery": BatteryTable,
    "all": AllTable,
}
AvailabilityTable = Annotated[
    AlwaysTable | MarkovTable | DiurnalTable | RecordedTable | BatteryTable | AllTable, by_kind(_TABLES, "markov")
]
GroupPresence = Annotated[Simple, by_kind(SIMPLE)]
