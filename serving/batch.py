"""What a caller asks predictions for: records, or columns of the same length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SMALL = 32
"""Up to so many records are asked for in the event loop, where the model is quick: a thread costs more."""


@dataclass(slots=True)
class Batch:
    """
    *rows* records, either as *records* (objects by column name, arrays or texts) or as *columns*.

    A column is a list as JSON gives it, or a NumPy array: float64 with NaN for null, else of objects.
    """

    rows: int
    records: list[Any] | None = None
    columns: dict[str, Any] | None = None

    def as_records(self) -> list[Any]:
        """The records, made of the columns where those were sent."""
        if self.records is not None:
            return self.records
        columns = {name: _values(column) for name, column in (self.columns or {}).items()}
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def arrays(columns: dict[str, Any]) -> dict[str, Any]:
    """*columns* as NumPy arrays: numbers and nulls as float64, anything else as objects."""
    import numpy as np  # noqa: PLC0415  # a model of plain Python has none

    return {name: _array(np, values) if isinstance(values, list) else values for name, values in columns.items()}


def _array(np: Any, values: list[Any]) -> Any:
    numbers = all(type(value) in {int, float, type(None)} for value in values)
    try:
        return np.array(values, dtype=np.float64 if numbers else object)
    except OverflowError:  # an integer that no float holds
        return np.array(values, dtype=object)


def _values(column: Any) -> list[Any]:
    """The values of *column*, with null for the NaN that stands for it in an array."""
    if isinstance(column, list):
        return column
    found: list[Any] = column.tolist()
    return [None if value != value else value for value in found]  # noqa: PLR0124  # NaN is what is unequal to itself
