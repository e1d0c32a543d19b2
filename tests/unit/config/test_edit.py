"""A value is written into a YAML file, and nothing else changes: neither what it says nor how it is written."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlops_ci import config
from mlops_ci.config.edit import set_values
from mlops_ci.config.nodes import compose, value_of
from mlops_ci.errors import ConfigError, UsageError

EDITS = {
    "a key of a block": (
        "project: a\nserving:\n  # how many\n  batch_rows: 1  # off\n  runtime: 'asgi'\n",
        "project: a\nserving:\n  # how many\n  batch_rows: 8  # off\n  runtime: 'asgi'\n",
    ),
    "another key of a block": (
        "serving:\n    runtime: asgi  # small\n\n# the rest\nproject: a\n",
        "serving:\n    runtime: asgi  # small\n    batch_rows: 8\n\n# the rest\nproject: a\n",
    ),
    "a key of a flow": (
        'project: a\nserving: {"batch_rows": 0x20, runtime: asgi}  # x\n',
        'project: a\nserving: {"batch_rows": 8, runtime: asgi}  # x\n',
    ),
    "another key of a flow": (
        "project: a\nserving: { runtime: asgi, }  # x\n",
        "project: a\nserving: { runtime: asgi, batch_rows: 8, }  # x\n",
    ),
    "a flow in lines": (
        "project: a\nserving: {\n  runtime: asgi  # x\n}\n",
        "project: a\nserving: {\n  runtime: asgi, batch_rows: 8  # x\n}\n",
    ),
    "an empty flow": ("serving: {}\nproject: a\n", "serving: {batch_rows: 8}\nproject: a\n"),
    "no section": ("project: a # x\n# end\n", "project: a # x\nserving:\n  batch_rows: 8\n# end\n"),
    "no section, and no last newline": ("project: a", "project: a\nserving:\n  batch_rows: 8"),
    "no section, all of it a flow": ("{project: a}\n", "{project: a, serving: {batch_rows: 8}}\n"),
    "no section, after a text in lines": (
        "project: a\nrun:\n  command: |\n    python a.py\n    # no comment\n",
        "project: a\nrun:\n  command: |\n    python a.py\n    # no comment\nserving:\n  batch_rows: 8\n",
    ),
    "a text in lines at the end of the section": (
        "project: a\nserving:\n  runtime: >-\n    asgi\n# end\n",
        "project: a\nserving:\n  runtime: >-\n    asgi\n  batch_rows: 8\n# end\n",
    ),
    "an end of the document": ("---\nproject: a\n...\n", "---\nproject: a\nserving:\n  batch_rows: 8\n...\n"),
    "a byte order mark": ("\ufeffproject: a\n", "\ufeffproject: a\nserving:\n  batch_rows: 8\n"),
    "Windows' lines": (
        "project: a\r\nserving:\r\n  runtime: asgi\r\n",
        "project: a\r\nserving:\r\n  runtime: asgi\r\n  batch_rows: 8\r\n",
    ),
    "letters beyond ASCII": (
        'project: a\nreport: {name: "Übung 🎓"}\nserving: {batch_rows: 1}\n',
        'project: a\nreport: {name: "Übung 🎓"}\nserving: {batch_rows: 8}\n',
    ),
    "what is taken over is not what is said": (
        "project: a\nserving: {<<: {batch_rows: 4}, runtime: asgi}\n",
        "project: a\nserving: {<<: {batch_rows: 4}, runtime: asgi, batch_rows: 8}\n",
    ),
}


@pytest.mark.parametrize("name", EDITS)
def test_only_what_is_meant_is_written(name: str) -> None:
    before, after = EDITS[name]
    assert set_values(before, "serving", {"batch_rows": 8}) == after
    assert config.parse(after, "mlops.yaml").serving.batch_rows == 8


@pytest.mark.parametrize("name", EDITS)
def test_what_stands_there_already_is_left_alone(name: str) -> None:
    written = EDITS[name][1]
    assert set_values(written, "serving", {"batch_rows": 8}) == written


def test_two_values_at_once() -> None:
    written = set_values("project: a\n", "serving", {"batch_rows": 8, "workers": 2})
    assert written == "project: a\nserving:\n  batch_rows: 8\n  workers: 2\n"


@pytest.mark.parametrize(
    "text",
    [
        "project: a\nserving: &s {batch_rows: 1}\nagain: *s\n",
        "project: a\nfirst: &s {batch_rows: 1}\nserving: *s\n",
        "project: a\nlimit: &n 4\nserving: {batch_rows: *n}\n",
        "project: a\nserving: {batch_rows: &n 4}\nlimit: *n\n",
        "project: a\nserving: [batch_rows]\n",
        "- serving\n",
    ],
)
def test_what_cannot_be_written_alone_is_left_to_a_person(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        set_values(text, "serving", {"batch_rows": 8, "workers": 2})
    assert "write it by hand: serving: {batch_rows: 8, workers: 2}" in refused.value.hint


def test_what_is_no_yaml_is_said() -> None:
    with pytest.raises(ConfigError):
        set_values("serving: {", "serving", {"batch_rows": 8})


NAMES = st.sampled_from(["runtime", "workers", "image", "a", "b c", "ö", "yes", "1"])
SCALARS = st.sampled_from(
    ["1", "1.5", "true", "text", "'it''s'", '"a # b"', '"\\u00e4"', "2026-01-01", "~", "''", "a b", "http://x:1/y"]
)
COMMENTS = st.sampled_from(["", "", "  # why", " # {a: 1}", "  # 'x"])
BLANKS = st.sampled_from(["", "", "\n", "# alone\n", "\n  # deeper: {\n"])


@st.composite
def flows(draw: st.DrawFn, depth: int = 2) -> str:
    """A value that fits in a line."""
    kind = draw(st.sampled_from(["scalar", "list", "mapping"])) if depth else "scalar"
    if kind == "scalar":
        return draw(SCALARS)
    inner = draw(st.lists(flows(depth - 1), max_size=3))
    if kind == "list":
        return f"[{', '.join(inner)}]"
    names = draw(st.lists(NAMES, min_size=len(inner), max_size=len(inner), unique=True))
    return "{" + ", ".join(f"{_key(name)}: {value}" for name, value in zip(names, inner, strict=True)) + "}"


@st.composite
def entries(draw: st.DrawFn, name: str, indent: str, depth: int = 2) -> str:
    """`name: value` in lines, with comments."""
    start = f"{indent}{_key(name)}:"
    kind = draw(st.sampled_from(["flow", "flow", "text", "list", "mapping"])) if depth else "flow"
    comment, deeper = draw(COMMENTS), indent + draw(st.sampled_from([" ", "  ", "    "]))
    if kind == "flow":
        return f"{start} {draw(flows())}{comment}\n"
    if kind == "text":
        sign = draw(st.sampled_from(["|", ">", "|-", ">+"]))
        return f"{start} {sign}{comment}\n{deeper}a: 1\n{deeper}# no comment\n"
    if kind == "list":
        items = draw(st.lists(flows(), min_size=1, max_size=3))
        return f"{start}{comment}\n" + "".join(f"{deeper}- {item}{draw(COMMENTS)}\n" for item in items)
    return f"{start}{comment}\n{draw(blocks(deeper, depth - 1))}"


@st.composite
def blocks(draw: st.DrawFn, indent: str = "", depth: int = 2) -> str:
    """A mapping in lines."""
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    return "".join(draw(BLANKS) + draw(entries(name, indent, depth)) for name in names)


@st.composite
def documents(draw: st.DrawFn) -> str:
    """A whole file, mostly with a section `serving`, that sometimes says `batch_rows`."""
    before, after = draw(blocks()), "".join(draw(entries(name, "")) for name in draw(st.sampled_from([(), ("z",)])))
    batch = draw(st.sampled_from(["", "batch_rows: 1", '"batch_rows": 4', "batch_rows: 0x8"]))
    style = draw(st.sampled_from(["none", "flow", "block"]))
    section = ""
    if style == "flow":
        inner = [draw(flows()) for _ in range(draw(st.integers(0, 2)))]
        said = [f"k{number}: {value}" for number, value in enumerate(inner)] + ([batch] if batch else [])
        section = f"serving: {{{', '.join(draw(st.permutations(said)))}}}{draw(COMMENTS)}\n"
    elif style == "block":
        indent = draw(st.sampled_from([" ", "  ", "    "]))
        said = [draw(BLANKS) + draw(blocks(indent)), *([f"{indent}{batch}{draw(COMMENTS)}\n"] if batch else [])]
        section = f"serving:{draw(COMMENTS)}\n{''.join(draw(st.permutations(said)))}"
    text = before + draw(BLANKS) + section + draw(BLANKS) + after
    text = text if draw(st.booleans()) else text.rstrip("\n")
    return text.replace("\n", "\r\n") if draw(st.sampled_from([False, False, True])) else text


def _key(name: str) -> str:
    return f'"{name}"' if name in {"yes", "1"} else name


def meaning(text: str) -> Any:
    return value_of(compose(text, "x"))


@given(documents(), st.integers(1, 128))
def test_nothing_else_changes(text: str, rows: int) -> None:
    before = _readable(text)
    assume(isinstance(before, dict) and isinstance(before.get("serving", {}), dict))
    written = set_values(text, "serving", {"batch_rows": rows})
    assert meaning(written) == {**before, "serving": {**before.get("serving", {}), "batch_rows": rows}}
    gone, new = difference(text, written)
    assert re.fullmatch(r"(0x)?\d?", gone)
    assert len(new) <= len("\r\nserving:\r\n    batch_rows: 128, ")
    assert "#" not in new


def alike(one: str, other: str) -> int:
    """How many characters both begin with."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((index for index, (left, right) in pairs if left != right), min(len(one), len(other)))


def difference(one: str, other: str) -> tuple[str, str]:
    """What of *one* another piece, of *other*, stands for."""
    start = alike(one, other)
    end = alike(one[start:][::-1], other[start:][::-1])
    return one[start : len(one) - end], other[start : len(other) - end]


def _readable(text: str) -> Any:
    try:
        return meaning(text)
    except ConfigError:
        assume(condition=False)
