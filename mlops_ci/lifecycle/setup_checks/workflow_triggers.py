"""What starts the workflows: whether every pull request, push and version tag does, and nothing that must not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from mlops_ci.config import Config
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, unknown, warning, wrong
from mlops_ci.lifecycle.setup_checks.workflow_files import Trigger, Workflow

_FILTERS = ("paths", "paths-ignore")
_NEWER_COMMITS = ("opened", "synchronize", "reopened")


def check(
    ours: Sequence[Workflow], every: Sequence[Workflow], config: Config, *, branch: str, queue: bool | None
) -> Iterator[Finding]:
    """
    Yield what is to be said of the triggers.

    Args:
        ours: The workflows that use mlops-ci.
        every: All workflows.
        config: The project's.
        branch: The default branch; "" if nobody told.
        queue: Whether it has a merge queue; None if nobody could say.
    """
    yield from _pull_requests(ours, branch)
    yield from _merge_queue(ours, branch, queue)
    yield from _pushes(ours, branch)
    yield from _tags(ours, config)
    yield from _filters(ours)
    yield from _targets(ours)
    yield from _upstream(ours, every)
    yield from _forks(ours)


def of(workflows: Sequence[Workflow], event: str, parts: Sequence[str] = ()) -> list[Trigger]:
    """The triggers of *event* that reach a job with one of *parts* of mlops-ci, or any job of ours."""
    return [
        trigger
        for workflow in workflows
        for trigger in workflow.triggers
        if trigger.event == event and _reaches(workflow, event, parts)
    ]


def _main(workflows: Sequence[Workflow]) -> str:
    """The file to add to: the first that trains."""
    training = [
        workflow.path for workflow in workflows if any(job.parts & {"all", "train"} for job in workflow.our_jobs)
    ]
    return (training or [workflow.path for workflow in workflows])[0]


def _reaches(workflow: Workflow, event: str, parts: Sequence[str]) -> bool:
    jobs = workflow.our_jobs
    if not jobs:
        return True  # it calls a workflow of another repository, which nobody can look into here
    return any(job.is_reached_by(event) and (not parts or job.parts & {*parts, ""}) for job in jobs)


def _pull_requests(ours: Sequence[Workflow], branch: str) -> Iterator[Finding]:
    check = "workflows.pull_request"
    found = of(ours, "pull_request", ("all", "train"))
    admitting = [trigger for trigger in found if not branch or trigger.admits_branch(branch)]
    if not found:
        yield wrong(
            check,
            "no pull request is judged: nothing that trains starts on `pull_request`",
            f"add `pull_request:` under `on:` in {_main(ours)}",
            file=_main(ours),
        )
    elif not admitting:
        text = f"pull requests into {branch} start nothing: `branches:` leaves {branch} out"
        yield wrong(check, text, f"add {branch} to it", file=found[0].path, line=found[0].line)
    else:
        narrow = [trigger for trigger in admitting if _lacking(trigger)]
        for trigger in narrow:
            text = f"`types:` of `pull_request` lacks {' and '.join(_lacking(trigger))}: such a commit gets no verdict"
            yield wrong(check, text, "remove `types:`, or add what is missing", file=trigger.path, line=trigger.line)
        if not narrow:
            yield right(check, f"pull requests start {_files(admitting)}")


def _lacking(trigger: Trigger) -> list[str]:
    types = trigger.listed("types")
    return [kind for kind in _NEWER_COMMITS if types and kind not in types]


def _merge_queue(ours: Sequence[Workflow], branch: str, queue: bool | None) -> Iterator[Finding]:  # noqa: FBT001  # tri-state
    check = "workflows.merge_group"
    found = of(ours, "merge_group", ("all", "train"))
    how = f"add `merge_group:` under `on:` in {_main(ours)}"
    if queue and not found:
        text = f"{branch} has a merge queue, and `merge_group` starts nothing: what is queued waits for ever"
        yield wrong(check, text, how, file=_main(ours))
    elif queue:
        yield right(check, f"the merge queue starts {_files(found)}")
    elif queue is None and not found:
        yield unknown(
            check, "whether there is a merge queue could not be asked; nothing starts for one", f"if so, {how}"
        )


def _pushes(ours: Sequence[Workflow], branch: str) -> Iterator[Finding]:
    check = "workflows.push"
    found = of(ours, "push", ("all", "train"))
    if not branch:
        yield unknown(
            check, "which branch is the default branch could not be asked, nor whether its pushes are recorded"
        )
    elif admitting := [trigger for trigger in found if trigger.admits_branch(branch)]:
        yield right(check, f"pushes to {branch} start {_files(admitting)}")
    else:
        yield wrong(
            check,
            f"pushes to {branch} start nothing that trains: there will be no baseline to compare with",
            f"add `push: {{branches: [{branch}]}}` under `on:` in {_main(ours)}",
            file=_main(ours),
        )


def _tags(ours: Sequence[Workflow], config: Config) -> Iterator[Finding]:
    check = "workflows.tag"
    example = config.registry.tag.replace("{model}", config.model).replace("{version}", "1.2.3")
    found = [
        trigger
        for workflow in ours
        for trigger in workflow.triggers
        if trigger.event == "push" and trigger.admits_tag(example) and _reaches(workflow, "tag", ("all",))
    ]
    found += of(ours, "release", ("all",))
    if found:
        yield right(check, f"version tags such as {example} start {_files(found)}")
        return
    pattern = config.registry.tag.replace("{model}", config.model).replace("{version}", "*")
    text = f"version tags such as {example} start nothing: no version is registered"
    how = f'add `push: {{tags: ["{pattern}"]}}` under `on:` in {_main(ours)}'
    say = wrong if config.targets else warning
    yield say(check, text, how, file=_main(ours))


def _filters(ours: Sequence[Workflow]) -> Iterator[Finding]:
    check = "workflows.paths"
    filtered = [
        (trigger, name)
        for event in ("pull_request", "merge_group")
        for trigger in of(ours, event)
        for name in _FILTERS
        if name in trigger.options
    ]
    for trigger, name in filtered:
        text = (
            f"`{name}:` filters `{trigger.event}`: the required check of a workflow that does not start stays pending"
        )
        how = (
            "remove it, and name the files in mlops.yaml, `run: paths:`; where none changes, the check is green at once"
        )
        yield wrong(check, text, how, file=trigger.path, line=trigger.line)
    if not filtered and of(ours, "pull_request"):
        yield right(check, "no file filter keeps the check pending")


def _targets(ours: Sequence[Workflow]) -> Iterator[Finding]:
    for trigger in of(ours, "pull_request_target"):
        yield wrong(
            "workflows.pull_request_target",
            "`pull_request_target` would run a stranger's code with this repository's secrets",
            "use `pull_request`, and a second workflow on `workflow_run`, as `mlops-ci init` writes them",
            file=trigger.path,
            line=trigger.line,
        )


def _upstream(ours: Sequence[Workflow], every: Sequence[Workflow]) -> Iterator[Finding]:
    names = [workflow.name for workflow in every]
    for trigger in of(ours, "workflow_run"):
        awaited = trigger.listed("workflows")
        for name in (name for name in awaited if name not in names):
            close = get_close_matches(name, names, n=1)
            guess = f"did you mean {close[0]!r}?" if close else f"name one of these: {', '.join(names)}"
            text = f"`workflow_run` waits for a workflow called {name!r}, and none is called so"
            yield wrong("workflows.workflow_run", text, guess, file=trigger.path, line=trigger.line)
        if awaited and all(name in names for name in awaited):
            yield right("workflows.workflow_run", f"{_files([trigger])} follows {', '.join(awaited)}")


def _forks(ours: Sequence[Workflow]) -> Iterator[Finding]:
    if of(ours, "pull_request") and not of(ours, "workflow_run", ("record", "all")):
        yield warning(
            "workflows.forks",
            "pull requests from forks and by Dependabot get no comment and no check: nothing records what they train",
            "`mlops-ci init` writes mlops-record.yml",
        )


def _files(triggers: Sequence[Trigger]) -> str:
    return ", ".join(dict.fromkeys(trigger.path.rpartition("/")[2] for trigger in triggers))
