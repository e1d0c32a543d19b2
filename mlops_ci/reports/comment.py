"""
A verdict as Markdown: the comment of a pull request, and the summary of a job.

It says first what the reader must do. What did not decide is folded away, and whole sections are left out
where the comment would be too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from mlops_ci.entities import GateReport
from mlops_ci.reports import cells, gated, plots, words
from mlops_ci.reports.escape import text
from mlops_ci.reports.folds import Section
from mlops_ci.reports.markers import Order, marker
from mlops_ci.reports.sections import sections

BUDGET_BYTES = 60_000  # GitHub refuses more than 65,536 characters, and counts them in its own way
# Only what a CI run's own page looks like becomes a link; and only GitHub's own where a stranger's job named it.
_RUN = r"/[\w.-]+/[\w.-]+/actions/runs/\d+(/(attempts|job)/\d+)?"
_RUN_URL = re.compile(rf"https://[A-Za-z0-9.-]+(:\d+)?{_RUN}", re.ASCII)
_GITHUB_URL = re.compile(rf"https://github\.com{_RUN}", re.ASCII)
_LAST = {"what was compared", "how to reproduce it"}
_LEFT_OUT = 100  # bytes of the sentence that says how many jobs there was no room for
# The first to go is the first here.
_LEAST = (
    "the parameters",
    "the other metrics",
    "the training curves",
    "the history",
    "the pictures",
    "the reasons of the gates that passed",
    "the data",
    "the confusion matrix",
    "how to reproduce it",
    "what was compared",
    "the changes of manifests",
    "the edits of the policy",
)


def markdown(
    reports: GateReport | Sequence[GateReport],
    *,
    expected: int = 0,
    pictures: Mapping[str, str] | None = None,
    budget_bytes: int = BUDGET_BYTES,
    order: Order | None = None,
    charts: bool = True,
) -> str:
    """
    Return the comment: GitHub's Markdown, at most *budget_bytes* (of UTF-8) long.

    Args:
        reports: One, or those of the jobs of a matrix: of one experiment and one CI run, in any order.
        expected: How many jobs are to report; with more than there are, nothing is called ready.
        pictures: Names of images, and where they are: `../blob/mlops-assets/<path>?raw=true`, nothing else is shown.
        budget_bytes: At least what a sentence and the marker need, 1,000.
        order: Of the CI run that tells this, where that is not the one that trained: a run that was reused.
        charts: With charts in Mermaid, which GitHub draws; the numbers are there in any case.
    """
    several = [reports] if isinstance(reports, GateReport) else list(reports)
    end = f"\n\n{marker(several, order)}\n"
    head = _head(several, expected)
    room = budget_bytes - len(end.encode())
    shown = plots.pictures(pictures or {})
    if len(several) == 1 and expected <= 1:
        core = _first(gated.bodies(several[0], head), room // 2) or head
        return _fit(core, _with(sections(several[0], charts=charts), shown), room) + end
    found = cells.cells(several)
    core = _first(cells.bodies(found, head), room // 2) or head
    core = _fit(core, shown, room)
    left = room - _size(core) - _LEFT_OUT
    parts = cells.folded(found, left, lambda report, share: _details(report, share, charts=charts))
    return "\n\n".join([core, *parts]) + end


def _details(report: GateReport, room: int, *, charts: bool) -> str:
    """What is folded of one job among several; "" if nothing fits."""
    run = _run(report)
    where = f"{gated.commit(report.candidate.sha)}{_against(report)}{f' · {run}' if run else ''}"
    core = _first(gated.bodies(report, where), room // 2)
    return _fit(core, sections(report, charts=charts), room) if core else ""


def _first(bodies: Iterable[str], room: int) -> str:
    return next((body for body in bodies if _size(body) <= room), "")


def _with(found: list[Section], pictures: list[Section]) -> list[Section]:
    """Pictures stand before the lines that only say what was compared with what."""
    before = [section for section in found if section.name not in _LAST]
    return [*before, *pictures, *(section for section in found if section.name in _LAST)]


def _fit(core: str, found: Sequence[Section], room: int) -> str:
    kept = list(found)
    left_out: list[str] = []
    for name in _LEAST:
        whole = "\n\n".join([core, *map(str, kept), *_missing(left_out)])
        if _size(whole) <= room:
            return whole
        left_out += [section.name for section in kept if section.name == name]
        kept = [section for section in kept if section.name != name]
    whole = "\n\n".join([core, *_missing(left_out)])
    return whole if _size(whole) <= room else core


def _missing(names: Sequence[str]) -> list[str]:
    return [f"Left out to fit: {', '.join(names)}. `mlops-ci report` shows everything."] if names else []


def _size(part: str) -> int:
    return len(part.encode())


def _head(reports: Sequence[GateReport], expected: int) -> str:
    first = reports[0]
    if len(reports) == 1 and expected <= 1:
        title, because = words.title(first), words.because(first)
    else:
        title, because = cells.title(reports, expected), cells.because(reports, expected)
    run = _run(first)
    facts = [
        f"**{text(first.project)}: {title}** — {text(because)}",
        *([run] if run else []),
        f"{gated.commit(first.candidate.sha)}{_against(*reports)}",
        *(["local policy"] if any(report.policy.origin == "local" for report in reports) else []),
    ]
    return " · ".join(facts)


def _run(report: GateReport) -> str:
    url = report.candidate.run_url
    known = _GITHUB_URL if report.self_reported else _RUN_URL
    return f"[run]({url})" if known.fullmatch(url) else ""


def _against(*reports: GateReport) -> str:
    names = {gated.name_of_baseline(report) for report in reports}
    if len(names) > 1:
        return ", each against its own baseline"
    [name] = names
    return f" against {name}" if name else ", no baseline"
