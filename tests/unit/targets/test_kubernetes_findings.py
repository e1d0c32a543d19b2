"""
What is said about a rollout that does not get ready.

`kubernetes_states.jsonl` holds what a real API returned (Kubernetes 1.20), a state a line, cut down to what is of use
here; what no cluster of one node without admission can show is changed by hand.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_ci.targets.kubernetes import pulling, scheduling
from mlops_ci.targets.kubernetes.findings import Finding, Logs, find
from mlops_ci.targets.kubernetes.rollouts import complete, newest

_LINES = (Path(__file__).parent / "kubernetes_states.jsonl").read_text("utf-8").splitlines()
STATES: dict[str, dict[str, Any]] = {state["state"]: state for state in map(json.loads, _LINES)}


def state(name: str) -> Any:
    return copy.deepcopy(STATES[name])


def found(of: dict[str, Any]) -> list[Finding]:
    return find(of["deployment"], of["replica_sets"], of["pods"], of["events"])


def first(of: dict[str, Any]) -> Finding:
    return found(of)[0]


def service(of: dict[str, Any]) -> Any:
    """The status of the only container."""
    return of["pods"][0]["status"]["containerStatuses"][0]


@pytest.mark.parametrize(
    ("name", "fatal", "sentence", "hint"),
    [
        ("noimage", True, "the registry 127.0.0.1:5000 does not have it", "push it"),
        ("nohost", True, "nobody knows the name registry.nowhere.invalid", "typing error"),
        ("refused", True, "the registry 127.0.0.1:5999 does not answer", "network"),
        ("notbuilt", True, "its image was never built", "mlops-ci build"),
        ("badname", True, "'Not A Name' is no name of an image", "typing error"),
        ("crash", True, "the container service ended with exit code 3 (4 times)", "log"),
        ("crash, early", False, "the container service ended with exit code 3 (twice)", "log"),
        ("oom", True, "needs more memory than its limit of 128Mi: it was killed 4 times", "resources.memory"),
        ("oom, early", False, "needs more memory than its limit of 128Mi: it was killed twice", "resources.memory"),
        ("cpu", False, "finds no node: the only node has too little cpu left (asked for: 999)", "add nodes"),
        ("node", False, "the only node does not match the node selector or affinity", "describe nodes"),
        ("nosecret", True, "cannot start: the Secret keys is not in the namespace", "make it"),
        ("root", True, "cannot start: container's runAsUser breaks non-root policy", "USER"),
        ("nomount", False, "waits for the volume s: there is no secret gone", "make it"),
        ("noexec", True, 'cannot be started: exec: "/nothing": stat /nothing: no such file or directory', "command"),
        ("noready", False, "the readiness probe fails: /nothing answers 404", "log"),
        ("hang", False, "the startup probe fails: /readyz: the connection is refused", "start_timeout_s"),
        ("quota", True, "the quota q of the namespace admits no more pods: limits.memory=8Gi is asked for", "lower"),
    ],
)
def test_what_a_real_cluster_shows_is_a_sentence_with_a_hint(name: str, fatal: bool, sentence: str, hint: str) -> None:  # noqa: FBT001  # a row of the table
    said = found(state(name))
    assert [(each.fatal, sentence in each.sentence, hint in each.hint) for each in said] == [(fatal, True, True)], said


def test_nothing_is_the_matter_with_what_is_ready() -> None:
    good = state("good")
    assert found(good) == []
    assert complete(good["deployment"])


@pytest.mark.parametrize("name", sorted(set(STATES) - {"good"}))
def test_what_has_not_become_ready_is_not_complete(name: str) -> None:
    assert not complete(state(name)["deployment"])


def test_only_what_ended_or_runs_has_a_log_to_look_at() -> None:
    pod = state("crash")["pods"][0]["metadata"]["name"]
    assert first(state("crash")).logs == Logs(pod, "service", previous=False)
    again = state("crash")
    service(again)["state"] = {"running": {"startedAt": "2026-11-21T20:18:40Z"}}
    assert first(again).logs == Logs(pod, "service", previous=True)
    assert first(state("noimage")).logs is None


def _with_an_older_one(of: Any, older: Any) -> Any:
    """*of*, whose Deployment had the template and the pods of *older* before."""
    uid = of["deployment"]["metadata"]["uid"]
    for each in older["replica_sets"]:
        each["metadata"]["ownerReferences"][0]["uid"] = uid
        each["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "0"
    return {**of, **{kind: [*older[kind], *of[kind]] for kind in ("replica_sets", "pods", "events")}}


@given(older=st.sampled_from(sorted(STATES)), name=st.sampled_from(sorted(STATES)))
def test_what_is_the_matter_with_pods_of_before_never_counts(older: str, name: str) -> None:
    # An early state is of the same pods as the later one.
    assume(older.partition(",")[0] != name.partition(",")[0])
    assert found(_with_an_older_one(state(name), state(older))) == found(state(name))


@given(name=st.sampled_from(sorted(STATES)), random=st.randoms(use_true_random=False))
def test_the_order_in_which_the_api_lists_things_does_not_matter(name: str, random: Any) -> None:
    shuffled = _with_an_older_one(state(name), state("refused" if name != "refused" else "root"))
    expected = found(shuffled)
    for kind in ("replica_sets", "pods", "events"):
        random.shuffle(shuffled[kind])
    assert found(shuffled) == expected


def test_before_the_controller_has_made_the_new_pods_nothing_is_said_of_the_old_ones() -> None:
    crash = state("crash")
    crash["deployment"]["spec"]["template"]["spec"]["containers"][0]["image"] += "0"
    crash["deployment"]["status"].pop("updatedReplicas")
    assert newest(crash["deployment"], crash["replica_sets"]) is None
    assert found(crash) == []


def test_a_template_that_is_written_in_another_way_is_found_by_its_revision() -> None:
    crash = _with_an_older_one(state("crash"), state("oom"))
    crash["deployment"]["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["cpu"] = "1000m"
    assert first(crash) == first(state("crash"))


def test_pods_that_are_being_deleted_do_not_count() -> None:
    crash = state("crash")
    crash["pods"][0]["metadata"]["deletionTimestamp"] = "2026-11-21T20:19:00Z"
    assert found(crash) == []


def test_what_is_fatal_stands_before_what_may_pass() -> None:
    both = state("cpu")
    crashed = state("crash")
    crashed["pods"][0]["metadata"]["ownerReferences"] = both["pods"][0]["metadata"]["ownerReferences"]
    both["pods"] += crashed["pods"]
    both["events"] += crashed["events"]
    assert [(each.fatal, "exit code 3" in each.sentence) for each in found(both)] == [(True, True), (False, False)]


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        ({"exitCode": 137, "reason": "Error"}, "was ended by SIGKILL"),
        ({"exitCode": 139, "reason": "Error"}, "was ended by SIGSEGV"),
        ({"exitCode": 255, "reason": "Error"}, "ended with exit code 255"),
        ({"exitCode": 0, "reason": "Completed"}, "ended with exit code 0"),
    ],
)
def test_signals_are_called_by_their_names(ended: dict[str, Any], said: str) -> None:
    crash = state("crash")
    service(crash)["lastState"]["terminated"] = ended
    assert f"the container service {said} (4 times)" in first(crash).sentence


def test_a_container_that_a_probe_ended_did_not_crash() -> None:
    crash = state("crash")
    service(crash)["lastState"]["terminated"] = {"exitCode": 137, "reason": "Error"}
    killed = {
        **crash["events"][0],
        "reason": "Killing",
        "message": "Container service failed startup probe, will be restarted",
    }
    crash["events"].append(killed)
    said = found(crash)
    assert len(said) == 1
    assert "the startup probe fails: /readyz: the connection is refused; it was restarted for that" in said[0].sentence
    assert not said[0].fatal


def test_an_image_that_was_given_up_stays_so_while_it_is_tried_again() -> None:
    refused = state("refused")
    service(refused)["state"]["waiting"]["reason"] = "ErrImagePull"
    assert first(refused).fatal
    refused["events"] = [each for each in refused["events"] if "BackOff" not in each["message"]]
    assert not first(refused).fatal


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (
            "failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized",
            "let the cluster",
        ),
        ("pull access denied, repository does not exist or may require authorization", "let the cluster"),
        ("no basic auth credentials", "let the cluster"),
        ("ghcr.io/acme/x@sha256:0401: not found", "does not have it"),
        ("manifest unknown: manifest unknown", "does not have it"),
        ('Head "https://ghcr.io/v2/": dial tcp: lookup ghcr.io: no such host', "nobody knows the name"),
        ('Head "https://ghcr.io/v2/": dial tcp 1.2.3.4:443: i/o timeout', "does not answer"),
        ("x509: certificate signed by unknown authority", "do not trust"),
        ("http: server gave HTTP response to HTTPS client", "do not trust"),
        ("toomanyrequests: You have reached your pull rate limit", "no more requests"),
        ("no match for platform in manifest: not found", "another processor"),
        ("something new", "something new"),
    ],
)
def test_what_registries_say_is_told_apart(message: str, why: str) -> None:
    sentence, hint = pulling.explain("ghcr.io/acme/x@sha256:0401", [message, "Error: ErrImagePull"])
    assert why in sentence
    assert hint


def test_of_an_image_without_a_registry_docker_hub_is_named() -> None:
    assert "docker.io" in pulling.explain("acme/x:1", ["not found"])[0]


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            (
                "0/5 nodes are available: 1 Insufficient memory, 2 Insufficient cpu, 2 node(s) had untolerated taint"
                " {gpu: a, b}. preemption: 0/5 nodes are available: 5 No preemption victims found for incoming pod."
            ),
            (
                "of 5 nodes, 1 has too little memory left (asked for: 64Mi),"
                " 2 have too little cpu left (asked for: 999),"
                " 2 have the taint gpu=a, b, which the pod does not tolerate"
            ),
        ),
        (
            (
                "0/2 nodes are available: 1 node(s) had taint {full: }, that the pod didn't"
                " tolerate, 1 node(s) were unschedulable."
            ),
            "of 2 nodes, 1 has the taint full, which the pod does not tolerate, 1 is cordoned",
        ),
        ("no nodes available to schedule pods", "no nodes available to schedule pods"),
    ],
)
def test_the_scheduler_is_put_into_words(message: str, said: str) -> None:
    spec = {"containers": [{"name": "service", "resources": {"requests": {"cpu": "999", "memory": "64Mi"}}}]}
    assert scheduling.explain(message, {"spec": spec}) == said


@pytest.mark.parametrize(
    ("message", "said", "fatal"),
    [
        ('admission webhook "policy.example" denied the request: no team label', "no team label", True),
        ('pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot', "violates PodSecurity", True),
        ('pods "x" is forbidden: maximum memory usage per Container is 1Gi, but limit is 2Gi', "is 1Gi", True),
        ('pods "x" is forbidden: error looking up service account a/b: serviceaccount "b" not found', "b", False),
        ('Internal error occurred: failed calling webhook "policy.example": timeout', "failed calling webhook", False),
    ],
)
def test_pods_that_are_not_admitted_are_explained(message: str, said: str, fatal: bool) -> None:  # noqa: FBT001  # a row of the table
    quota = state("quota")
    quota["replica_sets"][0]["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": message}
    ]
    finding = first(quota)
    assert said in finding.sentence
    assert finding.fatal == fatal


def test_a_failed_creation_of_before_does_not_count_when_all_pods_are_there() -> None:
    quota = state("quota")
    quota["replica_sets"][0]["status"]["replicas"] = 1
    assert found(quota) == []


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('configmap "churn" not found', "the ConfigMap churn is not in the namespace"),
        ("couldn't find key keys in Secret staging/churn-api-keys", "the Secret churn-api-keys has no key keys"),
        ("something else", "something else"),
    ],
)
def test_what_a_container_is_configured_with_is_named(message: str, said: str) -> None:
    missing = state("nosecret")
    service(missing)["state"]["waiting"]["message"] = message
    assert said in first(missing).sentence


def test_an_evicted_pod_says_of_what_there_was_too_little() -> None:
    evicted = state("noready")
    message = 'Usage of EmptyDir volume "tmp" exceeds the limit "256Mi". '
    evicted["pods"][0]["status"] = {"phase": "Failed", "reason": "Evicted", "message": message}
    assert 'was evicted: Usage of EmptyDir volume "tmp" exceeds' in first(evicted).sentence


def test_a_pod_that_nothing_is_said_about_is_said_not_to_become_ready() -> None:
    silent = {**state("noready"), "events": []}
    assert first(silent).sentence.endswith("runs, and the container service does not become ready")
    assert first(silent).logs is not None


def test_a_paused_deployment_waits_for_nothing_but_its_people() -> None:
    paused = state("good")
    paused["deployment"]["spec"]["paused"] = True
    assert "is paused" in first(paused).sentence
    assert first(paused).hint == "kubectl rollout resume deployment/good"


@pytest.mark.parametrize("kind", ["secret", "configmap"])
def test_what_the_kubelet_has_not_yet_fetched_is_waited_for(kind: str) -> None:
    late = state("nosecret")
    service(late)["state"]["waiting"]["message"] = f"failed to sync {kind} cache: timed out waiting for the condition"
    assert [(each.fatal, "failed to sync" in each.sentence) for each in found(late)] == [(False, True)]


@given(text=st.text(), name=st.sampled_from(["nosecret", "noimage", "quota", "cpu", "nomount", "noexec", "noready"]))
def test_whatever_a_cluster_says_is_one_printable_line(text: str, name: str) -> None:
    odd = state(name)
    for event in odd["events"]:
        event["message"] = text
    for pod in odd["pods"]:
        for condition in pod["status"].get("conditions", []):
            condition["message"] = text
        for status in pod["status"].get("containerStatuses", []):
            for part in [*status["state"].values(), *status["lastState"].values()]:
                part["message"] = text
    for finding in found(odd):
        assert finding.sentence.isprintable()
        assert len(finding.sentence) < 700
