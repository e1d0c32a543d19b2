"""A judgement: which rules count, what it compares with, what it shows, and whether it writes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from mlops_ci import config, digests
from mlops_ci.capture.history import History
from mlops_ci.ci import Event
from mlops_ci.entities import ArtifactRef, Author, CiRun, GitState, Metric, Run
from mlops_ci.lifecycle.find_baseline import RecordedRun, nearest
from mlops_ci.lifecycle.judge import Judgement, judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record
from tests.repositories import commit, git
from tests.unit.lifecycle.places import place, run

TODAY = date(2026, 6, 15)
CONFIG = """\
project: churn
run: {command: python train.py}
gates:
  - metric: accuracy
    min: 0.9
"""
WAIVERS = """\
waivers:
  - metric: accuracy
    ceiling: 0.85
    owner: octo-lead
    reason: known
    expires: 2026-12-31
"""


@dataclass
class Desk:
    """A clone, a ledger, and runs of its commits."""

    project: Project
    second: float = 0

    @property
    def root(self) -> Path:
        return self.project.checkout.root

    def commit(self, files: dict[str, str] | None = None) -> str:
        return commit(self.root, files or {})

    def trained(self, value: float, **fields: Any) -> RecordedRun:
        """Record a run of what is checked out, with *value* as its accuracy."""
        self.second += 1
        found = self.project.checkout.commit("HEAD")
        metrics = {"accuracy": Metric(last=value, min=value, max=value)} | fields.pop("metrics", {})
        record = run(
            f"r{self.second:g}",
            second=self.second,
            git=GitState(trained_sha=found.sha, head_sha=found.sha, tree=found.tree),
            metrics=metrics,
            **fields,
        )
        self.project.ledger.append([record])
        return RecordedRun(record, record.read(Run))

    def judge(self, kind: str = "", base: str = "", **options: Any) -> Judgement:
        """Judge the newest run as on a laptop, or as in CI by an event of *kind*."""
        event = (
            Event(kind=kind, name=kind, run=CiRun(provider="github"), author=Author(name="octocat"), base_sha=base)  # type: ignore[arg-type]
            if kind
            else None
        )
        project = replace(self.project, config=config.load(self.root / "mlops.yaml"), event=event)
        return judge(project, base=base, today=options.pop("today", TODAY), **options)

    def verdicts(self) -> int:
        found = self.project.ledger.find(f"run/r{self.second:g}")
        return sum(record.kind == "verdict" for record in found)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A base with a waiver, and a run of it."""
    project = place(tmp_path, "git")
    made = Desk(project)
    made.commit({"mlops.yaml": CONFIG, ".mlops/waivers.yaml": WAIVERS})
    made.trained(0.95)
    return made


@pytest.mark.parametrize("kind", ["pull_request", "merge_group"])
def test_what_wants_to_be_merged_is_waived_by_its_base_alone(desk: Desk, kind: str) -> None:
    base = git(desk.root, "rev-parse", "HEAD")
    desk.commit({"mlops.yaml": CONFIG.replace("0.9", "0.1"), ".mlops/waivers.yaml": WAIVERS.replace("0.85", "0.5")})
    desk.trained(0.86)
    waived = desk.judge(kind, base)
    assert (waived.exit_code, waived.report.verdict, waived.report.policy.origin) == (0, "pass", "base")
    assert waived.report.results[0].waiver is not None
    assert waived.report.results[0].line == 4
    assert waived.report.policy.changed_here == ["gates", "waivers"]
    desk.trained(0.84)
    failed = desk.judge(kind, base)
    assert (failed.exit_code, failed.report.verdict) == (1, "fail")
    assert "beyond the 0.85 that is waived until 2026-12-31" in failed.report.results[0].reason


def test_a_waiver_that_a_change_brings_does_not_count(desk: Desk) -> None:
    desk.commit({".mlops/waivers.yaml": "waivers: []\n"})
    base = git(desk.root, "rev-parse", "HEAD")
    desk.commit({".mlops/waivers.yaml": WAIVERS})
    desk.trained(0.86)
    assert desk.judge("pull_request", base).exit_code == 1
    assert desk.judge(base=base).exit_code == 1


def test_an_expired_waiver_does_not_count(desk: Desk) -> None:
    base = git(desk.root, "rev-parse", "HEAD")
    desk.commit()
    desk.trained(0.86)
    assert desk.judge("pull_request", base, today=date(2026, 12, 31)).exit_code == 0
    late = desk.judge("pull_request", base, today=date(2027, 1, 1))
    assert late.exit_code == 1
    assert "the waiver of octo-lead ended on 2026-12-31" in late.report.results[0].reason


@pytest.mark.parametrize("kind", ["push", "schedule", "dispatch"])
def test_a_push_and_its_like_are_ruled_by_their_commit(desk: Desk, kind: str) -> None:
    desk.trained(0.86)
    found = desk.judge(kind).report
    assert (found.policy.origin, found.policy.sha) == ("commit", git(desk.root, "rev-parse", "HEAD"))
    assert found.verdict == "pass"
    assert found.results[0].line == 4


def test_a_laptop_is_ruled_by_its_work_tree(desk: Desk) -> None:
    desk.trained(0.86)
    assert desk.judge().report.policy.origin == "local"
    git(desk.root, "update-index", "--skip-worktree", ".mlops/waivers.yaml")  # what git does not see as a change
    (desk.root / ".mlops/waivers.yaml").write_text("waivers: []\n")
    assert desk.judge().report.verdict == "fail"


