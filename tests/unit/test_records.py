"""How facts become bytes: golden vectors, which no later version may change, and what must always hold."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import records
from mlops_ci.entities import Adoption, Author
from mlops_ci.errors import InputError, IntegrityError

AUTHOR = Author(name="Ada", email="ada@example.org")
TIME = "2026-01-02T03:04:05.000006Z"
SHA, TREE = "a" * 40, "b" * 40


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1e21, b"1e+21", id="exponent from 1e21 on"),
        pytest.param(1e20, b"100000000000000000000", id="no exponent below 1e21"),
        pytest.param(1e-7, b"1e-7", id="exponent below 1e-6"),
        pytest.param(1e-6, b"0.000001", id="no exponent from 1e-6 on"),
        pytest.param(-0.0, b"0", id="minus zero"),
        pytest.param(5e-324, b"5e-324", id="the smallest float"),
        pytest.param(1.7976931348623157e308, b"1.7976931348623157e+308", id="the largest float"),
        pytest.param(333333333.33333329, b"333333333.3333333", id="the shortest digits that read back"),
        pytest.param(9007199254740991, b"9007199254740991", id="the largest plain integer"),
        pytest.param(9007199254740992, b'{"$int":"9007199254740992"}', id="an integer beyond"),
        pytest.param(-(10**30), b'{"$int":"-1' + b"0" * 30 + b'"}', id="a negative integer beyond"),
        pytest.param(math.nan, b'{"$float":"nan"}', id="nan"),
        pytest.param(-math.inf, b'{"$float":"-inf"}', id="minus infinity"),
        pytest.param({"$float": "x"}, b'{"$object":{"$float":"x"}}', id="an object that looks like a wrapper"),
        pytest.param(True, b"true", id="a boolean is no integer"),
        pytest.param('€$\u000f\nA\'B"\\"/', b'"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\"/"', id="RFC 8785's string"),
    ],
)
def test_a_value_is_written_as_rfc_8785_says(value: Any, expected: bytes) -> None:
    assert records.canonical(value) == expected


def test_keys_are_sorted_by_utf_16_units() -> None:
    """RFC 8785, section 3.2.3: the emoji's first unit, D83D, comes before FB33."""
    names = ["€", "\r", "\ufb33", "1", "😀", "\u0080", "ö"]

    assert list(json.loads(records.canonical(dict.fromkeys(names)))) == ["\r", "1", "\u0080", "ö", "€", "😀", "\ufb33"]


def test_a_record_has_these_bytes_and_this_id() -> None:
    record = records.new(Adoption(sha=SHA, tree=TREE, run_id="r1"), author=AUTHOR, time=TIME)

    assert records.encode(record) == (
        b'{"author":{"email":"ada@example.org","name":"Ada"},"body":{"run_id":"r1","sha":"' + SHA.encode() + b'",'
        b'"tree":"' + TREE.encode() + b'"},"kind":"adoption","schema":"1.0","time":"2026-01-02T03:04:05.000006Z"}'
    )
    assert record.id == "33e7dadad2ca99a772cd6a307ec8d59b4a1352e006400db3cf285cef378b76e2"


_NUMBERS = st.integers(-(10**40), 10**40) | st.floats()
_JSON = st.recursive(
    st.none() | st.booleans() | _NUMBERS | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5) | st.sampled_from(["$float", "$int", "$object"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.text(max_size=8), _JSON, max_size=5))
def test_what_was_written_is_read_back_and_keeps_its_id(body: dict[str, Any]) -> None:
    record = records.Record(kind="run", schema="1.0", time=TIME, author=AUTHOR, body=body)

    data = records.encode(record)
    again = records.decode(data)

    assert _same(again.body, body)
    assert records.encode(again) == data
    assert again.id == record.id


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_order_of_a_bodys_keys_does_not_matter(one: str, two: str) -> None:
    assert records.digest({one: 1, two + "x": 2}) == records.digest(dict(reversed({one: 1, two + "x": 2}.items())))


