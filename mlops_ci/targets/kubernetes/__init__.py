"""
A service as manifests for Kubernetes: rendered for the cluster's version and checked against its API.

This version renders and checks. Applying is left to `kubectl apply -k`, or to whatever watches the folder.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn

import msgspec

from mlops_ci import digests
from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.release import SERVICE_ENV, Release
from mlops_ci.rendering import render_tree
from mlops_ci.targets import Check, Status, Verify, nothing_to_verify
from mlops_ci.targets.kubernetes import checks
from mlops_ci.targets.kubernetes.names import dns_name, label_value

_OLDEST_MINOR = 20
_CPU = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"
_MARGIN_S = 10
_MEMORY = r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$"

_Positive = Annotated[int, msgspec.Meta(ge=1)]


class Autoscale(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Between how many pods, and at which share of the requested CPU another one is added."""

    min: Annotated[int, msgspec.Meta(ge=1, description="The fewest pods.")] = 2
    max: Annotated[int, msgspec.Meta(ge=1, description="The most pods.")] = 6
    cpu_percent: Annotated[
        int, msgspec.Meta(ge=1, le=100, description="Of the requested CPU; above it a pod is added.")
    ] = 70


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one pod is given, and held to."""

    cpu: Annotated[str, msgspec.Meta(pattern=_CPU, description="Cores, or thousandths: 2, 0.5, 500m.")] = "500m"
    memory: Annotated[str, msgspec.Meta(pattern=_MEMORY, description="Bytes, with a unit: 512Mi, 2Gi.")] = "512Mi"


class KubernetesOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What varies between clusters."""

    kubernetes: Annotated[
        str, msgspec.Meta(pattern=r"^1\.[0-9]{1,3}$", description="The cluster's version, in quotes.")
    ] = "1.31"
    namespace: Annotated[
        str,
        msgspec.Meta(
            max_length=63,
            pattern=r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$",
            description="Where it goes. Default: `<project>-<target>`.",
        ),
    ] = ""
    replicas: Annotated[
        _Positive | Autoscale, msgspec.Meta(description="A number of pods, or the bounds of the autoscaler.")
    ] = Autoscale()
    resources: Annotated[Resources, msgspec.Meta(description="What one pod is given, and held to.")] = Resources()
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="The Service's port.")] = 80
    env: Annotated[dict[str, str], msgspec.Meta(description="Environment variables; no secrets.")] = {}
    start_timeout_s: Annotated[
        int, msgspec.Meta(ge=10, description="Seconds before a pod that has not started is restarted.")
    ] = 120

    def __post_init__(self) -> None:
        # A ValueError, so that whoever reads the configuration can say where it stands.
        if self.minor < _OLDEST_MINOR:
            raise ValueError(f"kubernetes {self.kubernetes} is older than 1.{_OLDEST_MINOR}")
        if isinstance(self.replicas, Autoscale) and self.replicas.min > self.replicas.max:
            raise ValueError(f"replicas.min {self.replicas.min} is above replicas.max {self.replicas.max}")

    @property
    def minor(self) -> int:
        """The 31 of 1.31."""
        return int(self.kubernetes.partition(".")[2])


class KubernetesTarget:
    """Renders and checks manifests; deploys nothing itself."""

    Options: ClassVar[type[msgspec.Struct]] = KubernetesOptions
    applies: ClassVar[bool] = False

    def __init__(self, name: str, options: KubernetesOptions, *, state: Path) -> None:
        self._name = name
        self._options = options
        self._state = state

    def render(self, release: Release, overrides: Path | None = None) -> dict[str, str]:
        """Render the manifests and the kustomization that names them all; see `Target.render`."""
        values = self._values(release)
        draft = render_tree("targets/kubernetes", values, overrides)
        if "configmap.yaml" not in draft:
            raise ConfigError("targets/kubernetes/configmap.yaml.j2 renders to nothing, and the pods want it")
        # Pods read their settings once: a changed ConfigMap must change the pods' template, or nothing restarts.
        values["config_digest"] = digests.of_bytes(draft["configmap.yaml"].encode())
        values["resources"] = sorted(path for path in draft if _is_manifest(path))
        return render_tree("targets/kubernetes", values, overrides)

    def check(self, files: Mapping[str, str]) -> Check:
        """Check structure, the cluster's own schemas, and the restricted Pod Security Standard; see `Target.check`."""
        return checks.check(files, self._options.kubernetes)

    def apply(self, bundle: Path, *, plan_digest: str = "", verify: Verify = nothing_to_verify) -> NoReturn:
        """Say how it is done, since this version does not do it; see `Target.apply`."""
        del bundle, plan_digest, verify
        raise UsageError(
            f"this version renders and checks the manifests of {self._name!r} and does not apply them",
            hint=f"`mlops-ci render --target {self._name}`, then `kubectl apply -k` on the folder targets/{self._name}",
        )

    def status(self) -> Status | None:
        """Nobody here can know; see `Target.status`."""
        return None

    def remove(self) -> bool:
        """Nothing was started from here; see `Target.remove`."""
        return False

    def _values(self, release: Release) -> dict[str, Any]:
        options, name = self._options, dns_name(release.model)
        selector = {
            "app.kubernetes.io/name": name,
            "app.kubernetes.io/instance": label_value(self._name),
            "app.kubernetes.io/part-of": label_value(release.project),
        }
        autoscale = options.replicas if isinstance(options.replicas, Autoscale) else None
        return {
            "release": release.values,
            "options": msgspec.to_builtins(options),
            "name": name,
            "namespace": options.namespace or dns_name(f"{release.project}-{self._name}"),
            "selector": selector,
            "labels": {
                **selector,
                "app.kubernetes.io/component": "inference",
                "app.kubernetes.io/managed-by": "mlops-ci",
                "app.kubernetes.io/version": label_value(release.version),
            },
            "annotations": {
                "mlops-ci/model": release.model,
                "mlops-ci/version": release.version,
                "mlops-ci/sha": release.sha,
                "mlops-ci/record": release.version_record,
                "mlops-ci/model-digest": release.model_digest,
            },
            "autoscale": msgspec.to_builtins(autoscale),
            "image": release.image or f"{checks.NO_IMAGE}/{name}:not-built",
            "api_keys": bool(release.settings.get("api_keys")),
            "grpc_port": release.settings.get("grpc_port", 0),
            "grace_s": math.ceil(release.settings.get("drain_s", 5.0) + release.timeout_s) + _MARGIN_S,
            "environment": {**SERVICE_ENV, **options.env},
            "config_digest": "",
            "resources": [],
            "autoscaling_api": "autoscaling/v2" if options.minor >= 23 else "autoscaling/v2beta2",
            "policy_api": "policy/v1" if options.minor >= 21 else "policy/v1beta1",
        }


def _is_manifest(path: str) -> bool:
    return path.endswith((".yaml", ".yml")) and path != "kustomization.yaml"
