"""Ordered and held, field by field: what a server may add and write another way, and what it may not."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci.targets.kubernetes import Autoscale, KubernetesOptions, KubernetesTarget
from mlops_ci.targets.kubernetes.holding import missing
from mlops_ci.targets.kubernetes.objects import Object, objects_in
from tests.integration.served_model import sample_release

# What tells the items of a list from each other: another one is another item.
NAMING = {"name", "mountPath", "containerPort", "port", "protocol", "topologyKey", "whenUnsatisfiable"}
SELECTORS = {"matchLabels", "selector", "podSelector", "labelSelector"}


def rendered(**options: Any) -> list[Object]:
    chosen = KubernetesOptions(kubernetes="1.20", namespace="shop", **options)
    target = KubernetesTarget("staging", chosen, project="cancer-detection", state=Path("unused"))
    release = sample_release(image="ghcr.io/acme/cancer:1", settings={"grpc_port": 50051, "api_keys": True})
    return objects_in(target.render(release))


OBJECTS = [*rendered(replicas=2, env={"LEVEL": "debug"}), *rendered(replicas=Autoscale(min=2, max=5))]

_KEYS = {
    "containers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "topologySpreadConstraints": ("topologyKey", "whenUnsatisfiable"),
}


def leaves(value: Any, kind: str, path: str = "", key: str = "") -> Iterator[tuple[str, Any, Any]]:
    """The path, as it is shown, the container and the key in it of every scalar."""
    if isinstance(value, dict):
        for name, each in value.items():
            below = f"{path}.{name}" if path else name
            if isinstance(each, dict | list):
                yield from leaves(each, kind, below, name)
            else:
                yield below, value, name
    else:
        names = _KEYS.get(key, ())
        if key == "ports" and kind in {"Service", "Deployment"}:
            names = ("port" if kind == "Service" else "containerPort", "protocol")
        for index, each in enumerate(value):
            shown = ",".join(
                f'{name}="{each[name]}"' if isinstance(each[name], str) else f"{name}={each[name]}" for name in names
            )
            below = f"{path}[{shown or index}]"
            if isinstance(each, dict | list):
                yield from leaves(each, kind, below)
            else:
                yield below, value, index


def mappings(value: Any, key: str = "") -> Iterator[dict[str, Any]]:
    """Every mapping in *value* to which a server may add something."""
    if isinstance(value, dict):
        if key not in SELECTORS:
            yield value
            for name, each in value.items():
                yield from mappings(each, name)
    elif isinstance(value, list):
        for each in value:
            yield from mappings(each)


objects = st.sampled_from(OBJECTS)


@given(objects)
def test_an_object_holds_itself(ordered: Object) -> None:
    assert missing(ordered, copy.deepcopy(ordered)) == []


scalars = st.none() | st.booleans() | st.integers() | st.text()
anything = st.recursive(scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


@given(st.dictionaries(st.sampled_from(["kind", "metadata", "spec", "ports", "env", "selector", "limits"]), anything))
def test_whatever_it_is_it_holds_itself(ordered: Object) -> None:
    assert missing(ordered, copy.deepcopy(ordered)) == []


@given(objects, st.data())
def test_what_a_server_adds_does_not_matter(ordered: Object, data: st.DataObject) -> None:
    held = copy.deepcopy(ordered)
    for place in data.draw(st.lists(st.sampled_from(list(mappings(held))))):
        place["aDefault"] = data.draw(st.sampled_from([1, "x", True, {"a": []}, [{"name": "b"}]]))
    held["status"] = {"phase": "Active"}
    held["apiVersion"] = "another/v1"
    assert missing(ordered, held) == []


@given(objects, st.data())
def test_exactly_the_field_that_was_changed_or_dropped_is_found(ordered: Object, data: st.DataObject) -> None:
    held = copy.deepcopy(ordered)
    every = [each for each in leaves(held, held["kind"]) if each[0] != "apiVersion" and each[2] not in NAMING]
    path, place, key = data.draw(st.sampled_from(every))
    if isinstance(place, dict) and data.draw(st.booleans()):
        del place[key]
    else:
        before = place[key]
        place[key] = data.draw(st.sampled_from(["other", "9", 9, not before, None]).filter(lambda each: each != before))
        if place[key] is None and isinstance(place, list):
            place[key] = "other"
    assert missing(ordered, held) == [path]


def deployment(**pod: Any) -> Object:
    return {"kind": "Deployment", "spec": {"template": {"spec": pod}}}


@pytest.mark.parametrize(
    ("field", "ordered", "held"),
    [
        ("limits", {"cpu": "0.5", "memory": "1024Mi"}, {"cpu": "500m", "memory": "1Gi"}),
        ("requests", {"cpu": 2, "memory": 1073741824}, {"cpu": "2", "memory": "1Gi"}),
        ("emptyDir", {"sizeLimit": "1024Ki"}, {"sizeLimit": "1Mi"}),
        ("target", {"type": "Value", "value": "1000m"}, {"type": "Value", "value": "1"}),
        ("target", {"averageValue": "0.1"}, {"averageValue": "100m"}),
        ("nodeSelector", {"a": "1"}, {"a": "1"}),
        ("podSelector", {}, None),
        ("egress", [], None),
        ("securityContext", {"capabilities": {"add": []}}, None),
        ("hostNetwork", False, None),
        ("initialDelaySeconds", 0, None),
        ("env", [{"name": "A", "value": ""}], [{"name": "A"}]),
        ("creationTimestamp", None, "2024-05-01T00:00:00Z"),
        ("env", [{"name": "B", "value": "2"}], [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]),
        ("volumes", [], [{"name": "injected"}]),
        ("ports", [{"containerPort": 80}], [{"containerPort": 80, "protocol": "TCP"}]),
        ("metrics", [{"type": "A"}, {"type": "B"}], [{"type": "B"}, {"type": "A"}]),
        ("weight", 1, 1.0),
    ],
)
def test_what_means_the_same_is_held(field: str, ordered: Any, held: Any) -> None:
    there = {} if held is None else {field: held}
    assert missing(deployment(**{field: ordered}), deployment(**there)) == []


@pytest.mark.parametrize(
    ("field", "ordered", "held", "found"),
    [
        ("limits", {"cpu": "0.5"}, {"cpu": "501m"}, ["limits.cpu"]),
        ("limits", {"cpu": "0.5"}, {"cpu": "half"}, ["limits.cpu"]),
        ("env", [{"name": "A", "value": "0.5"}], [{"name": "A", "value": "500m"}], ['env[name="A"].value']),
        ("env", [{"name": "A"}], [{"name": "B"}], ['env[name="A"]']),
        ("env", [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}], [{"name": "A", "value": "1"}], ["env[1]"]),
        ("podSelector", {}, {"matchLabels": {"a": "b"}}, ["podSelector"]),
        ("selector", {"a": "1"}, {"a": "1", "b": "2"}, ["selector"]),
        ("egress", [], [{"ports": []}], ["egress"]),
        ("egress", [{"ports": [{"port": 1}]}], [{"ports": [{"port": 1}, {"port": 2}]}], ["egress[0].ports"]),
        ("args", ["a", "b"], ["b", "a"], ["args[0]", "args[1]"]),
        ("args", ["a", "b"], ["a"], ["args[1]"]),
        ("args", ["a"], ["a", "b"], ["args"]),
        ("args", ["a"], None, ["args"]),
        ("metrics", [{"type": "A"}, {"type": "C"}], [{"type": "B"}, {"type": "A"}], ["metrics[1].type"]),
        ("hostUsers", False, None, ["hostUsers"]),
        ("allowed", True, 1, ["allowed"]),
        ("port", 80, "80", ["port"]),
        ("grpc", {"port": 1, "service": "x"}, None, ["grpc"]),
        ("grpc", {"port": 1}, "text", ["grpc"]),
        ("labels", {"empty": ""}, {}, ["labels.empty"]),
    ],
)
def test_what_means_something_else_is_not(field: str, ordered: Any, held: Any, found: list[str]) -> None:
    there = {} if held is None else {field: held}
    paths = [f"spec.template.spec.{each}" for each in found]
    assert missing(deployment(**{field: ordered}), deployment(**there)) == paths


def test_a_secret_is_held_as_the_server_codes_it() -> None:
    ordered = {"kind": "Secret", "stringData": {"key": "hunter2"}, "data": {"other": "YQ=="}}
    assert missing(ordered, {"kind": "Secret", "data": {"key": "aHVudGVyMg==", "other": "YQ=="}}) == []
    assert missing(ordered, {"kind": "Secret", "data": {"key": "eA==", "other": "YQ=="}}) == ["data.key"]
