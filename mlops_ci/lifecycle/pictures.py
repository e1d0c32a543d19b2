"""What a report shows beside numbers, from files that the candidate left. Without a picture it is a report as well."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mlops_ci.artifacts import ArtifactStore
from mlops_ci.capture import curves
from mlops_ci.entities import ArtifactRef, Curve, Run
from mlops_ci.errors import MlopsCIError
from mlops_ci.gates import Gate

_CONFUSION = "confusion_matrix.json"
_MOST_CURVES = 4
_MOST_BYTES = 50_000_000
_Seen = TypeVar("_Seen")


def confusion(store: ArtifactStore, run: Run) -> dict[str, Any] | None:
    """The confusion matrix of *run*, if it logged one."""
    reference = next((file for file in run.artifacts if Path(file.path).name == _CONFUSION), None)
    found = _seen(store, run, reference, lambda path: json.loads(path.read_bytes()))
    return found if isinstance(found, dict) else None


def curves_of(store: ArtifactStore, run: Run, gates: Sequence[Gate]) -> list[Curve]:
    """How at most four metrics of *run* went while it trained, those with a gate first."""
    names = dict.fromkeys([*(gate.metric for gate in gates), *sorted(run.metrics)])
    chosen = [name for name in names if name in run.metrics and run.metrics[name].count > 1][:_MOST_CURVES]

    def read(path: Path) -> list[Curve]:
        with path.open("rb") as file:
            return curves.read(file, chosen)

    return (_seen(store, run, run.history, read) if chosen else None) or []


def _seen(store: ArtifactStore, run: Run, reference: ArtifactRef | None, read: Callable[[Path], _Seen]) -> _Seen | None:
    """What *read* makes of the file; None where it cannot be had, or is a stranger's, which the store never got."""
    if reference is None or run.self_reported or reference.size_bytes > _MOST_BYTES:
        return None
    try:
        with tempfile.TemporaryDirectory() as folder:
            return read(store.get([reference.digest], Path(folder))[reference.digest])
    except (MlopsCIError, OSError, ValueError, RecursionError):
        return None
