"""What decided, not folded: the table of the gated metrics, why some did not pass, who answers for it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mlops_ci.entities import GateReport, GateResult
from mlops_ci.reports import words
from mlops_ci.reports.charts import sparkline
from mlops_ci.reports.escape import code, short, text
from mlops_ci.reports.folds import table
from mlops_ci.reports.sections import reason
from mlops_ci.reports.words import Row

MOST_REASONS = 10
LABELS = {
    "pass": "✅ pass",
    "fail": "❌ fail",
    "waived": "🟡 waived",
    "warning": "⚠️ warning",
    "inconclusive": "❔ undecided",
    "not evaluated": "⏳ no baseline",
}
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_ISSUE = re.compile(r"https://github\.com/[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}/issues/([0-9]{1,10})")
_SHORT_BRANCH = 20


def bodies(report: GateReport, head: str) -> Iterator[str]:
    """*head* and what is not folded: everything, then what did not pass, then no table, then no notes."""
    rows = words.rows(report)
    above, why, more = _above(report, head), reasons([("", report)]), notes(report)
    yield _joined(above, _table(report, rows), why, more)
    troubled = [row for row in rows if row.state != "pass"]
    hidden = [f"Left out to fit: {len(rows) - len(troubled):,} gates that passed."]
    yield _joined(above, _table(report, troubled), why, hidden, more)
    hidden = [f"Left out to fit: the table of {len(rows):,} gates."]
    yield _joined(above, why, hidden, more)
    yield _joined(above, why, hidden)


def reasons(named: Sequence[tuple[str, GateReport]]) -> list[str]:
    """Why, for whatever did not pass, failures first; each report is called by its name, if it has one."""
    told = [
        (name, result)
        for name, report in named
        for result in report.results
        if result.verdict in {"fail", "inconclusive"}
    ]
    # What the verdict hangs on must not be the part that is only counted.
    told.sort(key=lambda one: words.SEVERITY.index(words.shown_as(one[1])))
    lines = [_reason(name, result) for name, result in told[:MOST_REASONS]]
    return [*lines, *([f"and {len(told) - MOST_REASONS:,} more"] if len(told) > MOST_REASONS else [])]


def name_of_baseline(report: GateReport) -> str:
    """The baseline: branch and commit."""
    if report.baseline is None:
        return ""
    branch = f"{short(report.baseline.branch, _SHORT_BRANCH)} " if report.baseline.branch else ""
    return f"{branch}{commit(report.baseline.sha)}"


def commit(sha: str) -> str:
    """A commit as a table has it."""
    return code(words.short(sha)) if sha else "(no commit)"


def sign(state: str) -> str:
    """The label's sign alone."""
    return LABELS[state].partition(" ")[0]


def _joined(*parts: Sequence[str]) -> str:
    return "\n\n".join(line for part in parts for line in part)


def _above(report: GateReport, head: str) -> list[str]:
    return [*([head] if head else []), *([f"⚠️ {words.SELF_REPORTED}"] if report.self_reported and head else [])]


def _reason(name: str, result: GateResult) -> str:
    where = f"{short(name)}: " if name else ""
    waived = f" — {_waiver(result)}" if words.is_waived(result) else ""
    return f"{sign(words.shown_as(result))} {where}{reason(result.metric, result.reason)}{waived}"


def _waiver(result: GateResult) -> str:
    given = result.waiver
    if given is None:
        return ""
    until = given.expires if _DATE.fullmatch(given.expires) else code(given.expires)
    found = _ISSUE.fullmatch(given.issue)
    issue = f"[issue {found[1]}]({given.issue})" if found else code(given.issue) if given.issue else ""
    why = f": {text(given.reason)}" if given.reason.strip() else ""
    return f"waived {words.ceiling(result)} until {until} by {code(given.owner)}{why}{f' · {issue}' if issue else ''}"


def _table(report: GateReport, rows: Sequence[Row]) -> list[str]:
    """Six columns at most: with a trend, the verdict and the rule share one."""
    if not rows:
        return []
    compared, trend = report.baseline is not None, words.has_trend(report)
    header = [
        "metric",
        *([name_of_baseline(report)] if compared else []),
        "this run",
        *(["change"] if compared else []),
        *(["trend", "gate"] if trend else ["gate", " "]),
    ]
    return [table(header, (_row(row, compared=compared, trend=trend) for row in rows))]


def _row(row: Row, *, compared: bool, trend: bool) -> list[str]:
    limits = ", ".join(_rule(row, result) for result in row.results)
    label = LABELS[row.state]
    points = words.trail(row.change)
    last = [sparkline(points) if len(points) > 1 else "", f"{label}: {limits}"] if trend else [limits, label]
    if row.change is None:
        return [short(row.metric), *(["–"] if compared else []), "–", *([""] if compared else []), *last]
    shown = words.cells(row.change, relative=words.is_relative(row.results), compared=compared)
    numbers = [shown.baseline, shown.candidate, shown.change] if compared else [shown.candidate]
    return [short(row.metric), *numbers, *last]


def _rule(row: Row, result: GateResult) -> str:
    """Of several rules, the one that decided stands out."""
    limit = text(words.rule(result))
    return f"**{limit}**" if len(row.results) > 1 and result.verdict != "pass" else limit


def notes(report: GateReport) -> list[str]:
    """What else the reader must know: an edit of the policy, and whatever was noted."""
    edits = words.edits(report)
    return [
        *([f"⚠️ {text(edits)}"] if edits else []),
        *(f"Note: {text(note)}" for note in report.notes[:MOST_REASONS]),
    ]
