"""Quantised updates cost what they declare and go where FedAvg goes, on the whole."""

import pytest

from tests.methods.runs import ALONE, apart, billed, method, together


def test_many_levels_are_fedavg(tmp_path):
    fine = method("qsgd", levels=32767, bucket=8)
    path, results = together(tmp_path, method("fedavg"), fine)
    assert apart(path, results, "fedavg", "qsgd") <= 1e-5


@pytest.mark.parametrize(("levels", "bits"), [(1, 2), (3, 3), (7, 4), (127, 8)])
def test_an_entry_takes_the_bits_of_its_levels(tmp_path, levels, bits):
    _, results = together(tmp_path, method("fedavg"), method("qsgd", levels=levels), rounds=1)
    plain, coded = billed(results, "up_bytes")
    assert coded == pytest.approx(plain * (bits / 32 + 1 / 512), rel=0.01)


def test_the_model_goes_down_in_full(tmp_path):
    _, results = together(tmp_path, method("fedavg"), method("qsgd"), rounds=1)
    assert len(set(billed(results, "down_bytes"))) == 1


def test_devices_round_apart_from_each_other(tmp_path):
    """The errors of many devices cancel: their mean is nearer to FedAvg than one device's is."""
    one = together(tmp_path, method("fedavg"), method("qsgd", levels=1), rounds=1, fleet=ALONE)
    many = together(tmp_path, method("fedavg"), method("qsgd", levels=1), rounds=1, fleet=[{**ALONE[0], "count": 16}])
    assert apart(*many, "fedavg", "qsgd") < 0.7 * apart(*one, "fedavg", "qsgd")
