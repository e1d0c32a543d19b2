"""
Artifacts in the project's own git remote, so that one job can hand a model to the next with nothing set up.

Each is a blob under `refs/mlops/objects/<sha256>`, where nobody's clone finds it. Git hosts refuse large
files, so this store takes them up to 50 MB each. What the remote has not taken yet, or what was stored
before there was one, is named by `refs/mlops/unsent/<sha256>` too, here only.

A ref has no time, so `refs/mlops/unnamed` is a blob that says which artifacts nobody needs, and since when.
Every push that puts artifacts demands that this blob is the one it knows, and that none of them is marked in
it; every push that deletes some replaces it. So of the two the host takes one, and the other looks again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import ClassVar, TypeVar

from mlops_ci import digests, records
from mlops_ci.artifacts import Stored, is_ours
from mlops_ci.errors import IntegrityError, NotFound, ServiceError, UsageError
from mlops_ci.git import Checkout, GitError
from mlops_ci.git.side import SideRepository

LARGEST_BYTES = 50_000_000
_OBJECTS = "refs/mlops/objects"
_UNSENT = "refs/mlops/unsent"
_UNNAMED = "refs/mlops/unnamed"
_ATTEMPTS = 6
_DELETIONS = 500  # refs in one push: a command line has an end, and hosts have limits
_Found = TypeVar("_Found")

Marks = Mapping[str, str]
"""The hexadecimal digits of what nobody needs, and the time at which that was first seen."""


class GitArtifacts:
    """The artifacts of the repository that *checkout* was cloned from."""

    largest_bytes: ClassVar[int | None] = LARGEST_BYTES

    def __init__(self, checkout: Checkout) -> None:
        self._repository = SideRepository(checkout, "ledger")

    def put(self, files: Mapping[str, Path]) -> bool:
        """
        Write blobs and send them in one push; see `ArtifactStore.put`.

        The remote is asked even if all were sent before: it may have lost some to `remove` since.
        """
        for digest, path in files.items():
            _check(digest, path)
        if not files:
            return True
        waiting = self._write({_ref(digest): path for digest, path in files.items()})
        try:
            self._push(waiting)
        except ServiceError:
            return False
        return True

    def sync(self) -> int:
        """Send what waits in one push; see `ArtifactStore.sync`."""
        return self._push([_UNSENT]) if self._repository.remote else 0

    def get(self, digests_: Iterable[str], folder: Path) -> dict[str, Path]:
        """Fetch what is not here yet, and verify; see `ArtifactStore.get`."""
        wanted = {digest: _ref(digest) for digest in digests_}
        if not wanted:
            return {}
        here = self._repository.refs(*wanted.values())
        # A pattern that matches nothing is no error, where a name that is not there would end the fetch.
        self._repository.fetch(f"+{ref}*:{ref}*" for ref in wanted.values() if ref not in here)
        folder.mkdir(parents=True, exist_ok=True)
        contents = self._repository.read(list(wanted.values()))
        return {digest: _place(digest, content, folder) for digest, content in zip(wanted, contents, strict=True)}

    def stored(self) -> Iterator[Stored]:
        """List the remote's refs; see `ArtifactStore.stored`. How large what is not here is, nobody says."""
        _, marks = self._marks()
        there = self._listed()
        sizes = self._sizes(set(there.values()))
        for ref, blob in sorted(there.items()):
            name = ref.rpartition("/")[2]
            since = records.moment(marks[name]) if name in marks else None
            yield Stored(f"sha256:{name}", sizes.get(blob), since)

    def mark(self, digests_: Collection[str]) -> None:
        """Replace the blob of marks; see `ArtifactStore.mark`."""
        now = records.now()

        def attempt() -> None:
            seen, marks = self._marks()
            wanted = {name: marks.get(name, now) for name in map(_name, digests_)}
            if wanted != marks:
                self._replace(seen, wanted)

        self._insist(attempt)

    def remove(self, digests_: Iterable[str], *, before: datetime) -> set[str]:
        """Delete refs and their marks in one push; see `ArtifactStore.remove`."""
        names = sorted(map(_name, digests_))

        def attempt(some: Sequence[str]) -> set[str]:
            seen, marks = self._marks()
            there = self._listed()
            going = [name for name in some if name in marks and records.moment(marks[name]) <= before]
            refs = [f"{_OBJECTS}/{name}" for name in going if f"{_OBJECTS}/{name}" in there]
            if going:
                self._replace(seen, {name: time for name, time in marks.items() if name not in going}, gone=refs)
            return {f"sha256:{ref.rpartition('/')[2]}" for ref in refs}

        removed: set[str] = set()
        for start in range(0, len(names), _DELETIONS):
            some = names[start : start + _DELETIONS]
            removed |= self._insist(lambda some=some: attempt(some))  # type: ignore[misc]
        return removed

    def _write(self, files: Mapping[str, Path]) -> list[str]:
        """Make blobs, each under its ref, and note at once that nobody else may have them; return those notes."""
        here = self._repository.refs(*files)
        new = {ref: path for ref, path in files.items() if ref not in here}
        names = "".join(f"{path.absolute()}\n" for path in new.values()).encode()
        blobs = self._repository.change(["hash-object", "-w", "--no-filters", "--stdin-paths"], stdin=names)
        refs = here | dict(zip(new, blobs.decode().split(), strict=True))
        self._repository.update(
            *(f"update {name} {blob}" for ref, blob in refs.items() for name in (ref, _waiting(ref)))
        )
        return [_waiting(ref) for ref in refs]

    def _push(self, prefixes: Sequence[str]) -> int:
        """Push what waits at or below *prefixes*, and return how many artifacts that were."""
        waiting = self._repository.refs(*prefixes)
        if not waiting:
            return 0
        objects = {ref.replace(_UNSENT, _OBJECTS): blob for ref, blob in waiting.items()}
        known = self._read_marks()

        def attempt() -> None:
            nonlocal known
            seen, marks = known
            rest = {name: time for name, time in marks.items() if f"{_OBJECTS}/{name}" not in objects}
            try:
                self._replace(seen, rest, put=objects, same=rest == marks)
            except ServiceError:
                known = self._marks()
                raise

        self._insist(attempt)
        if self._repository.remote:
            self._repository.update(*(f"delete {ref}" for ref in waiting))
        return len(waiting)

    def _insist(self, attempt: Callable[[], _Found]) -> _Found:
        """Try again while somebody else is faster; a remote that is away, or refuses twice the same, ends it."""
        before: str | None = None
        for _ in range(_ATTEMPTS - 1):
            try:
                return attempt()
            except ServiceError:
                seen, _ = self._marks()
                if seen == before:
                    raise
                before = seen
        return attempt()

    def _replace(
        self,
        seen: str,
        marks: Marks,
        *,
        put: Mapping[str, str] | None = None,
        gone: Iterable[str] = (),
        same: bool = False,
    ) -> None:
        """
        Let *marks* be the marks, where they are still the blob *seen* ("" for none), and *put* and delete artifacts.

        All of it or nothing. No marks are a blob too: to be expected, it has to be there. *same*: what *seen* says.

        Raises:
            ServiceError: Somebody was faster, or the remote did not answer.
        """
        blob = seen if seen and same else self._blob(marks)
        refs = {_UNNAMED: blob, **(put or {}), **dict.fromkeys(gone, "")}
        if self._repository.remote:
            self._repository.push(
                refs, create_only=[] if seen else [_UNNAMED], replacing={_UNNAMED: seen} if seen else {}
            )
            known = [f"update {_UNNAMED} {blob}"] if blob != seen else []
            self._repository.update(*known, *(f"delete {ref}" for ref in gone))
            return
        changes = [f"update {ref} {target}" for ref, target in (put or {}).items()]
        changes += [f"delete {name}" for ref in gone for name in (ref, _waiting(ref))]
        try:
            self._repository.update(f"update {_UNNAMED} {blob} {seen or '0' * len(blob)}", *changes)
        except GitError as error:
            raise ServiceError(f"another process changed the artifacts meanwhile: {error}") from error

    def _blob(self, marks: Marks) -> str:
        data = json.dumps(marks, sort_keys=True, separators=(",", ":")).encode()
        return self._repository.change(["hash-object", "-w", "--stdin"], stdin=data).decode().strip()

    def _marks(self) -> tuple[str, dict[str, str]]:
        """The blob of marks that the remote has ("" for none), and what it says."""
        self._repository.fetch([f"+{_UNNAMED}*:{_UNNAMED}*"], "--prune")
        return self._read_marks()

    def _read_marks(self) -> tuple[str, dict[str, str]]:
        blob = self._repository.refs(_UNNAMED).get(_UNNAMED, "")
        return blob, _marks_in(self._repository.read([blob])[0] if blob else None)

    def _listed(self) -> dict[str, str]:
        """The refs of artifacts that others see, and their blobs."""
        remote = self._repository.remote
        # All that the remote has goes over the line.
        refs = self._repository.listed(f"{_OBJECTS}/*") if remote else self._repository.refs(_OBJECTS)
        return {ref: blob for ref, blob in refs.items() if is_ours(ref.removeprefix(f"{_OBJECTS}/"))}

    def _sizes(self, blobs: Collection[str]) -> dict[str, int]:
        """The sizes of those of *blobs* that are here, in bytes."""
        # Asked for by name, one that is not here could be fetched.
        output = self._repository.run(
            ["cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname) %(objectsize)"]
        )
        pairs = (line.split(" ") for line in output.decode().splitlines())
        return {name: int(size) for name, size in pairs if name in blobs}


