"""Manifests: for each version of Kubernetes, and against what must not pass."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st
from kubernetes_validate import utils

from mlops_ci.config import parse
from mlops_ci.errors import ConfigError
from mlops_ci.targets import Check
from mlops_ci.targets.kubernetes import KubernetesOptions, KubernetesTarget
from mlops_ci.targets.kubernetes.names import dns_name, label_value
from mlops_ci.targets.kubernetes.objects import SETUP, Scope, objects_in
from tests.integration.served_model import sample_release

IMAGE = "ghcr.io/acme/cancer@sha256:" + "a" * 64
VERSIONS = list(dict.fromkeys(utils.major_minor(version) for version in utils.all_versions()))
MAIN = {VERSIONS[0], VERSIONS[len(VERSIONS) // 2], VERSIONS[-1]}
FULL = pytest.mark.full
INGRESS = {
    "host": "cancer.example.org",
    "class": "nginx",
    "path": "/cancer",
    "tls_secret": "cancer-tls",
    "annotations": {"cert-manager.io/issuer": "letsencrypt", "mlops-ci/version": "forged"},
}
GATEWAY = {"name": "public", "namespace": "gateways", "host": "cancer.example.org", "path": "/cancer"}

TOKEN = {"name": "t", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}}


def target(name: str = "staging", **options: Any) -> KubernetesTarget:
    chosen = msgspec.convert(options, KubernetesOptions)
    return KubernetesTarget(name, chosen, project="cancer-detection", state=Path("unused"))


def rendered(name: str = "staging", *, of: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    """The manifests, read back, by path."""
    files = target(name, **options).render(sample_release(**{"image": IMAGE, **(of or {})}))
    return {path: yaml.safe_load(text) for path, text in files.items() if not path.startswith(SETUP)}


def check_with(version: str = "1.31", **changes: dict[str, Any]) -> Check:
    """Check our manifests, some of them replaced."""
    files = {**rendered(kubernetes=version), **changes}
    return target(kubernetes=version).check({path: yaml.safe_dump(document) for path, document in files.items()})


@pytest.mark.parametrize("version", [pytest.param(each, marks=() if each in MAIN else FULL) for each in VERSIONS])
def test_every_known_version_takes_the_manifests(version: str) -> None:
    """With and without what is asked for, by the version's own strict schemas."""
    for options in ({"replicas": 3}, {"ingress": INGRESS, "image_pull_secret": "registry"}):
        one = target(kubernetes=version, **options)
        assert one.check(one.render(sample_release(image=IMAGE))) == Check()


@pytest.mark.parametrize(
    ("version", "autoscaling", "policy"),
    [
        ("1.20", "autoscaling/v2beta2", "policy/v1beta1"),
        ("1.21", "autoscaling/v2beta2", "policy/v1"),
        ("1.22", "autoscaling/v2beta2", "policy/v1"),
        ("1.23", "autoscaling/v2", "policy/v1"),
        ("1.37", "autoscaling/v2", "policy/v1"),
    ],
)
def test_the_version_chooses_the_api(version: str, autoscaling: str, policy: str) -> None:
    files = rendered(kubernetes=version)
    assert files["horizontalpodautoscaler.yaml"]["apiVersion"] == autoscaling
    assert files["poddisruptionbudget.yaml"]["apiVersion"] == policy


@pytest.mark.parametrize("version", ["1.20", "1.999"])
def test_a_version_that_nobody_knows_is_not_called_valid(version: str) -> None:
    one = target(kubernetes=version)
    checked = one.check(one.render(sample_release(image=IMAGE)))
    assert checked.problems == []
    has = f"the installed kubernetes-validate knows {VERSIONS[0]} to {VERSIONS[-1]}"
    assert checked.unchecked == [f"no manifest was compared with the API of Kubernetes {version}: {has}"]
    assert not checked.valid


def test_without_the_extra_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """And does not call the files valid."""
    monkeypatch.setitem(sys.modules, "kubernetes_validate", None)
    one = target()
    checked = one.check(one.render(sample_release(image=IMAGE)))
    assert not checked.valid
    assert "pip install 'mlops-ci[kubernetes]'" in checked.unchecked[0]


