"""
What a token may do: the permission that was missing, and the lines of the workflow that give it.

GitHub names a permission `pull_requests=write` in its headers, and `pull-requests: write` in a workflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops_ci.errors import Refused

# What a job's `permissions:` can give; nothing else is ever open to the workflow's own token.
_OF_A_JOB = frozenset({
    "actions", "artifact-metadata", "attestations", "checks", "contents", "deployments", "discussions", "id-token",
    "issues", "models", "packages", "pages", "pull-requests", "security-events", "statuses",
})  # fmt: skip
_READ_ONLY = (
    "for the pull request of a fork or of Dependabot the token stays read-only whatever stands there: "
    "`mlops-ci init` writes the second workflow, which answers them"
)
_PERMISSION = re.compile(r"\s*([a-z][a-z_-]{0,63})\s*[=:]\s*(read|write|admin)\s*", re.ASCII)


class PermissionMissing(Refused):
    """The token may not do it. *permission* is what it lacks, as a workflow writes it: "pull-requests: write"."""

    def __init__(self, message: str, *, permission: str, hint: str = "") -> None:
        super().__init__(message, hint=hint or how_to_grant(permission))
        self.permission = permission


def missing(what: str, *, needs: str, headers: Mapping[str, str], said: str) -> PermissionMissing:
    """Say that *what* ("cannot …") takes the permission that GitHub names, or *needs* where it names none."""
    permission = accepted(headers.get("x-accepted-github-permissions", ""), needs=needs)
    lacks = f", which takes `{permission}`" if permission else ""
    return PermissionMissing(f"the token may not {what}{lacks}: {said}", permission=permission)


def accepted(header: str, *, needs: str) -> str:
    """
    Return the permissions that GitHub's *header* demands, as a workflow writes them; *needs* if it names none.

    Alternatives are parted by semicolons: the one that holds *needs* is taken, else the first.
    """
    alternatives = [_set(part) for part in header.split(";")]
    alternatives = [part for part in alternatives if part]
    name = needs.partition(":")[0]
    ours = [part for part in alternatives if any(entry.partition(":")[0] == name for entry in part)]
    return ", ".join((ours or alternatives)[0]) if alternatives else needs


def scope_missing(status: int, headers: Mapping[str, str]) -> bool:
    """Whether a 404 hides that a classic token lacks every scope that would do."""
    accepts, has = (_names(headers.get(f"x-{kind}oauth-scopes", "")) for kind in ("accepted-", ""))
    return status == 404 and "x-oauth-scopes" in headers and bool(accepts) and not accepts & has


def how_to_grant(permission: str) -> str:
    """The lines for the job, and for whom they do not help."""
    entries = [entry for entry in permission.split(", ") if entry]
    if not entries:
        return "use a token that may"
    if any(entry.partition(":")[0] not in _OF_A_JOB for entry in entries):
        return (
            f"no workflow can give this to its own token: use the token of a GitHub App, or a fine-grained token, "
            f"with `{permission}`"
        )
    lines = ["add this to the job, beside what it has:", "    permissions:", *(f"      {entry}" for entry in entries)]
    return "\n".join([*lines, f"  {_READ_ONLY}"])


def _set(text: str) -> list[str]:
    matches = [_PERMISSION.fullmatch(part) for part in text.split(",")]
    return [f"{match[1].replace('_', '-')}: {match[2]}" for match in matches if match]


def _names(header: str) -> set[str]:
    return {name.strip() for name in header.split(",")} - {""}
