"""
Who may do what: a person's permission on the repository, and teams.

The workflow's own token can ask for users and permissions; teams belong to the organisation, and take a token of it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from mlops_ci.errors import NotFound, UsageError
from mlops_ci.github.answers import one_line, read
from mlops_ci.github.client import GitHub, segment
from mlops_ci.github.permissions import PermissionMissing

Permission = Literal["admin", "maintain", "write", "triage", "read", "none"]

_RISING: tuple[Permission, ...] = ("none", "read", "triage", "write", "maintain", "admin")
_OTHER_NAMES = {"push": "write", "pull": "read"}  # as other parts of the API call them
_LOGIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}(\[bot\])?")
_TEAMS = "members: read"


class _Granted(msgspec.Struct):
    permission: str
    role_name: str = ""


class _Membership(msgspec.Struct):
    state: str


def permission_of(hub: GitHub, login: str) -> Permission:
    """
    Return what *login* may do here; "none" for whoever is no user, and an own role counts as what it is built on.

    Raises:
        PermissionMissing: The token cannot ask.
        ServiceError: GitHub did not answer.
    """
    if not _LOGIN.fullmatch(login):
        return "none"
    what = f"ask what {login} may do"
    path = f"collaborators/{segment(login)}/permission"
    try:
        found = read(hub.request("GET", path, what=what, needs="metadata: read"), _Granted, what=what)
    except NotFound:
        return "none"
    for name in (found.role_name, found.permission):
        known = _OTHER_NAMES.get(name, name)
        if known in _RISING:
            return known
    return "none"


def is_member(hub: GitHub, team: str, login: str) -> bool:
    """
    Whether *login* is an active member of *team*: "slug" in the repository's organisation, or "org/slug".

    Raises:
        PermissionMissing: The token cannot see that team, or there is none.
        UsageError: No team can be called so.
        ServiceError: GitHub did not answer.
    """
    if not _LOGIN.fullmatch(login):
        return False
    organisation, _, slug = team.rpartition("/")
    organisation = organisation or hub.owner
    place = f"/orgs/{segment(organisation)}/teams/{segment(slug)}"
    what = f"ask who is in the team {one_line(organisation)}/{one_line(slug)}"
    try:
        answer = hub.request("GET", f"{place}/memberships/{segment(login)}", what=what, needs=_TEAMS)
        return read(answer, _Membership, what=what).state == "active"
    except NotFound:
        # That is said of strangers to the team, and to a token that cannot see it.
        _see(hub, place, what)
        return False
    except PermissionMissing as error:
        raise _cannot_ask(what, str(error)) from error


def may_approve(hub: GitHub, login: str, rules: Sequence[str]) -> bool:
    """
    Whether one of *rules* names *login*: a login, "permission:LEVEL" (that or more), "team:SLUG" or "team:ORG/SLUG".

    Raises:
        PermissionMissing: No other rule names them, and the token cannot see a team.
        UsageError: A rule names no level that GitHub has.
        ServiceError: GitHub did not answer.
    """
    kinds = [rule.partition(":") for rule in rules]
    levels = [_level(value) for kind, mark, value in kinds if mark and kind == "permission"]
    if any(not mark and kind.lower() == login.lower() for kind, mark, _ in kinds):
        return True
    if levels and _RISING.index(permission_of(hub, login)) >= min(levels):
        return True
    return _in_one_of(hub, [value for kind, mark, value in kinds if mark and kind == "team"], login)


def _in_one_of(hub: GitHub, teams: Sequence[str], login: str) -> bool:
    unseen: PermissionMissing | None = None
    for team in teams:
        try:
            if is_member(hub, team, login):
                return True
        except PermissionMissing as error:
            unseen = error
    if unseen:
        raise unseen
    return False


def _level(name: str) -> int:
    if name not in _RISING[1:]:
        raise UsageError(f"{one_line(name)!r} is no permission", hint=f"GitHub has {', '.join(_RISING[1:])}")
    return _RISING.index(name)


def _see(hub: GitHub, place: str, what: str) -> None:
    try:
        hub.request("GET", place, what=what, needs=_TEAMS)
    except (NotFound, PermissionMissing) as error:
        raise _cannot_ask(what, str(error)) from error


def _cannot_ask(what: str, said: str) -> PermissionMissing:
    return PermissionMissing(
        f"cannot {what}: teams take a token of the organisation with `{_TEAMS}`, and this one does not see it ({said})",
        permission=_TEAMS,
        hint="name users or `permission:` levels, which the workflow's own token can ask, or give a token of the "
        "organisation; and look whether the team is called so",
    )
