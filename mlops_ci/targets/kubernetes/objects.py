"""Rendered files as the objects that a cluster is given, and what among a cluster's objects is ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from mlops_ci.targets.kubernetes.names import label_value

PLAN = "mlops-ci/plan"
"""The annotation of a Deployment with the digest of its plan. No manifest has it: their digest is part of the plan."""

SETUP = "setup/"
"""The folder of what an administrator applies once: a deployer cannot give itself its own rights."""

_MANAGED_BY = "app.kubernetes.io/managed-by"
# What others refer to comes before them; what is not named here comes last.
_ORDER = (
    *("ServiceAccount", "ConfigMap", "Secret", "NetworkPolicy", "Service", "PodDisruptionBudget", "Deployment"),
    *("HorizontalPodAutoscaler", "Ingress", "HTTPRoute"),
)

Object = dict[str, Any]


class Scope(NamedTuple):
    """What belongs to one target of one project: that of *namespace* with all of *labels*."""

    namespace: str
    labels: dict[str, str]

    @classmethod
    def of(cls, project: str, target: str, namespace: str) -> Self:
        """The scope of *target*."""
        labels = {
            "app.kubernetes.io/instance": label_value(target),
            "app.kubernetes.io/part-of": label_value(project),
            _MANAGED_BY: "mlops-ci",
        }
        return cls(namespace, labels)

    @property
    def selector(self) -> dict[str, str]:
        """The labels by which pods are found: who manages them is not among them."""
        return {key: value for key, value in self.labels.items() if key != _MANAGED_BY}

    @property
    def query(self) -> str:
        """The labels as the API's `labelSelector`."""
        return ",".join(f"{key}={value}" for key, value in sorted(self.labels.items()))

    def has(self, found: Object) -> bool:
        """Whether *found* is ours."""
        metadata = found.get("metadata") or {}
        return bool(self.labels.items() <= (metadata.get("labels") or {}).items())


def objects_in(files: Mapping[str, str]) -> list[Object]:
    """The objects of rendered *files* that have passed `check`, in the order in which they are applied."""
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    found: list[Object] = []
    for path in sorted(files):
        if path.endswith((".yaml", ".yml")) and path != "kustomization.yaml" and not path.startswith(SETUP):
            found += [each for each in yaml.safe_load_all(files[path]) if each is not None]
    return sorted(found, key=lambda each: _ORDER.index(each["kind"]) if each["kind"] in _ORDER else len(_ORDER))


def shown(found: Object) -> str:
    """How a person calls it: "Deployment churn"."""
    return f"{found['kind']} {found['metadata']['name']}"


def workload(objects: list[Object]) -> Object | None:
    """The Deployment among *objects*; None if a repository's own templates render none."""
    return next((each for each in objects if each["kind"] == "Deployment"), None)
