"""
A service on Kubernetes: manifests rendered for the cluster's version, applied from the server's side, watched, tried.

Nothing is asked of the cluster that its API does not answer: the service itself is reached through it, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from mlops_ci import digests, rendering
from mlops_ci.errors import ConfigError, ServiceError
from mlops_ci.release import SERVICE_ENV, Release
from mlops_ci.targets import Change, Check, Order, Smoke, Status, Tell, nothing_to_say, nothing_to_smoke
from mlops_ci.targets.kubernetes import checks, patches
from mlops_ci.targets.kubernetes.checks import KUSTOMIZATION, is_manifest
from mlops_ci.targets.kubernetes.names import dns_name, label_value
from mlops_ci.targets.kubernetes.objects import Scope, objects_in

if TYPE_CHECKING:
    from mlops_ci.targets.kubernetes.api import Api

DEPLOYER = "mlops-ci-deployer"
"""The ServiceAccount, in the target's namespace, whose rights suffice to deploy."""

_TEMPLATES = "targets/kubernetes"
_OLDEST_MINOR = 20
_CPU = r"^([0-9]+m|[0-9]+(\.[0-9]{1,3})?)$"
_MARGIN_S = 10
_MEMORY = r"^[1-9][0-9]*(Ki|Mi|Gi|Ti|k|M|G|T)?$"
_HOST = r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+$"
_OBJECT = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?)?$"
_PATH = r"^/([A-Za-z0-9._~/-]*[A-Za-z0-9._~-])?$"

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


class Ingress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How an ingress controller brings requests from outside to the service."""

    host: Annotated[str, msgspec.Meta(pattern=_HOST, max_length=253, description="The name that people ask for.")]
    class_name: Annotated[
        str, msgspec.Meta(pattern=_OBJECT, max_length=253, description="Of the controller. Default: the cluster's.")
    ] = msgspec.field(default="", name="class")
    path: Annotated[
        str, msgspec.Meta(pattern=_PATH, description="Where it begins; the service is asked for all of it.")
    ] = "/"
    tls_secret: Annotated[
        str,
        msgspec.Meta(pattern=_OBJECT, max_length=253, description="A Secret with the certificate. Default: no TLS."),
    ] = ""
    annotations: Annotated[dict[str, str], msgspec.Meta(description="What the controller is told besides.")] = {}


class Gateway(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which Gateway of the cluster brings requests from outside to the service."""

    name: Annotated[str, msgspec.Meta(pattern=_OBJECT, min_length=1, max_length=253, description="The Gateway's name.")]
    namespace: Annotated[
        str, msgspec.Meta(pattern=_OBJECT, max_length=63, description="Where it is. Default: beside the service.")
    ] = ""
    host: Annotated[str, msgspec.Meta(pattern=_HOST, max_length=253, description="The name that people ask for.")]
    path: Annotated[
        str, msgspec.Meta(pattern=_PATH, description="Where it begins; the service is asked for the rest.")
    ] = "/"


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
    credentials: Annotated[
        str,
        msgspec.Meta(
            pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
            description="The environment variable with the kubeconfig: its path, its content, or that as base64.",
        ),
    ] = "KUBECONFIG"
    context: Annotated[str, msgspec.Meta(description="Of the kubeconfig. Default: its current one.")] = ""
    replicas: Annotated[
        _Positive | Autoscale, msgspec.Meta(description="A number of pods, or the bounds of the autoscaler.")
    ] = Autoscale()
    resources: Annotated[Resources, msgspec.Meta(description="What one pod is given, and held to.")] = Resources()
    port: Annotated[int, msgspec.Meta(ge=1, le=65535, description="The Service's port.")] = 80
    ingress: Annotated[Ingress | None, msgspec.Meta(description="Reach it from outside through an Ingress.")] = None
    gateway: Annotated[
        Gateway | None, msgspec.Meta(description="Reach it from outside through a Gateway: an HTTPRoute.")
    ] = None
    image_pull_secret: Annotated[
        str,
        msgspec.Meta(
            pattern=_OBJECT, max_length=253, description="A Secret with which the image is pulled. Default: none."
        ),
    ] = ""
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
        if self.ingress and self.gateway:
            raise ValueError("ingress and gateway are both said; one of them brings requests to the service")

    @property
    def minor(self) -> int:
        """The 31 of 1.31."""
        return int(self.kubernetes.partition(".")[2])


