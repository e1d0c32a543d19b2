"""
A release: one model version made ready to be deployed.

Turns it into its service folder (code, manifest, requirements; the caller adds `model/`) and into the
recipe of its image, as text by path. Where it runs is the business of targets; bytes on disk, of the caller.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mlops_ci import flavors
from mlops_ci.entities import ArtifactRef, Signature
from mlops_ci.errors import ConfigError
from mlops_ci.providers import suggestion
from mlops_ci.rendering import render_tree
from mlops_ci.resources import PACKAGE, SERVING

BENTOML = "bentoml==1.4.39"
"""(1.4.40 cannot be installed: it asks for a certifi that does not exist.)"""

SERVER = (
    "httptools==0.9.0",
    "orjson==3.13.0",
    "prometheus-client==0.26.0",
    "pydantic==2.14.3",
    "uvicorn==0.54.0",
    'uvloop==0.23.0; sys_platform != "win32"',
)
"""What `serving/` needs, in the versions that the tests ran: a service is not to change because something was
published since. A model's own line about one of them wins."""

FORMATS = {"arrow": ("pyarrow==25.0.1",), "parquet": ("pyarrow==25.0.1",)}
TRACING = ("opentelemetry-sdk==1.45.1", "opentelemetry-exporter-otlp-proto-http==1.45.1")
GRPC = ("grpcio==1.85.1", "protobuf==7.36.2")

SERVICE_ENV = {
    "BENTOML_DO_NOT_TRACK": "True",
    "BENTOML_HOME": "/tmp/bentoml",  # noqa: S108  # inside a container, where /tmp belongs to the one service
    "OMP_NUM_THREADS": "1",
}
"""What the service wants of its surroundings in a container, whose only writable folder is /tmp."""


class Release(msgspec.Struct, frozen=True, kw_only=True):
    """
    What is deployed, as templates see it.

    *files* are those of `model/`, relative to it; *image* is the reference to deploy, "" before it is built;
    *version_record* is the id of the version's record; *source* is the repository's address; *settings* are what
    `serving/manifest.py` reads, beside *timeout_s*.
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
    runtime: str = "bentoml"
    workers: int = 1
    port: int = 3000
    timeout_s: float = 10.0
    formats: tuple[str, ...] = ("json",)
    settings: dict[str, Any] = {}
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
    record: dict[str, Any] = _plain(signature.inputs) if signature else {}
    values = {
        "release": release.values,
        "manifest": manifest(release),
        "fields": _fields(record),
        "record": record,
        "prediction": signature.outputs if signature else {},
        "requirements": _requirements(release),
        "service_name": re.sub(r"[^a-z0-9]+", "-", release.model.lower()).strip("-") or "model",
    }
    verbatim = {f"serving/{path.name}": path.read_text(encoding="utf-8") for path in sorted(SERVING.glob("*.py"))}
    return {**verbatim, **_flavor(release.flavor), **render_tree("service", values, overrides)}


def image_files(release: Release, overrides: Path | None = None) -> dict[str, str]:
    """Return `Dockerfile` and `.dockerignore`, which belong into the service folder. Raises as `service_files`."""
    values = {
        "release": release.values,
        "base": release.base_image or f"python:{release.python}-slim",
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
        "signature": _plain(msgspec.to_builtins(release.signature)),
        "serving": {"workers": release.workers, "timeout_s": release.timeout_s, **release.settings},
    }


def _plain(schema: Any) -> Any:
    """*schema* where each part is an object: `true`, which anything fits, is the empty one; so is a list of items."""
    if not isinstance(schema, Mapping):
        return schema
    found = {name: _plain(value) for name, value in schema.items()}
    if isinstance(found.get("properties"), Mapping):
        found["properties"] = {
            name: value if isinstance(value, Mapping) else {} for name, value in found["properties"].items()
        }
    if not isinstance(found.get("items", {}), Mapping):
        found["items"] = {}
    return found


def _flavor(name: str) -> dict[str, str]:
    """The package `flavors` with the flavor *name* and what it needs, which know nothing of this package."""
    if name not in flavors.PROVIDERS:
        raise ConfigError(f"unknown flavor {name!r}", hint=suggestion(name, flavors.PROVIDERS))
    return {
        "flavors/__init__.py": '"""The flavor of this service\'s model."""\n',
        **{f"flavors/{each}.py": text for each, text in sorted(_with_siblings(name).items())},
    }


def _with_siblings(name: str) -> dict[str, str]:
    """The source of the module *name* of the flavors, and of each that it imports from beside it."""
    found: dict[str, str] = {}
    wanted = {name}
    while wanted:
        each = wanted.pop()
        found[each] = (PACKAGE / "flavors" / f"{each}.py").read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(found[each])):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                wanted |= {alias.name for alias in node.names} if node.module is None else {node.module}
        wanted -= found.keys()
    return found


def _fields(schema: Mapping[str, Any]) -> list[dict[str, Any]] | None:
    """The fields of a record that is an object with known properties; None for any other."""
    if schema.get("type") != "object" or not schema.get("properties"):
        return None
    # A schema that does not say is read strictly: a model seldom knows what to do without one of its columns.
    required = set(schema.get("required", schema["properties"]))
    return [
        {"name": name, "schema": property_, "required": name in required}
        for name, property_ in schema["properties"].items()
    ]


def _requirements(release: Release) -> list[str]:
    """The model's own lines, and the server's for what they do not name."""
    wanted = [*SERVER, *(line for name in release.formats for line in FORMATS.get(name, ()))]
    wanted += [BENTOML] if release.runtime == "bentoml" else []
    wanted += TRACING if release.settings.get("tracing") else ()
    wanted += GRPC if release.settings.get("grpc_port") else ()
    own = {_package(line) for line in release.requirements}
    return sorted({*release.requirements, *(line for line in wanted if _package(line) not in own)})


def _package(requirement: str) -> str:
    """The normalized name (PEP 503) of the package that a line is about."""
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else requirement
