"""Parameter and metric files: what is read, and what is said of what cannot be."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops_ci.capture import files
from mlops_ci.errors import InputError


@pytest.fixture
def write(tmp_path):
    def write(name: str, text: str):
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path / name

    return write


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("params.json", '{"model": {"depth": 3, "layers": [1, 2]}, "name": "x", "on": true, "off": null}'),
        ("params.yaml", "model:\n  depth: 3\n  layers: [1, 2]\nname: x\n'on': true\n'off':\n"),
        ("params.toml", 'name = "x"\non = true\n[model]\ndepth = 3\nlayers = [1, 2]\n'),
    ],
)
def test_params_are_flattened_with_dots(write, name, text):
    """The same of each format; a list is one parameter."""
    found = files.params([write(name, text)])
    found.pop("off", None)
    assert found == {"model.depth": 3, "model.layers": "[1, 2]", "name": "x", "on": True}


def test_the_later_file_counts(write):
    """As with any configuration."""
    paths = [write("a.json", '{"lr": 1, "x": 2}'), write("b.yaml", "lr: 3\nday: 2026-01-02\nnone: {}\n")]
    assert files.params(paths) == {"lr": 3, "x": 2, "day": "2026-01-02", "none": "{}"}


def test_metrics_are_numbers_nan_included(write):
    """A gate has to see them."""
    found = files.metrics([write("m.json", '{"a": 1, "b": {"c": NaN, "d": -Infinity}}'), write("m.yaml", "e: 1e-3\n")])
    assert math.isnan(found.pop("b.c"))
    assert found == {"a": 1, "b.d": -math.inf, "e": 0.001}


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("m.json", '{\n "model": "forest",\n "a": 1}', ":2: 'model' is the text 'forest', and a metric is one number"),
        ("m.json", '{"a": {\n "b": [1, 2]}}', ":2: 'a.b' is a list, and a metric is one number"),
        ("m.json", '{"a": true}', ":1: 'a' is true, and a metric is one number"),
        ("m.json", '{"a": null}', ":1: 'a' is null, and a metric is one number"),
        ("m.json", '{"a": 1%s}' % ("0" * 400), ":1: 'a' is a number too large, and a metric is one number"),
        ("m.json", '{"a": 1,\n}', ":2: this is not JSON: "),
        ("m.json", "", ":1: this is not JSON: "),
        ("m.json", "[" * 100_000, ": this is nested too deeply"),
        ("m.json", "[1]", " holds a list, and not names with values"),
        ("m.yaml", "a: [1\nb: 2", ":2: this is not YAML: "),
        ("m.yaml", "a: b: c", ":1: this is not YAML: "),
        ("m.yaml", "", " holds null, and not names with values"),
        ("m.toml", "a = ", ": this is not TOML: "),
    ],
    ids=range(13),
)
def test_a_wrong_file_is_one_sentence_with_its_line(write, name, text, said):
    """And a hint where there is one."""
    path = write(name, text)
    with pytest.raises(InputError) as caught:
        files.metrics([path])
    assert str(caught.value).startswith(f"{path}{said}")
    assert "\n" not in str(caught.value)


def test_a_missing_file_names_the_key(tmp_path):
    """Of mlops.yaml."""
    with pytest.raises(InputError, match=r"metrics\.json was not written") as caught:
        files.metrics([tmp_path / "metrics.json"])
    assert "`run: metrics:` in mlops.yaml" in caught.value.hint
    with pytest.raises(InputError) as caught:
        files.params([tmp_path])
    assert "`run: params:` in mlops.yaml" in caught.value.hint


def test_yaml_is_data(write):
    """No tag of it runs anything."""
    with pytest.raises(InputError, match="not YAML"):
        files.params([write("p.yaml", "a: !!python/object/apply:os.system ['true']\n")])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.text(min_size=1), st.floats(), min_size=1))
def test_json_that_python_wrote_is_read_back(write, metrics):
    """Names are kept as they are."""
    found = files.metrics([write("m.json", json.dumps(metrics))])
    assert found.keys() == metrics.keys()
    assert all(found[name] == value or math.isnan(value) for name, value in metrics.items())
