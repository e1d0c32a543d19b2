"""A verdict on a terminal or in a log. Colour repeats what words and shapes say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from mlops_ci.entities import GateReport
from mlops_ci.numerals import count
from mlops_ci.reports import words
from mlops_ci.reports.charts import sparkline
from mlops_ci.reports.escape import sentence, visible

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

_LABELS = {
    "pass": ("✓ pass", "green"),
    "fail": ("✗ FAIL", "bold red"),
    "waived": ("~ waived", "yellow"),
    "warning": ("! warning", "yellow"),
    "inconclusive": ("? undecided", "yellow"),
    "not evaluated": ("… no baseline", "cyan"),
}
_MOST = 20
_NARROW = 100


def terminal(report: GateReport, console: Console) -> None:
    """Print *report* on *console*, which decides about colours and width."""
    # The SHA stands below, too: a narrow terminal has a better use for its columns.
    for part in _parts(report, narrow=console.width < _NARROW):
        console.print(part, soft_wrap=isinstance(part, str), markup=False, highlight=False)


def _parts(report: GateReport, *, narrow: bool) -> Iterator[RenderableType]:
    yield _headline(report)
    if report.self_reported:
        yield f"! {words.SELF_REPORTED}"
    rows = words.rows(report)
    if rows:
        compared, trend = report.baseline is not None, words.has_trend(report) and not narrow
        header = [*_header(report, narrow=narrow), *(["trend"] if trend else []), "gate", ""]
        yield _grid(header, [_row(row, compared=compared, trend=trend) for row in rows])
    for result in report.results:
        if result.verdict in {"fail", "inconclusive"}:
            waiver = words.waiver(result)
            said = f"{sentence(result.reason)}{f'; {waiver}' if waiver else ''}"
            yield f"{_LABELS[words.shown_as(result)][0][0]} {said}"
    yield from _changes(report)
    yield from _edits(report)
    yield from _manifests(report)
    yield from (f"note: {sentence(note)}" for note in report.notes[:_MOST])
    yield from _sources(report)


def _edits(report: GateReport) -> Iterator[str]:
    if edits := words.edits(report):
        yield f"! {sentence(edits)}"
    told = [(visible(one.name), _value(one.baseline), _value(one.candidate)) for one in report.policy.edits]
    yield from _list(
        "what this change would make of the policy", [f"{name}: {before} → {after}" for name, before, after in told]
    )


def _manifests(report: GateReport) -> Iterator[str]:
    """Of each target how many lines would come and go; what they say is for the other forms."""
    told = []
    for one in report.manifests:
        lines = one.diff.splitlines()
        come = sum(line.startswith("+") and not line.startswith("+++ ") for line in lines)
        gone = sum(line.startswith("-") and not line.startswith("--- ") for line in lines)
        more = f", {count(one.left_out, 'further part')}" if one.left_out else ""
        told.append(f"{visible(one.target) if one.target else 'templates'}: +{come:,} -{gone:,} lines{more}")
    yield from _list("what this change would make of manifests", told)


def _headline(report: GateReport) -> RenderableType:
    from rich.text import Text  # noqa: PLC0415  # only whoever prints needs rich

    style = _LABELS[report.verdict][1]
    return Text.assemble(
        (f"{visible(report.project)}: {words.title(report)}", style), f" — {visible(words.because(report))}"
    )


def _header(report: GateReport, *, narrow: bool) -> list[str]:
    if report.baseline is None:
        return ["metric", "this run"]
    return [
        "metric",
        "baseline" if narrow else f"{visible(report.baseline.branch)} {words.short(report.baseline.sha)}".strip(),
        "this run",
        "change",
    ]


def _row(row: words.Row, *, compared: bool, trend: bool) -> list[tuple[str, str]]:
    shown = words.cells(row.change, relative=words.is_relative(row.results), compared=compared) if row.change else None
    cells = shown or words.Cells("–", "–", "")
    worse = row.change is not None and row.change.trend == "worse"
    numbers = [cells.baseline, cells.candidate, cells.change] if compared else [cells.candidate]
    limits = ", ".join(words.rule(result) for result in row.results)
    styled = [(number, "") for number in numbers]
    if compared and worse:
        styled[-1] = (cells.change, "yellow")
    points = [(sparkline(words.trail(row.change)), "")] if trend else []
    return [(visible(row.metric), ""), *styled, *points, (limits, ""), _LABELS[row.state]]


def _changes(report: GateReport) -> Iterator[RenderableType]:
    """What else differs, one line for each, the rest counted."""
    if report.baseline is None:
        return
    changed, same = words.others(report)
    told = [(visible(one.metric), words.cells(one)) for one in changed]
    yield from _list(
        f"other metrics: {len(changed):,} changed, {len(same):,} the same",
        [f"{name}: {shown.baseline} → {shown.candidate} {shown.change}".rstrip() for name, shown in told],
    )
    yield from _list(
        f"parameters: {len(report.params):,} changed, {report.unchanged_params:,} the same",
        [f"{visible(one.name)}: {_value(one.baseline)} → {_value(one.candidate)}" for one in report.params],
    )
    datasets = dict.fromkeys(one.name.rpartition(".")[0] for one in report.data)
    yield from _list(
        f"data: {count(len(datasets), 'dataset')} changed",
        [f"{visible(one.name)}: {_fact(one.baseline)} → {_fact(one.candidate)}" for one in report.data],
    )


def _list(title: str, lines: Sequence[str]) -> Iterator[str]:
    if lines:
        more = [f"  and {len(lines) - _MOST:,} more"] if len(lines) > _MOST else []
        yield "\n".join([title, *(f"  {line}" for line in lines[:_MOST]), *more])


def _value(value: object) -> str:
    return "–" if value is None else visible(value, 60)


def _fact(value: object) -> str:
    """Of data: a count with commas, a digest short."""
    if isinstance(value, int):
        return f"{value:,}"
    return _value(str(value)[:19] if str(value).startswith("sha256:") else value)


def _sources(report: GateReport) -> Iterator[str]:
    """Which runs were compared, and by whose rules."""
    yield f"this run  {visible(report.candidate.run_id)} at {words.short(report.candidate.sha)}"
    if report.baseline is not None:
        far = words.age(report)
        where = f"{words.short(report.baseline.sha)}{f' ({far})' if far else ''}"
        yield f"baseline  {visible(report.baseline.run_id)} at {where}"
    yield f"policy    {words.policy(report)}"


def _grid(header: Sequence[str], rows: Sequence[Sequence[tuple[str, str]]]) -> RenderableType:
    from rich import box  # noqa: PLC0415  # only whoever prints needs rich
    from rich.table import Table  # noqa: PLC0415  # as above
    from rich.text import Text  # noqa: PLC0415  # as above

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for name in header:
        drawn.add_column(Text(name), overflow="fold")
    for row in rows:
        # Text, not markup: a metric may be called "[red]".
        drawn.add_row(*(Text(cell, style=style) for cell, style in row))
    return drawn
