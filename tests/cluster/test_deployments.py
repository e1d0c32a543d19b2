"""A version's way onto a real cluster and back, by the real command."""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_ci.targets.kubernetes.api import Api, Denied
from tests.cluster.conftest import REGISTRY
from tests.cluster.doors import Door, read, through, with_token
from tests.cluster.shops import Shop
from tests.waiting import eventually

TARGETS = ("life", "undone", "first", "both", "door", "rights", "killed", "ten")
_APPLIED = "Deployment churn: "


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory, kubeconfig: Path) -> Shop:
    """
    A project with five versions.

    1.0.0 and 1.1.0 are good, 2.0.0 begins to lie once it is ready, nobody pushed the image of 3.0.0, 4.0.0 has none.
    """
    made = Shop(tmp_path_factory.mktemp("shop"), REGISTRY, kubeconfig, f"test-{secrets.token_hex(4)}", TARGETS)
    for version in ("1.0.0", "1.1.0"):
        made.release(version)
    made.release("2.0.0", lies=True)
    made.release("3.0.0", image=False)
    made.record_image("3.0.0", "sha256:" + "0" * 64)
    made.release("4.0.0", image=False)
    return made


@pytest.fixture(autouse=True)
def emptied(shop: Shop, api: Api) -> Iterator[None]:
    """What a test leaves would take the node's room from the next."""
    yield
    for target in TARGETS:
        with suppress(Denied):
            for group, plural in (("apis/apps/v1", "deployments"), ("api/v1", "pods")):
                api.send("DELETE", f"/{group}/namespaces/{shop.namespace(target)}/{plural}", {"gracePeriodSeconds": 0})
            api.send("DELETE", f"/api/v1/namespaces/{shop.namespace(target)}")


def deployment(api: Api, shop: Shop, target: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"/apis/apps/v1/namespaces/{shop.namespace(target)}/deployments/churn")
    return found


def version_on(api: Api, shop: Shop, target: str) -> str:
    """The version that answers, which is also the one of the manifests."""
    path = f"/api/v1/namespaces/{shop.namespace(target)}/services/http:churn:http/proxy/metadata"
    answers = str(json.loads(api.send("GET", path))["version"])
    assert deployment(api, shop, target)["metadata"]["annotations"]["mlops-ci/version"] == answers
    return answers


def answers(api: Api, shop: Shop, target: str) -> bool:
    path = f"/api/v1/namespaces/{shop.namespace(target)}/services/http:churn:http/proxy/readyz"
    return api.answer("GET", path, again=False)[0] == 200


