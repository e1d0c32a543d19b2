"""
Pictures that a comment shows, on a branch of their own: nothing else shows in a private repository.

The branch is made by us, holds nothing but pictures, and shares no history with the code.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from mlops_ci.entities import ArtifactRef, GateReport, Run
from mlops_ci.errors import MlopsCIError, Refused
from mlops_ci.git.side import PushRefused, SideRepository
from mlops_ci.lifecycle.project import Project

_PICTURES = {".png", ".svg", ".jpg", ".jpeg", ".gif", ".webp"}
_PICTURE = re.compile(r"[0-9a-f]{64}\.[a-z]{3,4}")
_MOST, _LARGEST_BYTES = 8, 2_000_000
_TRIES = 5
_ADDRESS = "mlops-ci@users.noreply.github.com"
_AUTHOR = ["-c", "user.name=mlops-ci", "-c", f"user.email={_ADDRESS}", "-c", "commit.gpgSign=false"]
_TIP = "refs/assets/tip"


def show(project: Project, found: Sequence[GateReport]) -> dict[str, str]:
    """
    Put the pictures of the runs of *found* on the branch `report: assets:`; name → address relative to a comment.

    Pictures are an ornament: what cannot be had or pushed is left out. A stranger's are never shown.
    """
    try:
        pictures = [picture for report in found for picture in _of(project, report)][:_MOST]
        return _pushed(project, pictures) if pictures else {}
    except MlopsCIError:
        return {}


def _of(project: Project, report: GateReport) -> list[tuple[str, ArtifactRef]]:
    run_id = report.candidate.run_id
    runs = [record.read(Run) for record in project.ledger.find(f"run/{run_id}") if record.kind == "run"]
    if not runs or runs[0].self_reported:
        return []
    return [
        (run_id, file)
        for file in runs[0].artifacts
        if PurePosixPath(file.path).suffix.lower() in _PICTURES and file.size_bytes <= _LARGEST_BYTES
    ]


def _pushed(project: Project, pictures: Sequence[tuple[str, ArtifactRef]]) -> dict[str, str]:
    """Named by digest on the branch: the same picture is there once, and no name of a stranger's is a path."""
    side, branch = SideRepository(project.checkout, "assets"), project.config.report.assets
    reference = f"refs/heads/{branch}"
    shown, blobs = {}, {}
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        digests = sorted({file.digest for _, file in pictures})
        files = project.artifacts.get(digests, Path(folder))
        for _, file in pictures:
            name = file.digest.removeprefix("sha256:") + PurePosixPath(file.path).suffix.lower()
            blobs[name] = side.run(["hash-object", "-w", str(files[file.digest])]).decode().strip()
            shown[file.path] = f"../blob/{branch}/{name}?raw=true"
    for _ in range(_TRIES):
        tip = side.listed(reference).get(reference, "")
        side.fetch([f"+{tip}:{_TIP}"] if tip else [], "--depth=1", "--filter=blob:none")
        commit = _commit(side, tip, blobs)
        if commit == tip:
            return shown
        try:
            side.push({reference: commit}, replacing={reference: tip})
        except PushRefused:
            continue
        return shown
    return {}


def _commit(side: SideRepository, tip: str, blobs: dict[str, str]) -> str:
    """The commit after *tip* that has *blobs* too; *tip* itself if it has them already."""
    listed = side.run(["ls-tree", tip]).decode().splitlines() if tip else []
    lines = {line.partition("\t")[2]: line for line in listed}
    if not all(_PICTURE.fullmatch(name) for name in lines):
        raise Refused("the branch that pictures go to holds something else")
    if lines.keys() >= blobs.keys():
        return tip
    lines |= {name: f"100644 blob {blob}\t{name}" for name, blob in blobs.items()}
    tree = side.run(["mktree", "--missing"], stdin="".join(f"{line}\n" for line in lines.values()).encode())
    parent = ["-p", tip] if tip else []
    command = [*_AUTHOR, "commit-tree", tree.decode().strip(), *parent, "-m", "Pictures of pull requests"]
    return side.run(command).decode().strip()
