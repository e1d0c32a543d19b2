"""
A stable address in a folder or a bucket, where a model's files are published for programs that load it themselves.

A version is written beside the others, and then `current.json`, which readers watch, names it. Nobody answers there, so
nothing is asked: what is verified are bytes.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar
from urllib.parse import unquote, urlsplit

import msgspec

from mlops_ci.errors import InputError, ServiceError, UsageError
from mlops_ci.release import Release
from mlops_ci.rendering import render_tree
from mlops_ci.targets import Change, Check, Order, Smoke, Status, Tell, nothing_to_say, nothing_to_smoke
from mlops_ci.targets.uri import lease, publishing
from mlops_ci.targets.uri.place import Place
from mlops_ci.targets.uri.publishing import MANIFEST, POINTER, VERSIONS, Pointer, Version

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_LATER = {"abfs", "abfss", "az", "gcs", "gs"}


class UriOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A folder or a bucket."""

    uri: Annotated[
        str, msgspec.Meta(description="Where it is published: /a/folder, file:///a/folder or s3://bucket/prefix.")
    ]
    keep: Annotated[
        int, msgspec.Meta(ge=1, description="How many versions stay; the current one and the one before always do.")
    ] = 5
    endpoint: Annotated[str, msgspec.Meta(description="The URL of an S3 service that is not Amazon's.")] = ""
    profile: Annotated[
        str, msgspec.Meta(description="Of the AWS configuration. Default: the standard variables of the environment.")
    ] = ""

    def __post_init__(self) -> None:
        # ValueErrors, so that whoever reads the configuration can say where it stands; none repeats what may be secret.
        for name, value in {"uri": self.uri, "endpoint": self.endpoint}.items():
            if "@" in re.split(r"[/?#]", value.partition("://")[2])[0]:
                raise ValueError(f"{name} must not hold credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        if self.endpoint and not re.fullmatch(r"https?://[^/?#\s]+/?", self.endpoint):
            raise ValueError("endpoint is not like https://s3.example.org")
        scheme = self.uri.partition("://")[0] if "://" in self.uri else ""
        if scheme in _LATER:
            raise ValueError(f"{scheme}:// cannot be published to yet; uri is a folder, file:// or s3://")
        if scheme not in {"", "file", "s3"}:
            raise ValueError("uri is neither a folder, nor file://, nor s3://")
        if scheme == "s3":
            self._demand_bucket()
        elif not self.folder.is_absolute() or ".." in self.folder.parts:
            raise ValueError("uri is not the absolute path of a folder")
        if scheme != "s3" and (self.endpoint or self.profile):
            raise ValueError("endpoint and profile belong to s3://")

    def _demand_bucket(self) -> None:
        bucket, prefix = self.bucket
        if not _BUCKET.fullmatch(bucket):
            raise ValueError("uri is not like s3://bucket/prefix")
        if any(part in {"", ".", ".."} for part in prefix.split("/")) and prefix:
            raise ValueError("uri has an empty part, or one of dots alone")

    @property
    def bucket(self) -> tuple[str, str]:
        """The bucket and the prefix, without slashes around it."""
        bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        return bucket, prefix.strip("/")

    @property
    def folder(self) -> Path:
        """The folder, where there is no bucket."""
        if not self.uri.startswith("file://"):
            return Path(self.uri)
        place = urlsplit(self.uri)
        return Path(unquote(place.path)) if place.netloc in {"", "localhost"} else Path("..")


class UriTarget:
    """One address, and of what is there only what names our project and target."""

    Options: ClassVar[type[msgspec.Struct]] = UriOptions
    needs_image: ClassVar[bool] = False

    def __init__(
        self, name: str, options: UriOptions, *, project: str, state: Path, place: Place | None = None
    ) -> None:
        del state  # all of it is at the address
        self._name = name
        self._options = options
        self._ours = (project, name)
        self._lease: lease.Lease | None = None
        if place:
            self._place = place

    def render(self, release: Release, overrides: Path | None = None) -> dict[str, str]:
        """Render `manifest.json`; see `Target.render`."""
        return render_tree("targets/uri", {"release": release.values, "target": self._name}, overrides)

    def check(self, files: Mapping[str, str]) -> Check:
        """Read `manifest.json`; see `Target.check`."""
        try:
            self._version(files)
        except InputError as error:
            return Check(problems=[str(error)])
        return Check()

    def plan(self, files: Mapping[str, str]) -> list[Change]:
        """Compare what is published with `manifest.json`, and look whether its files are there; see `Target.plan`."""
        version = self._version(files)
        self._demand_ours(version)
        pointer = self._pointer()
        there = self._place.list(version.path)
        lacking = version.missing(there)
        folder = Change(
            action="same" if not lacking else "update" if there else "create",
            what=f"{self._place.address}/{version.path}" + (f": {len(lacking)} files to write" if lacking else ""),
        )
        what = f"{version.manifest.title} at {self._place.address}/{POINTER}"
        if pointer is None:
            return [folder, Change(action="create", what=what)]
        found = self._place.read(f"{pointer.path}/{MANIFEST}")
        before = found.data.decode(errors="replace") if found else ""
        diff = "".join(
            difflib.unified_diff(
                before.splitlines(keepends=True), version.text.splitlines(keepends=True), pointer.path, version.path
            )
        )
        same = pointer.path == version.path and self._place.pointed() in {None, version.path}
        return [folder, Change(action="same" if same else "update", what=what, diff=diff)]

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        """Hold `lock.json` at the address, and renew it; see `Target.lock`."""
        with lease.held(self._place, self._name, owner) as held:
            self._lease = held
            try:
                yield
            finally:
                self._lease = None

    def apply(self, order: Order, tell: Tell = nothing_to_say) -> None:
        """Write the version beside the others, then let `current.json` name it; see `Target.apply`."""
        version = self._version(order.files)
        self._demand_ours(version)
        publishing.upload(self._place, version, order.service and order.service / "model", tell)
        self._swap(version, order, tell)

    def wait(self, order: Order, tell: Tell = nothing_to_say) -> str:
        """Return the URI of the model's folder; there is nothing to wait for; see `Target.wait`."""
        del tell
        return self._url(self._version(order.files).path)

    def verify(self, order: Order, smoke: Smoke = nothing_to_smoke) -> None:
        """Read everything back, then delete what is older than `keep`; nobody answers *smoke*; see `Target.verify`."""
        del smoke
        publishing.demand_published(self._place, self._version(order.files))
        publishing.prune(self._place, self._options.keep, self._ours)

    def rollback(self, order: Order | None, tell: Tell = nothing_to_say) -> None:
        """Let `current.json` name the version of *order*, whose folder was kept, or nothing; see `Target.rollback`."""
        if order is None:
            if self._pointer():
                self._demand_lock()
                publishing.withdraw(self._place)
            return
        version = self._version(order.files)
        try:
            self._demand_ours(version)
            publishing.upload(self._place, version, None, tell)
        except UsageError as error:
            raise ServiceError(str(error), hint=error.hint) from error
        self._swap(version, order, tell)

    def status(self) -> Status | None:
        """Read `current.json`; *ready* says that each of its files is there, in the right size."""
        pointer = self._pointer()
        if pointer is None:
            return None
        there = self._place.list(pointer.path)
        seen = [(file, there.get(f"{pointer.path}/model/{file.path}")) for file in pointer.files]
        return Status(
            model=pointer.model,
            version=pointer.version,
            digest=pointer.digest,
            url=self._url(pointer.path),
            plan_digest=pointer.plan_digest,
            ready=all(entry is not None and entry.size_bytes == file.size_bytes for file, entry in seen),
        )

    def remove(self) -> bool:
        """Delete the pointer, then our versions; what else is there stays; see `Target.remove`."""
        if self._pointer() is None and not self._place.list(VERSIONS):
            return False
        with self.lock("`remove`"):
            pointer = self._pointer()
            if pointer:
                publishing.withdraw(self._place)
            gone = [publishing.delete(self._place, each, self._ours) for each in publishing.folders(self._place)]
            self._place.tidy()
        return pointer is not None or any(gone)

    def _swap(self, version: Version, order: Order, tell: Tell) -> None:
        self._demand_lock()
        publishing.swap(self._place, version, order.plan_digest)
        tell(f"{self._place.address}/{POINTER} names {version.manifest.title}")

    def _version(self, files: Mapping[str, str]) -> Version:
        if MANIFEST not in files:
            raise InputError(f"there is no {MANIFEST} for {self._name}", hint="render it first")
        return Version(files[MANIFEST])

    def _url(self, path: str) -> str:
        return f"{self._place.address}/{path}/model"

    def _demand_lock(self) -> None:
        if self._lease:
            self._lease.demand()

    def _demand_ours(self, version: Version) -> None:
        """Refuse to publish as somebody else, or over somebody else."""
        said = (version.manifest.project, version.manifest.target)
        if said != self._ours:
            raise UsageError(f"{MANIFEST} is of the target {said[1]!r} of {said[0]}, and not of {self._name!r}")
        found = self._place.read(POINTER)
        pointer = publishing.pointer_in(self._place, found.data) if found else None
        if pointer and (pointer.project, pointer.target) != self._ours:
            raise UsageError(
                f"{self._place.address} belongs to the target {pointer.target!r} of {pointer.project}",
                hint=f"give targets.{self._name}.uri an address of its own",
            )

    def _pointer(self) -> Pointer | None:
        """What is published, if it is ours."""
        found = self._place.read(POINTER)
        pointer = publishing.pointer_in(self._place, found.data) if found else None
        return pointer if pointer and (pointer.project, pointer.target) == self._ours else None

    @cached_property
    def _place(self) -> Place:
        options = self._options
        if options.uri.startswith("s3://"):
            from mlops_ci.targets.uri.s3 import S3Place  # noqa: PLC0415  # only whoever has a bucket needs it

            bucket, prefix = options.bucket
            return S3Place(bucket, prefix, endpoint=options.endpoint, profile=options.profile)
        from mlops_ci.targets.uri.folder import FolderPlace  # noqa: PLC0415  # as above

        return FolderPlace(options.folder)
