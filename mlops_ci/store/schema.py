"""
The tables. Those of the ledger are for good; those of the projection can be dropped and built again.

Every name starts with `mlops_`, so that a database may be shared. Text that is looked up or sorted is
compared by code point in every database. A change here needs a step in `migrations`.
"""

from __future__ import annotations

import sqlalchemy as sa

from mlops_ci.store.databases.text import Text, fitted

STEPS = ("0001_ledger", "0002_marks", "0003_projection")
"""What has been done to a database of the newest schema; `migrations` knows how."""

RETIRED = frozenset({"0002_projection"})
"""Steps that a later one makes up for."""

ledger = sa.MetaData()
projection = sa.MetaData()


_ID = Text(65)  # 64, and a character more where a query asks for what lies below "abc…"
_NAME_LENGTH = 255
_NAME = Text(_NAME_LENGTH)
_KEY = Text(400)
_TIME = Text(40)
_WORD = Text(20)
_LONG = Text()
_NUMBER = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # there only INTEGER is the row's own number


def fit(name: str) -> str:
    """*name* as a column of names keeps it: whole, unless it is very long."""
    return fitted(name, _NAME_LENGTH)


def _record_id(*, primary: bool = True) -> sa.Column[str]:
    return sa.Column("record_id", _ID, primary_key=primary, nullable=False)


steps = sa.Table("mlops_steps", ledger, sa.Column("name", Text(60), primary_key=True))

records = sa.Table(
    "mlops_records",
    ledger,
    sa.Column("id", _ID, primary_key=True),
    sa.Column("kind", _WORD, nullable=False),
    sa.Column("time", _TIME, nullable=False),
    sa.Column("canonical", _LONG, nullable=False),  # the RFC 8785 text that the id is the SHA-256 of
    sa.Index("mlops_records_in_order", "time", "id"),
)

record_keys = sa.Table(
    "mlops_record_keys",
    ledger,
    sa.Column("key", _KEY, primary_key=True),
    sa.Column("record_id", sa.ForeignKey(records.c.id), primary_key=True),
    sqlite_with_rowid=False,
)

claims = sa.Table(
    "mlops_claims",
    ledger,
    sa.Column("name", _KEY, primary_key=True),
    sa.Column("record_id", sa.ForeignKey(records.c.id), nullable=False),
)

# How much of another ledger was taken in: its `Ledger.unseen` understands the mark.
marks = sa.Table(
    "mlops_marks",
    ledger,
    sa.Column("ledger", _NAME, primary_key=True),
    sa.Column("mark", _KEY, nullable=False),
)

# A row of the projection is named by the record that it was read from. Runs and experiments have a number as well, by
# which other tables name them in fewer bytes; which one that is depends on the order in which records came, so no
# answer may depend on it.

experiments = sa.Table(
    "mlops_experiments",
    projection,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("project", _NAME, nullable=False),
    sa.Column("experiment", _NAME, nullable=False),  # as its runs were recorded: what it is known by
    sa.Column("name", _NAME, nullable=False, index=True),  # as it is called now
    sa.Column("archived", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.UniqueConstraint("project", "experiment"),
)

runs = sa.Table(
    "mlops_runs",
    projection,
    sa.Column("number", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("record_id", _ID, nullable=False, unique=True),
    sa.Column("run_key", _NAME, nullable=False, unique=True),
    sa.Column("run_id", _NAME, nullable=False, index=True),
    sa.Column("experiment", _NUMBER, nullable=False),
    sa.Column("status", _WORD, nullable=False),
    sa.Column("branch", _NAME),
    sa.Column("author", _NAME, nullable=False),
    sa.Column("started_us", sa.BigInteger, nullable=False, index=True),  # microseconds after 1970, in UTC
    sa.Column("ended_us", sa.BigInteger),
    sa.Column("duration_s", sa.Double),
    sa.Column("dirty", sa.Boolean, nullable=False),
    sa.Column("improvised", sa.Boolean, nullable=False),
    sa.Column("deleted", sa.Boolean, nullable=False),
    sa.Column("note", _LONG),
    sa.Column("recorded", _TIME, nullable=False),
    sa.Index("mlops_runs_of_experiment", "experiment", "started_us", "deleted"),
)

params = sa.Table(
    "mlops_params",
    projection,
    sa.Column("run", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("kind", _WORD, nullable=False),  # of the value: "1", 1 and true stay three
    sa.Column("text", _LONG),  # absent where the value is null
    sa.Column("number", sa.Double),  # also of text that reads as one
    sqlite_with_rowid=False,
)

tags = sa.Table(
    "mlops_tags",
    projection,
    sa.Column("run", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("text", _LONG, nullable=False),
    sqlite_with_rowid=False,
)

metrics = sa.Table(
    "mlops_metrics",
    projection,
    sa.Column("run", _NUMBER, primary_key=True, autoincrement=False),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("experiment", _NUMBER, nullable=False),
    sa.Column("last", sa.Double),  # absent where it is not finite: such a run is never the best
    sa.Column("min", sa.Double),
    sa.Column("max", sa.Double),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index("mlops_metrics_best", "experiment", "name", "last"),
    sqlite_with_rowid=False,
)

run_changes = sa.Table(
    "mlops_run_changes",
    projection,
    _record_id(),
    sa.Column("run_id", _NAME, nullable=False, index=True),
)

experiment_changes = sa.Table(
    "mlops_experiment_changes",
    projection,
    _record_id(),
    sa.Column("project", _NAME, nullable=False),
    sa.Column("experiment", _NAME, nullable=False),
    sa.Index("mlops_changes_of_experiment", "project", "experiment"),
)

commits = sa.Table(
    "mlops_commits",
    projection,
    _record_id(),
    sa.Column("sha", _ID, primary_key=True, index=True),
    sa.Column("run_id", _NAME, nullable=False, index=True),
    sqlite_with_rowid=False,
)

versions = sa.Table(
    "mlops_versions",
    projection,
    _record_id(),
    sa.Column("model", _NAME, nullable=False),
    sa.Column("version", _NAME, nullable=False),
    sa.Column("recorded", _TIME, nullable=False, index=True),
    sa.UniqueConstraint("model", "version"),
)

deployments = sa.Table(
    "mlops_deployments",
    projection,
    _record_id(),
    sa.Column("target", _NAME, nullable=False, index=True),
    sa.Column("recorded", _TIME, nullable=False, index=True),
)

verdicts = sa.Table(
    "mlops_verdicts",
    projection,
    _record_id(),
    sa.Column("run_id", _NAME, nullable=False, index=True),
    sa.Column("recorded", _TIME, nullable=False),
)
