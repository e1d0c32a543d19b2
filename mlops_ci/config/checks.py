"""What several keys must be together. Each check yields the key to blame and a sentence."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import date, time
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlops_ci.config.structs import ApprovalRule, Freeze, Registry, RunConfig
from mlops_ci.gates import Gate, direction_of

_TAG = re.compile(r"(?![-/.])(?!.*(\.\.|//|/\.|\.lock(/|$)|[./]$))[A-Za-z0-9._/@+-]+")


def of(section: Any) -> Iterator[tuple[str, str]]:
    """Yield what is wrong with *section*; the key is "" where none of them is to blame."""
    check = _CHECKS.get(type(section))
    return check(section) if check else iter(())


def of_order(names: Collection[str], after: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the target and a sentence where `after:` leads nowhere or in a circle; a circle is told once."""
    for name, before in after.items():
        if before not in names:
            yield name, f'found "{before}"; allowed: another target ({", ".join(names)})'
            continue
        way = [name]
        while way[-1] in after and len(way) <= len(after):
            way.append(after[way[-1]])
            if way[-1] == name:
                break
        if len(way) > 1 and way[-1] == name == min(way):
            yield name, f"goes in a circle: {' after '.join(way)}"


def _gate(gate: Gate) -> Iterator[tuple[str, str]]:
    if gate.min is None and gate.max is None and gate.max_drop is None and gate.max_increase is None:
        yield "", f"asks nothing of {gate.metric}; give it min, max, max_drop or max_increase"
    if gate.min is not None and gate.max is not None and gate.min > gate.max:
        yield "min", f"found {gate.min:g}, which is above max ({gate.max:g})"
    yield from _direction(gate)


def _direction(gate: Gate) -> Iterator[tuple[str, str]]:
    """A limit on improvement alone is a slip of the pen, and the gate would let every regression pass."""
    if gate.better is not None or (gate.max_drop is None) == (gate.max_increase is None):
        return
    rule, right, slip, other = (
        ("max_increase", "max_drop", "higher", "lower")
        if gate.max_drop is None
        else ("max_drop", "max_increase", "lower", "higher")
    )
    if direction_of(gate.metric) == slip:
        said = f"limits an improvement, since {gate.metric} is better when {slip}"
        yield rule, f"{said}; did you mean {right!r}? If not, say `better: {other}`"


def _run(run: RunConfig) -> Iterator[tuple[str, str]]:
    """A path that is none would match nothing, and nothing would ever be trained."""
    for path in run.paths:
        if any(sign in path for sign in "*?[") or path.startswith(("/", "../")) or "\\" in path:
            yield "paths", f'found "{path}"; allowed: files and folders of the repository, without patterns'


def _registry(registry: Registry) -> Iterator[tuple[str, str]]:
    example = registry.tag.replace("{model}", "m").replace("{version}", "1.0.0")
    if registry.tag.count("{version}") != 1:
        yield (
            "tag",
            f'found "{registry.tag}"; allowed: a git tag with one {{version}} in it, such as {{model}}@v{{version}}',
        )
    elif not _TAG.fullmatch(example):
        yield (
            "tag",
            f'found "{registry.tag}"; allowed: a git tag made of {{model}}, {{version}}, letters, digits and ._/@+-',
        )


def _approval(rule: ApprovalRule) -> Iterator[tuple[str, str]]:
    if rule.from_ and rule.required > len(set(rule.from_)):
        yield "required", f"found {rule.required}, and only {len(set(rule.from_))} may approve"


def _freeze(window: Freeze) -> Iterator[tuple[str, str]]:
    try:
        ZoneInfo(window.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        yield "timezone", f'found "{window.timezone}"; allowed: a name such as Europe/Berlin, or UTC'
    for key, text in (("from", window.from_), ("until", window.until)):
        if not window.days and not _is_day(text):
            yield key, f'found "{text}"; allowed without `days`: a date such as 2026-12-20'
        if window.days and text and not _is_time(text):
            yield key, f'found "{text}"; allowed with `days`: a time of day such as "16:00"'
    if not window.days and _is_day(window.from_) and _is_day(window.until) and window.until < window.from_:
        yield "until", f"found {window.until}, which is before {window.from_}"


def _is_day(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text))
    except ValueError:
        return False


def _is_time(text: str) -> bool:
    try:
        return time.fromisoformat(text) is not None
    except ValueError:
        return False


_CHECKS: dict[type, Callable[[Any], Iterator[tuple[str, str]]]] = {
    Freeze: _freeze,
    Gate: _gate,
    Registry: _registry,
    RunConfig: _run,
    ApprovalRule: _approval,
}
