"""The kinds of target and the options that each takes; a kind's module is imported when it is named."""

from __future__ import annotations

import msgspec

from mlops_ci import providers, targets
from mlops_ci.config.structs import Target

KINDS = sorted(targets.PROVIDERS)
GENERAL_KEYS = tuple(field.encode_name for field in msgspec.structs.fields(Target) if field.name != "options")


def options_of(kind: str) -> type[msgspec.Struct] | None:
    """Return the options of *kind*; None if there is no such kind."""
    if kind not in targets.PROVIDERS:
        return None
    options: type[msgspec.Struct] = providers.load("target kind", targets.PROVIDERS, kind).Options
    return options