@pytest.mark.parametrize("options", [{}, {"ingress": INGRESS}, {"gateway": GATEWAY}, {"replicas": 2}])
def test_the_oldest_version_gets_a_sound_structure(options: dict[str, Any]) -> None:
    """No schema of it is known here, and nothing in it is younger than it."""
    one = target(kubernetes="1.20", **options)
    files = one.render(sample_release(image=IMAGE))
    assert one.check(files).problems == []
    together = "".join(files.values())
    for younger in ("unhealthyPodEvictionPolicy", "matchLabelKeys", "autoscaling/v2\n", "policy/v1\n"):
        assert younger not in together


@pytest.mark.parametrize("image", ["ghcr.io/acme/cancer", "ghcr.io/acme/cancer:1.0.0"])
def test_an_image_without_a_digest_is_told(image: str) -> None:
    one = target()
    checked = one.check(one.render(sample_release(image=image)))
    assert checked.problems == []
    assert checked.unchecked == [
        f"deployment.yaml: the image {image} has no digest, so it can become another one",
    ]


def test_an_image_that_is_not_built_is_told() -> None:
    """The placeholder can be pulled from nowhere, and the files are not valid with it."""
    one = target()
    checked = one.check(one.render(sample_release()))
    assert checked.problems == []
    assert checked.unchecked == ["deployment.yaml: there is no image yet: build one, and name it in serving.image"]


def test_an_api_that_the_version_dropped_is_a_problem() -> None:
    old = rendered()["poddisruptionbudget.yaml"] | {"apiVersion": "policy/v1beta1"}
    problems = check_with(**{"poddisruptionbudget.yaml": old}).problems
    assert problems == [
        "poddisruptionbudget.yaml: Kubernetes 1.31 has no PodDisruptionBudget (policy/v1beta1)",
    ]


def test_a_field_that_the_api_does_not_have_is_a_problem() -> None:
    wrong = rendered()["service.yaml"]
    wrong["spec"]["prots"] = []
    (problem,) = check_with(**{"service.yaml": wrong}).problems
    assert problem.startswith("service.yaml: spec: ")
    assert "prots" in problem


