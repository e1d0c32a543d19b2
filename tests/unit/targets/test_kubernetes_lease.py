"""The lock of a target, against an API that keeps Leases as the real one does."""

from __future__ import annotations

import copy
import itertools
import json
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes import lease
from mlops_ci.targets.kubernetes.api import Denied

ALL = "/apis/coordination.k8s.io/v1/namespaces/staging/leases"
ONE = f"{ALL}/lock"
REASONS = {403: "Forbidden", 404: "NotFound", 409: "Conflict"}


class Cluster:
    """Keeps one namespace with its Leases; *before* is called before each request, and may raise."""

    def __init__(self, *, namespace: bool = True) -> None:
        self.leases: dict[str, Any] = {}
        self.namespace = namespace
        self.is_going = False
        self.log: list[str] = []
        self.before: Callable[[str], None] = lambda _: None
        self.lose_answers = 0
        self._versions = itertools.count(1)
        self._guard = threading.Lock()

    def get(self, path: str) -> Any:
        return json.loads(self.send("GET", path))

    def send(self, method: str, path: str, body: Any = None, **options: Any) -> bytes:
        self.before(method)
        with self._guard:
            self.log.append(method)
            said = self._answer(method, path, body, options)
            # The client sends again what was answered to nobody.
            if method != "GET" and self.lose_answers:
                self.lose_answers -= 1
                said = self._answer(method, path, body, options)
            return said

    def _answer(self, method: str, path: str, body: Any, options: dict[str, Any]) -> bytes:
        if path == "/api/v1/namespaces/staging":
            return self._answer_about_the_namespace(method, options)
        if not self.namespace:
            raise refusal(404)
        if self.is_going and method == "POST":
            raise refusal(403)
        if method == "POST":
            if body["metadata"]["name"] in self.leases:
                raise refusal(409)
            return self._store(body["metadata"]["name"], body, uid=str(next(self._versions)))
        found = self.leases.get(path.rpartition("/")[2])
        if found is None:
            raise refusal(404)
        if method == "GET":
            return json.dumps(found).encode()
        assert method in ("PUT", "DELETE")
        wanted = body["metadata"] if method == "PUT" else body["preconditions"]
        if any(wanted[key] != found["metadata"][key] for key in ("uid", "resourceVersion")):
            raise refusal(409)
        if method == "DELETE":
            del self.leases["lock"]
            return b"{}"
        return self._store("lock", body, uid=found["metadata"]["uid"])

    def _answer_about_the_namespace(self, method: str, options: dict[str, Any]) -> bytes:
        if method == "GET":
            if not self.namespace:
                raise refusal(404)
            going = {"deletionTimestamp": "2020-01-02T12:04:00Z"} if self.is_going else {}
            return json.dumps({"metadata": {"name": "staging", **going}}).encode()
        assert method == "PATCH"
        assert options["query"]["fieldManager"] == "mlops-ci"
        self.namespace = True
        return b"{}"

    def _store(self, name: str, body: Any, uid: str) -> bytes:
        kept = copy.deepcopy(body)
        kept["metadata"] |= {"uid": uid, "resourceVersion": str(next(self._versions))}
        self.leases[name] = kept
        return json.dumps(kept).encode()

    def put(self, holder: str, **spec: Any) -> None:
        """Somebody else's Lease."""
        known = {"acquireTime": "2020-01-02T12:04:00.000000Z", "leaseDurationSeconds": 30, **spec}
        with self._guard:
            self._store(
                "lock", {"metadata": {"name": "lock"}, "spec": {"holderIdentity": holder, **known}}, uid="theirs"
            )

    @property
    def holder(self) -> str:
        return str(self.leases["lock"]["spec"]["holderIdentity"])


def refusal(status: int) -> Denied:
    return Denied("the cluster says no", status=status, reason=REASONS[status], causes=[])


class Time:
    """Passes when somebody sleeps; *then* happens after so many sleeps."""

    def __init__(self, **then: Callable[[], None]) -> None:
        self.now = 0.0
        self.sleeps = 0
        self._then = then

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.sleeps += 1
        self._then.get(f"after_{self.sleeps}", lambda: None)()


