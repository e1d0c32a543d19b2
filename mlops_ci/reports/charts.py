"""
How numbers went, drawn where no picture may be loaded: a line of blocks in a table, a chart in Mermaid.

GitHub draws both for whoever may read the comment, also in a private repository. A chart is only ever an extra:
its numbers stand beside it, for e-mails and for whoever cannot see it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

from mlops_ci.reports.escape import visible

_BLOCKS = "▁▂▃▄▅▆▇█"
_FLAT, _NO_NUMBER = "▄", "·"
_LARGEST, _NEAREST = 1e12, 1e-9  # Mermaid reads no exponents
_POINTS = 40
# Mermaid's own first colour cannot be seen on white; this one can, there and on black.
_LOOK = (
    '%%{init: {"xyChart": {"width": 700, "height": 320}, '
    '"themeVariables": {"xyChart": {"plotColorPalette": "#3b82f6"}}}}%%'
)


def sparkline(values: Sequence[float], longest: int = 12) -> str:
    """The last *longest* of *values* as blocks of their height; a dot for what is no number."""
    shown = list(values)[-longest:]
    finite = [value for value in shown if math.isfinite(value)]
    if not finite:
        return _NO_NUMBER * len(shown)
    low, high = min(finite), max(finite)
    return "".join(_block(value, low, high) for value in shown)


def thinned(values: Sequence[float], longest: int) -> list[float]:
    """At most *longest* (2 or more) of *values*, evenly chosen, the first and the last among them."""
    if len(values) <= longest:
        return list(values)
    return [values[round(place * (len(values) - 1) / (longest - 1))] for place in range(longest)]


def history(title: str, values: Sequence[float], names: Sequence[str]) -> str:
    """A chart of *values*, one for each of *names*; "" where it would say nothing."""
    points = [(name, value) for name, value in zip(names, values, strict=True) if math.isfinite(value)]
    axis = ", ".join(f'"{plain(name)}"' for name, _ in points)
    return _chart(title, f"x-axis [{axis}]", [value for _, value in points])


def curve(title: str, steps: Sequence[float], values: Sequence[float]) -> str:
    """A chart of *values* at *steps*; "" where it would say nothing."""
    points = sorted(
        {
            step: value
            for step, value in zip(steps, values, strict=False)
            if math.isfinite(value) and abs(step) < _LARGEST
        }.items()
    )
    if len(points) < 2 or points[-1][0] - points[0][0] < _NEAREST:
        return ""
    first, last = points[0][0], points[-1][0]
    return _chart(title, f'x-axis "step" {_number(first)} --> {_number(last)}', _evenly(points))


def plain(name: str, longest: int = 60) -> str:
    """*name* as it may stand between quotes in Mermaid: letters, digits and few signs; nothing that it acts on."""
    kept = re.sub(r"[^\w ./()-]|_(?=_)", " ", visible(name, longest))
    return re.sub(r"([-/.])\1+", r"\1", " ".join(kept.split())) or "(no name)"


def _block(value: float, low: float, high: float) -> str:
    if not math.isfinite(value):
        return _NO_NUMBER
    # Halves, since the difference of two huge numbers may be none.
    whole = high / 2 - low / 2
    return _BLOCKS[round((value / 2 - low / 2) / whole * (len(_BLOCKS) - 1))] if whole else _FLAT


def _evenly(points: Sequence[tuple[float, float]]) -> list[float]:
    """The line through *points* at places that are evenly apart: Mermaid knows no others."""
    first, last = points[0][0], points[-1][0]
    gap = (last - first) / (len(points) - 1)
    if len(points) <= _POINTS and all(
        abs(step - first - gap * place) < gap / 20 for place, (step, _) in enumerate(points)
    ):
        return [value for _, value in points]
    many = _POINTS
    found, left = [], 0
    for place in range(many):
        step = first + (last - first) * place / (many - 1)
        while left < len(points) - 2 and points[left + 1][0] < step:
            left += 1
        (start, before), (end, after) = points[left], points[left + 1]
        share = min(max((step - start) / (end - start), 0.0), 1.0)
        found.append(before + (after - before) * share)
    return found


def _chart(title: str, axis: str, values: Sequence[float]) -> str:
    """Two points are needed for a line, and numbers that Mermaid can read and tell apart."""
    if len(values) < 2 or any(abs(value) > _LARGEST for value in values):
        return ""
    low, high = min(values), max(values)
    if 0 < high - low < _NEAREST or (low == high and 0 < abs(low) < _NEAREST):
        return ""
    room = (high - low) / 20 or abs(high) / 20 or 1.0
    digits = min(max(4 - math.floor(math.log10(room * 20)), 0), 12)
    lines = [
        _LOOK,
        "xychart-beta",
        f'    title "{plain(title)}"',
        f"    {axis}",
        f"    y-axis {_number(low - room, digits)} --> {_number(high + room, digits)}",
        f"    line [{', '.join(_number(value, digits) for value in values)}]",
    ]
    return "\n".join(["```mermaid", *lines, "```"])


def _number(value: float, digits: int = 6) -> str:
    """*value* without an exponent, which Mermaid does not read."""
    text = format(value, f".{digits}f")
    return text.rstrip("0").rstrip(".") if "." in text else text
