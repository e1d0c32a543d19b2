"""Following a rollout, asking the service, and where it is: against an API that says what a test wants."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes.addresses import url_of
from mlops_ci.targets.kubernetes.api import Denied
from mlops_ci.targets.kubernetes.asking import KEY, ask_through
from mlops_ci.targets.kubernetes.objects import PLAN, Scope
from mlops_ci.targets.kubernetes.waiting import status, wait
from tests.unit.targets.test_kubernetes_findings import state as observed_state

SERVICE = {
    "kind": "Service",
    "metadata": {"name": "churn", "namespace": "staging"},
    "spec": {"ports": [{"name": "http", "port": 80}, {"name": "grpc", "port": 81}]},
}
AWAY = ServiceError("the cluster (context x) did not answer: refused")


class Clock:
    """Time that passes when somebody sleeps."""

    now = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class Cluster:
    """Says one of *states* after another, one for each look at the Deployment, the last for ever."""

    def __init__(self, states: Sequence[Any], *, log: Callable[[dict[str, str]], bytes] | None = None) -> None:
        self._states = list(states)
        self._log = log
        self.current: Any = None

    def get(self, path: str, **query: str) -> Any:
        if "/deployments/" in path:
            self.current = self._states.pop(0) if len(self._states) > 1 else self._states[0]
            if isinstance(self.current, Exception):
                raise self.current
            return self.current["deployment"]
        kind = path.rpartition("/")[2]
        items = self.current[{"replicasets": "replica_sets"}.get(kind, kind)]
        if isinstance(items, Exception):
            raise items
        if wanted := query.get("fieldSelector", "").removeprefix("involvedObject.uid="):
            items = [each for each in items if each["involvedObject"]["uid"] == wanted]
        return {"items": items}

    def send(self, method: str, path: str, *, query: dict[str, str]) -> bytes:
        assert (method, path.rpartition("/")[2]) == ("GET", "log")
        if self._log is None:
            raise denied(404)
        return self._log(query)


def state(name: str) -> Any:
    """A state before the cluster has given up."""
    found = observed_state(name)
    conditions = found["deployment"]["status"].get("conditions") or []
    found["deployment"]["status"]["conditions"] = [each for each in conditions if each["type"] != "Progressing"]
    return found


def given_up(name: str, since: str = "2026-11-21T20:18:00Z") -> Any:
    found = state(name)
    condition = {
        "type": "Progressing",
        "status": "False",
        "reason": "ProgressDeadlineExceeded",
        "lastUpdateTime": since,
    }
    found["deployment"]["status"]["conditions"].append(condition)
    return found


def denied(status: int, message: str = "the cluster says no") -> Denied:
    return Denied(message, status=status, reason="", causes=[])


def follow(*states: Any, log: Callable[[dict[str, str]], bytes] | None = None) -> tuple[list[str], Any, float]:
    """What `wait` told, what it returned or raised, and how long it took."""
    told: list[str] = []
    clock = Clock()
    wanted = next(each["deployment"] for each in states if not isinstance(each, Exception))
    objects = [SERVICE, {**wanted, "kind": "Deployment"}]
    result: Any
    try:
        result = wait(Cluster(states, log=log), objects, told.append, clock=clock, sleep=clock.sleep)  # type: ignore[arg-type]
    except ServiceError as error:
        result = error
    return told, result, clock.now


def test_without_a_deployment_there_is_nothing_to_wait_for() -> None:
    assert wait(Cluster([]), [SERVICE], print) == ""  # type: ignore[arg-type]


def test_what_is_complete_is_not_waited_for() -> None:
    assert follow(state("good")) == (["1 of 1 pods are ready"], "http://churn.staging.svc", 0.0)


def test_what_has_not_changed_is_told_once() -> None:
    starting = state("hang")
    told, url, seconds = follow(*[starting] * 5, state("good"))
    pod = starting["pods"][0]["metadata"]["name"]
    assert told == ["0 of 1 pods are ready", f"pod {pod}: started", "1 of 1 pods are ready"]
    assert url == "http://churn.staging.svc"
    assert seconds == 5


def test_pods_of_before_are_not_ready_pods() -> None:
    updating = state("hang")
    updating["deployment"]["status"] |= {"replicas": 2, "availableReplicas": 1, "readyReplicas": 1}
    assert follow(updating, state("good"))[0][0] == "0 of 1 pods are ready"


@pytest.mark.parametrize(
    "change",
    [
        {"observedGeneration": 0},
        {"updatedReplicas": 0},
        {"replicas": 2},
        {"availableReplicas": 0},
    ],
)
def test_each_thing_that_kubectl_asks_for_is_waited_for(change: dict[str, int]) -> None:
    almost = state("good")
    almost["deployment"]["status"] |= change
    assert follow(almost, state("good"))[2] == 1


def test_an_image_is_seen_being_pulled_and_a_container_starting() -> None:
    creating = state("nomount")
    events = creating["events"][:1]
    creating["events"] = []
    names = [{**events[0], "reason": "Pulling", "message": "Pulling image"}]
    pulling = {**creating, "events": names}
    pulled = {**creating, "events": [*names, {**events[0], "reason": "Pulled", "message": "pulled"}]}
    told = follow({**creating, "events": []}, pulling, pulled, state("good"))[0]
    assert [line.rpartition(": ")[2] for line in told[1:-1]] == ["being created", "pulling the image", "starting"]


def test_what_is_hopeless_ends_it_at_once_and_the_log_follows() -> None:
    log = b"\n".join(b"line %d \x1b[31mred\x1b[0m \x07" % number for number in range(9)) + b"\n\n" + b"x" * 500
    told, error, seconds = follow(state("crash, early"), state("crash"), log=lambda _: log)
    assert seconds == 1
    assert any("(twice)" in line for line in told)
    head, *lines = str(error).splitlines()
    assert head.endswith("ended with exit code 3 (4 times); it said:")
    assert lines == [*(f"  line {number} red " for number in (5, 6, 7, 8)), f"  {'x' * 200}…"]
    assert error.hint


def test_what_was_there_at_the_beginning_gets_time_to_go_away() -> None:
    missing = state("nosecret")
    assert follow(*[missing] * 15, state("good"))[1] == "http://churn.staging.svc"
    error, seconds = follow(missing)[1:]
    assert "the Secret keys is not in the namespace" in str(error)
    assert seconds == 20
    assert follow(state("hang"), missing)[2] == 1


def test_the_log_of_the_container_before_is_read_where_the_next_one_says_nothing() -> None:
    crash = state("crash")
    error = follow(crash, log=lambda query: b"why\n" if query["previous"] == "true" else b"")[1]
    assert str(error).endswith("it said:\n  why")


def test_a_secret_in_a_log_is_not_told() -> None:
    error = follow(state("crash"), log=lambda _: b"token ghp_0123456789abcdefghij0123456789abcdef")[1]
    assert "ghp_" not in str(error)


def test_a_log_that_cannot_be_had_is_no_reason_to_say_nothing() -> None:
    assert "ended with exit code 3" in str(follow(state("crash"))[1])


def test_what_the_controller_said_of_another_generation_does_not_end_it() -> None:
    crash = state("crash")
    crash["deployment"]["metadata"]["generation"] += 1
    assert follow(crash, state("good"))[1] == "http://churn.staging.svc"


def test_what_the_cluster_gives_up_is_given_up_with_its_reason() -> None:
    error, seconds = follow(state("noready"), given_up("noready"))[1:]
    assert "the readiness probe fails: /nothing answers 404" in str(error)
    assert seconds == 1


def test_that_the_rollout_of_before_was_given_up_says_nothing_of_this_one() -> None:
    before = given_up("noready")
    assert follow(before, before, state("good"))[1] == "http://churn.staging.svc"
    assert follow(before, before, given_up("noready", "2026-11-21T20:30:00Z"))[2] == 2
    error, seconds = follow(before)[1:]
    assert "the readiness probe fails" in str(error)
    assert seconds > before["deployment"]["spec"]["progressDeadlineSeconds"]


def test_without_a_controller_it_is_given_up_after_the_deadline_and_a_margin() -> None:
    stuck = state("noready")
    stuck["deployment"]["status"] = {"observedGeneration": 0}
    stuck["replica_sets"] = []
    told, error, seconds = follow(stuck)
    limit = stuck["deployment"]["spec"]["progressDeadlineSeconds"]
    assert f"the Deployment noready has not moved for {limit} s" in str(error)
    assert error.hint
    assert limit < seconds < limit + 60
    assert told == ["0 of 1 pods are ready"]


def test_a_rollout_that_moves_may_take_longer_than_its_deadline() -> None:
    slow = state("good")
    slow["deployment"]["spec"]["replicas"] = 50
    states = []
    for number in range(10):
        slow["deployment"]["status"] |= {"updatedReplicas": number, "availableReplicas": number}
        states += [copy.deepcopy(slow)] * 30
    url, seconds = follow(*states, state("good"))[1:]
    assert url == "http://churn.staging.svc"
    assert seconds == 300


@pytest.mark.parametrize("error", [AWAY, denied(503), denied(429)], ids=str)
def test_an_api_that_is_away_for_a_while_is_told_once_and_waited_for(error: ServiceError) -> None:
    told, url, _ = follow(state("hang"), error, error, error, state("good"))
    assert url == "http://churn.staging.svc"
    assert told.count(f"{error}; still trying") == 1
    assert told[-2:] == ["the cluster answers again", "1 of 1 pods are ready"]


def test_an_api_that_stays_away_ends_it_when_time_is_over() -> None:
    assert follow(state("hang"), AWAY)[1] is AWAY


@pytest.mark.parametrize("status", [401, 403, 404])
def test_what_the_cluster_refuses_ends_it(status: int) -> None:
    error, seconds = follow(state("hang"), denied(status))[1:]
    assert error.status == status
    assert seconds == 1


def test_rights_that_do_not_suffice_to_look_at_pods_are_told_and_no_reason_to_end() -> None:
    blind = {**state("hang"), "pods": denied(403, "pods is forbidden"), "events": denied(403)}
    told, url, _ = follow(blind, blind, state("good"))
    assert url == "http://churn.staging.svc"
    assert [line for line in told if "pods is forbidden" in line] == [
        "what the pods meet cannot be told: pods is forbidden"
    ]


def _ingress(**spec: Any) -> dict[str, Any]:
    rule = {"host": "churn.example.org", "http": {"paths": [{"path": "/"}]}}
    return {"kind": "Ingress", "spec": {"rules": [rule], **spec}}


@pytest.mark.parametrize(
    ("objects", "url"),
    [
        ([], ""),
        ([SERVICE], "http://churn.staging.svc"),
        ([{**SERVICE, "spec": {"ports": [{"port": 8080}]}}], "http://churn.staging.svc:8080"),
        ([SERVICE, _ingress()], "http://churn.example.org"),
        ([SERVICE, _ingress(tls=[{"hosts": ["churn.example.org"]}])], "https://churn.example.org"),
        ([SERVICE, _ingress(tls=[{"hosts": ["other.example.org"]}])], "http://churn.example.org"),
        (
            [SERVICE, _ingress(rules=[{"host": "example.org", "http": {"paths": [{"path": "/churn/"}]}}])],
            "http://example.org/churn",
        ),
        ([SERVICE, _ingress(rules=[{"host": "*.example.org"}])], "http://churn.staging.svc"),
        ([SERVICE, _ingress(rules=[{}])], "http://churn.staging.svc"),
        ([SERVICE, {"kind": "HTTPRoute", "spec": {"hostnames": ["example.org"]}}], "http://example.org"),
        (
            [
                {
                    "kind": "HTTPRoute",
                    "spec": {
                        "hostnames": ["example.org"],
                        "parentRefs": [{"name": "public", "sectionName": "https"}],
                        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/churn"}}]}],
                    },
                }
            ],
            "https://example.org/churn",
        ),
    ],
)
def test_the_url_is_that_of_the_way_in(objects: list[Any], url: str) -> None:
    assert url_of(objects) == url


class Listed:
    """An API that lists what it was given, by the kind's plural; None: the cluster does not have the kind."""

    def __init__(self, **items: Any) -> None:
        self._items = items

    def get(self, path: str, **query: str) -> Any:
        assert query["labelSelector"] == Scope.of("shop", "staging", "ns").query
        found = self._items.get(path.rpartition("/")[2], [])
        if found is None:
            raise denied(404)
        return {"items": found}


