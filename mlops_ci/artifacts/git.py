"""
Artifacts in the project's own git remote, so that one job can hand a model to the next with nothing set up.

Each is a blob under `refs/mlops/objects/<sha256>`, where nobody's clone finds it. Git hosts refuse large
files, so this store takes them up to 50 MB each. What the remote has not taken yet, or what was stored
before there was one, is named by `refs/mlops/unsent/<sha256>` too, here only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from mlops_ci import digests
from mlops_ci.errors import IntegrityError, NotFound, ServiceError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.git.side import SideRepository

LARGEST_BYTES = 50_000_000
_OBJECTS = "refs/mlops/objects"
_UNSENT = "refs/mlops/unsent"


class GitArtifacts:
    """The artifacts of the repository that *checkout* was cloned from."""

    def __init__(self, checkout: Checkout) -> None:
        self._repository = SideRepository(checkout, "ledger")

    def put(self, files: Mapping[str, Path]) -> bool:
        """Write blobs and send them in one push; see `ArtifactStore.put`."""
        for digest, path in files.items():
            _check(digest, path)
        named = {_ref(digest): path for digest, path in files.items()}
        if not named:
            return True
        here = self._repository.refs(*named)
        self._write({ref: path for ref, path in named.items() if ref not in here})
        return self._send([_waiting(ref) for ref in named])

    def sync(self) -> int:
        """Send what waits in one push; see `ArtifactStore.sync`."""
        return self._push([_UNSENT])

    def _write(self, files: Mapping[str, Path]) -> None:
        """Make blobs, each under its ref, and note at once that nobody else has them."""
        if not files:
            return
        names = "".join(f"{path.absolute()}\n" for path in files.values()).encode()
        blobs = self._repository.run(["hash-object", "-w", "--no-filters", "--stdin-paths"], stdin=names)
        refs = dict(zip(files, blobs.decode().split(), strict=True))
        self._repository.update(
            *(f"update {name} {blob}" for ref, blob in refs.items() for name in (ref, _waiting(ref)))
        )

    def _send(self, waiting: Sequence[str]) -> bool:
        """Push those of the refs *waiting* that are there; False if the remote did not take them."""
        try:
            self._push(waiting)
        except ServiceError:
            return False
        return True

    def _push(self, prefixes: Sequence[str]) -> int:
        """Push what waits at or below *prefixes*, and return how many artifacts that were."""
        waiting = self._repository.refs(*prefixes) if self._repository.remote else {}
        if waiting:
            self._repository.push({ref.replace(_UNSENT, _OBJECTS): blob for ref, blob in waiting.items()})
            self._repository.update(*(f"delete {ref}" for ref in waiting))
        return len(waiting)

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


def _ref(digest: str) -> str:
    return f"{_OBJECTS}/{digest.removeprefix('sha256:')}"


def _waiting(ref: str) -> str:
    return ref.replace(_OBJECTS, _UNSENT)


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
