"""Records and columns become the same arrays and frames, and what is wrong with one is said."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci.flavors.tables import (
    Columns,
    distribution,
    kind,
    one_file,
    options,
    pinned,
    refusal,
    remember,
    threads,
)

NUMBERS = st.none() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.booleans()
AB = Columns(["a", "b"])


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_numbers_become_float64_with_nan_for_null(rows):
    """In the order of training, whatever the order in a record; from columns the same."""
    found = AB.array([{"b": second, "a": first} for first, second in rows])
    assert found.dtype == np.float64
    expected = [[np.nan if value is None else float(value) for value in row] for row in rows]
    np.testing.assert_array_equal(found, expected)
    columns = {name: np.array([row[index] for row in rows], dtype=object) for index, name in enumerate("ab")}
    np.testing.assert_array_equal(AB.array_of(columns, len(rows)), found)
    floats = {name: np.array(values, dtype=np.float64) for name, values in columns.items()}
    np.testing.assert_array_equal(AB.array_of(floats, len(rows)), found)


@pytest.mark.parametrize(
    ("columns", "records", "sentence"),
    [
        (AB, [{"a": 1, "b": 2}, {"a": 3}], "record 1 has no 'b'"),
        (AB, [{"a": 1, "b": 2}, [1, 2]], "record 1 is not an object like the first"),
        (AB, [{"a": 1, "b": 2}, {"a": 3, "b": "x"}], "record 1 has text in 'b', where the model wants a number"),
        (AB, [{"a": 1, "b": 2}, {"a": 3, "b": "7"}], "record 1 has text in 'b', where the model wants a number"),
        (AB, [{"a": {}, "b": 2}], "record 0 has an object in 'a', where the model wants a number"),
        (AB, [{"a": [1], "b": 2}], "record 0 has an array in 'a', where the model wants a number"),
        (AB, [[1, 2], [1, 2, 3]], "record 1 has 3 values, where the model wants 2"),
        (Columns(None), [[1, 2], [1]], "record 1 has 1 values, where the model wants 2"),
        (Columns(None, None, 3), [[1, 2]], "record 0 has 2 values, where the model wants 3"),
        (Columns(None), [3.5], "record 0 is neither an object nor an array of values"),
        (Columns(None), [[1, "x"]], "record 0 has text in place 1, where the model wants a number"),
        (Columns(None), [{"a": 1}], "the model was trained without column names: send each record as an array"),
    ],
)
def test_what_is_wrong_with_a_record_is_said(columns, records, sentence):
    """In one sentence that names record and column."""
    with pytest.raises(ValueError) as error:  # noqa: PT011  # the whole sentence is compared below
        columns.array(records)
    assert str(error.value) == sentence


def test_what_is_wrong_with_columns_is_said():
    """As it is with records."""
    with pytest.raises(ValueError, match=r"^there is no column 'b'$"):
        AB.array_of({"a": np.zeros(2)}, 2)
    with pytest.raises(ValueError, match=r"^record 1 has text in 'b', where the model wants a number$"):
        AB.array_of({"a": np.zeros(2), "b": np.array([1, "x"], dtype=object)}, 2)
    with pytest.raises(ValueError, match="trained without column names"):
        Columns(None).array_of({"a": np.zeros(2)}, 2)


def test_text_stays_text_where_it_is_allowed():
    """Beside numbers, which stay what they are; documents are no rows at all."""
    found = AB.array([{"a": "x", "b": 1}, {"a": None, "b": 2.5}], text=True)
    assert repr(found.tolist()) == "[['x', 1], [nan, 2.5]]"
    columns = {"a": np.array(["x", None], dtype=object), "b": np.array([1.0, 2.5])}
    assert repr(AB.array_of(columns, 2, text=True).tolist()) == "[['x', 1.0], [nan, 2.5]]"
    assert Columns(None).array(["one", "two"], text=True) == ["one", "two"]


TYPES = {"town": "category", "when": "datetime64[ns]", "size": "float32", "rooms": "int64", "name": "object"}


@pytest.mark.parametrize("rooms", [3, 3.0, None])
def test_a_frame_has_the_types_of_training(rooms):
    """Though JSON knows text and numbers alone, and all values are null; from columns the same."""
    record = {"name": None, "rooms": rooms, "size": 2, "town": "Ulm", "when": "2026-01-31"}
    known = Columns(TYPES, TYPES)
    frame = known.frame([record])
    kinds = {name: str(dtype) for name, dtype in frame.dtypes.items()}
    assert kinds == {**TYPES, "rooms": "float64" if rooms is None else "int64"}
    assert np.isnan(frame["name"][0])
    columns = {
        name: np.array([value], dtype=float if name in {"size", "rooms"} else object) for name, value in record.items()
    }
    pd.testing.assert_frame_equal(known.frame_of(columns, 1), frame)


def test_a_value_of_another_type_is_said():
    """By the name of its column."""
    for name, value, what in (("size", "big", "a number"), ("when", "soon", "a moment")):
        with pytest.raises(ValueError, match=f"^column '{name}' has a value that is not {what}$"):
            Columns([name], TYPES).frame([{name: value}])


def test_a_frame_of_arrays_is_refused_where_they_are_uneven():
    """Pandas would fill up, or cut."""
    with pytest.raises(ValueError, match=r"^record 1 has 1 values, where the model wants 2$"):
        AB.frame([[1, 2], [3]])


def test_packages_are_known_by_their_modules():
    """Their own name, Python's own as none, the project's own as unknown; a build by the name it is installed by."""
    assert distribution("sklearn.linear_model") == "scikit-learn"
    assert distribution("xgboost") in {"xgboost", "xgboost-cpu"}
    assert [distribution(module) for module in ("json", "__main__", "helper", ".")] == ["", None, None, None]
    assert pinned(["numpy.linalg", "json", "helper"]) == [f"numpy=={np.__version__}"]


def test_options_are_added_to_what_is_there(tmp_path):
    """`flavor.json` is written by the flavor and by who keeps the model."""
    assert options(tmp_path) == {}
    remember(tmp_path, flavor="x", classes=["ä"])
    remember(tmp_path, method="predict")
    assert options(tmp_path) == {"flavor": "x", "classes": ["ä"], "method": "predict"}


def test_a_file_is_found_by_its_name_or_alone(tmp_path):
    """Of two that might be it, none is."""
    for name in ("one.cbm", "two.cbm"):
        assert one_file(tmp_path, "model.cbm", (".cbm",)) == (None if name == "one.cbm" else tmp_path / "one.cbm")
        (tmp_path / name).touch()
    assert one_file(tmp_path, "model.cbm", (".cbm",)) is None
    (tmp_path / "model.cbm").touch()
    assert one_file(tmp_path, "model.cbm", (".cbm",)) == tmp_path / "model.cbm"
    assert one_file(tmp_path / "two.cbm", "model.cbm", (".cbm",)) == tmp_path / "two.cbm"


@pytest.mark.parametrize(("said", "count"), [("", 1), ("3", 3), ("0", 1), ("many", 1)])
def test_one_thread_unless_more_are_allowed(said, count, monkeypatch):
    """Requests are many, and cores few."""
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads() == count


BIG = 2**53
IDS = Columns(["id", "x"], {"id": "int64", "x": "float64"})


def columns_of(records):
    """As the service has them: floats, and objects where those are not exact."""
    found = {name: [record[name] for record in records] for name in records[0]}
    exact = {name: any(isinstance(each, int) and abs(each) > BIG for each in values) for name, values in found.items()}
    return {name: np.array(values, dtype=object if exact[name] else float) for name, values in found.items()}


def test_whole_numbers_stay_exact_beyond_what_a_float_holds():
    """As a frame, and as an array where objects are allowed; from columns the same."""
    records = [{"id": BIG + step, "x": 0.5} for step in range(4)]
    for table in (IDS.frame(records), IDS.frame_of(columns_of(records), 4)):
        assert table["id"].tolist() == [BIG, BIG + 1, BIG + 2, BIG + 3]
        assert table["id"].dtype == np.int64
    for table in (IDS.array(records, text=True), IDS.array_of(columns_of(records), 4, text=True)):
        assert table.tolist() == [[BIG + step, 0.5] for step in range(4)]
    assert Columns(None).array([[BIG + 1, BIG + 3]], text=True).tolist() == [[BIG + 1, BIG + 3]]
    assert IDS.array([{"id": BIG + 1, "x": BIG + 1}], text=True).tolist() == [[BIG + 1, float(BIG)]]


@pytest.mark.parametrize("other", [None, 1.5])
def test_what_makes_floats_of_a_column_is_refused_beside_what_no_float_holds(other):
    """Or one caller's null would change the number of another's record; alone each is answered."""
    records = [{"id": BIG + 1, "x": 0}, {"id": other, "x": 0}]
    for ask in (IDS.frame, lambda each: IDS.frame_of(columns_of(each), 2)):
        with pytest.raises(ValueError, match=r"^column 'id' has a null or a fraction beside a whole number that only"):
            ask(records)
    assert IDS.frame(records[:1])["id"].tolist() == [BIG + 1]
    assert IDS.frame(records[1:])["id"].dtype == np.float64
    assert IDS.frame([{"id": 7, "x": 0}, records[1]])["id"].tolist()[0] == 7.0
    expected = np.array([[BIG + 1, 0.0], [np.nan if other is None else other, 0.0]], dtype=object)
    assert repr(IDS.array(records, text=True).tolist()) == repr(expected.tolist())


def test_whole_numbers_do_not_wrap():
    """One that the type of training does not hold makes the column a wider one; one of 65 bits is refused."""
    small = Columns(["a"], {"a": "int8"})
    assert small.frame([{"a": 300}, {"a": 3.0}])["a"].tolist() == [300, 3]
    assert small.frame([{"a": 3.0}, {"a": True}])["a"].dtype == np.int8
    assert small.frame([{"a": 2**63 + 5}])["a"].tolist() == [2**63 + 5]
    for values in ([2**64], [-1, 2**63]):
        with pytest.raises(ValueError, match=r"^column 'a' has a whole number of more than 64 bits$"):
            small.frame([{"a": value} for value in values])
    with pytest.raises(ValueError, match="has a number that is too large"):
        Columns(["a"]).array([{"a": 10**400}])


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_null_among_text_is_nan_alone_too(dtype):
    """A model of text is given objects, though this request has none."""
    known = Columns(["a"], {"a": dtype})
    for records in ([{"a": None}], [{"a": "x"}, {"a": None}]):
        found = known.array(records, text=True)
        assert found.dtype == object
        assert np.isnan(found[-1][0])
    assert known.array_of({"a": np.array([np.nan])}, 1, text=True).dtype == object


def test_categories_that_are_whole_numbers_stay_so_beside_a_null():
    """From columns too, which are floats."""
    known = Columns(["k"], {"k": "category"})
    columns = {"k": np.array([20.0, np.nan, 10.0])}
    for frame in (known.frame([{"k": 20}, {"k": None}, {"k": 10}]), known.frame_of(columns, 3)):
        assert frame["k"].cat.categories.dtype == np.int64
        assert frame["k"].cat.categories.tolist() == [10, 20]
        assert frame["k"].cat.codes.tolist() == [1, -1, 0]
    assert known.frame([{"k": 1.5}, {"k": 2.0}])["k"].cat.categories.tolist() == [1.5, 2.0]


def test_what_a_library_says_of_records_is_told_in_other_words():
    """It quotes what was sent."""
    for theirs, ours in (
        ("could not convert string to float: '4111-secret'", ""),
        ("Input X contains NaN.\nand much more", ": a value contains NaN, which is what null becomes"),
        ("Found unknown categories ['zz'] in column 0", ": a category is none that training saw"),
        ("X has 2 features, but Tree is expecting 3 features", ": there are too few or too many values"),
        ("Input X contains infinity or a value too large for", ": a value is infinite, or too large"),
    ):
        assert str(refusal(ValueError(theirs))) == f"the model refuses the records{ours}"


@given(st.none() | st.text() | st.integers(10**3) | st.floats(1000.5) | st.booleans() | st.lists(st.integers(10**3)))
def test_the_kind_of_a_value_says_nothing_of_it(value):
    """One of a few words."""
    words = {"null", "text", "true or false", "a whole number", "a fraction", "an array", "an object"}
    assert kind(value) in words
