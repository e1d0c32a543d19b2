"""Manifests into a real cluster and out of it: what was planned is done, once, and nothing of anybody else's."""

from __future__ import annotations

import base64
import copy
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.targets import Change
from mlops_ci.targets.kubernetes import Autoscale, KubernetesOptions, KubernetesTarget, applying
from mlops_ci.targets.kubernetes.api import Api, Denied, path_of
from mlops_ci.targets.kubernetes.credentials import connect
from mlops_ci.targets.kubernetes.objects import PLAN, Object, Scope, objects_in
from tests.integration.served_model import sample_release

PROJECT, TARGET = "cancer-detection", "staging"
EVERYTHING = ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"]
NAMED = [f"{kind} cancer" for kind in EVERYTHING]


class Place:
    """A namespace of the test's own, as the administrator sees it."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.api = connect("KUBECONFIG", "", env={"KUBECONFIG": str(kubeconfig)})
        self.namespace = namespace
        self.scope = Scope.of(PROJECT, TARGET, namespace)
        self.told: list[str] = []

    def objects(self, **options: Any) -> list[Object]:
        """What is rendered; without pods, which nobody asks here."""
        chosen = KubernetesOptions(kubernetes="1.20", namespace=self.namespace, **{"replicas": 1, **options})
        target = KubernetesTarget(TARGET, chosen, project=PROJECT, state=Path("unused"))
        objects = objects_in(target.render(sample_release(image="127.0.0.1:5000/none:1")))
        if "replicas" in of(objects, "Deployment")["spec"]:
            of(objects, "Deployment")["spec"]["replicas"] = 0
        return objects

    def plan(self, objects: list[Object]) -> list[Change]:
        return applying.plan(self.api, objects, self.scope)

    def apply(self, objects: list[Object], digest: str = "sha256:1") -> list[str]:
        """Apply, and return what was told."""
        told: list[str] = []
        applying.apply(self.api, objects, self.scope, plan_digest=digest, tell=told.append)
        return told

    def path(self, kind: str, name: str = "cancer", version: str = "") -> str:
        versions = {
            "Deployment": "apps/v1",
            "NetworkPolicy": "networking.k8s.io/v1",
            "PodDisruptionBudget": "policy/v1beta1",
        }
        return path_of(self.api.kind(version or versions.get(kind, "v1"), kind), self.namespace, name)

    def held(self, kind: str, name: str = "cancer") -> Object:
        return self.api.get(self.path(kind, name))

    def versions(self) -> dict[str, str]:
        return {kind: self.held(kind)["metadata"]["resourceVersion"] for kind in EVERYTHING}

    def make_namespace(self) -> None:
        self.post("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})

    def post(self, path: str, body: Object) -> None:
        self.api.send("POST", path, body)

    def apply_as(self, manager: str, fields: Object) -> None:
        """Somebody else's `kubectl apply --server-side --force-conflicts`."""
        path = self.path(fields["kind"])
        query = {"fieldManager": manager, "force": "true"}
        self.api.send("PATCH", path, fields, query=query, content_type="application/apply-patch+yaml")

    def as_account(self, rules: list[Object], cluster_rules: list[Object] | None = None) -> Api:
        """Connect as a service account with a role of *rules*."""
        names = {"metadata": {"name": "deployer", "namespace": self.namespace}}
        subject = {"kind": "ServiceAccount", "name": "deployer", "namespace": self.namespace}
        self.post(f"/api/v1/namespaces/{self.namespace}/serviceaccounts", {**names})
        for group, where, kind in [
            (rules, f"namespaces/{self.namespace}/", "Role"),
            (cluster_rules, "", "ClusterRole"),
        ]:
            if group is None:
                continue
            name = "deployer" if where else self.namespace
            root = f"/apis/rbac.authorization.k8s.io/v1/{where}{kind.lower()}"
            reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name}
            self.post(f"{root}s", {"metadata": {"name": name}, "rules": group})
            self.post(f"{root}bindings", {"metadata": {"name": name}, "roleRef": reference, "subjects": [subject]})
        config = yaml.safe_load(self.kubeconfig.read_text("utf-8"))
        config["users"] = [{"name": config["users"][0]["name"], "user": {"token": self._token()}}]
        return connect("KUBECONFIG", "", env={"KUBECONFIG": yaml.safe_dump(config)})

    def _token(self) -> str:
        """The token that the cluster makes a moment after the account."""
        path = f"/api/v1/namespaces/{self.namespace}/secrets"
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for each in self.api.get(path)["items"]:
                if each["metadata"]["name"].startswith("deployer-token") and "token" in each.get("data", {}):
                    return base64.b64decode(each["data"]["token"]).decode()
            time.sleep(0.05)
        raise AssertionError("no token")


