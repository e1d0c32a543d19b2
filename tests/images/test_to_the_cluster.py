"""A real image on a real cluster: built of its recipe, deployed, upgraded under load, rolled back; and by a tag."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes.api import Api
from mlops_ci.targets.kubernetes.credentials import connect
from tests.cli.conftest import Workplace
from tests.cli.jobs import REPOSITORY, Runner
from tests.cluster import conftest as cluster
from tests.github import events
from tests.images.conftest import Shop, release
from tests.repositories import git

pytestmark = pytest.mark.xdist_group("images")

kubeconfig, api, namespace = cluster.kubeconfig, cluster.api, cluster.namespace

# Enough for a start in seconds, and so little that three fit: one that serves, one that comes, one that is ending.
OPTIONS = 'kind: kubernetes, kubernetes: "1.20", replicas: 1, resources: {cpu: 300m, memory: 256Mi}'
TAG = "churn@v1.1.0"
INSIDE = "id -u; touch /var/tmp/x 2>/dev/null || echo may not; touch /tmp/x && echo may"
"""Where the root may be written, anybody may write to both folders."""


class Caller:
    """
    Somebody who asks the service in *namespace* twenty times a second, through the cluster's API.

    Attributes:
        answers: The status and the body of each answer.
    """

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.answers: list[tuple[int, Any]] = []
        self._api = connect("KUBECONFIG", "", {"KUBECONFIG": str(kubeconfig)})
        self._path = f"/api/v1/namespaces/{namespace}/services/http:churn:http/proxy/predict"
        self._came = threading.Condition()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._call)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def versions(self) -> list[str]:
        """Those that answered, in their order; one that answers again is named again."""
        named = [said["version"] for status, said in self.answers if status == 200]
        return [version for number, version in enumerate(named) if number == 0 or named[number - 1] != version]

    def wait_for(self, answers: int) -> None:
        """Wait until so many more have come."""
        wanted = len(self.answers) + answers
        with self._came:
            assert self._came.wait_for(lambda: len(self.answers) >= wanted, timeout=60)

    def _call(self) -> None:
        while not self._ended.wait(0.05):
            answer = self._ask()
            with self._came:
                self.answers.append(answer)
                self._came.notify_all()

    def _ask(self) -> tuple[int, Any]:
        try:
            status, said = self._api.answer("POST", self._path, {"records": [{"x": 3.0}]}, again=False)
            return status, json.loads(said)
        except (ServiceError, ValueError) as error:
            return 0, str(error)


@pytest.fixture(scope="module")
def storage(shop: Shop, kubeconfig: Path) -> Shop:
    """The shop, whose buildah speaks to the cluster's registry."""
    del kubeconfig  # with the cluster its registry is up
    shop.storage.trust(cluster.REGISTRY)
    return shop


@pytest.fixture
def project(storage: Shop, kubeconfig: Path, namespace: str, make_project: Callable[..., Workplace]) -> Workplace:
    """The version 1.0.0, registered; staging in *namespace*, and after it production, which somebody has to approve."""
    del storage
    place = make_project(f"{cluster.REGISTRY}/mlops-ci-tests/{namespace}")
    targets = (
        f"targets:\n  staging: {{{OPTIONS}, namespace: {namespace}}}\n"
        f"  production: {{{OPTIONS}, namespace: {namespace}-live, after: staging, approval: {{required: 1}}}}\n"
    )
    place.commit({"mlops.yaml": (place.root / "mlops.yaml").read_text() + targets})
    place.push()
    return replace(place, env={**place.env, "KUBECONFIG": str(kubeconfig)})