def hold(cluster: Cluster, time: Time | None = None, owner: str = "ann on build-7", **options: Any) -> Any:
    time = time or Time()
    api: Any = cluster
    return lease.held(api, "staging", "lock", owner, clock=time.clock, sleep=time.sleep, **options)


def test_it_is_ours_while_we_hold_it_and_gone_afterwards() -> None:
    cluster = Cluster()
    with hold(cluster):
        spec = cluster.leases["lock"]["spec"]
        assert spec["holderIdentity"].startswith("ann on build-7 ")
        assert spec["leaseDurationSeconds"] == 15
        assert cluster.leases["lock"]["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "mlops-ci"}
    assert cluster.leases == {}


def test_it_is_gone_also_when_what_was_done_failed() -> None:
    cluster = Cluster()
    with pytest.raises(RuntimeError), hold(cluster):
        raise RuntimeError
    assert cluster.leases == {}


def test_no_two_takings_have_the_same_holder() -> None:
    cluster, holders = Cluster(), []
    for _ in range(2):
        with hold(cluster):
            holders.append(cluster.holder)
    assert holders[0] != holders[1]


def test_a_missing_namespace_is_made() -> None:
    cluster = Cluster(namespace=False)
    with hold(cluster):
        assert cluster.namespace


def test_a_missing_namespace_that_we_may_not_make_is_a_sentence() -> None:
    cluster = Cluster(namespace=False)

    def forbid(method: str) -> None:
        if method == "PATCH":
            raise refusal(403)

    cluster.before = forbid
    with pytest.raises(ServiceError, match="the namespace staging is missing") as error, hold(cluster):
        pass
    assert "kubectl apply -f setup/deployer.yaml" in error.value.hint


def test_a_namespace_that_is_going_is_said_instead_of_missing_rights() -> None:
    cluster = Cluster()
    cluster.is_going = True
    with pytest.raises(ServiceError, match="the namespace staging is being deleted"), hold(cluster):
        pytest.fail("nothing can be made there")


def test_somebody_who_renews_it_is_named_at_once() -> None:
    cluster = Cluster()
    cluster.put("bob@example.org on build-8 0a1b")
    time = Time(after_2=lambda: cluster.put("bob@example.org on build-8 0a1b"))
    with pytest.raises(ServiceError) as error, hold(cluster, time):
        pytest.fail("two hold it")
    assert str(error.value) == "bob@example.org on build-8 is deploying to staging since 2020-01-02 12:04 (UTC)"
    assert error.value.hint == "wait until that has ended, then run the same command again"
    assert time.sleeps == 2
    assert cluster.holder == "bob@example.org on build-8 0a1b"


def test_what_a_dead_owner_left_is_taken_over_after_its_own_duration() -> None:
    cluster, time = Cluster(), Time()
    cluster.put("bob 0a1b", leaseDurationSeconds=60, leaseTransitions=3)
    with hold(cluster, time):
        assert cluster.holder.startswith("ann on build-7 ")
        assert cluster.leases["lock"]["spec"]["leaseTransitions"] == 4
    assert 60 <= time.now < 70
    assert cluster.leases == {}


@pytest.mark.parametrize("holder", ["", None])
def test_what_was_released_is_taken_without_waiting(holder: Any) -> None:
    cluster, time = Cluster(), Time()
    cluster.put(holder)
    with hold(cluster, time):
        assert time.sleeps == 0


def test_what_is_released_while_we_watch_is_taken() -> None:
    cluster = Cluster()
    cluster.put("bob 0a1b")
    time = Time(after_1=cluster.leases.clear)
    with hold(cluster, time):
        assert time.sleeps == 1


def test_of_two_who_take_over_the_later_one_is_told_of_the_first() -> None:
    cluster, time = Cluster(), Time()
    cluster.put("bob 0a1b")

    def be_overtaken(method: str) -> None:
        if method == "PUT":
            cluster.before = lambda _: None
            cluster.put("eve 2c3d")

    cluster.before = be_overtaken
    with pytest.raises(ServiceError, match=r"^eve is deploying"), hold(cluster, time):
        pytest.fail("two hold it")
    assert cluster.holder == "eve 2c3d"


@pytest.mark.parametrize("taken", [False, True])
def test_a_request_that_was_sent_twice_is_recognized(taken: bool) -> None:  # noqa: FBT001  # a row of the table
    cluster, time = Cluster(), Time()
    if taken:
        cluster.put("bob 0a1b")
    cluster.lose_answers = 1 + taken
    with hold(cluster, time):
        assert cluster.holder.startswith("ann on build-7 ")
    assert cluster.leases == {}


def test_it_is_renewed_by_itself_even_when_requests_are_sent_twice_or_fail() -> None:
    cluster = Cluster()
    renewed = threading.Event()
    failures = iter([ServiceError("away"), ServiceError("away")])

    def count(method: str) -> None:
        if method == "PUT":
            if error := next(failures, None):
                raise error
            if cluster.log.count("PUT") == 3:
                renewed.set()

    cluster.before = count
    with hold(cluster, duration_s=0.03):
        before = cluster.leases["lock"]["spec"]
        cluster.lose_answers = 1
        assert renewed.wait(30)
        after = cluster.leases["lock"]["spec"]
        assert after["renewTime"] > before["renewTime"]
        assert {**after, "renewTime": ""} == {**before, "renewTime": ""}
    assert cluster.leases == {}


def test_what_was_lost_to_somebody_else_is_neither_taken_back_nor_released() -> None:
    cluster = Cluster()
    noticed = threading.Event()
    cluster.before = lambda method: noticed.set() if method == "GET" else None
    with hold(cluster, duration_s=0.03):
        cluster.put("bob 0a1b")
        assert noticed.wait(30)
    assert cluster.holder == "bob 0a1b"


def test_who_has_lost_it_is_told_to_whom_before_anything_is_changed() -> None:
    cluster = Cluster()
    with hold(cluster) as held:
        held.demand()
        cluster.put("bob on build-8 0a1b")
        with pytest.raises(ServiceError, match="was lost to bob on build-8"):
            held.demand()
        cluster.leases.clear()
        with pytest.raises(ServiceError, match="was lost to somebody who has let go"):
            held.demand()


def test_an_api_that_is_away_in_the_end_is_no_error() -> None:
    cluster = Cluster()

    def away(method: str) -> None:
        del method
        raise ServiceError("away")

    with hold(cluster):
        cluster.before = away
    assert cluster.holder.startswith("ann on build-7 ")


def test_an_api_that_is_away_in_the_beginning_is_an_error() -> None:
    cluster = Cluster()

    def away(method: str) -> None:
        raise ServiceError(f"{method}: away")

    cluster.before = away
    with pytest.raises(ServiceError, match="away"), hold(cluster):
        pytest.fail("nobody holds it")


def test_a_lock_that_changes_all_the_time_is_given_up() -> None:
    cluster = Cluster()

    def busy(method: str) -> None:
        if method in ("POST", "PUT"):
            cluster.put("")

    cluster.before = busy
    with pytest.raises(ServiceError, match="changes all the time"), hold(cluster):
        pytest.fail("nobody holds it")


@given(order=st.lists(st.sampled_from(["renew", "release", "vanish", "steal", "nothing"]), max_size=6))
def test_it_is_taken_only_when_nobody_has_been_alive_for_as_long_as_it_is_good(order: list[str]) -> None:
    cluster = Cluster()
    cluster.put("bob 0")
    alive = {"at": 0.0}

    def act(what: str) -> None:
        holder = cluster.holder if "lock" in cluster.leases else ""
        if what in ("release", "vanish"):
            alive.clear()
            cluster.leases.clear()
            if what == "release":
                cluster.put("")
        elif what == "steal" or (what == "renew" and holder):
            alive["at"] = time.now
            cluster.put("eve 1" if what == "steal" else holder)

    time = Time(**{f"after_{number}": partial(act, what) for number, what in enumerate(order, 1)})
    try:
        with hold(cluster, time):
            assert cluster.holder.startswith("ann on build-7 ")
            assert not alive or time.now - alive["at"] >= 30
    except ServiceError:
        assert cluster.holder in ("bob 0", "eve 1")
    else:
        assert cluster.leases == {}
