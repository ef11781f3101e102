"""Fair shares while links and flows come, change and go: after each change as if solved from nothing."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import assume, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fedsim.sim.sharing import OWN, Sharing
from tests.sim.exact import Flow, allocation

CLOSE = 1e-9
whole = st.integers(1, 6)
rates = st.one_of(whole, whole, st.just(0), st.floats(0.01, 1e6))
caps = st.one_of(st.just(inf), whole, whole.map(lambda n: n / 4), st.floats(0.01, 1e6))


class Crowd(RuleBasedStateMachine):
    """Links and flows that come, change and go, one by one or some at an instant; after each instant, all rates."""

    def __init__(self):
        super().__init__()
        self.sharing = Sharing()
        self.carries, self.flows, self.before = {}, {}, {}
        self.together = 0

    @initialize(rates=st.lists(rates, min_size=1, max_size=4))
    def links_are_there(self, rates):
        self.carries = {self.sharing.add_link(rate): rate for rate in rates}

    @rule(rate=st.one_of(rates, st.just(inf)))
    @precondition(lambda self: len(self.carries) < 8)
    def a_link_comes(self, rate):
        self.carries[self.sharing.add_link(rate)] = rate

    @rule(data=st.data())
    @precondition(lambda self: self.idle_links())
    def a_link_goes(self, data):
        link = data.draw(st.sampled_from(self.idle_links()))
        self.sharing.drop_link(link)
        del self.carries[link]

    @rule(data=st.data(), rate=rates)
    @precondition(lambda self: self.carries)
    def a_link_changes(self, data, rate):
        link = data.draw(st.sampled_from(sorted(self.carries)))
        self.sharing.set_capacity(link, rate)
        self.carries[link] = rate

    @rule(data=st.data(), cap=caps)
    @precondition(lambda self: self.carries and len(self.flows) < 12)
    def a_flow_comes(self, data, cap):
        path = data.draw(st.lists(st.sampled_from(sorted(self.carries)), max_size=4, unique=True))
        assume(min([cap, *(self.carries[link] for link in path)]) < inf)
        self.flows[self.sharing.add(path, cap)] = Flow(0, 1, tuple(path), cap)

    @rule(data=st.data())
    @precondition(lambda self: self.flows)
    def a_flow_goes(self, data):
        flow = data.draw(st.sampled_from(sorted(self.flows)))
        self.sharing.remove(flow)
        del self.flows[flow]
        self.before.pop(flow, None)

    @rule(data=st.data(), cap=caps)
    @precondition(lambda self: self.flows)
    def a_flow_has_another_cap(self, data, cap):
        flow = data.draw(st.sampled_from(sorted(self.flows)))
        assume(min([cap, *(self.carries[link] for link in self.flows[flow].path)]) < inf)
        self.sharing.set_cap(flow, cap)
        self.flows[flow] = self.flows[flow]._replace(cap=cap)

    @rule(many=st.integers(1, 6))
    def some_things_happen_at_once(self, many):
        self.together = many

    @invariant()
    def all_rates_are_those_solved_from_nothing(self):
        self.together -= 1
        if self.together < 0:
            self.compare()

    def teardown(self):
        self.compare()

    def compare(self):
        self.together = 0
        touched = set(self.sharing.resolve().tolist())
        rates = {flow: float(self.sharing.rate[flow]) for flow in self.flows}
        exact = allocation(self.carries, self.flows)
        assert rates == pytest.approx({flow: float(rate) for flow, rate in exact.items()}, rel=CLOSE, abs=1e-12)
        assert {flow for flow in rates if rates[flow] != self.before.get(flow)} <= touched
        assert all(self.binds(rates, flow, int(self.sharing.bottleneck[flow])) for flow in rates)
        self.before = rates

    def idle_links(self):
        return [link for link in self.carries if not any(link in flow.path for flow in self.flows.values())]

    def binds(self, rates, flow, link):
        """Return whether *link* is what limits *flow*."""
        if link == OWN:
            return rates[flow] == self.flows[flow].cap
        on = {other: rate for other, rate in rates.items() if link in self.flows[other].path}
        full = sum(on.values()) >= self.carries[link] * (1 - CLOSE)
        return flow in on and full and on[flow] >= max(on.values()) * (1 - CLOSE)


TestCrowd = Crowd.TestCase
TestCrowd.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)


def test_what_a_lower_cap_leaves_is_the_others():
    sharing = Sharing()
    link = sharing.add_link(5.0)
    capped, other = sharing.add([link], cap=2.0), sharing.add([link])
    sharing.resolve()
    sharing.set_cap(capped, 1.0)
    sharing.resolve()
    assert [sharing.rate[capped], sharing.rate[other]] == [1.0, 4.0]