def test_forth_and_back(shop: Shop, api: Api) -> None:
    said = shop.run("deploy", "life", "--version", "1.0.0", "--dry-run")
    assert "+ Deployment churn\n" in said
    assert "@sha256:" in said
    with pytest.raises(Denied):
        deployment(api, shop, "life")
    said = shop.run("deploy", "life", "--version", "1.0.0")
    assert f"churn 1.0.0 is live on life: http://churn.{shop.namespace('life')}.svc" in said
    assert "smoke test: the model's own example was answered as expected" in said
    assert version_on(api, shop, "life") == "1.0.0"
    before = deployment(api, shop, "life")

    assert "was live already" in shop.run("deploy", "life", "--version", "1.0.0")
    assert deployment(api, shop, "life")["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
    diff = shop.run("deploy", "life", "--version", "1.1.0", "--diff")
    assert re.search(r"(?m)^- .*mlops-ci/version: 1\.0\.0$", diff)
    assert re.search(r"(?m)^\+ .*mlops-ci/version: 1\.1\.0$", diff)
    assert "churn 1.1.0 is live" in shop.run("deploy", "life", "--version", "1.1.0")
    assert version_on(api, shop, "life") == "1.1.0"

    scaled = {"spec": {"replicas": 2}}
    path = f"/apis/apps/v1/namespaces/{shop.namespace('life')}/deployments/churn"
    api.send("PATCH", path, json.dumps(scaled).encode(), content_type="application/merge-patch+json")
    assert "1.1.0 runs, and somebody changed Deployment churn" in shop.run("deployments", "check", "life", expect=1)

    assert "churn 1.0.0 is live again" in shop.run("rollback", "life", "--reason", "too slow")
    assert version_on(api, shop, "life") == "1.0.0"
    now = deployment(api, shop, "life")
    assert now["spec"] == before["spec"]
    assert "runs as it was deployed" in shop.run("deployments", "check", "life")
    assert [(one["cause"], one["serving"]) for one in shop.history("life")] == [
        ("rollback", True),
        ("deploy", False),
        ("deploy", False),
    ]

    pods = f"/api/v1/namespaces/{shop.namespace('life')}/pods"
    api.send("DELETE", pods, {"gracePeriodSeconds": 0})
    eventually(lambda: answers(api, shop, "life"), every_s=0.3)
    assert version_on(api, shop, "life") == "1.0.0"
    assert "life is stopped" in shop.run("deployments", "stop", "life")
    assert "nothing was deployed" not in shop.run("deployments", "check", "life")


def test_what_fails_is_undone_and_both_are_recorded(shop: Shop, api: Api) -> None:
    shop.run("deploy", "undone", "--version", "1.0.0")
    before = deployment(api, shop, "undone")["spec"]
    said = shop.run("deploy", "undone", "--version", "3.0.0", expect=3)
    assert "image" in said
    assert "churn 1.0.0 runs again" in said
    assert deployment(api, shop, "undone")["spec"] == before
    said = shop.run("deploy", "undone", "--version", "2.0.0", expect=3)
    assert "answered the model's own example with 200" in said
    assert "churn 1.0.0 runs again" in said
    assert version_on(api, shop, "undone") == "1.0.0"
    assert "runs as it was deployed" in shop.run("deployments", "check", "undone")
    assert [(one["status"], one["plan"]["version"]) for one in shop.history("undone")] == [
        ("restored", "1.0.0"),
        ("failed", "2.0.0"),
        ("restored", "1.0.0"),
        ("failed", "3.0.0"),
        ("live", "1.0.0"),
    ]


def test_a_first_deployment_that_fails_leaves_nothing(shop: Shop, api: Api) -> None:
    said = shop.run("deploy", "first", "--version", "4.0.0", expect=2)
    assert "no image of churn 4.0.0 was pushed" in said
    said = shop.run("deploy", "first", "--version", "3.0.0", expect=3)
    assert "nothing ran before, and nothing runs now" in said
    with pytest.raises(Denied):
        deployment(api, shop, "first")
    assert "first" in shop.run("deployments", "check", "first")


def test_two_deployers_at_once_take_turns(shop: Shop, api: Api) -> None:
    with begun(shop, "both", "1.0.0") as one, begun(shop, "both", "1.1.0") as other:
        ended = [each.wait(120) for each in (one, other)]
    assert sorted(ended) in ([0, 0], [0, 3])
    assert version_on(api, shop, "both") in {"1.0.0", "1.1.0"}
    shop.run("deploy", "both", "--version", "1.1.0")
    assert version_on(api, shop, "both") == "1.1.0"
    assert "runs as it was deployed" in shop.run("deployments", "check", "both")


def test_an_api_server_that_goes_away_is_waited_for(shop: Shop, api: Api, kubeconfig: Path) -> None:
    door = Door(read(kubeconfig)["clusters"][0]["cluster"]["server"])
    try:
        with begun(shop, "door", "1.0.0", KUBECONFIG=through(kubeconfig, door)) as deployer:
            follow(deployer, _APPLIED)
            door.shut()
            time.sleep(3)
            door.open()
            assert deployer.wait(120) == 0
        assert version_on(api, shop, "door") == "1.0.0"
        door.shut()
        said = shop.run("deploy", "door", "--version", "1.1.0", expect=3, KUBECONFIG=through(kubeconfig, door))
        assert "did not answer" in said
        assert "run the same command again" in said
    finally:
        door.end()
    assert "churn 1.1.0 is live" in shop.run("deploy", "door", "--version", "1.1.0")


def test_the_rendered_role_is_enough_and_less_is_not(shop: Shop, api: Api, kubeconfig: Path) -> None:
    """And a kubeconfig may be a path, its content, or that as base64."""
    setup = yaml.safe_load_all((shop.place.root / "build/1.0.0/targets/rights/setup/deployer.yaml").read_text())
    objects = {each["kind"]: each for each in setup}
    namespace = shop.namespace("rights")
    for kind in ("Namespace", "ServiceAccount", "RoleBinding"):
        put(api, objects[kind], namespace)
    token = with_token(kubeconfig, token_of(api, namespace, objects["ServiceAccount"]["metadata"]["name"]))
    said = shop.run("deploy", "rights", "--version", "1.0.0", expect=3, KUBECONFIG=token)
    assert "forbidden" in said.lower()
    assert "setup/deployer.yaml" in said
    put(api, objects["Role"], namespace)
    encoded = base64.b64encode(token.encode()).decode()
    assert "churn 1.0.0 is live" in shop.run("deploy", "rights", "--version", "1.0.0", KUBECONFIG=encoded)
    assert "was live already" in shop.run("deploy", "rights", "--version", "1.0.0", KUBECONFIG=token)
    place = shop.place.root.parent / "narrow.yaml"
    place.write_text(token)
    assert "runs as it was deployed" in shop.run("deployments", "check", "rights", KUBECONFIG=str(place))
    said = shop.run("deploy", "rights", "--version", "1.1.0", expect=2, KUBECONFIG="/nowhere/config.yaml")
    assert "/nowhere/config.yaml" in said
    assert "which is not there" in said


@pytest.mark.parametrize("lines", [[7], pytest.param(range(10), marks=pytest.mark.full)])
def test_killed_anywhere_the_same_command_finishes(shop: Shop, api: Api, lines: Sequence[int]) -> None:
    """After so many lines that it has said: the seventh is told when the Deployment has been changed."""
    target = "killed" if len(lines) == 1 else "ten"  # a namespace that is going takes nothing
    shop.run("deploy", target, "--version", "1.0.0")
    for turn, number in enumerate(lines):
        version = ("1.1.0", "1.0.0")[turn % 2]
        with begun(shop, target, version) as deployer:
            for _ in range(number):
                assert line_of(deployer)
            deployer.kill()
            deployer.wait()
        assert f"churn {version}" in shop.run("deploy", target, "--version", version)
        assert version_on(api, shop, target) == version
        assert "runs as it was deployed" in shop.run("deployments", "check", target)


@contextmanager
def begun(shop: Shop, target: str, version: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """A deployment that runs; what it says comes line by line."""
    process = subprocess.Popen(
        [sys.executable, "-m", "mlops_ci", "deploy", target, "--version", version],
        cwd=shop.place.root,
        env={**shop.place.env, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
        process.wait()
        if process.stderr:
            process.stderr.close()


def line_of(process: subprocess.Popen[str]) -> str:
    return process.stderr.readline() if process.stderr else ""


def follow(process: subprocess.Popen[str], text: str) -> None:
    """Read on until a line has *text* in it."""
    while text not in (line := line_of(process)):
        assert line, f"it never said {text!r}"


def put(api: Api, found: dict[str, Any], namespace: str) -> None:
    """Apply an object as an administrator."""
    kind = api.kind(found["apiVersion"], found["kind"])
    root = "/apis" if "/" in kind.api_version else "/api"
    where = f"/namespaces/{namespace}" if kind.namespaced else ""
    path = f"{root}/{kind.api_version}{where}/{kind.plural}/{found['metadata']['name']}"
    query = {"fieldManager": "administrator"}
    api.send("PATCH", path, json.dumps(found).encode(), query=query, content_type="application/apply-patch+yaml")


def token_of(api: Api, namespace: str, account: str) -> str:
    """The token that Kubernetes 1.20 makes for every service account."""
    path = f"/api/v1/namespaces/{namespace}"
    found: list[str] = []

    def named() -> bool:
        found[:] = [each["name"] for each in api.get(f"{path}/serviceaccounts/{account}").get("secrets", [])]
        return bool(found)

    eventually(named, every_s=0.3)
    return base64.b64decode(api.get(f"{path}/secrets/{found[0]}")["data"]["token"]).decode()