def test_the_status_is_what_the_deployment_says_of_itself() -> None:
    deployment = state("good")["deployment"]
    names = {
        "mlops-ci/model": "churn",
        "mlops-ci/version": "1.0.0",
        "mlops-ci/model-digest": "sha256:1",
        PLAN: "sha256:2",
    }
    deployment["metadata"]["annotations"] = names
    scope = Scope.of("shop", "staging", "ns")
    service = {key: value for key, value in SERVICE.items() if key != "kind"}
    api: Any = Listed(deployments=[deployment], services=[service], httproutes=None)
    found = status(api, scope)
    assert found is not None
    assert (found.model, found.version, found.digest, found.plan_digest) == ("churn", "1.0.0", "sha256:1", "sha256:2")
    assert (found.url, found.ready) == ("http://churn.staging.svc", True)
    deployment["metadata"]["generation"] += 1
    changed = status(api, scope)
    assert changed is not None
    assert not changed.ready
    nothing: Any = Listed()
    assert status(nothing, scope) is None


class Proxy:
    """An API that gives one of *answers* after another, and keeps what it was asked."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, bytes | None, dict[str, str]]] = []

    def answer(
        self, method: str, path: str, body: bytes | None, *, headers: dict[str, str], again: bool
    ) -> tuple[int, bytes]:
        assert not again  # or a service that fails would be asked six times
        self.asked.append((method, path, body, headers))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def said_by_the_api(status: int, message: str) -> tuple[int, bytes]:
    return status, json.dumps({"kind": "Status", "apiVersion": "v1", "message": message, "code": status}).encode()


def asked(proxy: Proxy, path: str, body: bytes | None = None) -> Any:
    clock = Clock()
    api: Any = proxy
    return ask_through(api, [SERVICE], clock=clock, sleep=clock.sleep)(path, body)


def test_a_service_is_asked_at_its_named_port_through_the_proxy() -> None:
    proxy = Proxy((200, b"{}"))
    root = "/api/v1/namespaces/staging/services/http:churn:http/proxy"
    assert asked(proxy, "/metadata") == (200, b"{}")
    assert asked(proxy, "/predict", b"[]") == (200, b"{}")
    assert proxy.asked == [("GET", f"{root}/metadata", None, {}), ("POST", f"{root}/predict", b"[]", {})]


def test_an_api_key_goes_where_the_api_server_lets_it_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "k" * 16)
    proxy = Proxy((200, b"{}"))
    asked(proxy, "/metadata")
    assert proxy.asked[0][3] == {"X-API-Key": "k" * 16}


@pytest.mark.parametrize("answer", [(404, b'{"error": "no such path"}'), (503, b"busy"), (422, b'{"kind": "Status"}')])
def test_what_the_service_refuses_is_its_answer(answer: tuple[int, bytes]) -> None:
    assert asked(Proxy(answer), "/predict", b"[]") == answer


@pytest.mark.parametrize(
    "away",
    [
        said_by_the_api(503, 'no endpoints available for service "churn"'),
        (503, b"Error: 'dial tcp 10.244.0.7:3000: connect: connection refused'\nTrying to reach: 'http://10.244.0.7'"),
    ],
)
def test_a_service_without_pods_is_asked_again_for_a_while(away: tuple[int, bytes]) -> None:
    assert asked(Proxy(away, away, (200, b"{}")), "/metadata") == (200, b"{}")
    with pytest.raises(ServiceError, match="Service churn cannot be reached through the cluster's API: ") as error:
        asked(Proxy(away), "/metadata")
    assert error.value.hint


@pytest.mark.parametrize(
    ("status", "sentence", "hint"),
    [(403, "our rights do not suffice", "services/proxy"), (404, "there is no Service churn", "again")],
)
def test_what_the_api_server_refuses_is_not_taken_for_an_answer(status: int, sentence: str, hint: str) -> None:
    proxy = Proxy(said_by_the_api(status, "no"))
    with pytest.raises(ServiceError, match=sentence) as error:
        asked(proxy, "/metadata")
    assert hint in error.value.hint
    assert len(proxy.asked) == 1


def test_without_a_service_nobody_is_asked() -> None:
    api: Any = Proxy()
    with pytest.raises(ServiceError, match="have no Service"):
        ask_through(api, [])
