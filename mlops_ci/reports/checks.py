"""What a check of a commit says, which lines it points at, and whether a comment is worth a reader's time."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from mlops_ci.entities import GateReport, GateResult
from mlops_ci.reports import cells, words
from mlops_ci.reports.escape import sentence, text, visible
from mlops_ci.reports.markers import Order, line

Conclusion = Literal["success", "failure", "neutral"]
Level = Literal["failure", "warning", "notice"]
When = Literal["on-change", "always", "on-failure", "never"]

MOST_ANNOTATIONS = 50  # GitHub takes no more in one request
_CONFIG_NAME = "mlops.yaml"
_LEVELS: dict[str, Level] = {"fail": "failure", "inconclusive": "failure", "warning": "warning", "waived": "notice"}
_LONGEST_TITLE = 250


class Annotation(NamedTuple):
    """A sentence about a line of the configuration. *line* counts from 1; all text is plain."""

    path: str
    line: int
    level: Level
    title: str
    message: str


def conclusion(reports: Sequence[GateReport], exit_codes: Sequence[int], expected: int = 0) -> tuple[str, Conclusion]:
    """
    The title (plain text) and the conclusion of one check for *reports*.

    Args:
        reports: Those of one CI run.
        exit_codes: What `gates.exit_code` says of each; one that is not 0 fails the check.
        expected: How many jobs are to report. GitHub lets a merge pass on "neutral", so that a check without all of
            its jobs is a failure; leave it in progress where that can be done.
    """
    if not reports:
        return ("no job has reported", "failure")
    if len(reports) == 1 and expected <= 1:
        title, because = words.title(reports[0]), words.because(reports[0])
    else:
        title, because = cells.title(reports, expected), cells.because(reports, expected)
    said = visible(f"{title} — {because}", _LONGEST_TITLE)
    if any(exit_codes) or len(exit_codes) < len(reports) or expected > len(reports):
        return (said, "failure")
    passed = all(report.verdict == "pass" and not report.self_reported for report in reports)
    return (said, "success" if passed else "neutral")


def annotations(reports: Sequence[GateReport]) -> list[Annotation]:
    """One for each rule that did not pass, in each report: failures first, at most 50."""
    found = [
        _annotation(report, result)
        for report in reports
        for result in report.results
        if words.shown_as(result) in _LEVELS
    ]
    order = list(dict.fromkeys(_LEVELS.values()))
    return sorted(dict.fromkeys(found), key=lambda one: order.index(one.level))[:MOST_ANNOTATIONS]


def _annotation(report: GateReport, result: GateResult) -> Annotation:
    name = cells.name_of(report) if report.ci and report.ci.cell else ""
    waiver = words.waiver(result)
    return Annotation(
        path=report.policy.config_name or _CONFIG_NAME,
        line=max(result.line or 1, 1),
        level=_LEVELS[words.shown_as(result)],
        title=visible(f"{report.project}{f' ({name})' if name else ''}: {result.metric}", _LONGEST_TITLE),
        message=f"{sentence(result.reason)}{f'; {waiver}' if waiver else ''}",
    )


def worth_a_comment(reports: Sequence[GateReport], when: When) -> bool:
    """
    Whether *reports* say something that a reader has to know.

    With "on-change": a gate did not pass, even if it only warns or is waived, there is nothing to compare with, a gated
    metric, a param or the data changed, or the policy or a manifest would.
    """
    if when in {"never", "always"}:
        return when == "always" and bool(reports)
    if when == "on-failure":
        return any(report.verdict in {"fail", "inconclusive"} for report in reports)
    return any(map(_is_news, reports))


def _is_news(report: GateReport) -> bool:
    rows = words.rows(report)
    return bool(
        report.verdict != "pass"
        or any(row.state != "pass" for row in rows)
        or any(row.change is None or row.change.change != 0 for row in rows)
        or report.params
        or report.data
        or report.policy.edits
        or report.policy.changed_here
        or report.manifests
    )


def not_affected(project: str, why: str, *, key: str = "", order: Order = (0, 0)) -> tuple[str, str]:
    """
    Title and Markdown for a commit that has no effect on the model.

    Args:
        project: The project's name.
        why: A sentence, without a full stop.
        key: Of the comment that these words replace (`reports.key`); without it there is no marker.
        order: Of this CI run.
    """
    return _told(project, "not affected", why, (key, order))


def not_trained(project: str, failure: str, *, key: str = "", order: Order = (0, 0)) -> tuple[str, str]:
    """Title and Markdown where nothing could be judged; *failure* says why, else as in `not_affected`."""
    why = failure if failure.strip() else "there is no verdict"
    return _told(project, "not ready to merge", why, (key, order))


def _told(project: str, title: str, why: str, comment: tuple[str, Order]) -> tuple[str, str]:
    end = f"\n\n{line(*comment)}" if comment[0] else ""
    return (visible(f"{title} — {why}", _LONGEST_TITLE), f"**{text(project)}: {title}** — {text(why)}{end}\n")
