"""Takes the text of a filter apart into words, signs and quoted texts; and says where in it something is wrong."""

from __future__ import annotations

import re
from typing import Literal, NoReturn

import msgspec

from mlops_ci.errors import UsageError

_LONGEST = 20_000
_SHOWN = 60
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<text>'(?:[^']|'')*' | "(?:[^"]|"")*")
      | (?P<quoted>`(?:[^`]|``)*`)
      | (?P<sign><=|>=|<>|!=|==|[=<>(),])
      | (?P<name>[\w.+\-/:@%]+)
    )""",
    re.VERBOSE,
)


class Token(msgspec.Struct, frozen=True):
    """
    A piece of the text.

    Attributes:
        kind: "text" in quotes that may be a value or a name, "quoted" in backticks, a "name", number or date without
            either, a "sign", or the "end".
        value: What it says, without quotes.
        start: Where it starts, from 0.
        end: Where it ends.
    """

    kind: Literal["text", "quoted", "name", "sign", "end"]
    value: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """What a rule of the grammar would call it: a sign, or a word in lower case."""
        return self.value.lower() if self.kind in {"name", "sign"} else ""


def tokenize(text: str, what: str) -> list[Token]:
    """
    Take *text* apart; *what* it is (a filter, an order) is said in messages.

    Raises:
        UsageError: A character means nothing here, or a quote is not closed.
    """
    if len(text) > _LONGEST:
        raise UsageError(f"the {what} has {len(text):,} characters; at most {_LONGEST:,} are read")
    if bad := re.search("[\0\ud800-\udfff]", text):
        place = Token("end", "", bad.start(), bad.end())
        complain(text, what, place, f"{bad[0]!r} is no text that a database keeps")
    tokens = []
    position = 0
    rest = len(text.rstrip())
    while position < rest:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            start = position + len(text[position:]) - len(text[position:].lstrip())
            place = Token("sign", text[start], start, start + 1)
            complain(text, what, place, _why_not(text[start]))
        tokens.append(_token(match.lastgroup, match[match.lastgroup], match.start(match.lastgroup)))
        position = match.end()
    return [*tokens, Token("end", "", rest, rest)]


def complain(text: str, what: str, token: Token, expected: str) -> NoReturn:
    """
    Refuse *text* because of *token*.

    Raises:
        UsageError: Always, with a line that shows where.
    """
    found = f", not {text[token.start : token.end][:40]!r}" if expected.startswith("expected") else ""
    if token.kind == "end" and found:
        found = ", but it ends"
    start = max(0, token.start - _SHOWN // 2)
    line = "".join(sign if sign.isprintable() else " " for sign in text[start : start + _SHOWN])
    raise UsageError(
        f"the {what} cannot be read at character {token.start + 1}: {expected}{found}",
        hint=f"{line}\n  {' ' * (token.start - start)}^",
    )


def _why_not(sign: str) -> str:
    return f"the quote {sign} is not closed" if sign in "'\"`" else f"{sign!r} means nothing here"


def _token(kind: str, found: str, start: int) -> Token:
    value = found
    if kind in {"text", "quoted"}:
        quote = found[0]
        value = found[1:-1].replace(quote * 2, quote)
    return Token(kind, value, start, start + len(found))  # type: ignore[arg-type]  # the pattern's groups
