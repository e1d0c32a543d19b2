"""
Register: a version tag turns the model of the tagged commit into an immutable version.

The version is a claim in the ledger, so of two that register it at once one wins, and what it names
never changes afterwards.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlops_ci import gates, git, records
from mlops_ci.config import Config
from mlops_ci.entities import Model, ModelVersion
from mlops_ci.errors import Conflict, NotFound, Refused, UsageError
from mlops_ci.lifecycle import find_baseline, policy
from mlops_ci.lifecycle.find_baseline import RecordedRun
from mlops_ci.lifecycle.judge import judge_release
from mlops_ci.lifecycle.policy import DefaultBranch
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


def names_version(tag: str, config: Config) -> bool:
    """Whether *tag* names a version by the pattern `registry: tag:`; a repository may have tags of other things."""
    try:
        return bool(version_of(tag, config))
    except UsageError:
        return False


def register(project: Project, tag: str) -> Registered:
    """
    Register the model of the commit that *tag* names; the default branch's configuration rules, gates and all.

    Raises:
        UsageError: The tag does not match `registry: tag:`, or there is no such tag.
        NotFound: The tagged commit has no finished run with a model.
        Refused: The run does not pass the gates.
        Conflict: The version is registered already, with other bytes.
        ServiceError: The ledger or the artifact store did not answer.
    """
    ruling = policy.at_default_branch(project.checkout, project.config_name)
    project = project.ruled_by(ruling.config)
    _lasting_artifacts(project)
    version = version_of(tag, project.config)
    commit = project.checkout.commit(f"refs/tags/{tag}")
    found = _run_of(project, commit)
    name = f"version/{project.config.model}/{version}"
    held = project.ledger.claims(name).get(name)
    proposed = ModelVersion(
        model=project.config.model,
        version=version,
        tag=tag,
        sha=commit.sha,
        tree=commit.tree,
        run_id=found.run.run_id,
        run_record=found.record.id,
        artifact=_model_of(project, found),
        verdict_record=_passed(project, found, commit, ruling) if held is None else "",
        policy_sha=ruling.sha,
        people=git.unique([*commit.people, *_tagger(project, tag)]),
    )
    return _claim(project, name, proposed, held)


def _claim(project: Project, name: str, proposed: ModelVersion, held: Record | None) -> Registered:
    if held is None:
        record = records.new(proposed, author=project.author)
        try:
            project.ledger.append([record], claims={name: record})
        except Conflict:
            held = project.ledger.claims(name).get(name)
            if held is None:  # taken by something that is no record
                raise
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
    runs = find_baseline.runs_of(project.ledger, [commit], project.config.project, project.experiment, deleted=True)
    every = [found for found in runs if found.run.git.tree == commit.tree and not found.run.self_reported]
    of_this_tree = [found for found in every if found.deleted is None]
    standing = [found for found in of_this_tree if found.stands_for_its_commit]
    if standing:
        return standing[-1]
    clean = [found for found in of_this_tree if not found.run.git.dirty]
    if clean and clean[-1].run.improvised:
        raise NotFound(
            f"the run of {commit.sha[:7]} was trained by another command than the configuration names",
            hint="`mlops-ci run` without a command trains what can be released",
        )
    if clean:
        raise NotFound(
            f"the run of {commit.sha[:7]} {clean[-1].run.status}", hint="train that commit again: `mlops-ci run`"
        )
    if gone := [found for found in every if found.deleted is not None]:
        raise find_baseline.was_deleted(gone[-1], f"commit {commit.sha[:7]}")
    raise NotFound(
        f"no run of commit {commit.sha[:7]}, nor of its tree, is recorded",
        hint="check it out, `mlops-ci run`, and register again (tag a commit that was trained)",
    )


def _model_of(project: Project, found: RecordedRun) -> Model:
    if found.run.model is None:
        raise NotFound(
            f"run {found.run.run_id} left no model",
            hint="`log_model(…)` in the training code, or `run: model: {path: …}` in mlops.yaml",
        )
    # Only of a run that was deleted once can the bytes be gone, and what is in the store takes a while to list.
    if found.restored:
        stored = {each.digest for each in project.artifacts.stored()}
        if not stored.issuperset(file.digest for file in found.run.model.files):
            raise NotFound(
                f"run {found.run.run_id} was deleted once, and its model was collected since",
                hint=f"`mlops-ci runs delete {found.run.run_id}`, then `mlops-ci run` trains that commit again",
            )
    return found.run.model


def _passed(project: Project, found: RecordedRun, commit: git.Commit, branch: DefaultBranch) -> str:
    """The id of the verdict of the default branch's gates, which is given now; a refusal if it is not good enough."""
    judgement = judge_release(project, found, commit.sha, branch.ruling())
    if judgement.exit_code:
        results = [result for result in judgement.report.results if gates.blocks(result)]
        reasons = [result.reason for result in results if result.verdict in {"fail", "inconclusive"}]
        raise Refused(
            f"run {found.run.run_id} does not pass the gates of the default branch: {'; '.join(reasons[:3])}",
            hint="register a commit whose run passes",
        )
    return judgement.record_id


def _lasting_artifacts(project: Project) -> None:
    """In CI a folder of the checkout is gone with the runner."""
    address = project.config.artifacts
    if project.event and address != "git" and not Path(address.removeprefix("file://")).is_absolute():
        raise UsageError(
            f"`artifacts: {address}` is a folder of this runner, and is gone with it",
            hint="take `artifacts: git`, or a folder that every runner mounts",
        )


def _tagger(project: Project, tag: str) -> list[str]:
    """Who made an annotated tag; a lightweight one does not say."""
    try:
        email = git.text(
            ["for-each-ref", "--format=%(taggeremail:trim)", f"refs/tags/{tag}"], cwd=project.checkout.root
        )
    except git.GitError:
        return []
    return [email]
