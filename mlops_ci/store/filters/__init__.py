"""
The language of filters and orders: text becomes a tree. What a tree means in a database is left to `conditions`.

    metrics.accuracy > 0.9 and params.model = 'rf'
    min(metrics."val loss") <= 1e-3 or not (tags.team in ('search', 'ads') and started >= 2026-01-01)

A comparison with something that a run does not have is false, and `not` turns that into true. Whoever knows
MLflow's search finds its words here: `attributes.status = 'FINISHED'`, `start_time`, backticks around names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NoReturn

import msgspec

from mlops_ci.store.filters import fields
from mlops_ci.store.filters.fields import Field
from mlops_ci.store.filters.tokens import Token, complain, tokenize

Operator = Literal["=", "!=", ">", ">=", "<", "<=", "like", "ilike"]
Value = str | float | bool

_OPERATORS: dict[str, Operator] = {
    "==": "=",
    "=": "=",
    "!=": "!=",
    "<>": "!=",
    ">": ">",
    ">=": ">=",
    "<": "<",
    "<=": "<=",
}
_NEXT = "a comparison (=, !=, >, >=, <, <=, like, ilike, in, between, is null)"
_DEEPEST = 50
_MOST_CONDITIONS = 200
_MOST_VALUES = 1000
_LONGEST_PATTERN = 200


class _Node(msgspec.Struct, frozen=True):
    pass


class Comparison(_Node, frozen=True):
    """*field* has a value, and it compares so with *value*, which is of the field's type (see `fields`)."""

    field: Field
    operator: Operator
    value: Value


class Membership(_Node, frozen=True):
    """*field* has a value, and it is one of *values*."""

    field: Field
    values: tuple[Value, ...]


class Present(_Node, frozen=True):
    """*field* has a value."""

    field: Field


class Not(_Node, frozen=True):
    """*inner* does not hold."""

    inner: Condition


class And(_Node, frozen=True):
    """All of *parts* hold; if there are none, that is true."""

    parts: tuple[Condition, ...]


class Or(_Node, frozen=True):
    """One of *parts* holds."""

    parts: tuple[Condition, ...]


Condition = Comparison | Membership | Present | Not | And | Or


class Key(_Node, frozen=True):
    """What runs are sorted by. Those that have no such value come last, either way."""

    field: Field
    descending: bool


def parse(text: str) -> Condition:
    """
    Read a filter; an empty one holds for every run.

    Raises:
        UsageError: It cannot be read; the message says where, and what could stand there.
    """
    if not text.strip():
        return And(())
    reader = _Reader(text, "filter")
    condition = reader.either()
    reader.end("`and`, `or`, or the end")
    return condition


def parse_order(text: str | Sequence[str], *, descending: bool = False) -> tuple[Key, ...]:
    """
    Read what to sort by: `metrics.accuracy desc, started`, or its parts one by one.

    Args:
        text: The keys, the most important first.
        descending: What holds for keys that do not say `asc` or `desc`.

    Raises:
        UsageError: It cannot be read.
    """
    joined = text if isinstance(text, str) else ", ".join(text)
    if not joined.strip():
        return ()
    reader = _Reader(joined, "order")
    keys = [reader.key(descending=descending)]
    while reader.took(","):
        keys.append(reader.key(descending=descending))
    reader.end("`asc`, `desc`, a comma, or the end")
    return tuple(keys)


