"""
Train: run the command, and record what came of it.

What is known before training is written to the run folder first (`context.json`), so that a run whose
`mlops-ci` was killed can still be taken in by the next one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from mlops_ci import records
from mlops_ci.capture import environment
from mlops_ci.entities import GitState, Run
from mlops_ci.errors import ConfigError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import identity, run_folder, take_in
from mlops_ci.lifecycle.find_baseline import runs_of
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.run_folder import Context
from mlops_ci.lifecycle.take_in import Taken
from mlops_ci.resources import PACKAGE

# What CI lends to the step and not to the code that the step runs. It stops accidents, not attacks.
_CREDENTIALS = ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE")
_SHELL = set("|&;<>()$`*?[]~#\n")
_CREDENTIAL_PREFIXES = ("ACTIONS_", "INPUT_", "MLOPS_CI_")


@dataclass(frozen=True)
class Training:
    """A run that has ended: its record's fate, and the command's exit code."""

    taken: Taken
    reused: bool = False

    @property
    def run(self) -> Run:
        """The run."""
        return self.taken.run

    @property
    def failure(self) -> str:
        """How the command failed, in a sentence; "" if it did not."""
        if self.run.status == "finished":
            return ""
        return f"the training command ended with {self.run.exit_code}; recorded as run {self.run.run_id}"


def command_of(project: Project, given: Sequence[str]) -> list[str]:
    """
    The training command: *given*, else that of the configuration.

    Raises:
        ConfigError: There is none.
    """
    if given:
        return list(given)
    run = project.config.run
    if run is None or not run.command:
        raise ConfigError(
            "there is no training command", hint="set `run: {command: …}` in mlops.yaml, or `mlops-ci run -- …`"
        )
    if not isinstance(run.command, str):
        return list(run.command)
    # A shell only where its language is used: without one, signals and exit codes come straight through.
    return ["sh", "-c", run.command] if _SHELL & set(run.command) else shlex.split(run.command)


def train(project: Project, command: Sequence[str], *, notify: Callable[[str], None]) -> Training:
    """
    Run *command* in the checkout and record it. A run that failed is recorded as well.

    Args:
        project: Whose configuration says what to capture.
        command: What to run; its output goes where ours goes.
        notify: Told in a sentence what a person may want to know.

    Raises:
        UsageError: No commit yet, or the command cannot be started.
        ServiceError: The artifact store cannot take what training left; the run folder keeps it.
    """
    threading.Thread(target=_import_ahead, args=(project,), daemon=True).start()
    for taken in take_in.leftovers(project):
        notify(f"recorded run {taken.run.run_id}, which {taken.run.status} earlier and had not been recorded")
    git_state = identity.facts(project)
    run = project.config.run
    if run is not None and run.reuse and not git_state.dirty:
        reused = _reusable(project, git_state)
        if reused is not None:
            return Training(taken=reused, reused=True)
    folder, context = _prepare(project, command, git_state)
    probe = environment.start(environment.interpreter_of(command, project.checkout.root))
    exit_code, duration_s = _run(context, folder, project)
    context = records.replace(context, exit_code=exit_code, ended=records.now(), duration_s=round(duration_s, 3))
    run_folder.write_context(folder, context)
    return Training(taken=take_in.take_in(project, folder, context, probe=probe))


def _reusable(project: Project, git_state: GitState) -> Taken | None:
    commit = project.checkout.commit("HEAD")
    for found in reversed(runs_of(project.ledger, [commit], project.experiment)):
        if found.run.status == "finished" and not found.run.git.dirty and found.run.git.tree == git_state.tree:
            return Taken(run=found.run, record=found.record, sent=True)
    return None


def _prepare(project: Project, command: Sequence[str], git_state: GitState) -> tuple[Path, Context]:
    run_id = os.urandom(8).hex()
    folder = project.checkout.state / "runs" / run_id
    ci = project.event.run if project.event else None
    context = Context(
        run_id=run_id,
        run_key=identity.run_key(project.config.project, project.experiment, git_state, ci, run_id),
        project=project.config.project,
        experiment=project.experiment,
        git=git_state,
        ci=ci,
        author=project.author,
        command=list(command),
        started=records.now(),
        pids=[os.getpid()],
    )
    try:
        folder.mkdir(parents=True)
        run_folder.write_context(folder, context)
    except OSError as error:
        raise UsageError(
            f"cannot make the run folder {folder}: {error.strerror}", hint="make room, or the folder writable"
        ) from error
    return folder, context


def _run(context: Context, folder: Path, project: Project) -> tuple[int, float]:
    command = context.command
    env = _environment(os.environ, folder, project)
    started = time.monotonic()
    try:
        process = subprocess.Popen(command, cwd=project.checkout.root, env=env)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(
            f"cannot start {shlex.join(command)!r}: {error.strerror}", hint="`run: command:` in mlops.yaml names it"
        ) from error
    with _forwarding_signals(process):
        run_folder.write_context(folder, records.replace(context, pids=[os.getpid(), process.pid]))
        exit_code = process.wait()
    return exit_code, time.monotonic() - started


def _import_ahead(project: Project) -> None:
    """Load what recording will need, while git and the training are waited for: it costs nothing then."""
    rooms = ["mlops_ci.capture.events", "mlops_ci.capture.models"]
    if project.config.store != "git":
        rooms.append("mlops_ci.store")
    # Whoever needs a room that cannot be loaded meets the error, and reports it.
    with suppress(Exception):
        for room in rooms:
            import_module(room)


@contextmanager
def _forwarding_signals(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Pass on what would end us, and stay to record the run. (Ctrl-C reaches the child by itself.)"""

    def forward(number: int, _frame: object) -> None:
        if number != signal.SIGINT:
            process.send_signal(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _environment(env: Mapping[str, str], folder: Path, project: Project) -> dict[str, str]:
    """The training's environment: ours without CI's credentials, with the run folder and the package."""
    kept = project.config.run.env if project.config.run else []
    lent = {
        name: value
        for name, value in env.items()
        if name in kept or not (name in _CREDENTIALS or name.startswith(_CREDENTIAL_PREFIXES))
    }
    paths = [str(_lend_package(project.checkout)), lent.get("PYTHONPATH", "")]
    return {
        **lent,
        "MLOPS_RUN_DIR": str(folder),
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def _lend_package(checkout: Checkout) -> Path:
    """A folder that holds nothing but `mlops_ci`, so that training code finds it and none of what it needs."""
    folder = checkout.state / "python"
    link = folder / "mlops_ci"
    if link.is_symlink() and link.resolve() == PACKAGE:
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / f".{os.getpid()}"
    try:
        fresh.symlink_to(PACKAGE, target_is_directory=True)
        fresh.replace(link)
    except OSError:  # Windows without the right to make links
        shutil.copytree(PACKAGE, link, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
    return folder
