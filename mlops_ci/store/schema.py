"""
The tables. Those of the ledger are for good; those of the projection can be dropped and built again.

Every name starts with `mlops_`, so that a database may be shared. Text that is looked up or sorted is
compared by code point in every database. A change here needs a step in `migrations`.
"""

from __future__ import annotations

import sqlalchemy as sa

STEPS = ("0001_ledger", "0002_projection")
"""What has been done to a database of the newest schema; `migrations` knows how."""

ledger = sa.MetaData()
projection = sa.MetaData()


def _text(length: int) -> sa.types.TypeEngine[str]:
    plain = sa.String(length)
    by_code_point = plain.with_variant(sa.String(length, collation="C"), "postgresql")
    return by_code_point.with_variant(sa.String(length, collation="utf8mb4_bin"), "mysql", "mariadb")


_ID = _text(64)
_NAME = _text(255)
_KEY = _text(400)
_TIME = _text(40)
_WORD = _text(20)
_LONG = sa.Text(2**24 - 1)  # MySQL's plain TEXT ends at 64 kB


def _record_id(*, primary: bool = True) -> sa.Column[str]:
    return sa.Column("record_id", _ID, primary_key=primary, nullable=False)


steps = sa.Table("mlops_steps", ledger, sa.Column("name", _text(60), primary_key=True))

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

# A row of the projection is named by the record that it was read from.

runs = sa.Table(
    "mlops_runs",
    projection,
    _record_id(),
    sa.Column("run_key", _NAME, nullable=False, unique=True),
    sa.Column("run_id", _NAME, nullable=False, index=True),
    sa.Column("project", _NAME, nullable=False),
    sa.Column("experiment", _NAME, nullable=False),
    sa.Column("status", _WORD, nullable=False),
    sa.Column("branch", _NAME, nullable=False),
    sa.Column("started", _TIME, nullable=False, index=True),
    sa.Column("duration_s", sa.Double),
    sa.Column("recorded", _TIME, nullable=False),
    sa.Index("mlops_runs_of_experiment", "experiment", "started"),
)

params = sa.Table(
    "mlops_params",
    projection,
    _record_id(),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("value", _LONG, nullable=False),  # canonical JSON: "1", 1 and true stay three values
    sqlite_with_rowid=False,
)

metrics = sa.Table(
    "mlops_metrics",
    projection,
    _record_id(),
    sa.Column("name", _NAME, primary_key=True),
    sa.Column("experiment", _NAME, nullable=False),
    sa.Column("last", sa.Double),  # absent where it is not finite: such a run is never the best
    sa.Column("min", sa.Double),
    sa.Column("max", sa.Double),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Index("mlops_metrics_best", "experiment", "name", "last"),
    sqlite_with_rowid=False,
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
