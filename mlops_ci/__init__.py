"""
mlops-ci: from a git commit to a served model.

Training code says `import mlops_ci as mlops` and has the functions of `mlops_ci.tracking`, which load when
the first of them is asked for, and which need the standard library alone. `mlops.search_runs` is for those
who look at runs afterwards, where mlops-ci is installed.
"""

from __future__ import annotations

TYPE_CHECKING = False  # importing `typing` would double the time that Python takes to start
if TYPE_CHECKING:
    from mlops_ci.tracking import (
        Run,
        TrackingWarning,
        active_run,
        log_artifact,
        log_confusion_matrix,
        log_data,
        log_dict,
        log_figure,
        log_history,
        log_metric,
        log_metrics,
        log_model,
        log_param,
        log_params,
        log_text,
        set_tag,
        set_tags,
        stage,
        start_run,
    )

__all__ = [
    "Run",
    "TrackingWarning",
    "active_run",
    "log_artifact",
    "log_confusion_matrix",
    "log_data",
    "log_dict",
    "log_figure",
    "log_history",
    "log_metric",
    "log_metrics",
    "log_model",
    "log_param",
    "log_params",
    "log_text",
    "set_tag",
    "set_tags",
    "stage",
    "start_run",
]


def __getattr__(name: str) -> object:
    if name == "search_runs":
        from mlops_ci.lifecycle.queries.query_runs import search_runs  # noqa: PLC0415  # needs the whole installation

        return search_runs
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mlops_ci import tracking  # noqa: PLC0415  # the command line imports this package and needs none of it

    found: object = getattr(tracking, name)
    return found


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
