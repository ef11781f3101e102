"""What share of a round a device can carry."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.capacity import capacity, limit_s
from fedsim.errors import InputError
from fedsim.fleet import Device
from fedsim.fleet.link import Link
from fedsim.method import Quote
from tests.methods.hand import Hand, device

seconds = st.floats(1e-3, 1e3)


def quote(sending_s, computing_s, memory=0.0):
    """A round that sends 1 MB each way."""
    return Quote(sending_s + computing_s, 0.0, 1_000_000, 1_000_000, memory, fits=True)


def on_a_link(sending_s):
    plain = device(0)
    rate = 4_000_000 / sending_s
    return Device(0, (0, 0), plain.profile, Link("any", rate, rate, sending_s / 4), 24)


def of(sending_s, computing_s, budget_s, **more):
    return capacity(on_a_link(sending_s), quote(sending_s, computing_s, **more), budget_s)


@given(seconds, seconds, seconds)
def test_a_device_carries_all_of_it_exactly_if_it_is_done_in_time(sending_s, computing_s, budget_s):
    found = of(sending_s, computing_s, budget_s)
    if not abs(sending_s + computing_s - budget_s) < 1e-6 * budget_s:
        assert (found.least == 1.0) == (sending_s + computing_s < budget_s)
    assert 0.0 < found.least <= 1.0


@given(seconds, seconds, seconds)
def test_of_the_share_it_carries_it_is_done_in_time(sending_s, computing_s, budget_s):
    share = of(sending_s, computing_s, budget_s).least
    assert share * (sending_s + computing_s) <= budget_s * (1 + 1e-6)


def test_what_one_leaves_the_other_may_use():
    found = of(8.0, 1.0, 5.0)
    assert (found.bandwidth, found.compute) == (pytest.approx(0.5), 1.0)
    found = of(1.0, 8.0, 5.0)
    assert (found.bandwidth, found.compute) == (1.0, pytest.approx(0.5))


def test_where_both_want_too_much_each_has_half():
    found = of(8.0, 4.0, 4.0)
    assert (found.bandwidth, found.compute) == (pytest.approx(0.25), pytest.approx(0.5))


def test_memory_and_storage_count():
    ram = device(0).profile.memory_bytes
    assert of(1.0, 1.0, 9.0, memory=4 * ram).least == of(1.0, 1.0, 9.0, memory=4 * ram).storage == 0.25


def test_the_budget_is_the_deadline_unless_it_is_given():
    assert (limit_s(Hand(deadline_s=3.0), 0.0), limit_s(Hand(deadline_s=3.0), 2.0)) == (3.0, 2.0)
    with pytest.raises(InputError, match=r"schedule.deadline or the option round_budget"):
        limit_s(Hand(), 0.0)
