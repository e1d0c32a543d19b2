"""
Manifests into a cluster, by server-side apply as the field manager mlops-ci, and out of it by their labels.

The cluster is asked about every object before one of them is changed, so that what it refuses leaves nothing half done;
what is as it was ordered is not written again. Why it refused is put into words in `refusals`.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.targets import Change, Tell, nothing_to_say
from mlops_ci.targets.kubernetes import holding, namespaces, refusals
from mlops_ci.targets.kubernetes.api import Api, Denied, Kind, path_of
from mlops_ci.targets.kubernetes.objects import PLAN, Object, Scope, shown
from mlops_ci.targets.kubernetes.refusals import FIELD_MANAGER

# Every kind that a version of ours may have rendered, and the API versions of it that we can read.
_RENDERED = {
    ("ServiceAccount", ""): ["v1"],
    ("ConfigMap", ""): ["v1"],
    ("NetworkPolicy", "networking.k8s.io"): ["networking.k8s.io/v1"],
    ("Service", ""): ["v1"],
    ("PodDisruptionBudget", "policy"): ["policy/v1", "policy/v1beta1"],
    ("Deployment", "apps"): ["apps/v1"],
    ("HorizontalPodAutoscaler", "autoscaling"): ["autoscaling/v2", "autoscaling/v2beta2"],
    ("Ingress", "networking.k8s.io"): ["networking.k8s.io/v1"],
    ("HTTPRoute", "gateway.networking.k8s.io"): ["gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1beta1"],
}
_SERVERS_OWN = {"managedFields", "resourceVersion", "generation", "uid", "creationTimestamp", "selfLink"}
_NOT_COMPARED = {"deployment.kubernetes.io/revision", PLAN}


class _Look(NamedTuple):
    """One object: as it was ordered, where it is, what is there, and what would be; *conflict* if somebody minds."""

    wanted: Object
    path: str
    held: Object | None
    would: Object
    conflict: Denied | None = None


def plan(api: Api, objects: list[Object], scope: Scope) -> list[Change]:
    """
    Ask the cluster what `apply` would do, in its order.

    Somebody else's fields do not fail a plan: it shows what would be if they were taken over, and whose they are.

    Raises:
        UsageError: The cluster would not take an object, or one is there that is not ours.
        ServiceError: Nobody answered, or our rights do not suffice.
    """
    _demand_labels(objects, scope)
    if not namespaces.exists(api, scope.namespace):
        return [Change(action="create", what=shown(each)) for each in objects]
    changes = [_change(look) for look in _looks(api, objects, scope, force=True)]
    stale = _ours(api, objects, scope, nothing_to_say)
    return changes + [Change(action="delete", what=shown(found)) for _, found in stale]


def _nothing_to_demand() -> None:
    """Nobody else can be there."""


def apply(
    api: Api,
    objects: list[Object],
    scope: Scope,
    *,
    plan_digest: str,
    tell: Tell,
    force: bool = False,
    demand: Callable[[], None] = _nothing_to_demand,
) -> None:
    """
    Make the cluster hold *objects*, and delete what is ours and not among them.

    Args:
        api: The cluster.
        objects: In the order in which they are applied.
        scope: What is ours.
        plan_digest: Goes into an annotation of the Deployment itself, not of its pods: it restarts nothing.
        tell: Told what changed.
        force: Take over fields that somebody else has changed.
        demand: Called before each change; raises `ServiceError` if it is not ours to make any more.

    Raises:
        UsageError: There is no object, the cluster would not take one, or one is there that is not ours; nothing was
            changed.
        ServiceError: Nobody answered, our rights do not suffice, or something changed in between.
    """
    if not objects:
        raise UsageError(
            f"there is no manifest for the namespace {scope.namespace}: all that runs there would be deleted",
            hint="`mlops-ci deployments stop` takes a deployment away",
        )
    _demand_labels(objects, scope)
    if not namespaces.exists(api, scope.namespace):
        namespaces.make(api, scope.namespace)
        tell(f"Namespace {scope.namespace}: created")
    for look in _looks(api, [_with_plan(each, plan_digest) for each in objects], scope, force=force):
        if _is_settled(look):
            continue
        demand()
        try:
            after = _send(api, look.path, look.wanted, force="false" if look.conflict is None else "true")
        except Denied as error:
            raise refusals.explained(error, look.wanted, scope.namespace, ServiceError) from error
        if look.held is None:
            tell(f"{shown(look.wanted)}: created")
        elif look.held["metadata"].get("resourceVersion") != after["metadata"].get("resourceVersion"):
            tell(f"{shown(look.wanted)}: configured")
    for path, found in _ours(api, objects, scope, tell):
        demand()
        _delete(api, path, found)
        tell(f"{shown(found)}: deleted")


def remove(api: Api, scope: Scope) -> bool:
    """
    Delete everything of ours of the kinds that we render; the namespace stays. False if there was nothing.

    Raises:
        ServiceError: Nobody answered, or our rights do not suffice.
    """
    unseen: list[str] = []
    found = _ours(api, [], scope, unseen.append)
    if not found and unseen and len(unseen) >= len(_kinds(api, [], nothing_to_say)):
        raise ServiceError(f"nothing can be looked for in the namespace {scope.namespace}", hint=refusals.RIGHTS)
    for path, each in reversed(found):
        _delete(api, path, each)
    return bool(found)


def demand_held(api: Api, objects: list[Object]) -> None:
    """
    Compare what the cluster holds with what was ordered, field by field.

    Raises:
        ServiceError: It is not there, or fields of it are missing or have another value.
    """
    usual = next((each["metadata"]["namespace"] for each in objects if each["metadata"].get("namespace")), "default")
    for each in objects:
        kind = _kind(api, each)
        held = _get(api, path_of(kind, each["metadata"].get("namespace", usual), each["metadata"]["name"]))
        if held is None:
            raise ServiceError(
                f"{shown(each)} was applied, and is not there", hint="somebody deleted it; run the same command again"
            )
        fields = holding.missing(each, held)
        if fields:
            raise ServiceError(
                f"{shown(each)}: the cluster does not hold {refusals.listed(fields)}, "
                f"which was ordered (Kubernetes {_version(api)} may not know it)",
                hint=refusals.UNKNOWN,
            )


def _looks(api: Api, objects: list[Object], scope: Scope, *, force: bool = False) -> list[_Look]:
    """Ask about every object; with *force* also what would be if others' fields were taken over."""
    there: list[tuple[Object, str, Object | None]] = []
    for each in objects:
        path = path_of(_kind(api, each), scope.namespace, each["metadata"]["name"])
        held = _get(api, path)
        there.append((_with_replicas(each, held), path, held))
    foreign = [shown(each) for each, _, held in there if held is not None and not scope.has(held)]
    if foreign:
        which = f"{'is' if len(foreign) == 1 else 'are'} there already and not ours"
        raise UsageError(
            f"in the namespace {scope.namespace}, {', '.join(foreign)} {which}: the labels {scope.query} are missing",
            hint="choose another namespace for the target, or delete by hand what nobody needs",
        )
    return [_look(api, each, path, held, scope, force=force) for each, path, held in there]


