"""
Render: write what a version would deploy, as files: the service, the image recipe, the manifests of each target.

The same version and configuration give the same bytes, so the digest of what was rendered can be approved
today and checked tomorrow, in another clone.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from mlops_ci import providers, records, targets
from mlops_ci.config import Config
from mlops_ci.config import Target as TargetConfig
from mlops_ci.entities import Image, ModelVersion, Plan
from mlops_ci.errors import ConfigError, IntegrityError, NotFound, UsageError
from mlops_ci.lifecycle.project import Project, state_home, web_address
from mlops_ci.release import Release, image_files, service_files
from mlops_ci.targets import Target

_MARKER = ".rendered-by-mlops-ci"
_REFERENCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:/\[\]-]*")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Bundle:
    """
    What was rendered into *folder*.

    Attributes:
        files: Paths relative to *folder*, sorted; the model's own files are not among them.
        texts: For each target, what it rendered: text by path relative to its own folder.
        plans: For each target, what deploying this would do.
        targets: The targets, ready to apply the bundle.
        notes: What could not be checked here.
    """

    folder: Path
    files: list[str]
    texts: dict[str, dict[str, str]]
    plans: dict[str, Plan]
    targets: dict[str, Target]
    notes: list[str]


def render(
    project: Project,
    version: ModelVersion,
    version_record: str,
    names: Sequence[str],
    *,
    into: Path,
    overrides: Path | None,
    with_model: bool = False,
) -> Bundle:
    """
    Render *version* for the targets *names* below *into*.

    Args:
        project: Under the configuration that rules.
        version: What to deploy.
        version_record: The id of its record.
        names: Keys of `targets:`.
        into: Empty, or a folder that was rendered into before: then that is replaced.
        overrides: A folder with templates that replace ours.
        with_model: Fetch the model's files into `service/model`, verified.

    Raises:
        NotFound: There is no such target, or the artifact store lacks a file.
        ConfigError: A template fails, or what it renders is not valid.
        UsageError: *into* cannot be written.
    """
    release = release_of(project, version, version_record, image=image_of(project, version_record))
    service = {**service_files(release, overrides), **image_files(release, overrides)}
    texts = {f"service/{path}": text for path, text in service.items()}
    opened, plans, notes, every = {}, {}, [], {}
    for name in names:
        target = opened[name] = open_target(project.config, name)
        rendered = every[name] = target.render(release, overrides)
        checked = target.check(rendered)
        if checked.problems:
            raise ConfigError(f"what is rendered for {name} is not valid: {'; '.join(checked.problems)}")
        notes += [f"{name}: {sentence}" for sentence in checked.unchecked]
        plans[name] = _plan(project.config, version, release, name, told(service, rendered))
        texts |= {f"targets/{name}/{path}": text for path, text in rendered.items()}
    _write(into, texts)
    if with_model:
        fetch_model(project, version, into / "service" / "model")
    return Bundle(into, sorted(texts), every, plans, opened, notes)


def told(service: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """All that a deployment to one target is made of but the model, text by path: its digest is a plan's."""
    return {
        **{f"service/{path}": text for path, text in service.items()},
        **{f"target/{path}": text for path, text in files.items()},
    }


def open_target(config: Config, name: str) -> Target:
    """The target *name*. Raises `NotFound` if the configuration has none."""
    settings = target_of(config, name)
    provider = providers.load("target kind", targets.PROVIDERS, settings.kind)
    state = state_home(config.project) / "targets" / name
    target: Target = provider(name, settings.options, project=config.project, state=state)
    return target


def target_of(config: Config, name: str) -> TargetConfig:
    """The configuration of the target *name*. Raises `NotFound` if there is none."""
    if name not in config.targets:
        hint = providers.suggestion(name, config.targets) if config.targets else "add it to `targets:` in mlops.yaml"
        raise NotFound(f"there is no target {name!r}", hint=hint)
    return config.targets[name]


