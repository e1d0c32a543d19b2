"""The parts of a comment that are folded away: what did not decide, and what somebody may want to look up."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from mlops_ci.entities import GateReport, ManifestChange, MetricChange, Scalar, ValueChange
from mlops_ci.numerals import count, write
from mlops_ci.reports import plots, words
from mlops_ci.reports.escape import code, fenced, short, text
from mlops_ci.reports.folds import Section, table

_SHA = re.compile(r"[0-9a-f]{7,64}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_LABELS = 30
_LONGEST_VALUE = 60
_LONGEST_LABEL = 20


def sections(report: GateReport, *, charts: bool = True) -> list[Section]:
    """The folded parts that have something to say, in the order of the comment; Mermaid only with *charts*."""
    found = [
        *_edits(report),
        *_manifests(report),
        *_reasons(report),
        *_metrics(report),
        *_params(report),
        *_data(report),
        *_confusion(report.confusion),
        *plots.history(report, charts=charts),
        *plots.curves(report, charts=charts),
        _comparison(report),
        *_reproduction(report),
    ]
    return [section for section in found if section.body]


def _edits(report: GateReport) -> Iterator[Section]:
    if report.policy.edits:
        rows = ([short(one.name), _setting(one.baseline), _setting(one.candidate)] for one in report.policy.edits)
        yield Section(
            "the edits of the policy",
            "What this change would make of the policy",
            table(["setting", "now", "then"], rows),
        )


def _manifests(report: GateReport) -> Iterator[Section]:
    if report.manifests:
        targets = [one for one in report.manifests if one.target]
        whose = count(len(targets), "target") if targets else "templates alone"
        body = "\n\n".join(part for one in report.manifests for part in _manifest(one))
        yield Section("the changes of manifests", f"What this change would make of manifests ({whose})", body)


def _manifest(change: ManifestChange) -> Iterator[str]:
    yield f"Target {code(change.target)}:" if change.target else "Templates, which are not rendered here:"
    if change.diff:
        yield fenced(change.diff, "diff")
    if change.left_out:
        how = "`mlops-ci render` on both branches shows everything" if change.target else "git shows everything"
        yield f"{count(change.left_out, 'further part')} of the difference left out; {how}."


def _setting(value: Scalar) -> str:
    return "–" if value is None else short(value, _LONGEST_VALUE)


def _reasons(report: GateReport) -> Iterator[Section]:
    passed = [result for result in report.results if result.verdict == "pass"]
    if passed:
        body = "\n".join(f"- {reason(result.metric, result.reason)}" for result in passed)
        yield Section("the reasons of the gates that passed", f"Why {count(len(passed), 'rule')} passed", body)


def reason(metric: str, sentence: str) -> str:
    """A result's sentence with the metric's name, which begins it, as code."""
    if sentence.startswith(f"{metric} "):
        return f"{code(metric)} {text(sentence.removeprefix(metric))}"
    return f"{code(metric)}: {text(sentence)}"


def _metrics(report: GateReport) -> Iterator[Section]:
    changed, same = words.others(report)
    if not changed and not same:
        return
    compared = report.baseline is not None
    header = ["metric", "baseline", "this run", "change"] if compared else ["metric", "this run"]
    body = table(header, (_metric(change, compared=compared) for change in changed)) if changed else ""
    names = ", ".join(code(change.metric) for change in same)
    unchanged = f"The same as in the baseline: {names}" if same else ""
    counted = f"{len(changed):,} changed, {len(same):,} the same" if compared else f"{len(changed):,}"
    yield Section(
        "the other metrics", f"Other metrics ({counted})", "\n\n".join(part for part in (body, unchanged) if part)
    )


def _metric(change: MetricChange, *, compared: bool) -> list[str]:
    shown = words.cells(change, compared=compared)
    return (
        [short(change.metric), shown.baseline, shown.candidate, shown.change]
        if compared
        else [short(change.metric), shown.candidate]
    )


def _params(report: GateReport) -> Iterator[Section]:
    if report.baseline is None or not (report.params or report.unchanged_params):
        return
    body = (
        params_table(report.params, ["parameter", "baseline", "this run"])
        if report.params
        else "All parameters are those of the baseline."
    )
    yield Section(
        "the parameters", f"Parameters ({len(report.params):,} changed, {report.unchanged_params:,} the same)", body
    )


def _data(report: GateReport) -> Iterator[Section]:
    if report.data:
        changed = dict.fromkeys(change.name.rpartition(".")[0] for change in report.data)
        yield Section(
            "the data",
            f"Data ({count(len(changed), 'dataset')} changed)",
            data_table(report.data, ["data", "baseline", "this run"]),
        )


def params_table(changes: Sequence[ValueChange], header: Sequence[str]) -> str:
    """The parameters that differ, under *header*: three words."""
    rows = ([short(change.name), _param(change.baseline), _param(change.candidate)] for change in changes)
    return table(header, rows)


def data_table(changes: Sequence[ValueChange], header: Sequence[str]) -> str:
    """What differs of the data, under *header*: three words."""
    return table(header, ([short(change.name), *_fact(change)] for change in changes))


def _fact(change: ValueChange) -> list[str]:
    before, after = change.baseline, change.candidate
    if change.name.endswith(".columns") and isinstance(before, str) and isinstance(after, str):
        old, new = dict.fromkeys(before.split(", ")), dict.fromkeys(after.split(", "))
        gone, come = [one for one in old if one not in new], [one for one in new if one not in old]
        if gone or come:
            return [
                ", ".join(short(f"- {one}") for one in gone[:20]),
                ", ".join(short(f"+ {one}") for one in come[:20]),
            ]
    return [_scalar(before), _scalar(after)]


def _param(value: Scalar) -> str:
    return "–" if value is None else short(value, _LONGEST_VALUE)


def _scalar(value: Scalar) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}" if abs(value) < 10**15 else code(value)
    if isinstance(value, str) and _DIGEST.fullmatch(value):
        return code(value[:19])
    return _param(value)


def _confusion(matrix: dict[str, Any] | None) -> Iterator[Section]:
    """`{"labels": [...], "matrix": [[...]]}`; anything else, or a very large one, is no table."""
    labels, counts = (matrix or {}).get("labels"), (matrix or {}).get("matrix")
    if not isinstance(labels, list) or not isinstance(counts, list) or not 0 < len(labels) <= _MOST_LABELS:
        return
    if [len(row) if isinstance(row, list) else -1 for row in counts] != [len(labels)] * len(labels):
        return
    rows = [
        [
            f"**actual** {short(label, _LONGEST_LABEL)}",
            *(_count(value, right=row == column) for column, value in enumerate(line)),
        ]
        for row, (label, line) in enumerate(zip(labels, counts, strict=True))
    ]
    body = table([" ", *(f"predicted {short(label, _LONGEST_LABEL)}" for label in labels)], rows)
    yield Section("the confusion matrix", "Confusion matrix", body)


def _count(value: Any, *, right: bool) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return code(value)
    return f"**{write(value)}**" if right else write(value)


def _comparison(report: GateReport) -> Section:
    rows = [["this run", code(report.candidate.run_id), _sha(report.candidate.sha), ""]]
    if report.baseline is not None:
        branch = code(report.baseline.branch) if report.baseline.branch else ""
        where = ", ".join(part for part in (branch, words.age(report)) if part)
        rows.append(["baseline", code(report.baseline.run_id), _sha(report.baseline.sha), where])
    body = [
        table([" ", "run", "commit", " "], rows),
        f"Experiment: {code(report.experiment)}",
        f"Policy: {text(words.policy(report))}.",
    ]
    return Section("what was compared", "What was compared", "\n\n".join(body))


def _sha(sha: str) -> str:
    return code(sha) if sha else "–"


def _reproduction(report: GateReport) -> Iterator[Section]:
    sha, base = report.candidate.sha, report.policy.sha if report.policy.origin == "base" else ""
    if not _SHA.fullmatch(sha):
        return
    judge = f"mlops-ci gate --base {base}" if _SHA.fullmatch(base) else "mlops-ci gate"
    lines = [f"git fetch origin {sha}", f"git checkout {sha}", "mlops-ci sync", "mlops-ci run", judge]
    yield Section("how to reproduce it", "How to reproduce", "```sh\n" + "\n".join(lines) + "\n```")
