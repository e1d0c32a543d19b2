"""
The hidden line of a comment: by it the comment is found again, and a newer one is told from an older.

Anybody can write such a line; whoever looks for one must compare the comment's author too.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from urllib.parse import quote

from mlops_ci.entities import GateReport

Order = tuple[int, int]
"""The CI run's number and its attempt: what is larger was started later."""

_LONGEST = 200
_MARKER = re.compile(
    r"<!-- mlops-ci v=1 key=(?P<key>[\w.~%/-]+) sha=[\w.~%/-]* run=[\w.~%/-]*"
    r"(?: order=(?P<run>[0-9]{1,20})\.(?P<attempt>[0-9]{1,6}))? -->",
    re.ASCII,
)


def marker(reports: GateReport | Sequence[GateReport], order: Order | None = None) -> str:
    """The line for a comment on *reports* (at least one), told by the CI run of *order*, or by theirs."""
    several = [reports] if isinstance(reports, GateReport) else reports
    first = several[0].candidate
    return line(key_of(several[0]), order or max(map(order_of, several)), sha=first.sha, run_id=first.run_id)


def line(key: str, order: Order, *, sha: str = "", run_id: str = "") -> str:
    """The line by its parts, for a comment without a report; *key* is one of `key`."""
    return f"<!-- mlops-ci v=1 key={key} sha={_quoted(sha)} run={_quoted(run_id)} order={order[0]}.{order[1]} -->"


def key(project: str, experiment: str) -> str:
    """What is the same for all runs of an experiment, and different for any two of them."""
    return f"{_quoted(project)}/{_quoted(experiment)}"


def key_of(report: GateReport) -> str:
    """The `key` of a report's experiment."""
    return key(report.project, report.experiment)


def order_of(report: GateReport) -> Order:
    """When *report* was made, compared with others of its repository; (0, 0) outside CI."""
    if report.ci is None or not re.fullmatch(r"[0-9]{1,20}", report.ci.run_id):
        return (0, 0)
    return (int(report.ci.run_id), min(max(report.ci.attempt, 0), 999_999))


def order_in(body: str | None, key: str, /) -> Order | None:
    """
    The order of a comment whose last line is our marker for *key*; None for everything else.

    A marker that somebody quotes, or that stands anywhere else, is none. One without an order is older than any.
    """
    found = _MARKER.fullmatch((body or "").rstrip(" \t\r\n").rpartition("\n")[2])
    if found is None or found["key"] != key:
        return None
    return (int(found["run"] or 0), int(found["attempt"] or 0))


def _quoted(value: str) -> str:
    """*value* with nothing that ends an HTML comment; a very long one by its digest."""
    raw = value.encode("utf-8", "surrogatepass")
    if len(raw) > _LONGEST:
        return f"~{hashlib.sha256(raw).hexdigest()}"
    return quote(raw, safe="").replace("--", "-%2D")
