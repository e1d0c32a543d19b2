"""
What a training job leaves for a recording job that must not trust it: its runs, and the bytes that they name.

The job that trains runs code that anybody may have written; its bundle is read as data, whole or not at all, and facts
take the place of its claims (`vouch`) before a run is recorded. How the file is made is told in `bundle_file`, what a
run may hold in `claimed_run`. Where facts come from, and what is done with the runs, is for others.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from mlops_ci import records
from mlops_ci.entities import Author, CiRun, GitState, Run
from mlops_ci.errors import Refused, ServiceError, UsageError
from mlops_ci.lifecycle import identity, named_bytes
from mlops_ci.lifecycle.two_jobs import bundle_file, claimed_run
from mlops_ci.lifecycle.two_jobs.bundle_file import ARTIFACTS, LIMITS, RECORDS, Limits, Member
from mlops_ci.records import Record
from mlops_ci.reports.escape import visible

__all__ = ["LIMITS", "Bundle", "Facts", "Limits", "read_bundle", "vouch", "write_bundle"]

_ID_DIGITS = 32


@dataclass(frozen=True)
class Bundle:
    """Records of runs as they were claimed, and the artifacts by digest (`sha256:<hex>`)."""

    runs: list[Record]
    files: dict[str, Path]


@dataclass(frozen=True)
class Facts:
    """
    What is known of a run without asking the job that trained.

    *trained_sha* and *tree* are "" where they are not known: a stranger's merge commit that was made anew since.
    *experiment* is the configuration's.
    """

    repository: str
    head_sha: str
    ci: CiRun
    project: str
    experiment: str
    trained_sha: str = ""
    tree: str = ""
    base_sha: str = ""
    branch: str = ""
    self_reported: bool = False


def write_bundle(
    path: Path,
    runs: Sequence[Record],
    files: Mapping[str, Path],
    *,
    complete: bool = True,
    limits: Limits = LIMITS,
) -> None:
    """
    Write *runs* and the artifacts *files* that they name, by digest, to *path*; the same ones give the same bytes.

    Raises:
        UsageError: They are more, or other, than a bundle can hold; *path* is as it was.
        IntegrityError: A file does not have its digest.
        ServiceError: There is no room.
    """
    try:
        _check(runs)
        _compare(runs, {digest: path.stat().st_size for digest, path in files.items()}, complete=complete)
    except Refused as error:
        raise UsageError(
            f"the run cannot be handed to the job that records it: {error}", hint="log it otherwise, or less of it"
        ) from error
    except OSError as error:
        raise ServiceError(f"cannot read an artifact of the run: {error.strerror}", hint="train again") from error
    contents: dict[str, bytes | Path] = {f"{RECORDS}{record.id}.json": records.encode(record) for record in runs}
    contents |= {ARTIFACTS + digest.removeprefix("sha256:"): path for digest, path in files.items()}
    bundle_file.write(path, contents, limits)


def read_bundle(path: Path, into: Path, *, complete: bool = True, limits: Limits = LIMITS) -> Bundle:
    """
    Read the bundle at *path*; its artifacts are written to the folder *into*, which is absent, or empty.

    Nothing is written before all but the artifacts' own bytes was checked, and nothing stays if they are wrong.

    Args:
        path: What `write_bundle` wrote, or somebody who means harm.
        into: For files named by the hexadecimal digits of their digests.
        complete: Refuse it if it lacks bytes that a run names.
        limits: The most that is read.

    Raises:
        Refused: It is not what `write_bundle` writes.
        UsageError: It cannot be read, or *into* holds something.
        ServiceError: There is no room in *into*.
    """
    try:
        with bundle_file.opened(path) as file:
            members = bundle_file.directory(file, limits)
            runs = _runs(file, members)
            sizes = {f"sha256:{_hex(name)}": members[name].size_bytes for name in members if name.startswith(ARTIFACTS)}
            _compare(runs, sizes, complete=complete)
            return Bundle(runs, _extract(file, members, into))
    except Refused as error:
        raise Refused(
            f"{visible(path.name)} is no bundle that can be taken: {error}",
            hint=error.hint or "nothing of it was recorded; the job that trains writes it, with the same mlops-ci",
        ) from error


def vouch(record: Record, *, facts: Facts, author: Author) -> Record:
    """
    Return a record of the run in *record*, which `read_bundle` returned, with *facts* in the place of its claims.

    Its id is another one, so that nobody can choose that of a run which is there (docs/decisions/0013-bundles.md).

    Raises:
        Refused: It claims what facts deny.
    """
    run = record.read(Run)
    if run.project != facts.project:
        raise Refused(
            f"the bundle is of project {visible(run.project)!r}, and this job records {facts.project!r}",
            hint="a project cannot be renamed and trained in one change",
        )
    git, ci = _git(run.git, facts), _ci(run.ci, facts)
    experiment = facts.experiment if facts.self_reported else run.experiment
    chosen = [git.repository, ci.provider, ci.run_id, ci.attempt, ci.job, ci.cell, run.run_id]
    run_id = records.digest(chosen).removeprefix("sha256:")[:_ID_DIGITS]
    known = records.replace(
        run,
        run_id=run_id,
        run_key=identity.run_key(run.project, experiment, git, ci, run_id),
        experiment=experiment,
        git=git,
        ci=ci,
        self_reported=facts.self_reported,
    )
    return records.new(known, author=author)


def _git(claim: GitState, facts: Facts) -> GitState:
    """What is not known stays empty: a run must not be found under a commit that a stranger names."""
    if claim.head_sha != facts.head_sha:
        raise _of_another("commit", claim.head_sha[:12], facts.head_sha[:12])
    if facts.trained_sha and claim.trained_sha != facts.trained_sha:
        raise _of_another("trained commit", claim.trained_sha[:12], facts.trained_sha[:12])
    if facts.tree and claim.tree != facts.tree:
        raise _of_another("tree", claim.tree[:12], facts.tree[:12])
    if not facts.self_reported and not (facts.trained_sha and facts.tree):
        raise Refused("nobody knows which commit was trained", hint="let the job `train` check out what CI names")
    return records.replace(
        claim,
        trained_sha=facts.trained_sha,
        head_sha=facts.head_sha,
        tree=facts.tree,
        base_sha=facts.base_sha,
        branch=facts.branch,
        repository=facts.repository,
    )


def _ci(claim: CiRun | None, facts: Facts) -> CiRun:
    """Job and cell are the training job's; an attempt may be an earlier one, of which only some jobs were run again."""
    if claim is None or claim.run_id != facts.ci.run_id:
        raise _of_another("CI run", claim.run_id if claim else "none", facts.ci.run_id)
    if claim.attempt > facts.ci.attempt:
        raise _of_another("attempt", str(claim.attempt), str(facts.ci.attempt))
    return records.replace(facts.ci, attempt=claim.attempt, job=claim.job, cell=claim.cell, cells=claim.cells)


