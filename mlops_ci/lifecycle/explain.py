"""
Explain: from a deployment down to the data, checking every digest and signature on the way.

Each line of the answer is a fact with what was done to verify it. What cannot be verified any more (a
commit that this clone lacks, say) is told apart from what is wrong.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from mlops_ci import changes, digests, records
from mlops_ci.entities import (
    Approval,
    ArtifactRef,
    Dataset,
    Deployment,
    GateReport,
    ModelVersion,
    Run,
)
from mlops_ci.errors import IntegrityError, MlopsCIError, NotFound
from mlops_ci.lifecycle import find_experiments, policy
from mlops_ci.lifecycle.approvals import approval_requests, decisions, four_eyes
from mlops_ci.lifecycle.approvals.approval_requests import Asked
from mlops_ci.lifecycle.approvals.decisions import Case, Unconfirmed
from mlops_ci.lifecycle.approvals.github_witness import witness_of
from mlops_ci.lifecycle.deployments import deployments
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.policy import DefaultBranch
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

Check = Literal["verified", "wrong", "unverified", "stated"]


@dataclass(frozen=True)
class Fact:
    """One line: what it is, what it says, whether that was verified, and how."""

    section: str
    name: str
    value: str
    check: Check = "stated"
    how: str = ""


@dataclass
class Explanation:
    """The facts about *subject*, in the order of a story: deployment, approval, version, gates, run, data."""

    subject: str
    facts: list[Fact] = field(default_factory=list)

    @property
    def wrong(self) -> list[Fact]:
        """What does not hold."""
        return [fact for fact in self.facts if fact.check == "wrong"]


def explain(project: Project, subject: str) -> Explanation:
    """
    Explain *subject*: a target, a version, or the id of a deployment's record (12 digits at least).

    Raises:
        NotFound: Nothing is called so.
        ServiceError: The ledger did not answer.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    story = Explanation(subject)
    deployed = _deployment(project, subject)
    if deployed is None:
        try:
            version, record = find_version(project.ledger, project.config, subject)
        except NotFound as error:
            raise NotFound(str(error), hint=_unread(project) or error.hint) from error
    else:
        deployment = deployed.read(Deployment)
        story.facts += _of_deployment(deployed, deployment)
        story.facts += _of_approvals(project, deployed, ruling)
        version, record = find_version(project.ledger, project.config, deployment.plan.version)
        story.facts.append(_same("version", "record", record.id, deployment.plan.version_record, "the plan names it"))
        story.facts.append(
            _same("version", "model", version.artifact.digest, deployment.plan.model_digest, "the plan names it")
        )
    story.facts += _of_version(project, version, record)
    story.facts += _of_run(project, version)
    return story


def _unread(project: Project) -> str:
    """Where else the subject may be; "" if everything was looked through."""
    unset = [f"{variable} is not set" for variable in project.out_of_reach.values()]
    return (
        f"the records of {', '.join(project.out_of_reach)} were not looked through: {', '.join(unset)}" if unset else ""
    )


def _deployment(project: Project, subject: str) -> Record | None:
    if subject in project.config.targets:
        found = [record for record in deployments(project, subject) if record.body["status"] == "live"]
        if not found:
            raise NotFound(f"nothing was deployed to {subject} yet", hint=f"`mlops-ci deploy {subject}`")
        return found[-1]
    every = [record for target in project.within_reach for record in deployments(project, target)]
    matching = [record for record in every if len(subject) >= 8 and record.id.startswith(subject)]
    return matching[0] if len(matching) == 1 else None


def _of_deployment(record: Record, deployment: Deployment) -> Iterator[Fact]:
    plan = deployment.plan
    yield Fact("deployment", "target", f"{plan.target} ({plan.kind})")
    yield Fact("deployment", "record", record.id[:12], "verified", "its id is the SHA-256 of its bytes")
    yield Fact("deployment", "by", _who(record), "stated", f"said by {record.author.via}")
    yield Fact("deployment", "at", record.time)
    yield Fact("deployment", "url", deployment.url)
    yield _same("deployment", "plan", deployment.plan_digest, records.digest(plan), "recomputed from the plan")
    if deployment.smoke is not None:
        yield Fact("deployment", "smoke test", f"{deployment.smoke.status} in {deployment.smoke.latency_ms} ms")


