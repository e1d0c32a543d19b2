"""Of what a Deployment's controller made, what belongs to its present template, and how far that is. Pure."""

from __future__ import annotations

from mlops_ci.targets.kubernetes.objects import Object

_HASH = "pod-template-hash"
_REVISION = "deployment.kubernetes.io/revision"


def observed(deployment: Object) -> bool:
    """Whether its controller has seen the present *deployment*: what it said before is about another."""
    said = deployment.get("status") or {}
    return bool(said.get("observedGeneration", 0) >= deployment["metadata"]["generation"])


def complete(deployment: Object) -> bool:
    """Whether every pod of *deployment* is of its present template, and available, as for `kubectl rollout status`."""
    said = deployment.get("status") or {}
    wanted, updated = deployment["spec"].get("replicas", 1), said.get("updatedReplicas", 0)
    return bool(
        observed(deployment)
        and updated >= wanted
        and said.get("replicas", 0) <= updated
        and said.get("availableReplicas", 0) >= updated
    )


def newest(deployment: Object, replica_sets: list[Object]) -> Object | None:
    """
    The ReplicaSet of the *deployment*'s present template; None if its controller has not made it yet.

    The template decides, as it does for the controller; where it is written in another way there, the revision.
    """
    own = [each for each in replica_sets if _owned(each, deployment)]
    wanted = deployment["spec"]["template"]
    for each in own:
        if _without_hash(each["spec"]["template"]) == wanted:
            return each
    # With nothing updated the highest revision is the one before.
    if not (deployment.get("status") or {}).get("updatedReplicas"):
        return None
    return max(own, key=_revision, default=None)


def pods_of(replica_set: Object | None, pods: list[Object]) -> list[Object]:
    """Those of *pods* that belong to *replica_set* and are not being deleted, by name."""
    if replica_set is None:
        return []
    found = [pod for pod in pods if _owned(pod, replica_set) and not pod["metadata"].get("deletionTimestamp")]
    return sorted(found, key=lambda pod: str(pod["metadata"]["name"]))


def ready(pod: Object) -> bool:
    """Whether the pod takes requests."""
    return (condition(pod, "Ready") or {}).get("status") == "True"


def condition(found: Object, kind: str) -> Object | None:
    """The condition *kind* that *found* says of itself."""
    conditions = (found.get("status") or {}).get("conditions") or []
    return next((each for each in conditions if each.get("type") == kind), None)


def _owned(found: Object, owner: Object) -> bool:
    owners = found["metadata"].get("ownerReferences") or []
    return any(each.get("uid") == owner["metadata"]["uid"] for each in owners)


def _revision(replica_set: Object) -> int:
    said = str((replica_set["metadata"].get("annotations") or {}).get(_REVISION, "0"))
    return int(said) if said.isdigit() else 0


def _without_hash(template: Object) -> Object:
    metadata = template.get("metadata") or {}
    labels = {key: value for key, value in (metadata.get("labels") or {}).items() if key != _HASH}
    return {**template, "metadata": {**metadata, "labels": labels}}
