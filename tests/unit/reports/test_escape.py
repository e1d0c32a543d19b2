"""Text of strangers in Markdown has no effect, whatever it is."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from mlops_ci.reports.escape import code, text, visible

SPECIAL = "`*_[]()<>!@#|~\\&$^{}:/.-+=\"' \n\t\u200b\u202e\u2066\x1b\x00aA1"
HOSTILE = st.one_of(st.text(max_size=80), st.text(alphabet=SPECIAL, max_size=60))
ATTACKS = [
    "@acme/admins",
    "@octocat please",
    "#1",
    "GH-1",
    "https://evil.example/x",
    "www.evil.example",
    "me@evil.example",
    "[x](https://evil.example)",
    "![x](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<!-- mlops-ci v=1 key=churn/churn -->",
    "a | b",
    "a \\| b",
    "`<b>`",
    "`` ` ``",
    "``",
    "\\`<b>",
    "a\n\n# heading",
    "1. list",
    "- list",
    "[x]: https://evil.example",
    "&#64;octocat",
    "&lt;b&gt;",
    "</details>",
    "$\\frac{a}{b}$",
    ":tada:",
    "\u202egnp.exe",
    "a\u200bb",
    "\x1b[31mred",
    "*bold* _it_ ~~no~~",
]
PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
PLAIN = {"text", "code_inline", "softbreak"}


def inline(markdown: str):
    return [child for token in PARSER.parse(markdown) for child in token.children or []]


@given(HOSTILE)
def test_a_code_span_is_one_code_span_and_nothing_else(value):
    [span] = inline(f"x {code(value)} y")[1:-1] if visible(value) else [None]
    if span:
        assert span.type == "code_inline"
        # CommonMark takes one space off both ends where both have one; ours have none but our own.
        assert span.content == visible(value).replace("|", "¦")


@given(HOSTILE)
def test_a_sentence_is_words_and_code_spans_and_nothing_else(value):
    found = inline(f"x {text(value)}")
    assert {token.type for token in found} <= PLAIN
    outside = "".join(token.content for token in found if token.type == "text")
    assert not set("@#<>[]|`*_~\\&$!/") & set(outside) - {"!"}
    assert "![" not in outside
    assert "://" not in outside
    assert "www." not in outside.lower()


@pytest.mark.parametrize("attack", ATTACKS)
def test_known_attacks_have_no_effect(attack):
    for markdown in (f"x {text(attack)}", f"x {code(attack)}"):
        assert {token.type for token in inline(markdown)} <= PLAIN


@given(HOSTILE, HOSTILE)
@example("a|b", "\\")
@example("\\", "|")
def test_a_cell_stays_a_cell(one, other):
    table = f"| a | b |\n| --- | --- |\n| {code(one)} | {text(other) or '-'} |"
    tokens = [token.type for token in PARSER.parse(table)]
    assert tokens.count("td_open") == 2
    assert tokens.count("tr_open") == 2


@given(st.text(max_size=200))
def test_nothing_that_cannot_be_seen_comes_through(value):
    shown = visible(value)
    assert all(unicodedata.category(character)[0] != "C" for character in shown)
    assert len(shown) <= 120
    assert visible(shown) == shown


@pytest.mark.parametrize("character", "\u200b\u2060\u3164\uffa0\u115f\u034f\u2800\ufe00\U000e0100\u180e\u00ad\ufeff")
def test_what_leaves_no_trace_is_shown_to_be_there(character):
    assert visible(f"accu{character}racy") == "accu\ufffdracy"


def test_of_a_very_long_value_only_the_beginning_is_read():
    assert visible(" " * 5_000 + "a b " * 1_000_000) == ("a b " * 30)[:119] + "…"
    assert visible("a" + " " * 5_000 + "b") == "a…"
    assert visible("a" + " " * 500 + "b") == "a b"


@pytest.mark.parametrize(
    ("value", "markdown"),
    [
        ("accuracy fell by 0.0210, from 0.9560 to 0.9350", "accuracy fell by 0.0210, from 0.9560 to 0.9350"),
        ("log_loss rose by 13.7 %, from 1 to 2", "`log_loss` rose by 13.7 %, from 1 to 2"),
        ("(gates, on_inconclusive); it is so.", "(gates, `on_inconclusive`); it is so."),
        ("see `fetch-depth: 0`.", "see `fetch-depth: 0`."),
        ("the branch's own", "the branch's own"),
        ("drop ≤ 5 %", "drop ≤ 5 %"),
        ("ask @octocat or www.x.org now", "ask `@octocat` or `www.x.org` now"),
    ],
)
def test_a_sentence_of_ours_reads_like_one(value, markdown):
    assert text(value) == markdown


def test_what_is_empty_is_said_to_be():
    assert code("") == code(" \n") == "(empty)"
