"""What applying asks of a cluster, in which order, and what it says when it is refused; the cluster is a fake."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.targets import Change
from mlops_ci.targets.kubernetes import Autoscale, KubernetesOptions, KubernetesTarget, applying
from mlops_ci.targets.kubernetes.api import Denied
from mlops_ci.targets.kubernetes.objects import PLAN, Object, Scope, objects_in
from tests.integration.served_model import sample_release
from tests.unit.targets.fake_cluster import SERVED, FakeCluster

SCOPE = Scope.of("cancer-detection", "staging", "shop")
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/cancer"
CONFIG = "/api/v1/namespaces/shop/configmaps/cancer"
KINDS = ["ServiceAccount", "ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"]
NAMED = [f"{kind} cancer" for kind in KINDS]


def rendered(**options: Any) -> list[Object]:
    chosen = KubernetesOptions(kubernetes="1.20", namespace="shop", **{"replicas": 2, **options})
    target = KubernetesTarget("staging", chosen, project="cancer-detection", state=Path("unused"))
    return objects_in(target.render(sample_release(image="ghcr.io/acme/cancer:1")))


def of(objects: list[Object], kind: str) -> Object:
    return next(each for each in objects if each["kind"] == kind)


def apply(cluster: FakeCluster, objects: list[Object], digest: str = "sha256:plan-1") -> list[str]:
    told: list[str] = []
    applying.apply(cluster, objects, SCOPE, plan_digest=digest, tell=told.append)
    return told


def planned(cluster: FakeCluster, objects: list[Object]) -> list[tuple[str, str]]:
    return [(each.action, each.what) for each in applying.plan(cluster, objects, SCOPE)]


def custom(kind: str, name: str = "extra", version: str = "v1", **content: Any) -> Object:
    metadata = {"name": name, "namespace": "shop", "labels": dict(SCOPE.labels)}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **content}


@pytest.fixture
def cluster() -> FakeCluster:
    """It has the namespace `shop`, and what is rendered in it."""
    cluster = FakeCluster("shop")
    apply(cluster, rendered())
    cluster.writes.clear()
    return cluster


def test_a_first_deployment_makes_everything_and_a_second_nothing() -> None:
    cluster = FakeCluster()
    assert planned(cluster, rendered()) == [("create", name) for name in NAMED]
    assert not cluster.writes
    assert apply(cluster, rendered()) == ["Namespace shop: created", *[f"{name}: created" for name in NAMED]]
    assert applying.plan(cluster, rendered(), SCOPE) == [Change(action="same", what=name) for name in NAMED]
    cluster.writes.clear()
    assert apply(cluster, rendered()) == []
    assert not cluster.writes


def test_the_digest_of_the_plan_is_on_the_deployment_alone(cluster: FakeCluster) -> None:
    assert cluster.objects[DEPLOYMENT]["metadata"]["annotations"][PLAN] == "sha256:plan-1"
    assert "sha256:plan-1" not in str(cluster.objects[DEPLOYMENT]["spec"])
    assert apply(cluster, rendered(), "sha256:plan-2") == ["Deployment cancer: configured"]
    assert cluster.writes == [f"PATCH {DEPLOYMENT}"]
    assert cluster.objects[DEPLOYMENT]["metadata"]["annotations"][PLAN] == "sha256:plan-2"


def test_what_changed_is_shown_as_a_diff(cluster: FakeCluster) -> None:
    changes = {each.what: each for each in applying.plan(cluster, rendered(replicas=3), SCOPE)}
    assert {what for what, each in changes.items() if each.action != "same"} == {"Deployment cancer"}
    diff = changes["Deployment cancer"].diff
    assert diff.startswith("--- Deployment cancer (there)\n+++ Deployment cancer (ordered)\n")
    assert "\n-  replicas: 2\n+  replicas: 3\n" in diff
    assert PLAN not in diff
    assert not cluster.writes


def test_a_diff_of_a_secret_shows_no_value(cluster: FakeCluster) -> None:
    secret = custom("Secret", data={"old": "aHVudGVy", "same": "c2FtZQ=="})
    apply(cluster, [*rendered(), secret])
    changed = {**secret, "data": {"old": "c3dvcmRmaXNo", "same": "c2FtZQ=="}}
    diff = next(
        each.diff for each in applying.plan(cluster, [*rendered(), changed], SCOPE) if each.what == "Secret extra"
    )
    assert "-  old: '*** (before)'\n+  old: '*** (after)'\n" in diff
    assert "same: '***'" in diff
    assert "aHVudGVy" not in diff
    assert "c3dvcmRmaXNo" not in diff


def test_fields_that_became_ours_are_written_though_their_values_are_the_same(cluster: FakeCluster) -> None:
    """Or somebody else could drop them later."""
    more = rendered()
    of(more, "ConfigMap")["data"]["THEIRS"] = "1"
    cluster.put(CONFIG, of(more, "ConfigMap"), "kubectl")
    assert planned(cluster, more) == [("same", name) for name in NAMED]
    apply(cluster, more)
    assert cluster.writes == [f"PATCH {CONFIG}"]
    assert apply(cluster, rendered()) == ["ConfigMap cancer: configured"]  # that it is ours, too, was taken back
    assert cluster.objects[CONFIG]["data"]["THEIRS"] == "1"


def test_what_is_ours_and_not_ordered_any_more_goes_and_nothing_else(cluster: FakeCluster) -> None:
    """Not what lacks our labels, is another target's, is owned by something else, or is going already."""
    root = "/api/v1/namespaces/shop/configmaps"
    kept: dict[str, Object] = {name: custom("ConfigMap", name) for name in ("plain", "other-target", "owned", "going")}
    kept["plain"]["metadata"]["labels"] = {}
    kept["other-target"]["metadata"]["labels"]["app.kubernetes.io/instance"] = "production"
    kept["owned"]["metadata"]["ownerReferences"] = [{"uid": "1"}]
    kept["going"]["metadata"]["deletionTimestamp"] = "2024-05-01T00:00:00Z"
    for name, each in [*kept.items(), ("stale", custom("ConfigMap", "stale"))]:
        cluster.put(f"{root}/{name}", each)
    objects = [each for each in rendered() if each["kind"] != "PodDisruptionBudget"]
    gone = ["ConfigMap stale", "PodDisruptionBudget cancer"]
    assert planned(cluster, objects)[-2:] == [("delete", name) for name in gone]
    assert apply(cluster, objects) == [f"{name}: deleted" for name in gone]
    assert all(f"{root}/{name}" in cluster.objects for name in kept)


