"""What a reader would see: a terminal's lines, and the parts of a comment by a parser that is not ours."""

from __future__ import annotations

import io
import re

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich.console import Console

from mlops_ci import reports
from mlops_ci.entities import GateReport

PARSER = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
FOLD = re.compile(
    r"<details>\n<summary>(<code>[^<>]*</code> \S{1,2} )?[A-Za-z0-9 ,()]+</summary>|</details>", re.ASCII | re.MULTILINE
)
# What GitHub turns into a mention, a reference or a link wherever it stands in text.
LIVE = re.compile(r"@|://|www\.|javascript|GH-\d|#\d|<|>|!\[|\]\(", re.IGNORECASE)


def printed(report: GateReport, **console: object) -> str:
    target = io.StringIO()
    reports.terminal(report, Console(file=target, highlight=False, **{"width": 140, **console}))
    return "\n".join(line.rstrip() for line in target.getvalue().splitlines())


def tokens(markdown: str) -> list[Token]:
    return [token for block in PARSER.parse(markdown) for token in [block, *(block.children or [])]]


def html_of(markdown: str) -> list[str]:
    """Every piece of raw HTML."""
    return [one.content.strip() for one in tokens(markdown) if one.type in {"html_block", "html_inline"}]


def links_of(markdown: str) -> list[str]:
    return [str(one.attrs["href"]) for one in tokens(markdown) if one.type == "link_open"]


def images_of(markdown: str) -> list[tuple[str, str]]:
    return [(one.content, str(one.attrs["src"])) for one in tokens(markdown) if one.type == "image"]


def outside_code(markdown: str) -> str:
    """The text that GitHub searches for mentions: everything but code, and the names of folds that are code."""
    text = [one.content for one in tokens(markdown) if one.type == "text"]
    summaries = [re.sub(r"<code>[^<>]*</code>", "", piece) for piece in html_of(markdown)]
    shown = [re.sub(r"</?(details|summary)>|<!-- mlops-ci [^<>]*-->", "", piece) for piece in summaries]
    return "\n".join([*text, *shown])


def charts_of(markdown: str) -> list[str]:
    return [one.content for one in tokens(markdown) if one.type == "fence" and one.info == "mermaid"]


def tables_of(markdown: str) -> list[list[int]]:
    """Of each table: how many cells each of its rows has."""
    found: list[list[int]] = []
    for token in tokens(markdown):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append(0)
        elif token.type in {"td_open", "th_open"}:
            found[-1][-1] += 1
    return found
