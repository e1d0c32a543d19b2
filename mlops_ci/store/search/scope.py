"""Which experiments a query is about; beside the others, since whoever only writes needs nothing else of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Scope:
    """
    Of which experiments, and whether what was archived or deleted is meant too.

    *experiment* is what it is called now; if none is called so, the name that its runs were recorded with.
    """

    project: str | None = None
    experiment: str | None = None
    archived: bool = False
    deleted: bool = False
