"""
The run folder as `mlops-ci` keeps it: who trains what, and whether somebody still does.

`context.json` is written before training begins and again when it has ended. Training code that was started without
`mlops-ci run` leaves a folder without one; what can still be known of such a run is read from the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from mlops_ci import records
from mlops_ci.entities import Author, CiRun, GitState
from mlops_ci.lifecycle import identity
from mlops_ci.lifecycle.project import Project

_CONTEXT = "context.json"
_STARTED = "started.json"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was known when training began; *ended* and what follows it only when training has ended.

    *alone* says that nobody watched the command: it was started without `mlops-ci run`. *pids* are the processes that
    still write to the run folder while one of them is alive.
    """

    run_id: str
    run_key: str
    project: str
    experiment: str
    git: GitState
    ci: CiRun | None
    author: Author
    command: list[str]
    started: str
    pids: list[int]
    ended: str = ""
    duration_s: float = 0.0
    exit_code: int | None = None
    improvised: bool = False
    alone: bool = False
    warnings: list[str] = []


def left(project: Project) -> Iterator[tuple[Path, Context]]:
    """Yield the run folders whose processes have all ended, with what is known of them, in no special order."""
    runs = project.checkout.state / "runs"
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        context = read(folder) or _without_us(project, folder)
        if context is not None and not any(map(_alive, context.pids)):
            yield folder, context


def read(folder: Path) -> Context | None:
    """The context in *folder*, or None if it has none."""
    try:
        return msgspec.json.decode((folder / _CONTEXT).read_bytes(), type=Context)
    except (OSError, msgspec.MsgspecError):
        return None


def write_context(folder: Path, context: Context) -> None:
    """Write *context* whole or not at all."""
    fresh = folder / f"{_CONTEXT}.new"
    fresh.write_bytes(msgspec.json.encode(context))
    fresh.replace(folder / _CONTEXT)


def last_sign_of_life(folder: Path) -> str:
    """When the newest file in *folder* was written, as a record's time."""
    newest = max((path.stat().st_mtime for path in folder.rglob("*") if path.is_file()), default=0.0)
    return records.timestamp(records.from_seconds(newest))


def _without_us(project: Project, folder: Path) -> Context | None:
    """The context of training code that was started by itself, as far as it can be known afterwards."""
    try:
        started: dict[str, Any] = msgspec.json.decode((folder / _STARTED).read_bytes())
        moment, pid, argv = float(started["time"]), int(started["pid"]), [str(word) for word in started["argv"]]
    except (OSError, msgspec.MsgspecError, KeyError, TypeError, ValueError):
        return None
    git, warnings = _facts_since(project, moment)
    experiment = str(started.get("experiment") or project.experiment)
    return Context(
        run_id=folder.name,
        run_key=identity.run_key(project.config.project, experiment, git, None, folder.name),
        project=project.config.project,
        experiment=experiment,
        git=git,
        ci=None,
        author=project.author,
        command=argv,
        started=records.timestamp(records.from_seconds(moment)),
        pids=[pid],
        alone=True,
        warnings=warnings,
    )


def _facts_since(project: Project, moment: float) -> tuple[GitState, list[str]]:
    """What is checked out now; not to be trusted as a baseline if HEAD has moved since *moment*."""
    git = identity.facts(project)
    moved = project.checkout.common / "logs" / "HEAD"
    if not moved.exists() or moved.stat().st_mtime <= moment:
        return git, []
    sentence = "HEAD moved between this run and its recording: which commit was trained is not known"
    return records.replace(git, dirty=True, diff_digest=git.diff_digest or "unknown"), [sentence]


def _alive(pid: int) -> bool:
    if pid == os.getpid():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    """Whether *pid* has ended and only waits for its parent, which in a container may never ask."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[:1] == ["Z"]
