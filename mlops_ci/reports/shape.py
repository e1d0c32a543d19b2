"""
A verdict as JSON, for programs. The shape is stable: keys are added, never renamed or left out.

    schema       "1.0"
    summary      the verdict in one sentence
    counts       gated metrics by state: pass, fail, waived, warning, inconclusive, not evaluated
    ...          the fields of `entities.GateReport`, all of them

A number that is none is the text "nan", "inf" or "-inf".
"""

from __future__ import annotations

import json as encoder
import math
from typing import Any, get_args

import msgspec

from mlops_ci.entities import GateReport
from mlops_ci.reports import words

_SCHEMA = "1.0"


def json(report: GateReport) -> str:
    """Return *report* as indented JSON."""
    states = [row.state for row in words.rows(report)]
    shape = {
        "schema": _SCHEMA,
        "summary": words.summary_line(report),
        "counts": {state: states.count(state) for state in get_args(words.State)},
        **_plain(report),
    }
    return encoder.dumps(shape, indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Every field, also those that have their default: a program must not need to know it."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(getattr(value, name)) for name in value.__struct_fields__}
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return repr(value) if isinstance(value, float) and not math.isfinite(value) else value
