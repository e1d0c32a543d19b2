"""Arrow and Parquet in, Arrow out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlops_ci.entities import Signature
from serving import batch, formats
from serving.errors import Rejected
from tests.integration.served_model import EXAMPLE
from tests.serving.services import Answer, Service, python_model, rendered, serving

ARROW = "application/vnd.apache.arrow.stream"
PARQUET = "application/vnd.apache.parquet"
COLUMNS = {
    "mean radius": pa.array([17.99, 9.5]),
    "mean texture": pa.array([10.38, 12.0]),
    "class": pa.array([1, 0]),
}


def arrow(table: pa.Table, opened: Callable[..., Any] = pa.ipc.new_stream, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with opened(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


def parquet(table: pa.Table, **options: Any) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, **options)
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
        ({"mean radius": pa.array([1.0, np.inf])}, 400, "has an infinity", ["columns", "mean radius"]),
        ({"mean radius": pa.array([1.0, np.nan])}, 400, "has 1 nulls", ["columns", "mean radius"]),
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


PROPERTIES: dict[str, Any] = {
    "age": {"type": "number", "minimum": 0, "exclusiveMaximum": 150},
    "id": {"type": ["integer", "null"]},
    "plan": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5},
    "size": {"type": "string", "enum": ["s", "m"]},
    "step": {"type": "number", "multipleOf": 2},
    "xs": {"type": "array", "items": {"type": "number"}},
}
RULED = Signature(inputs={"type": "object", "properties": PROPERTIES, "required": list(PROPERTIES)}, outputs={})
RIGHT: dict[str, Any] = {
    "age": pa.array([1.0, 0.0]),
    "id": pa.array([1, None]),
    "plan": pa.array(["a", "bc"]),
    "size": pa.array(["s", "m"]).dictionary_encode(),
    "step": pa.array([4.0, 2.0]),
    "xs": pa.array([[1.0], [2.0, 3.0]]),
}
ECHO = "def predict(records): return [repr(record) for record in records]\n"


@pytest.fixture(scope="module")
def ruled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A model of plain Python with every kind of rule, which answers what it was asked."""
    folder = tmp_path_factory.mktemp("ruled")
    model = python_model(folder / "model", ECHO)
    with serving(folder / "bundle", model, flavor="python", signature=RULED, requirements=[]) as service:
        yield service


def asked(service: Service, content_type: str, body: bytes) -> Answer:
    return service.ask("/predict", body, headers={"Content-Type": content_type})


@pytest.mark.parametrize(("content_type", "written"), FORMS, ids=["arrow", "parquet"])
def test_what_keeps_the_rules_is_answered(ruled: Service, content_type: str, written: Any) -> None:
    found = asked(ruled, content_type, written(pa.table(RIGHT))).json["predictions"]
    assert found[1] == repr({"age": 0.0, "id": None, "plan": "bc", "size": "m", "step": 2.0, "xs": [2.0, 3.0]})


@pytest.mark.parametrize(("content_type", "written"), FORMS, ids=["arrow", "parquet"])
@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", pa.array([1.0, -5.0])),
        ("age", pa.array([1, 150])),
        ("age", pa.array([1.0, np.nan])),
        ("age", pa.array([1.0, None])),
        ("age", pa.array([np.inf, 1.0])),
        ("age", pa.array([Decimal("1.5"), Decimal("-1.5")])),
        ("id", pa.array([1, 2**63], pa.uint64())),
        ("plan", pa.array(["a", "UPPER"])),
        ("plan", pa.array(["a", "toolong"]).dictionary_encode()),
        ("plan", pa.array([7, 8]).dictionary_encode()),
        ("size", pa.array(["s", "xl"])),
        ("step", pa.array([4.0, 1.5])),
        ("xs", pa.array([[1.0], [None]])),
        ("xs", pa.array([[1.0], [np.nan]])),
        ("xs", pa.array([["1"], ["2"]])),
        ("xs", pa.array([1.0, 2.0])),
        ("plan", pa.array([b"a", b"b"])),
    ],
    ids=lambda value: value if isinstance(value, str) else str(value.to_pylist()),
)
def test_the_rules_of_the_signature_hold(
    ruled: Service, content_type: str, written: Any, name: str, values: pa.Array
) -> None:
    answer = asked(ruled, content_type, written(pa.table({**RIGHT, name: values})))
    assert answer.status == 400
    assert answer.json["detail"][0]["loc"][:2] == ["columns", name]
    assert name in answer.json["error"]


@pytest.mark.parametrize(("content_type", "written"), FORMS, ids=["arrow", "parquet"])
def test_large_integers_stay_as_they_are(ruled: Service, content_type: str, written: Any) -> None:
    large = pa.array([2**53 + 1, None])
    found = asked(ruled, content_type, written(pa.table({**RIGHT, "id": large}))).json["predictions"]
    assert f"'id': {2**53 + 1}," in found[0]
    assert "'id': None," in found[1]


def test_columns_are_float64_where_that_is_exact() -> None:
    found = batch.arrays({"a": [2**53, None, 1], "b": [2**53 + 1, None], "c": [-(2**53) - 1, 0.5], "d": [1e300, 2]})
    assert [str(array.dtype) for array in found.values()] == ["float64", "object", "object", "float64"]
    assert found["b"].tolist() == [2**53 + 1, None]
    assert found["c"].tolist() == [-(2**53) - 1, 0.5]


