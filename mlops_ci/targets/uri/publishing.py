"""
What is published, and in which order it is written, so that `current.json` names a complete version at any moment.

    current.json                        the pointer: what `manifest.json` says, and the path of its folder
    versions/<version>-<digest>/        one folder for each manifest, never changed
        manifest.json                   written first: it says whose the folder is
        model/...                       the files, each by its digest
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, TypeVar

import msgspec

from mlops_ci import digests, records
from mlops_ci.entities import ArtifactRef
from mlops_ci.errors import InputError, ServiceError, UsageError
from mlops_ci.targets import Tell
from mlops_ci.targets.uri.place import Changed, Entry, Place

POINTER = "current.json"
MANIFEST = "manifest.json"
_REMEMBERED = 100
VERSIONS = "versions"

_Kind = TypeVar("_Kind", bound="Manifest")
_Path = Annotated[str, msgspec.Meta(pattern=r"^versions/[A-Za-z0-9_+][A-Za-z0-9._+-]*-[0-9a-f]{12}$")]
_Digest = Annotated[str, msgspec.Meta(pattern=r"^sha256:[0-9a-f]+$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What `manifest.json` must say; a template may let it say more."""

    project: str
    target: str
    model: str
    version: str
    digest: _Digest
    files: Annotated[list[ArtifactRef], msgspec.Meta(min_length=1)]

    @property
    def title(self) -> str:
        """Model and version, for sentences."""
        return f"{self.model} {self.version}"


class Pointer(Manifest, frozen=True, kw_only=True):
    """What `current.json` says beside. *before* are the paths of what it named before, the latest first."""

    path: _Path
    plan_digest: str = ""
    deployed_at: str = ""
    before: list[str] = []


class Version:
    """One version as it was ordered: the text of its manifest, and what follows from it."""

    def __init__(self, text: str) -> None:
        """Raise `InputError` if *text* is no manifest."""
        self.text = text
        self.manifest = read(text, Manifest)
        name = re.sub(r"[^A-Za-z0-9._+-]+", "-", self.manifest.version)[:64].strip(".-") or "version"
        self.path = f"{VERSIONS}/{name}-{digests.of_bytes(text.encode()).removeprefix('sha256:')[:12]}"

    @property
    def files(self) -> dict[str, ArtifactRef]:
        """The model's files by their path below the address."""
        return {f"{self.path}/model/{file.path}": file for file in self.manifest.files}

    def missing(self, there: Mapping[str, Entry]) -> list[str]:
        """Return what is not *there*, or not of the right size."""
        wanted = {f"{self.path}/{MANIFEST}": len(self.text.encode())}
        wanted |= {path: file.size_bytes for path, file in self.files.items()}
        return [path for path, size in wanted.items() if path not in there or there[path].size_bytes != size]


def read(text: str | bytes, kind: type[_Kind]) -> _Kind:
    """Read a manifest or a pointer. Raises `InputError`; the sentence names the field."""
    try:
        found = msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise InputError(f"{MANIFEST}: {error}") from error
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InputError(f"{MANIFEST} is not JSON: {error}") from error
    names = [file.path for file in found.files]
    for name in names:
        path = PurePosixPath(name)
        if path.is_absolute() or ".." in path.parts or str(path) != name or name in {"", "."} or "\\" in name:
            raise InputError(f"{MANIFEST}: files: {name!r} leads out of the folder of the model")
    if len(set(names)) != len(names):
        raise InputError(f"{MANIFEST}: files: a path is there twice")
    return found


def upload(place: Place, version: Version, model: Path | None, tell: Tell) -> None:
    """
    Write what of *version* is not there yet.

    Args:
        place: Where to.
        version: What.
        model: The folder of its files; None where all of it must be there already.
        tell: Told of each file.

    Raises:
        UsageError: Something is not there, and *model* has not got it either; nothing was written.
        ServiceError: It did not work.
    """
    there = place.list(version.path)
    if model is None:
        if lacking := version.missing(there):
            raise UsageError(
                f"{version.manifest.title} is not kept in {place.address}: {lacking[0]} is missing",
                hint="deploy its version again: `mlops-ci deploy TARGET --version VERSION`",
            )
        return
    for file in version.manifest.files:
        source = model / file.path
        if not source.is_file() or source.stat().st_size != file.size_bytes:
            raise UsageError(f"{source} is not the file that {MANIFEST} names", hint="render it again, with the model")
    replace(place, f"{version.path}/{MANIFEST}", version.text.encode())
    for path, file in version.files.items():
        right_size = path in there and there[path].size_bytes == file.size_bytes
        if not right_size or place.digest(path) != file.digest:
            place.put_file(path, model / file.path, file.digest)
            tell(f"{path} is written ({file.size_bytes} bytes)")


