"""A target's namespace: whether it is there, and making it where we may."""

from __future__ import annotations

from urllib.parse import quote

from mlops_ci.errors import ServiceError
from mlops_ci.targets.kubernetes.api import Api, Denied
from mlops_ci.targets.kubernetes.refusals import FIELD_MANAGER


def exists(api: Api, namespace: str) -> bool:
    """Whether the cluster has *namespace*. Raises `ServiceError` if it is about to go, or nobody answered."""
    try:
        found = api.get(f"/api/v1/namespaces/{quote(namespace, safe='')}")
    except Denied as error:
        if error.status == 403:  # whoever has rights in a namespace alone may not look at it, and it is there
            return True
        if error.status == 404:
            return False
        raise
    if found["metadata"].get("deletionTimestamp"):
        raise ServiceError(
            f"the namespace {namespace} is being deleted", hint="run the same command again when it is gone"
        )
    return True


def make(api: Api, namespace: str) -> None:
    """Make *namespace*. Raises `ServiceError` if our rights do not suffice."""
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": namespace, "labels": {"app.kubernetes.io/managed-by": "mlops-ci"}},
    }
    try:
        api.send(
            "PATCH",
            f"/api/v1/namespaces/{quote(namespace, safe='')}",
            body,
            query={"fieldManager": FIELD_MANAGER, "force": "false"},
            content_type="application/apply-patch+yaml",
        )
    except Denied as error:
        if error.status != 403:
            raise
        raise ServiceError(
            f"the namespace {namespace} is missing, and the credentials may not make it: an administrator has to",
            hint="`kubectl apply -f setup/deployer.yaml`, which `mlops-ci render` writes, makes it, and the rights",
        ) from error
