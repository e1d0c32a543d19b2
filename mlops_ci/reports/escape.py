"""
Text of strangers in Markdown: shown as it is, and without any effect.

A metric, a branch or a note may hold a mention, a link, an image, HTML, the bar of a table or a marker of
ours. What is not plainly a word goes into a code span, in which GitHub looks for none of these; entities and
backslashes would not do, since GitHub looks for mentions after it has resolved them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby

_LONGEST = 120
_LONGEST_SENTENCE = 1_000
_SHORT = 36
_WORD = re.compile(r"[(\"']?[^\W\d_]+(?:[-'\u2019][^\W\d_]+)*[)\"']?[.,:;!?]?[)\"']?")
_NUMBER = re.compile(r"[(]?[+-]?\d[\d,]*(\.\d+)?(e[+-]?\d+)?%?[)]?[.,:;]?[)]?")
_SIGN = re.compile(r"[·–—→≤≥…×]|%[.,;:]?")
_WRAPPED = re.compile(r"(\(?)(.*?)([).,;:]*)")
_SPAN = re.compile(r"`([^`]+)`")
_TICKS = re.compile(r"`+")
_SPACES = re.compile(r"[^\S ]")
_NEVER = "�"
# Letters and marks that leave no trace, though Unicode does not count them among the control characters.
_TRACELESS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0e\uffa0\U000e0100-\U000e01ef]"
)
_READ = 20  # of a longer text, this many times what is shown


def visible(value: object, longest: int = _LONGEST) -> str:
    """
    *value* on one line, without characters that have an effect or cannot be seen.

    Control characters (also those of terminals), direction marks, zero-width and unassigned characters become
    U+FFFD, white space one space; what is longer than *longest* characters ends in an ellipsis.
    """
    whole = str(value).strip()
    cut = len(whole) > longest * _READ
    text = " ".join((whole[: longest * _READ] if cut else whole).split())
    if not text.isascii() or not text.isprintable():
        text = "".join(_NEVER if unicodedata.category(character)[0] == "C" else character for character in text)
        text = _TRACELESS.sub(_NEVER, text)
    return text[: longest - 1] + "…" if cut or len(text) > longest else text


def sentence(value: object) -> str:
    """*value* as `visible`, with room for a sentence."""
    return visible(value, _LONGEST_SENTENCE)


def short(value: object, longest: int = _SHORT) -> str:
    """*value* as a code span for a narrow table: a long one keeps its beginning and its end."""
    whole = visible(value)
    head = longest * 2 // 3
    return code(whole if len(whole) <= longest else f"{whole[:head]}…{whole[head + 1 - longest :]}")


def code(value: object) -> str:
    """*value* as a code span, in a table or outside; a bar becomes a broken bar, since tables know no code."""
    text = visible(value).replace("|", "¦")
    if not text:
        return "(empty)"
    fence = "`"
    while fence in text:
        fence += "`"
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def fenced(value: str, language: str) -> str:
    """*value*, several lines, as a fenced block: no line of it can end the block, or is shown as something else."""
    lines = [_shown(line) for line in value.rstrip("\n").split("\n")]
    runs = [len(run) for line in lines for run in _TICKS.findall(line)]
    fence = "`" * max(3, 1 + max(runs, default=0))
    return "\n".join([f"{fence}{language}", *lines, fence])


def _shown(line: str) -> str:
    """*line* as it is, but for characters that have an effect or cannot be seen, and what is longer than a sentence."""
    cut = f"{line[: _LONGEST_SENTENCE - 1]}…" if len(line) > _LONGEST_SENTENCE else line
    if not cut.isascii() or not cut.isprintable():
        cut = "".join(_NEVER if unicodedata.category(character)[0] == "C" else character for character in cut)
        cut = _TRACELESS.sub(_NEVER, _SPACES.sub(" ", cut))
    return cut


def text(value: object) -> str:
    """
    *value* as a sentence: words and numbers as they are, everything else in code spans.

    What stands between backticks is a code span already. Not for the beginning of a line, where "1." starts a
    list.
    """
    return " ".join(_parts(visible(value, _LONGEST_SENTENCE)))


def _parts(words: str) -> Iterator[str]:
    last = 0
    for span in _SPAN.finditer(words):
        yield from _words(words[last : span.start()])
        after = words[span.end() : span.end() + 1]
        mark = after if after in {".", ",", ";", ":"} else ""
        yield code(span[1]) + mark
        last = span.end() + len(mark)
    yield from _words(words[last:])


def _words(phrase: str) -> Iterator[str]:
    """Words as they are; neighbours that are none share a code span, but for the marks around it."""
    for plain, group in groupby(phrase.split(), key=_plain):
        words = " ".join(group)
        if plain:
            yield words
        else:
            before, odd, after = _WRAPPED.fullmatch(words).groups()  # type: ignore[union-attr]  # it matches all
            yield f"{before}{code(odd)}{after}" if odd else code(words)


def _plain(word: str) -> bool:
    return any(pattern.fullmatch(word) for pattern in (_WORD, _NUMBER, _SIGN))
