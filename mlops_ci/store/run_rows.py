"""What one run's record says, as rows: typed, so that databases compare numbers as numbers and times as times."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from mlops_ci import records as recording
from mlops_ci.changes import RunState
from mlops_ci.entities import Run, Scalar
from mlops_ci.store import schema
from mlops_ci.store.facts import Fact

Row = dict[str, Any]
Rows = dict[sa.Table, list[Row]]

_NUMERAL = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PLAIN_COLUMNS = ("run_id", "status", "improvised")


def head(run: Run, fact: Fact) -> Row:
    """The columns of the run itself that do not depend on other records."""
    started = microseconds(run.started)
    return {name: getattr(run, name) for name in _PLAIN_COLUMNS} | {
        "record_id": fact.id,
        "run_key": schema.fit(run.run_key),
        "branch": run.git.branch or None,
        "author": fact.record.author.name,
        # A start that is no time, in somebody else's ledger, must still have a place in the order.
        "started_us": (microseconds(fact.record.time) or 0) if started is None else started,
        "ended_us": microseconds(run.ended),
        "duration_s": finite(run.duration_s),
        "dirty": run.git.dirty,
        "recorded": fact.record.time,
    }


def of(run: Run, head: Row, number: int, experiment: int, state: RunState) -> Rows:
    """All rows of the run called *number* of the experiment called *experiment*; *state* is what was changed."""
    shas = [sha for sha in dict.fromkeys((run.git.trained_sha, run.git.head_sha)) if sha]
    return {
        schema.runs: [
            head
            | {
                "number": number,
                "experiment": experiment,
                "deleted": state.deleted is not None,
                "note": state.note or None,
            }
        ],
        schema.params: [{"run": number, "name": name} | param(value) for name, value in run.params.items()],
        schema.metrics: [
            {"run": number, "name": name, "experiment": experiment, "count": metric.count}
            | {column: finite(getattr(metric, column)) for column in ("last", "min", "max")}
            for name, metric in run.metrics.items()
        ],
        schema.tags: tag_rows(number, state.tagged(run.tags)),
        schema.commits: [{"record_id": head["record_id"], "sha": sha, "run_id": run.run_id} for sha in shas],
    }


def changed(state: RunState) -> Row:
    """The columns of the run itself that its changes decide."""
    return {"deleted": state.deleted is not None, "note": state.note or None}


def tag_rows(number: int, tags: dict[str, str]) -> list[Row]:
    """The rows of the *tags* of the run that is called *number*."""
    return [{"run": number, "name": name, "text": text} for name, text in tags.items()]


def param(value: Scalar) -> Row:
    """A param's value: of which kind, as text (as Python writes it) and as a number, where it is or reads as one."""
    if value is None:
        return {"kind": "null", "text": None, "number": None}
    kind = _KINDS[type(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        kind = "large"  # which no column of numbers holds
    return {"kind": kind, "text": str(value), "number": number_in(value)}


def number_in(value: Scalar) -> float | None:
    """The finite number that *value* is, or that its text reads as; truth is none."""
    if isinstance(value, str):
        return finite(float(value)) if _NUMERAL.fullmatch(value) else None
    if value is None or isinstance(value, bool):
        return None
    try:
        return finite(float(value))
    except OverflowError:
        return None


def finite(value: float) -> float | None:
    """*value*, or None if it is infinite or not a number."""
    return value if math.isfinite(value) else None


def microseconds(time: str) -> int | None:
    """RFC 3339 as microseconds after 1970, in UTC unless *time* says otherwise; None if it is no time."""
    try:
        moment = recording.moment(time)
    except ValueError:
        return None
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def time_of(microseconds: int) -> str:
    """*microseconds* after 1970 as records write a time."""
    return recording.timestamp(_EPOCH + timedelta(microseconds=microseconds))


_KINDS = {str: "text", int: "integer", float: "float", bool: "truth"}
