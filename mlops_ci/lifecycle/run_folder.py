"""
The run folder as `mlops-ci` keeps it: who trains what, and whether somebody still does.

`context.json` is written before training begins and again when it has ended. Training code that was started without
`mlops-ci run` leaves a folder without one; what can still be known of such a run is read from the checkout.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from mlops_ci import records
from mlops_ci.capture import events
from mlops_ci.capture.events import Glance
from mlops_ci.entities import Author, CiRun, GitState
from mlops_ci.lifecycle import identity
from mlops_ci.lifecycle.project import Project

HISTORY = "history.jsonl"
ENVIRONMENT = "environment.json"
_CONTEXT = "context.json"
_ROOM = "room"
_ROOM_BYTES = 32_768
_STARTED = "started.json"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """
    What was known when training began; *ended* and what follows it only when training has ended.

    *alone* says that nobody watched the command: it was started without `mlops-ci run`. *pids* are the processes that
    still write to the run folder while one of them is alive; *births*, in the same order, tell them from others that
    were given their numbers later.
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
    births: list[str] = []
    ended: str = ""
    duration_s: float = 0.0
    exit_code: int | None = None
    improvised: bool = False
    alone: bool = False
    warnings: list[str] = []


class _Started(msgspec.Struct, frozen=True):
    """What training code that was started by itself says of itself."""

    time: float
    pid: int
    argv: list[str]
    experiment: str = ""
    birth: str = ""


class UnderWay(msgspec.Struct, frozen=True, kw_only=True):
    """
    A run whose processes are alive: what it has logged so far, as far as the ends of its events tell.

    Attributes:
        folder: Its run folder.
        context: What was known when training began.
        seen: Parameters, tags, the last values of metrics.
        logged: When it logged last, as records write it; "" if it has not.
    """

    folder: Path
    context: Context
    seen: Glance
    logged: str

    @property
    def experiment(self) -> str:
        """As named in code, else by the configuration."""
        return self.seen.experiment or self.context.experiment


def left(project: Project) -> Iterator[tuple[Path, Context]]:
    """Yield the run folders whose processes have all ended, with what is known of them, in no special order."""
    for folder in _folders(project):
        if not _is_alive(folder) and (context := read(folder) or _without_us(project, folder)):
            yield folder, context


def under_way(project: Project) -> list[UnderWay]:
    """List the runs of this checkout, and of its other work trees, that somebody still trains, the latest first."""
    found = [
        UnderWay(folder=folder, context=context, seen=events.glance(folder), logged=_last_event(folder))
        for folder in _folders(project)
        if _is_alive(folder) and (context := read(folder) or _without_us(project, folder))
    ]
    return sorted(found, key=lambda run: run.context.started, reverse=True)


def read(folder: Path) -> Context | None:
    """The context in *folder*, or None if it has none."""
    try:
        return msgspec.json.decode((folder / _CONTEXT).read_bytes(), type=Context)
    except (OSError, msgspec.MsgspecError):
        return None


def write_context(folder: Path, context: Context) -> None:
    """
    Write *context* whole or not at all.

    Until training has ended, some room is kept, so that its end can be written on a disk that it has filled.
    """
    room = folder / _ROOM
    if context.ended:
        room.unlink(missing_ok=True)
    fresh = folder / f"{_CONTEXT}.new"
    fresh.write_bytes(msgspec.json.encode(context))
    fresh.replace(folder / _CONTEXT)
    if not context.ended and not room.exists():
        room.write_bytes(b"." * _ROOM_BYTES)


def births_of(pids: Sequence[int]) -> list[str]:
    """When each of the processes *pids* began, as `Context` keeps it."""
    from mlops_ci.tracking.folder import birth_of  # noqa: PLC0415  # brings what only training needs

    return [birth_of(pid) for pid in pids]


def last_sign_of_life(folder: Path) -> str:
    """When the training wrote the newest of its files in *folder*, as a record's time."""
    ours = {folder / HISTORY, folder / ENVIRONMENT}  # written when the run was taken in, perhaps not for the first time
    files = (path for path in folder.rglob("*") if path.is_file() and path not in ours)
    newest = max((path.stat().st_mtime for path in files), default=0.0)
    return records.timestamp(records.from_seconds(newest))


def _folders(project: Project) -> list[Path]:
    runs = project.checkout.state / "runs"
    return sorted(runs.iterdir()) if runs.is_dir() else []


def _is_alive(folder: Path) -> bool:
    context = read(folder)
    if context is not None:
        births = dict(zip(context.pids, context.births, strict=False))
        return any(_alive(pid, births.get(pid, "")) for pid in context.pids)
    started = _read_started(folder)
    return started is not None and _alive(started.pid, started.birth)


def _last_event(folder: Path) -> str:
    try:
        return records.timestamp(records.from_seconds((folder / "events.jsonl").stat().st_mtime))
    except OSError:
        return ""


def _read_started(folder: Path) -> _Started | None:
    try:
        return msgspec.json.decode((folder / _STARTED).read_bytes(), type=_Started)
    except (OSError, msgspec.MsgspecError):
        return None


def _without_us(project: Project, folder: Path) -> Context | None:
    """The context of training code that was started by itself, as far as it can be known afterwards."""
    started = _read_started(folder)
    if started is None:
        return None
    git, warnings = _facts_since(project, started.time)
    experiment = started.experiment or project.experiment
    return Context(
        run_id=folder.name,
        run_key=identity.run_key(project.config.project, experiment, git, None, folder.name),
        project=project.config.project,
        experiment=experiment,
        git=git,
        ci=None,
        author=project.author,
        command=started.argv,
        started=records.timestamp(records.from_seconds(started.time)),
        pids=[started.pid],
        births=[started.birth],
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


def _alive(pid: int, birth: str) -> bool:
    """Whether the process *pid* that began at *birth*, if that is known, has not ended."""
    [now] = births_of([pid])
    if birth and now and birth != now:
        return False
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