def _look(api: Api, wanted: Object, path: str, held: Object | None, scope: Scope, *, force: bool) -> _Look:
    try:
        return _Look(wanted, path, held, _send(api, path, wanted, dryRun="All"))
    except Denied as error:
        if not (force and refusals.is_conflict(error)):
            raise refusals.explained(error, wanted, scope.namespace, UsageError) from error
        conflict = error
    try:
        return _Look(wanted, path, held, _send(api, path, wanted, dryRun="All", force="true"), conflict)
    except Denied as error:
        raise refusals.explained(error, wanted, scope.namespace, UsageError) from error


def _send(api: Api, path: str, wanted: Object, **query: str) -> Object:
    query = {"fieldManager": FIELD_MANAGER, "force": "false", **query}
    after: Object = json.loads(
        api.send("PATCH", path, wanted, query=query, content_type="application/apply-patch+yaml")
    )
    return after


def _change(look: _Look) -> Change:
    what = shown(look.wanted)
    if look.held is None:
        return Change(action="create", what=what)
    diff = _diff(_settled(look.held), _settled(look.would), what)
    if look.conflict is not None:
        owners = refusals.owners(look.conflict).items()
        diff = "".join(f"# {owner} owns {', '.join(fields)}: a conflict\n" for owner, fields in owners) + diff
    return Change(action="update" if diff else "same", what=what, diff=diff)