def test_fields_of_a_newer_minor_version_are_ignored() -> None:
    document = json.loads(records.encode(records.new(Adoption(sha=SHA, tree=TREE, run_id="r1"), author=AUTHOR)))
    document |= {"schema": "1.7", "mood": "good"}
    document["body"]["why"] = "squashed"

    record = records.decode(json.dumps(document).encode())

    assert record.read(Adoption) == Adoption(sha=SHA, tree=TREE, run_id="r1")


def test_a_newer_major_version_is_refused_with_advice() -> None:
    document = json.loads(records.encode(records.new(Adoption(sha=SHA, tree=TREE, run_id="r1"), author=AUTHOR)))

    with pytest.raises(IntegrityError, match=r"a record of schema 2\.0, and this program reads 1\.0") as caught:
        records.decode(json.dumps(document | {"schema": "2.0"}).encode())

    assert caught.value.hint == "install a newer mlops-ci"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"\xff",
        b'{"kind":"run"}',
        b'{"$float":"x"}',
        b'{"$int":[]}',
        b'{"$object":1}',
        b"[" * 100_000,
        b"1" * 5000,
    ],
    ids=lambda data: data[:12].decode(errors="replace"),
)
def test_what_is_no_record_is_refused(data: bytes) -> None:
    with pytest.raises(IntegrityError, match="not a record"):
        records.decode(data)


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, {1: 2}, b"bytes"], ids=lambda value: repr(value)[:9])
def test_what_json_cannot_hold_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match="cannot be recorded"):
        records.canonical(value)


def test_a_body_that_is_not_what_its_kind_promises_is_refused() -> None:
    record = records.Record(kind="adoption", schema="1.0", time=TIME, author=AUTHOR, body={"sha": 1})

    with pytest.raises(IntegrityError, match=rf"record {record.id[:12]} is not a adoption"):
        record.read(Adoption)


_GIT = {"trained_sha": SHA, "head_sha": "c" * 40, "tree": TREE}
_PLAN = {"plan_digest": "sha256:" + "d" * 64}


@pytest.mark.parametrize(
    ("kind", "body", "keys"),
    [
        ("run", {"run_id": "r1", "git": _GIT}, (f"sha/{SHA}", f"sha/{'c' * 40}", f"tree/{TREE}", "run/r1")),
        ("run", {"run_id": "r1", "git": _GIT | {"head_sha": SHA, "tree": ""}}, (f"sha/{SHA}", "run/r1")),
        ("adoption", {"run_id": "r1", "sha": SHA, "tree": TREE}, (f"sha/{SHA}", "run/r1")),
        ("verdict", {"candidate": {"run_id": "r1"}}, ("run/r1",)),
        ("version", {"model": "churn", "version": "1.0.0", "run_id": "r1"}, ("model/churn/1.0.0", "run/r1")),
        (
            "image",
            {"version_record": "f" * 64, "lock_inputs": f"sha256:{'e' * 64}"},
            (f"image/{'f' * 64}", f"lock/{'e' * 64}"),
        ),
        ("request", _PLAN | {"plan": {"target": "staging"}}, (f"plan/{'d' * 64}", "target/staging")),
        ("approval", _PLAN | {"target": "staging"}, (f"plan/{'d' * 64}", "target/staging")),
        ("deployment", _PLAN | {"plan": {"target": "staging"}}, (f"plan/{'d' * 64}", "target/staging")),
        ("not known here", {}, ()),
    ],
)
def test_a_record_is_found_by_these_keys(kind: str, body: dict[str, Any], keys: tuple[str, ...]) -> None:
    record = records.Record(kind=kind, schema="1.0", time=TIME, author=AUTHOR, body=body)

    assert record.keys == keys


def _same(one: Any, two: Any) -> bool:
    """Equal, where NaN equals itself; 1.0 may come back as 1, since JSON has one kind of number."""
    if isinstance(one, dict):
        return one.keys() == two.keys() and all(_same(one[key], two[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(two) and all(map(_same, one, two))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(two, float) and math.isnan(two)
    return bool(one == two) and isinstance(one, bool) == isinstance(two, bool)