def fetch_model(project: Project, version: ModelVersion, folder: Path) -> None:
    """
    Fetch the files of *version* into *folder*; each is verified against its digest.

    Raises:
        IntegrityError: A path leads out of *folder*: whoever may push can record a version.
    """
    places = {file.path: place_in(folder, file.path) for file in version.artifact.files}
    with tempfile.TemporaryDirectory() as name:
        fetched = project.artifacts.get({file.digest for file in version.artifact.files}, Path(name))
        for file in version.artifact.files:
            place = places[file.path]
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(fetched[file.digest], place)


def place_in(folder: Path, path: str) -> Path:
    """Where *path*, which a record names, is in *folder*. Raises `IntegrityError` if it leads out of it."""
    relative = PurePosixPath(path)
    if relative.is_absolute() or ".." in relative.parts or not relative.parts or "\0" in path:
        raise IntegrityError(f"a record names the file {path!r}, which would be outside of its folder")
    return folder / relative


def image_of(project: Project, version_record: str) -> str:
    """
    The image of a version as a target is told it: with the digest that the registry gave it, if one was pushed.

    A name with a digest in `serving: image` is taken as it is.

    Raises:
        ServiceError: The ledger did not answer.
    """
    named = project.config.serving.image
    if not named or "@" in named:
        return named
    for record in reversed(project.ledger.find(f"image/{version_record}")):
        try:
            image = record.read(Image)
        except IntegrityError:  # one that cannot be read must not keep anybody from deploying
            continue
        whole = _REFERENCE.fullmatch(image.reference) and _DIGEST.fullmatch(image.digest)
        if image.pushed and whole and repository_of(image.reference) == repository_of(named):
            return f"{image.reference}@{image.digest}"
    return named


def repository_of(reference: str) -> str:
    """An image's *reference* without tag and digest."""
    name = reference.partition("@")[0]
    path, colon, tag = name.rpartition(":")
    return path if colon and "/" not in tag else name


def release_of(project: Project, version: ModelVersion, version_record: str, *, image: str) -> Release:
    """*version* as the configuration of *project* serves it, in *image*."""
    serving, model = project.config.serving, version.artifact
    return Release(
        project=project.config.project,
        model=version.model,
        version=version.version,
        sha=version.sha,
        tag=version.tag,
        model_digest=model.digest,
        version_record=version_record,
        flavor=model.flavor,
        files=model.files,
        requirements=model.requirements,
        signature=model.signature,
        image=image,
        source=web_address(project.checkout.remote),
        runtime=serving.runtime,
        workers=serving.workers,
        port=serving.port,
        timeout_s=serving.timeout_s,
        formats=tuple(serving.formats),
        settings=serving.settings,
        python=serving.python,
        base_image=serving.base,
        platform=serving.platform,
    )


def _plan(config: Config, version: ModelVersion, release: Release, name: str, files: Mapping[str, str]) -> Plan:
    settings = target_of(config, name)
    return Plan(
        target=name,
        kind=settings.kind,
        production=bool(settings.production),
        project=config.project,
        model=version.model,
        version=version.version,
        version_record=release.version_record,
        model_digest=version.artifact.digest,
        manifests_digest=records.digest(files),
        policy_digest=records.digest(settings),
        image=release.image,
    )


def _write(folder: Path, texts: Mapping[str, str]) -> None:
    """Replace what an earlier rendering left in *folder*; a folder that holds anything else is not touched."""
    if folder.exists() and any(folder.iterdir()) and not (folder / _MARKER).exists():
        raise UsageError(f"{folder} is not empty, and nothing of it was rendered", hint="name another folder with -o")
    try:
        for name in ("service", "targets"):
            shutil.rmtree(folder / name, ignore_errors=True)
        for path, text in {_MARKER: "", ".gitignore": "*\n", **texts}.items():
            place = folder / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text, "utf-8")
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}", hint="name another folder with -o") from error
