"""From which merge on how much of a network is left."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedsim.errors import InputError
from fedsim.phases import stages

THREE = (1.0, 0.6, 0.2)


def starts(*args, **how):
    return [stage.start for stage in stages(*args, **how)]


def test_phases_are_equal_parts():
    assert starts(THREE, 9) == [0, 3, 6]


def test_with_fewer_rounds_than_phases_the_last_fall_away():
    assert (starts(THREE, 2), starts(THREE, 1)) == ([0, 1, 2], [0, 1, 1])


def test_lengths_may_be_given_and_the_last_phase_takes_what_remains():
    assert starts(THREE, 20, lengths=(5, 2, 1)) == [0, 5, 7]


@given(st.integers(1, 5), st.integers(1, 100))
def test_steps_cut_by_one_factor_and_admit_who_was_admitted(steps, rounds):
    found = stages((1.0, 0.5, 0.1), rounds, steps=steps)
    densities = [stage.density for stage in found]
    ratios = [b / a for a, b in pairwise(densities)]
    assert ratios == pytest.approx([0.5 ** (1 / steps)] * steps + [0.2 ** (1 / steps)] * steps)
    assert [stage.admits for stage in found] == [1.0] * steps + [0.5] * steps + [0.1]
    assert [stage.start for stage in found] == sorted(stage.start for stage in found)


@pytest.mark.parametrize("densities", [(0.5, 0.5), (0.2, 0.6)])
def test_densities_that_do_not_fall_are_refused(densities):
    with pytest.raises(InputError, match="shares that fall"):
        stages(densities, 9)


def test_lengths_that_are_not_one_per_phase_are_refused():
    with pytest.raises(InputError, match="one number per phase"):
        stages(THREE, 9, lengths=(3, 3))
