"""Finds a member of a family by name, importing its module only when it is asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from mlops_ci.errors import ConfigError, MissingDependency


def load(family: str, providers: Mapping[str, str], name: str) -> Any:
    """
    Return what *name* stands for: a class (`"module:Class"`) or a module (`"module"`).

    Args:
        family: What is looked up, for the message: "artifact store", "target", ...
        providers: The family's dict.
        name: A key of *providers*.

    Raises:
        ConfigError: *name* is not among *providers*.
    """
    if name not in providers:
        raise ConfigError(f"unknown {family} {name!r}", hint=suggestion(name, providers))
    module, _, attribute = providers[name].partition(":")
    found = import_module(module)
    return getattr(found, attribute) if attribute else found


def suggestion(name: str, known: Mapping[str, Any] | list[str]) -> str:
    """Say what *name* may have meant, and what is known."""
    close = get_close_matches(name, list(known), n=1)
    guess = f"did you mean {close[0]!r}? " if close else ""
    return f"{guess}Known: {', '.join(sorted(known))}"


@contextmanager
def optional_extra(extra: str) -> Iterator[None]:
    """
    Guard the import of a package that only *extra* installs.

    Raises:
        MissingDependency: The package is absent; the hint names the extra.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingDependency(error.name or extra, extra=extra) from error
