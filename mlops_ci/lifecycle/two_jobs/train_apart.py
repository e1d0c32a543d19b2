"""
Train where nothing may be written: the run goes into a bundle, for a job that may write and runs no code of this one.

So works the first half of the two-job workflow, and every job whose token cannot write: of a fork's pull request, of
Dependabot's. The verdict is given here as well, as far as the store can be read; it decides by the exit code alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from mlops_ci import records
from mlops_ci.errors import ConfigError, InputError, ServiceError, TrainingFailed
from mlops_ci.lifecycle import log_run, named_bytes
from mlops_ci.lifecycle.find_baseline import RecordedRun
from mlops_ci.lifecycle.judge import Judgement, judge
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.two_jobs.bundle import write_bundle
from mlops_ci.records import Record

NAME = "mlops-bundle.zip"


def train_apart(project: Project, ruled: Project, *, into: Path, notify: Callable[[str], None]) -> Reaction:
    """
    Train what is checked out, write the run to *into*/`mlops-bundle.zip`, and judge it without recording that.

    Args:
        project: The checkout with its own configuration.
        ruled: The same, with the store of the branch that a proposal wants to enter.
        into: A folder for the bundle.
        notify: Told in a sentence what is going on.

    Raises:
        UsageError: No commit yet, or the command cannot be started.
    """
    apart, bundle = _apart(ruled), into / NAME
    into.mkdir(parents=True, exist_ok=True)
    try:
        training = log_run.train(apart, log_run.command_of(project, []), notify=notify)
    except InputError as error:  # recorded as failed
        record = next(each for each in reversed(list(apart.ledger.all())) if each.kind == "run")
        _write(bundle, apart, record)
        return Reaction(error.exit_code, record.body["run_id"], failure=str(error), hint=error.hint, bundle=bundle)
    run, record = training.run, training.taken.record
    _write(bundle, apart, record)
    if run.status != "finished":
        return Reaction(TrainingFailed.exit_code, run_id=run.run_id, failure=training.failure, bundle=bundle)
    judgement = _judged(project, RecordedRun(record, run), notify)
    return Reaction(
        judgement.exit_code if judgement else 0,
        run_id=run.run_id,
        judgements=(judgement,) if judgement else (),
        bundle=bundle,
    )


def _apart(project: Project) -> Project:
    """*project* with a store and artifacts of its own in the git directory, where nobody else looks."""
    folder = project.checkout.state / "apart"
    folder.mkdir(parents=True, exist_ok=True)
    config = records.replace(
        project.config, store=f"sqlite:///{folder / 'records.db'}", artifacts=str(folder / "artifacts")
    )
    return project.ruled_by(config)


def _write(bundle: Path, apart: Project, record: Record) -> None:
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        digests = sorted({digest for digest, _ in named_bytes.artifacts_in(record.body)})
        write_bundle(bundle, [record], apart.artifacts.get(digests, Path(folder)))


def _judged(project: Project, candidate: RecordedRun, notify: Callable[[str], None]) -> Judgement | None:
    """The verdict; None where the records cannot be read from here: whoever records the bundle gives it."""
    try:
        return judge(project, candidate=candidate, keep=False)
    except (ConfigError, ServiceError) as error:
        notify(f"not judged here, since the store cannot be read: {error}; the job that records the run does it")
        return None
