"""What a caller asks predictions for: records, or columns of the same length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SMALL = 32
"""Up to so many records are asked for in the event loop, where the model is quick: a thread costs more."""

EXACT = 2**53
"""Up to here float64 has every integer."""


@dataclass(slots=True)
class Batch:
    """
    *rows* records, either as *records* (objects by column name, arrays or texts) or as *columns*.

    A column is a list as JSON gives it, or a NumPy array: float64 with NaN for null, else of objects. Integers that
    float64 has not are objects, too.
    """

    rows: int
    records: list[Any] | None = None
    columns: dict[str, Any] | None = None

    def first(self, count: int) -> list[Any]:
        """The first records."""
        if self.records is not None:
            return self.records[:count]
        columns = {name: column[:count] for name, column in (self.columns or {}).items()}
        return Batch(min(count, self.rows), columns=columns).as_records()

    def as_records(self) -> list[Any]:
        """The records, made of the columns where those were sent."""
        if self.records is not None:
            return self.records
        columns = {name: _values(column) for name, column in (self.columns or {}).items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def arrays(columns: dict[str, Any]) -> dict[str, Any]:
    """*columns* as NumPy arrays: numbers up to `EXACT` and nulls as float64, anything else as objects."""
    import numpy as np  # noqa: PLC0415  # a model of plain Python has none

    return {name: _array(np, values) if isinstance(values, list) else values for name, values in columns.items()}


def _array(np: Any, values: list[Any]) -> Any:
    numbers = all(type(value) in {int, float, type(None)} for value in values)
    try:
        found = np.array(values, dtype=np.float64 if numbers else object)
    except OverflowError:  # an integer that no float holds
        return np.array(values, dtype=object)
    # Only then is there anything to look for: the smallest integer that is not exact is rounded to `EXACT`.
    if numbers and (np.abs(found) >= EXACT).any() and any(_is_inexact(value) for value in values):
        return np.array(values, dtype=object)
    return found


def _is_inexact(value: Any) -> bool:
    return type(value) is int and abs(value) > EXACT


def _values(column: Any) -> list[Any]:
    """The values of *column*, with null for the NaN that stands for it in an array."""
    if isinstance(column, list):
        return column
    found: list[Any] = column.tolist()
    return [None if value != value else value for value in found]  # noqa: PLR0124  # NaN is what is unequal to itself
