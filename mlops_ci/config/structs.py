"""
What `mlops.yaml` may say. These structs are the one source: reading, checking and the JSON Schema follow them.

Only `cli`, `dashboard` and `lifecycle` see a `Config`; every room below takes plain arguments.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from mlops_ci.gates import Gate

# Names become parts of git refs and of Kubernetes names.
Name = Annotated[
    str,
    Meta(
        pattern=r"^(?!.*\.\.)(?!.*\.lock$)[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?$",
        max_length=63,
        extra={"allowed": "a name of up to 63 letters, digits, dots, dashes and underscores"},
    ),
]
Line = Annotated[
    str, Meta(pattern=r"^\S([^\r\n]*\S)?$", max_length=200, extra={"allowed": "a line of up to 200 characters"})
]
Path = Annotated[str, Meta(min_length=1, extra={"allowed": "a path"})]
Variable = Annotated[
    str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$", extra={"allowed": "the name of an environment variable"})
]

_DATE = r"\d{4}-\d{2}-\d{2}"
_TIME = r"\d{2}:\d{2}"
_SERVER = r"env:[A-Za-z_][A-Za-z0-9_]*|(postgres(ql)?|mysql|mariadb)(\+[a-z0-9_]+)?://.+"
_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class ModelSource(_Section, frozen=True, kw_only=True):
    """Where training leaves the model."""

    path: Annotated[Path, Meta(description="A folder or a file that training writes.")]
    flavor: Annotated[Name | None, Meta(description="The framework, where the files do not tell it.")] = None


class RunConfig(_Section, frozen=True, kw_only=True):
    """How to train, and what to record of it."""

    command: Annotated[
        Annotated[str, Meta(pattern=r"\S", extra={"allowed": "a command"})]
        | Annotated[list[str], Meta(min_length=1, extra={"allowed": "a list of its words"})],
        Meta(description="The training command: a line, or a list of words that no shell reads."),
    ]
    experiment: Annotated[Line, Meta(description="Runs are compared within an experiment. Default: the project.")] = ""
    params: Annotated[list[Path], Meta(description="Files with parameters: YAML, JSON, TOML.")] = []
    metrics: Annotated[list[Path], Meta(description="Files with metrics that training writes.")] = []
    plots: Annotated[list[Path], Meta(description="Files and folders with plots that training writes.")] = []
    data: Annotated[dict[Name, Path], Meta(description="Datasets to fingerprint: name and path.")] = {}
    model: Annotated[ModelSource | None, Meta(description="Where training leaves the model.")] = None
    env: Annotated[
        list[Variable], Meta(description="Environment variables that training gets although they look like secrets.")
    ] = []
    reuse: Annotated[
        bool, Meta(description="Do not train again what was trained: the same tree, data and parameters.")
    ] = False
    paths: Annotated[
        list[Path],
        Meta(
            description="Files and folders that the model depends on; where none of them changes, nothing is trained."
        ),
    ] = []


class ReportConfig(_Section, frozen=True, kw_only=True):
    """How a pull request hears of its verdict."""

    comment: Annotated[
        Literal["on-change", "always", "on-failure", "never"],
        Meta(description="When a comment is begun: something changed or did not pass. One that is there is kept up."),
    ] = "on-change"
    check: Annotated[
        Literal["auto", "check-run", "status", "none"],
        Meta(description="What the commit gets. `auto`: a check run, or a commit status where the token allows that."),
    ] = "auto"
    name: Annotated[
        Annotated[str, Meta(pattern=r"^(\S([^\r\n]*\S)?)?$", max_length=100, extra={"allowed": "a short line"})],
        Meta(description="The check's name, which a branch rule may require. Default: mlops-ci/<project>."),
    ] = ""
    assets: Annotated[
        Annotated[
            str,
            Meta(
                pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?$",
                max_length=63,
                extra={"allowed": "the name of a branch"},
            ),
        ],
        Meta(description="A branch, made by mlops-ci, that keeps the pictures a comment shows. Default: no pictures."),
    ] = ""


class Registry(_Section, frozen=True, kw_only=True):
    """How versions of the model are named."""

    tag: Annotated[
        str, Meta(description="The git tag of a version; `{version}` stands for it, `{model}` for its model.")
    ] = "{model}@v{version}"


class PredictionLog(_Section, frozen=True, kw_only=True):
    """A sample of what the service is asked and answers, one JSON object a line."""

    rate: Annotated[float, Meta(ge=0, le=1, description="The share of requests that is written down, 0 to 1.")] = 0.0
    path: Annotated[str, Meta(description="A file of the service's own; its standard output unless named.")] = ""
    leave_out: Annotated[list[str], Meta(description="Fields that are not written down.")] = []


class Serving(_Section, frozen=True, kw_only=True):
    """The service that answers with the model's predictions."""

    runtime: Annotated[
        Literal["bentoml", "asgi"],
        Meta(description="`bentoml`: a BentoML service. `asgi`: the same without BentoML, smaller and faster."),
    ] = "bentoml"
    image: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._/-]+)*(@sha256:[a-f0-9]{64})?$",
            description="The container image, such as ghcr.io/acme/churn.",
            extra={"allowed": "an image such as ghcr.io/acme/churn"},
        ),
    ] = ""
    base: Annotated[
        str,
        Meta(
            pattern=r"^\S+$",
            description="The image that it is built on, with Python and its venv. Default: python:<version>-slim.",
            extra={"allowed": "an image such as python:3.12-slim@sha256:…"},
        ),
    ] = ""
    platform: Annotated[
        str,
        Meta(
            pattern=r"^[a-z0-9]+/[a-z0-9]+(/[a-z0-9]+)?$",
            description="What the image runs on; the builder's own unless named.",
            extra={"allowed": "a platform such as linux/amd64"},
        ),
    ] = ""
    python: Annotated[
        str,
        Meta(
            pattern=r"^3\.(1[1-9]|[2-9]\d)(\.\d{1,2})?$",
            description="The image's Python, in quotes.",
            extra={"allowed": 'a version of Python from 3.11 on, such as "3.12"'},
        ),
    ] = "3.11"
    workers: Annotated[int, Meta(ge=1, le=64, description="Processes that answer.")] = 1
    port: Annotated[int, Meta(ge=1, le=65535, description="Where the service listens in its container.")] = 3000
    formats: Annotated[
        list[Literal["json", "arrow", "parquet"]],
        Meta(description="What it reads. Arrow and Parquet make the image some 150 MB larger."),
    ] = msgspec.field(default_factory=lambda: ["json"])
    timeout_s: Annotated[float, Meta(gt=0, le=3600, description="Seconds before a request is given up.")] = 10.0
    drain_s: Annotated[
        float, Meta(ge=0, le=3600, description="Seconds for which it still takes requests after it was told to end.")
    ] = 5.0
    max_body_bytes: Annotated[int, Meta(ge=1000, description="The largest request, decompressed.")] = 32_000_000
    max_rows: Annotated[int, Meta(ge=1, description="The most records of one request.")] = 10_000
    max_waiting: Annotated[
        int, Meta(ge=1, description="Requests that may wait for the model; others are turned away with 503.")
    ] = 100
    max_memory_mb: Annotated[
        int, Meta(ge=0, description="A worker that holds more is replaced, and no request is lost; 0: never.")
    ] = 0
    batch_rows: Annotated[
        int,
        Meta(ge=1, description="Records of several requests that are asked at once; `mlops-ci serve --tune` finds it."),
    ] = 1
    api_keys: Annotated[
        bool, Meta(description="Demand a key of MLOPS_API_KEYS, or of the file that MLOPS_API_KEYS_FILE names.")
    ] = False
    access_log: Annotated[bool, Meta(description="Log every request; faults are logged anyhow.")] = False
    tracing: Annotated[bool, Meta(description="OpenTelemetry spans, to OTEL_EXPORTER_OTLP_ENDPOINT.")] = False
    grpc_port: Annotated[
        int, Meta(ge=0, le=65535, description="Where it speaks the Open Inference Protocol over gRPC; 0: nowhere.")
    ] = 0
    log_predictions: Annotated[PredictionLog, Meta(description="A sample of the predictions, written down.")] = (
        PredictionLog()
    )

    @property
    def settings(self) -> dict[str, Any]:
        """What the running service has to know, as its manifest says it."""
        return {name: msgspec.to_builtins(getattr(self, name)) for name in _OF_THE_SERVICE}