def test_a_server_that_lists_more_than_was_asked_for_loses_nothing_of_anybody_elses() -> None:
    """A gateway in between that drops the selector, say."""

    class Generous(FakeCluster):
        def answer(self, method: str, path: str, *rest: Any, query: Any = None, **more: Any) -> tuple[int, bytes]:
            return super().answer(method, path, *rest, query=None if method == "GET" else query, **more)

    cluster = Generous("shop")
    cluster.put("/api/v1/namespaces/shop/configmaps/theirs", {"kind": "ConfigMap", "metadata": {"name": "theirs"}})
    apply(cluster, rendered())
    assert applying.remove(cluster, SCOPE)
    assert list(cluster.objects) == ["/api/v1/namespaces/shop", "/api/v1/namespaces/shop/configmaps/theirs"]


def test_kinds_of_the_repositorys_own_templates_are_pruned_too(cluster: FakeCluster) -> None:
    """As long as one of them is rendered; and never what is in no namespace, which may be one."""
    first, second = custom("Secret", "first"), custom("Secret", "second")
    role = custom("ClusterRole", "reader", "rbac.authorization.k8s.io/v1")
    apply(cluster, [*rendered(), first, second, role])
    other = copy.deepcopy(role)
    other["metadata"]["name"] = "writer"
    assert apply(cluster, [*rendered(), first, other]) == ["ClusterRole writer: created", "Secret second: deleted"]


def test_what_may_not_be_listed_is_told_and_passed_over(cluster: FakeCluster) -> None:
    cluster.deny("GET", "/services$")
    objects = [each for each in rendered() if each["kind"] not in {"Service", "PodDisruptionBudget"}]
    assert apply(cluster, objects) == [
        "the credentials may not list services: what is left of them stays",
        "PodDisruptionBudget cancer: deleted",
    ]
    assert applying.remove(cluster, SCOPE)
    assert [each["kind"] for each in cluster.objects.values()] == ["Namespace", "Service"]


