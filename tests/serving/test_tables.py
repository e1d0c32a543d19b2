"""Arrow and Parquet in, Arrow out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.served_model import EXAMPLE
from tests.serving.services import Service

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
COLUMNS = {
    "mean radius": pa.array([17.99, 9.5]),
    "mean texture": pa.array([10.38, 12.0]),
    "class": pa.array([1, 0]),
}


def arrow(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


FORMS = [(ARROW, arrow), (PARQUET, parquet)]


@pytest.mark.parametrize(("content_type", "written"), FORMS, ids=["arrow", "parquet"])
@pytest.mark.parametrize("times", [1, 500])
def test_a_table_is_answered_like_its_records(typed: Service, content_type: str, written: Any, times: int) -> None:
    table = pa.concat_tables([pa.table(COLUMNS)] * times)
    answer = typed.ask("/predict", written(table), headers={"Content-Type": content_type})
    assert answer.json["predictions"] == typed.predict(*(EXAMPLE * times)).json["predictions"]


def test_the_answer_may_be_a_table(typed: Service) -> None:
    answer = typed.ask("/predict", arrow(pa.table(COLUMNS)), headers={"Content-Type": ARROW, "Accept": ARROW})
    table = pa.ipc.open_stream(answer.body).read_all()
    assert table.to_pydict() == {"prediction": [1, 0]}
    assert table.schema.metadata[b"version"] == b"1.0.0"


@pytest.mark.parametrize(
    ("changes", "status", "says", "place"),
    [
        ({"class": None}, 400, "the column 'class' is missing", ["columns", "class"]),
        ({"more": pa.array([1, 2])}, 400, "the model has no column 'more'", ["columns", "more"]),
        ({"class": pa.array([1.5, 0.5])}, 400, "is double, and the model wants integer", ["columns", "class"]),
        (
            {"mean radius": pa.array(["1", "2"])},
            400,
            "is string, and the model wants number",
            ["columns", "mean radius"],
        ),
        (
            {"mean radius": pa.array([1.0, None])},
            400,
            "has 1 nulls, and the model takes none",
            ["columns", "mean radius"],
        ),
        ({"mean radius": pa.array([1.0, np.inf])}, 400, "an infinity is no value", ["columns"]),
        ({"mean radius": pa.array([1.0, np.nan])}, 400, "", None),
    ],
)
def test_a_wrong_table_names_the_column(
    typed: Service, changes: dict[str, Any], status: int, says: str, place: list[str] | None
) -> None:
    columns = {name: column for name, column in {**COLUMNS, **changes}.items() if column is not None}
    answer = typed.ask("/predict", arrow(pa.table(columns)), headers={"Content-Type": ARROW})
    assert answer.status == status
    assert says in answer.json["error"]
    if place:
        assert answer.json["detail"][0]["loc"] == place


@pytest.mark.parametrize(("content_type", "written"), FORMS, ids=["arrow", "parquet"])
def test_junk_and_bombs_are_refused(typed: Service, content_type: str, written: Any) -> None:
    headers = {"Content-Type": content_type}
    whole = written(pa.table(COLUMNS))
    for junk in (b"", b"junk", whole[: len(whole) // 2], whole[:20] + b"\xff" * 50 + whole[70:]):
        answer = typed.ask("/predict", junk, headers=headers)
        assert answer.status in {200, 400}
    rows = {name: pa.array(np.zeros(1_000_000, dtype=np.int64)) for name in COLUMNS}
    answer = typed.ask("/predict", written(pa.table(rows)), headers=headers)
    assert answer.status == 413
    assert typed.ask("/predict", written(pa.table(COLUMNS).slice(0, 0)), headers=headers).status == 400
    assert typed.predict(*EXAMPLE).status == 200


def test_other_types_are_told_what_is_read(typed: Service) -> None:
    answer = typed.ask("/predict", b"<xml/>", headers={"Content-Type": "application/xml"})
    assert answer.status == 415
    assert "application/json" in answer.json["error"]
