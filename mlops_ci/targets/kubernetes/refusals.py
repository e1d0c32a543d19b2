"""Why a cluster does not take an object, in a sentence, and what to do about it."""

from __future__ import annotations

import re

from mlops_ci.errors import MlopsCIError
from mlops_ci.targets.kubernetes.api import Denied
from mlops_ci.targets.kubernetes.objects import Object, shown

FIELD_MANAGER = "mlops-ci"
"""As whom we own fields."""

RIGHTS = "the file setup/deployer.yaml that `mlops-ci render` writes holds the role that is needed"
UNKNOWN = "take it out of the template, or say the cluster's version under `kubernetes:`"

_FIELDS_NAMED = 5
_IMMUTABLE = re.compile(
    r"immutable|may not (be )?change|can(not|'t) (be )?change|updates to .* forbidden", re.IGNORECASE
)
_MEND = "mend the template that it is rendered from"
# A manifest that does not fit its schema is answered with the status 500, and this.
_MISTYPED = re.compile(r"failed to create typed patch object[^:]*: (.+)", re.DOTALL)
_OWNER = re.compile(r'conflict with "([^"]*)"')
_UNKNOWN_FIELD = re.compile(r"(\S+): field not declared in schema")


def is_conflict(error: Denied) -> bool:
    """Whether *error* says that somebody else owns fields; two writers at the same moment are not meant."""
    return error.status == 409 and bool(owners(error))


def owners(conflict: Denied) -> dict[str, list[str]]:
    """The fields that the message is about, by the manager that owns them."""
    found: dict[str, list[str]] = {}
    for cause in conflict.causes:
        owner = _OWNER.search(cause.get("message", ""))
        if owner and cause.get("field"):
            found.setdefault(owner[1], []).append(cause["field"].lstrip("."))
    return found


def explained(error: Denied, wanted: Object, namespace: str, kind: type[MlopsCIError]) -> MlopsCIError:
    """*error* about *wanted* as a sentence and a hint, in an error of *kind*; *error* itself if it says it already."""
    unknown, mistyped = _UNKNOWN_FIELD.findall(str(error)), _MISTYPED.search(str(error))
    if is_conflict(error):
        said, hint = _conflict(error, wanted, namespace)
    elif error.status == 422 and error.causes:
        said, hint = _invalid(error, wanted, namespace)
    elif unknown:
        said, hint = f"the cluster does not know {listed([each.lstrip('.') for each in unknown])}", UNKNOWN
    elif mistyped:
        said, hint = f"the cluster finds it invalid: {' '.join(mistyped[1].split())}", _MEND
    else:
        return error
    return kind(f"{shown(wanted)}: {said}", hint=hint)


def listed(fields: list[str]) -> str:
    """*fields* for a sentence: five of them, and how many more."""
    fields = sorted(set(fields))
    more = f" and {len(fields) - _FIELDS_NAMED} more" if len(fields) > _FIELDS_NAMED else ""
    return ", ".join(fields[:_FIELDS_NAMED]) + more


def _conflict(error: Denied, wanted: Object, namespace: str) -> tuple[str, str]:
    found = owners(error)
    said = "; ".join(
        f"{listed(fields)} {'is' if len(fields) == 1 else 'are'} owned by {owner}, which gave another value"
        for owner, fields in found.items()
    )
    take = f"kubectl apply --server-side --force-conflicts --field-manager={FIELD_MANAGER} -n {namespace} -f FILE"
    hint = f"change it back, take the field out of the template, or take it over: `{take}`"
    if wanted["kind"] == "Deployment" and any("spec.replicas" in fields for fields in found.values()):
        hint = (
            f"if the number of pods is an autoscaler's, say `replicas: {{min: …, max: …}}` for the target; else {hint}"
        )
    return said, hint


def _invalid(error: Denied, wanted: Object, namespace: str) -> tuple[str, str]:
    fixed = [each["field"] for each in error.causes if _IMMUTABLE.search(each.get("message", ""))]
    if fixed:
        by_hand = f"`kubectl delete {wanted['kind'].lower()} {wanted['metadata']['name']} -n {namespace}`"
        return f"{listed(fixed)} cannot be changed any more", f"delete it by hand ({by_hand}), or give it another name"
    said = "; ".join(f"{each.get('field')}: {each.get('message')}" for each in error.causes[:_FIELDS_NAMED])
    return f"the cluster finds it invalid: {said}", _MEND
