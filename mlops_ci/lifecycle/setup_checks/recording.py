"""Where runs are kept: whether it answers, what waits here, and whether there is something to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from mlops_ci.errors import MlopsCIError, ServiceError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle import find_baseline
from mlops_ci.lifecycle.find_baseline import Baseline
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.setup_checks.clone import Remote
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, unknown, warning, wrong
from mlops_ci.numerals import count


def check(project: Project, remote: Remote, branch: str, *, in_ci: bool) -> Iterator[Finding]:
    """
    Yield what is to be said of the store.

    Args:
        project: Whose.
        remote: What the remote said.
        branch: The default branch, or "".
        in_ci: Whether workflows use mlops-ci, so that a folder of this machine is not enough.
    """
    yield from _baseline(project, remote, branch)
    yield from _waiting(project)
    if in_ci:
        yield from _local(project)


def _baseline(project: Project, remote: Remote, branch: str) -> Iterator[Finding]:
    store = "the git ledger" if project.config.store == "git" else "the store"
    if project.config.store == "git" and project.checkout.remote and remote.failure:
        yield unknown("records.store", "the records are in the remote, which did not answer")
        return
    start = _known(project.checkout, remote, branch)
    if not start:
        yield unknown("records.baseline", "this clone has no commit to look for a baseline from")
        return
    try:
        found = _nearest(project, start)
    except MlopsCIError as error:
        what = "did not answer" if isinstance(error, ServiceError) else "cannot be opened"
        yield wrong("records.store", f"{store} {what}: {error}", error.hint or "try again")
        return
    yield right("records.store", f"{store} answers")
    if found:
        yield right("records.baseline", f"{branch or 'HEAD'} has a baseline: {_said(found)}")
    else:
        yield warning(
            "records.baseline",
            f"no finished run of the last commits of {branch or 'HEAD'} is recorded: changes will be 'not evaluated'",
            f"push to {branch or 'the default branch'}, or train there: `mlops-ci run`",
        )


def _known(checkout: Checkout, remote: Remote, branch: str) -> str:
    """The default branch's tip, or what this clone knows of it; "" if there is no commit at all."""
    revisions = [remote.sha, f"origin/{branch}" if branch else "", "HEAD"]
    for revision in filter(None, revisions):
        with suppress(MlopsCIError):
            return checkout.commit(revision).sha
    return ""


def _nearest(project: Project, start: str) -> Baseline | None:
    history = find_baseline.history_of(project.checkout, start)
    config = project.config
    return find_baseline.nearest(history, project.ledger, start, config.project, project.experiment)


def _said(found: Baseline) -> str:
    pointer = found.pointer
    far = f"{count(pointer.distance, 'commit')} back" if pointer.distance else "its newest commit"
    return f"run {pointer.run_id} of {pointer.sha[:7]}, {far}"


def _waiting(project: Project) -> Iterator[Finding]:
    try:
        waiting = project.ledger.pending()
    except MlopsCIError:
        return  # said above, where it was asked for more
    if waiting:
        them = "sends it" if waiting == 1 else "sends them"
        yield warning("records.waiting", f"{count(waiting, 'record')} wait here", f"`mlops-ci sync` {them}")


def _local(project: Project) -> Iterator[Finding]:
    config, name = project.config, project.config_name
    if config.artifacts != "git":
        yield wrong(
            "records.artifacts",
            f"`artifacts: {config.artifacts}` is a folder of one machine: what a job keeps there, the next job lacks",
            "say `artifacts: git`, or nothing, which is the same",
            file=name,
        )
    stores = {"store": config.store, **{f"targets.{key}.store": target.store for key, target in config.targets.items()}}
    for key, store in stores.items():
        if store.startswith("sqlite:"):
            yield wrong(
                "records.local_store",
                f"`{key}:` is a file of one machine: what a job records there, the next job lacks",
                "name a database server, or leave it out",
                file=name,
            )