class KubernetesTarget:
    """One namespace of one cluster, and of that only what carries our labels."""

    Options: ClassVar[type[msgspec.Struct]] = KubernetesOptions
    needs_image: ClassVar[bool] = True

    def __init__(self, name: str, options: KubernetesOptions, *, project: str, state: Path) -> None:
        del state  # all of it is in the cluster
        self._name = name
        self._project = project
        self._options = options
        self._namespace = options.namespace or dns_name(f"{project}-{name}")
        self._scope = Scope.of(project, name, self._namespace)
        self._demand: Callable[[], None] = _nothing_to_demand

    def render(self, release: Release, overrides: Path | None = None) -> dict[str, str]:
        """Render the manifests, patched if *overrides* has patches, and the kustomization; see `Target.render`."""
        values = self._values(release)
        configmap = rendering.render(f"{_TEMPLATES}/configmap.yaml.j2", values, overrides)
        if not configmap.strip():
            raise ConfigError(f"{_TEMPLATES}/configmap.yaml.j2 renders to nothing, and the pods want it")
        # Pods read their settings once: a changed ConfigMap must change the pods' template, or nothing restarts.
        values["config_digest"] = digests.of_bytes(configmap.encode())
        files = rendering.render_tree(_TEMPLATES, values, overrides)
        wanted = patches.wanted(files, overrides)
        if wanted:
            files = patches.apply(files, wanted, self._namespace)
        values["resources"] = [path for path in files if is_manifest(path)]
        # Again, since what it lists is known now only.
        files[KUSTOMIZATION] = rendering.render(f"{_TEMPLATES}/{KUSTOMIZATION}.j2", values, overrides)
        return files

    def check(self, files: Mapping[str, str]) -> Check:
        """Check structure, the cluster's own schemas, and the restricted Pod Security Standard; see `Target.check`."""
        return checks.check(files, self._options.kubernetes)

    def plan(self, files: Mapping[str, str]) -> list[Change]:
        """Ask the cluster what it would make of *files*, without doing it; see `Target.plan`."""
        from mlops_ci.targets.kubernetes import applying  # noqa: PLC0415  # only a deployment has to cost this

        objects = objects_in(files)
        return applying.plan(self._api, objects, self._scope)

    @contextmanager
    def lock(self, owner: str) -> Iterator[None]:
        """Hold a Lease in the target's namespace; see `Target.lock`."""
        from mlops_ci.targets.kubernetes import lease  # noqa: PLC0415  # as in `plan`

        with lease.held(self._api, self._namespace, f"mlops-ci-{dns_name(self._name)}", owner) as held:
            self._demand = held.demand
            try:
                yield
            finally:
                self._demand = _nothing_to_demand

    def apply(self, order: Order, tell: Tell = nothing_to_say) -> None:
        """Apply every manifest as our field manager, then take away what is ours and not among them."""
        from mlops_ci.targets.kubernetes import applying  # noqa: PLC0415  # as in `plan`

        objects = objects_in(order.files)
        applying.apply(
            self._api,
            objects,
            self._scope,
            plan_digest=order.plan_digest,
            tell=tell,
            force=order.force,
            demand=self._demand,
        )

    def wait(self, order: Order, tell: Tell = nothing_to_say) -> str:
        """Follow the rollout, and say what is the matter where it does not move; see `Target.wait`."""
        from mlops_ci.targets.kubernetes import waiting  # noqa: PLC0415  # as in `plan`

        return waiting.wait(self._api, objects_in(order.files), tell)

    def verify(self, order: Order, smoke: Smoke = nothing_to_smoke) -> None:
        """Compare field by field what the cluster holds with what was ordered, then ask the service through its API."""
        from mlops_ci.targets.kubernetes import applying, asking  # noqa: PLC0415  # as in `plan`

        objects = objects_in(order.files)
        applying.demand_held(self._api, objects)
        smoke(asking.ask_through(self._api, objects))

    def rollback(self, order: Order | None, tell: Tell = nothing_to_say) -> None:
        """Apply the manifests of before; without any, take away what was begun; see `Target.rollback`."""
        if order is None:
            self._demand()
            self.remove()
        elif not order.files:
            raise ServiceError("its manifests were not kept", hint="deploy that version again")
        else:
            self.apply(order, tell)

    def status(self) -> Status | None:
        """Read what the Deployment says of itself; see `Target.status`."""
        from mlops_ci.targets.kubernetes import waiting  # noqa: PLC0415  # as in `plan`

        return waiting.status(self._api, self._scope)

    def remove(self) -> bool:
        """Delete what carries our labels; the namespace stays; see `Target.remove`."""
        from mlops_ci.targets.kubernetes import applying, namespaces  # noqa: PLC0415  # as in `plan`

        if self._demand is not _nothing_to_demand:
            return applying.remove(self._api, self._scope)
        if not namespaces.exists(self._api, self._namespace):
            return False
        with self.lock(f"a command that stops {self._name}"):
            return applying.remove(self._api, self._scope)

    @cached_property
    def _api(self) -> Api:
        from mlops_ci.targets.kubernetes.credentials import connect  # noqa: PLC0415  # as in `plan`

        return connect(self._options.credentials, self._options.context)

    def _values(self, release: Release) -> dict[str, Any]:
        options, name = self._options, dns_name(release.model)
        selector = {"app.kubernetes.io/name": name, **self._scope.selector}
        autoscale = options.replicas if isinstance(options.replicas, Autoscale) else None
        annotations = {
            "mlops-ci/model": release.model,
            "mlops-ci/version": release.version,
            "mlops-ci/sha": release.sha,
            "mlops-ci/record": release.version_record,
            "mlops-ci/model-digest": release.model_digest,
        }
        return {
            "release": release.values,
            "options": msgspec.to_builtins(options),
            "name": name,
            "namespace": self._namespace,
            "selector": selector,
            "labels": {
                **selector,
                **self._scope.labels,
                "app.kubernetes.io/component": "inference",
                "app.kubernetes.io/version": label_value(release.version),
            },
            "annotations": annotations,
            "ingress_annotations": {**options.ingress.annotations, **annotations} if options.ingress else {},
            "autoscale": msgspec.to_builtins(autoscale),
            "image": release.image or f"{checks.NO_IMAGE}/{name}:not-built",
            "api_keys": bool(release.settings.get("api_keys")),
            "grpc_port": release.settings.get("grpc_port", 0),
            "grace_s": math.ceil(release.settings.get("drain_s", 5.0) + release.timeout_s) + _MARGIN_S,
            "environment": {**SERVICE_ENV, **options.env},
            "config_digest": "",
            "resources": [],
            "ingress": msgspec.to_builtins(options.ingress),
            "gateway": msgspec.to_builtins(options.gateway),
            "deployer": DEPLOYER,
            "evicts_unhealthy": options.minor >= 27,
            "spreads_by_revision": options.minor >= 27,
            "autoscaling_api": "autoscaling/v2" if options.minor >= 23 else "autoscaling/v2beta2",
            "policy_api": "policy/v1" if options.minor >= 21 else "policy/v1beta1",
        }


def _nothing_to_demand() -> None:
    """Without the lock nothing is demanded of it."""
