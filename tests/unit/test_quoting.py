"""What a quoted value is to the reader of the language that it was quoted for."""

from __future__ import annotations

import ast
import json
import math
import shlex
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mlops_ci import quoting
from mlops_ci.errors import ConfigError

HOSTILE = [
    '"',
    "'",
    "\\",
    "a: b",
    "- x",
    "{{ 7 * 7 }}",
    "#no",
    "yes",
    "1.0",
    "null",
    "\n",
    "\x85",
    "\u2028",
    "é",
    "🦆",
    "",
]
texts = st.text(st.characters(exclude_categories=["Cs"])) | st.sampled_from(HOSTILE)
numbers = st.integers() | st.floats(allow_nan=False)
scalars = st.none() | st.booleans() | numbers | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


@given(values)
@example(1e-05)
@example(1e16)
@example(float("-inf"))
@example({"k" * 3000: "v"})
def test_yaml_reads_the_value_back(value: Any) -> None:
    """Flow style on one line, whatever the value."""
    text = quoting.yaml(value)
    assert "\n" not in text
    assert yaml.safe_load(f"key: {text}\n") == {"key": value}


def test_yaml_has_a_word_for_nan() -> None:
    assert math.isnan(yaml.safe_load(quoting.yaml(math.nan)))


@given(values)
@example(float("inf"))
def test_python_reads_the_value_back(value: Any) -> None:
    """A literal on one line."""
    text = quoting.py(value)
    assert "\n" not in text
    assert eval(text) == value  # noqa: S307  # `float("inf")` is an expression and no literal
    ast.parse(text)


@given(values.filter(lambda value: "inf" not in repr(value)))
def test_json_reads_the_value_back(value: Any) -> None:
    assert json.loads(quoting.json_text(value)) == value


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_json_refuses_what_it_has_no_word_for(number: float) -> None:
    with pytest.raises(ConfigError, match="JSON cannot hold"):
        quoting.json_text(number)


@given(texts.filter(str.isprintable))
def test_a_shell_takes_one_word(text: str) -> None:
    assert shlex.split(quoting.sh(text)) == [text]


@given(texts.filter(str.isprintable))
def test_a_dockerfile_value_ends_only_at_its_end(text: str) -> None:
    """Quotes, backslashes and dollars inside are escaped."""
    quoted = quoting.dockerfile(text)
    inside = quoted[1:-1]
    assert quoted[0] == quoted[-1] == '"'
    assert inside.replace("\\\\", "").replace('\\"', "").replace("\\$", "").count('"') == 0
    assert inside.replace("\\\\", "").replace("\\$", "").count("$") == 0


@pytest.mark.parametrize("quote", [quoting.sh, quoting.env, quoting.dockerfile, quoting.requirement])
@pytest.mark.parametrize("text", ["a\nRUN evil", "a\rb", "a\x00", "a\u2028b"])
def test_a_line_break_is_refused_where_it_would_end_the_line(quote: Any, text: str) -> None:
    with pytest.raises(ConfigError):
        quote(text)


def test_a_comment_stays_a_comment() -> None:
    assert quoting.comment("one\nRUN evil\u2028two") == "one RUN evil two"


@pytest.mark.parametrize(
    "text", ["scikit-learn==1.9.1", "torch[cuda]>=2 ; python_version>'3.11'", "a @ https://x/a.whl"]
)
def test_a_requirement_is_written_as_it_is(text: str) -> None:
    assert quoting.requirement(text) == text


@pytest.mark.parametrize(
    "text", ["--index-url https://evil", "a==1 --index-url https://evil", "-r other.txt", "", "../x"]
)
def test_an_option_is_no_requirement(text: str) -> None:
    """Or a model's list could say where packages come from."""
    with pytest.raises(ConfigError, match="is not a requirement"):
        quoting.requirement(text)


@pytest.mark.parametrize("text", ["python:3.11-slim", "ghcr.io/a/b@sha256:0f", "linux/amd64", 3000])
def test_a_word_stays_bare(text: Any) -> None:
    assert quoting.word(text) == str(text)


@pytest.mark.parametrize("text", ["a b", "", "a;b", "$x", "-flag"])
def test_what_is_no_word_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="not one plain word"):
        quoting.word(text)


@pytest.mark.parametrize(
    ("schema", "annotation"),
    [
        ({"type": "number"}, "Number"),
        ({"type": ["number", "null"]}, "Number | None"),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 3, "maxItems": 3},
         "Annotated[list[Integer], Field(min_length=3, max_length=3)]"),
        ({"type": "array", "items": {"type": "array", "items": {"type": "number"}}}, "list[list[Number]]"),
        ({"enum": ["a", 'b"', 1, None]}, "Literal[\"a\", 'b\"', 1, None]"),
        ({"type": "object"}, "dict[str, Any]"),
        ({}, "Any"),
        ({"type": "tensor"}, "Any"),
    ],
)  # fmt: skip
def test_a_schema_becomes_an_annotation(schema: dict[str, Any], annotation: str) -> None:
    assert quoting.py_type(schema) == annotation


def test_what_has_no_literal_is_refused() -> None:
    with pytest.raises(ConfigError, match="a set has no literal"):
        quoting.yaml({"a": {1}})