def bombs() -> Iterator[tuple[str, str, bytes]]:
    """Small bodies that become large, by name and type."""
    rows = 10_000
    ones = {**RIGHT, **{name: pa.array(column.to_pylist()[:1] * rows) for name, column in RIGHT.items()}}
    text = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int8()), pa.array(["a" * 30_000]))
    zeros = pa.table({**{name: column[:1] for name, column in RIGHT.items()}, "plan": ["\0" * 200_000_000]})
    for compression in ("zstd", "lz4"):
        yield f"{compression} stream", ARROW, arrow(zeros, compression=compression)
    yield "zstd file", ARROW, arrow(zeros, pa.ipc.new_file, compression="zstd")
    yield "zstd in Parquet", PARQUET, parquet(zeros, compression="zstd")
    yield "dictionary", ARROW, arrow(pa.table({**ones, "plan": text}))
    yield "compressed dictionary", ARROW, arrow(pa.table({**ones, "plan": text}), compression="zstd")
    yield "dictionary in Parquet", PARQUET, parquet(pa.table({**ones, "plan": text.cast(pa.string())}))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * 2000)
    long = pa.table({**ones, "xs": pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * 2000)))})
    yield "lists in Parquet", PARQUET, parquet(long)
    nothing = pa.ListArray.from_arrays(offsets, pa.nulls(rows * 2000))
    yield "lists of nothing", ARROW, arrow(pa.table({**ones, "xs": nothing}))
    offsets = pa.array(np.arange(rows + 1, dtype=np.int32) * 600)
    mistakes = pa.ListArray.from_arrays(offsets, pa.nulls(rows * 600))
    yield "six million mistakes", ARROW, arrow(pa.table({**ones, "xs": mistakes}))
    yield (
        "shared beginnings",
        PARQUET,
        parquet(
            pa.table({**ones, "plan": text.cast(pa.string())}),
            use_dictionary=False,
            column_encoding={"plan": "DELTA_BYTE_ARRAY"},
        ),
    )
    yield "a column that nobody knows", PARQUET, parquet(pa.table({"zz": text.cast(pa.string())}))


def highest_kb(service: Service) -> int:
    """The most memory that the service ever had."""
    text = Path(f"/proc/{service.process.pid}/status").read_text()
    return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmHWM")))


@pytest.mark.full
def test_a_small_body_does_not_take_much_memory(ruled: Service) -> None:
    for content_type, written in FORMS:
        assert asked(ruled, content_type, written(pa.table(RIGHT))).status == 200
    before = highest_kb(ruled)
    for name, content_type, body in bombs():
        assert len(body) < 2_000_000, name
        assert asked(ruled, content_type, body).status in {400, 413, 415}, name
        assert highest_kb(ruled) < before + 150_000, name
    assert asked(ruled, ARROW, arrow(pa.table(RIGHT))).status == 200


@pytest.mark.parametrize("compression", ["zstd", "lz4"])
def test_compressed_tables_and_files_are_read(ruled: Service, compression: str) -> None:
    table = pa.concat_tables([pa.table(RIGHT)] * 100).combine_chunks()
    plain = asked(ruled, ARROW, arrow(table)).json["predictions"]
    for body in (arrow(table, compression=compression), arrow(table, pa.ipc.new_file, compression=compression)):
        assert asked(ruled, ARROW, body).json["predictions"] == plain
    for options in ({"compression": compression}, {"use_dictionary": False}, {"data_page_version": "2.0"}):
        assert asked(ruled, PARQUET, parquet(table, **options)).json["predictions"] == plain


def test_a_footer_that_was_tampered_with_ends_no_service(ruled: Service) -> None:
    body = parquet(pa.table(RIGHT))
    for place in range(len(body) - 8 - int.from_bytes(body[-8:-4], "little"), len(body) - 8):
        changed = body[:place] + bytes([body[place] ^ 2]) + body[place + 1 :]
        assert asked(ruled, PARQUET, changed).status in {200, 400, 413, 415}


def test_an_answer_that_is_no_column_is_said() -> None:
    with pytest.raises(Rejected, match="cannot be written as Arrow") as caught:
        formats.arrow([1, "x"], {})
    assert (caught.value.status, caught.value.reason) == (500, "unsayable")
    with pytest.raises(Rejected, match="cannot be written as Arrow"):
        formats.arrow([2**70], {})
    assert pa.ipc.open_stream(formats.arrow([1.5, float("nan")], {})).read_all().to_pydict() == {
        "prediction": [1.5, None]
    }


def test_without_pyarrow_tables_are_refused(tmp_path: Path) -> None:
    model = python_model(tmp_path / "model", ECHO)
    folder = rendered(tmp_path / "bundle", model, flavor="python", signature=RULED, requirements=[])
    (folder / "pyarrow.py").write_text("raise ImportError('there is none')\n")
    service = Service(folder).wait()
    answers = [asked(service, ARROW, arrow(pa.table(RIGHT)))]
    record = pa.table(RIGHT).to_pylist()[0]
    answers.append(service.predict(record, headers={"Accept": ARROW}))
    service.end()
    assert [answer.status for answer in answers] == [415, 415]
    assert all("rendered without arrow" in answer.json["error"] for answer in answers)


def test_texts_that_are_said_by_the_one_before_are_refused(ruled: Service) -> None:
    """Nothing says how long they become: 415 names the encoding."""
    body = parquet(pa.table(RIGHT), use_dictionary=False, column_encoding={"plan": "DELTA_BYTE_ARRAY"})
    answer = asked(ruled, PARQUET, body)
    assert answer.status == 415
    assert "DELTA_BYTE_ARRAY is not read" in answer.json["error"]
