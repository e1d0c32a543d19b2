"""Rows, columns and types of CSV."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci.data import csv_tables
from mlops_ci.data.csv_tables import MISSING


def read(text: str | bytes):
    data = text if isinstance(text, bytes) else text.encode()
    return csv_tables.read(io.BufferedReader(io.BytesIO(data)))


def types(table) -> dict[str, str]:
    return {column.name: column.type for column in table.columns}


VALUES = {
    "boolean": st.sampled_from(["true", "False", "TRUE"]),
    "integer": st.integers().map(str),
    "number": st.floats(allow_nan=False).map(repr),
    "timestamp": st.datetimes().map(lambda moment: moment.isoformat()) | st.dates().map(str),
    "string": st.text(st.characters(codec="utf-8", exclude_characters="\0\r")).map(lambda text: f"x{text}"),
}
GAPS = st.sampled_from(sorted(MISSING))


@st.composite
def tables(draw):
    """A header of types, and rows of values of these types with gaps between them."""
    kinds = draw(st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=5))
    full = st.tuples(*(VALUES[kind] for kind in kinds))
    gapped = st.tuples(*(GAPS | VALUES[kind] for kind in kinds))
    return kinds, [draw(full), *draw(st.lists(gapped, max_size=20))]


@given(tables(), st.sampled_from([",", ";", "\t"]), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_types_are_those_of_the_values(table, delimiter, newline, quoted):
    """Whatever the delimiter, the line ends and the quotes; gaps do not count."""
    kinds, rows = table
    text = io.StringIO()
    writer = csv.writer(
        text, delimiter=delimiter, lineterminator=newline, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
    )
    writer.writerow([f"{kind}{index}" for index, kind in enumerate(kinds)] + ["end"])
    writer.writerows([*row, "x"] for row in rows)
    found = read(text.getvalue())
    assert found.rows == len(rows)
    assert list(types(found).values()) == [*kinds, "string"]
    assert not found.note


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1", "2.5"], "number"),
        (["1e5", "-inf"], "number"),
        (["1", "true"], "string"),
        (["2026-01-01", "2026-01-01T10:00:00.5+02:00"], "timestamp"),
        (["2026-01-01", "3"], "string"),
        (["", "NA", "null"], "empty"),
        (["1_000"], "string"),
        (["٣"], "string"),
        (["007", "+3"], "integer"),
        ([" 1"], "string"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_mixtures(values, expected):
    """Integers and numbers are numbers; any other mixture is text."""
    assert types(read("a,b\n" + "".join(f'"{value}",x\n' for value in values)))["a"] == expected


def test_types_do_not_depend_on_where_in_the_file_a_value_is():
    """Rows are read by the thousand."""
    early = ["2.5", *["1"] * 5000]
    assert types(read("a\n" + "\n".join(early))) == {"a": "number"}
    assert types(read("a\n" + "\n".join(reversed(early)))) == {"a": "number"}
    assert types(read("a\n" + "\n".join(["x", *early]))) == {"a": "string"}


def test_newlines_in_quotes_are_part_of_a_value():
    """Not rows."""
    found = read('a,b\n"one\ntwo, ""three""",2\n"\n",3\n')
    assert found.rows == 2
    assert types(found) == {"a": "string", "b": "integer"}


def test_ragged_rows_are_counted_and_noted():
    """With the line of the first of them."""
    found = read("a,b\n1,2\n3\n4,5,6\n")
    assert found.rows == 3
    assert types(found) == {"a": "integer", "b": "integer"}
    assert found.note == "2 rows not as wide as the header, first line 3: 1 values, not 2"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ("", "there is no header"),
        ("1,2\n3,4\n", "looks like values"),
        ("a,a\n1,2\n", "more than one column is named 'a'"),
    ],
)
def test_odd_headers_are_noted(text, note):
    """The table is read all the same."""
    assert note in read(text).note


def test_a_byte_order_mark_is_no_part_of_the_first_name():
    """Spreadsheets write it."""
    assert types(read(b"\xef\xbb\xbfa,b\n1,2\n")) == {"a": "integer", "b": "integer"}


def test_a_document_fits_in_a_field():
    """Python's own limit is 128 KB."""
    assert read("a,b\n" + "x" * 1_000_000 + ",1\n").rows == 1
