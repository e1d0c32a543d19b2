"""The kinds of target and the options that each takes; a kind's module is imported when it is named."""

from __future__ import annotations

import msgspec

from mlops_ci import providers, targets

KINDS = sorted(targets.PROVIDERS)
GENERAL_KEYS = ("kind", "after", "production", "approval", "freeze", "environment")


def options_of(kind: str) -> type[msgspec.Struct] | None:
    """Return the options of *kind*; None if there is no such kind."""
    if kind not in targets.PROVIDERS:
        return None
    options: type[msgspec.Struct] = providers.load("target kind", targets.PROVIDERS, kind).Options
    return options
