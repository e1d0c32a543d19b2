"""
Check the setup of a project as it is: the clone, the files that rule, the store, the workflows, and GitHub.

Everything that can be looked at is, whatever else fails. What is looked at is the business of `setup_checks`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from mlops_ci import ci, records
from mlops_ci.ci import Event
from mlops_ci.config import load
from mlops_ci.errors import MlopsCIError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle.policy import default_branch_of
from mlops_ci.lifecycle.project import CONFIG_NAME, Project, lent_by_ci
from mlops_ci.lifecycle.setup_checks import (
    asking,
    clone,
    configuration,
    merging,
    production,
    recording,
    workflow_files,
    workflow_jobs,
    workflow_triggers,
)
from mlops_ci.lifecycle.setup_checks.asking import Asked
from mlops_ci.lifecycle.setup_checks.clone import Remote
from mlops_ci.lifecycle.setup_checks.findings import Finding, unknown, wrong
from mlops_ci.lifecycle.setup_checks.workflow_files import Workflow

__all__ = ["Checkup", "Finding", "check_setup"]


@dataclass(frozen=True)
class Checkup:
    """
    What was found, in the order in which it should be read.

    Attributes:
        project: Its name, "" where the configuration cannot be read.
        repository: "owner/name" on GitHub, or "".
        ok: Whether nothing is wrong; what could not be asked does not count.
    """

    project: str
    repository: str
    ok: bool
    findings: list[Finding] = field(default_factory=list)


def check_setup(
    start: Path,
    *,
    config_path: Path | None = None,
    env: Mapping[str, str] | None = None,
    today: date | None = None,
) -> Checkup:
    """
    Look at everything around *start*; whatever fails is a finding.

    Args:
        start: In the clone.
        config_path: The configuration, where it is not mlops.yaml.
        env: Where the token is; the process's own unless given.
        today: The day, in UTC, by which waivers expire; the present one unless given.
    """
    found = os.environ if env is None else env
    try:
        checkout = Checkout.find(start, lent=lent_by_ci(found))
    except MlopsCIError as error:
        return Checkup("", "", ok=False, findings=[wrong("git.repository", str(error), error.hint)])
    look = _Look(checkout, config_path, found, today or records.moment(records.now()).date())
    findings = list(look.everything())
    wrongs = any(finding.level == "wrong" for finding in findings)
    return Checkup(
        look.project.config.project if look.project else "", look.asked.place.repository, not wrongs, findings
    )


class _Look:
    """One look: what several checks need is found out once."""

    def __init__(self, checkout: Checkout, config_path: Path | None, env: Mapping[str, str], today: date) -> None:
        self.checkout, self.today = checkout, today
        self.unreadable: list[Finding] = []
        event = self._event(env)
        path = (config_path or checkout.root / CONFIG_NAME).resolve()
        inside = path.is_relative_to(checkout.root)
        self.config_name = path.relative_to(checkout.root).as_posix() if inside else CONFIG_NAME
        self.project: Project | None = self._project(path, event)
        self.remote: Remote = clone.ask_remote(checkout)
        self.asked: Asked = asking.ask(asking.place_of(checkout.remote, event, env), env)
        self.branch = (event.default_branch if event else "") or self._default_branch()
        self.workflows, self.broken = workflow_files.read_all(checkout.root)
        self.ours: list[Workflow] = workflow_files.using_us(self.workflows, self.config_name, default=CONFIG_NAME)

    def _default_branch(self) -> str:
        if not self.checkout.remote:
            return self.checkout.branch()
        return self.remote.branch or default_branch_of(self.checkout) or asking.default_branch(self.asked)

    def _event(self, env: Mapping[str, str]) -> Event | None:
        try:
            return ci.detect(env)
        except MlopsCIError as error:
            self.unreadable.append(wrong("configuration.event", str(error), error.hint))
            return None

    def _project(self, path: Path, event: Event | None) -> Project | None:
        try:
            return Project(self.checkout, load(path), event, self.config_name)
        except MlopsCIError as error:
            self.unreadable.append(configuration.invalid(self.config_name, error))
            return None

    def everything(self) -> Iterator[Finding]:
        """Every finding, in order."""
        yield from self._clone()
        yield from self._configuration()
        if self.project:
            yield from recording.check(self.project, self.remote, self.branch, in_ci=bool(self.ours))
        yield from self._workflows()
        if self.project:
            config, signers = self.project.config, configuration.signers(self.checkout.root)
            yield from merging.check(self.asked, config, self.branch, self.ours)
            yield from production.check(self.asked, config, signers, self.ours)
        yield from asking.check(self.asked)

    def _clone(self) -> Iterator[Finding]:
        yield from clone.check(self.checkout, self.remote)
        address = ""
        if self.project:
            yield from clone.check_rights(self.checkout, self.project.config, self.remote)
            with suppress(MlopsCIError):  # said where the store is asked
                address = self.project.store_address
        yield from clone.check_machine(self.project.config if self.project else None, address)

    def _configuration(self) -> Iterator[Finding]:
        yield from self.unreadable
        if self.project:
            root, config = self.checkout.root, self.project.config
            yield from configuration.check(config, self.config_name)
            yield from configuration.check_default_branch(self.checkout, config, self.config_name, self.remote)
            yield from configuration.check_waivers(root, config, self.today)
            yield from configuration.check_signers(root)

    def _workflows(self) -> Iterator[Finding]:
        yield from self.broken
        if not self.ours:
            yield self._unused()
        elif self.project:
            config, queue = self.project.config, merging.merge_queue(self.asked, self.branch)
            yield from workflow_triggers.check(self.ours, self.workflows, config, branch=self.branch, queue=queue)
            yield from workflow_jobs.check(self.ours, config)

    def _unused(self) -> Finding:
        check = "workflows.used"
        if not self.asked.place.repository and not self.workflows:
            return unknown(check, "there are no workflows, and the remote is not on GitHub")
        for_it = "" if self.config_name == CONFIG_NAME else f" with `config: {self.config_name}`"
        return wrong(
            check,
            f"no workflow in {workflow_files.FOLDER} uses mlops-ci{for_it}: no pull request is judged",
            "`mlops-ci init` writes them, and leaves alone what is there",
        )