def test_a_resource_of_somebody_elses_is_not_called_valid(tmp_path: Path) -> None:
    """A repository may add one; kustomization.yaml lists it, and nobody can check it."""
    place = tmp_path / "targets/kubernetes/route.yaml.j2"
    place.parent.mkdir(parents=True)
    place.write_text("apiVersion: traefik.io/v1alpha1\nkind: IngressRoute\nmetadata: {name: {{ name | yaml }}}\n")
    one = target()
    files = one.render(sample_release(image=IMAGE), tmp_path)
    checked = one.check(files)
    assert "route.yaml" in yaml.safe_load(files["kustomization.yaml"])["resources"]
    assert checked.problems == []
    assert len(checked.unchecked) == 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda pod, _: pod.update(hostNetwork=True), "hostNetwork is set"),
        (lambda pod, _: pod["volumes"].append({"name": "x", "hostPath": {"path": "/"}}), "the volume x is a hostPath"),
        (lambda pod, _: pod.pop("automountServiceAccountToken"), "automountServiceAccountToken is not false"),
        (lambda pod, _: pod["securityContext"].pop("runAsNonRoot"), "runAsNonRoot is not true"),
        (lambda pod, _: pod["securityContext"].pop("seccompProfile"), "no seccompProfile"),
        (lambda pod, _: pod["securityContext"].update(sysctls=[{"name": "kernel.x", "value": "1"}]), "sysctl kernel.x"),
        (lambda _, box: box["securityContext"].update(runAsUser=0), "runAsUser is 0"),
        (lambda _, box: box["securityContext"].update(privileged=True), "is privileged"),
        (lambda _, box: box["securityContext"].pop("allowPrivilegeEscalation"), "may gain privileges"),
        (lambda _, box: box["securityContext"].pop("capabilities"), "does not drop ALL"),
        (lambda _, box: box["securityContext"]["capabilities"].update(add=["SYS_ADMIN"]), "adds the capability"),
        (lambda _, box: box["securityContext"].update(procMount="Unmasked"), "procMount Unmasked"),
        (lambda _, box: box["securityContext"].pop("readOnlyRootFilesystem"), "may write to its image"),
        (lambda _, box: box["ports"][0].update(hostPort=80), "takes a port of its host"),
        (lambda _, box: box["resources"]["limits"].pop("memory"), "no limit of memory"),
        (lambda pod, _: pod.update(initContainers=[{"name": "init", "image": "x"}]), "the container init may gain"),
        (lambda pod, _: pod["volumes"].append(TOKEN), "the volume t has a token"),
        (lambda pod, _: pod["securityContext"].update(seLinuxOptions={"type": "spc_t"}), "the pod has SELinux options"),
        (lambda _, box: box["securityContext"].update(seLinuxOptions={"user": "u"}), "service has SELinux options"),
        (lambda _, box: box["securityContext"].update(appArmorProfile={"type": "Unconfined"}), "profile Unconfined"),
        (lambda pod, _: pod["securityContext"].update(windowsOptions={"hostProcess": True}), "process of its host"),
        (lambda _, box: box["readinessProbe"]["httpGet"].update(host="10.0.0.1"), "asks another host"),
        (lambda _, box: box.update(lifecycle={"preStop": {"tcpSocket": {"host": "x"}}}), "asks another host"),
    ],
)  # fmt: skip
def test_a_pod_that_may_do_more_than_it_needs_is_a_problem(change: Any, problem: str) -> None:
    """The Pod Security Standard "restricted", rule by rule."""
    deployment = rendered()["deployment.yaml"]
    pod = deployment["spec"]["template"]["spec"]
    change(pod, pod["containers"][0])
    problems = check_with(**{"deployment.yaml": deployment}).problems
    assert any(each.startswith("deployment.yaml: ") and problem in each for each in problems), problems


def test_an_apparmor_profile_said_the_old_way_is_a_problem_too() -> None:
    deployment = rendered()["deployment.yaml"]
    annotations = deployment["spec"]["template"]["metadata"]["annotations"]
    annotations["container.apparmor.security.beta.kubernetes.io/service"] = "unconfined"
    assert check_with(**{"deployment.yaml": deployment}).problems == [
        "deployment.yaml: the container service has the AppArmor profile unconfined"
    ]


def test_a_selector_that_finds_no_pod_is_a_problem() -> None:
    service = rendered()["service.yaml"]
    service["spec"]["selector"] = {"app.kubernetes.io/name": "other"}
    assert check_with(**{"service.yaml": service}).problems == ["service.yaml: the selector of Service finds no pod"]


def test_a_kustomization_that_leaves_something_out_is_a_problem() -> None:
    kustomization = rendered()["kustomization.yaml"]
    kustomization["resources"] = [*kustomization["resources"][1:], "gone.yaml"]
    assert check_with(**{"kustomization.yaml": kustomization}).problems == [
        "kustomization.yaml names gone.yaml, which is not there",
        "kustomization.yaml leaves out configmap.yaml",
    ]


def test_a_kustomization_that_does_more_than_list_is_a_problem() -> None:
    """`kubectl apply -k` would do it, and a deployment would not."""
    kustomization = rendered()["kustomization.yaml"] | {"commonLabels": {"a": "b"}}
    assert check_with(**{"kustomization.yaml": kustomization}).problems == [
        "kustomization.yaml says commonLabels, which a deployment does not do: write it as a patch"
    ]


def test_two_manifests_of_one_name_are_a_problem() -> None:
    double = {**rendered()["service.yaml"]}
    problems = check_with(**{"z.yaml": double}).problems
    assert "z.yaml: Service cancer is in service.yaml too" in problems


