"""
The Pod Security Standard "restricted", and wishes of ours on top: a read-only root, limits, no token of the cluster.

https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

_VOLUMES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral"),
    *("persistentVolumeClaim", "projected", "secret"),
}
_PROFILES = ("RuntimeDefault", "Localhost")
_SYSCTLS = {
    *("kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start"),
    *("net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range", "net.ipv4.ip_local_reserved_ports"),
    *("net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
    "net.ipv4.tcp_keepalive_probes",
}

_SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
_APPARMOR_ANNOTATION = "container.apparmor.security.beta.kubernetes.io/"


def problems(document: dict[str, Any]) -> list[str]:
    """Return what the pods of *document* may do and should not; nothing for what has no pods."""
    spec = pod_spec(document)
    if spec is None:
        return []
    return [
        *_pod(spec),
        *_apparmor_of(document),
        *(problem for container in containers(document) for problem in _container(container, spec)),
    ]


def pod_spec(document: dict[str, Any]) -> dict[str, Any] | None:
    """Return the pods' specification in *document*, of whichever kind it is."""
    spec = _part(document, "spec")
    if document.get("kind") == "Pod":
        return spec
    if document.get("kind") == "CronJob":
        spec = _part(_part(spec, "jobTemplate"), "spec")
    return _part(_part(spec, "template"), "spec") if "template" in spec else None


def containers(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Return every container of the pods of *document*."""
    spec = pod_spec(document) or {}
    kinds = ("containers", "initContainers", "ephemeralContainers")
    return [each for kind in kinds for each in spec.get(kind) or [] if isinstance(each, dict)]


def _pod(spec: dict[str, Any]) -> Iterator[str]:
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(field):
            yield f"{field} is set"
    for volume in spec.get("volumes") or []:
        for kind in sorted(set(volume) - {"name"} - _VOLUMES):
            yield f"the volume {volume.get('name')} is a {kind}"
        if any(each.get("serviceAccountToken") for each in _part(volume, "projected").get("sources") or []):
            yield f"the volume {volume.get('name')} has a token of the service account"
    for sysctl in _part(spec, "securityContext").get("sysctls") or []:
        if sysctl.get("name") not in _SYSCTLS:
            yield f"the sysctl {sysctl.get('name')} is set"
    if spec.get("automountServiceAccountToken") is not False:
        yield "automountServiceAccountToken is not false"
    yield from _confinement(_part(spec, "securityContext"), "the pod")


def _apparmor_of(document: dict[str, Any]) -> Iterator[str]:
    """The pods' annotations, which said it before there was a field."""
    metadata = document if document.get("kind") == "Pod" else _part(_part(document, "spec"), "template")
    for key, value in _part(_part(metadata, "metadata"), "annotations").items():
        if str(key).startswith(_APPARMOR_ANNOTATION) and not str(value).startswith(("runtime/default", "localhost/")):
            yield f"the container {str(key).removeprefix(_APPARMOR_ANNOTATION)} has the AppArmor profile {value}"


def _confinement(context: dict[str, Any], who: str) -> Iterator[str]:
    """What the kernel holds a process to besides."""
    selinux = _part(context, "seLinuxOptions")
    if selinux.get("type", "") not in _SELINUX or selinux.get("user") or selinux.get("role"):
        yield f"{who} has SELinux options of its own"
    apparmor = _part(context, "appArmorProfile").get("type", "RuntimeDefault")
    if apparmor not in _PROFILES:
        yield f"{who} has the AppArmor profile {apparmor}"
    if _part(context, "windowsOptions").get("hostProcess"):
        yield f"{who} is a process of its host"


def _container(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    own, pod, name = _part(container, "securityContext"), _part(spec, "securityContext"), container.get("name")
    either = {**pod, **own}
    if either.get("runAsNonRoot") is not True:
        yield f"the container {name} may run as root: runAsNonRoot is not true"
    if either.get("runAsUser") == 0:
        yield f"the container {name} runs as root: runAsUser is 0"
    if _part(either, "seccompProfile").get("type") not in _PROFILES:
        yield f"the container {name} has no seccompProfile of {' or '.join(_PROFILES)}"
    yield from _privileges(own, name)
    yield from _confinement(own, f"the container {name}")
    for hook in _handlers(container):
        if any(_part(hook, kind).get("host") for kind in ("httpGet", "tcpSocket")):
            yield f"the container {name} has a probe or hook that asks another host"
    if any(port.get("hostPort") for port in container.get("ports") or []):
        yield f"the container {name} takes a port of its host"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"the container {name} may write to its image: readOnlyRootFilesystem is not true"
    for resource in ("cpu", "memory"):
        if resource not in _part(_part(container, "resources"), "limits"):
            yield f"the container {name} has no limit of {resource}"


def _privileges(own: dict[str, Any], name: Any) -> Iterator[str]:
    if own.get("privileged"):
        yield f"the container {name} is privileged"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"the container {name} may gain privileges: allowPrivilegeEscalation is not false"
    if own.get("procMount", "Default") != "Default":
        yield f"the container {name} has the procMount {own['procMount']}"
    capabilities = _part(own, "capabilities")
    if "ALL" not in (capabilities.get("drop") or []):
        yield f"the container {name} does not drop ALL capabilities"
    for added in sorted(set(capabilities.get("add") or []) - {"NET_BIND_SERVICE"}):
        yield f"the container {name} adds the capability {added}"


def _handlers(container: dict[str, Any]) -> list[dict[str, Any]]:
    """The probes and hooks of *container*."""
    probes = [_part(container, f"{kind}Probe") for kind in ("startup", "readiness", "liveness")]
    return [*probes, *(_part(_part(container, "lifecycle"), kind) for kind in ("postStart", "preStop"))]


def _part(document: dict[str, Any], key: str) -> dict[str, Any]:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
