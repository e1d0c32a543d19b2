"""Models of plain Python; what is saved of them is what stands in this file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

THRESHOLD = 0.5
UNREADABLE = open  # exists only while this module runs


@dataclass
class Threshold:
    """A model of plain Python; its state is JSON."""

    column: str
    at: float = THRESHOLD

    def predict(self, records: list[dict[str, Any]]) -> list[bool]:
        return [above(record[self.column], self.at) for record in records]


class Weighted:
    """A model of plain Python; its state is not JSON."""

    def __init__(self, weights: np.ndarray) -> None:
        self.weights = weights

    def predict(self, records: list[list[float]]) -> np.ndarray:
        return np.array(records) @ self.weights


def above(value: float, limit: float) -> bool:
    return value > limit


def doubled(records: list[Any]) -> list[Any]:
    """A model that is a function."""
    return [{"twice": 2 * value, "json": json.dumps(value)} for value in records]


def reads_a_global(records: list[Any]) -> list[Any]:
    """Not a model that can leave this process."""
    return [UNREADABLE for _ in records]
