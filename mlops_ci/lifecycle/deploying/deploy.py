"""Deploy: plan, ask policy, and, with the target held, ask again and perform."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlops_ci import records
from mlops_ci.entities import Deployment
from mlops_ci.lifecycle import policy
from mlops_ci.lifecycle.approvals import request_issue
from mlops_ci.lifecycle.deploying import locks, restoring, telling
from mlops_ci.lifecycle.deploying.admission import Admission, admit, refusal_of
from mlops_ci.lifecycle.deploying.performing import Deployed, Task, admitted, owner_of, perform
from mlops_ci.lifecycle.deploying.planning import Prospect, demand_image, look_again, prospect
from mlops_ci.lifecycle.deployments import current
from mlops_ci.lifecycle.project import Project
from mlops_ci.lifecycle.render import open_target
from mlops_ci.targets import Change, Tell, nothing_to_say


@dataclass(frozen=True)
class Preview:
    """
    What `deploy` would do.

    Attributes:
        changes: To the target, in the order in which they would be made.
        refusal: Why it would not be done now; "" if it would.
    """

    prospect: Prospect
    changes: Sequence[Change]
    refusal: str


def deploy(
    project: Project,
    target: str,
    *,
    version: str = "",
    plan: str = "",
    into: Path,
    tell: Tell = nothing_to_say,
) -> Deployed:
    """
    Deploy *version* (the newest, unless named) to *target*, by the rules of the default branch.

    Doing it twice changes nothing; doing it again after it was killed finishes it.

    Args:
        project: The checkout.
        target: A key of `targets:`.
        version: As `find_version` takes it.
        plan: The digest that the plan must have, or how it begins.
        into: An empty folder for what is rendered.
        tell: Told what is going on.

    Raises:
        Refused: An earlier target has not got this version, the target is locked or frozen, production has no
            approval rule, or the approval is not there yet: then it has been asked for.
        ServiceError: The target did not become ready; what ran before runs again, and both are recorded.
    """
    made = prospect(project, target, version=version, plan=plan, into=into)
    demand_image(made)
    running = _running(made)
    if running is not None:
        return running
    admit(made, tell)
    with made.target.lock(owner_of(made.project)):
        made = look_again(made)
        return _running(made) or _perform(made, admit(made, tell), tell)


def ask(project: Project, target: str, *, version: str, into: Path, tell: Tell = nothing_to_say) -> Deployed | None:
    """
    Ask for what `deploy` would need, and leave the deploying to a job that has the target's credentials.

    So it is the ledger that says whether the same is deployed already.

    Returns:
        What is deployed already; None if nothing is missing.

    Raises:
        Refused: As `deploy`.
    """
    made = prospect(project, target, version=version, into=into)
    demand_image(made)
    previous = made.previous
    if previous is not None and previous.body["plan_digest"] == made.digest:
        return Deployed(previous.read(Deployment), previous.id, new=False)
    admit(made, tell)
    return None


def preview(project: Project, target: str, *, version: str = "", into: Path) -> Preview:
    """
    Say what `deploy` would do, without doing or asking for anything.

    Raises:
        MlopsCIError: As `deploy`, but for refusals, which are told.
    """
    made = prospect(project, target, version=version, into=into)
    demand_image(made)
    return Preview(made, made.target.plan(made.order.files), refusal_of(made))


def stop(project: Project, target: str) -> bool:
    """
    Take away what runs on *target*, and record that; False if nothing did.

    Raises:
        NotFound: The default branch has no such target.
        Refused: Somebody else has locked it.
        ServiceError: The ledger or the target did not answer.
    """
    project = policy.ruled(project)
    found = open_target(project.config, target)
    locks.demand_free(project, target)
    record = current(project, target)
    removed = found.remove()
    # Also where it was gone before, as after a command that was killed here; and not what was deployed meanwhile.
    if record is not None and current(project, target) == record:
        stopped = records.replace(record.read(Deployment), status="stopped", previous=record.id, started=records.now())
        project.ledger_of(target).append([records.new(stopped, author=project.author)])
    return removed or record is not None


def _running(made: Prospect) -> Deployed | None:
    """The deployment of this very plan, if it is the last one, still answers, and nobody has changed it there."""
    previous = made.previous
    if previous is None or previous.body["plan_digest"] != made.digest:
        return None
    status = made.target.status()
    if status is None or status.plan_digest != made.digest or not status.ready:
        return None
    if any(change.action != "same" for change in made.target.plan(made.order.files)):
        return None
    return Deployed(previous.read(Deployment), previous.id, new=False)


def _perform(made: Prospect, admission: Admission, tell: Tell) -> Deployed:
    task = Task(
        project=made.project,
        target=made.target,
        plan=made.plan,
        policy_sha=made.ruling.sha,
        order=made.order,
        example=made.bundle.folder / "service" / "model" / "input_example.json",
        kept=restoring.NOTHING_KEPT,
        tell=tell,
        previous=made.previous,
        fields=admitted(admission),
    )
    with (
        tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder,
        telling.shown(made, admission.request, tell) as shown,
    ):
        back_to = restoring.task_of(made.project, made.target, made.previous, Path(folder), tell)
        deployed = perform(task, back_to=back_to)
        shown.live(deployed.deployment)
    request_issue.settle(made.project, tell=tell)
    return deployed
