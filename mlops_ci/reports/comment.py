"""
A verdict as Markdown: the comment of a pull request, and the summary of a job.

It says first what the reader must do. What did not decide is folded away, and whole sections are left out
where the comment would be too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from mlops_ci.entities import GateReport
from mlops_ci.reports import words
from mlops_ci.reports.escape import code, text
from mlops_ci.reports.sections import Section, reason, sections, table
from mlops_ci.reports.words import Row

BUDGET_BYTES = 60_000  # GitHub refuses more than 65,536 characters, and counts them in its own way
_MOST_REASONS = 10
_LABELS = {
    "pass": "✅ pass",
    "fail": "❌ fail",
    "warning": "⚠️ warning",
    "inconclusive": "❔ undecided",
    "not evaluated": "⏳ no baseline",
}
# Only what a CI run's own page looks like becomes a link.
_RUN_URL = re.compile(r"https://[A-Za-z0-9.-]+(:\d+)?/[\w.-]+/[\w.-]+/actions/runs/\d+(/(attempts|job)/\d+)?")
# The first to go is the first here.
_LEAST = (
    "the parameters",
    "the other metrics",
    "the reasons of the gates that passed",
    "the data",
    "the confusion matrix",
    "how to reproduce it",
    "what was compared",
)


def markdown(report: GateReport, *, budget_bytes: int = BUDGET_BYTES) -> str:
    """Return the comment: GitHub's Markdown, at most *budget_bytes* (of UTF-8) long."""
    end = f"\n\n{marker(report)}\n"
    room = budget_bytes - len(end.encode())
    core = next((core for core in _cores(report) if _size(core) <= room // 2), "")
    return _fit(core or _head(report), sections(report), room) + end


def marker(report: GateReport) -> str:
    """
    The hidden line by which a comment is found again: its key is the same for all runs of an experiment.

    Whoever looks for it must compare the comment's author too, since anybody can write such a line.
    """
    key = f"{quote(report.project, safe='')}/{quote(report.experiment, safe='')}"
    named = {"key": key, "sha": quote(report.candidate.sha), "run": quote(report.candidate.run_id, safe="")}
    facts = " ".join(f"{name}={value.replace('--', '-%2D')}" for name, value in named.items())
    return f"<!-- mlops-ci v=1 {facts} -->"


def _cores(report: GateReport) -> Iterator[str]:
    """What is not folded: everything, then what did not pass, then no table."""
    rows = words.rows(report)
    head, warnings = _head(report), _warnings(report)
    yield "\n\n".join([head, *_table(report, rows), *_reasons(report), *warnings])
    troubled = [row for row in rows if row.state != "pass"]
    left_out = f"Left out to fit: {len(rows) - len(troubled):,} gates that passed."
    yield "\n\n".join([head, *_table(report, troubled), *_reasons(report), left_out, *warnings])
    yield "\n\n".join([head, *_reasons(report), f"Left out to fit: the table of {len(rows):,} gates.", *warnings])


def _fit(core: str, found: Sequence[Section], room: int) -> str:
    kept = list(found)
    left_out: list[str] = []
    for name in _LEAST:
        whole = "\n\n".join([core, *map(str, kept), *_missing(left_out)])
        if _size(whole) <= room:
            return whole
        left_out += [section.name for section in kept if section.name == name]
        kept = [section for section in kept if section.name != name]
    return "\n\n".join([core, *map(str, kept), *_missing(left_out)])


def _missing(names: Sequence[str]) -> list[str]:
    return [f"Left out to fit: {', '.join(names)}. `mlops-ci report` shows everything."] if names else []


def _size(part: str) -> int:
    return len(part.encode())


def _head(report: GateReport) -> str:
    run = report.candidate.run_url
    facts = [
        f"**{text(report.project)}: {words.title(report)}** — {text(words.because(report))}",
        *([f"[run]({run})"] if _RUN_URL.fullmatch(run) else []),
        f"{_commit(report.candidate.sha)}{_against(report)}",
        *(["local policy"] if report.policy.origin == "local" else []),
    ]
    return " · ".join(facts)


def _against(report: GateReport) -> str:
    return f" against {_name(report)}" if report.baseline else ", no baseline"


def _name(report: GateReport) -> str:
    """The baseline: branch and commit."""
    if report.baseline is None:
        return ""
    branch = f"{code(report.baseline.branch)} " if report.baseline.branch else ""
    return f"{branch}{_commit(report.baseline.sha)}"


def _commit(sha: str) -> str:
    return code(words.short(sha)) if sha else "(no commit)"


def _table(report: GateReport, rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    if report.baseline is None:
        return [table(["metric", "this run", "gate", " "], (_row(row, compared=False) for row in rows))]
    return [
        table(["metric", _name(report), "this run", "change", "gate", " "], (_row(row, compared=True) for row in rows))
    ]


def _row(row: Row, *, compared: bool) -> list[str]:
    limits = ", ".join(_rule(row, words.rule(result), result.verdict) for result in row.results)
    label = _LABELS[row.state]
    if row.change is None:
        return [code(row.metric), *(["–"] if compared else []), "–", *([""] if compared else []), limits, label]
    shown = words.cells(row.change, relative=words.is_relative(row.results), compared=compared)
    numbers = [shown.baseline, shown.candidate, shown.change] if compared else [shown.candidate]
    return [code(row.metric), *numbers, limits, label]


def _rule(row: Row, limit: str, verdict: str) -> str:
    """Of several rules, the one that decided stands out."""
    return f"**{text(limit)}**" if len(row.results) > 1 and verdict != "pass" else text(limit)


def _reasons(report: GateReport) -> list[str]:
    """Why, for whatever did not pass; without a baseline the headline has said it."""
    told = [result for result in report.results if result.verdict in {"fail", "inconclusive"}]
    lines = [
        f"{_sign(result.verdict, warn=result.warn_only)} {reason(result.metric, result.reason)}" for result in told
    ]
    more = [f"and {len(lines) - _MOST_REASONS:,} more"] if len(lines) > _MOST_REASONS else []
    return [*lines[:_MOST_REASONS], *more]


def _sign(verdict: str, *, warn: bool) -> str:
    return "⚠️" if warn else _LABELS[verdict].partition(" ")[0]


def _warnings(report: GateReport) -> list[str]:
    edits = words.edits(report)
    notes = [
        *([f"⚠️ {text(edits)}"] if edits else []),
        *(f"Note: {text(note)}" for note in report.notes[:_MOST_REASONS]),
    ]
    return ["\n\n".join(notes)] if notes else []
