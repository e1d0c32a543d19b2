"""
GitHub's expressions, as far as they can be told before anything runs: the value, or that nobody knows it.

Enough for the `if:` of a job. What is not understood is not known, which is never an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

UNKNOWN = object()
"""A value that only the run will have."""

_TOKEN = re.compile(
    r"\s*(?:(?P<string>'(?:[^']|'')*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<name>[A-Za-z_][A-Za-z0-9_.*-]*)"
    r"|(?P<sign>\|\||&&|==|!=|<=|>=|[!(),<>]))"
)
_WORDS = {"true": True, "false": False, "null": None}
_FUNCTIONS: dict[str, Callable[[str, str], bool]] = {
    "startswith": lambda text, part: text.lower().startswith(part.lower()),
    "endswith": lambda text, part: text.lower().endswith(part.lower()),
    "contains": lambda text, part: part.lower() in text.lower(),
}


def may_be_true(text: str, known: Mapping[str, Any]) -> bool:
    """
    Whether the condition *text* can be met where *known* holds.

    Args:
        text: As `if:` has it, with or without `${{ }}` around the whole.
        known: Values by the names of contexts in lower case: "github.event_name". A name that ends with a dot stands
            for all below it.
    """
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", text, re.DOTALL)
    inner = whole[1] if whole else text
    if "${{" in inner:
        return True
    try:
        value = _Parser(inner, known).whole()
    except (ValueError, RecursionError):
        return True
    return value is UNKNOWN or bool(value)


class _Parser:
    """A descent through `||`, `&&`, comparisons and `!`, in that order."""

    def __init__(self, text: str, known: Mapping[str, Any]) -> None:
        self._tokens = list(_tokens(text))
        self._known = known

    def whole(self) -> Any:
        value = self._either()
        if self._tokens:
            raise ValueError(f"there is more: {self._tokens[0][1]}")
        return value

    def _either(self) -> Any:
        values = [self._both()]
        while self._take("||"):
            values.append(self._both())
        if any(value is not UNKNOWN and value for value in values):
            return next(value for value in values if value is not UNKNOWN and value)
        return UNKNOWN if UNKNOWN in values else values[-1]

    def _both(self) -> Any:
        values = [self._comparison()]
        while self._take("&&"):
            values.append(self._comparison())
        if any(value is not UNKNOWN and not value for value in values):
            return next(value for value in values if value is not UNKNOWN and not value)
        return UNKNOWN if UNKNOWN in values else values[-1]

    def _comparison(self) -> Any:
        left = self._single()
        for sign in ("==", "!=", "<=", ">=", "<", ">"):
            if self._take(sign):
                right = self._single()
                if left is UNKNOWN or right is UNKNOWN or sign not in {"==", "!="}:
                    return UNKNOWN
                return (_folded(left) == _folded(right)) == (sign == "==")
        return left

    def _single(self) -> Any:
        if self._take("!"):
            value = self._single()
            return UNKNOWN if value is UNKNOWN else not value
        if self._take("("):
            value = self._either()
            self._expect(")")
            return value
        kind, text = self._tokens.pop(0) if self._tokens else ("", "")
        if kind == "string":
            return text[1:-1].replace("''", "'")
        if kind == "number":
            return float(text)
        if kind != "name":
            raise ValueError(f"{text!r} is no value")
        return self._call(text) if self._take("(") else self._context(text.lower())

    def _call(self, name: str) -> Any:
        arguments: list[Any] = []
        while not self._take(")"):
            arguments.append(self._either())
            if not self._take(","):
                self._expect(")")
                break
        return _called(name.lower(), arguments)

    def _context(self, name: str) -> Any:
        if name in _WORDS:
            return _WORDS[name]
        above = (name[: place + 1] for place, sign in enumerate(name) if sign == ".")
        return next((self._known[key] for key in (name, *above) if key in self._known), UNKNOWN)

    def _take(self, sign: str) -> bool:
        if self._tokens and self._tokens[0] == ("sign", sign):
            self._tokens.pop(0)
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            raise ValueError(f"{sign!r} is missing")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, position, end = [], 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(f"cannot read {text[position:]!r}")
        found.append((str(match.lastgroup), str(match[str(match.lastgroup)])))
        position = match.end()
    return found


def _called(name: str, arguments: Sequence[Any]) -> Any:
    if name == "always":
        return True
    if name in _FUNCTIONS and len(arguments) == 2 and all(isinstance(argument, str) for argument in arguments):
        return _FUNCTIONS[name](arguments[0], arguments[1])
    return UNKNOWN


def _folded(value: Any) -> Any:
    """GitHub compares text without regard to capitals, and takes nothing for empty text."""
    return value.lower() if isinstance(value, str) else "" if value is None else value
