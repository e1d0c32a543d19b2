"""
Writes a few values into a YAML file and leaves every other byte as it was: comments, order, quotes, style.

Knows where things stand from the parser's events. Each way to write a value is tried and read back, and the first that
changes exactly what was meant is taken; what cannot be written so is left to a person.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml
from yaml.constructor import ConstructorError
from yaml.events import CollectionEndEvent, CollectionStartEvent, MappingStartEvent, NodeEvent, ScalarEvent

from mlops_ci.config.nodes import compose, value_of
from mlops_ci.errors import ConfigError, UsageError

_STEP = "  "


@dataclass
class _Part:
    """What stands from *start* to *end*; a mapping's *parts* are keys and values in turn."""

    event: NodeEvent
    start: int
    end: int
    parts: list[_Part] = field(default_factory=list)

    @property
    def mapping(self) -> bool:
        return isinstance(self.event, MappingStartEvent)

    @property
    def flow(self) -> bool:
        return bool(getattr(self.event, "flow_style", False))

    def under(self, key: str) -> _Part | None:
        pairs = zip(self.parts[::2], self.parts[1::2], strict=True)
        return next((value for name, value in pairs if getattr(name.event, "value", None) == key), None)

    def last_end(self) -> int:
        """Where its last character is; the end of a block is only where the next thing begins."""
        return self.end if self.flow or not self.parts else self.parts[-1].last_end()


def set_values(text: str, section: str, values: Mapping[str, int]) -> str:
    """
    Return *text* with *values* in its top-level mapping *section*, which is made if it is not there.

    Args:
        text: One YAML document, a mapping.
        section: Its key.
        values: What is to stand there; the same text comes back if it does already.

    Raises:
        ConfigError: *text* is not YAML.
        UsageError: It cannot be done without changing anything else; the hint is what to write by hand.
    """
    wanted = _meaning(text)
    refusal = UsageError(
        f"`{section}:` cannot be written without changing anything else", hint=by_hand(section, values)
    )
    if not isinstance(wanted, dict) or not isinstance(wanted.get(section, {}), dict):
        raise refusal
    for key, value in values.items():
        wanted = {**wanted, section: {**wanted.get(section, {}), key: value}}
        if wanted == _meaning(text):
            continue
        text = next((edited for edited in _edits(text, section, key, value) if _says(edited, wanted)), "")
        if not text:
            raise refusal
    return text


def by_hand(section: str, values: Mapping[str, int]) -> str:
    """What to tell a person who has to write *values* into *section*."""
    return f"write it by hand: {section}: {{{', '.join(f'{key}: {value}' for key, value in values.items())}}}"


def _meaning(text: str) -> Any:
    try:
        return value_of(compose(text, "the file"))
    except ConstructorError as error:
        raise ConfigError(f"the file: {error.problem}") from error


def _says(text: str, wanted: Any) -> bool:
    try:
        # As text, so that 1 is not taken for true, nor 1 for 1.0.
        return repr(_ordered(_meaning(text))) == repr(_ordered(wanted))
    except ConfigError:
        return False


def _ordered(value: Any) -> Any:
    if isinstance(value, dict):
        return sorted((key, _ordered(item)) for key, item in value.items())
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def _edits(text: str, section: str, key: str, value: int) -> Iterator[str]:
    """The ways to write it, the most natural one first; some of them may be wrong."""
    root = _parts(text)
    if root is None or not root.mapping:
        return
    found = root.under(section)
    if found is None and root.flow:
        yield from _into_flow(text, root, f"{section}: {{{key}: {value}}}")
    elif found is None:
        yield from _into_block(text, root, [f"{section}:", f"{_STEP}{key}: {value}"])
    elif found.mapping:
        old = found.under(key)
        if old is None:
            way = _into_flow(text, found, f"{key}: {value}") if found.flow else None
            yield from way or _into_block(text, found, [f"{key}: {value}"])
        elif isinstance(old.event, ScalarEvent):
            yield f"{text[: old.start]}{value}{text[old.end :]}"


def _into_flow(text: str, mapping: _Part, entry: str) -> Iterator[str]:
    """Behind the last entry, or before the first."""
    if mapping.parts:
        end = mapping.parts[-1].last_end()
        yield f"{text[:end]}, {entry}{text[end:]}"
    brace = text.index("{", mapping.start) + 1
    yield f"{text[:brace]}{entry}{', ' if mapping.parts else ''}{text[brace:]}"


def _into_block(text: str, mapping: _Part, lines: list[str]) -> Iterator[str]:
    """Below the last entry, before the first, or at the end of it all."""
    newline = "\r\n" if "\r\n" in text else "\n"
    first = mapping.parts[0].start
    indent = " " * len(text[text.rfind("\n", 0, first) + 1 : first].removeprefix("\ufeff"))
    written = newline.join(f"{indent}{line}" for line in lines)
    end = mapping.last_end()
    if not text[:end].endswith("\n"):  # as after a text in lines
        end = text.find("\n", end) + 1
    if end:
        yield f"{text[:end]}{written}{newline}{text[end:]}"
    else:
        yield f"{text}{newline}{written}"
    yield f"{text[:first]}{written.removeprefix(indent)}{newline}{indent}{text[first:]}"
    yield f"{text}{'' if text.endswith(newline) else newline}{written}{newline}"


def _parts(text: str) -> _Part | None:
    """The root of the document, with the places of everything in it."""
    stack: list[_Part] = []
    # The parser in Python: its marks count characters of the text.
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, CollectionEndEvent):
            done = stack.pop()
            done.end = _index(event.end_mark)
            if not stack:
                return done
        elif isinstance(event, NodeEvent):
            part = _Part(event, _index(event.start_mark), _index(event.end_mark))
            if stack:
                stack[-1].parts.append(part)
            if isinstance(event, CollectionStartEvent):
                stack.append(part)
            elif not stack:
                return part
    return None


def _index(mark: Any) -> int:
    return int(mark.index)
