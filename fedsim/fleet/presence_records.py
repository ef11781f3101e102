r"""Lives from the records of two simulators, as JSON or (FedScale's) a pickle has them: devices by name.

FedScale (SymbioticLab/FedScale, benchmark/dataset/data/device_info/README.md, fedscale/cloud/internal/
client_metadata.py, `is_active`): ``{"duration", "inactive": [s], "finish_time": s, "active": [s], "model"}``. A client
is active from each ``active`` to the ``inactive`` of the same place, at a time modulo ``finish_time``; a pair the wrong
way round holds no time. FedScale moves on by one pair a question, so that it misses some where it asks seldom; here a
client is as its record says. "duration" and "model" are not used.

FLASH (PKU-Chengxu/FLASH, models/timer.py, `Timer`): ``{"messages": "2020-01-02 00:00:00\tscreen_lock\n..."}``, lines of
the time and what changed then. Its authors' device is ready while it is idle, which they define as locked, charges, and
is on WiFi; what was not told yet does not hold, and a record loops from its first to its last message. So it does here,
but for three things: messages are sorted by time, the state before the last one lasts up to it, and devices that are
never ready are not left out. Times have no zone: they are taken as each device's local ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from itertools import pairwise
from pathlib import Path

from fedsim.errors import InputError, nearest
from fedsim.fleet.holes import Reading, Stretch, life_of
from fedsim.fleet.presence import Life, lived

_READY = ("idle", "charging", "wifi")
_SAYS = {
    "battery_charged_on": ("charging", True), "battery_charged_off": ("charging", False),
    "wifi": ("wifi", True), "unknown": ("wifi", False),
    **{f"{generation}g": ("wifi", False) for generation in (2, 3, 4, 5)},
    "screen_lock": ("idle", True), "screen_unlock": ("idle", False),
    "screen_off": ("screen_off", True), "screen_on": ("screen_off", False),
}  # fmt: skip

_TIME_CHARACTERS = len("2020-01-02 00:00:00")
_MOST_S = 1e12
_KINDS = (
    "write FedScale's {'1': {'active': [...], 'inactive': [...], 'finish_time': ...}} "
    "or FLASH's {'1': {'messages': '2020-01-02 00:00:00\\tscreen_lock\\n...'}}"
)

Message = tuple[datetime, str]
"""When, and what changed"""


@dataclass(frozen=True, slots=True)
class _Device:
    """Where a record stands."""

    path: Path
    name: object

    def wrong(self, message: str) -> InputError:
        return InputError(f"{self.path}, device {self.name!r}: {message}")


def lives_of_records(path: Path, records: object, reading: Reading) -> tuple[Life, ...]:
    """Return the life of each device; all records are of the kind of the first. Raises InputError."""
    if not isinstance(records, dict) or not records:
        raise InputError(f"{path}: holds no devices by name: {_KINDS}")
    first = next(iter(records.values()))
    if isinstance(first, dict) and "messages" in first:
        return _flash(path, records, reading)
    if isinstance(first, dict) and "active" in first:
        if reading.needs is not None:
            asked = " and ".join(reading.needs)
            raise InputError(f"{path}: says only when devices are active, so it cannot tell {asked}: leave needs out")
        return tuple(_fedscale(_Device(path, name), record, reading) for name, record in records.items())
    raise _Device(path, next(iter(records))).wrong(f"is of no known kind: {_KINDS}")


def _fedscale(device: _Device, record: object, reading: Reading) -> Life:
    if not isinstance(record, dict):
        raise device.wrong(f"is {record!r:.40}: write active, inactive and finish_time")
    finish_s, active, inactive = (_seconds(device, record, name) for name in ("finish_time", "active", "inactive"))
    if len(active) != len(inactive):
        raise device.wrong(f"has {len(active)} active and {len(inactive)} inactive times: give one of each in a pair")
    if finish_s[0] <= 0:
        raise device.wrong(f"finish_time is {finish_s[0]:g}: write the seconds after which the record starts again")
    inside = [(max(start_s, 0.0), min(end_s, finish_s[0])) for start_s, end_s in zip(active, inactive, strict=True)]
    pairs = [(start_s, end_s) for start_s, end_s in inside if end_s > start_s]
    return lived(pairs, length_s=reading.length_s(finish_s[0]), loops=reading.loops)


def _seconds(device: _Device, record: Mapping[str, object], name: str) -> list[float]:
    """Return the numbers of a list; finish_time is a number alone."""
    if name not in record:
        raise device.wrong(f"has no {name}: write active, inactive and finish_time, in seconds")
    value = record[name]
    found = [value] if name == "finish_time" else value
    if not isinstance(found, list):
        raise device.wrong(f"{name} is {value!r:.40}: write a list of seconds")
    for place, item in enumerate(found, 1):
        if isinstance(item, bool) or not isinstance(item, int | float) or not abs(item) <= _MOST_S:
            raise device.wrong(f"{name}, number {place} is {item!r:.40}: write finite seconds")
    return [float(item) for item in found]


def _flash(path: Path, records: Mapping[str, object], reading: Reading) -> tuple[Life, ...]:
    """Count seconds from the midnight before the first message of all."""
    told = {name: sorted(_messages(_Device(path, name), record), key=_time) for name, record in records.items()}
    for name, messages in told.items():
        if not messages or messages[0][0] == messages[-1][0]:
            raise _Device(path, name).wrong(f"its {len(messages)} messages cover no time: remove it")
    origin = datetime.combine(min(messages[0][0] for messages in told.values()), time())
    needs = reading.needs or _READY
    return tuple(life_of([*_stretches(messages, needs, origin)], reading) for messages in told.values())


def _time(message: Message) -> datetime:
    return message[0]


def _messages(device: _Device, record: object) -> Iterator[Message]:
    text = record.get("messages") if isinstance(record, dict) else record
    if not isinstance(text, str):
        raise device.wrong(f"messages is {text!r:.40}: write lines of time, tab and what changed")
    for line, message in enumerate(text.split("\n"), 1):
        if message.strip():
            yield _message(device, line, message)


def _message(device: _Device, line: int, message: str) -> Message:
    at, _, said = (part.strip() for part in message.strip().partition("\t"))
    try:
        when = datetime.fromisoformat(at if len(at) == _TIME_CHARACTERS else "")
    except ValueError:
        raise device.wrong(
            f"message {line} is {message[:60]!r}: write 2020-01-02 00:00:00, a tab, and what changed"
        ) from None
    said = said.lower()
    if said not in _SAYS and not re.fullmatch(r"\d+(\.\d+)?%", said):
        raise device.wrong(
            f"message {line} says {said[:40]!r}{nearest(said, _SAYS)}: write one of {', '.join(_SAYS)}, 50%"
        )
    return when, said


def _stretches(messages: Sequence[Message], needs: Sequence[str], origin: datetime) -> Iterator[Stretch]:
    """Yield whether all needs hold, from each message to the next."""
    holds = dict.fromkeys(needs, False)
    for (when, said), (until, _) in pairwise(messages):
        what, state = _SAYS.get(said, ("", False))
        if what in holds:
            holds[what] = state
        if until > when:
            yield (when - origin).total_seconds(), (until - origin).total_seconds(), all(holds.values())
