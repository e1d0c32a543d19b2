"""A real cluster: the one of KUBECONFIG, or one that the command in MLOPS_TEST_CLUSTER_UP starts."""

from __future__ import annotations

import fcntl
import os
import secrets
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlops_ci.targets.kubernetes.api import Api
from mlops_ci.targets.kubernetes.credentials import connect
from tests.cluster.images import push_service, write_service

# Read before a test's surroundings are cleared of them.
_KUBECONFIG = os.environ.get("KUBECONFIG", "")
_UP = os.environ.get("MLOPS_TEST_CLUSTER_UP", "")
REGISTRY = os.environ.get("MLOPS_TEST_CLUSTER_REGISTRY", "127.0.0.1:5000")
"""Where the cluster pulls images from, and these tests push them to, without TLS."""

_HERE = Path(__file__).parent


@pytest.hookimpl(tryfirst=True)  # before xdist looks for the mark
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One worker has the cluster: its node takes only so many pods."""
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.xdist_group("cluster"))


@pytest.fixture(scope="session")
def kubeconfig() -> Path:
    """The path of an administrator's kubeconfig."""
    try:
        return find_cluster()
    except LookupError as error:
        pytest.fail(str(error))


def find_cluster() -> Path:
    """
    The path of an administrator's kubeconfig, of a cluster that is started if need be.

    Raises:
        LookupError: There is none.
    """
    if _KUBECONFIG:
        return Path(_KUBECONFIG)
    if not _UP:
        raise LookupError("there is no cluster: set KUBECONFIG, or MLOPS_TEST_CLUSTER_UP to a command that starts one")
    with _one_at_a_time():
        started = subprocess.run(_UP, shell=True, capture_output=True, text=True, check=False)  # noqa: S602  # a command line
    if started.returncode != 0 or not started.stdout.strip():
        raise LookupError(f"the command in MLOPS_TEST_CLUSTER_UP started no cluster: {started.stderr[-2000:]}")
    return Path(started.stdout.splitlines()[-1].strip())


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Of two workers that want a cluster the second finds it up."""
    with Path(tempfile.gettempdir(), "mlops-ci-test-cluster.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def api(kubeconfig: Path) -> Api:
    return connect("KUBECONFIG", "", {"KUBECONFIG": str(kubeconfig)})


@contextmanager
def fresh_namespace(api: Api) -> Iterator[str]:
    """A namespace that nobody else has; it goes when we have gone."""
    name = f"test-{secrets.token_hex(4)}"
    api.send("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        # At once: what still runs there would have whole minutes to end.
        everything = {"gracePeriodSeconds": 0}
        for group, plural in (("apis/apps/v1", "deployments"), ("api/v1", "pods")):
            api.send("DELETE", f"/{group}/namespaces/{name}/{plural}", everything)
        api.send("DELETE", f"/api/v1/namespaces/{name}")


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    with fresh_namespace(api) as name:
        yield name


@pytest.fixture(scope="session")
def make_image(kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Push an image of our service to the cluster's registry; arguments as for `write_service`, but for the folder."""
    del kubeconfig  # with the cluster its registry is up
    made: dict[str, str] = {}

    def make(version: str = "1.0.0", **changes: object) -> str:
        key = f"{version} {sorted(changes.items())}"
        if key not in made:
            folder = tmp_path_factory.mktemp("service") / "service"
            write_service(folder, version, **changes)  # type: ignore[arg-type]
            made[key] = push_service(f"{REGISTRY}/mlops-ci-tests/churn", folder)
        return made[key]

    return make


@pytest.fixture(scope="session")
def service_image(make_image: Callable[..., str]) -> str:
    """The image of the service of churn 1.0.0, which halves x; the variable BEHAVIOUR makes it do something else."""
    return make_image()
