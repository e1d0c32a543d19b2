"""Write what a repository needs to begin: `mlops.yaml`, the workflows, and an example if one is wanted."""

from __future__ import annotations

import gzip
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlops_ci import config as configuration
from mlops_ci import rendering
from mlops_ci.errors import UsageError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle.policy import default_branch_of
from mlops_ci.lifecycle.project import CONFIG_NAME
from mlops_ci.resources import TEMPLATES

# Third-party actions are pinned by commit; the tag is for people.
ACTIONS = {
    "checkout_sha": "3d3c42e5aac5ba805825da76410c181273ba90b1",
    "checkout_version": "v7.0.1",
    "setup_python_sha": "5fda3b95a4ea91299a34e894583c3862153e4b97",
    "setup_python_version": "v7.0.0",
    "upload_sha": "bbbca2ddaa5d8feaa63e36b76fdaad77386f024f",
    "upload_version": "v7.0.0",
    "download_sha": "3e5f45b2cfb9172054b4087a40e8e0b5a5461e7c",
    "download_version": "v8.0.1",
    "action": "mlops-ci/mlops-ci@v1",
}
_SIGNERS = """\
# Who may approve deployments: one line each, `<email> namespaces="mlops-ci" <public SSH key>`.
# Only this file on the default branch counts. See ssh-keygen(1), ALLOWED SIGNERS.
"""


@dataclass(frozen=True)
class Started:
    """
    A new project.

    Attributes:
        name: What it is called; so is its check.
        default_branch: The branch that pull requests are to be merged into.
        written: Its files; what was there already is not among them.
    """

    name: str
    default_branch: str
    written: list[Path]


def start_project(
    folder: Path,
    *,
    name: str = "",
    example: bool = False,
    one_step: bool = False,
    ports: tuple[int, int] = (3001, 3002),
) -> Started:
    """
    Write the files of a new project below *folder*; what is there already is left alone.

    Args:
        folder: In a git repository.
        name: The project's; the folder's name unless given.
        example: Also write a training script with data that works as it is.
        one_step: Train and record in one job, which trusts everyone who can push, instead of two.
        ports: Where the example's staging and production listen.

    Raises:
        UsageError: No repository, all of them are there, or an example is wanted where `mlops.yaml` is.
        ConfigError: There is an `mlops.yaml`, and it is wrong.
    """
    checkout = Checkout.find(folder)
    root = checkout.root
    if (root / CONFIG_NAME).exists():
        if example:
            raise UsageError(f"{root / CONFIG_NAME} is there already", hint="the example needs a repository of its own")
        name = configuration.load(root / CONFIG_NAME).project
    values = _values(checkout, name, ports, example=example)
    config = "project/example/mlops.yaml.j2" if example else "project/mlops.yaml.j2"
    workflow = "mlops-one-step" if one_step else "mlops"
    texts = {
        CONFIG_NAME: rendering.render(config, values),
        ".github/workflows/mlops.yml": rendering.render(f"workflows/{workflow}.yml.j2", values),
        ".github/workflows/mlops-record.yml": rendering.render("workflows/mlops-record.yml.j2", values),
        ".mlops/allowed_signers": _SIGNERS,
    }
    written = [_write(root / path, text) for path, text in texts.items()]
    if example:
        written += _copy(TEMPLATES / "project" / "example", root)
    new = [path for path in written if path is not None]
    if not new:
        raise UsageError(f"everything that is needed is in {root} already", hint="`mlops-ci doctor` looks at it")
    return Started(name=values["project"], default_branch=values["default_branch"], written=new)


def _values(checkout: Checkout, name: str, ports: tuple[int, int], *, example: bool) -> Mapping[str, Any]:
    root = checkout.root
    script = next((path for path in ("train.py", "src/train.py") if (root / path).exists()), "train.py")
    return {
        **ACTIONS,
        "project": name or _project_name(root.name),
        "command": f"python {script}",
        "params": (root / "params.yaml").exists(),
        "requirements": example or (root / "requirements.txt").exists(),
        "metrics": (root / "metrics.json").exists(),
        "default_branch": default_branch_of(checkout) or checkout.branch() or "main",
        "staging_port": ports[0],
        "production_port": ports[1],
    }


def _project_name(folder: str) -> str:
    return re.sub(r"[^a-z0-9._-]+", "-", folder.lower()).strip("-._") or "project"


def _write(path: Path, text: str) -> Path | None:
    if path.exists():
        return None
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _copy(source: Path, root: Path) -> list[Path]:
    """Copy what is below *source* and not there yet; data is compressed here, and not there."""
    written = []
    for path in sorted(source.rglob("*")):
        packed = path.suffix == ".gz"
        place = (root / path.relative_to(source)).with_suffix("" if packed else path.suffix)
        if path.is_file() and path.suffix != ".j2" and "__pycache__" not in path.parts and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            with gzip.open(path) if packed else path.open("rb") as source_file, place.open("wb") as file:
                shutil.copyfileobj(source_file, file)
            written.append(place)
    return written
