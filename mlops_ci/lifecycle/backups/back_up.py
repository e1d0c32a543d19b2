"""
Back up everything to one file, and bring it back: records, claims and the artifacts that records name.

Any kind of ledger and store can be restored into any other. Nothing is written before the whole file was
verified, and what was interrupted can be run again: only what is missing is written.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO

from mlops_ci import records
from mlops_ci.errors import Conflict, IntegrityError, NotFound, ServiceError, UsageError
from mlops_ci.ledger import Ledger
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.backups.backup_file import (
    ARTIFACTS,
    CLAIMS,
    FORMAT,
    RECORDS,
    VERSION,
    Backup,
    Manifest,
    Progress,
    Writer,
    verified,
)
from mlops_ci.lifecycle.named_bytes import Naming
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.synchronize import forget_projection
from mlops_ci.records import Record

_PAGE_BYTES = 64_000_000
_PAGE_FILES = 200
_PAGE_RECORDS = 500
_PAGE_CLAIMS = 100


@dataclass(frozen=True)
class Verified:
    """
    A backup that was read from its first byte to its last.

    *left_out* are the artifacts that records name and that are not in it; *lost* are those of them that somebody
    needs (the others were named by deleted runs alone).
    """

    path: str
    sha256: str
    size_bytes: int
    time: str
    records: int
    claims: int
    artifacts: int
    artifact_bytes: int
    with_artifacts: bool
    left_out: dict[str, str]
    lost: tuple[str, ...] = ()


@dataclass(frozen=True)
class Restored:
    """How much of a backup was missing here and was written, and how much was there already."""

    records: int
    claims: int
    artifacts: int
    there: int
    left_out: int


def back_up(project: Project, path: Path, *, with_artifacts: bool, progress: Progress) -> Verified:
    """
    Write everything to *path*, and verify it: the file appears whole, or not at all.

    Raises:
        UsageError: *path* is there already, or its folder is not.
        Refused: The default branch keeps records of targets elsewhere.
        ServiceError: The ledger or the artifact store did not answer.
        IntegrityError: A record was changed after it was written.
    """
    if path.exists():
        raise UsageError(f"{path} is there already", hint="name another file; a backup never replaces one")
    if not path.parent.is_dir():
        raise UsageError(f"there is no folder {path.parent}", hint="make it, or name another")
    with _whole(path) as (file, aside):
        _write(project, file, with_artifacts=with_artifacts, progress=progress)
        done = check(aside, progress)
    return replace(done, path=str(path))


def check(path: Path, progress: Progress) -> Verified:
    """Verify every byte of the backup at *path*. Raises as `backup_file.verified`."""
    with verified(path, progress) as backup:
        manifest = backup.manifest
        return Verified(
            str(path),
            backup.sha256,
            path.stat().st_size,
            manifest.time,
            manifest.records,
            manifest.claims,
            manifest.artifacts,
            manifest.artifact_bytes,
            manifest.with_artifacts,
            manifest.left_out,
            tuple(manifest.lost),
        )


def restore(project: Project, path: Path, *, progress: Progress) -> Restored:
    """
    Write what the backup at *path* has, and *project*'s ledger and artifact store lack.

    Raises:
        UsageError: It is no backup, or an artifact in it is too large for the store; nothing was written.
        IntegrityError: It was changed; nothing was written.
        Conflict: Another record has a name that the backup claims; everything else was restored.
        ServiceError: The ledger or the store did not answer; run it again, and it goes on.
    """
    with verified(path, progress) as backup:
        artifacts = _restore_artifacts(project, backup, progress)
        # Bytes first: a record that others can read names only what they can fetch.
        restored = _restore_records(project, backup, artifacts, progress)
    # It may have been built from what was lost, or changed, and say so ever after. Now that is no loss.
    forget_projection(project)
    return restored


def _write(project: Project, file: BinaryIO, *, with_artifacts: bool, progress: Progress) -> None:
    """Write all members."""
    writer = Writer(file)
    try:
        # Claims first: the record of each is written with it, and so is among the records afterwards.
        claims = project.ledger.claims("")
        policy.demand_same_stores(project)
        naming, count = _write_records(project, writer, progress)
        with writer.member(CLAIMS) as write:
            for name, record in sorted(claims.items()):
                write(records.canonical({"name": name, "record": record.id}) + b"\n")
        left_out = _write_artifacts(project, writer, naming, progress) if with_artifacts else {}
        artifacts = [member for name, member in writer.members.items() if name.startswith(ARTIFACTS)]
        writer.seal(
            Manifest(
                format=FORMAT,
                version=VERSION,
                tool=version("mlops-ci"),
                time=records.now(),
                records=count,
                claims=len(claims),
                artifacts=len(artifacts),
                artifact_bytes=sum(member.size_bytes for member in artifacts),
                with_artifacts=with_artifacts,
                left_out=left_out,
                lost=sorted(naming.needed(records.moment(records.now())).intersection(left_out)),
                members=writer.members,
            )
        )
    except BaseException:
        writer.abandon()
        raise


def _write_records(project: Project, writer: Writer, progress: Progress) -> tuple[Naming, int]:
    naming, count = Naming(), 0
    with writer.member(RECORDS) as write:
        for count, record in enumerate(project.all_records(), start=1):
            write(records.encode(record) + b"\n")
            naming.add(record)
            if count % _PAGE_RECORDS == 0:
                progress("records", count, 0)
    progress("records", count, count)
    return naming, count


def _write_artifacts(project: Project, writer: Writer, naming: Naming, progress: Progress) -> dict[str, str]:
    """Copy every artifact that a record names; those that cannot be had, with the reason."""
    left_out: dict[str, str] = {}
    total, done = sum(naming.sizes.values()), 0
    stored = {each.digest for each in project.artifacts.stored()}
    there = {digest: size for digest, size in sorted(naming.sizes.items()) if digest in stored}
    # What waits here for `sync` is in no list; asked for one by one, since one that is missing ends the page.
    pages = [*_pages(there), *([digest] for digest in sorted(naming.sizes.keys() - there.keys()))]
    for page in pages:
        with tempfile.TemporaryDirectory(prefix="mlops-ci-backup-") as folder:
            for digest, found in _fetch(project, page, Path(folder)):
                if isinstance(found, Path):
                    writer.copy(ARTIFACTS + digest.removeprefix("sha256:"), found)
                else:
                    left_out[digest] = found
                done += naming.sizes[digest]
                progress("artifacts, bytes", done, total)
    return left_out


def _fetch(project: Project, page: Sequence[str], folder: Path) -> Iterator[tuple[str, Path | str]]:
    """The files of a page, or why there is none; one that cannot be had is no reason to give up the others."""
    try:
        yield from project.artifacts.get(page, folder).items()
    except (NotFound, IntegrityError) as error:
        if len(page) == 1:
            yield page[0], str(error)
            return
        for digest in page:
            yield from _fetch(project, [digest], folder)


def _restore_artifacts(project: Project, backup: Backup, progress: Progress) -> int:
    """Put every artifact of the backup; return how many were not there."""
    sizes = backup.artifacts()
    most = project.artifacts.largest_bytes
    too_large = [digest for digest, size in sizes.items() if most is not None and size > most]
    if too_large:
        raise UsageError(
            f"{len(too_large)} artifacts of {backup.path} are too large for `artifacts: {project.config.artifacts}`: "
            f"{too_large[0][:19]} has {sizes[too_large[0]] / 1e6:,.0f} MB",
            hint="name a store for large files in mlops.yaml, `artifacts: /a/shared/folder` for instance",
        )
    stored = {each.digest for each in project.artifacts.stored()}
    done, total = 0, sum(sizes.values())
    for page in _pages(sizes):
        with tempfile.TemporaryDirectory(prefix="mlops-ci-restore-") as folder:
            # Those that are there too: to be put says that somebody needs them again.
            if not project.artifacts.put({digest: backup.extract(digest, Path(folder)) for digest in page}):
                raise _unsent()
        done += sum(sizes[digest] for digest in page)
        progress("artifacts, bytes", done, total)
    return len(sizes.keys() - stored)


def _restore_records(project: Project, backup: Backup, artifacts: int, progress: Progress) -> Restored:
    """Append what is missing: records that hold no name in pages, then the others with their names."""
    ledger, homes = project.ledger, project.own_ledgers
    known = {record.id for record in ledger.all() if homes.keys().isdisjoint(record.keys)}
    known |= {record.id for home in homes.values() for record in home.all()}
    held = {name: record.id for name, record in ledger.claims("").items()}
    names: dict[str, list[str]] = {}
    for name, id_ in backup.claims.items():
        names.setdefault(id_, []).append(name)
    holders: list[Record] = []
    page: list[Record] = []
    new = done = 0
    for done, record in enumerate(backup.records(), start=1):
        if record.id in names:
            holders.append(record)
        elif record.id not in known:
            page.append(record)
        if len(page) == _PAGE_RECORDS:
            new += _append_apart(ledger, homes, page)
            page = []
            progress("records", done, backup.manifest.records)
    new += _append_apart(ledger, homes, page)
    progress("records", done, backup.manifest.records)
    lost = {id_ for id_, some in names.items() if any(held.get(name, id_) != id_ for name in some)}
    wanted = [each for each in holders if each.id not in lost and not all(name in held for name in names[each.id])]
    lost |= _claim(ledger, wanted, names)
    if lost:
        now = ledger.claims("")
        taken = sorted(name for id_ in lost for name in names[id_] if name in now and now[name].id != id_)
        raise Conflict(
            f"{', '.join(taken)}: another record has that name here; everything else was restored",
            hint="a name is given once and for good: what holds it here stays",
        )
    new += sum(each.id not in known for each in wanted)
    claimed = sum(name not in held for each in wanted for name in names[each.id])
    return Restored(new, claimed, artifacts, backup.manifest.records - new, len(backup.manifest.left_out))


def _append_apart(ledger: Ledger, homes: Mapping[str, Ledger], page: Sequence[Record]) -> int:
    """Append each record of *page* to that of *homes* of which it has the key, or else to *ledger*."""
    for key, home in homes.items():
        _append(home, [record for record in page if key in record.keys])
    _append(ledger, [record for record in page if homes.keys().isdisjoint(record.keys)])
    return len(page)


def _append(ledger: Ledger, page: Sequence[Record], claims: Mapping[str, Record] | None = None) -> int:
    if page and not ledger.append(page, claims=claims):
        raise _unsent()
    return len(page)


def _claim(ledger: Ledger, wanted: Sequence[Record], names: Mapping[str, Sequence[str]]) -> set[str]:
    """
    Write the records *wanted*, each with all its *names*; the ids of those of which somebody took a name meanwhile.

    Such a record is not written: without its name a version was never registered.
    """
    beaten: set[str] = set()
    for start in range(0, len(wanted), _PAGE_CLAIMS):
        some = wanted[start : start + _PAGE_CLAIMS]
        try:
            _append(ledger, some, {name: record for record in some for name in names[record.id]})
        except Conflict:
            for record in some:
                try:
                    _append(ledger, [record], dict.fromkeys(names[record.id], record))
                except Conflict:
                    beaten.add(record.id)
    return beaten


def _pages(sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """Digests in pages of a size that memory and disk always have room for; a larger one comes alone."""
    page: list[str] = []
    size_bytes = 0
    for digest, size in sizes.items():
        if page and (size_bytes + size > _PAGE_BYTES or len(page) == _PAGE_FILES):
            yield page
            page, size_bytes = [], 0
        page.append(digest)
        size_bytes += size
    if page:
        yield page


@contextmanager
def _whole(path: Path) -> Iterator[tuple[BinaryIO, Path]]:
    """A file beside *path* that gets that name when all went well, and is gone otherwise."""
    for left in path.parent.glob(f".{path.name}.partial-*"):  # by a process that was killed
        left.unlink(missing_ok=True)
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.partial-")
    aside = Path(name)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            yield file, aside
        try:
            os.link(aside, path)  # unlike a renaming, it replaces nothing
        except FileExistsError as error:
            raise UsageError(f"{path} appeared meanwhile", hint="name another file") from error
        except OSError:  # a file system without links
            aside.replace(path)
        with suppress(OSError):  # not every system opens folders
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        aside.unlink(missing_ok=True)


def _unsent() -> ServiceError:
    return ServiceError(
        "the git remote did not answer; what was restored so far is kept", hint="run the same command again"
    )