def replace(place: Place, path: str, data: bytes) -> None:
    """Write *data*, unless it is there."""
    found = place.read(path)
    if found is None or found.data != data:
        write(place, path, data, found.tag if found else "")


def write(place: Place, path: str, data: bytes, tag: str) -> None:
    """Write *data* over what has *tag*; raise `ServiceError` if somebody else was faster."""
    try:
        place.write_if(path, data, tag)
    except Changed as error:
        raise ServiceError(
            f"somebody else changed {path} in {place.address} meanwhile", hint="run the same command again"
        ) from error


def swap(place: Place, version: Version, plan_digest: str) -> None:
    """Let `current.json`, and then the link `current`, name *version*; all of it must be there."""
    found = place.read(POINTER)
    before = pointer_in(place, found.data) if found else None
    if before is None or (before.path, before.plan_digest) != (version.path, plan_digest):
        said: dict[str, Any] = json.loads(version.text)
        said |= {"path": version.path, "plan_digest": plan_digest, "deployed_at": records.now()}
        earlier = [before.path, *before.before] if before else []
        said["before"] = [path for path in dict.fromkeys(earlier) if path != version.path][:_REMEMBERED]
        data = json.dumps(said, indent=2, ensure_ascii=False).encode() + b"\n"
        write(place, POINTER, data, found.tag if found else "")
    place.point(version.path)


def withdraw(place: Place) -> None:
    """Let `current.json` and the link `current` name nothing."""
    place.delete(POINTER)
    place.point(None)


def pointer_in(place: Place, data: bytes) -> Pointer:
    """Read *data* as a pointer. Raises `ServiceError` if it is none."""
    try:
        return read(data, Pointer)
    except InputError as error:
        why = str(error).removeprefix(MANIFEST).lstrip(": ")
        raise ServiceError(
            f"{POINTER} in {place.address} cannot be read: {why}", hint="see who wrote it, and delete it"
        ) from error


def demand_published(place: Place, version: Version) -> None:
    """Read everything back; raise `ServiceError` if something is not what was ordered."""
    found = place.read(POINTER)
    pointer = pointer_in(place, found.data) if found else None
    if pointer is None or pointer.path != version.path:
        what = pointer.title if pointer else "nothing"
        raise ServiceError(f"{what} is published in {place.address}, and not {version.manifest.title}")
    if place.pointed() not in {None, version.path}:
        raise ServiceError(f"the link `current` in {place.address} does not lead to {version.manifest.title}")
    wanted = {f"{version.path}/{MANIFEST}": digests.of_bytes(version.text.encode())}
    wanted |= {path: file.digest for path, file in version.files.items()}
    for path, digest in wanted.items():
        seen = place.digest(path)
        if seen != digest:
            how = "is missing" if seen is None else "is not what was ordered"
            raise ServiceError(f"{path} in {place.address} {how}", hint="deploy the same version again to mend it")


def prune(place: Place, keep: int, ours: tuple[str, str]) -> None:
    """Keep what `current.json` names, and of what it named before the latest, *keep* in all but never only one."""
    found = place.read(POINTER)
    pointer = pointer_in(place, found.data) if found else None
    kept = [pointer.path, *pointer.before[: max(keep - 1, 1)]] if pointer else []
    for folder in folders(place):
        if folder not in kept:
            delete(place, folder, ours)
    place.tidy()


def folders(place: Place) -> list[str]:
    """Return the path of every version's folder, finished or not, and whoever's it is."""
    return sorted({"/".join(path.split("/")[:2]) for path in place.list(VERSIONS)})


def delete(place: Place, folder: str, ours: tuple[str, str]) -> bool:
    """Delete the version in *folder* if it is of *ours*, and nothing that its manifest does not name."""
    found = place.read(f"{folder}/{MANIFEST}")
    try:
        manifest = read(found.data, Manifest) if found else None
    except InputError:
        return False
    if manifest is None or (manifest.project, manifest.target) != ours:
        return False
    for file in manifest.files:
        place.delete(f"{folder}/model/{file.path}")
    place.delete(f"{folder}/{MANIFEST}")  # last: until then it is ours, and the next command finishes
    return True