def test_without_the_autoscaler_the_deployment_says_how_many() -> None:
    """With it, it must not, or each deployment would undo the scaling."""
    fixed, scaled = rendered(replicas=3), rendered(replicas={"min": 2, "max": 9, "cpu_percent": 50})
    assert fixed["deployment.yaml"]["spec"]["replicas"] == 3
    assert "horizontalpodautoscaler.yaml" not in fixed
    assert "horizontalpodautoscaler.yaml" not in fixed["kustomization.yaml"]["resources"]
    assert "replicas" not in scaled["deployment.yaml"]["spec"]
    assert scaled["horizontalpodautoscaler.yaml"]["spec"]["maxReplicas"] == 9


def test_a_changed_setting_restarts_the_pods() -> None:
    """Through the digest of the ConfigMap in the pods' template."""

    def digest(**options: Any) -> str:
        pod = rendered(**options)["deployment.yaml"]["spec"]["template"]
        return str(pod["metadata"]["annotations"]["mlops-ci/config-digest"])

    assert digest() == digest()
    assert digest() != digest(env={"A": "1"})


def test_a_repository_may_not_drop_what_the_pods_want(tmp_path: Path) -> None:
    place = tmp_path / "targets/kubernetes/configmap.yaml.j2"
    place.parent.mkdir(parents=True)
    place.write_text("")
    with pytest.raises(ConfigError, match="configmap"):
        target().render(sample_release(), tmp_path)


def test_annotations_say_where_the_version_comes_from() -> None:
    annotations = rendered()["deployment.yaml"]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["mlops-ci/version"] == "1.0.0"
    assert annotations["mlops-ci/record"] == "ab" * 32
    assert annotations["mlops-ci/model-digest"] == "sha256:" + "1" * 64


def test_what_the_service_is_asked_for_reaches_the_pod() -> None:
    """Keys from a Secret, a port for gRPC, and the time that it takes to end well."""
    settings = {"api_keys": True, "grpc_port": 8081, "drain_s": 20.5}
    files = rendered(of={"settings": settings, "timeout_s": 30.0})
    pod = files["deployment.yaml"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["terminationGracePeriodSeconds"] == 61
    assert container["env"] == [
        {"name": "MLOPS_API_KEYS", "valueFrom": {"secretKeyRef": {"name": "cancer-api-keys", "key": "keys"}}}
    ]
    assert [port["containerPort"] for port in container["ports"]] == [3000, 8081]
    assert [port["name"] for port in files["service.yaml"]["spec"]["ports"]] == ["http", "grpc"]
    assert {"protocol": "TCP", "port": 8081} in files["networkpolicy.yaml"]["spec"]["ingress"][0]["ports"]
    assert target().check({path: yaml.safe_dump(document) for path, document in files.items()}).valid
    plain = rendered()["deployment.yaml"]["spec"]["template"]["spec"]
    assert "env" not in plain["containers"][0]
    assert plain["terminationGracePeriodSeconds"] == 25


def test_two_targets_of_a_project_have_two_namespaces() -> None:
    """So that applying one cannot overwrite the other in a cluster that they share."""
    one, other = rendered("staging")["service.yaml"], rendered("production")["service.yaml"]
    assert (one["metadata"]["namespace"], other["metadata"]["namespace"]) == (
        "cancer-detection-staging",
        "cancer-detection-production",
    )


@pytest.mark.parametrize(
    "options",
    [
        {"kubernetes": "1.19"},
        {"kubernetes": "2.0"},
        {"kubernetes": 1.31},
        {"replicas": 0},
        {"replicas": {"min": 5, "max": 2}},
        {"resources": {"cpu": "lots"}},
        {"resources": {"memory": "512 Mi"}},
        {"namespace": "Upper"},
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_options(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        target(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"ingress": {}},
        {"ingress": {"host": "no dots and spaces"}},
        {"ingress": {**INGRESS, "path": "cancer"}},
        {"ingress": {**INGRESS, "clas": "nginx"}},
        {"gateway": {"host": "cancer.example.org"}},
        {"gateway": {**GATEWAY, "name": ""}},
        {"gateway": {**GATEWAY, "path": "/cancer/"}},
        {"image_pull_secret": "Upper"},
    ],
)
def test_a_way_from_outside_that_cannot_be_meant_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        target(**options)


def test_an_ingress_and_a_gateway_at_once_are_refused_with_their_place() -> None:
    text = f"project: p\ntargets:\n  staging:\n    kind: kubernetes\n    ingress: {INGRESS}\n    gateway: {GATEWAY}\n"
    with pytest.raises(ConfigError) as caught:
        parse(text, "mlops.yaml")
    said = "ingress and gateway are both said; one of them brings requests to the service"
    assert str(caught.value) == f"mlops.yaml:4: targets.staging: {said}"


def test_an_ingress_brings_requests_to_the_service() -> None:
    """Its annotations cannot take the place of those that say where the version comes from."""
    files = rendered(ingress=INGRESS)
    found = files["ingress.yaml"]
    assert found["spec"] == {
        "ingressClassName": "nginx",
        "tls": [{"hosts": ["cancer.example.org"], "secretName": "cancer-tls"}],
        "rules": [
            {
                "host": "cancer.example.org",
                "http": {
                    "paths": [
                        {
                            "path": "/cancer",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "cancer", "port": {"name": "http"}}},
                        }
                    ]
                },
            }
        ],
    }
    assert found["metadata"]["annotations"]["cert-manager.io/issuer"] == "letsencrypt"
    assert found["metadata"]["annotations"]["mlops-ci/version"] == "1.0.0"
    assert "ingress.yaml" in files["kustomization.yaml"]["resources"]
    assert "cert-manager.io/issuer" not in files["service.yaml"]["metadata"]["annotations"]
    plain = rendered(ingress={"host": "cancer.example.org"})["ingress.yaml"]["spec"]
    assert "tls" not in plain
    assert "ingressClassName" not in plain


