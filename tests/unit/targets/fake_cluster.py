"""
A cluster in memory, as far as applying manifests goes: objects, who owns which of their fields, and saying no.

What the real one does in the same situations is in `tests/cluster/test_applying.py`.
"""

from __future__ import annotations

import copy
import itertools
import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mlops_ci.targets.kubernetes.api import TIMEOUT_S, Api, Kind
from mlops_ci.targets.kubernetes.objects import Object

SERVED = {
    "v1": {"Namespace": "namespaces", "ServiceAccount": "serviceaccounts", "ConfigMap": "configmaps",
           "Secret": "secrets", "Service": "services", "Pod": "pods"},
    "apps/v1": {"Deployment": "deployments"},
    "autoscaling/v2beta2": {"HorizontalPodAutoscaler": "horizontalpodautoscalers"},
    "networking.k8s.io/v1": {"NetworkPolicy": "networkpolicies", "Ingress": "ingresses"},
    "policy/v1beta1": {"PodDisruptionBudget": "poddisruptionbudgets"},
    "rbac.authorization.k8s.io/v1": {"ClusterRole": "clusterroles"},
}  # fmt: skip
KEYS = {"containers": "name", "env": "name", "volumes": "name", "ports": "name", "volumeMounts": "mountPath"}

_Path = tuple[str, ...]
_Fields = dict[_Path, Any]


class FakeCluster(Api):
    """
    The API of a cluster that has the namespaces *namespaces*.

    Attributes:
        objects: What is there, by path, without what the answers add.
        drops: Paths of fields, "spec.x", that are dropped silently.
        writes: Method and path of every request that changed something.
    """

    def __init__(self, *namespaces: str, served: Mapping[str, Mapping[str, str]] = SERVED) -> None:
        self._who = "the fake"
        self._kinds: dict[str, dict[str, Kind]] = {}
        self._served = served
        self._denials: list[tuple[str, re.Pattern[str], int, str, str, list[dict[str, str]]]] = []
        self._numbers = itertools.count(1)
        self._owned: dict[str, dict[str, set[_Path]]] = {}
        self.objects: dict[str, Object] = {}
        self.drops: set[str] = set()
        self.writes: list[str] = []
        for name in namespaces:
            self.put(f"/api/v1/namespaces/{name}", {"kind": "Namespace", "metadata": {"name": name}})

    def deny(
        self, method: str, path: str, status: int = 403, message: str = "no", cause: dict[str, str] | None = None
    ) -> None:
        """Say no to *method* (a regular expression, as *path*), from now on."""
        reason = {403: "Forbidden", 404: "NotFound", 409: "Conflict", 422: "Invalid"}.get(status, "")
        self._denials.append((method, re.compile(path), status, reason, message, [cause] if cause else []))

    def put(self, path: str, found: Object, manager: str = "somebody") -> None:
        """Put *found* there as *manager*, who owns all of it then."""
        wanted = copy.deepcopy(found)
        before = self.objects.get(path, {}).get("metadata", {})
        number = str(next(self._numbers))
        wanted["metadata"] = {
            "uid": before.get("uid", f"uid-{number}"),
            **wanted["metadata"],
            "resourceVersion": number,
        }
        fields = _flat(_content(wanted))
        before_fields = _flat(_content(self.objects[path])) if path in self.objects else {}
        changed = {each for each, value in fields.items() if before_fields.get(each) != value}
        owned = self._owned.setdefault(path, {})
        for each in owned:
            owned[each] -= changed
        owned.setdefault(manager, set()).update(changed)
        self.objects[path] = wanted

    def answer(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
        timeout_s: float = TIMEOUT_S,
        again: bool = True,
    ) -> tuple[int, bytes]:
        """As a real one, of what `applying` asks."""
        del headers, timeout_s, again
        parts = urlsplit(path)
        path, query = unquote(parts.path), {**dict(parse_qsl(parts.query)), **(query or {})}
        for denied, where, status, reason, message, causes in self._denials:
            if re.fullmatch(denied, method) and where.search(path):
                return _said(status, reason, message, causes)
        if method == "GET":
            return self._read(path, query)
        if method == "DELETE":
            return self._delete(path, body)
        assert (method, content_type) == ("PATCH", "application/apply-patch+yaml")
        return self._apply(path, copy.deepcopy(body), query)

    def _read(self, path: str, query: Mapping[str, str]) -> tuple[int, bytes]:
        if path == "/version":
            return 200, json.dumps({"major": "1", "minor": "20+"}).encode()
        version = re.sub("^/apis?/", "", path)
        if version in self._served:
            listed = [
                {"name": plural, "kind": kind, "namespaced": kind not in {"Namespace", "ClusterRole"}}
                for kind, plural in self._served[version].items()
            ]
            return 200, json.dumps({"resources": listed}).encode()
        if path in self.objects:
            return 200, json.dumps(self._shown(path)).encode()
        if path.rpartition("/")[2] in {plural for kinds in self._served.values() for plural in kinds.values()}:
            return 200, json.dumps({"items": self._found(path, query.get("labelSelector", ""))}).encode()
        return _said(404, "NotFound", f"{path} not found", [])

    def _found(self, path: str, selector: str) -> list[Object]:
        wanted = dict(each.split("=") for each in selector.split(",") if each)
        found = [self._shown(each) for each in self.objects if each.rpartition("/")[0] == path]
        for each in found:
            del each["kind"]
            each.pop("apiVersion", None)
        return [each for each in found if wanted.items() <= each["metadata"].get("labels", {}).items()]

    def _shown(self, path: str) -> Object:
        found = copy.deepcopy(self.objects[path])
        found["metadata"]["managedFields"] = [
            {
                "manager": manager,
                "operation": "Apply",
                "time": str(next(self._numbers)),
                "fieldsV1": _deep({tuple(f"f:{step}" for step in each): {} for each in owned}),
            }
            for manager, owned in self._owned.get(path, {}).items()
            if owned
        ]
        return found

    def _delete(self, path: str, body: Object) -> tuple[int, bytes]:
        if path not in self.objects:
            return _said(404, "NotFound", f"{path} not found", [])
        assert body["preconditions"]["uid"] == self.objects[path]["metadata"]["uid"]
        assert body["propagationPolicy"] == "Background"
        self.writes.append(f"DELETE {path}")
        del self.objects[path], self._owned[path]
        return 200, b"{}"

    def _apply(self, path: str, wanted: Object, query: Mapping[str, str]) -> tuple[int, bytes]:
        namespace = re.search("(.*/namespaces/[^/]+)/", path)
        if namespace and re.sub("^/apis?/.*/namespaces/", "/api/v1/namespaces/", namespace[1]) not in self.objects:
            return _said(404, "NotFound", f"{namespace[1]} not found", [])
        manager, new = query["fieldManager"], _flat(_content(wanted))
        new = {each: value for each, value in new.items() if ".".join(each) not in self.drops}
        owned = self._owned.get(path, {})
        there = _flat(_content(self.objects[path])) if path in self.objects else {}
        minded = [
            {"reason": "FieldManagerConflict", "field": _dotted(each), "message": f'conflict with "{other}"'}
            for other, fields in owned.items()
            for each in sorted(fields & new.keys())
            if other != manager and there[each] != new[each]
        ]
        if minded and query["force"] != "true":
            return _said(409, "Conflict", "Apply failed with conflicts", minded)
        others = set().union(*(fields for other, fields in owned.items() if other != manager))
        gone = owned.get(manager, set()) - new.keys() - others
        fields = {**{each: value for each, value in there.items() if each not in gone}, **new}
        taken = {each for each in new if each in there and there[each] != new[each]}
        return self._store(path, wanted, fields, {manager: set(new)}, taken, dry="dryRun" in query)

    def _store(
        self, path: str, wanted: Object, fields: _Fields, claim: dict[str, set[_Path]], taken: set[_Path], *, dry: bool
    ) -> tuple[int, bytes]:
        before = copy.deepcopy((self.objects.get(path), self._owned.get(path)))
        after = {**_deep(fields), "kind": wanted["kind"], "apiVersion": wanted["apiVersion"]}
        metadata = before[0]["metadata"] if before[0] else {"uid": f"uid-{next(self._numbers)}"}
        server = {key: metadata[key] for key in ("uid", "resourceVersion") if key in metadata}
        after["metadata"] = {**after["metadata"], **server}
        owned = {each: rest - taken for each, rest in (before[1] or {}).items()} | claim
        if before != (after, owned):
            after["metadata"]["resourceVersion"] = str(next(self._numbers))
            self.objects[path], self._owned[path] = after, owned
        shown = json.dumps(self._shown(path)).encode()
        if not dry:
            self.writes.append(f"PATCH {path}")
        elif before[0] is None:
            del self.objects[path], self._owned[path]
        else:
            self.objects[path], self._owned[path] = before[0], before[1] or {}
        return 200, shown