_OF_THE_SERVICE = (
    "access_log",
    "api_keys",
    "batch_rows",
    "drain_s",
    "grpc_port",
    "log_predictions",
    "max_body_bytes",
    "max_memory_mb",
    "max_rows",
    "max_waiting",
    "tracing",
)


class ApprovalRule(_Section, frozen=True, kw_only=True):
    """Who must agree to a deployment before it happens."""

    required: Annotated[int, Meta(ge=1, description="How many people must approve.")] = 1
    from_: Annotated[
        list[Line],
        Meta(
            description="Who may: names in .mlops/allowed_signers, GitHub logins, permission:LEVEL, team:ORG/NAME. "
            "Default: everybody in .mlops/allowed_signers, and by comment whoever may write."
        ),
    ] = msgspec.field(name="from", default_factory=list)
    four_eyes: Annotated[bool, Meta(description="Nobody approves what they wrote, tagged or triggered.")] = True
    expires: Annotated[
        str,
        Meta(
            pattern=r"^[1-9]\d{0,3}[mhdw]$",
            description="How long a request stays open: 30m, 12h, 7d, 2w.",
            extra={"allowed": "a number of minutes, hours, days or weeks, such as 7d"},
        ),
    ] = "7d"

    @property
    def expires_s(self) -> int:
        """`expires` in seconds."""
        return int(self.expires[:-1]) * _UNITS_S[self.expires[-1]]


