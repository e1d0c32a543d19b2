"""What can be said of a table."""

from __future__ import annotations

from dataclasses import dataclass

from mlops_ci.entities import Column


@dataclass(frozen=True)
class Table:
    """Rows and columns as far as they are known; *note* says what is odd about them."""

    rows: int | None = None
    columns: list[Column] | None = None
    note: str = ""
