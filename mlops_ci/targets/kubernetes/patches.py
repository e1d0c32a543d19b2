"""
A repository's own patches: kustomize lays them over the rendered manifests, and what comes out is approved and applied.

`kubectl kustomize` does it, in any version since 1.14, or `kustomize build`; therefore the kustomization that they read
here, which nobody else sees, is written in the fields that all of them know. Versions of kustomize write the same
objects in different ways: what is returned is written anew, so that it does not depend on who renders.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlops_ci import digests
from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.targets.kubernetes.checks import KUSTOMIZATION, is_manifest

if TYPE_CHECKING:
    import yaml

FOLDER = "patches/"
"""Below `targets/kubernetes/` in a repository's templates."""

MANIFESTS = "manifests.yaml"
"""All patched manifests."""

CONFIG_DIGEST = "mlops-ci/config-digest"

_PLACE = f"targets/kubernetes/{FOLDER}"
_SUFFIXES = (".yaml", ".yml")
_TIMEOUT_S = 60
# Readers of YAML do not agree on which words are booleans and numbers; on these they do.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]+")
_NOISE = re.compile(r'^([EWF]\d{4} .*? err=)?"?(error: |Error: )?(?P<sentence>.*?)"?$')

_Object = dict[str, Any]


def wanted(files: Mapping[str, str], overrides: Path | None) -> dict[str, str]:
    """
    Return the patches among rendered *files*, and those in *overrides* that are not templates: text by name, sorted.

    Raises:
        ConfigError: One is not text, or leads out of *overrides*.
    """
    found = {path.removeprefix(FOLDER): text for path, text in files.items() if path.startswith(FOLDER)}
    if overrides is not None:
        folder = overrides / _PLACE
        plain = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".j2"]
        found |= {path.relative_to(folder).as_posix(): _text_of(path, overrides) for path in plain}
    if wrong := [name for name in found if not name.endswith(_SUFFIXES)]:
        raise ConfigError(f"{_PLACE}{min(wrong)} is no patch", hint="a patch ends in .yaml, or .yaml.j2 as a template")
    return dict(sorted(found.items()))


def _text_of(path: Path, overrides: Path) -> str:
    # As with templates: a link must not draw a runner's secrets into what is published.
    if not path.resolve().is_relative_to(overrides.resolve()):
        raise ConfigError(f"{_PLACE}{path.name} leads out of {overrides.name}/")
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{_PLACE}{path.name} cannot be read as UTF-8") from error


def apply(files: Mapping[str, str], patches: Mapping[str, str], namespace: str) -> dict[str, str]:
    """
    Return *files* with their manifests patched, in one: `manifests.yaml`.

    Args:
        files: What was rendered.
        patches: What `wanted` found in them. A mapping is a strategic merge patch; of apiVersion, name and namespace
            it may leave out what its kind tells. A list is a JSON patch of the manifest that the file's name tells:
            `deployment.yaml`, or `configmap.<name>.yaml` where there are several of its kind.
        namespace: For what has none.

    Raises:
        ConfigError: A patch is wrong, or finds nothing.
        UsageError: There is neither kubectl nor kustomize.
    """
    manifests = {path: text for path, text in files.items() if is_manifest(path) and not path.startswith(FOLDER)}
    objects = [each for path, text in manifests.items() for each in _read(path, text)]
    merges: list[_Object] = []
    edits: list[tuple[_Object, list[Any]]] = []
    for name, text in patches.items():
        for patch in _read(FOLDER + name, text):
            if isinstance(patch, list):
                edits.append((_named(name, objects), patch))
            else:
                merges.append(_completed(name, patch, objects))
    text = _kustomize(objects, merges, edits, namespace)
    patched = sorted(_read("what kustomize wrote", text), key=lambda each: (each["kind"], each["metadata"]["name"]))
    others = {path: text for path, text in files.items() if path not in manifests and not path.startswith(FOLDER)}
    return dict(sorted({**others, MANIFESTS: written(_marked(patched))}.items()))


def _read(path: str, text: str) -> list[Any]:
    import yaml  # noqa: PLC0415  # costs time that most commands need not pay

    class Loader(yaml.SafeLoader):
        """Takes a bare "=" for text, as kustomize writes it."""

    Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: str(node.value))
    try:
        found = [each for each in yaml.load_all(text, Loader) if each is not None]
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from error
    if path.startswith(FOLDER):
        if not all(isinstance(each, dict | list) for each in found):
            raise ConfigError(f"{path} is neither a mapping nor a list")
    elif not all(_is_object(each) for each in found):
        raise ConfigError(f"{path} holds something without apiVersion, kind and metadata.name")
    return found


def _is_object(document: Any) -> bool:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    named = isinstance(metadata, dict) and bool(metadata.get("name"))
    return named and bool(document.get("kind") and document.get("apiVersion"))


