"""History beyond where a shallow clone ends: commits alone, brought into a side repository and not into the clone."""

from __future__ import annotations

from collections.abc import Iterable

from mlops_ci.errors import ServiceError
from mlops_ci.git import Checkout, unique
from mlops_ci.git.side import SideRepository


def deepened(checkout: Checkout, revisions: Iterable[str], *, depth: int) -> Checkout:
    """
    Return what can be asked for the *depth* nearest ancestors of *revisions*, for their parents and merge bases.

    That is *checkout* itself unless it is shallow. If the remote does not answer, or does not know a revision (a commit
    of this clone alone), it is *checkout* too, and the answers end where its history does.
    """
    if not checkout.is_shallow() or not checkout.remote:
        return checkout
    side = SideRepository(checkout, "history")
    shas = unique(revisions)
    try:
        side.fetch(shas, f"--depth={depth}", "--filter=tree:0")
    except ServiceError:
        return checkout
    return Checkout(side.path, side.path, checkout.settings, checkout.lent)