def test_a_verdict_that_is_not_to_be_kept_is_in_no_ledger(desk: Desk) -> None:
    found = desk.judge("push", keep=False)
    assert (found.record_id, found.sent, found.exit_code, desk.verdicts()) == ("", True, 0, 0)
    kept = desk.judge("push")
    assert (kept.record_id != "", desk.verdicts()) == (True, 1)
    assert kept.report == found.report


def test_a_report_says_which_ci_run_and_whether_a_stranger_tells(desk: Desk) -> None:
    base = git(desk.root, "rev-parse", "HEAD")
    desk.commit()
    ci = CiRun(provider="github", run_id="7", pull_request=3)
    candidate = desk.trained(0.95, ci=ci, self_reported=True)
    found = desk.judge("pull_request", base, candidate=candidate).report
    assert (found.ci, found.self_reported) == (ci, True)
    assert desk.judge("push", candidate=desk.trained(0.95)).report.self_reported is False


class Counting:
    """A ledger that counts how often it was asked."""

    def __init__(self, project: Project) -> None:
        self.ledger, self.asked = project.ledger, 0

    def find(self, *keys: str) -> list[Record]:
        self.asked += 1
        return self.ledger.find(*keys)


def trail(desk: Desk) -> tuple[list[float], int]:
    """The trail that leads to HEAD's parent, itself left out, and how often the ledger was asked."""
    counting = Counting(desk.project)
    start = git(desk.root, "rev-parse", "HEAD^")
    found = nearest(desk.project.checkout, counting, start, "churn", "churn")  # type: ignore[arg-type]
    return [run.metrics["accuracy"].last for run in found.trail] if found else [], counting.asked


def test_the_trail_is_what_the_bite_of_the_baseline_holds_for_nothing(desk: Desk) -> None:
    for number in range(20):
        desk.commit({"n": str(number)})
        desk.trained(number / 100)
    desk.commit()
    assert trail(desk) == ([n / 100 for n in range(12, 19)], 1)
    desk.trained(0.95)
    assert desk.judge("push").report.metrics[0].trail == [n / 100 for n in range(12, 20)]


def test_a_trail_has_twelve_at_most_with_the_baseline(desk: Desk) -> None:
    for number in range(30):
        desk.commit({"n": str(number)})
        desk.trained(number / 100)
    for number in range(9):  # the baseline is in the second bite, which has 32
        desk.commit({"m": str(number)})
    assert trail(desk) == ([n / 100 for n in range(18, 29)], 2)


def test_a_trail_has_each_commits_own_baseline_once_and_nothing_else(desk: Desk) -> None:
    desk.commit({"n": "1"})
    desk.trained(0.1)
    desk.trained(0.2)  # trained again: the newest counts
    desk.trained(0.3, status="failed")
    desk.trained(0.4, improvised=True)
    desk.trained(0.5, self_reported=True)
    desk.commit()  # the same tree: the same run stands for it
    desk.commit({"n": "2"})
    desk.trained(0.6)
    desk.commit()  # the baseline, by its tree; the commit before it is no other
    desk.commit()
    assert trail(desk) == ([0.95, 0.2], 1)


def with_history(desk: Desk, folder: Path, series: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """The fields of a run whose metrics went like *series*."""
    path = folder / "history.jsonl"
    with History(path) as points:
        for name, values in series.items():
            points.extend(name, values, 0.0, None)
    reference = digests.reference(path, path.name)
    desk.project.artifacts.put({reference.digest: path})
    return {"metrics": points.summaries(), "history": reference}


def test_curves_are_those_of_the_gated_metrics_and_a_few_others(desk: Desk, tmp_path: Path) -> None:
    series = {name: [float(n) for n in range(100)] for name in ("accuracy", "z", "c", "b", "a")} | {"0": [1.0]}
    desk.trained(99.0, **with_history(desk, tmp_path, series))
    curves = desk.judge("push").report.curves
    assert [curve.metric for curve in curves] == ["accuracy", "a", "b", "c"]
    assert {(len(curve.values), curve.values[0], curve.values[-1]) for curve in curves} == {(40, 0, 99)}


def test_a_history_that_cannot_be_had_or_read_is_no_reason_to_fail(desk: Desk, tmp_path: Path) -> None:
    fields = with_history(desk, tmp_path, {"accuracy": [0.1, 0.95]})
    assert desk.judge("push", candidate=desk.trained(0.95, **fields)).report.curves != []
    (tmp_path / "torn").write_bytes(b'{"metric": "accuracy", "steps')
    torn = digests.reference(tmp_path / "torn", "history.jsonl")
    desk.project.artifacts.put({torn.digest: tmp_path / "torn"})
    gone = ArtifactRef(path="history.jsonl", digest=f"sha256:{'0' * 64}", size_bytes=10)
    for reference in (torn, gone):
        found = desk.judge("push", candidate=desk.trained(0.95, **(fields | {"history": reference})))
        assert (found.exit_code, found.report.curves) == (0, [])


@pytest.mark.parametrize("content", ["[" * 100_000, "{", "[]"], ids=["deep", "torn", "list"])
def test_a_confusion_matrix_that_is_none_is_no_reason_to_fail(desk: Desk, tmp_path: Path, content: str) -> None:
    path = tmp_path / "confusion_matrix.json"
    path.write_text(content)
    reference = digests.reference(path, path.name)
    desk.project.artifacts.put({reference.digest: path})
    assert desk.judge("push", candidate=desk.trained(0.95, artifacts=[reference])).report.confusion is None
    path.write_text(json.dumps({"labels": ["a"], "matrix": [[1]]}))
    good = digests.reference(path, path.name)
    desk.project.artifacts.put({good.digest: path})
    assert desk.judge("push", candidate=desk.trained(0.95, artifacts=[good])).report.confusion is not None
