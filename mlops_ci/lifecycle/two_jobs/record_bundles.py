"""
Record what another job trained: read its bundles as data, put what is known in the place of what they claim, judge.

Runs none of the repository's code and believes none of its words. Which commit and which pull request it is comes from
the event, or was asked of GitHub (`follow_run`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from mlops_ci import config as configuration
from mlops_ci import records
from mlops_ci.ci import Event
from mlops_ci.config import Config, RunConfig
from mlops_ci.entities import Run
from mlops_ci.errors import ConfigError, Refused, TrainingFailed
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.find_baseline import RecordedRun
from mlops_ci.lifecycle.judge import judge
from mlops_ci.lifecycle.project import CONFIG_NAME, Project
from mlops_ci.lifecycle.reaction import Reaction
from mlops_ci.lifecycle.two_jobs import without_code
from mlops_ci.lifecycle.two_jobs.bundle import LIMITS, Bundle, Facts, read_bundle, vouch
from mlops_ci.records import Record

Notify = Callable[[str], None]
Trust = Literal["own", "ended", "stranger"]

_MOST_BUNDLES = 256  # as many jobs as a matrix may have
_OF_A_STRANGER = replace(LIMITS, records=1, record_bytes=1_000_000, record_bytes_in_all=1_000_000)


def open_project(event: Event, folder: Path, *, config_name: str = "") -> Project:
    """
    Open the project of *event* in *folder*, without a checkout, with the configuration of its commit.

    Where that has none (or a broken one), it is the one of the branch that the change wants to enter.

    Raises:
        ConfigError: There is no configuration, neither there nor there.
        ServiceError: The remote did not answer.
    """
    name = config_name or CONFIG_NAME
    checkout = without_code.make(event, folder)
    without_code.bring(checkout, [event.sha, *([event.base_sha] if event.base_sha else [])])
    without_code.stand_at(checkout, event.sha)
    for sha in (event.sha, event.base_sha):
        config = _config(checkout, sha, name) if sha else None
        if config is not None:
            return Project(checkout, config, event, name)
    raise ConfigError(f"{name} is not there at {event.sha[:7]}, or cannot be read", hint="`mlops-ci init` writes one")


def ruled_by_base(project: Project) -> Project:
    """Of a proposal's own configuration, `run:` alone counts; the rest is for the branch that it wants to enter."""
    event = project.event
    if event is None or not event.is_proposal:
        return project
    own = project.config
    ruling = policy.at_base(project.checkout, event.base_sha, own, name=project.config_name)
    if ruling.policy.origin == "none":
        return project.ruled_by(Config(project=own.project, run=_lent(own.run, None)))
    return project.ruled_by(records.replace(ruling.config, run=_lent(own.run, ruling.config.run)))


def _lent(own: RunConfig | None, base: RunConfig | None) -> RunConfig | None:
    """What to train is a proposal's own; which secrets training gets, and what it is compared with, is not."""
    if own is None:
        return None
    experiment = base.experiment if base else own.experiment
    return records.replace(own, env=base.env if base else [], experiment=experiment)