def of(objects: list[Object], kind: str) -> Object:
    return next(each for each in objects if each["kind"] == kind)


@pytest.fixture
def place(kubeconfig: Path) -> Iterator[Place]:
    """A name that no namespace has yet; whatever the test made in it is deleted, and nobody waits for that."""
    place = Place(kubeconfig, f"applying-{secrets.token_hex(4)}")
    yield place
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    for path in [f"{rbac}/clusterrole", f"{rbac}/clusterrolebinding", "/api/v1/namespace"]:
        place.api.answer("DELETE", f"{path}s/{place.namespace}")


def test_what_is_planned_is_done_once(place: Place) -> None:
    """The namespace too; the second time nothing is written, whatever the server would make of it."""
    objects = place.objects()
    assert [(each.action, each.what) for each in place.plan(objects)] == [("create", name) for name in NAMED]
    assert place.apply(objects) == [
        f"Namespace {place.namespace}: created",
        *[f"{name}: created" for name in NAMED],
    ]
    labels = place.api.get(f"/api/v1/namespaces/{place.namespace}")["metadata"]["labels"]
    assert labels["app.kubernetes.io/managed-by"] == "mlops-ci"
    assert place.held("Deployment")["metadata"]["annotations"][PLAN] == "sha256:1"
    applying.demand_held(place.api, objects)
    assert [(each.action, each.diff) for each in place.plan(objects)] == [("same", "")] * len(NAMED)
    _settle(place)
    before = place.versions()
    assert place.apply(objects) == []
    assert place.versions() == before


