"""Studies that are to be compared differ in what they are compared in, and in nothing else."""

import pytest

from fedsim.scenario import find, read

PAIRS = {
    ("diurnal", "diurnal-mixed"): {"task.assign.rho": (0.9, 0.0)},
    ("throttling", "throttling-unreported"): {"dynamics.reported": (None, False)},
    ("failures", "failures-resume"): {"availability.on_dropout": ("partial", "resume")},
}


def flat(value, place=""):
    """Return the leaves of a table by their places."""
    if not isinstance(value, dict):
        return {place: value}
    return {key: leaf for name, part in value.items() for key, leaf in flat(part, f"{place}.{name}".strip(".")).items()}


@pytest.mark.parametrize("pair", PAIRS)
def test_a_study_and_its_counterpart_differ_in_one_key(pair):
    one, other = (flat(read(find(f"studies/dynamics-{name}"))) for name in pair)
    keys = {key for key in one.keys() | other.keys() if one.get(key) != other.get(key)} - {"name", "description"}
    assert {key: (one.get(key), other.get(key)) for key in keys} == PAIRS[pair]