def pods(api: Api, namespace: str) -> list[str]:
    """The names of those that are not ending."""
    found = api.get(f"/api/v1/namespaces/{namespace}/pods")["items"]
    return [one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"]]


def run_in(kubeconfig: Path, namespace: str, pod: str, command: str) -> str:
    """What *command* prints in a pod."""
    from kubernetes import config  # noqa: PLC0415  # half a second that only these tests have to cost
    from kubernetes.client import CoreV1Api  # noqa: PLC0415  # as above
    from kubernetes.stream import stream  # noqa: PLC0415  # as above

    with config.new_client_from_config(str(kubeconfig)) as client:
        run = CoreV1Api(client).connect_get_namespaced_pod_exec
        words = ["sh", "-c", command]
        said = stream(run, pod, namespace, command=words, stdout=True, _preload_content=False)
        try:
            said.run_forever(timeout=60)
            return str(said.read_all())
        finally:
            said.sock.shutdown()  # `close` leaves the socket open where the other side has closed


def test_an_image_is_built_deployed_upgraded_under_load_and_rolled_back(
    project: Workplace, kubeconfig: Path, api: Api, namespace: str
) -> None:
    built = json.loads(project.run("-q", "build", "1.0.0", "--builder", "buildah", "--push", "--json"))["image"]
    said = project.run("deploy", "staging")
    assert "churn 1.0.0 is live on staging" in said
    assert "smoke test: the model's own example was answered as expected" in said
    (pod,) = pods(api, namespace)
    assert run_in(kubeconfig, namespace, pod, INSIDE).split("\n") == ["10001", "may not", "may", ""]
    deployed = json.loads(project.run("deployments", "--json"))[0]["deployment"]
    assert deployed["plan"]["image"] == f"{built['reference']}@{built['digest']}"
    assert deployed["smoke"]["matched"]

    project.commit({"params.json": '{"factor": 2.0}'})
    release(project, "1.1.0")
    project.run("build", "1.1.0", "--builder", "buildah", "--push")
    with Caller(kubeconfig, namespace) as caller:
        caller.wait_for(10)
        assert "churn 1.1.0 is live on staging" in project.run("deploy", "staging", "--version", "1.1.0")
        caller.wait_for(10)
        assert "churn 1.0.0 is live again on staging" in project.run("rollback", "staging")
        caller.wait_for(10)
    assert [answer for answer in caller.answers if answer[0] != 200] == []
    predictions = {(said["version"], *said["predictions"]) for _, said in caller.answers}
    assert predictions == {("1.0.0", 1.5), ("1.1.0", 6.0)}
    assert caller.versions[0] == caller.versions[-1] == "1.0.0"


@pytest.mark.full
def test_a_pushed_tag_is_registered_built_deployed_to_staging_and_asked_about(
    project: Workplace, kubeconfig: Path, api: Api, namespace: str, tmp_path: Path
) -> None:
    """In a job that has buildah and no Docker; running it again changes nothing."""
    project.run("run")
    git(project.root, "tag", TAG)
    project.push("HEAD:main", TAG)
    sha, ref = git(project.root, "rev-parse", "HEAD"), f"refs/tags/{TAG}"
    payload = events.push_event(after=sha, ref=ref, repository=REPOSITORY)
    runner = Runner(project, tmp_path)
    job = runner("push", ref, payload, sha=sha, DOCKER_HOST="unix:///nowhere")
    assert "docker is left out" in job.said
    assert "with buildah" in job.said
    assert "churn 1.1.0 on production needs 1 approval" in job.said
    before = pods(api, namespace)
    with Caller(kubeconfig, namespace) as caller:
        caller.wait_for(1)
    assert caller.versions == ["1.1.0"]
    found = json.loads(project.run("deployments", "--json"))
    assert [(one["deployment"]["plan"]["target"], one["deployment"]["status"]) for one in found] == [
        ("staging", "live")
    ]
    assert "@sha256:" in found[0]["deployment"]["plan"]["image"]

    again = runner("push", ref, payload, sha=sha, DOCKER_HOST="unix:///nowhere")
    assert "with buildah" not in again.said
    assert pods(api, namespace) == before
    assert len(json.loads(project.run("deployments", "--json"))) == 1
