"""
The nouns: what is recorded, compared and deployed. Frozen, and without input or output.

Every struct here that is the body of a record is named in `records.KINDS`. A field may be added with
a default in a minor version of the schema; none is ever renamed.
"""

from __future__ import annotations

from mlops_ci.entities.deployments import (
    Approval,
    ApprovalRequest,
    Deployment,
    Image,
    ModelVersion,
    Plan,
    Smoke,
    TargetLock,
)
from mlops_ci.entities.runs import (
    Adoption,
    ArtifactRef,
    Author,
    CiRun,
    Column,
    Dataset,
    ExperimentChange,
    GitState,
    Metric,
    Model,
    Run,
    RunChange,
    Scalar,
    Signature,
    Stage,
    Status,
)
from mlops_ci.entities.verdicts import (
    Curve,
    GateReport,
    GateResult,
    ManifestChange,
    MetricChange,
    Policy,
    RunPointer,
    ValueChange,
    Verdict,
    Waiver,
)

__all__ = [
    "Adoption",
    "Approval",
    "ApprovalRequest",
    "ArtifactRef",
    "Author",
    "CiRun",
    "Column",
    "Curve",
    "Dataset",
    "Deployment",
    "ExperimentChange",
    "GateReport",
    "GateResult",
    "GitState",
    "Image",
    "ManifestChange",
    "Metric",
    "MetricChange",
    "Model",
    "ModelVersion",
    "Plan",
    "Policy",
    "Run",
    "RunChange",
    "RunPointer",
    "Scalar",
    "Signature",
    "Smoke",
    "Stage",
    "Status",
    "TargetLock",
    "ValueChange",
    "Verdict",
    "Waiver",
]
