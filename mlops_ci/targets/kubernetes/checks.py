"""
Rendered manifests, checked without a cluster: structure, the API's own schemas, and what a pod may do.

The schemas are those of `kubernetes-validate`, an extra; without it, or for a version that it does not
know, the answer says that nobody looked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from mlops_ci.targets import Check
from mlops_ci.targets.kubernetes import pod_security
from mlops_ci.targets.kubernetes.objects import SETUP

NO_IMAGE = "image.invalid"
"""The registry of an image that was not built yet; RFC 2606 sees to it that nothing can be pulled from there."""

KUSTOMIZATION = "kustomization.yaml"

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
# What applying the manifests does as well; anything else would be done by `kubectl apply -k` alone.
_SAID_BY_KUSTOMIZATION = {"apiVersion", "kind", "metadata", "namespace", "resources"}
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_LABEL = re.compile(r"([A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?)?")
# Kubernetes' own groups have no dot, or end in .k8s.io; of those, the Gateway API is installed apart.
_CUSTOM = re.compile(r"(?!.*\.k8s\.io/).+\..+/.+|gateway\.networking\.k8s\.io/.+")
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
    manifests = [(path, document) for path, document in documents if path != KUSTOMIZATION]
    applied = [path for path, _ in manifests if is_manifest(path)]
    problems += _kustomization(dict(documents).get(KUSTOMIZATION), applied)
    problems += _structure(manifests)
    problems += [f"{path}: {problem}" for path, document in manifests for problem in pod_security.problems(document)]
    wrong, unchecked = _schemas(manifests, version)
    return Check(problems=problems + wrong, unchecked=[*unchecked, *_images(manifests)])


def is_manifest(path: str) -> bool:
    """Whether the rendered file *path* is one that a deployment applies."""
    return path.endswith((".yaml", ".yml")) and path != KUSTOMIZATION and not path.startswith(SETUP)


def _documents(path: str, text: str, problems: list[str]) -> list[dict[str, Any]]:
    """The manifests in *text*; what is none goes to *problems*."""
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    try:
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        found = [document for document in yaml.load_all(text, loader) if document is not None]
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
    unknown = sorted(document.keys() - _SAID_BY_KUSTOMIZATION)
    return [
        *(f"kustomization.yaml says {key}, which a deployment does not do: write it as a patch" for key in unknown),
        *(f"kustomization.yaml names {path}, which is not there" for path in listed if path not in paths),
        *(f"kustomization.yaml leaves out {path}" for path in dict.fromkeys(paths) if path not in listed),
    ]


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


def _images(manifests: _Documents) -> Iterator[str]:
    """Images that are not there, or that may become others."""
    for path, document in manifests:
        for container in pod_security.containers(document):
            image = str(container.get("image", ""))
            if image.startswith(NO_IMAGE):
                yield f"{path}: there is no image yet: build one, and name it in serving.image"
            elif not _DIGEST.fullmatch(image):
                yield f"{path}: the image {image} has no digest, so it can become another one"


def _schemas(manifests: _Documents, version: str) -> tuple[list[str], list[str]]:
    """What the API of *version* refuses, and what nobody could look at."""
    try:
        from kubernetes_validate import utils  # noqa: PLC0415  # an extra
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
        kind, api_version = str(document["kind"]), str(document["apiVersion"])
        schema = _schema(version, kind, api_version)
        if schema is not None:
            problems += _violations(path, document, schema)
        elif _CUSTOM.fullmatch(api_version):
            unchecked.append(
                f"{path}: nothing is known of {kind} ({api_version}), which is no part of Kubernetes itself"
            )
        else:
            problems.append(f"{path}: Kubernetes {version} has no {kind} ({api_version})")
    return problems, unchecked


def _violations(path: str, document: dict[str, Any], schema: Any) -> Iterator[str]:
    from jsonschema.exceptions import best_match  # type: ignore[import-untyped]  # noqa: PLC0415  # as in `_schema`

    error = best_match(schema.iter_errors(document))
    if error is not None:
        place = ".".join(str(step) for step in error.path)
        yield f"{path}: {place or document['kind']}: {error.message}"


@cache
def _schema(version: str, kind: str, api_version: str) -> Any:
    """
    The strict schema of a kind; None if *version* has none.

    As `kubernetes_validate.utils.validate` has it, which reads all schemas of the version for each manifest anew.
    """
    from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # noqa: PLC0415  # comes with the next
    from kubernetes_validate import utils  # noqa: PLC0415  # an extra
    from referencing import Registry, Resource  # noqa: PLC0415  # as above

    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)
    try:
        schema = utils.schema_contents(f"{_folder(version)}/{kind.lower()}-{group}.json", version)
    except FileNotFoundError:
        return None
    registry: Registry[Any] = _definitions(version) @ (Resource.from_contents(schema) @ Registry())
    return Draft202012Validator(schema, registry=registry)


@cache
def _definitions(version: str) -> Any:
    from kubernetes_validate import utils  # noqa: PLC0415  # as above
    from referencing import Resource  # noqa: PLC0415  # as above

    return Resource.from_contents(utils.schema_contents(f"{_folder(version)}/_definitions.json", version))


def _folder(version: str) -> str:
    from kubernetes_validate import utils  # noqa: PLC0415  # as above

    newest = [each for each in utils.all_versions() if utils.major_minor(each) == version][-1]
    return f"kubernetes-json-schema/v{newest}-local-strict"
