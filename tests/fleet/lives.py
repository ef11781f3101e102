"""What every availability keeps to, as assertions about one law at one instant."""

from __future__ import annotations

import math

from hypothesis import assume
from hypothesis import strategies as st

keys = st.tuples(st.integers(0, 9), st.integers(0, 10**6))
times = st.floats(0.0, 1e6)


def lies_ahead(law, key, at_s):
    assert law.next_change(key, at_s) > at_s


def stays(law, key, at_s, *, share):
    """Hold the state in between against the state now."""
    between_s = _between(law, key, at_s, share)
    assert law.online(key, between_s) == law.online(key, at_s)


def at_once_from_anywhere(law, key, at_s, *, share):
    """Hold the next change as it is seen from in between against that seen from now."""
    change_s = law.next_change(key, at_s)
    between_s = _between(law, key, at_s, share)
    assert between_s >= change_s or law.next_change(key, between_s) == change_s


def flips(law, key, at_s):
    change_s = law.next_change(key, at_s)
    assume(change_s < math.inf)
    assert law.online(key, change_s) != law.online(key, at_s)


def _between(law, key, at_s, share):
    """Return an instant before the next change; one of the years to come if there is none."""
    change_s = law.next_change(key, at_s)
    return at_s + share * (min(change_s, at_s + 1e8) - at_s)
