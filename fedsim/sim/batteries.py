"""What is left in batteries: charge = what it was, plus what came in, less what went out, at every instant."""

from __future__ import annotations

import math
from dataclasses import dataclass
from operator import attrgetter

from fedsim.fleet import Device
from fedsim.fleet.battery import BatteryLaw, charge_after, time_to
from fedsim.fleet.charging import DAY_S, Charging


@dataclass(slots=True)
class Book:
    """One battery's account, in joules, as of *at_s*; *watts* go out from then on, the owner's use apart.

    ``since_j`` had gone out when those watts began.
    """

    at_s: float
    charge_j: float
    watts: float = 0.0
    empty: bool = False
    in_j: float = 0.0
    out_j: float = 0.0
    since_j: float = 0.0


_account = attrgetter(*Book.__slots__)  # replace() would take ten times as long


class Batteries:
    """The batteries of the devices that have worked; without *charging* there are none.

    Asking leaves no trace: of a device that has not worked yet, all follows from its charge at the midnight before.
    What a transfer takes is billed as it goes at its nominal rate, and put right when it is over.
    """

    def __init__(self, charging: Charging | None) -> None:
        self._charging = charging
        self._books: dict[int, Book] = {}
        self._laws: dict[float | None, BatteryLaw | None] = {}
        self._read: tuple[int, float, Book] | None = None  # what was asked last: device, instant, account

    def share(self, device: Device, at_s: float) -> float | None:
        """Return how full the battery is; None where none is modelled."""
        law = self._law(device)
        return None if law is None else self._book(device, law, at_s).charge_j / law.capacity_j

    def plugged(self, device: Device, at_s: float) -> bool:
        return self._charging is not None and self._charging.plugged.online(device.key, at_s)

    def book(self, device: Device, at_s: float) -> Book | None:
        """Return the account as of *at_s*; None where there is no battery."""
        law = self._law(device)
        return None if law is None else self._book(device, law, at_s)

    def draw(self, device: Device, at_s: float, watts: float) -> None:
        """Let work draw *watts* from now on."""
        law = self._law(device)
        if law is not None:
            book = self._kept(device, law, at_s)
            book.watts, book.since_j = watts, book.out_j

    def spend(self, device: Device, at_s: float, joules: float) -> None:
        """Take out *joules* at once, or put back what was billed too much."""
        law = self._law(device)
        if law is not None and joules:
            book = self._kept(device, law, at_s)
            # an empty battery did not give what it was billed, so that cannot be put back
            spent_j = min(max(joules, book.charge_j - law.capacity_j, book.since_j - book.out_j), book.charge_j)
            book.charge_j -= spent_j
            book.out_j += spent_j
            self._mark(book, law)

    def ready_s(self, device: Device, at_s: float) -> float:
        """Return *at_s* if there is charge enough to work, or a plug, else when the plug changes; inf: never."""
        law = self._law(device)
        if law is None or self._charging is None or not self._book(device, law, at_s).empty:
            return at_s
        plugged = self._charging.plugged
        return at_s if plugged.online(device.key, at_s) else plugged.next_change(device.key, at_s)

    def next_s(self, device: Device, at_s: float) -> float:
        """Return the first instant after *at_s* at which the battery may be empty, or is plugged in or out."""
        law = self._law(device)
        if law is None or self._charging is None:
            return math.inf
        book, plugged = self._book(device, law, at_s), self._charging.plugged
        change_s = plugged.next_change(device.key, at_s)
        if book.empty or plugged.online(device.key, at_s):
            return change_s
        floor_j, out_w = self._charging.floor * law.capacity_j, book.watts + law.use_w
        return min(change_s, at_s + time_to(law, book.charge_j, floor_j, plugged=False, out_w=out_w))

    def _law(self, device: Device) -> BatteryLaw | None:
        if self._charging is None:
            return None
        capacity_j = device.profile.battery_j
        if capacity_j not in self._laws:
            self._laws[capacity_j] = self._charging.law(device.profile)
        return self._laws[capacity_j]

    def _book(self, device: Device, law: BatteryLaw, at_s: float) -> Book:
        """Return the account as of *at_s*, for reading."""
        if self._read is not None and self._read[:2] == (device.id, at_s):
            return self._read[2]
        book = self._books.get(device.id) or self._unwatched(device, law, at_s)
        if book.at_s < at_s:
            book = Book(*_account(book))
        while book.at_s < at_s:
            self._advance(book, device, law, at_s=at_s)
        self._read = device.id, at_s, book
        return book

    def _kept(self, device: Device, law: BatteryLaw, at_s: float) -> Book:
        """Return the account, brought up to *at_s*, for writing."""
        book = self._books[device.id] = self._book(device, law, at_s)
        return book

    def _unwatched(self, device: Device, law: BatteryLaw, at_s: float) -> Book:
        assert self._charging is not None
        day = math.floor(at_s / DAY_S)
        book = Book(day * DAY_S, self._charging.at_midnight(device.key, day) * law.capacity_j)
        self._mark(book, law)
        return book

    def _advance(self, book: Book, device: Device, law: BatteryLaw, *, at_s: float) -> None:
        """Bring an account forward to *at_s*, or to the change of the plug before it."""
        assert self._charging is not None
        plugged = self._charging.plugged.online(device.key, book.at_s)
        to_s = min(at_s, self._charging.plugged.next_change(device.key, book.at_s))
        out_w = book.watts + law.use_w
        found = charge_after(law, book.charge_j, to_s - book.at_s, plugged=plugged, out_w=out_w)
        book.in_j, book.out_j = book.in_j + found.in_j, book.out_j + found.out_j
        book.at_s, book.charge_j = to_s, found.charge_j
        self._mark(book, law)

    def _mark(self, book: Book, law: BatteryLaw) -> None:
        """Note whether the battery is empty; within a stretch the charge goes one way, so that its end tells all."""
        assert self._charging is not None
        # the floor's instant is rounded, and what is drawn in that while may be left
        rounding_j = 1e-12 * law.capacity_j + 2 * math.ulp(book.at_s) * (book.watts + law.use_w)
        if book.charge_j <= self._charging.floor * law.capacity_j + rounding_j:
            book.empty = True
        elif book.charge_j >= self._charging.resume * law.capacity_j:
            book.empty = False
