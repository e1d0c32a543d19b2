"""
Templates and values become text: the one Jinja environment.

A template declares and Python decides: every value enters through a filter that quotes it for the
language of its file, and a name that nobody gave is an error. A repository may replace a template of
ours, or add one; since strangers write those, they run in Jinja's sandbox and cannot read outside
their folder. What is rendered, and whether it is right, is the business of other rooms.
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from mlops_ci import quoting
from mlops_ci.errors import ConfigError
from mlops_ci.providers import suggestion
from mlops_ci.resources import TEMPLATES

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

FILTERS: dict[str, Callable[[Any], str]] = {
    "comment": quoting.comment,
    "dockerfile": quoting.dockerfile,
    "env": quoting.env,
    "json": quoting.json_text,
    "py": quoting.py,
    "py_name": quoting.py_name,
    "py_type": quoting.py_type,
    "requirement": quoting.requirement,
    "sh": quoting.sh,
    "word": quoting.word,
    "yaml": quoting.yaml,
}
"""Every expression of a template ends in one of these."""

_SUFFIX = ".j2"
_UNDEFINED = re.compile(r"(?:^|attribute )'(?P<name>[^']+)'(?: is undefined)?$")


def render(template: str, values: Mapping[str, Any], overrides: Path | None = None) -> str:
    """
    Render one template.

    Args:
        template: Its path below `templates/`, as `service/service.py.j2`.
        values: What it may name.
        overrides: A folder in which the same path replaces ours.

    Raises:
        ConfigError: The template is absent or malformed, or names what *values* lacks.
    """
    environment = _environment(str(overrides) if overrides else "")
    try:
        return environment.get_template(template).render(values)
    except Exception as error:  # noqa: BLE001  # a template of the user's can fail in any way
        _fail(template, error, values)


def render_tree(folder: str, values: Mapping[str, Any], overrides: Path | None = None) -> dict[str, str]:
    """
    Render every template below *folder*, ours and the repository's own.

    Args:
        folder: A path below `templates/`, as `targets/kubernetes`.
        values: What the templates may name.
        overrides: A folder in which `<folder>/<path>` replaces ours, or adds to them.

    Returns:
        Text by path relative to *folder*, without `.j2`, sorted. A template that renders to nothing but
        space makes no file; nor does one whose name begins with "_", which others include.

    Raises:
        ConfigError: As `render`.
    """
    roots = [TEMPLATES] if overrides is None else [TEMPLATES, overrides]
    names = sorted({name for root in roots for name in _templates(root, folder)})
    texts = {name: render(f"{folder}/{name}", values, overrides) for name in names}
    return {name.removesuffix(_SUFFIX): text for name, text in texts.items() if text.strip()}


def _templates(root: Path, folder: str) -> Iterator[str]:
    base = root / folder
    for path in base.rglob("*" + _SUFFIX):
        if path.is_file() and not path.name.startswith("_"):
            yield path.relative_to(base).as_posix()


@cache
def _environment(overrides: str) -> SandboxedEnvironment:
    from jinja2 import FunctionLoader, StrictUndefined  # noqa: PLC0415  # costs time that most commands need not pay
    from jinja2.sandbox import ImmutableSandboxedEnvironment  # noqa: PLC0415  # as above

    roots = [Path(overrides), TEMPLATES] if overrides else [TEMPLATES]
    environment = ImmutableSandboxedEnvironment(
        loader=FunctionLoader(lambda name: _source(name, roots)),
        undefined=StrictUndefined,
        autoescape=False,  # the filters quote, each for its language; nothing here is HTML
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment


def _source(name: str, roots: list[Path]) -> tuple[str, str, Callable[[], bool]] | None:
    for root in roots:
        path = root / name
        if not name.endswith(_SUFFIX) or not path.is_file():
            continue
        # A link, or `../` in an include, must not draw a runner's secrets into what is published.
        if not path.resolve().is_relative_to(root.resolve()):
            raise ConfigError(f"template {name} leads out of {root.name}/")
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise ConfigError(f"template {name} is not UTF-8: {error.reason} at byte {error.start}") from error
        return text, str(path), partial(_is_still, name, roots, text)
    return None


def _is_still(name: str, roots: list[Path], text: str) -> bool:
    """Whether the template *name* need not be compiled again: neither did it change, nor did another take its place."""
    found = _source(name, roots)
    return found is not None and found[0] == text


def _fail(template: str, error: Exception, values: Mapping[str, Any]) -> NoReturn:
    """Say which template, which line, and what to write instead."""
    from jinja2 import TemplateNotFound, UndefinedError  # noqa: PLC0415  # as above

    if isinstance(error, TemplateNotFound):
        raise ConfigError(f"template {template}: there is no template {error.name}") from error
    place, line = _place(template, error)
    if isinstance(error, ConfigError) and line is None:
        raise error
    where = f"template {place}, line {line}" if line else f"template {place}"
    hint = ""
    if isinstance(error, UndefinedError) and (found := _UNDEFINED.search(str(error))):
        hint = suggestion(found["name"], sorted(_names(values)))
    message = str(error) or type(error).__name__
    raise ConfigError(f"{where}: {message.partition(chr(10))[0]}", hint=hint) from error


def _place(template: str, error: Exception) -> tuple[str, int | None]:
    """The innermost template of the traceback, which Jinja has rewritten to the template's own lines."""
    from jinja2 import TemplateSyntaxError  # noqa: PLC0415  # as above

    if isinstance(error, TemplateSyntaxError):
        return error.name or template, error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.endswith(_SUFFIX):
            inside = frame.filename.endswith(template)
            return (template if inside else Path(frame.filename).name), frame.lineno
    return template, None


def _names(values: Mapping[str, Any]) -> set[str]:
    """The names that a template can write: those given, and those one level below them."""
    below = (value for value in values.values() if isinstance(value, Mapping))
    return {str(name) for name in values} | {str(name) for value in below for name in value}
