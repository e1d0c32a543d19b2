"""
The folders of services on this machine: rendered, with the model's verified files, kept by their digest.

Everything is made aside and renamed when it is whole, so that what has its name can be relied on.
"""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from mlops_ci import digests, locks
from mlops_ci.config import Serving, Target
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import ServiceError
from mlops_ci.lifecycle.project import Project, state_home
from mlops_ci.lifecycle.render import fetch_model, render
from mlops_ci.targets.local import LocalOptions
from mlops_ci.targets.local.process import Process, read

Notify = Callable[[str], None]

_NAME = "serve"
_DIGITS = 16


@dataclass(frozen=True)
class Prepared:
    """
    A service that can be started.

    Attributes:
        home: Where its own writable folders are made.
        service: The rendered folder, with the model in it.
        process: How it is started; the interpreter in it is still "python".
    """

    home: Path
    service: Path
    process: Process


def home_of(project: Project) -> Path:
    """Where services and environments of *project* are kept; whoever deletes it loses nothing but time."""
    return state_home(project.config.project) / _NAME


def prepare(
    project: Project,
    version: ModelVersion,
    version_record: str,
    serving: Serving,
    *,
    host: str,
    port: int,
    notify: Notify,
) -> Prepared:
    """
    Render *version* with the settings *serving*, and fetch its model unless it is here.

    Raises:
        ConfigError: A template fails.
        NotFound: The artifact store lacks a file.
        ServiceError: It did not answer, or there is no room for the files.
    """
    home = home_of(project)
    target = Target(kind="local", options=LocalOptions(host=host, port=port))
    config = msgspec.structs.replace(project.config, serving=serving, targets={_NAME: target})
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as name:
        folder = Path(name, "bundle")
        ruled = project.ruled_by(config)
        render(ruled, version, version_record, [_NAME], into=folder, overrides=project.templates())
        process = read((folder / "targets" / _NAME / "process.yaml").read_text(encoding="utf-8"))
        with writing(home):
            model = _kept_model(project, version, home / "models", notify)
            place = _kept(folder / "service", model, home / "services")
    return Prepared(home, place / "service", process)


@contextmanager
def writing(home: Path) -> Iterator[None]:
    """
    Write below *home*, alone.

    Raises:
        ServiceError: There is no room, or it cannot be written.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        with locks.held(home / "lock"):
            yield
    except OSError as error:
        room = error.errno in {errno.ENOSPC, errno.EDQUOT}
        hint = "make room there, or set MLOPS_STATE_HOME to a folder that has some" if room else ""
        raise ServiceError(
            f"{home} cannot be written: {error.strerror or error}",
            hint=hint or "set MLOPS_STATE_HOME to a folder that can be written",
        ) from error


@contextmanager
def made(place: Path) -> Iterator[Path]:
    """A folder beside *place* that takes its name when it is whole; what a kill left of an earlier one is removed."""
    partial = place.with_name(f".{place.name}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(place)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise


def _kept_model(project: Project, version: ModelVersion, models: Path, notify: Notify) -> Path:
    place = models / version.artifact.digest.removeprefix("sha256:")[:_DIGITS]
    if not place.exists():
        size = sum(file.size_bytes for file in version.artifact.files)
        notify(f"fetching the model of {version.model} {version.version} ({size:,} bytes)")
        with made(place) as partial:
            fetch_model(project, version, partial)
    return place


def _kept(rendered: Path, model: Path, services: Path) -> Path:
    """*rendered* and *model* together; the model's bytes are there once for all services of it."""
    digest = digests.of_tree(digests.of_files(rendered))
    place = services / digest.removeprefix("sha256:")[:_DIGITS]
    if not place.exists():
        with made(place) as partial:
            shutil.copytree(rendered, partial / "service")
            shutil.copytree(model, partial / "service" / "model", copy_function=_linked)
    return place


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
