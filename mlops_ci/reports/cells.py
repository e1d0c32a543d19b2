"""
Several reports in one comment: the jobs of a matrix, which judge the same experiment in one CI run.

First what the worst of them says, then a table with a row for each, then each one's own part, folded. Where there is
not room for all, those that did not pass come first.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

from mlops_ci.entities import GateReport
from mlops_ci.numerals import count, places, write
from mlops_ci.reports import gated, words
from mlops_ci.reports.escape import short, visible
from mlops_ci.reports.folds import Section, table
from mlops_ci.reports.words import Row

_MOST_METRICS = 4
_LONGEST_JSON = 2_000
_LEAST_ROOM = 2_500  # bytes; in less, a report has nothing to say that the table does not
_VERDICTS = {"fail": "failed", "inconclusive": "undecided", "not evaluated": "not judged", "pass": "passed"}
_ARROWS = {"better": " ▲", "worse": " ▼"}


class Cell(NamedTuple):
    """One job's report and what the job is called."""

    name: str
    report: GateReport


def cells(reports: Sequence[GateReport]) -> list[Cell]:
    """*reports* with names that say only what differs: the worst first, then by name, whoever reported first."""
    same = _shared([_object(report.ci.cell) if report.ci else {} for report in reports])
    named = [Cell(name_of(report, without=same) or f"job {number}", report) for number, report in enumerate(reports, 1)]
    return sorted(named, key=lambda cell: (words.SEVERITY.index(cell.report.verdict), cell.name))


def name_of(report: GateReport, *, without: Container[str] = ()) -> str:
    """What the report's cell of a matrix is called, on one line: "python 3.12, os ubuntu"; "" if it has no name."""
    if report.ci is None:
        return ""
    facts = {name: value for name, value in _object(report.ci.cell).items() if name not in without}
    if facts:
        return visible(", ".join(f"{name} {_value(value)}" for name, value in facts.items()))
    return visible(report.ci.cell if report.ci.cell not in {"null", "{}"} else "") or visible(report.ci.job)


def worst(reports: Sequence[GateReport]) -> GateReport:
    """The report whose verdict is that of all of them."""
    return min(reports, key=lambda report: words.SEVERITY.index(report.verdict))


def title(reports: Sequence[GateReport], expected: int) -> str:
    """What the reader must do; nothing is ready before every job has said so."""
    found = worst(reports)
    return "not complete yet" if found.verdict == "pass" and expected > len(reports) else words.title(found)


def because(reports: Sequence[GateReport], expected: int) -> str:
    """Why, in counts: "1 of 4 jobs failed, 3 passed"."""
    verdicts = [report.verdict for report in reports]
    found = [(verdicts.count(verdict), said) for verdict, said in _VERDICTS.items() if verdict in verdicts]
    waived = sum(row.state == "waived" for report in reports for row in words.rows(report))
    beside = f" ({count(waived, 'gate')} waived)" if waived else ""
    if expected > len(reports):
        said = f"{len(reports):,} of {count(expected, 'job')} have reported: " + ", ".join(
            f"{many:,} {what}" for many, what in found
        )
    elif len(found) == 1:
        said = f"all {count(len(reports), 'job')} {'were ' if found[0][1] == 'not judged' else ''}{found[0][1]}"
    else:
        (many, what), *rest = found
        said = ", ".join([f"{many:,} of {count(len(reports), 'job')} {what}", *(f"{n:,} {so}" for n, so in rest)])
    return said + beside


def bodies(found: Sequence[Cell], head: str) -> Iterator[str]:
    """*head* and what is not folded: a row for each job, then for those that did not pass, then no table."""
    reported = any(cell.report.self_reported for cell in found)
    above = [head, *([f"⚠️ {words.SELF_REPORTED}"] if reported else [])]
    why = [*gated.reasons(found), *_notes(found)]
    yield "\n\n".join([*above, *_table(found), *why])
    troubled = [cell for cell in found if cell.report.verdict != "pass"]
    hidden = f"Left out to fit: the rows of {count(len(found) - len(troubled), 'job')} that passed."
    yield "\n\n".join([*above, *_table(troubled), hidden, *why])
    hidden = f"Left out to fit: the table of {count(len(found), 'job')}."
    yield "\n\n".join([*above, hidden, *why])
    yield "\n\n".join([*above, hidden])