def test_what_vanished_before_it_was_deleted_is_deleted(cluster: FakeCluster) -> None:
    cluster.deny("DELETE", "configmaps", 404)
    assert applying.remove(cluster, SCOPE)


def test_removing_takes_everything_of_ours_and_says_whether_there_was_any(cluster: FakeCluster) -> None:
    cluster.put("/api/v1/namespaces/shop/configmaps/theirs", {"kind": "ConfigMap", "metadata": {"name": "theirs"}})
    assert applying.remove(cluster, SCOPE)
    assert list(cluster.objects) == ["/api/v1/namespaces/shop", "/api/v1/namespaces/shop/configmaps/theirs"]
    assert cluster.writes[0] == f"DELETE {DEPLOYMENT}"
    assert not applying.remove(cluster, SCOPE)


def test_that_nothing_is_there_is_not_said_by_whom_may_look_at_nothing(cluster: FakeCluster) -> None:
    cluster.deny("GET", "/namespaces/shop/")
    with pytest.raises(ServiceError, match="nothing can be looked for in the namespace shop") as refused:
        applying.remove(cluster, SCOPE)
    assert "setup/deployer.yaml" in refused.value.hint


def test_a_conflict_names_object_fields_and_owner_and_changes_nothing(cluster: FakeCluster) -> None:
    theirs = copy.deepcopy(cluster.objects[DEPLOYMENT])
    theirs["spec"]["progressDeadlineSeconds"] = 5
    theirs["spec"]["template"]["spec"]["containers"][0]["image"] = "theirs:1"
    cluster.put(DEPLOYMENT, theirs, "helm")
    theirs["metadata"]["labels"]["app.kubernetes.io/version"] = "7"
    cluster.put(DEPLOYMENT, theirs, "kubectl-edit")
    with pytest.raises(UsageError) as refused:
        apply(cluster, rendered(env={"LEVEL": "debug"}))
    assert str(refused.value) == (
        'Deployment cancer: spec.progressDeadlineSeconds, spec.template.spec.containers[name="service"].image are '
        "owned by helm, which gave another value; metadata.labels.app.kubernetes.io/version is owned by kubectl-edit, "
        "which gave another value"
    )
    assert refused.value.hint == (
        "change it back, take the field out of the template, or take it over: `kubectl apply --server-side "
        "--force-conflicts --field-manager=mlops-ci -n shop -f FILE`"
    )
    assert not cluster.writes


def test_a_conflict_does_not_fail_the_plan(cluster: FakeCluster) -> None:
    theirs = copy.deepcopy(cluster.objects[DEPLOYMENT])
    theirs["spec"]["replicas"] = 9
    cluster.put(DEPLOYMENT, theirs, "kube-controller-manager")
    change = applying.plan(cluster, rendered(), SCOPE)[-1]
    assert (change.action, change.what) == ("update", "Deployment cancer")
    assert change.diff.startswith("# kube-controller-manager owns spec.replicas: a conflict\n--- ")
    assert "\n-  replicas: 9\n+  replicas: 2\n" in change.diff
    with pytest.raises(UsageError, match=r"spec\.replicas is owned by kube-controller-manager") as refused:
        apply(cluster, rendered())
    assert refused.value.hint.startswith("if the number of pods is an autoscaler's, say `replicas: {min: …, max: …}`")


def test_the_number_of_pods_stays_when_an_autoscaler_gets_it(cluster: FakeCluster) -> None:
    """It would fall to one, until the autoscaler has counted."""
    objects = rendered(replicas=Autoscale(min=2, max=6))
    assert "replicas" not in of(objects, "Deployment")["spec"]
    planned_first = planned(cluster, objects)
    assert planned_first[-2:] == [("same", "Deployment cancer"), ("create", "HorizontalPodAutoscaler cancer")]
    apply(cluster, objects)
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 2
    scaled = copy.deepcopy(cluster.objects[DEPLOYMENT])
    scaled["spec"]["replicas"] = 5
    cluster.put(DEPLOYMENT, scaled, "kube-controller-manager")
    assert set(planned(cluster, objects)) == {("same", name) for name in [*NAMED, "HorizontalPodAutoscaler cancer"]}
    apply(cluster, objects)
    assert cluster.objects[DEPLOYMENT]["spec"]["replicas"] == 5


