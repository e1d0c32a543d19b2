"""
Rendered manifests, checked without a cluster: structure, the API's own schemas, and what a pod may do.

The schemas are those of `kubernetes-validate`, an extra; without it, or for a version that it does not
know, the answer says that nobody looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlops_ci.targets import Check
from mlops_ci.targets.kubernetes import pod_security

NO_IMAGE = "image.invalid"
"""The registry of an image that was not built yet; RFC 2606 sees to it that nothing can be pulled from there."""

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
# Kubernetes' own groups have no dot, or end in .k8s.io.
_CUSTOM = re.compile(r"(?!.*\.k8s\.io/).+\..+/.+")
_Documents = list[tuple[str, dict[str, Any]]]


def check(files: Mapping[str, str], version: str) -> Check:
    """Check *files* (text by relative path) for a cluster of *version* (`1.31`)."""
    problems: list[str] = []
    documents: _Documents = []
    for path in sorted(files):
        if path.endswith((".yaml", ".yml")):
            documents += [(path, document) for document in _documents(path, files[path], problems)]
    if not documents:
        problems.append("there is no manifest")
    manifests = [(path, document) for path, document in documents if path != "kustomization.yaml"]
    problems += _kustomization(dict(documents).get("kustomization.yaml"), [path for path, _ in manifests])
    problems += _structure(manifests)
    problems += [f"{path}: {problem}" for path, document in manifests for problem in pod_security.problems(document)]
    wrong, unchecked = _schemas(manifests, version)
    return Check(problems=problems + wrong, unchecked=unchecked + _images(manifests))


def _documents(path: str, text: str, problems: list[str]) -> list[dict[str, Any]]:
    """The manifests in *text*; what is none goes to *problems*."""
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    try:
        found = [document for document in yaml.safe_load_all(text) if document is not None]
    except yaml.YAMLError as error:
        problems.append(f"{path} is not YAML: {' '.join(str(error).split())}")
        return []
    good = [each for each in found if isinstance(each, dict) and each.get("kind") and each.get("apiVersion")]
    if len(good) < len(found) or not found:
        problems.append(f"{path} holds something without apiVersion and kind")
    return good


def _kustomization(document: dict[str, Any] | None, paths: list[str]) -> list[str]:
    if document is None:
        return ["there is no kustomization.yaml, which `kubectl apply -k` reads"]
    listed = document.get("resources") or []
    missing = [f"kustomization.yaml names {path}, which is not there" for path in listed if path not in paths]
    return missing + [f"kustomization.yaml leaves out {path}" for path in dict.fromkeys(paths) if path not in listed]


def _structure(manifests: _Documents) -> Iterator[str]:
    seen: dict[tuple[str, str], str] = {}
    for path, document in manifests:
        metadata = _mapping(document, "metadata")
        kind, name = str(document["kind"]), str(metadata.get("name", ""))
        if not _NAME.fullmatch(name) or len(name) > 63:
            yield f"{path}: {name!r} cannot name a {kind}"
        if (kind, name) in seen:
            yield f"{path}: {kind} {name} is in {seen[kind, name]} too"
        seen[kind, name] = path
        for key, value in _mapping(metadata, "labels").items():
            if not isinstance(value, str) or len(value) > 63 or not _LABEL.fullmatch(value):
                yield f"{path}: {value!r} cannot be the value of the label {key}"
    pods = [_mapping(document, "spec", "template", "metadata", "labels") for _, document in manifests]
    for path, document in manifests:
        selector = _selector(document)
        if selector and not any(selector.items() <= labels.items() for labels in pods):
            yield f"{path}: the selector of {document['kind']} finds no pod"


def _selector(document: dict[str, Any]) -> dict[str, Any]:
    if document["kind"] == "Service":
        return _mapping(document, "spec", "selector")
    key = "podSelector" if document["kind"] == "NetworkPolicy" else "selector"
    return _mapping(document, "spec", key, "matchLabels")


def _mapping(document: Any, *path: str) -> dict[str, Any]:
    """The mapping at *path*, empty where there is none."""
    for key in path:
        document = document.get(key) if isinstance(document, dict) else None
    return document if isinstance(document, dict) else {}


def _images(manifests: _Documents) -> list[str]:
    return [
        f"{path}: there is no image yet: build one, and name it in serving.image"
        for path, document in manifests
        if any(str(each.get("image", "")).startswith(NO_IMAGE) for each in pod_security.containers(document))
    ]


def _schemas(manifests: _Documents, version: str) -> tuple[list[str], list[str]]:
    """What the API of *version* refuses, and what nobody could look at."""
    try:
        from kubernetes_validate import SchemaNotFoundError, ValidationError, utils  # noqa: PLC0415  # an extra
    except ModuleNotFoundError:
        get = "pip install 'mlops-ci[kubernetes]'"
        return [], [f"no manifest was compared with the API of Kubernetes {version}: {get}"]
    known = list(dict.fromkeys(utils.major_minor(each) for each in utils.all_versions()))
    if version not in known:
        has = f"the installed kubernetes-validate knows {known[0]} to {known[-1]}"
        return [], [f"no manifest was compared with the API of Kubernetes {version}: {has}"]
    problems: list[str] = []
    unchecked: list[str] = []
    for path, document in manifests:
        try:
            utils.validate(document, version, strict=True)
        except ValidationError as error:
            place = ".".join(str(step) for step in error.path)
            problems.append(f"{path}: {place or document['kind']}: {error.message}")
        except SchemaNotFoundError:
            kind = f"{document['kind']} ({document['apiVersion']})"
            if _CUSTOM.fullmatch(document["apiVersion"]):
                unchecked.append(f"{path}: nothing is known of {kind}, a resource of somebody else's")
            else:
                problems.append(f"{path}: Kubernetes {version} has no {kind}")
    return problems, unchecked