def _of_approvals(project: Project, deployed: Record, ruling: DefaultBranch) -> Iterator[Fact]:
    deployment = deployed.read(Deployment)
    if not deployment.approvals:
        yield Fact("approval", "needed", "none")
        return
    ledger = project.ledger_of(deployment.plan.target)
    found = {record.id: record for record in ledger.find(approval_requests.key_of(deployment.plan_digest))}
    request = found.get(deployment.request)
    if request is None:
        yield Fact("approval", "request", deployment.request[:12], "wrong", "the ledger has no such record")
        return
    history = deployments(project, deployment.plan.target)
    # What was rolled back to was agreed to when it first went live.
    first = next((one for one in history if _is_of(one, deployment)), deployed)
    then = policy.as_it_was(project.checkout, ruling, str(first.body["policy_sha"]))
    try:
        asked = approval_requests.read_request(request, approval_requests.rule_of(then, deployment.plan.target))
    except MlopsCIError as error:
        yield Fact("approval", "request", deployment.request[:12], "wrong", str(error))
        return
    needed = f"{asked.request.required} needed"
    yield Fact("approval", "requested", f"{_who(request)} at {request.time}", "stated", needed)
    before = [record for record in history if (record.time, record.id) < (first.time, first.id)]
    asked = replace(asked, changed=approval_requests.last_change(before))
    case = _case(project, first, asked, then, history)
    for id_ in deployment.approvals:
        if id_ not in found:
            yield Fact("approval", "approved", id_[:12], "wrong", "the ledger has no such record")
        else:
            yield _approval(found[id_], asked, case)


def _is_of(record: Record, deployment: Deployment) -> bool:
    return (record.body["status"], record.body["plan_digest"]) == ("live", deployment.plan_digest)


def _case(project: Project, deployed: Record, asked: Asked, then: DefaultBranch, history: list[Record]) -> Case:
    """By what the approvals of *deployed* were to be judged, *then*."""
    plan = asked.request.plan
    replaced = next((record for record in history if record.id == asked.request.replaces), None)
    people = [deployed.author.email, deployed.author.name, *asked.people]
    people += four_eyes.people_of(project, plan, replaced)
    version, before = four_eyes.version_of(project, plan), four_eyes.version_serving(project, replaced)
    return Case(
        then,
        people,
        version.sha if version else "",
        before.sha if before else "",
        witness_of(project),
        tag=version.tag if version else "",
    )


def _approval(record: Record, asked: Asked, case: Case) -> Fact:
    decision = record.read(Approval)
    try:
        decisions.check(record, asked, replace(case, at=records.moment(record.time)))
    except Unconfirmed as error:
        return Fact("approval", "approved", decision.approver, "unverified", str(error))
    except MlopsCIError as error:
        return Fact("approval", "approved", decision.approver, "wrong", str(error))
    how = f"SSH signature over the plan, key allowed at {case.ruling.sha[:7]}"
    if decision.method == "github-comment":
        how = f"GitHub has their comment, unedited; they may approve by the rule at {case.ruling.sha[:7]}"
    elif decision.method == "github-environment":
        how = f"GitHub has their review of the environment; they may approve by the rule at {case.ruling.sha[:7]}"
    return Fact("approval", "approved", decision.approver, "verified", how)


def _of_version(project: Project, version: ModelVersion, record: Record) -> Iterator[Fact]:
    yield Fact("version", "version", f"{version.model} {version.version}", "verified", "claimed once in the ledger")
    yield Fact("version", "registered", f"{_who(record)} at {record.time}", "stated", f"said by {record.author.via}")
    yield _tag(project, version)
    yield _commit(project, version)
    yield _same("model", "digest", digests.of_tree(version.artifact.files), version.artifact.digest, "recomputed")
    yield _bytes(project, "model", "files", version.artifact.files)


def _tag(project: Project, version: ModelVersion) -> Fact:
    try:
        sha = project.checkout.commit(f"refs/tags/{version.tag}").sha
    except MlopsCIError:
        return Fact("version", "tag", version.tag, "unverified", "this clone has no such tag: `git fetch --tags`")
    return _same("version", "tag", f"{version.tag} → {sha[:12]}", f"{version.tag} → {version.sha[:12]}", "git's tag")


def _commit(project: Project, version: ModelVersion) -> Fact:
    try:
        tree = project.checkout.commit(version.sha).tree
    except MlopsCIError:
        return Fact("commit", "sha", version.sha, "unverified", "this clone lacks it: `git fetch --unshallow`")
    check: Check = "verified" if tree == version.tree else "wrong"
    return Fact("commit", "sha", version.sha, check, f"tree {version.tree[:12]}")