def _name(digest: str) -> str:
    return digest.removeprefix("sha256:")


def _ref(digest: str) -> str:
    return f"{_OBJECTS}/{_name(digest)}"


def _waiting(ref: str) -> str:
    return ref.replace(_OBJECTS, _UNSENT)


def _marks_in(content: bytes | None) -> dict[str, str]:
    """What the blob says; junk that somebody pushed marks nothing."""
    try:
        found = json.loads(content or b"{}")
        marks = {name: time for name, time in found.items() if is_ours(name) and records.moment(time).tzinfo}
    except (ValueError, TypeError, AttributeError):
        return {}
    return marks


def _check(digest: str, path: Path) -> None:
    size_bytes = path.stat().st_size
    if size_bytes > LARGEST_BYTES:
        raise UsageError(
            f"{path} has {size_bytes / 1e6:,.0f} MB, and the git artifact store takes {LARGEST_BYTES / 1e6:.0f} MB",
            hint="name a store for large files in mlops.yaml, `artifacts: /a/shared/folder` for instance",
        )
    if digests.of_file(path) != digest:
        raise IntegrityError(f"{path} does not have the digest {digest[:19]} that names it")


def _place(digest: str, content: bytes | None, folder: Path) -> Path:
    if content is None:
        raise NotFound(
            f"{digest[:19]} is not among the artifacts of the git remote",
            hint="was the run pushed? `mlops-ci sync` sends what waits in the clone that trained it",
        )
    if digests.of_bytes(content) != digest:
        raise IntegrityError(f"the git remote's {digest[:19]} has other bytes than its name says")
    place = folder / digest.removeprefix("sha256:")
    place.write_bytes(content)
    return place
