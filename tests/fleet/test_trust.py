"""A fleet that rests on peaks only says so."""

from dataclasses import replace

from fedsim.fleet import Profile, load_profile, peaks_only, said_of

PI = load_profile("raspberry-pi-4")


def guessed(name: str, low: float, high: float) -> Profile:
    return replace(PI, name=name, quality="peak only", spread=(low, high))


def test_a_fleet_of_measured_devices_rests_on_more_than_peaks() -> None:
    assert peaks_only([PI, replace(PI, name="other", quality="measured inference")]) is None


def test_profiles_are_counted_by_name_and_bounds_are_the_widest() -> None:
    a, b = guessed("a", 0.4, 2.0), guessed("b", 0.5, 3.0)
    assert peaks_only([a, PI, b, a]) == {"profiles": ["a", "b"], "of": 3, "low": 0.4, "high": 3.0}


def test_the_sentence_names_them_with_their_bounds() -> None:
    found = {"profiles": ["laptop", "edge-server"], "of": 4, "low": 0.4, "high": 2.5}
    said = "2 of 4 profiles rest on peaks only (laptop, edge-server): their times may be off by 0.4x to 2.5x"
    assert said_of(found) == said
