"""
The workflows of a repository as data: what starts them, their jobs, and the steps that use mlops-ci.

Nothing is judged here, but that a file cannot be read.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from yaml import MappingNode, Node, YAMLError

from mlops_ci.config.nodes import compose, entries, items_of, line_of, value_of
from mlops_ci.errors import MlopsCIError
from mlops_ci.lifecycle.setup_checks.expressions import may_be_true
from mlops_ci.lifecycle.setup_checks.findings import Finding, wrong

FOLDER = ".github/workflows"
_OURS = "mlops-ci"
_CHECKOUT = "actions/checkout@"
# The events that a job may be reached by, as conditions see them; "tag" is a push of one. Without inputs: a dispatch
# that names a tag is judged as the tag is.
_SEEN_AS = {
    "pull_request": ("pull_request", "branch"),
    "pull_request_target": ("pull_request_target", "branch"),
    "merge_group": ("merge_group", "branch"),
    "push": ("push", "branch"),
    "tag": ("push", "tag"),
    "release": ("release", "tag"),
    "workflow_run": ("workflow_run", "branch"),
    "issue_comment": ("issue_comment", "branch"),
    "schedule": ("schedule", "branch"),
    "workflow_dispatch": ("workflow_dispatch", "branch"),
}


@dataclass(frozen=True)
class Step:
    """A step that uses an action; *inputs* as text."""

    uses: str
    inputs: Mapping[str, str]
    line: int

    @property
    def is_ours(self) -> bool:
        """Whether it is mlops-ci, wherever it is kept."""
        return _OURS in self.uses.lower()

    @property
    def part(self) -> str:
        """Which part it does, "deploy" for a target that waited for an approval; "" if only the run will know."""
        if self.inputs.get("deploy"):
            return "deploy"
        part = self.inputs.get("part", "") or "all"
        return part if part in {"all", "train", "record"} else ""

    def concerns(self, config_name: str, *, default: str) -> bool:
        """Whether it works on the project of that configuration, or only the run will know."""
        said, folder = self.inputs.get("config", ""), self.inputs.get("working-directory", "")
        if "${{" in said + folder:
            return True
        return (posixpath.normpath(posixpath.join(folder, said)) if said else default) == config_name


@dataclass(frozen=True)
class Job:
    """
    A job.

    Attributes:
        key: Its key in the file.
        name: What GitHub calls its own check.
        uses: The workflow that it calls, or "".
        permissions: By name; None where neither the job nor the workflow names any.
        everything: "write-all" or "read-all", where that is what they are.
        cancels: Whether a newer run ends it.
    """

    key: str
    name: str
    condition: str
    uses: str
    permissions: Mapping[str, str] | None
    everything: str
    cancels: bool
    environment: str
    steps: Sequence[Step]
    line: int

    @property
    def ours(self) -> list[Step]:
        """Its steps that are mlops-ci."""
        return [step for step in self.steps if step.is_ours]

    @property
    def parts(self) -> set[str]:
        """Which parts of mlops-ci it does."""
        return {step.part for step in self.ours}

    @property
    def checkouts(self) -> list[Step]:
        """Its steps that check the repository out."""
        return [step for step in self.steps if step.uses.startswith(_CHECKOUT)]

    def may(self, permission: str) -> str:
        """How far its token goes: "none", "read" or "write"; "" where the file does not say."""
        if self.everything:
            return self.everything.removesuffix("-all")
        return "" if self.permissions is None else self.permissions.get(permission, "none")

    def is_reached_by(self, event: str) -> bool:
        """Whether its condition can be met when *event* starts the workflow."""
        if event not in _SEEN_AS:
            return may_be_true(self.condition, {"github.event_name": event}) if self.condition else True
        name, kind = _SEEN_AS[event]
        known = {"github.event_name": name, "github.ref_type": kind, "inputs.": "", "github.event.inputs.": ""}
        if kind == "tag":
            known["github.ref"] = "refs/tags/"
        elif name == "push":
            known["github.ref"] = "refs/heads/"
        return may_be_true(self.condition, known) if self.condition else True


@dataclass(frozen=True)
class Trigger:
    """One event under `on:` in the file *path*, with what it is narrowed to."""

    event: str
    path: str
    options: Mapping[str, Any]
    line: int

    def listed(self, name: str) -> list[str]:
        """The entries of an option that is a list, or one text."""
        value = self.options.get(name)
        return [str(item) for item in value] if isinstance(value, list) else [] if value is None else [str(value)]

    def admits_branch(self, branch: str) -> bool:
        """Whether a change of *branch*, or into it, starts the workflow."""
        return self._admits("branches", branch, other="tags")

    def admits_tag(self, tag: str) -> bool:
        """Whether a push of *tag* starts the workflow."""
        return self._admits("tags", tag, other="branches")

    def _admits(self, kind: str, name: str, *, other: str) -> bool:
        if kind in self.options:
            return matches(self.listed(kind), name)
        if f"{kind}-ignore" in self.options:
            return not matches(self.listed(f"{kind}-ignore"), name)
        return not ({other, f"{other}-ignore"} & set(self.options))


@dataclass(frozen=True)
class Workflow:
    """A workflow file; *path* is relative to the top of the repository."""

    path: str
    name: str
    triggers: Sequence[Trigger]
    jobs: Sequence[Job]

    @property
    def file(self) -> str:
        """The file's own name."""
        return self.path.rpartition("/")[2]

    @property
    def events(self) -> set[str]:
        """What starts it; "tag" where a push may be one of a tag."""
        found = {trigger.event for trigger in self.triggers}
        return found | ({"tag"} if "push" in found else set())

    @property
    def our_jobs(self) -> list[Job]:
        """The jobs that use mlops-ci."""
        return [job for job in self.jobs if job.ours]


