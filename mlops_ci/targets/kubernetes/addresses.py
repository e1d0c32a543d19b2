"""Where a service is reached, as its own objects say. Pure."""

from __future__ import annotations

from mlops_ci.targets.kubernetes.objects import Object

_HTTP = 80


def url_of(objects: list[Object]) -> str:
    """The URL of the service among *objects*: its Ingress's or HTTPRoute's, else the cluster's own; "" without any."""
    for each in objects:
        host, path, tls = _entrance(each)
        if host and not host.startswith("*"):
            return f"{'https' if tls else 'http'}://{host}{path.rstrip('/')}"
    service = next((each for each in objects if each["kind"] == "Service"), None)
    if service is None:
        return ""
    ports = service["spec"].get("ports") or [{}]
    port = next((each for each in ports if each.get("name") == "http"), ports[0]).get("port", _HTTP)
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    return f"http://{host}" if port == _HTTP else f"http://{host}:{port}"


def _entrance(found: Object) -> tuple[str, str, bool]:
    """Host, path and TLS of an Ingress or HTTPRoute; no host for anything else."""
    spec = found.get("spec") or {}
    if found["kind"] == "Ingress":
        rule: Object = next((each for each in spec.get("rules") or [] if each.get("host")), {})
        paths = (rule.get("http") or {}).get("paths") or [{}]
        host = rule.get("host", "")
        tls = any(not (each.get("hosts") or []) or host in each["hosts"] for each in spec.get("tls") or [])
        return host, _plain(paths[0].get("path")), tls
    if found["kind"] == "HTTPRoute":
        hosts = spec.get("hostnames") or [""]
        rules = spec.get("rules") or [{}]
        matches = rules[0].get("matches") or [{}]
        # TLS is the listener's business; its name is all that a route knows of it.
        parents = spec.get("parentRefs") or []
        tls = any("https" in str(each.get("sectionName", "")) for each in parents)
        return hosts[0], _plain((matches[0].get("path") or {}).get("value")), tls
    return "", "", False


def _plain(path: str | None) -> str:
    """A path that is one; a pattern leads nowhere."""
    return path if path and not set(path) & set("()*$[") else ""