def folded(found: Sequence[Cell], room: int, body: Callable[[GateReport, int], str]) -> list[str]:
    """
    Each job's own part, in at most *room* bytes; *body* writes it, in as many as it is told.

    The room is shared evenly, but nobody gets so little that it would be of no use.
    """
    shown: list[str] = []
    for place, cell in enumerate(found):
        share = max(room // (len(found) - place), min(room, _LEAST_ROOM))
        fold = str(Section("the job", _summary(cell), "\f"))
        written = body(cell.report, share - len(fold.encode()) - 2)
        if not written:
            return [*shown, f"Left out to fit: the details of {count(len(found) - place, 'job')}."]
        shown.append(fold.replace("\f", written))
        room -= len(shown[-1].encode()) + 2
    return shown


def _summary(cell: Cell) -> str:
    """HTML, not Markdown: a name stands in `code`, where GitHub looks for no mention."""
    said = f"{words.title(cell.report)}, {words.because(cell.report)}".partition(":")[0]
    return f"<code>{escape(cell.name)}</code> {gated.sign(cell.report.verdict)} {said}"


def _table(found: Sequence[Cell]) -> list[str]:
    """Six columns at most: what did not pass somewhere comes first."""
    if not found:
        return []
    rows = [{row.metric: row for row in words.rows(cell.report)} for cell in found]
    states: dict[str, int] = {}
    for row in (row for one in rows for row in one.values()):
        states[row.metric] = min(states.get(row.metric, 99), words.SEVERITY.index(row.state))
    metrics = sorted(states, key=lambda metric: states[metric])[:_MOST_METRICS]
    digits = {metric: _digits([one.get(metric) for one in rows]) for metric in metrics}
    body = (
        [
            short(cell.name),
            gated.LABELS[cell.report.verdict],
            *(_number(one.get(metric), digits[metric]) for metric in metrics),
        ]
        for cell, one in zip(found, rows, strict=True)
    )
    more = len(states) - len(metrics)
    drawn = table(["job", " ", *(short(metric, 24) for metric in metrics)], body)
    return [drawn, *([f"The jobs below have {count(more, 'more gated metric')}."] if more else [])]


def _digits(rows: Sequence[Row | None]) -> int:
    values = [row.change.candidate for row in rows if row and row.change and row.change.candidate is not None]
    return places(values) if values else 0


def _number(row: Row | None, digits: int) -> str:
    """A metric of a job: its value, where it went, and what is wrong with it."""
    if row is None or row.change is None or row.change.candidate is None:
        return "–"
    wrong = "" if row.state == "pass" else f" {gated.sign(row.state)}"
    return f"{write(row.change.candidate, digits)}{_ARROWS.get(row.change.trend, '')}{wrong}"


def _notes(found: Sequence[Cell]) -> list[str]:
    """What the jobs have to say beside their gates, each thing once."""
    told = dict.fromkeys(note for cell in found for note in gated.notes(cell.report))
    return list(told)[: gated.MOST_REASONS]


def _shared(matrices: Sequence[Mapping[str, Any]]) -> set[str]:
    """What is the same in all of *matrices*, unless one of them has nothing else."""
    first = matrices[0]
    same = {name for name in first if all(name in one and one[name] == first[name] for one in matrices)}
    return same if all(set(one) - same for one in matrices) else set()


def _object(cell: str) -> dict[str, Any]:
    if len(cell) > _LONGEST_JSON:
        return {}
    try:
        found = json.loads(cell)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