def _of_run(project: Project, version: ModelVersion) -> Iterator[Fact]:
    found = {record.id: record for record in project.ledger.find(f"run/{version.run_id}")}
    if version.verdict_record:
        yield from _of_gates(found.get(version.verdict_record), version)
    else:
        yield Fact("gates", "verdict", "not evaluated", "unverified", "no verdict was recorded before registration")
    record = found.get(version.run_record)
    if record is None:
        yield Fact("run", "record", version.run_record[:12], "wrong", "the ledger has no such record")
        return
    run = record.read(Run)
    yield Fact("run", "record", record.id[:12], "verified", "its id is the SHA-256 of its bytes")
    yield Fact("run", "run", f"{run.run_id}, {run.status}, {run.duration_s:.1f} s, by {_who(record)}")
    yield Fact("run", "command", " ".join(run.command))
    if run.ci:
        yield Fact("run", "CI", run.ci.run_url or run.ci.run_id)
    if run.model:
        yield _same("run", "model", run.model.digest, version.artifact.digest, "the version names it")
    deleted = _deletion(project, run, found.values())
    if deleted is not None:
        yield Fact("run", "deleted", changes.deletion(deleted), "stated", "it is no baseline any more")
    if run.environment:
        yield _bytes(project, "run", "environment", [run.environment], deleted)
    yield from (Fact("params", name, str(value)) for name, value in sorted(run.params.items()))
    yield from (Fact("metrics", name, f"{metric.last:.6g}") for name, metric in sorted(run.metrics.items()))
    yield from (_of_data(project, version.sha, dataset) for dataset in run.data)


def _deletion(project: Project, run: Run, found: Iterable[Record]) -> Record | None:
    """The record that deleted the run, or its experiment, if one did."""
    of_run = changes.of_runs(found).get(run.run_id)
    if of_run is not None and of_run.deleted is not None:
        return of_run.deleted
    return find_experiments.around(project.ledger, run.project, run.experiment)[run.experiment].deleted


def _of_gates(record: Record | None, version: ModelVersion) -> Iterator[Fact]:
    if record is None:
        yield Fact("gates", "verdict", version.verdict_record[:12], "wrong", "the ledger has no such record")
        return
    report = record.read(GateReport)
    against = f"against {report.baseline.sha[:7]}" if report.baseline else "without a baseline"
    yield Fact("gates", "verdict", f"{report.verdict}, {against}", "verified", f"record {record.id[:12]}")
    for result in report.results:
        yield Fact("gates", result.metric, f"{result.verdict}: {result.reason}", "stated", result.rule)


def _of_data(project: Project, sha: str, dataset: Dataset) -> Fact:
    """Data that lies in the commit is verified against it; other data only where the file is at hand."""
    value = f"{dataset.path} {dataset.digest[:19]}" + (f", {dataset.rows:,} rows" if dataset.rows is not None else "")
    if not dataset.path:
        return Fact("data", dataset.name, value, "unverified", dataset.note or "it was in memory, not in a file")
    content = project.checkout.read_file(sha, dataset.path)
    if content is not None:
        # What was trained is the file as git checks it out: with its line endings, and fetched by its filters.
        checked_out = project.checkout.read_file(sha, dataset.path, filtered=True) or b""
        same = dataset.digest in {digests.of_bytes(content), digests.of_bytes(checked_out)}
        check: Check = "verified" if same else "wrong"
        return Fact("data", dataset.name, value, check, f"against the file in commit {sha[:7]}")
    path = project.checkout.root / dataset.path
    if path.is_file():
        check = "verified" if digests.of_file(path) == dataset.digest else "wrong"
        return Fact("data", dataset.name, value, check, "against the file in this folder")
    return Fact("data", dataset.name, value, "unverified", "the data is not in the commit, nor in this folder")


def _bytes(project: Project, section: str, name: str, files: list[ArtifactRef], deleted: Record | None = None) -> Fact:
    """Fetch *files* from the artifact store, which verifies each; of a *deleted* run they may be gone."""
    value = f"{len(files)} file{'s'[: len(files) != 1]}, {sum(file.size_bytes for file in files):,} bytes"
    try:
        with tempfile.TemporaryDirectory() as folder:
            project.artifacts.get({file.digest for file in files}, Path(folder))
    except (NotFound, IntegrityError) as error:
        if deleted is not None and isinstance(error, NotFound):
            how = f"{error}: the run was {changes.deletion(deleted)}, and what nothing else names is collected"
            return Fact(section, name, value, "unverified", how)
        return Fact(section, name, value, "wrong", str(error))
    except MlopsCIError as error:
        return Fact(section, name, value, "unverified", str(error))
    return Fact(section, name, value, "verified", "every byte fetched and hashed")


def _same(section: str, name: str, found: str, named: str, how: str) -> Fact:
    if found == named:
        return Fact(section, name, found, "verified", how)
    return Fact(section, name, found, "wrong", f"{how}: {named}")


def _who(record: Record) -> str:
    author = record.author
    return f"{author.name} <{author.email}>" if author.email and author.email != author.name else author.name
