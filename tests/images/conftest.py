"""A project with a registered version, and what its image is built with."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.cli.conftest import FILES, Workplace, _workplace
from tests.cli.test_release import MODEL
from tests.images.daemons import PASSWORD, Docker, Registry, Storage, make_base
from tests.repositories import git, make_clone

TRAIN = """
import json, pathlib
import mlops_ci as mlops
from model import Factor

params = json.loads(pathlib.Path("params.json").read_text())
with mlops.start_run() as run:
    run.log_params(params)
    run.log_metrics({"accuracy": 0.9})
    run.log_model(Factor(params["factor"]), input_example=[{"x": 1.0}, {"x": 2.0}])
"""


@dataclass(frozen=True)
class Shop:
    """What images are built with and pushed to. *base* is the base image's name in *registry*."""

    docker: Docker
    storage: Storage
    registry: Registry
    locked: Registry
    base: str

    @property
    def environment(self) -> dict[str, str]:
        return {**self.docker.environment, **self.storage.environment}

    def login(self, folder: Path, password: str = PASSWORD) -> dict[str, str]:
        """Variables that let Docker and buildah find the credentials of the registry that wants some."""
        token = base64.b64encode(f"robot:{password}".encode()).decode()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps({"auths": {self.locked.name: {"auth": token}}}))
        return {"DOCKER_CONFIG": str(folder), "REGISTRY_AUTH_FILE": str(folder / "config.json")}


@pytest.fixture(scope="session")
def shop() -> Iterator[Shop]:
    with ExitStack() as stack:
        docker, registry, locked = Docker(), Registry(), Registry(password=True)
        storage = Storage([registry.name, locked.name])
        for each in (docker, registry, locked, storage):
            stack.callback(each.stop)
        packed = make_base(docker.folder)
        base = f"{registry.name}/base:1"
        docker("import", packed, base)
        packed.unlink()
        pushed = docker("push", base)
        digest = next(word for word in pushed.split() if word.startswith("sha256:"))
        yield Shop(docker, storage, registry, locked, f"{registry.name}/base@{digest}")


@pytest.fixture
def make_project(tmp_path: Path, shop: Shop) -> Callable[..., Workplace]:
    """Make a project of *files* whose model is trained, tagged and registered as 1.0.0; its image is called *image*."""

    def make(image: str, files: dict[str, str] | None = None) -> Workplace:
        serving = f"serving: {{runtime: asgi, image: {image}, base: '{shop.base}'}}\n"
        own = files or {"train.py": TRAIN, "model.py": MODEL, "params.json": '{"factor": 0.5}'}
        config = FILES["mlops.yaml"].partition("gates:")[0] + serving
        place = _workplace(make_clone(tmp_path, {**FILES, **own, "mlops.yaml": config}), tmp_path)
        # Debian's Docker, though another may come first; and nobody's credentials.
        path = os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", place.env["PATH"]])
        place = replace(place, env={**place.env, **shop.environment, "PATH": path, "HOME": str(tmp_path)})
        release(place, "1.0.0")
        return place

    return make


def release(place: Workplace, version: str) -> None:
    """Train what is checked out, and register it as *version*."""
    place.run("run")
    git(place.root, "tag", f"churn@v{version}")
    place.push("HEAD:main", f"churn@v{version}")
    place.run("register", f"churn@v{version}")
