"""
Build: a version becomes a container image, which is recorded and, if asked for, pushed.

The lock of the first build is recorded and used again, so the same version gives the same image; and the next version
too, as long as its requirements are the same. What was built and pushed already is not built again.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from mlops_ci import digests, images, providers, records
from mlops_ci.entities import ArtifactRef, Image, ModelVersion
from mlops_ci.errors import ConfigError, MlopsCIError, UsageError
from mlops_ci.images import Builder, Built, Order, Tell, access, contexts, recipes, sbom
from mlops_ci.images import lock as locks
from mlops_ci.images.access import Access
from mlops_ci.lifecycle.find_version import find_version
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import render, repository_of
from mlops_ci.records import Record

_LOCK = "requirements.lock"
_AUTO = ("docker", "buildah")


@dataclass(frozen=True, kw_only=True)
class Request:
    """
    What is asked of a build.

    Attributes:
        builder: A key of `images.PROVIDERS`, or "auto".
        push: Send it to the registry.
        ca: A file with the certificates that packages are fetched with.
        upgrade_lock: Lock what the index has now, though a lock is recorded.
        cached: False builds everything again.
        keep: A folder for what the builder got.
        templates: A folder with templates that replace ours; those of the checkout unless given.
    """

    builder: str = "auto"
    push: bool = False
    ca: Path | None = None
    upgrade_lock: bool = False
    cached: bool = True
    keep: Path | None = None
    templates: Path | None = None


@dataclass(frozen=True)
class BuiltImage:
    """An image and its record's id; *new* is False where it was there before."""

    image: Image
    record_id: str
    new: bool


@dataclass(frozen=True)
class _Work:
    """What the steps of one build share."""

    project: Project
    version: ModelVersion
    record: Record
    request: Request
    access: Access
    notify: Tell
    tell: Tell
    builders: list[Builder] = field(default_factory=list)

    @property
    def epoch(self) -> int:
        """The image's time: when the version was registered, which every clone knows alike."""
        return int(records.moment(self.record.time).timestamp())

    @property
    def reference(self) -> str:
        """What the image is called; the `+` of a version's build metadata cannot be in a tag."""
        return f"{repository_of(self.project.config.serving.image)}:{self.version.version.replace('+', '_')}"

    def builder(self) -> Builder:
        """The builder, looked for when it is first needed."""
        if not self.builders:
            self.builders.append(_open(self.request.builder, self.notify))
        return self.builders[0]


def build_image(project: Project, name: str, request: Request, *, notify: Tell, tell: Tell) -> BuiltImage:
    """
    Build the image of the version that *name* means.

    Args:
        project: The checkout; `serving:` of its configuration says what the image is called and made of.
        name: As `find_version` takes it.
        request: What is wanted.
        notify: Gets sentences for a person.
        tell: Gets each line that the builder says.

    Raises:
        NotFound: There is no such version, or no such base image.
        ConfigError: `serving: image` is missing, or the recipe or the requirements are at fault.
        UsageError: There is nothing to build with, or the registry does not accept the credentials.
        IntegrityError: A file of the model, or a package, is not what its digest says.
        ServiceError: Something outside did not answer. Nothing was recorded; run it again.
    """
    if not project.config.serving.image:
        raise ConfigError(
            "nothing says what the image is called", hint="add `serving: {image: ghcr.io/acme/churn}` to mlops.yaml"
        )
    version, record = find_version(project.ledger, project.config, name)
    sbom.demand()
    work = _Work(project, version, record, request, access.find(os.environ, request.ca), notify, tell)
    with _context(work) as context:
        return _build(work, context)


def _build(work: _Work, context: Path) -> BuiltImage:
    recipe = (context / "Dockerfile").read_text("utf-8")
    base = ", ".join(recipes.bases(recipe))
    lock, lock_inputs = _locked(work, context, recipe)
    (context / _LOCK).write_text(lock, "utf-8")
    context_digest = contexts.settle(context, work.epoch)
    before = _before(work, context_digest)
    if before is not None:
        return before
    builder = work.builder()
    work.notify(f"building {work.reference} with {builder.name} {builder.version}")
    built = _built(work, builder, context)
    if "@sha256:" not in base:
        work.notify(
            f"{base} is not named by its digest (@sha256:…), so the image may be another when it is built again"
        )
    if builder.doubt:
        work.notify(builder.doubt)
    image = Image(
        model=work.version.model,
        version=work.version.version,
        version_record=work.record.id,
        reference=work.reference,
        image_id=built.image_id,
        digest=builder.push(work.reference, work.tell) if work.request.push else "",
        size_bytes=built.size_bytes,
        base=base,
        platform=built.platform,
        builder=builder.name,
        builder_version=builder.version,
        context_digest=context_digest,
        lock_inputs=lock_inputs,
        lock=_stored(work, _LOCK, lock.encode()),
        sbom=_stored(work, "sbom.cdx.json", _sbom(work, builder, built, lock, context_digest)),
        pushed=work.request.push,
    )
    recorded = records.new(image, author=work.project.author)
    work.project.ledger.append([recorded])
    return BuiltImage(image, recorded.id, new=True)