def _content(found: Object) -> Object:
    metadata = {key: each for key, each in found["metadata"].items() if key not in {"uid", "resourceVersion"}}
    return {key: each for key, each in {**found, "metadata": metadata}.items() if key not in {"kind", "apiVersion"}}


def _flat(value: Any, key: str = "", path: _Path = ()) -> _Fields:
    """The leaves of *value*, by path; of a keyed list, those of its items."""
    if isinstance(value, dict) and value:
        return {inner: each for name in value for inner, each in _flat(value[name], name, (*path, name)).items()}
    name = KEYS.get(key, "")
    if isinstance(value, list) and value and all(isinstance(each, dict) and name in each for each in value):
        items = {f'[{name}="{each[name]}"]': each for each in value}
        return {inner: leaf for label, each in items.items() for inner, leaf in _flat(each, "", (*path, label)).items()}
    return {path: value}


def _deep(fields: _Fields) -> Any:
    root: dict[str, Any] = {}
    for path, value in fields.items():
        at = root
        for step in path[:-1]:
            at = at.setdefault(step, {})
        at[path[-1]] = copy.deepcopy(value)
    return _listed(root)


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    if value and all(key.startswith("[") for key in value):
        return [_listed(each) for each in value.values()]
    return {key: _listed(each) for key, each in value.items()}


def _dotted(path: _Path) -> str:
    return "." + ".".join(path).replace(".[", "[")


def _said(status: int, reason: str, message: str, causes: list[dict[str, str]]) -> tuple[int, bytes]:
    said = {"kind": "Status", "message": message, "reason": reason, "details": {"causes": causes}}
    return status, json.dumps(said).encode()
