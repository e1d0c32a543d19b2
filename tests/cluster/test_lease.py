"""The lock of a target on a real cluster: one of two has it, and what a dead owner left is taken over."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes import lease
from mlops_ci.targets.kubernetes.api import Api, Denied
from tests.cluster.conftest import fresh_namespace

LEASES = "/apis/coordination.k8s.io/v1/namespaces/{}/leases/mlops-ci-staging"


@pytest.fixture(scope="module")
def place(api: Api) -> Iterator[str]:
    with fresh_namespace(api) as name:
        yield name


def is_gone(api: Api, namespace: str) -> bool:
    with pytest.raises(Denied) as denied:
        api.get(LEASES.format(namespace))
    return denied.value.status == 404


def test_whoever_holds_it_is_named_and_nothing_is_left_of_it_in_the_end(api: Api, place: str) -> None:
    with lease.held(api, place, "mlops-ci-staging", "ann@example.org on build-7", duration_s=3):
        held = api.get(LEASES.format(place))["spec"]
        assert held["leaseDurationSeconds"] == 3
        with (
            pytest.raises(ServiceError, match=rf"^ann@example.org on build-7 is deploying to {place} since ..:.. "),
            lease.held(api, place, "mlops-ci-staging", "bob@example.org on build-8"),
        ):
            pytest.fail("two hold it")
    assert is_gone(api, place)


def test_of_many_at_once_one_gets_it(api: Api, place: str) -> None:
    inside, over, refused = [], threading.Event(), []

    def take(number: int) -> None:
        try:
            with lease.held(api, place, "mlops-ci-staging", f"worker {number}", duration_s=3):
                inside.append(number)
                over.wait(60)
        except ServiceError as error:
            refused.append(str(error))
            if len(refused) == 4:
                over.set()

    with ThreadPoolExecutor(5) as threads:
        list(threads.map(take, range(5)))
    assert len(inside) == 1
    assert all(said.startswith(f"worker {inside[0]} is deploying") for said in refused)
    assert is_gone(api, place)


def test_what_a_dead_owner_left_is_taken_over(api: Api, place: str) -> None:
    spec = {"holderIdentity": "ann@example.org 0", "leaseDurationSeconds": 1, "leaseTransitions": 4}
    left = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "spec": spec,
        "metadata": {"name": "mlops-ci-staging"},
    }
    api.send("POST", LEASES.format(place).rpartition("/")[0], left)
    with lease.held(api, place, "mlops-ci-staging", "bob@example.org on build-8"):
        held = api.get(LEASES.format(place))["spec"]
        assert held["holderIdentity"].startswith("bob@example.org on build-8 ")
        assert held["leaseTransitions"] == 5
    assert is_gone(api, place)


def test_a_namespace_that_is_missing_is_made(api: Api, place: str) -> None:
    name = f"{place}-new"
    try:
        with lease.held(api, name, "mlops-ci-staging", "ann@example.org"):
            made = api.get(f"/api/v1/namespaces/{name}")
        assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "mlops-ci"
    finally:
        api.send("DELETE", f"/api/v1/namespaces/{name}")
