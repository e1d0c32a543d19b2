"""A verdict as one page of HTML: the comment where there is no GitHub. It loads nothing and runs no script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from string import Template
from typing import TYPE_CHECKING, Any

from mlops_ci import resources
from mlops_ci.entities import GateReport
from mlops_ci.reports import words
from mlops_ci.reports.comment import markdown

if TYPE_CHECKING:
    from markdown_it.renderer import RendererProtocol
    from markdown_it.token import Token

_UNLIMITED_BYTES = 20_000_000
_OURS = re.compile(r"(<details>\n)?<summary>[\w ,()]+</summary>\n?|</details>\n?", re.ASCII)
_MARKER = re.compile(r"<!-- mlops-ci [^<>]*-->\n?")


def html(report: GateReport) -> str:
    """Return a complete page."""
    from markdown_it import MarkdownIt  # noqa: PLC0415  # only whoever writes a page needs it

    parser = MarkdownIt("commonmark", {"html": True}).enable("table")
    for kind in ("html_block", "html_inline"):
        parser.add_render_rule(kind, _raw)
    page = Template((resources.TEMPLATES / "reports" / "page.html").read_text("utf-8"))
    body = parser.render(markdown(report, budget_bytes=_UNLIMITED_BYTES, charts=False))
    return page.substitute(title=escape(words.summary_line(report)), verdict=escape(report.verdict), body=body)


def _raw(
    renderer: RendererProtocol, tokens: Sequence[Token], index: int, options: Mapping[str, Any], env: Mapping[str, Any]
) -> str:
    """Our folds are HTML; whatever else looks like it is text."""
    del renderer, options, env
    content = tokens[index].content
    if _MARKER.fullmatch(content):
        return ""
    return content if _OURS.fullmatch(content) else escape(content)
