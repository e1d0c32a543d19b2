"""
Register: a version tag turns the model of the tagged commit into an immutable version.

The version is a claim in the ledger, so of two that register it at once one wins, and what it names
never changes afterwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mlops_ci import git, records
from mlops_ci.config import Config
from mlops_ci.entities import GateReport, Model, ModelVersion
from mlops_ci.errors import Conflict, NotFound, Refused, UsageError
from mlops_ci.lifecycle import find_baseline, policy
from mlops_ci.lifecycle.find_baseline import RecordedRun
from mlops_ci.lifecycle.project import Project
from mlops_ci.records import Record

# https://semver.org, "Is there a suggested regular expression": numbers, an optional pre-release and build.
_SEMVER = r"(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)\.(?:0|[1-9]\d*)(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?"


@dataclass(frozen=True)
class Registered:
    """A version and its record's id; *new* is False where it was registered before with the same bytes."""

    version: ModelVersion
    record_id: str
    new: bool


def version_of(tag: str, config: Config) -> str:
    """
    The version that *tag* names by the pattern `registry: tag:`.

    Raises:
        UsageError: The tag does not match the pattern.
    """
    pattern = re.escape(config.registry.tag)
    pattern = pattern.replace(re.escape("{model}"), re.escape(config.model)).replace(
        re.escape("{version}"), f"({_SEMVER})"
    )
    match = re.fullmatch(pattern, tag)
    if match is None:
        example = config.registry.tag.format(model=config.model, version="1.2.3")
        raise UsageError(
            f"the tag {tag!r} does not name a version of {config.model}", hint=f"a tag such as {example} does"
        )
    return match[1]


def register(project: Project, tag: str) -> Registered:
    """
    Register the model of the commit that *tag* names; the default branch's configuration rules.

    Raises:
        UsageError: The tag does not match `registry: tag:`, or there is no such tag.
        NotFound: The tagged commit has no finished run with a model.
        Refused: The run failed its gates.
        Conflict: The version is registered already, with other bytes.
        ServiceError: The ledger or the artifact store did not answer.
    """
    ruling = policy.at_default_branch(project.checkout)
    project = project.ruled_by(ruling.config)
    version = version_of(tag, project.config)
    commit = project.checkout.commit(f"refs/tags/{tag}")
    found = _run_of(project, commit)
    verdict = _verdict_of(project, found)
    proposed = ModelVersion(
        model=project.config.model,
        version=version,
        tag=tag,
        sha=commit.sha,
        tree=commit.tree,
        run_id=found.run.run_id,
        run_record=found.record.id,
        artifact=_model_of(found),
        verdict_record=verdict.id if verdict else "",
        policy_sha=ruling.sha,
        people=git.unique([*commit.people, *_tagger(project, tag)]),
    )
    return _claim(project, proposed)


def _claim(project: Project, proposed: ModelVersion) -> Registered:
    name = f"version/{proposed.model}/{proposed.version}"
    held = project.ledger.claims(name).get(name)
    if held is None:
        record = records.new(proposed, author=project.author)
        try:
            project.ledger.append([record], claims={name: record})
        except Conflict:
            held = project.ledger.claims(name)[name]
        else:
            return Registered(proposed, record.id, new=True)
    registered = held.read(ModelVersion)
    if (registered.artifact.digest, registered.sha) != (proposed.artifact.digest, proposed.sha):
        raise Conflict(
            f"{proposed.model} {proposed.version} is registered already, of commit {registered.sha[:7]}"
            f" with model {registered.artifact.digest[:19]}; {proposed.tag} names commit {proposed.sha[:7]}"
            f" with model {proposed.artifact.digest[:19]}",
            hint="a version never changes: tag the next one",
        )
    return Registered(registered, held.id, new=False)


def _run_of(project: Project, commit: git.Commit) -> RecordedRun:
    runs = find_baseline.runs_of(project.ledger, [commit], project.experiment)
    clean = [found for found in runs if not found.run.git.dirty and found.run.git.tree == commit.tree]
    finished = [found for found in clean if found.run.status == "finished"]
    if finished:
        return finished[-1]
    if clean:
        raise NotFound(
            f"the run of {commit.sha[:7]} {clean[-1].run.status}", hint="train that commit again: `mlops-ci run`"
        )
    raise NotFound(
        f"no run of commit {commit.sha[:7]}, nor of its tree, is recorded",
        hint="check it out, `mlops-ci run`, and register again (tag a commit that was trained)",
    )


def _model_of(found: RecordedRun) -> Model:
    if found.run.model is None:
        raise NotFound(
            f"run {found.run.run_id} left no model",
            hint="`log_model(…)` in the training code, or `run: model: {path: …}` in mlops.yaml",
        )
    return found.run.model


def _verdict_of(project: Project, found: RecordedRun) -> Record | None:
    """The newest verdict on the run that was not given by a laptop's own rules; if the newest of all failed, refuse."""
    verdicts = [record for record in project.ledger.find(f"run/{found.run.run_id}") if record.kind == "verdict"]
    if not verdicts:
        return None
    report = verdicts[-1].read(GateReport)
    if report.verdict == "fail":
        failed = next((result.reason for result in report.results if result.verdict == "fail"), "")
        raise Refused(f"run {found.run.run_id} failed its gates: {failed}", hint="register a commit whose run passes")
    shared = [record for record in verdicts if record.read(GateReport).policy.origin != "local"]
    return shared[-1] if shared else None


def _tagger(project: Project, tag: str) -> list[str]:
    """Who made an annotated tag; a lightweight one does not say."""
    try:
        email = git.text(
            ["for-each-ref", "--format=%(taggeremail:trim)", f"refs/tags/{tag}"], cwd=project.checkout.root
        )
    except git.GitError:
        return []
    return [email]
