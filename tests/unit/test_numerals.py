"""Numbers for people: stable digits that show what changed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import numerals


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.956, "0.9560"),
        (0.05, "0.0500"),
        (0.00123, "0.001230"),
        (1.23456, "1.235"),
        (241.34, "241.3"),
        (12345.0, "12,345"),
        (12345.67, "12,346"),
        (0.00001, "1e-05"),
        (3e20, "3e+20"),
        (0.0, "0"),
        (-0.0, "0"),
        (float("nan"), "NaN"),
        (float("-inf"), "-infinity"),
    ],
)
def test_four_digits_alone(value, text):
    assert numerals.write(value) == text


@pytest.mark.parametrize(
    ("values", "change", "places"),
    [
        ((0.956, 0.935), 0.021, 4),
        ((0.956, 0.95603), 0.00003, 5),
        ((0.956, 0.956000000001), 1e-12, 4),
        ((12.0, 15.0), 3.0, 0),
    ],
)
def test_digits_grow_until_a_change_shows_but_not_for_noise(values, change, places):
    assert numerals.places(values, changes=[change]) == places


def test_numbers_that_must_read_differently_do():
    digits = numerals.places([0.9], apart=(0.01, 0.0100001))
    assert numerals.write(0.01, digits) != numerals.write(0.0100001, digits)


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.137, "+13.7 %"),
        (0.05, "+5.0 %"),
        (0.0012, "+0.12 %"),
        (-0.137, "-13.7 %"),
        (0.00001, "+0.001 %"),
        (0.0, "+0.0 %"),
    ],
)
def test_percentages(share, text):
    assert numerals.percent(share, signed=True) == text


def test_numbers_are_exact_where_binary_floating_point_is_not():
    assert numerals.difference(numerals.exact(0.1 + 0.2), numerals.exact(0.3)) == 0


@given(st.floats(min_value=-1e300, max_value=1e300))
def test_every_number_can_be_written_and_read(value):
    assert float(numerals.write(value).replace(",", "")) == pytest.approx(value, rel=1e-3)
    assert float(numerals.plain(value).replace(",", "")) == pytest.approx(value, rel=1e-14)