def test_two_writers_at_the_same_moment_are_no_conflict_of_fields(cluster: FakeCluster) -> None:
    cluster.deny("PATCH", "deployments", 409, "the object has been modified")
    with pytest.raises(Denied, match="has been modified"):
        applying.plan(cluster, rendered(), SCOPE)


@pytest.mark.parametrize(
    ("status", "message", "cause", "said", "hint"),
    [
        (
            422,
            "is invalid",
            {"field": "spec.selector", "message": "Invalid value: v1.LabelSelector{…}: field is immutable"},
            "spec.selector cannot be changed any more",
            "delete it by hand (`kubectl delete deployment cancer -n shop`), or give it another name",
        ),
        (
            422,
            "is invalid",
            {"field": "spec.replicas", "message": "Invalid value: -1: must be greater than or equal to 0"},
            "the cluster finds it invalid: spec.replicas: Invalid value: -1: must be greater than or equal to 0",
            "mend the template that it is rendered from",
        ),
        (
            500,
            "failed to create typed patch object: .spec.nonsense: field not declared in schema",
            {},
            "the cluster does not know spec.nonsense",
            "take it out of the template, or say the cluster's version under `kubernetes:`",
        ),
        (
            500,
            "failed to create typed patch object: .b: field not declared in schema\n.a: field not declared in schema",
            {},
            "the cluster does not know a, b",
            "take it out of the template, or say the cluster's version under `kubernetes:`",
        ),
        (
            500,
            "failed to create typed patch object: .spec.replicas: expected numeric (int or float), got string",
            {},
            "the cluster finds it invalid: .spec.replicas: expected numeric (int or float), got string",
            "mend the template that it is rendered from",
        ),
    ],
)
def test_what_the_cluster_does_not_take_is_said_before_anything_is_changed(
    status: int, message: str, cause: dict[str, str], said: str, hint: str
) -> None:
    cluster = FakeCluster("shop")
    cluster.deny("PATCH", "deployments", status, message, cause)
    for attempt in (lambda: applying.plan(cluster, rendered(), SCOPE), lambda: apply(cluster, rendered())):
        with pytest.raises(UsageError) as refused:
            attempt()
        assert (str(refused.value), refused.value.hint) == (f"Deployment cancer: {said}", hint)
    assert not cluster.writes


def test_an_object_that_is_not_ours_is_not_taken_over() -> None:
    cluster = FakeCluster("shop")
    theirs = copy.deepcopy(of(rendered(), "Deployment"))
    theirs["metadata"]["labels"]["app.kubernetes.io/part-of"] = "another-project"
    cluster.put(DEPLOYMENT, theirs)
    for attempt in (lambda: applying.plan(cluster, rendered(), SCOPE), lambda: apply(cluster, rendered())):
        with pytest.raises(UsageError, match="in the namespace shop, Deployment cancer is there already and not ours"):
            attempt()
    assert not cluster.writes


def test_a_manifest_without_our_labels_is_refused() -> None:
    """Nobody could tell later that it is ours."""
    cluster = FakeCluster("shop")
    plain = custom("Secret")
    del plain["metadata"]["labels"]["app.kubernetes.io/managed-by"]
    for attempt in (applying.plan, lambda *given: applying.apply(*given, plan_digest="", tell=print)):
        with pytest.raises(UsageError, match="Secret extra could never be told from what is not ours") as refused:
            attempt(cluster, [*rendered(), plain], SCOPE)
        assert "_metadata.yaml.j2" in refused.value.hint
    assert not cluster.writes


def test_a_kind_that_the_cluster_does_not_have_is_named() -> None:
    cluster = FakeCluster("shop", served={each: kinds for each, kinds in SERVED.items() if "policy" not in each})
    with pytest.raises(
        UsageError, match="PodDisruptionBudget cancer: the cluster has no PodDisruptionBudget in policy"
    ):
        apply(cluster, rendered())
    assert not cluster.writes


