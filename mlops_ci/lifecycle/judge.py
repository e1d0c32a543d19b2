"""Judge a candidate: find its run and its baseline, apply the gates that rule, record the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from mlops_ci import gates, records
from mlops_ci.entities import GateReport, ManifestChange
from mlops_ci.errors import NotFound
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import find_baseline, pictures, policy
from mlops_ci.lifecycle.find_baseline import Baseline, RecordedRun
from mlops_ci.lifecycle.policy import Ruling
from mlops_ci.lifecycle.project import Project

_BY_COMMIT = frozenset({"push", "schedule", "dispatch"})
"""The events on which the commit that is judged rules itself."""


_Manifests = tuple[Sequence[ManifestChange], Sequence[str]]


@dataclass(frozen=True)
class Judgement:
    """
    A verdict; *sent* is False while the ledger's remote has not seen its record.

    *record_id* is "" where it was not to be recorded.
    """

    report: GateReport
    record_id: str
    exit_code: int
    sent: bool


def judge(
    project: Project,
    *,
    base: str = "",
    candidate: RecordedRun | None = None,
    keep: bool = True,
    today: date | None = None,
) -> Judgement:
    """
    Judge the newest run of what is checked out, and record the verdict.

    Args:
        project: With the configuration of the checkout.
        base: The revision to be merged into: its gates rule. "" on a laptop: the work tree's gates rule,
            the baseline is searched from the default branch, and the report says "local policy".
        candidate: The run to judge, where it is known which.
        keep: Whether the verdict is recorded; a job that trains must not write.
        today: The day, in UTC, by which waivers expire; the present one unless given.

    Raises:
        ConfigError: The configuration or the waivers that rule are wrong.
        NotFound: What is checked out has no finished run.
        ServiceError: The ledger did not answer.
    """
    base = (project.event.base_sha if project.event else "") or base
    base_sha = project.checkout.commit(base).sha if base else ""
    ruling = _ruling(project, base_sha)
    # The candidate too is looked up where the base says: a branch could bring a store of its own, with better runs.
    ruled = project.ruled_by(ruling.config)
    head = project.checkout.commit("HEAD").sha
    where = _Place(head, base_sha or _default_tip(project), (project.event.head_sha if project.event else "") or head)
    candidate = candidate or candidate_of(ruled)
    manifests = _manifests(project, ruling)
    return _judge(ruled, candidate, ruling, where, manifests=manifests, today=today, keep=keep)


def judge_release(
    project: Project, candidate: RecordedRun, sha: str, ruling: Ruling, *, today: date | None = None
) -> Judgement:
    """Judge the run of a commit to be released by *ruling*, that of the default branch, and record the verdict."""
    return _judge(project.ruled_by(ruling.config), candidate, ruling, _Place(sha, "", sha), today=today)


def candidate_of(project: Project) -> RecordedRun:
    """
    Return the newest finished run of what is checked out, changes in the work tree included.

    Raises:
        NotFound: There is none; the sentence says what there is.
    """
    commit = project.checkout.commit("HEAD")
    diff_digest = project.checkout.diff_digest()
    every = [
        found
        for found in find_baseline.runs_of(
            project.ledger, [commit], project.config.project, project.experiment, deleted=True
        )
        if found.run.git.diff_digest == diff_digest
        and found.run.git.tree == commit.tree
        and not found.run.self_reported
    ]
    runs = [found for found in every if found.deleted is None]
    finished = [found for found in runs if found.run.status == "finished"]
    if finished:
        return finished[-1]
    what = f"{commit.sha[:7]}{' with the changes of this work tree' if diff_digest else ''}"
    if runs:
        raise NotFound(f"the run of {what} {runs[-1].run.status}", hint="`mlops-ci run` trains it again")
    if every:
        raise find_baseline.was_deleted(every[-1], what)
    others = [
        found.run.experiment
        for found in find_baseline.runs_of(project.ledger, [commit], project.config.project)
        if found.run.git.diff_digest == diff_digest and found.run.git.tree == commit.tree
    ]
    if others:
        raise NotFound(
            f"the run of {what} belongs to experiment {others[-1]!r}, and {project.experiment!r} is judged here",
            hint="name one experiment in mlops.yaml: `run: experiment:`, and in the training code",
        )
    raise NotFound(f"no run of {what} is recorded", hint="`mlops-ci run` trains and records it")


@dataclass(frozen=True)
class _Place:
    """The commit that is judged, the revision that it shall be merged into ("" if none), and what reports call it."""

    sha: str
    into: str
    head_sha: str


def _ruling(project: Project, base_sha: str) -> Ruling:
    if base_sha:
        return policy.at_base(project.checkout, base_sha, project.config, name=project.config_name)
    if project.event and project.event.kind in _BY_COMMIT:
        return policy.at_commit(project.checkout, project.config, name=project.config_name)
    return policy.in_work_tree(project.checkout, project.config, name=project.config_name)


def _judge(
    project: Project,
    candidate: RecordedRun,
    ruling: Ruling,
    place: _Place,
    *,
    manifests: _Manifests = ((), ()),
    today: date | None = None,
    keep: bool = True,
) -> Judgement:
    # From what is checked out, and not from what was trained: an adopted run's commit may be gone.
    history = find_baseline.history_of(project.checkout, place.sha, place.into)
    start = find_baseline.start_of(history, place.sha, place.into, place.head_sha)
    baseline = _baseline(project, history, start) if start else None
    rules = project.config.gates
    report = gates.evaluate(
        candidate=candidate.run,
        candidate_pointer=candidate.pointer(sha=place.head_sha),
        baseline=baseline.found.run if baseline else None,
        baseline_pointer=baseline.pointer if baseline else None,
        rules=rules,
        policy=ruling.policy,
        lines=ruling.gate_lines,
        waivers=gates.Waivers(ruling.waivers, today or records.moment(records.now()).date()),
        trail=baseline.trail if baseline else (),
        curves=pictures.curves_of(project.artifacts, candidate.run, rules),
        confusion=pictures.confusion(project.artifacts, candidate.run),
        notes=[*ruling.notes, *_notes(history, has_baseline=baseline is not None), *manifests[1]],
    )
    report = records.replace(report, manifests=list(manifests[0]))
    code = gates.exit_code(report, on_inconclusive=project.config.on_inconclusive)
    if not keep:
        return Judgement(report, "", code, sent=True)
    record = records.new(report, author=project.author)
    sent = project.ledger.append([record])
    return Judgement(report, record.id, code, sent)


def _baseline(project: Project, history: Checkout, start: str) -> Baseline | None:
    config = project.config
    return find_baseline.nearest(history, project.ledger, start, config.project, project.experiment)


def _manifests(project: Project, ruling: Ruling) -> _Manifests:
    """What the change would make of the manifests, where there is a branch that it wants to enter."""
    if ruling.policy.origin != "base":
        return (), ()
    from mlops_ci.lifecycle import manifest_changes  # noqa: PLC0415  # imports every kind of target

    return manifest_changes.changes(project, ruling.config, ruling.policy.sha)


def _default_tip(project: Project) -> str:
    name = policy.default_branch_of(project.checkout)
    return f"origin/{name}" if name else ""


def _notes(history: Checkout, *, has_baseline: bool) -> list[str]:
    """What is to be said if *history* could not be asked of the remote."""
    if has_baseline or not history.is_shallow() or history.root == history.common:
        return []
    return [
        "This clone is shallow: a baseline further back cannot be seen without `fetch-depth: 0` in the checkout step."
    ]


def newest_report(project: Project) -> GateReport:
    """
    Return the newest verdict on what is checked out.

    Raises:
        NotFound: It has no finished run, or no verdict yet.
    """
    candidate = candidate_of(project)
    found = project.ledger.find(f"run/{candidate.run.run_id}")
    verdicts = [record for record in found if record.kind == "verdict"]
    if not verdicts:
        raise NotFound(f"run {candidate.run.run_id} was not judged yet", hint="`mlops-ci gate` judges it")
    return verdicts[-1].read(GateReport)
