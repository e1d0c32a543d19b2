"""
How numbers are written for people: readable, stable, and with as many digits as show a change.

Comparisons see a number as `exact` gives it. What the numbers mean is the business of other rooms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from decimal import Context, Decimal

_CARRIED = 15  # significant decimal digits that every double keeps
_SHOWN = 4
_MOST = _SHOWN + 3  # beyond that a change is written on its own, in scientific form
_TINY, _HUGE = 1e-4, 1e15
_WIDE = Context(prec=50)


def exact(value: float) -> Decimal:
    """
    *value* (finite) as a decimal of 15 significant digits, which is what a double keeps for sure.

    So 0.1 + 0.2 is 0.3, and 0.90 - 0.89 is 0.01.
    """
    return Decimal(format(value, f".{_CARRIED}g"))


def difference(value: Decimal, other: Decimal) -> Decimal:
    """*value* - *other*, to 50 digits."""
    return _WIDE.subtract(value, other)


def product(value: Decimal, other: Decimal) -> Decimal:
    """*value* x *other*, to 50 digits."""
    return _WIDE.multiply(value, other)


def places(values: Iterable[float], *, changes: Iterable[float] = (), apart: tuple[float, float] | None = None) -> int:
    """
    How many digits after the point to write *values* with.

    Args:
        values: The largest of them gets four significant digits; whole numbers need no point.
        changes: Differences of them; each is shown to within 5 %, if three more digits suffice for it.
        apart: Two numbers that must read differently unless they are equal.
    """
    finite = [float(value) for value in values if math.isfinite(value)]
    if all(value.is_integer() for value in finite):
        found = 0
    else:
        largest = max(abs(value) for value in finite)
        found = (
            min(_SHOWN, _SHOWN - 1 - _exponent(largest)) if largest >= _TINY * 100 else _SHOWN - 1 - _exponent(largest)
        )
    found = max(found, 0)
    for change in changes:
        enough = (digits for digits in range(found, found + _MOST - _SHOWN + 1) if _shows(change, digits))
        found = next(enough, found)
    while apart and apart[0] != apart[1] and found < _CARRIED and _same(*apart, found):
        found += 1
    return found


def write(value: float, digits: int | None = None, *, signed: bool = False) -> str:
    """
    *value* with *digits* after the point, or as many as it needs alone; thousands are parted by commas.

    What four digits cannot show is written in scientific form.
    """
    if not math.isfinite(value):
        return {"nan": "NaN", "inf": "infinity", "-inf": "-infinity"}[repr(float(value))]
    sign = "+" if signed else ""
    digits = places([value]) if digits is None else digits
    if value and (abs(value) >= _HUGE or abs(value) < 0.5 * 10**-digits or (abs(value) < _TINY and digits > _MOST)):
        return format(value, f"{sign}.{_SHOWN}g")
    text = format(value, f"{sign},.{digits}f")
    return text.lstrip("-") if not value else text


def plain(value: float) -> str:
    """*value* as a person would have typed it: 0.01, 5, 10,000, 1e-07."""
    return format(value, f",.{_CARRIED}g")


def percent(share: float, *, signed: bool = False) -> str:
    """*share* (0.137) as "13.7 %", with more digits where it is small."""
    value = share * 100
    digits = 1 if not value or abs(value) >= 1 else min(3, 1 - _exponent(value))
    return f"{write(value, max(digits, 1), signed=signed)} %"


def count(number: int, noun: str, plural: str = "") -> str:
    """`count(2, "gate")` is "2 gates"."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def _exponent(value: float) -> int:
    return math.floor(math.log10(abs(value))) if value else 0


def _shows(change: float, digits: int) -> bool:
    return abs(round(change, digits) - change) <= abs(change) / 20


def _same(one: float, other: float, digits: int) -> bool:
    return format(one, f".{digits}f") == format(other, f".{digits}f")
