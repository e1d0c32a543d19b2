"""
From a run folder to a record: reads what training left, stores the bytes, appends the run.

The folder is removed only when the ledger has the record, so this can be interrupted and done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from mlops_ci import digests, records
from mlops_ci.capture import environment, events, files, models, secrets
from mlops_ci.capture.environment import Probe
from mlops_ci.capture.events import Events
from mlops_ci.data import fingerprint
from mlops_ci.entities import ArtifactRef, Dataset, Metric, Model, Run, Scalar, Status
from mlops_ci.errors import InputError
from mlops_ci.lifecycle import run_folder
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.run_folder import Context
from mlops_ci.records import Record

_LONGEST_VALUE = 4_000
_MOST_NAMES = 20_000


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """A run that is in the ledger; *sent* is False while its remote has not seen it."""

    run: Run
    record: Record
    sent: bool


class _Found(msgspec.Struct, kw_only=True):
    """What training left, by kind; *bytes* are the files to be stored, by digest."""

    params: dict[str, str | int | float | bool | None]
    metrics: dict[str, Metric]
    data: list[Dataset]
    artifacts: list[ArtifactRef]
    model: Model | None
    bytes: dict[str, Path]
    warnings: list[str]


def leftovers(project: Project) -> Iterator[Taken]:
    """Take in what earlier processes left: runs that were killed, that started by themselves, or found no room."""
    for folder, context in run_folder.left(project):
        yield take_in(project, folder, context)


def take_in(project: Project, folder: Path, context: Context, *, probe: Probe | None = None) -> Taken:
    """
    Record the run in *folder*.

    What cannot be read becomes a warning of a failed or killed run; of a finished one it is an error,
    recorded as well: a gate must not be judged on half of what was asked for.

    Raises:
        InputError: A file that the configuration names is missing or wrong; the run is recorded as failed.
        ServiceError: The artifact store cannot take the bytes; the folder keeps them.
    """
    logged = events.read(folder, folder / run_folder.HISTORY)
    status = _status(context, logged)
    fault: InputError | None = None
    try:
        found = _gather(project, folder, logged, strict=status == "finished")
    except InputError as error:
        fault, status = error, "failed"
        found = _gather(project, folder, logged, strict=False)
    run = _run(project, folder, context, logged, found, status=status, probe=probe)
    record = records.new(run, author=context.author)
    stored = project.artifacts.put(found.bytes)
    sent = project.ledger.append([record])
    shutil.rmtree(folder, ignore_errors=True)
    if fault is not None:
        raise fault
    return Taken(run=run, record=record, sent=sent and stored)


def _run(
    project: Project,
    folder: Path,
    context: Context,
    logged: Events,
    found: _Found,
    *,
    status: Status,
    probe: Probe | None,
) -> Run:
    ended = context.ended or run_folder.last_sign_of_life(folder)
    recorded_environment = _environment(project, folder, found, probe)
    said = [f"training said: {logged.error}"] if logged.error else []
    warnings = [*context.warnings, *said, *logged.warnings, *found.warnings, *(probe.warnings if probe else [])]
    return Run(
        run_id=context.run_id,
        run_key=context.run_key,
        project=context.project,
        experiment=logged.experiment or context.experiment,
        status=status,
        started=context.started,
        ended=ended,
        duration_s=context.duration_s or _seconds_between(context.started, ended),
        git=context.git,
        ci=context.ci,
        command=[secrets.redact_text(word) for word in context.command],
        exit_code=context.exit_code,
        improvised=context.improvised,
        params=secrets.redact(found.params),
        metrics=found.metrics,
        tags={name: str(value) for name, value in secrets.redact(_bounded(logged.tags)).items()},
        stages=logged.stages,
        data=found.data,
        artifacts=found.artifacts,
        model=found.model,
        environment=recorded_environment,
        history=_history(folder, logged, found),
        warnings=[secrets.redact_text(sentence[:_LONGEST_VALUE]) for sentence in warnings],
    )


def _gather(project: Project, folder: Path, logged: Events, *, strict: bool) -> _Found:
    found = _Found(params={}, metrics={}, data=[], artifacts=[], model=None, bytes={}, warnings=[])
    for step in (_gather_files, _gather_data, _gather_artifacts, _gather_model):
        try:
            step(project, folder, logged, found)
        except InputError as error:
            if strict:
                raise
            found.warnings.append(str(error))
    return found


def _gather_files(project: Project, folder: Path, logged: Events, found: _Found) -> None:
    del folder
    root, run = project.checkout.root, project.config.run
    _keep_params(logged.params, found)
    _keep_metrics(logged.metrics, found)
    if run is None:
        return
    _keep_params({**files.params([root / path for path in run.params]), **logged.params}, found)
    written = files.metrics([root / path for path in run.metrics])
    _keep_metrics(
        {name: Metric(last=value, min=value, max=value) for name, value in written.items()} | logged.metrics, found
    )


def _keep_params(params: dict[str, Scalar], found: _Found) -> None:
    """Keep *params* with their values cut to what a record should hold; a warning names those that were cut."""
    _refuse_many("params", len(params), found)
    found.params = _bounded(params)
    long = [name for name, value in params.items() if isinstance(value, str) and len(value) > _LONGEST_VALUE]
    sentences = [
        f"param {name[:100]} has {len(str(params[name])):,} characters; its beginning is recorded" for name in long[:20]
    ]
    more = [f"so have {len(long) - 20:,} more params"] if len(long) > 20 else []
    found.warnings += [sentence for sentence in [*sentences, *more] if sentence not in found.warnings]


def _keep_metrics(metrics: dict[str, Metric], found: _Found) -> None:
    _refuse_many("metrics", len(metrics), found)
    found.metrics = metrics


def _refuse_many(what: str, number: int, found: _Found) -> None:
    if number > _MOST_NAMES:
        found.params, found.metrics = {}, {}
        raise InputError(
            f"this run has {number:,} {what}, and at most {_MOST_NAMES:,} are recorded",
            hint=f"log fewer {what}: what belongs to a step, an epoch or a row is no name of its own",
        )


def _bounded(values: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """*values*, where a long text is its beginning, its length and its digest."""
    return {
        name: _beginning(name, value) if isinstance(value, str) and len(value) > _LONGEST_VALUE else value
        for name, value in values.items()
    }


def _beginning(name: str, text: str) -> str:
    # Secrets are looked for before the cut, which could go through one, and not in megabytes.
    shown = str(secrets.redact({name: text[: 2 * _LONGEST_VALUE]})[name])
    if shown == secrets.REDACTED:
        return shown
    digest = digests.of_bytes(text.encode("utf-8", "surrogatepass"))
    return f"{shown[:_LONGEST_VALUE]}… ({len(text):,} characters, {digest})"


def _gather_data(project: Project, folder: Path, logged: Events, found: _Found) -> None:
    del folder
    root, run = project.checkout.root, project.config.run
    configured = run.data if run else {}
    found.data += [dataset for dataset in logged.datasets if dataset.name not in configured]
    found.data += [fingerprint(name, root / path, root) for name, path in configured.items()]


def _gather_artifacts(project: Project, folder: Path, logged: Events, found: _Found) -> None:
    del logged
    root, run = project.checkout.root, project.config.run
    _add_folder(folder / "artifacts", "", found)
    for plots in run.plots if run else ():
        path = root / plots
        if path.is_dir():
            _add_folder(path, plots.rstrip("/") + "/", found)
        elif path.is_file():
            _add(digests.reference(path, plots), path, found)
        else:
            raise InputError(f"{plots} was not written", hint="`run: plots:` in mlops.yaml names it")


def _gather_model(project: Project, folder: Path, logged: Events, found: _Found) -> None:
    del logged
    run = project.config.run
    source, flavor = folder / "model", None
    if run and run.model and not source.is_dir():
        source, flavor = project.checkout.root / run.model.path, run.model.flavor
        if not source.exists():
            raise InputError(f"{run.model.path} was not written", hint="`run: model: path:` in mlops.yaml names it")
    if source.exists():
        found.model = models.describe(source, flavor)
        base = source if source.is_dir() else source.parent
        found.bytes.update({file.digest: base / file.path for file in found.model.files})


def _add_folder(folder: Path, prefix: str, found: _Found) -> None:
    for file in digests.of_files(folder) if folder.is_dir() else ():
        _add(records.replace(file, path=prefix + file.path), folder / file.path, found)


def _add(reference: ArtifactRef, path: Path, found: _Found) -> None:
    found.artifacts.append(reference)
    found.bytes[reference.digest] = path


def _environment(project: Project, folder: Path, found: _Found, probe: Probe | None) -> ArtifactRef | None:
    """The interpreter and its packages, as an artifact: runs that had the same share it."""
    seen = probe.result() if probe else {}
    if not seen:
        return None
    locks = environment.lock_files(project.checkout.root)
    path = folder / run_folder.ENVIRONMENT
    path.write_bytes(records.canonical({**seen, "locks": msgspec.to_builtins(locks)}))
    reference = digests.reference(path, path.name)
    found.bytes[reference.digest] = path
    return reference


def _history(folder: Path, logged: Events, found: _Found) -> ArtifactRef | None:
    """Every point of every metric, where a metric has more than its last."""
    if all(metric.count == 1 for metric in logged.metrics.values()):
        return None
    path = folder / run_folder.HISTORY
    reference = digests.reference(path, path.name)
    found.bytes[reference.digest] = path
    return reference


def _status(context: Context, logged: Events) -> Status:
    """By the command's exit code; of a run that started by itself, by what it said at its end."""
    if context.exit_code is not None:
        return "finished" if context.exit_code == 0 else "failed"
    if context.alone and logged.ended:
        return "failed" if logged.error else "finished"
    return "killed"


def _seconds_between(start: str, end: str) -> float:
    return max(0.0, round((records.moment(end) - records.moment(start)).total_seconds(), 3))
