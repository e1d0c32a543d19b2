"""Whether a bad verdict blocks the merge: the check is required on the default branch, by its very name."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

from mlops_ci.config import Config
from mlops_ci.lifecycle.setup_checks.asking import Asked, Place
from mlops_ci.lifecycle.setup_checks.findings import Finding, right, unknown, warning, wrong
from mlops_ci.lifecycle.setup_checks.workflow_files import Workflow
from mlops_ci.lifecycle.setup_checks.workflow_jobs import has_own_token

if TYPE_CHECKING:
    from mlops_ci.github import GitHub
    from mlops_ci.github.rules import RequiredCheck

GITHUB_ACTIONS = 15368
"""The App that every workflow's own token belongs to, on github.com."""

_NAME = "merging.required"
_APP = "merging.app"


def check(asked: Asked, config: Config, branch: str, ours: Sequence[Workflow]) -> Iterator[Finding]:
    """Yield whether *branch*, the default branch ("" if unknown), requires the check of *config*."""
    name = config.report.name
    if config.report.check == "none":
        text = "no check is set (`report: check: none`), so that nothing can be required"
        yield warning(_NAME, text, "remove `check: none` to block bad merges")
        return
    what = f"whether {branch or 'the default branch'} requires {name}"
    if not branch:
        yield unknown(_NAME, f"{what} could not be asked: nobody told which branch that is")
        return
    yield from asked.about(_NAME, what, lambda hub: _required(hub, asked.place, name, branch, ours))


def merge_queue(asked: Asked, branch: str) -> bool | None:
    """Whether *branch* has a merge queue by its rulesets; None if nobody could say."""
    from mlops_ci.errors import MlopsCIError  # noqa: PLC0415

    if asked.hub is None or not branch:
        return None
    try:
        return _has_queue(asked.hub, branch)
    except MlopsCIError:
        return None


def _has_queue(hub: GitHub, branch: str) -> bool:
    from mlops_ci.github.client import segment  # noqa: PLC0415  # with the hub

    rules = hub.pages(f"rules/branches/{segment(branch)}", what=f"read the rules of {branch}", needs="metadata: read")
    return any(isinstance(rule, dict) and rule.get("type") == "merge_queue" for rule in rules)


def _required(hub: GitHub, place: Place, name: str, branch: str, ours: Sequence[Workflow]) -> Iterator[Finding]:
    from mlops_ci.github import rules  # noqa: PLC0415  # with the hub

    found = rules.required_checks(hub, branch)
    mine = [one for one in found.checks if one.context == name]
    if mine:
        yield right(_NAME, f"{branch} requires {name} ({', '.join(dict.fromkeys(one.source for one in mine))})")
        yield from _apps(mine, place, ours)
    elif found.notes:
        yield unknown(_NAME, f"{name} is not among the required checks that can be read; {'; '.join(found.notes)}")
    else:
        new = f"{place.server}/{place.repository}/settings/rules/new?target=branch"
        how = f"Settings → Rules → Rulesets → New branch ruleset → Require status checks → {name}: {new}"
        yield wrong(_NAME, f"{branch} does not require {name}: a failed gate blocks no merge", how)
    if not mine:
        yield from _similar([one.context for one in found.checks], name, branch, ours)


def _apps(mine: Sequence[RequiredCheck], place: Place, ours: Sequence[Workflow]) -> Iterator[Finding]:
    """A check counts only if it comes from the App that is required with it."""
    bound = [one for one in mine if one.app_id is not None]
    others = [one for one in bound if one.app_id != GITHUB_ACTIONS]
    certain = place.is_public_github and not has_own_token(ours)
    for one in others:
        text = f"the {one.source} takes {one.context} from the App {one.app_id} alone, not from GitHub Actions"
        say = wrong if certain else warning
        how = "choose GitHub Actions, or any source, beside the check's name"
        yield say(_APP, text, how if certain else f"it must be the App whose token the workflow uses; else {how}")


def _similar(contexts: Sequence[str], name: str, branch: str, ours: Sequence[Workflow]) -> Iterator[Finding]:
    """Another required name that may have been meant: one of a job, of an old project, or with a slip of the pen."""
    jobs = {
        title: job.key for flow in ours for job in flow.our_jobs for title in (job.name, f"{flow.name} / {job.name}")
    }
    for context in contexts:
        if context in jobs:
            text = f"{branch} requires {context}, which is the job {jobs[context]} and not the verdict"
            how = f"require {name} in its place: a job that is skipped counts as passed"
            yield warning("merging.similar", text, how)
    close = get_close_matches(name, [one for one in contexts if one not in jobs], n=1)
    if close:
        text = f"{branch} requires {close[0]}, and the check is called {name}"
        how = "require that, and not a name that nothing sets; or say the old one in mlops.yaml, `report: name:`"
        yield warning("merging.similar", text, how)