def _settle(place: Place) -> None:
    """Until the controllers have said their part: whoever compares resource versions must wait for them."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        account, deployment = place.held("ServiceAccount"), place.held("Deployment")
        observed = deployment.get("status", {}).get("observedGeneration") == deployment["metadata"]["generation"]
        budget = place.held("PodDisruptionBudget").get("status", {}).get("observedGeneration")
        before = place.versions()
        if account.get("secrets") and observed and budget and before == place.versions():
            return
        time.sleep(0.05)
    raise AssertionError("the controllers have not settled")


def test_an_update_is_shown_then_done_and_what_is_not_ordered_any_more_goes(place: Place) -> None:
    """Not what others put there: no matter whether they have labels of their own or none."""
    objects = place.objects()
    place.apply(objects)
    others = {"app.kubernetes.io/managed-by": "mlops-ci", "app.kubernetes.io/part-of": "another"}
    for name, labels in [("theirs", {}), ("of-another-project", others)]:
        metadata = {"name": name, "labels": labels}
        place.post(f"/api/v1/namespaces/{place.namespace}/configmaps", {"metadata": metadata, "data": {"a": "b"}})
    changed = [each for each in place.objects(env={"LEVEL": "debug"}) if each["kind"] != "PodDisruptionBudget"]
    extra = copy.deepcopy(of(changed, "ConfigMap"))
    extra["metadata"]["name"] = "more"
    planned = place.plan([*changed, extra])
    assert [(each.action, each.what) for each in planned] == [
        ("same", "ServiceAccount cancer"),
        ("update", "ConfigMap cancer"),
        ("same", "NetworkPolicy cancer"),
        ("same", "Service cancer"),
        ("update", "Deployment cancer"),  # the digest of the settings is in its pods
        ("create", "ConfigMap more"),
        ("delete", "PodDisruptionBudget cancer"),
    ]
    assert "\n+  LEVEL: debug\n" in planned[1].diff
    assert place.apply([*changed, extra]) == [
        "ConfigMap cancer: configured",
        "Deployment cancer: configured",
        "ConfigMap more: created",
        "PodDisruptionBudget cancer: deleted",
    ]
    assert {each.action for each in place.plan([*changed, extra])} == {"same"}
    assert place.apply(changed) == ["ConfigMap more: deleted"]
    left = place.api.get(place.path("ConfigMap", ""))["items"]
    assert {"theirs", "of-another-project", "cancer"} <= {each["metadata"]["name"] for each in left}


def test_another_plan_alone_restarts_nothing(place: Place) -> None:
    objects = place.objects()
    place.apply(objects)
    before = place.held("Deployment")
    assert place.apply(objects, "sha256:2") == ["Deployment cancer: configured"]
    after = place.held("Deployment")
    assert after["metadata"]["annotations"][PLAN] == "sha256:2"
    assert after["spec"] == before["spec"]


def test_what_somebody_else_took_over_is_explained_and_nothing_is_changed(place: Place) -> None:
    """The plan shows what would be; applying says whose it is, before it touches anything."""
    objects = place.objects()
    place.apply(objects)
    names = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "cancer"}}
    containers = [{"name": "service", "image": "theirs:1"}]
    place.apply_as("kubectl", {**names, "spec": {"replicas": 3, "template": {"spec": {"containers": containers}}}})
    changed = place.objects(env={"LEVEL": "debug"})
    deployment = next(each for each in place.plan(changed) if each.what == "Deployment cancer")
    image = 'spec.template.spec.containers[name="service"].image'
    assert deployment.action == "update"
    assert deployment.diff.startswith(f"# kubectl owns spec.replicas, {image}: a conflict\n--- Deployment cancer")
    assert re.search(r"^- +image: theirs:1$", deployment.diff, re.MULTILINE)
    with pytest.raises(UsageError) as refused:
        place.apply(changed)
    assert str(refused.value) == (
        f"Deployment cancer: spec.replicas, {image} are owned by kubectl, which gave another value"
    )
    assert "replicas: {min: …, max: …}" in refused.value.hint
    assert "--force-conflicts --field-manager=mlops-ci" in refused.value.hint
    assert "LEVEL" not in place.held("ConfigMap")["data"]


def test_what_was_changed_by_hand_is_an_update(place: Place) -> None:
    objects = place.objects()
    place.apply(objects)
    held = place.held("ConfigMap")
    place.api.send("PUT", place.path("ConfigMap"), {**held, "data": {**held["data"], "MLOPS_MADE_UP": "1"}})
    scale = place.api.get(place.path("Deployment") + "/scale")
    place.api.send("PUT", place.path("Deployment") + "/scale", {**scale, "spec": {"replicas": 1}})
    planned = {each.what: each for each in place.plan(objects)}
    assert planned["Deployment cancer"].action == "update"
    # Somebody else's field beside ours is theirs to keep.
    assert planned["ConfigMap cancer"].action == "same"
    place.api.send("PUT", place.path("ConfigMap"), {**place.held("ConfigMap"), "data": {}})
    assert {each.what: each for each in place.plan(objects)}["ConfigMap cancer"].action == "update"


def test_somebody_elses_object_of_the_same_name_is_not_taken_over(place: Place) -> None:
    """And nothing else is begun."""
    place.make_namespace()
    place.post(f"/api/v1/namespaces/{place.namespace}/configmaps", {"metadata": {"name": "cancer"}, "data": {"a": "b"}})
    for attempt in (place.plan, place.apply):
        with pytest.raises(UsageError, match="ConfigMap cancer is there already and not ours"):
            attempt(place.objects())
    assert place.held("ConfigMap")["data"] == {"a": "b"}
    with pytest.raises(Denied, match="not found"):
        place.held("ServiceAccount")


def test_a_field_that_cannot_be_changed_is_named(place: Place) -> None:
    objects = place.objects()
    place.apply(objects)
    spec = of(objects, "Deployment")["spec"]
    for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
        labels["tier"] = "gold"
    with pytest.raises(UsageError, match=r"^Deployment cancer: spec\.selector cannot be changed any more$") as refused:
        place.apply(objects)
    assert f"`kubectl delete deployment cancer -n {place.namespace}`" in refused.value.hint


def test_what_the_server_dropped_silently_is_found(place: Place) -> None:
    """As Kubernetes 1.20 does with a probe by gRPC when it is not asked by server-side apply."""
    objects = place.objects()
    place.apply(objects)
    container = of(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]
    container["livenessProbe"] = {"grpc": {"port": 3000}, "periodSeconds": 10}
    held = place.held("Deployment")
    del held["metadata"]["resourceVersion"]  # its controller writes, too
    held["spec"]["template"]["spec"]["containers"][0]["livenessProbe"] = {
        "tcpSocket": {"port": 3000},
        "grpc": {"port": 3000},
    }
    place.api.send("PUT", place.path("Deployment"), held)
    with pytest.raises(ServiceError) as refused:
        applying.demand_held(place.api, objects)
    assert str(refused.value) == (
        "Deployment cancer: the cluster does not hold "
        'spec.template.spec.containers[name="service"].livenessProbe.grpc, '
        "which was ordered (Kubernetes 1.20 may not know it)"
    )


@pytest.mark.full  # the answer is a 500, which is asked for again for a while
def test_a_field_that_the_cluster_does_not_know_is_named(place: Place) -> None:
    objects = place.objects()
    of(objects, "Deployment")["spec"]["template"]["spec"]["hostUsers"] = False
    with pytest.raises(
        UsageError, match=r"Deployment cancer: the cluster does not know spec\.template\.spec\.hostUsers"
    ):
        place.apply(objects)


def test_with_too_few_rights_it_says_who_may_give_them(place: Place) -> None:
    place.make_namespace()
    api = place.as_account([{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]}])
    for attempt in (applying.plan, lambda *given: applying.apply(*given, plan_digest="", tell=print)):
        with pytest.raises(ServiceError, match=f"{place.namespace}:deployer.* cannot get ") as refused:
            attempt(api, place.objects(), place.scope)
        assert "setup/deployer.yaml" in refused.value.hint
    with pytest.raises(ServiceError, match="nothing can be looked for"):
        applying.remove(api, place.scope)


def test_what_may_not_be_listed_is_passed_over(place: Place) -> None:
    """Everything else is applied, and pruned."""
    place.make_namespace()
    groups = {"": ["serviceaccounts", "configmaps", "services"], "apps": ["deployments"]}
    verbs = ["get", "list", "create", "patch", "delete"]
    rules = [{"apiGroups": [group], "resources": each, "verbs": verbs} for group, each in groups.items()]
    few = [
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["get", "create", "patch"]},
        {"apiGroups": ["networking.k8s.io"], "resources": ["networkpolicies"], "verbs": verbs},
    ]
    api = place.as_account([*rules, *few])
    objects = place.objects()
    told: list[str] = []
    applying.apply(api, objects, place.scope, plan_digest="", tell=told.append)
    assert told == [
        *[f"{name}: created" for name in NAMED],
        *[
            f"the credentials may not list {plural}: what is left of them stays"
            for plural in ("poddisruptionbudgets", "horizontalpodautoscalers", "ingresses")
        ],
    ]


def test_a_namespace_that_is_missing_and_may_not_be_made(place: Place) -> None:
    place.make_namespace()
    look = [{"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]}]
    api = place.as_account([], look)
    missing = Scope.of(PROJECT, TARGET, f"{place.namespace}-not")
    objects = place.objects()
    assert {each.action for each in applying.plan(api, objects, missing)} == {"create"}
    with pytest.raises(ServiceError, match=f"{missing.namespace} is missing, .* an administrator has to") as refused:
        applying.apply(api, objects, missing, plan_digest="", tell=print)
    assert "setup/deployer.yaml" in refused.value.hint


def test_an_autoscaler_is_applied_once_and_holds(place: Place) -> None:
    """Kubernetes 1.20 keeps it as an older version of itself."""
    objects = place.objects(replicas=Autoscale(min=1, max=3))
    metrics = of(objects, "HorizontalPodAutoscaler")["spec"]["metrics"]
    memory = {"name": "memory", "target": {"type": "AverageValue", "averageValue": "1024Mi"}}
    metrics.append({"type": "Resource", "resource": memory})
    of(objects, "Deployment")["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "0.5"
    place.apply(objects)
    applying.demand_held(place.api, objects)
    assert {each.action for each in place.plan(objects)} == {"same"}
    assert place.apply(objects) == []


def test_the_number_of_pods_stays_when_an_autoscaler_gets_it(place: Place) -> None:
    """Left out, it would fall to one; and what is scaled afterwards, as 1.20 does, stays too."""
    objects = place.objects()
    of(objects, "Deployment")["spec"]["replicas"] = 2
    place.apply(objects)
    scaled = place.objects(replicas=Autoscale(min=2, max=3))
    place.apply(scaled)
    assert place.held("Deployment")["spec"]["replicas"] == 2
    scale = place.api.get(place.path("Deployment") + "/scale")
    place.api.send("PUT", place.path("Deployment") + "/scale", {**scale, "spec": {"replicas": 3}})
    assert {each.action for each in place.plan(scaled)} == {"same"}
    place.apply(scaled, "sha256:2")
    assert place.held("Deployment")["spec"]["replicas"] == 3


def test_removing_leaves_the_namespace_and_what_is_not_ours(place: Place) -> None:
    assert not applying.remove(place.api, place.scope)
    place.apply(place.objects())
    place.post(f"/api/v1/namespaces/{place.namespace}/configmaps", {"metadata": {"name": "theirs"}, "data": {"a": "b"}})
    assert applying.remove(place.api, place.scope)
    assert place.held("ConfigMap", "theirs")["data"] == {"a": "b"}
    assert "deletionTimestamp" not in place.api.get(f"/api/v1/namespaces/{place.namespace}")["metadata"]
    for kind in EVERYTHING:
        with pytest.raises(Denied, match="not found"):
            place.held(kind)
    assert not applying.remove(place.api, place.scope)