def read_all(root: Path) -> tuple[list[Workflow], list[Finding]]:
    """Return every workflow below *root*, and a finding for each file that is none."""
    found: list[Workflow] = []
    problems: list[Finding] = []
    for path in sorted((root / FOLDER).glob("*.y*ml")):
        name = path.relative_to(root).as_posix()
        try:
            found.append(read(path.read_bytes(), name))
        except (MlopsCIError, YAMLError, OSError, ValueError) as error:
            said = str(error).removeprefix(f"{name}:").strip() or type(error).__name__
            hint = "GitHub does not start it either: mend the YAML"
            problems.append(wrong("workflows.readable", f"{name} cannot be read: {said}", hint, file=name))
    return found, problems


def read(text: bytes, path: str) -> Workflow:
    """
    Read one workflow.

    Raises:
        ConfigError: It is no YAML, or too large for a workflow.
        ValueError: It is no workflow.
    """
    root = compose(text, path, if_empty="remove it")
    if not isinstance(root, MappingNode):
        raise ValueError("this is no workflow")  # noqa: TRY004  # of what was read, not of an argument
    found = entries(root)[0]
    jobs = found["jobs"][1] if "jobs" in found else None
    above: dict[str, Any] = {key: value_of(found[key][1]) for key in ("permissions", "concurrency") if key in found}
    named = value_of(found["name"][1]) if "name" in found else None
    return Workflow(
        path=path,
        name=str(named) if named else path,
        triggers=list(_triggers(found["on"][1], path)) if "on" in found else [],
        jobs=[_job(key, line_of(pair[0]), pair[1], above) for key, pair in entries(jobs)[0].items()]
        if isinstance(jobs, MappingNode)
        else [],
    )


def using_us(workflows: Sequence[Workflow], config_name: str, *, default: str) -> list[Workflow]:
    """
    Those of *workflows* that use mlops-ci for the project of the configuration *config_name*.

    A workflow that others of this repository call has the triggers of those beside its own.
    """
    narrowed = (
        replace(workflow, jobs=[_narrowed(job, config_name, default) for job in workflow.jobs])
        for workflow in workflows
    )
    ours = [workflow for workflow in narrowed if any(_is_ours(job) for job in workflow.jobs)]
    return [replace(workflow, triggers=_all_triggers(workflow, workflows)) for workflow in ours]


def _narrowed(job: Job, config_name: str, default: str) -> Job:
    """*job* without what mlops-ci does in it for other projects."""
    kept = [step for step in job.steps if not step.is_ours or step.concerns(config_name, default=default)]
    return replace(job, steps=kept)


def _all_triggers(workflow: Workflow, others: Sequence[Workflow]) -> list[Trigger]:
    called = f"./{workflow.path}"
    callers = [other for other in others if any(job.uses == called for job in other.jobs)]
    return [*workflow.triggers, *(trigger for caller in callers for trigger in caller.triggers)]


def matches(patterns: Sequence[str], name: str) -> bool:
    """Whether *name* is among *patterns* as GitHub reads them: in order, and `!` takes out again."""
    found = False
    for pattern in patterns:
        if _regex(pattern.removeprefix("!")).fullmatch(name):
            found = not pattern.startswith("!")
    return found


def _regex(pattern: str) -> re.Pattern[str]:
    """`*` stops at a slash and `**` does not; `?` and `+` are about the sign before them."""
    parts = re.findall(r"\*\*|\\.|\[[^\]]*\]|.", pattern, re.DOTALL)
    meaning = {"**": ".*", "*": "[^/]*", "?": "?", "+": "+"}
    written = [
        meaning.get(part) or (part if len(part) > 1 and part[0] == "[" else re.escape(part[-1])) for part in parts
    ]
    try:
        return re.compile("".join(written))
    except re.error:
        return re.compile(re.escape(pattern))


def _triggers(node: Node, path: str) -> Iterator[Trigger]:
    if isinstance(node, MappingNode):
        for name, (key, value) in entries(node)[0].items():
            said = value_of(value)
            yield Trigger(name, path, said if isinstance(said, dict) else {}, line_of(key))
        return
    said = value_of(node)
    for name in said if isinstance(said, list) else [said]:
        yield Trigger(str(name), path, {}, line_of(node))


def _job(key: str, line: int, node: Node, above: Mapping[str, Any]) -> Job:
    said = value_of(node) if isinstance(node, MappingNode) else {}
    permissions = said.get("permissions", above.get("permissions"))
    listed = {str(name): str(value) for name, value in permissions.items()} if isinstance(permissions, dict) else None
    concurrency = [said.get("concurrency"), above.get("concurrency")]
    environment = said.get("environment")
    condition = said.get("if", "")
    return Job(
        key=key,
        name=str(said.get("name") or key),
        condition=str(condition).lower() if isinstance(condition, bool) else str(condition or ""),
        uses=str(said.get("uses") or ""),
        permissions=listed,
        everything=permissions if permissions in ("write-all", "read-all") else "",
        cancels=any(isinstance(one, dict) and one.get("cancel-in-progress") is True for one in concurrency),
        environment=str((environment.get("name") if isinstance(environment, dict) else environment) or ""),
        steps=list(_steps(node)),
        line=line,
    )


def _steps(job: Node) -> Iterator[Step]:
    for node in items_of(job, "steps"):
        said = value_of(node)
        if isinstance(said, dict) and isinstance(said.get("uses"), str):
            given = said.get("with")
            inputs = given if isinstance(given, dict) else {}
            yield Step(said["uses"], {str(key): _text(value) for key, value in inputs.items()}, line_of(node))


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value).strip()


def _is_ours(job: Job) -> bool:
    return bool(job.ours) or _OURS in job.uses.lower()
