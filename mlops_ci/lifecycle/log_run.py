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
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import IO, Any

from mlops_ci import records
from mlops_ci.capture import environment
from mlops_ci.data import fingerprint
from mlops_ci.entities import GitState, Run
from mlops_ci.errors import ConfigError, ServiceError, UsageError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import identity, run_folder, take_in
from mlops_ci.lifecycle.find_baseline import runs_of
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.run_folder import Context
from mlops_ci.lifecycle.take_in import Taken
from mlops_ci.resources import PACKAGE

# What CI lends to the step and not to the code that the step runs. It stops accidents, not attacks.
_CREDENTIALS = ("GITHUB_TOKEN", "GH_TOKEN", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_OUTPUT", "GITHUB_STATE")
_MOST_NAMED = 3
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


def train(
    project: Project,
    command: Sequence[str],
    *,
    notify: Callable[[str], None],
    output: IO[Any] | None = None,
    convert: str = "",
) -> Training:
    """
    Run *command* in the checkout and record it. A run that failed is recorded as well.

    Args:
        project: Whose configuration says what to capture.
        command: What to run.
        notify: Told in a sentence what a person may want to know.
        output: Where the command's output goes; where ours goes, unless given.
        convert: What `log_model` shall convert the model to, if that predicts the same: "onnx".

    Raises:
        UsageError: No commit yet, or the command cannot be started.
        ServiceError: What training left cannot be stored; the run folder keeps it.
    """
    from mlops_ci.tracking.folder import CONVERT  # noqa: PLC0415  # brings what only training needs

    for taken in take_in.leftovers(project):
        notify(f"recorded run {taken.run.run_id}, which {taken.run.status} earlier and had not been recorded")
    git_state = identity.facts(project)
    run = project.config.run
    if run is not None and run.reuse and not git_state.dirty and not _improvised(project, command):
        reused = _reusable(project)
        if reused is not None and (not convert or (reused.run.model and reused.run.model.flavor == convert)):
            return Training(taken=reused, reused=True)
    threading.Thread(target=_import_ahead, args=(project,), daemon=True).start()
    folder, context = _prepare(project, command, git_state)
    env = _environment({**os.environ, **({CONVERT: convert} if convert else {})}, folder, project)
    probe = environment.start(environment.interpreter_of(command, project.checkout.root), env)
    exit_code, duration_s = _run(context, folder, project.checkout.root, env, output)
    context = records.replace(context, exit_code=exit_code, ended=records.now(), duration_s=round(duration_s, 3))
    try:
        run_folder.write_context(folder, context)
        return Training(taken=take_in.take_in(project, folder, context, probe=probe))
    except OSError as error:
        raise ServiceError(
            f"training ended with {exit_code}, and cannot be recorded: {error.strerror}; {folder} keeps what it left",
            hint="make room, or the folder writable; then `mlops-ci sync` records it",
        ) from error


def _improvised(project: Project, command: Sequence[str]) -> bool:
    """Whether *command* is another than the configuration's."""
    run = project.config.run
    return run is not None and bool(run.command) and list(command) != command_of(project, [])


def _reusable(project: Project) -> Taken | None:
    """A run of this very tree, by the configured command, on data with the same digests."""
    commit = project.checkout.commit("HEAD")
    root, run = project.checkout.root, project.config.run
    data = {name: fingerprint(name, root / path, root).digest for name, path in (run.data if run else {}).items()}
    for found in reversed(runs_of(project.ledger, [commit], project.config.project, project.experiment)):
        same_data = {dataset.name: dataset.digest for dataset in found.run.data}.items() >= data.items()
        same_cell = (found.run.ci.cell if found.run.ci else "") == (project.event.run.cell if project.event else "")
        if found.stands_for_its_commit and found.run.git.tree == commit.tree and same_data and same_cell:
            return Taken(run=found.run, record=found.record, sent=True)
    return None


def _unknown_files(project: Project) -> list[str]:
    """A warning, if there are files that git does not know and that training may have read."""
    run = project.config.run
    outputs = [*run.metrics, *run.plots, *([run.model.path] if run.model else [])] if run else []
    names = [
        name
        for name in project.checkout.untracked()
        if "__pycache__/" not in name and not any(name.startswith(output.rstrip("/")) for output in outputs)
    ]
    if not names:
        return []
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return [f"there were files that are not part of the commit: {', '.join(names[:_MOST_NAMED])}{more}"]


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
        improvised=_improvised(project, command),
        pids=[os.getpid()],
        births=run_folder.births_of([os.getpid()]),
        warnings=_unknown_files(project),
    )
    try:
        folder.mkdir(parents=True)
        run_folder.write_context(folder, context)
    except OSError as error:
        raise UsageError(
            f"cannot make the run folder {folder}: {error.strerror}", hint="make room, or the folder writable"
        ) from error
    return folder, context


def _run(
    context: Context, folder: Path, root: Path, env: Mapping[str, str], output: IO[Any] | None
) -> tuple[int, float]:
    command = context.command
    started = time.monotonic()
    try:
        # With nobody at a keyboard, signals come to us alone: a group of its own lets us pass them to all of it.
        alone = not sys.stdin or not sys.stdin.isatty()
        process = subprocess.Popen(command, cwd=root, env=env, stdout=output, start_new_session=alone)
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(
            f"cannot start {shlex.join(command)!r}: {error.strerror}", hint="`run: command:` in mlops.yaml names it"
        ) from error
    with _forwarding_signals(process, whole_group=alone):
        pids = [os.getpid(), process.pid]
        run_folder.write_context(folder, records.replace(context, pids=pids, births=run_folder.births_of(pids)))
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
def _forwarding_signals(process: subprocess.Popen[bytes], *, whole_group: bool) -> Iterator[None]:
    """Pass on what would end us, and stay to record the run. (At a keyboard, Ctrl-C reaches the child by itself.)"""

    def forward(number: int, _frame: object) -> None:
        with suppress(ProcessLookupError):
            if whole_group and hasattr(os, "killpg"):
                os.killpg(process.pid, number)
            elif number != signal.SIGINT:
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
    ours = {*_CREDENTIALS, *project.secret_variables}
    lent = {
        name: value
        for name, value in env.items()
        if name in kept or not (name in ours or name.startswith(_CREDENTIAL_PREFIXES))
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