def test_a_missing_namespace_that_may_not_be_made_is_said() -> None:
    cluster = FakeCluster()
    cluster.deny("PATCH", "/api/v1/namespaces/shop$")
    with pytest.raises(ServiceError) as refused:
        apply(cluster, rendered())
    assert str(refused.value) == (
        "the namespace shop is missing, and the credentials may not make it: an administrator has to"
    )
    assert "setup/deployer.yaml" in refused.value.hint


def test_a_namespace_that_may_not_be_looked_at_is_there() -> None:
    """Whoever has rights in one namespace alone."""
    cluster = FakeCluster("shop")
    cluster.deny("GET", "/api/v1/namespaces/shop$")
    assert apply(cluster, rendered()) == [f"{name}: created" for name in NAMED]


def test_a_namespace_that_is_going_is_waited_for_by_the_user() -> None:
    cluster = FakeCluster()
    going = {"kind": "Namespace", "metadata": {"name": "shop", "deletionTimestamp": "2024-05-01T00:00:00Z"}}
    cluster.put("/api/v1/namespaces/shop", going)
    with pytest.raises(ServiceError, match="the namespace shop is being deleted"):
        apply(cluster, rendered())


def test_what_was_begun_and_refused_on_the_way_is_no_wrong_use() -> None:
    """Rights that were taken away in between, say: the same command finishes it later."""

    class Fickle(FakeCluster):
        def answer(self, method: str, path: str, *rest: Any, query: Any = None, **more: Any) -> tuple[int, bytes]:
            if method == "PATCH" and "deployments" in path and "dryRun" not in query:
                self.deny("PATCH", "deployments", 422, "is invalid", {"field": "spec.x", "message": "no"})
            return super().answer(method, path, *rest, query=query, **more)

    cluster = Fickle("shop")
    with pytest.raises(ServiceError, match=r"Deployment cancer: the cluster finds it invalid: spec\.x: no$"):
        apply(cluster, rendered())
    assert cluster.writes
    assert apply(FakeCluster("shop"), rendered())[-1] == "Deployment cancer: created"


def test_fields_that_were_dropped_silently_are_found() -> None:
    cluster = FakeCluster("shop")
    cluster.drops = {f"spec.{each}" for each in "abcdefg"}
    objects = rendered()
    of(objects, "Deployment")["spec"].update(dict.fromkeys("abcdefg", 1))
    apply(cluster, objects)
    with pytest.raises(ServiceError) as refused:
        applying.demand_held(cluster, objects)
    assert str(refused.value) == (
        "Deployment cancer: the cluster does not hold spec.a, spec.b, spec.c, spec.d, spec.e and 2 more, "
        "which was ordered (Kubernetes 1.20 may not know it)"
    )
    assert refused.value.hint == "take it out of the template, or say the cluster's version under `kubernetes:`"


def test_what_is_held_is_held_and_what_is_gone_is_not(cluster: FakeCluster) -> None:
    applying.demand_held(cluster, rendered())
    applying.demand_held(cluster, [yaml.safe_load(yaml.safe_dump(each)) for each in rendered()])
    del cluster.objects[CONFIG]
    with pytest.raises(ServiceError, match="ConfigMap cancer was applied, and is not there"):
        applying.demand_held(cluster, rendered())


def test_no_manifests_are_no_reason_to_delete_everything(cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match="all that runs there would be deleted"):
        apply(cluster, [])
    assert not cluster.writes


def test_who_has_lost_the_lock_changes_nothing_more(cluster: FakeCluster) -> None:
    """A machine that stood still goes on where it was, while somebody else has deployed."""
    calls: list[int] = []

    def demand() -> None:
        calls.append(len(cluster.writes))
        if len(calls) > 1:
            raise ServiceError("the lock was lost")

    with pytest.raises(ServiceError, match="was lost"):
        applying.apply(
            cluster, rendered(replicas=3, port=81)[:-2], SCOPE, plan_digest="sha256:p", tell=print, demand=demand
        )
    changes = [line for line in cluster.writes if "dryRun" not in line]
    assert len(calls) == 2
    assert len(changes) == 1
