"""
YAML as nodes that remember their lines. What they should be is the reader's business.

One document, of bounded depth and size: an alias that contains itself, or one that unfolds to millions of
values, is refused before anything follows it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml.constructor import ConstructorError, SafeConstructor
from yaml.events import CollectionEndEvent, CollectionStartEvent, Event

from mlops_ci.errors import ConfigError

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_CORE = "tag:yaml.org,2002:"
_PASSWORD = re.compile(r"(?<=:)[^:/@\s]+(?=@)")  # as addresses have it: user:password@host
_MERGE = _CORE + "merge"
_DEEPEST = 40
_LARGEST = 20_000
_SAFE_DEPTH = 1_000
_OPENING = "[{-?:"
_LARGEST_BYTES = 1_000_000

Entries = dict[str, tuple[Node, Node]]


def compose(text: bytes | str, source: str, *, if_empty: str = "`mlops-ci init` writes one that works") -> Node:
    """
    Parse *text* into its root node; *if_empty* is the hint if there is none.

    Raises:
        ConfigError: It is not YAML, not one document, empty, or unreasonably large.
    """
    if len(text) > _LARGEST_BYTES:
        raise ConfigError(f"{source} is larger than a megabyte, which is no configuration")
    try:
        _check_depth(text, source)
        root = yaml.compose(text, Loader=_LOADER)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}:{_where(error, text)}: {_what(error)}") from error
    if root is None:
        raise ConfigError(f"{source} is empty", hint=if_empty)
    _measure(root, source)
    return root


def line_of(node: Node | Event) -> int:
    """The line on which *node* begins, counted from 1."""
    mark: Any = node.start_mark
    return int(mark.line) + 1


def entries(node: MappingNode) -> tuple[Entries, list[tuple[Node, int]]]:
    """
    Return the entries of a mapping by the text of their keys, and the keys that were said before, with that line.

    `<<` is followed: what the mapping says itself counts more than what it takes over.
    """
    merged: Entries = {}
    own: Entries = {}
    again = []
    for key, value in node.value:
        if key.tag == _MERGE:
            for other in value.value if isinstance(value, SequenceNode) else [value]:
                if isinstance(other, MappingNode):
                    merged = entries(other)[0] | merged
        elif name_of(key) in own:
            again.append((key, line_of(own[name_of(key)][0])))
        else:
            own[name_of(key)] = (key, value)
    return merged | own, again


def items_of(root: Node, key: str) -> list[Node]:
    """The items of the list that the mapping *root* has under *key*; [] for anything else."""
    found = entries(root)[0].get(key) if isinstance(root, MappingNode) else None
    return list(found[1].value) if found and isinstance(found[1], SequenceNode) else []


def scalar_of(node: Node, key: str) -> ScalarNode | None:
    """What the mapping *node* has under *key*, if that is neither a list nor a mapping."""
    found = entries(node)[0].get(key) if isinstance(node, MappingNode) else None
    return found[1] if found and isinstance(found[1], ScalarNode) else None


def name_of(key: Node) -> str:
    """A key's text as it was written; what is no text is named by its shape, which no key of ours has."""
    return str(key.value) if isinstance(key, ScalarNode) else written(key)


def value_of(node: Node) -> Any:
    """
    What *node* is in Python. A date stays the text that was written, and a list or mapping is followed.

    Raises:
        ConstructorError: It has a tag that is not YAML's own.
    """
    if isinstance(node, MappingNode):
        return {key: value_of(value) for key, (_, value) in entries(node)[0].items()}
    if isinstance(node, SequenceNode):
        return [value_of(item) for item in node.value]
    kind = node.tag.removeprefix(_CORE)
    if kind in {"str", "timestamp", "value"}:
        return str(node.value)
    if kind not in {"null", "bool", "int", "float"}:
        raise ConstructorError(None, None, f"the tag {node.tag} means nothing here", node.start_mark)
    return SafeConstructor().construct_object(node)


def written(node: Node) -> str:
    """*node* as a message can name it; not with a password in it."""
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, SequenceNode):
        return "a list"
    text = _PASSWORD.sub("***", str(node.value))
    text = text if len(text) <= 60 else f"{text[:60]}…"
    kinds = {"bool": "the boolean", "int": "the number", "float": "the number"}
    kind = node.tag.removeprefix(_CORE)
    if kind == "null":
        return "nothing"
    return f"{kinds[kind]} {text}" if kind in kinds else f'"{text}"'.replace("\n", "\\n")


def _children(node: Node) -> Iterator[Node]:
    if isinstance(node, MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, SequenceNode):
        yield from node.value


def _check_depth(text: bytes | str, source: str) -> None:
    """
    Refuse what is nested so deeply that composing it would overrun the C stack, which no `except` survives.

    Whatever opens a level costs one of a few characters, so that a file with few of them needs no second look.
    """
    openings: Iterable[Any] = _OPENING if isinstance(text, str) else map(str.encode, _OPENING)
    if sum(map(text.count, openings)) < _SAFE_DEPTH:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > _SAFE_DEPTH:
            raise ConfigError(f"{source}:{line_of(event)}: this is nested too deeply")


def _measure(root: Node, source: str) -> None:
    """Refuse what would be too deep or too large with its aliases unfolded."""
    sizes: dict[int, int] = {}

    def size(node: Node, depth: int) -> int:
        if depth > _DEEPEST:
            raise ConfigError(f"{source}:{line_of(node)}: this is nested too deeply, or contains itself")
        if isinstance(node, ScalarNode):
            return 1
        if id(node) not in sizes:
            sizes[id(node)] = 1 + sum(size(child, depth + 1) for child in _children(node))
        return sizes[id(node)]

    if size(root, 0) > _LARGEST:
        raise ConfigError(f"{source} says more than {_LARGEST:,} things, which is no configuration")


def _where(error: Exception, text: bytes | str) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        return int(mark.line) + 1
    position = getattr(error, "position", getattr(error, "start", 0)) or 0
    return text[:position].count("\n" if isinstance(text, str) else b"\n") + 1  # type: ignore[arg-type]


def _what(error: Exception) -> str:
    """What the parser says, without the marks that it prints below."""
    if isinstance(error, UnicodeDecodeError | yaml.reader.ReaderError):
        return f"this is not text in UTF-8 ({error.reason})"
    said = getattr(error, "problem", None) or str(error).partition("\n")[0]
    context = getattr(error, "context", None)
    return f"not YAML: {said} ({context})" if context else f"not YAML: {said}"