def _diff(before: Object, after: Object, what: str) -> str:
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    if before == after:
        return ""
    old, new = (
        yaml.safe_dump(each, sort_keys=True, allow_unicode=True).splitlines(keepends=True)
        for each in (_without_secrets(before, after, "before"), _without_secrets(after, before, "after"))
    )
    return "".join(difflib.unified_diff(old, new, f"{what} (there)", f"{what} (ordered)"))


def _without_secrets(found: Object, other: Object, when: str) -> Object:
    """*found* to be shown: of a Secret, which of its values differ from those of *other*, and not what they are."""
    if found.get("kind") != "Secret":
        return found
    values, others = found.get("data") or {}, other.get("data") or {}
    return {
        **found,
        "data": {key: "***" if others.get(key) == each else f"*** ({when})" for key, each in values.items()},
    }


def _settled(found: Object) -> Object:
    """*found* without what the server and its controllers write into it, and what says when we came by."""
    metadata = {key: value for key, value in found["metadata"].items() if key not in _SERVERS_OWN}
    annotations = metadata.pop("annotations", None) or {}
    annotations = {key: value for key, value in annotations.items() if key not in _NOT_COMPARED}
    if annotations:
        metadata["annotations"] = annotations
    return {**{key: value for key, value in found.items() if key != "status"}, "metadata": metadata}


def _is_settled(look: _Look) -> bool:
    """
    Whether there is nothing to write: the same content, the same plan, and the same fields are ours.

    Kubernetes 1.20 counts a NetworkPolicy without egress as changed at every apply, so this is not left to the server.
    """
    if look.held is None:
        return False
    held, would = look.held, look.would
    return (_settled(held), _plan_of(held), _claims(held)) == (_settled(would), _plan_of(would), _claims(would))


def _plan_of(found: Object) -> str | None:
    return (found["metadata"].get("annotations") or {}).get(PLAN)


def _claims(found: Object) -> list[Any]:
    """The fields that are ours, without the time at which we said so."""
    entries = found["metadata"].get("managedFields") or []
    ours = [each for each in entries if (each.get("manager"), each.get("operation")) == (FIELD_MANAGER, "Apply")]
    return [{key: value for key, value in each.items() if key != "time"} for each in ours]


def _with_plan(wanted: Object, plan_digest: str) -> Object:
    if wanted["kind"] != "Deployment" or not plan_digest:
        return wanted
    metadata = wanted["metadata"]
    return {
        **wanted,
        "metadata": {**metadata, "annotations": {**(metadata.get("annotations") or {}), PLAN: plan_digest}},
    }


def _with_replicas(wanted: Object, held: Object | None) -> Object:
    """
    Go on holding the number of pods where *wanted* leaves it out, to an autoscaler, say, and it was ours until now.

    A field that nobody orders any more gets its default: one pod, until the autoscaler has counted.
    """
    spec = wanted.get("spec") or {}
    if wanted["kind"] != "Deployment" or held is None or "replicas" in spec or not held["spec"].get("replicas"):
        return wanted
    if not any("f:replicas" in each.get("fieldsV1", {}).get("f:spec", {}) for each in _claims(held)):
        return wanted
    return {**wanted, "spec": {**spec, "replicas": held["spec"]["replicas"]}}


