"""Write what a repository needs to begin: `mlops.yaml`, the workflow, and an example if one is wanted."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlops_ci import rendering
from mlops_ci.errors import UsageError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle.policy import default_branch_of
from mlops_ci.resources import TEMPLATES

# Third-party actions are pinned by commit; the tag is for people.
ACTIONS = {
    "checkout_sha": "3d3c42e5aac5ba805825da76410c181273ba90b1",
    "checkout_version": "v7.0.1",
    "setup_python_sha": "5fda3b95a4ea91299a34e894583c3862153e4b97",
    "setup_python_version": "v7.0.0",
    "action": "mlops-ci/mlops-ci@v1",
}
_SIGNERS = """\
# Who may approve deployments: one line each, `<email> namespaces="mlops-ci" <public SSH key>`.
# Only this file on the default branch counts. See ssh-keygen(1), ALLOWED SIGNERS.
"""


def start_project(
    folder: Path, *, name: str = "", example: bool = False, ports: tuple[int, int] = (3001, 3002)
) -> list[Path]:
    """
    Write the files of a new project below *folder* and return them; what is there already is left alone.

    Args:
        folder: In a git repository.
        name: The project's; the folder's name unless given.
        example: Also write a training script with data that works as it is.
        ports: Where the example's staging and production listen.

    Raises:
        UsageError: No repository, or `mlops.yaml` is there already.
    """
    checkout = Checkout.find(folder)
    root = checkout.root
    if (root / "mlops.yaml").exists():
        raise UsageError(f"{root / 'mlops.yaml'} is there already", hint="`mlops-ci config check` reads it")
    values = _values(checkout, name, ports)
    config = "project/example/mlops.yaml.j2" if example else "project/mlops.yaml.j2"
    texts = {
        "mlops.yaml": rendering.render(config, values),
        ".github/workflows/mlops.yml": rendering.render("workflows/mlops.yml.j2", values),
        ".mlops/allowed_signers": _SIGNERS,
    }
    written = [_write(root / path, text) for path, text in texts.items()]
    if example:
        written += _copy(TEMPLATES / "project" / "example", root)
    return [path for path in written if path is not None]


def _values(checkout: Checkout, name: str, ports: tuple[int, int]) -> Mapping[str, Any]:
    root = checkout.root
    script = next((path for path in ("train.py", "src/train.py") if (root / path).exists()), "train.py")
    return {
        **ACTIONS,
        "project": name or _project_name(root.name),
        "command": f"python {script}",
        "params": (root / "params.yaml").exists(),
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
    written = []
    for path in sorted(source.rglob("*")):
        place = root / path.relative_to(source)
        if path.is_file() and path.suffix != ".j2" and "__pycache__" not in path.parts and not place.exists():
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
            written.append(place)
    return written
