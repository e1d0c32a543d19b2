"""Rollouts on a real cluster: how they end, what is said of them, and whether the service answers through the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes import KubernetesTarget, waiting
from mlops_ci.targets.kubernetes.api import Api, path_of
from mlops_ci.targets.kubernetes.asking import ask_through
from mlops_ci.targets.kubernetes.credentials import connect
from mlops_ci.targets.kubernetes.objects import PLAN, Object, Scope, objects_in, workload
from tests.cluster.conftest import REGISTRY, fresh_namespace
from tests.cluster.images import write_service

Edit = Callable[[Object], None]
NOWHERE = f"{REGISTRY}/mlops-ci-tests/nothing@sha256:{'0' * 64}"


class Outcome(NamedTuple):
    """What `wait` told, and how it ended."""

    told: list[str]
    url: str
    error: ServiceError | None


def rendered(
    folder: Path, namespace: str, name: str, image: str, edit: Edit | None = None, **options: Any
) -> list[Object]:
    """What the target *name* would deploy as its model *name*; *edit* changes the specification of the pods."""
    settings = {"kubernetes": "1.20", "namespace": namespace, "replicas": 1, "start_timeout_s": 10, **options}
    asked = msgspec.convert(settings, KubernetesTarget.Options)
    release = write_service(folder / name, model=name, image=image).release
    objects = objects_in(KubernetesTarget(name, asked, project="shop", state=folder).render(release))
    deployment = workload(objects)
    assert deployment is not None
    pods = deployment["spec"]["template"]["spec"]
    resources = pods["containers"][0]["resources"]
    # The node may be busy with others: what is asked of it is nothing, and what is free may be used.
    resources["requests"] = {**resources["requests"], "cpu": "0"}
    resources["limits"] = {**resources["limits"], "cpu": "1"}
    if edit:
        edit(pods)
    return objects


def apply(api: Api, objects: list[Object]) -> None:
    for each in objects:
        metadata = each["metadata"]
        path = path_of(api.kind(each["apiVersion"], each["kind"]), metadata["namespace"], metadata["name"])
        query = {"fieldManager": "mlops-ci", "force": "true"}
        api.send("PATCH", path, json.dumps(each).encode(), query=query, content_type="application/apply-patch+yaml")


def followed(kubeconfig: Path, objects: list[Object]) -> Outcome:
    """Apply *objects* and wait."""
    api = connect("KUBECONFIG", "", {"KUBECONFIG": str(kubeconfig)})
    told: list[str] = []
    apply(api, objects)
    try:
        return Outcome(told, waiting.wait(api, objects, told.append), None)
    except ServiceError as error:
        return Outcome(told, "", error)


def _missing_secret(pods: Object) -> None:
    secret = {"secretKeyRef": {"name": "api-keys", "key": "keys"}}
    pods["containers"][0]["env"] = [{"name": "MLOPS_API_KEYS", "valueFrom": secret}]


def _never_ready(pods: Object) -> None:
    del pods["containers"][0]["startupProbe"]
    pods["containers"][0]["readinessProbe"]["httpGet"]["path"] = "/nothing"


def _greedy(pods: Object) -> None:
    for amounts in pods["containers"][0]["resources"].values():
        amounts["cpu"] = "999"


@pytest.fixture(scope="module")
def failures(
    api: Api, kubeconfig: Path, service_image: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """Rollouts that fail, all at the same time: most of it is waiting."""
    folder = tmp_path_factory.mktemp("failures")
    with fresh_namespace(api) as namespace, ThreadPoolExecutor(8) as threads:

        def begin(name: str, image: str = service_image, edit: Edit | None = None, **options: Any) -> Future[Outcome]:
            return threads.submit(followed, kubeconfig, rendered(folder, namespace, name, image, edit, **options))

        memory = {"resources": {"cpu": "1", "memory": "96Mi"}}
        yield {
            "crash": begin("crash", env={"BEHAVIOUR": "crash"}),
            "oom": begin("oom", env={"BEHAVIOUR": "oom"}, **memory),
            "image": begin("image", NOWHERE),
            "cpu": begin("cpu", edit=_greedy),
            "secret": begin("secret", edit=_missing_secret),
            "ready": begin("ready", edit=_never_ready),
        }


@pytest.mark.parametrize(
    ("name", "sentence", "hint"),
    [
        ("image", f"the image {NOWHERE} cannot be pulled: the registry {REGISTRY} does not have it", "push it"),
        ("secret", "cannot start: the Secret api-keys is not in the namespace", "make it in the namespace"),
        ("crash", "the container service ended with exit code 3", "its log says why"),
        ("oom", "needs more memory than its limit of 96Mi: it was killed", "raise the target's `resources.memory`"),
        ("cpu", "has too little cpu left (asked for: 999)", "add nodes, or lower the target's `resources`"),
        ("ready", "the readiness probe fails: /nothing answers 404", "its log may say why"),
    ],
)
def test_a_rollout_that_fails_says_why_and_what_to_do(
    failures: dict[str, Future[Outcome]], name: str, sentence: str, hint: str
) -> None:
    told, _, error = failures[name].result()
    assert error is not None
    assert f"pod {name}-" in str(error)
    assert sentence in str(error)
    assert hint in error.hint
    assert told[0] == "0 of 1 pods are ready"
    assert len(told) == len(set(told)), "what has not changed is not told again"


def test_a_container_that_crashed_has_the_last_word(failures: dict[str, Future[Outcome]]) -> None:
    said = str(failures["crash"].result().error).splitlines()
    assert said[0].endswith("it said:")
    assert said[-1] == "  the weights are not those of this code"
    assert len(said) <= 6


@pytest.mark.full  # test_deployments upgrades, too
def test_an_upgrade_is_followed_to_its_end_and_asked_through_the_api(
    api: Api, kubeconfig: Path, namespace: str, make_image: Callable[..., str], tmp_path: Path
) -> None:
    scope = Scope.of("shop", "churn", namespace)
    assert waiting.status(api, scope) is None
    first = rendered(tmp_path / "1", namespace, "churn", make_image(), port=8080)
    told, url, error = followed(kubeconfig, first)
    assert error is None
    assert (told[0], told[-1]) == ("0 of 1 pods are ready", "1 of 1 pods are ready")
    assert url == f"http://churn.{namespace}.svc:8080"
    ask = ask_through(api, first)
    assert json.loads(ask("/metadata", None).body)["version"] == "1.0.0"
    body = json.dumps({"records": [{"x": 1.0}, {"x": 2.0}]}).encode()
    status, said = ask("/predict", body)
    assert (status, json.loads(said)["predictions"]) == (200, [0.5, 1.0])
    assert ask("/predict", b'{"records": 7}').status in (400, 422), "what the service says no to is its answer"

    second = rendered(tmp_path / "2", namespace, "churn", make_image("1.1.0", factor=2.0), port=8080)
    deployment = workload(second)
    assert deployment is not None
    deployment["metadata"]["annotations"] |= {PLAN: "sha256:2", "mlops-ci/version": "1.1.0"}
    apply(api, second)
    meanwhile = waiting.status(api, scope)
    assert meanwhile is not None
    assert (meanwhile.version, meanwhile.plan_digest, meanwhile.ready) == ("1.1.0", "sha256:2", False)
    assert waiting.wait(api, second, told.append) == url
    after = waiting.status(api, scope)
    assert after is not None
    assert (after.model, after.version, after.url, after.ready) == ("churn", "1.1.0", url, True)
    assert json.loads(ask_through(api, second)("/predict", body).body)["predictions"] == [2.0, 4.0]
    assert waiting.wait(api, second, told.append) == url, "what is complete needs no waiting"


def test_a_service_that_is_not_there_is_a_sentence(api: Api, namespace: str, tmp_path: Path) -> None:
    ask = ask_through(api, rendered(tmp_path, namespace, "gone", NOWHERE))
    with pytest.raises(ServiceError, match="there is no Service gone to be asked"):
        ask("/metadata", None)