def _of_another(what: str, claimed: str, known: str) -> Refused:
    return Refused(
        f"the bundle is of another {what}: {visible(claimed)}, and this job is for {visible(known)}",
        hint="each CI run records what it trained itself; start it again as a whole",
    )


def _runs(file: BinaryIO, members: Mapping[str, Member]) -> list[Record]:
    names = [name for name in members if name.startswith(RECORDS)]
    now = datetime.now(UTC)
    found = [
        claimed_run.read(b"".join(bundle_file.chunks(file, name, members[name])), _hex(name), now=now) for name in names
    ]
    _check_ids(run.run_id for _, run in found)
    return [record for record, _ in found]


def _check(runs: Sequence[Record]) -> None:
    now = datetime.now(UTC)
    _check_ids(claimed_run.check(record, now=now).run_id for record in runs)


def _check_ids(run_ids: Iterable[str]) -> None:
    ids = list(run_ids)
    if not ids or len(set(ids)) < len(ids):
        raise Refused("it holds one run twice" if ids else "it holds no run")


def _compare(runs: Sequence[Record], sizes: Mapping[str, int], *, complete: bool) -> None:
    """Between the artifacts that runs name and those that are there, by digest and size."""
    named: dict[str, int] = {}
    for digest, size_bytes in (each for record in runs for each in named_bytes.artifacts_in(record.body)):
        if named.setdefault(digest, size_bytes) != size_bytes:
            raise Refused(f"its runs name {digest[:19]} with two sizes")
    extra, missing = sizes.keys() - named.keys(), named.keys() - sizes.keys()
    if extra:
        raise Refused(f"no run names {min(extra)[:19]}, which it holds")
    if missing and complete:
        raise Refused(f"{min(missing)[:19]} is missing, which a run names")
    for digest, size_bytes in sizes.items():
        if size_bytes != named[digest]:
            raise Refused(f"{digest[:19]} has {size_bytes:,} bytes, and a run says {named[digest]:,}")


def _extract(file: BinaryIO, members: Mapping[str, Member], into: Path) -> dict[str, Path]:
    try:
        into.mkdir(parents=True, exist_ok=True)
        if any(into.iterdir()):
            raise UsageError(f"{into} holds something already", hint="name an empty folder")
    except OSError as error:
        raise ServiceError(f"cannot make {into}: {error.strerror}", hint="make room, or the folder writable") from error
    files: dict[str, Path] = {}
    try:
        for name, member in members.items():
            if name.startswith(ARTIFACTS):
                files[f"sha256:{_hex(name)}"] = place = into / _hex(name)
                bundle_file.extract(file, name, member, place)
    except BaseException:
        shutil.rmtree(into, ignore_errors=True)
        raise
    return files


def _hex(name: str) -> str:
    """The digest in a member's name."""
    return name.partition("/")[2].removesuffix(".json")
