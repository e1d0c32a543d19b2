"""
What a branch demands before a merge, and what an environment demands before a deployment.

Rulesets can be read by everybody who can read the repository; of the older branch protection some tokens see nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from mlops_ci.errors import NotFound
from mlops_ci.github.answers import read
from mlops_ci.github.client import GitHub, segment
from mlops_ci.github.permissions import PermissionMissing

_ADMINISTRATION = "administration: read"


@dataclass(frozen=True)
class RequiredCheck:
    """A check that must have passed; *app_id* is the only App whose check counts, None where any does."""

    context: str
    app_id: int | None
    source: Literal["ruleset", "branch protection"]


@dataclass(frozen=True)
class RequiredChecks:
    """What is known of a branch's checks; *notes* are sentences on what could not be read."""

    checks: tuple[RequiredCheck, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Environment:
    """
    What a deployment environment demands.

    Attributes:
        reviewers: Logins, and "team:org/slug"; one of them must agree.
        prevent_self_review: Whether who started the deployment may not.
    """

    name: str
    exists: bool
    reviewers: tuple[str, ...] = ()
    prevent_self_review: bool = False


class _Rule(msgspec.Struct):
    type: str
    parameters: dict[str, Any] | None = None


class _RuleCheck(msgspec.Struct):
    context: str
    integration_id: int | None = None


class _RuleChecks(msgspec.Struct):
    required_status_checks: list[_RuleCheck] = []


class _Check(msgspec.Struct):
    context: str
    app_id: int | None = None


class _Checks(msgspec.Struct):
    contexts: list[str] = []
    checks: list[_Check] = []


class _Protection(msgspec.Struct):
    required_status_checks: _Checks | None = None


class _Branch(msgspec.Struct):
    protected: bool = False
    protection: _Protection | None = None


class _Reviewer(msgspec.Struct):
    login: str = ""
    slug: str = ""


class _ReviewerEntry(msgspec.Struct):
    type: str = ""
    reviewer: _Reviewer | None = None


class _EnvironmentRule(msgspec.Struct):
    type: str
    prevent_self_review: bool | None = None
    reviewers: list[_ReviewerEntry] = []


class _Environment(msgspec.Struct):
    name: str
    protection_rules: list[_EnvironmentRule] | None = None


def required_checks(hub: GitHub, branch: str) -> RequiredChecks:
    """
    Return the checks that *branch* requires, of its rulesets and of its protection.

    Raises:
        ServiceError: GitHub did not answer.
        Refused: The token is not valid.
    """
    found: list[RequiredCheck] = []
    notes: list[str] = []
    for ask in (_of_rulesets, _of_protection):
        try:
            found += ask(hub, branch)
        except (NotFound, PermissionMissing) as error:
            notes.append(str(error))
    return RequiredChecks(tuple(found), tuple(notes))


def environment(hub: GitHub, name: str) -> Environment:
    """
    Return what the environment *name* demands; one that is not there demands nothing.

    Raises:
        PermissionMissing: The token may not read environments.
        ServiceError: GitHub did not answer.
    """
    what = f"read the environment {name}"
    try:
        answer = hub.request("GET", f"environments/{segment(name)}", what=what, needs="actions: read")
    except NotFound:
        return Environment(name, exists=False)
    found = read(answer, _Environment, what=what)
    rules = [rule for rule in found.protection_rules or [] if rule.type == "required_reviewers"]
    entries = [entry for rule in rules for entry in rule.reviewers]
    return Environment(
        found.name,
        exists=True,
        reviewers=tuple(name for name in (_reviewer(hub, entry) for entry in entries) if name),
        prevent_self_review=any(rule.prevent_self_review for rule in rules),
    )


def _of_rulesets(hub: GitHub, branch: str) -> list[RequiredCheck]:
    what = f"read the rules of {branch}"
    pages = hub.pages(f"rules/branches/{segment(branch)}", what=what, needs="metadata: read")
    rules = [read(entry, _Rule, what=what) for entry in pages]
    return [
        RequiredCheck(check.context, check.integration_id, "ruleset")
        for rule in rules
        if rule.type == "required_status_checks"
        for check in read(rule.parameters or {}, _RuleChecks, what=what).required_status_checks
    ]


def _of_protection(hub: GitHub, branch: str) -> list[RequiredCheck]:
    what = f"read the protection of {branch}"
    path = f"branches/{segment(branch)}"
    found = read(hub.request("GET", path, what=what, needs="contents: read"), _Branch, what=what)
    if not found.protected:
        return []
    required = found.protection.required_status_checks if found.protection else None
    if required is None:
        required = _protected_checks(hub, path, what)
    apps = {check.context: check.app_id for check in required.checks}
    contexts = dict.fromkeys([*required.contexts, *apps])
    return [RequiredCheck(context, _app(apps.get(context)), "branch protection") for context in contexts]


def _protected_checks(hub: GitHub, path: str, what: str) -> _Checks:
    try:
        answer = hub.request("GET", f"{path}/protection/required_status_checks", what=what, needs=_ADMINISTRATION)
    except NotFound as error:
        if any(words in str(error).lower() for words in ("not enabled", "not protected")):
            return _Checks()
        raise
    return read(answer, _Checks, what=what)


def _app(app_id: int | None) -> int | None:
    return app_id if app_id is not None and app_id > 0 else None  # -1 is any


def _reviewer(hub: GitHub, entry: _ReviewerEntry) -> str:
    if entry.reviewer is None:
        return ""
    if entry.type == "Team":
        return f"team:{hub.owner}/{entry.reviewer.slug}"
    return entry.reviewer.login
