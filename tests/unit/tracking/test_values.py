"""What a parameter and a metric can be."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from mlops_ci.tracking import values


class Colour(Enum):
    RED = "red"


@dataclass
class Settings:
    depth: int = 3
    inner: dict = field(default_factory=lambda: {"rate": 0.1})


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)


@given(st.recursive(st.dictionaries(st.text(), SCALARS), lambda inner: st.dictionaries(st.text(), inner | SCALARS)))
def test_every_nested_dict_becomes_flat_scalars(source):
    """Whatever its shape; names are joined by dots."""
    flat = values.params(source)
    assert all(isinstance(value, str | int | float | bool | None) for value in flat.values())
    json.dumps(flat)


def test_a_pipeline_is_its_parameters_and_the_names_of_its_parts():
    """With the names that scikit-learn gives them, and no memory address."""
    pipeline = make_pipeline(FunctionTransformer(np.log1p), LogisticRegression(C=0.5))
    flat = values.params(pipeline)
    assert flat["logisticregression"] == "LogisticRegression"
    assert flat["logisticregression__C"] == 0.5
    assert "0x" not in json.dumps(flat)
    assert values.params({"model": LogisticRegression(C=2)})["model.C"] == 2


def test_dataclasses_namespaces_and_dicts_nest():
    """In each other."""
    assert values.params({"a": Settings(), "b": SimpleNamespace(c=[1, 2], d={})}) == {
        "a.depth": 3,
        "a.inner.rate": 0.1,
        "b.c": "[1, 2]",
        "b.d": "{}",
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float64(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([True])[0], True),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        (len, "builtins.len"),
        (LogisticRegression, "sklearn.linear_model._logistic.LogisticRegression"),
        ({"b", "a"}, "{'a', 'b'}"),
        (("x", None), '["x", null]'),
        (object(), "<object object>"),
        ("x" * 1000, "x" * 499 + "…"),
    ],
    ids=["float64", "int64", "bool_", "enum", "path", "function", "class", "set", "tuple", "object", "long"],
)
def test_a_value_is_a_scalar_or_a_short_text(value, expected):
    """The same in every process."""
    scalar = values.scalar(value)
    assert scalar == expected
    assert type(scalar) in {str, int, float, bool}


def test_a_thing_without_names_is_refused():
    """With a sentence."""
    with pytest.raises(TypeError, match="a list has no names for its values"):
        values.params([1, 2])


def test_something_that_holds_itself_ends():
    """Parameters may be anything."""
    loop: dict = {"a": 1}
    loop["self"] = loop
    assert values.params(loop)["a"] == 1


@given(st.floats() | st.integers(-(2**60), 2**60) | st.booleans())
def test_numbers_are_metrics(value):
    """NaN and infinity too."""
    number = values.number("x", value)
    assert number == float(value) or (math.isnan(number) and math.isnan(value))


def test_metrics_nest():
    """As scikit-learn's report does."""
    report = {"0": {"precision": np.float32(0.5)}, "accuracy": 0.75, "macro avg": {"support": 4}}
    assert values.metrics(report) == ({"0.precision": 0.5, "accuracy": 0.75, "macro avg.support": 4.0}, [])
