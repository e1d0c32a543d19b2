"""A gate: what one metric must hold. `mlops.yaml` lists them, and `rules` judges them."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Change = (
    Annotated[float, Meta(ge=0, description="In the metric's own unit.")]
    | Annotated[
        str,
        Meta(
            pattern=r"^(\d+(\.\d+)?|\.\d+) ?%$",
            description="Of the baseline's absolute value.",
            extra={"allowed": "a percentage such as 5%"},
        ),
    ]
)


class Gate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one metric must hold: any of min, max, max_drop and max_increase; at least one."""

    metric: Annotated[str, Meta(min_length=1, max_length=250, description="The metric's name, as training logs it.")]
    better: Annotated[
        Literal["higher", "lower"] | None,
        Meta(description="Which way is better; known for the usual names (accuracy, log_loss, rmse, ...)."),
    ] = None
    min: Annotated[float | None, Meta(description="The candidate's value must not be below it.")] = None
    max: Annotated[float | None, Meta(description="The candidate's value must not be above it.")] = None
    max_drop: Annotated[
        Change | None, Meta(description="How far it may fall below the baseline: 0.01, or 5% of the baseline.")
    ] = None
    max_increase: Annotated[
        Change | None, Meta(description="How far it may rise above the baseline: 0.01, or 5% of the baseline.")
    ] = None
    on_fail: Annotated[Literal["fail", "warn"], Meta(description="`warn` shows the result and blocks nothing.")] = (
        "fail"
    )
