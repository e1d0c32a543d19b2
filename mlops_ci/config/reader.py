"""
From YAML nodes to structs: everything that is wrong is found in one pass, each thing with its line.

The structs' own types say what is allowed (`msgspec.inspect`); what concerns several keys is in `checks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from typing import Any, NamedTuple

import msgspec
from msgspec import inspect
from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.constructor import ConstructorError

from mlops_ci.config import checks
from mlops_ci.config.nodes import Entries, entries, line_of, name_of, value_of, written
from mlops_ci.config.options import GENERAL_KEYS, KINDS, options_of
from mlops_ci.config.shapes import bare, fits, holds
from mlops_ci.config.structs import Target
from mlops_ci.config.wording import allowed
from mlops_ci.errors import ConfigError

Path = tuple[str | int, ...]

_WRONG = object()
"""Stands for a value that has a problem, which is in the list."""

_MOST = 20


@cache
def fields_of(struct: type[msgspec.Struct]) -> dict[str, inspect.Field]:
    """The fields of *struct* by the keys that the file has for them."""
    found = inspect.type_info(struct)
    assert isinstance(found, inspect.StructType)  # noqa: S101  # for mypy: a struct's type is this one
    return {field.encode_name: field for field in found.fields}


class Problem(NamedTuple):
    """Something wrong: *path* names it as `gates[1].max_drop`."""

    line: int
    path: str
    text: str


class Reader:
    """Reads nodes as types and collects what is wrong in `problems`."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def read_as(self, struct: type[msgspec.Struct], node: Node) -> Any:
        """Return *node* as a *struct*; what it is while there are problems is nothing to rely on."""
        return self.read(node, inspect.type_info(struct), ())

    def read(self, node: Node, kind: inspect.Type, path: Path, meant: inspect.Type | None = None) -> Any:
        """Return *node* as *kind*. *meant* is what a message says is allowed, where that is more than *kind*."""
        meant, kind = meant or kind, bare(kind)
        if isinstance(kind, inspect.UnionType):
            kind = next((bare(one) for one in kind.types if fits(node, one)), kind)
        if isinstance(node, MappingNode) and isinstance(kind, inspect.StructType):
            return self._target(node, path) if kind.cls is Target else self._struct(node, kind.cls, path)
        if isinstance(node, MappingNode) and isinstance(kind, inspect.DictType):
            return self._dict(node, kind, path)
        if isinstance(node, SequenceNode) and isinstance(kind, inspect.ListType):
            return self._list(node, kind, path, meant)
        if not fits(node, kind):
            return self._problem(line_of(node), path, f"found {written(node)}; allowed: {allowed(meant, node)}")
        return self._value(node, kind, path, meant)

    def _value(self, node: Node, kind: inspect.Type, path: Path, meant: inspect.Type) -> Any:
        try:
            value = value_of(node)
        except ConstructorError as error:
            return self._problem(line_of(node), path, str(error.problem))
        if not holds(value, kind):
            return self._problem(line_of(node), path, f"found {written(node)}; allowed: {allowed(meant, node)}")
        return float(value) if isinstance(kind, inspect.FloatType) else value

    def _list(self, node: SequenceNode, kind: inspect.ListType, path: Path, meant: inspect.Type) -> Any:
        if len(node.value) < (kind.min_length or 0):
            return self._problem(line_of(node), path, f"found an empty list; allowed: {allowed(meant)}")
        values = [self.read(item, kind.item_type, (*path, index)) for index, item in enumerate(node.value)]
        return _WRONG if any(value is _WRONG for value in values) else values

    def _dict(self, node: MappingNode, kind: inspect.DictType, path: Path) -> Any:
        values = {}
        for name, (key, value) in self._entries(node, path).items():
            if not holds(name, bare(kind.key_type)):
                values[name] = self._problem(
                    line_of(key), (*path, name), f"this cannot be a name; allowed: {allowed(kind.key_type)}"
                )
            else:
                values[name] = self.read(value, kind.value_type, (*path, name))
        item = bare(kind.value_type)
        wrong = self._order(node, path) if isinstance(item, inspect.StructType) and item.cls is Target else []
        return _WRONG if wrong or any(value is _WRONG for value in values.values()) else values

    def _order(self, node: MappingNode, path: Path) -> list[object]:
        """Check which target comes after which, also where something else is wrong with one of them."""
        found = {name: value for name, (_, value) in entries(node)[0].items() if isinstance(value, MappingNode)}
        said = {name: entries(value)[0].get("after") for name, value in found.items()}
        after = {name: pair[1].value for name, pair in said.items() if pair and isinstance(pair[1], ScalarNode)}
        return [
            self._problem(_line_in(found[name], "after"), (*path, name, "after"), text)
            for name, text in checks.of_order(found, after)
        ]

    def _struct(self, node: MappingNode, cls: type[msgspec.Struct], path: Path) -> Any:
        found, fields = self._entries(node, path), fields_of(cls)
        before = len(self.problems)
        self._unknown(found, fields, path)
        made = self._fields(node, found, cls, fields, path)
        if len(self.problems) > before:
            return _WRONG
        wrong = [
            self._problem(_line_in(node, field), (*path, field) if field else path, text)
            for field, text in checks.of(made)
        ]
        return _WRONG if wrong else made

    def _fields(self, node: Node, found: Entries, cls: type, fields: Mapping[str, inspect.Field], path: Path) -> Any:
        """Read the *fields* that were *found* and make a *cls* of them."""
        values = {
            field.name: self.read(found[name][1], field.type, (*path, name))
            for name, field in fields.items()
            if name in found
        }
        for name, field in fields.items():
            if field.required and name not in found:
                values[name] = self._problem(
                    line_of(node), (*path, name), f"is missing; allowed: {allowed(field.type)}"
                )
        if any(value is _WRONG for value in values.values()):
            return _WRONG
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            return self._problem(line_of(node), path, str(error))

    def _target(self, node: MappingNode, path: Path) -> Any:
        """A target's keys are those of every target and the options of its kind."""
        found = self._entries(node, path)
        general = _general()
        kind = found["kind"][1] if "kind" in found else None
        options = options_of(str(kind.value)) if isinstance(kind, ScalarNode) else None
        if options is None:
            return self._unknown_kind(node, kind, path)
        special = fields_of(options)
        self._unknown(found, {**special, **general}, path)
        target = self._fields(node, found, Target, general, path)
        chosen = self._fields(node, found, options, special, path)
        if target is _WRONG or chosen is _WRONG:
            return _WRONG
        said = target.production if "production" in found else path[-1] in {"production", "prod"}
        return msgspec.structs.replace(target, options=chosen, production=said)

    def _unknown_kind(self, node: MappingNode, kind: Node | None, path: Path) -> object:
        """Say so, and read what does not depend on the kind."""
        found, general = entries(node)[0], _general()
        for key in [key for key in general if key in found and key != "kind"]:
            self.read(found[key][1], general[key].type, (*path, key))
        said = f"found {written(kind)}" if kind is not None else "is missing"
        guess = _guess(str(kind.value), KINDS) if kind is not None else ""
        return self._problem(line_of(kind or node), (*path, "kind"), f"{said}; allowed: {' or '.join(KINDS)}{guess}")

    def _entries(self, node: MappingNode, path: Path) -> Entries:
        found, again = entries(node)
        for key, line in again:
            self._problem(line_of(key), (*path, name_of(key)), f"is said twice, first on line {line}")
        return found

    def _unknown(self, found: Entries, known: Iterable[str], path: Path) -> None:
        for name, (key, _) in found.items():
            if name not in known:
                guess = _guess(name, known) or f"; known here: {', '.join(sorted(known))}"
                self._problem(line_of(key), (*path, name), f"unknown key{guess}")

    def _problem(self, line: int, path: Path, text: str) -> object:
        self.problems.append(Problem(line, spell(path), text))
        return _WRONG


def _general() -> dict[str, inspect.Field]:
    return {key: field for key, field in fields_of(Target).items() if key in GENERAL_KEYS}


def refuse_problems(problems: Sequence[Problem], source: str, *, hint: str) -> None:
    """
    Say all *problems* of the file *source* at once, a line each.

    Raises:
        ConfigError: There are some.
    """
    if not problems:
        return
    lines = [
        f"{source}:{problem.line}: {f'{problem.path}: ' if problem.path else ''}{problem.text}"
        for problem in sorted(problems)
    ]
    more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
    raise ConfigError("\n".join([*lines[:_MOST], *more]), hint=hint)


def spell(path: Path) -> str:
    """`("gates", 1, "min")` as `gates[1].min`."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).removeprefix(".")


def _line_in(node: Node, key: str) -> int:
    """The line of *key* in a mapping, or of the mapping where it is not said."""
    found = entries(node)[0].get(key) if isinstance(node, MappingNode) else None
    return line_of(found[0] if found else node)


def _guess(name: str, known: Iterable[str]) -> str:
    close = get_close_matches(name, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
