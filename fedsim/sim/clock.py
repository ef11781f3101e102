"""Instants: at one instant the order is completion, deadline, dropout; what follows for others is settled last."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

import simpy


class Order(IntEnum):
    """Priorities of events at one instant; simpy's own events have 0 (urgent) and 1 (normal)."""

    COMPLETION = 1
    DEADLINE = 2
    DROPOUT = 3
    SETTLE = 4


class Alarm(simpy.Event):
    """Fires at *at_s*, after everything else of that instant that has a lower *order*."""

    def __init__(self, env: simpy.Environment, at_s: float, order: Order) -> None:
        super().__init__(env)
        self._ok = True
        self._value = None
        env.schedule(self, order, max(at_s - env.now, 0.0))  # type: ignore[arg-type]


def call_at(env: simpy.Environment, at_s: float, order: Order, *, then: Callable[[], None]) -> None:
    """Call *then* at *at_s*."""
    Alarm(env, at_s, order).callbacks.append(lambda _: then())
