"""
A release: one model version made ready to be deployed.

Turns it into its service folder (code, manifest, requirements; the caller adds `model/`) and into the
recipe of its image, as text by path. Where it runs is the business of targets; bytes on disk, of the caller.
"""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlops_ci.entities import ArtifactRef, Signature
from mlops_ci.errors import ConfigError
from mlops_ci.providers import suggestion
from mlops_ci.rendering import render_tree
from mlops_ci.resources import PACKAGE, SERVING

BENTOML = "bentoml==1.4.39"
"""The one that the tests ran; a service is not to change because something was published since. (1.4.40 cannot
be installed: it asks for a certifi that does not exist.) A model's own line about bentoml wins."""

UV = "0.13.8"

SERVICE_ENV = {
    "BENTOML_DO_NOT_TRACK": "True",
    "BENTOML_HOME": "/tmp/bentoml",  # noqa: S108  # inside a container, where /tmp belongs to the one service
    "OMP_NUM_THREADS": "1",
    "PROMETHEUS_MULTIPROC_DIR": "/tmp/prometheus",  # noqa: S108
}
"""What the service wants of its surroundings in a container, whose only writable folder is /tmp."""

# Names that a field of a pydantic model, or a class body that uses `float` as a type, cannot take.
_TAKEN = {*dir(builtins), "construct", "copy", "dict", "from_orm", "json", "parse_file", "parse_obj", "parse_raw"}


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is deployed, as templates see it.

    *files* are those of `model/`, relative to it; *image* is the reference to deploy, "" before it is built;
    *version_record* is the id of the version's record; *source* is the repository's address.
    """

    project: str
    model: str
    version: str
    sha: str
    tag: str
    model_digest: str
    version_record: str
    flavor: str
    files: list[ArtifactRef]
    requirements: list[str] = []
    signature: Signature | None = None
    image: str = ""
    source: str = ""
    workers: int = 1
    port: int = 3000
    timeout_s: float = 10.0
    python: str = "3.11"
    base_image: str = ""
    platform: str = ""

    @property
    def values(self) -> dict[str, Any]:
        """The release as plain values: what templates know as `release`."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


def service_files(release: Release, overrides: Path | None = None) -> dict[str, str]:
    """
    Return the service folder of *release*, but for `model/`.

    Raises:
        ConfigError: A template of *overrides* fails, or a value cannot be written where it belongs.
    """
    signature = release.signature
    record = signature.inputs if signature else {}
    values = {
        "release": release.values,
        "manifest": manifest(release),
        "fields": _fields(record),
        "record": record,
        "prediction": signature.outputs if signature else {},
        "requirements": _requirements(release),
    }
    verbatim = {path.name: path.read_text(encoding="utf-8") for path in sorted(SERVING.glob("*.py"))}
    return {
        **verbatim,
        "model_flavor.py": _flavor(release.flavor),
        **render_tree("service", values, overrides),
    }


def image_files(release: Release, overrides: Path | None = None) -> dict[str, str]:
    """Return `Dockerfile` and `.dockerignore`, which belong into the service folder. Raises as `service_files`."""
    values = {
        "release": release.values,
        "base": release.base_image or f"python:{release.python}-slim",
        "uv": UV,
        "environment": SERVICE_ENV,
        "labels": {
            "org.opencontainers.image.title": release.model,
            "org.opencontainers.image.version": release.version,
            "org.opencontainers.image.revision": release.sha,
            "org.opencontainers.image.source": release.source,
            "mlops-ci.model-digest": release.model_digest,
            "mlops-ci.version-record": release.version_record,
        },
    }
    return render_tree("image", values, overrides)


def manifest(release: Release) -> dict[str, Any]:
    """What the service says of itself under `/metadata`, and what it verifies `model/` against."""
    return {
        "project": release.project,
        "model": release.model,
        "version": release.version,
        "sha": release.sha,
        "tag": release.tag,
        "digest": release.model_digest,
        "record": release.version_record,
        "flavor": release.flavor,
        "files": msgspec.to_builtins(sorted(release.files, key=lambda file: file.path)),
        "signature": msgspec.to_builtins(release.signature),
    }


def _flavor(name: str) -> str:
    """The source of the flavor *name*, which stands alone so that it can be copied."""
    known = {path.stem: path for path in (PACKAGE / "flavors").glob("[a-z]*.py")}
    if name not in known:
        raise ConfigError(f"unknown flavor {name!r}", hint=suggestion(name, known))
    return known[name].read_text(encoding="utf-8")


def _fields(schema: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The fields of a record that is an object with known properties; None for any other."""
    if schema.get("type") != "object" or not schema.get("properties"):
        return None
    # A schema that does not say is read strictly: a model seldom knows what to do without one of its columns.
    required = set(schema.get("required", schema["properties"]))
    taken = set(_TAKEN)
    fields = []
    for alias, property_ in schema["properties"].items():
        name = _field_name(alias, taken)
        taken.add(name)
        fields.append({"name": name, "alias": alias, "schema": property_, "required": alias in required})
    return fields


def _field_name(alias: str, taken: set[str]) -> str:
    """A Python name like *alias* that is not *taken*; the alias stays what callers write."""
    plain = re.sub(r"\W+", "_", alias.lower(), flags=re.ASCII).strip("_")
    stem = plain if re.match(r"(?!model_)[a-z]", plain) else f"field_{plain}".rstrip("_")
    name, count = stem, 1
    while name in taken or keyword.iskeyword(name):
        count += 1
        name = f"{stem}_{count}"
    return name


def _requirements(release: Release) -> list[str]:
    own = any(re.match(r"bentoml\b(?!-)", line, re.IGNORECASE) for line in release.requirements)
    return sorted(set(release.requirements) | (set() if own else {BENTOML}))
