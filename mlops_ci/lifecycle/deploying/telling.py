"""
Keep GitHub's Deployments in step, so that the repository's page shows what runs where.

Nobody asks them whether something may be deployed, and a fault of GitHub's is told and holds nothing up.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlops_ci.entities import Deployment
from mlops_ci.errors import MlopsCIError
from mlops_ci.lifecycle.deploying.planning import Prospect
from mlops_ci.lifecycle.reach_github import hub_of
from mlops_ci.targets import Tell

if TYPE_CHECKING:
    from mlops_ci.github import GitHub
    from mlops_ci.github.deployments import State


class Shown:
    """GitHub's Deployment of what is being deployed; where there is none, nothing is told."""

    def __init__(self, hub: GitHub | None, number: int, log_url: str, tell: Tell) -> None:
        self._hub, self._number, self._log_url, self._tell = hub, number, log_url, tell

    def live(self, deployment: Deployment) -> None:
        """It serves."""
        self._say("success", deployment.url, f"{deployment.plan.model} {deployment.plan.version} serves")

    def _say(self, state: State, url: str, description: str) -> None:
        hub = self._hub
        if hub is None:
            return
        from mlops_ci.github import deployments  # noqa: PLC0415  # a tenth of a second that only GitHub has to cost

        try:
            deployments.set_status(
                hub,
                self._number,
                state,
                environment_url=url if url.startswith("https://") else "",
                log_url=self._log_url,
                description=description,
            )
        except MlopsCIError as error:
            self._tell(_unheard(error))

    def begun(self) -> None:
        """It is being deployed."""
        self._say("in_progress", "", "")

    def failed(self, why: str) -> None:
        """It does not serve."""
        self._say("failure", "", why)


@contextmanager
def shown(made: Prospect, request: str, tell: Tell) -> Iterator[Shown]:
    """
    Show the deployment of *made* on the repository's page, and there, too, that it failed if it does.

    Args:
        made: What is deployed.
        request: The record id of the request that was approved, "" for none.
        tell: Told what GitHub could not be told.
    """
    found = _begin(made, request, tell)
    found.begun()
    try:
        yield found
    except MlopsCIError as error:
        found.failed(str(error))
        raise


def _begin(made: Prospect, request: str, tell: Tell) -> Shown:
    event, plan, version = made.project.event, made.plan, made.version
    log_url = event.run.run_url if event else ""
    nobody = Shown(None, 0, log_url, tell)
    hub = hub_of(made.project)
    if hub is None:
        return nobody
    from mlops_ci.github import deployments  # noqa: PLC0415  # as in `_say`

    run_id = int(event.run.run_id) if event and event.run.run_id.isdecimal() else 0
    before = made.previous
    try:
        number = deployments.adopt_or_create(
            hub,
            sha=version.sha,
            ref=version.tag,
            environment=made.settings.environment or plan.target,
            run_id=run_id,
            description=f"{plan.model} {plan.version} ({version.sha[:7]})",
            production=plan.production,
            payload={"plan": made.digest, "request": request, "replaces": before.id if before else ""},
            # One that a comment started, or a person by hand, is of the default branch.
            run_sha=event.sha if event else "",
        )
    except MlopsCIError as error:
        tell(_unheard(error))
        return nobody
    return Shown(hub, number, log_url, tell)


def _unheard(error: MlopsCIError) -> str:
    return f"GitHub was not told of the deployment: {error}" + (f"\n  {error.hint}" if error.hint else "")