def _demand_labels(objects: list[Object], scope: Scope) -> None:
    without = [shown(each) for each in objects if not scope.has(each)]
    if without:
        raise UsageError(
            f"without the labels {scope.query}, {', '.join(without)} could never be told from what is not ours",
            hint='`{% include "targets/kubernetes/_metadata.yaml.j2" %}` in its template writes them',
        )


def _ours(api: Api, objects: list[Object], scope: Scope, tell: Tell) -> list[tuple[str, Object]]:
    """What carries our labels and is not among *objects*, with its path; what may not be listed is told."""
    # By kind and name alone: the same Ingress is found in two groups.
    kept = {(each["kind"], each["metadata"]["name"]) for each in objects}
    found: dict[str, tuple[str, Object]] = {}
    for name, kind in _kinds(api, objects, tell):
        try:
            listed = api.get(path_of(kind, scope.namespace), labelSelector=scope.query)["items"]
        except Denied as error:
            if error.status not in {403, 404, 405}:
                raise
            if error.status == 403:
                tell(f"the credentials may not list {kind.plural}: what is left of them stays")
            continue
        for each in listed:
            metadata = each["metadata"]
            # Pods and the like inherit labels; they go with what owns them.
            leaving = metadata.get("deletionTimestamp") or metadata.get("ownerReferences")
            if scope.has(each) and not leaving and (name, metadata["name"]) not in kept:
                whole = {**each, "kind": name, "apiVersion": kind.api_version}
                found[metadata["uid"]] = (path_of(kind, scope.namespace, metadata["name"]), whole)
    return list(found.values())


def _kinds(api: Api, objects: list[Object], tell: Tell) -> list[tuple[str, Kind]]:
    """The kinds to be looked through, by the first of their API versions that the cluster has."""
    versions = {key: list(each) for key, each in _RENDERED.items()}
    for each in objects:
        group = each["apiVersion"].rpartition("/")[0]
        versions.setdefault((each["kind"], group), []).insert(0, each["apiVersion"])
    return [(key[0], kind) for key, each in versions.items() for kind in _served(api, key[0], each, tell)]


def _served(api: Api, name: str, versions: list[str], tell: Tell) -> Iterator[Kind]:
    for version in versions:
        try:
            kind = api.kind(version, name)
        except Denied as error:
            if error.status == 403:
                tell(f"the credentials may not ask for {name}: what is left of it stays")
            elif error.status != 404:
                raise
        else:
            # What is not in a namespace, and may be one, is nobody's to prune.
            if kind.namespaced:
                yield kind
            return


def _delete(api: Api, path: str, found: Object) -> None:
    """Delete *found*, and not what somebody has put into its place."""
    options = {
        "apiVersion": "v1",
        "kind": "DeleteOptions",
        "propagationPolicy": "Background",
        "preconditions": {"uid": found["metadata"]["uid"]},
    }
    try:
        api.send("DELETE", path, options)
    except Denied as error:
        if error.status != 404:
            raise


def _get(api: Api, path: str) -> Object | None:
    try:
        found: Object = api.get(path)
    except Denied as error:
        if error.status == 404:
            return None
        raise
    return found


def _kind(api: Api, wanted: Object) -> Kind:
    try:
        return api.kind(wanted["apiVersion"], wanted["kind"])
    except Denied as error:
        if error.status != 404:
            raise
        raise UsageError(
            f"{shown(wanted)}: the cluster has no {wanted['kind']} in {wanted['apiVersion']}", hint=refusals.UNKNOWN
        ) from error


def _version(api: Api) -> str:
    found = api.get("/version")
    return f"{found['major']}.{found['minor'].rstrip('+')}"