class Freeze(_Section, frozen=True, kw_only=True):
    """When nothing is deployed: from one date to another, or on some days of every week, for hours or as a whole."""

    from_: Annotated[
        str,
        Meta(
            pattern=rf"^({_DATE}|{_TIME})?$",
            description='The first day (2026-12-20), or with `days` a time of day ("16:00").',
            extra={"allowed": 'a date such as 2026-12-20, or a time of day such as "16:00"'},
        ),
    ] = msgspec.field(name="from", default="")
    until: Annotated[
        str,
        Meta(
            pattern=rf"^({_DATE}|{_TIME})?$",
            description="The last day, or with `days` a time of day; one that is not later is on the next day.",
            extra={"allowed": 'a date such as 2027-01-02, or a time of day such as "08:00"'},
        ),
    ] = ""
    days: Annotated[
        list[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]],
        Meta(description="Days of every week on which it begins."),
    ] = []
    timezone: Annotated[str, Meta(description="Whose days and times these are: Europe/Berlin.")] = "UTC"
    reason: Annotated[str, Meta(description="Told to whoever wants to deploy.")] = ""


class Target(_Section, frozen=True, kw_only=True):
    """A place to deploy to. Besides these keys it takes the options of its kind."""

    kind: Annotated[str, Meta(description="What kind of place this is.")]
    after: Annotated[Name, Meta(description="The target on which a version must be live before it comes here.")] = ""
    production: Annotated[
        bool,
        Meta(description="Nothing is deployed here without an approval. Default: true for `production` and `prod`."),
    ] = False
    approval: Annotated[ApprovalRule | None, Meta(description="Who must agree before a version comes here.")] = None
    freeze: Annotated[list[Freeze], Meta(description="When nothing is deployed here; a rollback always may be.")] = []
    environment: Annotated[
        Annotated[str, Meta(pattern=r"^(\S([^\r\n]*\S)?)?$", max_length=255, extra={"allowed": "a short line"})],
        Meta(description="The environment at GitHub that is reviewed and shown for it. Default: the target's name."),
    ] = ""
    store: Annotated[
        str,
        Meta(
            pattern=rf"^({_SERVER}|sqlite:////.+)?$",
            description="The database for this target's deployments, approvals and locks, of its own credentials. "
            "Default: with the rest.",
            extra={"allowed": "postgresql://…, mysql://…, mariadb://…, env:<NAME> or sqlite:////<absolute path>"},
        ),
    ] = ""
    options: Any = None


class Config(_Section, frozen=True, kw_only=True):
    """What mlops-ci does for a repository."""

    version: Annotated[Literal[1], Meta(description="The version of this file's format.")] = 1
    project: Annotated[Name, Meta(description="The project's name.")]
    model: Annotated[Name, Meta(description="The name of the registered model. Default: the project.")] = ""
    store: Annotated[
        str,
        Meta(
            pattern=rf"^(git|{_SERVER}|sqlite:///.+)$",
            description="Where records are kept: in the repository (git), or in a database; env:NAME takes the address "
            "from an environment variable.",
            extra={"allowed": "git, sqlite:///<path>, postgresql://…, mysql://…, mariadb://… or env:<NAME>"},
        ),
    ] = "git"
    artifacts: Annotated[
        str,
        Meta(
            pattern=r"^(git|file:///.+|(?![A-Za-z][A-Za-z0-9+.-]*://).+)$",
            description="Where models and other files are kept: in the repository (git), or in a folder.",
            extra={"allowed": "git, a folder or file:///<path>"},
        ),
    ] = "git"
    run: Annotated[RunConfig | None, Meta(description="How to train, and what to record of it.")] = None
    gates: Annotated[list[Gate], Meta(description="What a run must hold before it may be merged.")] = []
    on_inconclusive: Annotated[
        Literal["fail", "pass"], Meta(description="Whether a comparison that could not be made holds a merge up.")
    ] = "fail"
    report: Annotated[ReportConfig, Meta(description="How a pull request hears of its verdict.")] = ReportConfig()
    registry: Annotated[Registry, Meta(description="How versions of the model are named.")] = Registry()
    serving: Annotated[Serving, Meta(description="The service that answers with the model's predictions.")] = Serving()
    targets: Annotated[dict[Name, Target], Meta(description="Where versions are deployed, by name.")] = {}

    def __post_init__(self) -> None:
        """Name what was not named after the project."""
        if not self.model:
            msgspec.structs.force_setattr(self, "model", self.project)
        if self.run and not self.run.experiment:
            named = msgspec.structs.replace(self.run, experiment=self.project)
            msgspec.structs.force_setattr(self, "run", named)
        if not self.report.name:
            report = msgspec.structs.replace(self.report, name=f"mlops-ci/{self.project}")
            msgspec.structs.force_setattr(self, "report", report)