def test_a_route_leads_from_the_gateway_to_the_service() -> None:
    """The prefix is its own affair: the service knows none. Its kind is no part of Kubernetes, and nobody checks it."""
    one = target(gateway=GATEWAY)
    files = one.render(sample_release(image=IMAGE))
    route = yaml.safe_load(files["httproute.yaml"])
    assert route["spec"] == {
        "parentRefs": [{"name": "public", "namespace": "gateways"}],
        "hostnames": ["cancer.example.org"],
        "rules": [
            {
                "matches": [{"path": {"type": "PathPrefix", "value": "/cancer"}}],
                "filters": [
                    {
                        "type": "URLRewrite",
                        "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}},
                    }
                ],
                "backendRefs": [{"name": "cancer", "port": 80}],
            }
        ],
    }
    checked = one.check(files)
    assert checked.problems == []
    (told,) = checked.unchecked
    assert told.startswith("httproute.yaml: nothing is known of HTTPRoute (gateway.networking.k8s.io/v1)")
    plain = rendered(gateway={"name": "public", "host": "cancer.example.org"})["httproute.yaml"]["spec"]
    assert plain["parentRefs"] == [{"name": "public"}]
    assert "filters" not in plain["rules"][0]


@pytest.mark.parametrize("options", [{}, {"ingress": INGRESS}, {"gateway": GATEWAY}])
def test_the_network_policy_lets_requests_in_and_nothing_out(options: dict[str, Any]) -> None:
    """From everywhere, since nobody knows where controllers and gateways of a cluster are."""
    policy = rendered(**options)["networkpolicy.yaml"]["spec"]
    assert policy["ingress"] == [{"ports": [{"protocol": "TCP", "port": 3000}]}]
    assert policy["egress"] == []


def test_a_private_image_is_pulled_with_the_secret_that_is_named() -> None:
    pod = rendered(image_pull_secret="registry")["deployment.yaml"]["spec"]["template"]["spec"]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert "imagePullSecrets" not in rendered()["deployment.yaml"]["spec"]["template"]["spec"]