def _completed(name: str, patch: _Object, objects: list[_Object]) -> _Object:
    """A strategic merge patch with all that kustomize wants to find its manifest by."""
    metadata = patch.get("metadata") or {}
    kind = patch.get("kind")
    if not isinstance(kind, str) or not isinstance(metadata, dict):
        raise ConfigError(f"{FOLDER}{name} does not say which kind it patches", hint="`kind: Deployment` does")
    alike = [each for each in objects if each["kind"] == kind]
    asked = [each for each in alike if metadata.get("name") in {None, each["metadata"]["name"]}]
    found = _only(name, kind, asked, objects)
    place = {key: found["metadata"][key] for key in ("name", "namespace") if key in found["metadata"]}
    return {"apiVersion": found["apiVersion"], **patch, "metadata": {**place, **metadata}}


def _named(name: str, objects: list[_Object]) -> _Object:
    """The manifest of which the file *name* of a JSON patch tells."""
    kind, _, rest = Path(name).stem.partition(".")
    alike = [each for each in objects if each["kind"].lower() == kind.lower()]
    return _only(name, kind, [each for each in alike if each["metadata"]["name"] == rest] or alike, objects)


def _only(name: str, kind: str, found: list[_Object], objects: list[_Object]) -> _Object:
    if not found:
        kinds = ", ".join(dict.fromkeys(each["kind"] for each in objects))
        raise ConfigError(f"{FOLDER}{name} patches a {kind}, which is not rendered", hint=f"these are: {kinds}")
    if len(found) > 1:
        names = ", ".join(each["metadata"]["name"] for each in found)
        hint = f"name it in metadata.name, a JSON patch in the file's name: {kind.lower()}.<name>.yaml"
        raise ConfigError(f"{FOLDER}{name} patches one {found[0]['kind']} of several: {names}", hint=hint)
    return found[0]


def _kustomize(
    objects: list[_Object], merges: list[_Object], edits: list[tuple[_Object, list[Any]]], namespace: str
) -> str:
    """What kustomize makes of *objects*."""
    program = _program()
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as name:
        folder = Path(name)
        kustomization = {
            "apiVersion": "kustomize.config.k8s.io/v1beta1",
            "kind": "Kustomization",
            "namespace": namespace,
            "resources": _write_each(folder, "manifest", objects),
            "patchesStrategicMerge": _write_each(folder, "merge", merges),
            "patchesJson6902": [
                {"target": _target(found), "path": path}
                for (found, _), path in zip(edits, _write_each(folder, "edit", [ops for _, ops in edits]), strict=True)
            ],
        }
        (folder / KUSTOMIZATION).write_text(json.dumps(kustomization), "utf-8")
        try:
            done = subprocess.run(
                [*program, "."], cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
            raise UsageError(f"{program[-2]} {program[-1]} did not work", hint="run it by hand") from error
        if done.returncode:
            raise ConfigError(f"the patches cannot be applied: {_sentence(done.stderr, folder)}", hint=f"see {_PLACE}")
        return done.stdout


def _write_each(folder: Path, name: str, contents: list[Any]) -> list[str]:
    """Write each of *contents* as JSON, which is YAML, and return the files' names."""
    paths = [f"{name}-{number}.json" for number in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        (folder / path).write_text(json.dumps(content, default=str), "utf-8")
    return paths


def _target(found: _Object) -> _Object:
    group, _, version = found["apiVersion"].rpartition("/")
    place = {key: found["metadata"][key] for key in ("name", "namespace") if key in found["metadata"]}
    return {"group": group, "version": version, "kind": found["kind"], **place}


def _program() -> list[str]:
    for words in (["kubectl", "kustomize"], ["kustomize", "build"]):
        if path := shutil.which(words[0]):
            return [path, words[1]]
    raise UsageError(
        f"the patches of {_PLACE} want kubectl, which is not on the PATH", hint="install kubectl, or kustomize"
    )


def _sentence(stderr: str, folder: Path) -> str:
    """What kustomize says, without the paths of this machine."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip() and not line.startswith("# Warning")]
    said = _NOISE.sub(r"\g<sentence>", lines[0]) if lines else "kustomize does not say why"
    for place in (str(folder.resolve()), str(folder)):
        said = said.replace(f"{place}/", "").replace(place, "the manifests")
    return said


def _marked(documents: list[_Object]) -> list[_Object]:
    """*documents* whose pods carry the digest of the settings as they are now: a patched one must reach them."""
    settings = [each for each in documents if each["kind"] in {"ConfigMap", "Secret"}]
    digest = digests.of_bytes(json.dumps(settings, sort_keys=True, default=str).encode())
    for document in documents:
        pods: Any = document
        for key in ("spec", "template", "metadata", "annotations"):
            pods = pods.get(key) if isinstance(pods, dict) else None
        if isinstance(pods, dict) and CONFIG_DIGEST in pods:
            pods[CONFIG_DIGEST] = digest
    return documents


def written(documents: list[_Object]) -> str:
    """*documents* as YAML that every reader reads alike; the same ones give the same text."""
    import yaml  # noqa: PLC0415  # as above

    class Dumper(yaml.SafeDumper):
        """Puts every text in quotes that some reader of YAML may take for something else."""

        def ignore_aliases(self, data: Any) -> bool:
            """Write everything out."""
            del data
            return True

    Dumper.add_representer(str, _text)
    text: str = yaml.dump_all(documents, Dumper=Dumper, explicit_start=True, allow_unicode=True, width=10_000)
    return text


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if _PLAIN.fullmatch(value) else '"')