def record(  # who asks, by which rules, what, and how far it is believed
    project: Project,
    ruled: Project,
    bundles: Sequence[Path],
    *,
    notify: Notify,
    trust: Trust = "own",
    standing: Sequence[RecordedRun] = (),
) -> Reaction:
    """
    Record the runs of *bundles* and judge them.

    Args:
        project: As `open_project` gives it.
        ruled: The same, as `ruled_by_base` makes it.
        bundles: What the training jobs left; none is a failed training.
        notify: Told in a sentence what is going on.
        trust: Whose code made them: a "stranger's", whom nobody believes, the repository's "own", in a job of this very
            run, or the same in a run that has "ended", since when GitHub may have made another merge commit.
        standing: Runs of this very tree, for the jobs of a matrix that had nothing to train.

    Raises:
        Refused: A bundle is not what this tool writes, or claims what GitHub denies. Nothing was recorded.
        ServiceError: The store did not answer; the same may be done again.
    """
    if len(bundles) > _MOST_BUNDLES:
        raise Refused(f"there are {len(bundles)} bundles, and {_MOST_BUNDLES} are the most that are read")
    limits = _OF_A_STRANGER if trust == "stranger" else LIMITS
    with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
        read = [read_bundle(path, Path(folder) / str(number), limits=limits) for number, path in enumerate(bundles)]
        found = [bundle for bundle in read if any(_is_of(claim, ruled) for claim in bundle.runs)]
        vouched = [_vouched(ruled, bundle, trust) for bundle in found]
        runs = [each for bundle, several in zip(found, vouched, strict=True) for each in _keep(ruled, bundle, several)]
    for each in runs:
        notify(f"recorded run {each.run.run_id}")
    cells = {_cell(each) for each in runs}
    runs += [each for each in standing if _cell(each) not in cells]
    judgements = tuple(judge(project, candidate=each) for each in runs)
    expected = max([1, *(each.run.ci.cells for each in runs if each.run.ci)])
    failure = _failure([each.run for each in runs], expected)
    worst = max((judgement.exit_code for judgement in judgements), default=0)
    return Reaction(
        TrainingFailed.exit_code if failure else worst,
        run_id=runs[0].run.run_id if runs else "",
        failure=failure,
        hint="the log of the job that trained tells why" if failure else "",
        judgements=judgements,
        expected=expected,
    )


def _is_of(claim: Record, project: Project) -> bool:
    """Of several models in one repository, each has bundles of its own."""
    return claim.read(Run).project == project.config.project


def _cell(found: RecordedRun) -> str:
    return found.run.ci.cell if found.run.ci else ""


def _config(checkout: Checkout, sha: str, name: str) -> Config | None:
    text = checkout.read_file(sha, name)
    try:
        return configuration.parse(text, f"{name} at {sha[:7]}") if text is not None else None
    except ConfigError:
        return None


def _vouched(project: Project, bundle: Bundle, trust: Trust) -> list[RecordedRun]:
    """The runs with facts in the place of claims."""
    event = project.event
    assert event is not None  # noqa: S101  # `open_project` takes one
    several = []
    for claim in bundle.runs:
        trained = claim.read(Run).git.trained_sha
        known = trained == event.sha
        if not known and trust == "own":
            raise Refused(
                f"the bundle is of commit {trained[:12]}, and this job is for {event.sha[:12]}",
                hint="train what `actions/checkout` brings by itself, without `ref:`",
            )
        facts = Facts(
            repository=event.repository,
            head_sha=event.head_sha or event.sha,
            trained_sha=trained if known else "",
            tree=project.checkout.commit(trained).tree if known else "",
            base_sha=event.base_sha,
            branch=event.branch,
            ci=event.run,
            self_reported=trust == "stranger" or not known,
            project=project.config.project,
            experiment=project.experiment,
        )
        vouched = vouch(claim, facts=facts, author=event.author)
        several.append(RecordedRun(vouched, vouched.read(Run)))
    return several


def _keep(project: Project, bundle: Bundle, several: Sequence[RecordedRun]) -> Sequence[RecordedRun]:
    """Append the runs. A stranger's files stay where they are: nobody may fill the store of others."""
    if not all(each.run.self_reported for each in several):
        project.artifacts.put(bundle.files)
    project.ledger.append([each.record for each in several])
    return several


def _failure(runs: Sequence[Run], expected: int) -> str:
    """What keeps the verdicts from being all of it: a job that left nothing, a training that failed."""
    if not runs:
        return "the training job left no run"
    failed = [run for run in runs if run.status != "finished"]
    if failed:
        ended = "was killed" if failed[0].status == "killed" else f"ended with {failed[0].exit_code}"
        return f"the training command {ended}; recorded as run {failed[0].run_id}"
    lacking = expected - len(runs)
    return f"{lacking} of {expected} training jobs left no run" if lacking > 0 else ""