@pytest.mark.parametrize(("version", "knows"), [("1.20", False), ("1.26", False), ("1.27", True), ("1.37", True)])
def test_a_field_is_only_said_to_a_version_that_knows_it(version: str, *, knows: bool) -> None:
    files = rendered(kubernetes=version)
    spread = files["deployment.yaml"]["spec"]["template"]["spec"]["topologySpreadConstraints"]
    assert [constraint.get("matchLabelKeys") == ["pod-template-hash"] for constraint in spread] == [knows, knows]
    assert ("unhealthyPodEvictionPolicy" in files["poddisruptionbudget.yaml"]["spec"]) == knows


APPLY = ["get", "list", "patch", "create", "delete"]
RIGHTS = {
    "/serviceaccounts": APPLY,
    "/configmaps": APPLY,
    "/services": APPLY,
    "apps/deployments": APPLY,
    "autoscaling/horizontalpodautoscalers": APPLY,
    "policy/poddisruptionbudgets": APPLY,
    "networking.k8s.io/networkpolicies": APPLY,
    "networking.k8s.io/ingresses": APPLY,
    "gateway.networking.k8s.io/httproutes": APPLY,
    "apps/replicasets": ["get", "list"],
    "/pods": ["get", "list"],
    "/events": ["get", "list"],
    "/pods/log": ["get"],
    "/services/proxy": ["get", "create"],
    "coordination.k8s.io/leases": ["get", "create", "update", "delete"],
}


def test_the_deployers_role_is_rendered_and_holds_what_it_needs() -> None:
    """And neither the kustomization nor a deployment knows of it: nobody gives rights to himself."""
    one = target(ingress=INGRESS)
    files = one.render(sample_release(image=IMAGE))
    namespace, account, role, binding = yaml.safe_load_all(files["setup/deployer.yaml"])
    found = {
        f"{group}/{resource}": rule["verbs"]
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    assert found == RIGHTS
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert account["metadata"]["name"] == binding["subjects"][0]["name"] == "mlops-ci-deployer"
    assert account["metadata"]["namespace"] == role["metadata"]["namespace"] == "cancer-detection-staging"
    applied = objects_in(files)
    assert not {each["kind"] for each in applied} & {"Namespace", "Role", "RoleBinding"}
    scope = Scope.of("cancer-detection", "staging", "cancer-detection-staging")
    assert all(scope.has(each) for each in applied)
    assert not any(scope.has(each) for each in (namespace, account, role, binding))


def test_every_kind_that_is_rendered_is_one_that_the_deployer_may_apply() -> None:
    plurals = {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"}
    for options in ({"ingress": INGRESS}, {"gateway": GATEWAY}):
        for each in objects_in(target(**options).render(sample_release())):
            group = each["apiVersion"].rpartition("/")[0]
            resource = plurals.get(each["kind"], each["kind"].lower() + "s")
            assert "patch" in RIGHTS[f"{group}/{resource}"]


def test_what_is_set_up_once_is_checked_too() -> None:
    files = target().render(sample_release(image=IMAGE))
    wrong = {**files, "setup/deployer.yaml": files["setup/deployer.yaml"].replace("roleRef:", "rolRef:")}
    assert target().check(files) == Check()
    (problem,) = target().check(wrong).problems
    assert problem.startswith("setup/deployer.yaml: ")


names = st.text(max_size=90)


@given(names)
@example("My_Model.v2")
@example("1st")
@example("a" * 64)
@example("-")
@example("cancer-0123456789")
def test_any_name_becomes_one_that_kubernetes_takes(name: str) -> None:
    assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", dns_name(name))
    assert re.fullmatch(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?", label_value(name))


@given(names, names)
@example("My_Model", "my_model")
@example("my.model", "my-model")
@example("My-Model", dns_name("My-Model"))
@example("a" * 64, "a" * 65)
def test_different_names_stay_different(one: str, other: str) -> None:
    """Also a name that is somebody else's written for Kubernetes."""
    assert (dns_name(one) == dns_name(other)) == (one == other)
    assert (label_value(one) == label_value(other)) == (one == other)


@pytest.mark.parametrize("name", ["cancer", "churn-2", "a"])
def test_a_name_that_is_one_already_stays(name: str) -> None:
    assert dns_name(name) == name