class _Reader:
    """Reads tokens from left to right; a method for each rule of the grammar."""

    def __init__(self, text: str, what: str) -> None:
        self._text = text
        self._what = what
        self._tokens = tokenize(text, what)
        self._at = 0
        self._depth = 0
        self._conditions = 0

    def either(self) -> Condition:
        return self._chain("or", lambda: self._chain("and", self._negation, And), Or)

    def key(self, *, descending: bool) -> Key:
        token = self._token
        field = self._field()
        if field.type == "sha":
            complain(self._text, self._what, token, "runs cannot be sorted by their commits")
        if self.took("desc", "descending"):
            return Key(field, descending=True)
        return Key(field, descending=False if self.took("asc", "ascending") else descending)

    def took(self, *words: str) -> bool:
        """Go past the next token if it is one of these words or signs."""
        if self._token.word not in words:
            return False
        self._at += 1
        return True

    def end(self, expected: str) -> None:
        if self._token.kind != "end":
            self._refuse(f"expected {expected}")

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _chain(self, word: str, part: Callable[[], Condition], kind: type[And | Or]) -> Condition:
        parts = [part()]
        while self.took(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else kind(tuple(parts))

    def _negation(self) -> Condition:
        negated = False
        while self.took("not"):
            negated = not negated
        condition = self._primary()
        return Not(condition) if negated else condition

    def _primary(self) -> Condition:
        if self._token.word != "(":
            return self._predicate()
        if self._depth == _DEEPEST:
            self._refuse("too many parentheses inside each other")
        self._depth += 1
        self._at += 1
        condition = self.either()
        self._expect(")")
        self._depth -= 1
        return condition

    def _predicate(self) -> Condition:
        self._conditions += 1
        if self._conditions > _MOST_CONDITIONS:
            self._refuse(f"more than {_MOST_CONDITIONS} comparisons")
        field = self._field()
        if self.took("is"):
            absent = not self.took("not")
            self._expect("null")
            return Not(Present(field)) if absent else Present(field)
        if self._token.word in _OPERATORS:
            operator = _OPERATORS[self._token.word]
            self._at += 1
            return self._comparison(field, operator)
        negated = self.took("not")
        condition = self._worded(field)
        if condition is None:
            if field.type == "truth" and not negated:
                return Comparison(field, "=", value=True)
            self._refuse(f"expected {'like, ilike, in or between' if negated else _NEXT}")
        # Like `!=`, it says that there is a value.
        return And((Present(field), Not(condition))) if negated else condition

    def _worded(self, field: Field) -> Condition | None:
        """A comparison whose operator is a word, if the next token is one."""
        if self.took("in"):
            return self._membership(field)
        if self.took("between"):
            low = self._comparison(field, ">=")
            self._expect("and")
            return And((low, self._comparison(field, "<=")))
        for operator in ("like", "ilike"):
            if self._token.word == operator:
                if field.type not in {"text", "any", "status"}:
                    self._refuse(f"{field.shown} is no text, so it has no `{operator}`")
                self._at += 1
                return Comparison(field, "like" if operator == "like" else "ilike", self._text_value(field))
        return None

    def _comparison(self, field: Field, operator: Operator) -> Condition:
        token = self._token
        if field.type == "sha" and operator not in {"=", "!="}:
            self._refuse("commits have no order; use = or !=")
        if field.type == "time":
            condition = self._time(field, operator)
        else:
            condition = Comparison(field, operator, self._value(field))
        if field.type == "truth" and operator not in {"=", "!="}:
            complain(self._text, self._what, token, f"{field.shown} is true or false; use = or !=")
        return condition

    def _time(self, field: Field, operator: Operator) -> Condition:
        """A date is a whole day: after it means after its end."""
        first, last = self._moments(field)
        if operator in {"=", "!="}:
            within = And((Comparison(field, ">=", first), Comparison(field, "<=", last)))
            return within if operator == "=" else And((Present(field), Not(within)))
        return Comparison(field, operator, last if operator in {">", "<="} else first)

    def _moments(self, field: Field) -> tuple[int, int]:
        token = self._take_value(field)
        found = fields.moments(token.value)
        if found is None:
            expected = "a date, a time as in '2026-01-31T12:00:00Z', or milliseconds after 1970"
            complain(self._text, self._what, token, f"expected {expected}")
        return found

    def _membership(self, field: Field) -> Condition:
        if field.type == "time":
            self._refuse(f"{field.shown} is a time, which `in` is not for; use between")
        self._expect("(")
        values = [self._value(field)]
        while self.took(","):
            values.append(self._value(field))
            if len(values) > _MOST_VALUES:
                self._refuse(f"more than {_MOST_VALUES} values")
        self._expect(")")
        if field.type == "sha":
            return Or(tuple(Comparison(field, "=", value) for value in values))
        return Membership(field, tuple(values))

    def _value(self, field: Field) -> Value:
        token = self._take_value(field)
        value, expected = fields.value_of(field, token)
        if value is None:
            complain(self._text, self._what, token, f"{field.shown} is compared with {expected}")
        return value

    def _text_value(self, field: Field) -> str:
        token = self._take_value(field)
        if token.kind != "text":
            complain(self._text, self._what, token, "expected a pattern in quotes, as in 'rf%'")
        if len(token.value) > _LONGEST_PATTERN:
            complain(self._text, self._what, token, f"a pattern has at most {_LONGEST_PATTERN} characters")
        return token.value.lower() if field.type == "status" else token.value

    def _take_value(self, field: Field) -> Token:
        token = self._token
        if token.kind not in {"text", "name"}:
            self._refuse(f"expected what {field.shown} is compared with")
        self._at += 1
        return token

    def _field(self) -> Field:
        token = self._token
        if token.word in fields.AGGREGATES and self._tokens[self._at + 1].word == "(":
            self._at += 2
            inner = self._token
            field = self._field()
            if field.table != "metrics" or field.aggregate != "last":
                complain(self._text, self._what, inner, f"expected {token.word}(metrics.<name>)")
            self._expect(")")
            return fields.aggregated(field, token.word)
        if token.kind in {"end", "sign"}:
            self._refuse("expected metrics.<name>, params.<name>, tags.<name> or an attribute")
        self._at += 1
        name = token.value
        if token.kind == "name" and name.endswith("."):
            quoted = self._token
            if quoted.kind not in {"text", "quoted"}:
                self._refuse(f"expected a name after {name}")
            self._at += 1
            return self._known(token, name[:-1], quoted.value)
        prefix, dot, rest = name.partition(".")
        return self._known(token, prefix, rest) if dot and token.kind == "name" else self._known(token, "", name)

    def _known(self, token: Token, prefix: str, name: str) -> Field:
        found = fields.find(prefix, name)
        if isinstance(found, str):
            complain(self._text, self._what, token, found)
        return found

    def _expect(self, word: str) -> None:
        if not self.took(word):
            self._refuse(f"expected {word!r}" if len(word) == 1 else f"expected `{word}`")

    def _refuse(self, expected: str) -> NoReturn:
        complain(self._text, self._what, self._token, expected)