@contextmanager
def _context(work: _Work) -> Iterator[Path]:
    """The service folder of the version with its model and its recipe: what the builder gets, but for the lock."""
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as name:
        folder = Path(name, "rendered")
        overrides = work.request.templates or work.project.templates()
        render(work.project, work.version, work.record.id, [], into=folder, overrides=overrides, with_model=True)
        context = folder / "service"
        try:
            yield context
        finally:
            if work.request.keep is not None and (context / _LOCK).exists():
                _keep(context, work.request.keep)
            contexts.loosen(context)


def _keep(context: Path, folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name another folder with -o")
    shutil.copytree(context, folder, dirs_exist_ok=True)
    contexts.loosen(folder)


def _locked(work: _Work, context: Path, recipe: str) -> tuple[str, str]:
    """The lock, a recorded one where that may be used again, and the digest of what it is made of."""
    requirements = (context / "requirements.txt").read_text("utf-8")
    python = work.project.config.serving.python
    platform = recipes.platform(recipe) or "linux/amd64"
    inputs = locks.inputs(requirements, python=python, platform=platform)
    found = work.project.ledger.find(f"lock/{inputs.removeprefix('sha256:')}")
    earlier = [record.read(Image) for record in found if record.kind == "image"]
    # A lock that was made for this very version wins over a newer one of another.
    own = [image for image in earlier if image.version_record == work.record.id]
    if earlier and not work.request.upgrade_lock:
        wanted = (own or earlier)[-1].lock.digest
        with tempfile.TemporaryDirectory() as folder:
            fetched = work.project.artifacts.get([wanted], Path(folder))
            return fetched[wanted].read_text("utf-8"), inputs
    work.notify("locking the service's requirements")
    return locks.make(requirements, python=python, platform=platform, access=work.access), inputs


def _before(work: _Work, context_digest: str) -> BuiltImage | None:
    """The image that was built of the same, if it still is where it is wanted."""
    if not work.request.cached:
        return None
    for record in reversed(work.project.ledger.find(f"image/{work.record.id}")):
        image = record.read(Image)
        if (image.context_digest, image.reference) != (context_digest, work.reference):
            continue
        if work.request.builder not in {"auto", image.builder}:
            continue
        if image.pushed or (not work.request.push and _is_here(work, image)):
            return BuiltImage(image, record.id, new=False)
    return None


def _is_here(work: _Work, image: Image) -> bool:
    builder = work.builder()
    found = builder.inspect(work.reference) if builder.name == image.builder else None
    return found is not None and found.image_id == image.image_id


def _built(work: _Work, builder: Builder, context: Path) -> Built:
    with access.secrets(work.access) as secrets:
        order = Order(
            context=context,
            reference=work.reference,
            epoch=work.epoch,
            secrets=secrets,
            hidden=work.access.hidden,
            cached=work.request.cached,
        )
        return builder.build(order, work.tell)


def _sbom(work: _Work, builder: Builder, built: Built, lock: str, context_digest: str) -> bytes:
    status = builder.read(built.image_id, sbom.DPKG_STATUS).decode(errors="replace")
    return sbom.write(
        work.version.model,
        work.version.version,
        lock=lock,
        dpkg_status=status,
        digest=context_digest,
        epoch=work.epoch,
    )


def _stored(work: _Work, name: str, data: bytes) -> ArtifactRef:
    """Put *data* among the artifacts, to be known as *name*."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, name)
        file.write_bytes(data)
        reference = digests.reference(file, name)
        work.project.artifacts.put({reference.digest: file})
    return reference


def _open(name: str, notify: Tell) -> Builder:
    """
    The builder *name*; "auto" is the first that can build here.

    Raises:
        UsageError: None can; or `Builder.__init__` of the one that is named raises.
    """
    found: Callable[[], Builder]
    if name != "auto":
        found = providers.load("builder", images.PROVIDERS, name)
        return found()
    reasons = []
    for each in _AUTO:
        found = providers.load("builder", images.PROVIDERS, each)
        try:
            return found()
        except MlopsCIError as error:
            reasons.append(str(error))
            notify(f"{each} is left out: {error}")
    raise UsageError(f"nothing can build an image here: {'; '.join(reasons)}", hint="install Docker or buildah")
