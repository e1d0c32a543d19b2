"""
Values as literals of another language: YAML, JSON, Python, shell, Dockerfile and their like.

What comes out is one line, and the language's own reader gives the value back. A value that a language
cannot hold is refused rather than bent.
"""

from __future__ import annotations

import json
import keyword
import math
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from mlops_ci.errors import ConfigError

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_NOT_IN_YAML = re.compile(r'["\\\x00-\x1f\x7f-\xa0\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]')
_REQUIREMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\s*(\[[A-Za-z0-9._, -]*\])?\s*([@(<>=!~;][ -~]*)?")
_WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._:/@+-]*")
_PY_KINDS = {
    "boolean": "Boolean",
    "integer": "Integer",
    "null": "None",
    "number": "Number",
    "object": "dict[str, Any]",
    "string": "Text",
}
_PY_RANGE = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
}
_PY_BOUNDS = {
    "array": {"minItems": "min_length", "maxItems": "max_length"},
    "integer": _PY_RANGE,
    "number": _PY_RANGE,
    "string": {"minLength": "min_length", "maxLength": "max_length", "pattern": "pattern"},
}
_LONG_KEY = 500  # YAML 1.1 reads a key without `?` only up to 1024 characters; an escape takes up to ten


def yaml(value: Any) -> str:
    """A YAML flow value: double-quoted strings, and lists and maps on one line."""
    return _flow(value, _yaml_string, _yaml_float, _yaml_key)


def json_text(value: Any) -> str:
    """JSON on one line. Non-finite numbers are refused, since JSON has no word for them."""
    return _flow(value, json.dumps, _json_float, lambda key: json.dumps(key) + ": ")


def py(value: Any) -> str:
    """A Python literal."""
    return _flow(value, _py_string, _py_float, lambda key: f"{_py_string(key)}: ", ("None", "True", "False"))


def py_name(value: Any) -> str:
    """A Python name, written bare."""
    text = _text(value)
    if not text.isidentifier() or keyword.iskeyword(text):
        raise ConfigError(f"{text!r} is not a Python name")
    return text


def py_type(schema: Any) -> str:
    """
    The annotation of a value that JSON Schema *schema* describes, in the names of `serving/kinds.py`.

    What it has no word for is `Any`: the model's own check is then the only one.
    """
    if not isinstance(schema, Mapping):
        return "Any"
    kinds = schema.get("type", [])
    choices = schema.get("enum")
    if choices and all(choice is None or isinstance(choice, str | int) for choice in choices):
        return f"Literal[{', '.join(map(py, choices))}]"
    names = [_py_kind(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)]
    found = " | ".join(dict.fromkeys(names)) if names and "Any" not in names else "Any"
    return f"Annotated[{found}, OneOf({py(choices)})]" if choices else found


def _py_kind(kind: str, schema: Mapping[str, Any]) -> str:
    name = f"list[{py_type(schema.get('items', {}))}]" if kind == "array" else _PY_KINDS.get(kind, "Any")
    bounds = [
        f"{ours}={py(value)}"
        for theirs, ours in _PY_BOUNDS.get(kind, {}).items()
        if theirs in schema and (value := _bound(kind, theirs, schema[theirs])) is not None
    ]
    return f"Annotated[{name}, Field({', '.join(bounds)})]" if bounds and name != "Any" else name


def _bound(kind: str, name: str, value: Any) -> Any:
    """A bound as Python has it; None for what is none."""
    if name == "pattern":
        return value if isinstance(value, str) else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if kind == "number":
        return value
    if name in {"maximum", "exclusiveMinimum"}:
        return math.floor(value)
    return math.ceil(value) if float(value).is_integer() or name in {"minimum", "exclusiveMaximum"} else None


def sh(value: Any) -> str:
    """One word of a shell line."""
    return shlex.quote(_line(value, "a shell line"))


def env(value: Any) -> str:
    """The right side of a line of an env file, which is taken as it stands."""
    return _line(value, "an env file")


def dockerfile(value: Any) -> str:
    """The double-quoted value of a `LABEL` or `ENV`; nothing in it is expanded."""
    text = _line(value, "a Dockerfile")
    return '"' + re.sub(r'(["\\$])', r"\\\1", text) + '"'


def comment(value: Any) -> str:
    """Text after `#`: what would end the line, or is not printable, becomes a space."""
    return _CONTROL.sub(" ", _text(value))


def word(value: Any) -> str:
    """A bare word where the language knows no quotes: an image, a platform, a port."""
    text = _text(value)
    if not _WORD.fullmatch(text):
        raise ConfigError(f"{text!r} is not one plain word")
    return text


def requirement(value: Any) -> str:
    """A line of a requirements file: a package, and never an option that would change where it comes from."""
    text = _line(value, "a requirements file").strip()
    if not _REQUIREMENT.fullmatch(text) or " -" in text.replace(" --hash=", ""):
        raise ConfigError(f"{text!r} is not a requirement", hint="write it as `name==version`")
    return text


def _flow(
    value: Any,
    string: Callable[[str], str],
    number: Callable[[float], str],
    key: Callable[[str], str],
    words: tuple[str, str, str] = ("null", "true", "false"),
) -> str:
    """Write *value* in the form that JSON, YAML and Python share; they differ in what is passed."""
    if value is None or isinstance(value, bool):
        return words[0] if value is None else words[1] if value else words[2]
    if isinstance(value, str):
        return string(str(value))
    if isinstance(value, int | float):
        return number(value) if isinstance(value, float) else str(int(value))
    if isinstance(value, Mapping):
        inside = (key(_text(name)) + _flow(item, string, number, key, words) for name, item in value.items())
        return "{" + ", ".join(inside) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_flow(item, string, number, key, words) for item in value) + "]"
    return string(_text(value))


def _text(value: Any) -> str:
    """*value* as text; an undefined name of a template raises here, by Jinja's own rule."""
    text = str(value)
    if not isinstance(value, str | int | float):
        raise ConfigError(f"a {type(value).__name__} has no literal")
    return text


def _line(value: Any, place: str) -> str:
    text = _text(value)
    if _CONTROL.search(text):
        raise ConfigError(f"{text!r} cannot be written in {place}: it holds a line break or a control character")
    return text


def _yaml_string(text: str) -> str:
    return '"' + _NOT_IN_YAML.sub(_yaml_escape, text) + '"'


def _yaml_escape(found: re.Match[str]) -> str:
    character = found[0]
    return "\\" + character if character in '"\\' else f"\\u{ord(character):04x}"


def _yaml_key(name: str) -> str:
    return ("? " if len(name) > _LONG_KEY else "") + _yaml_string(name) + ": "


def _yaml_float(number: float) -> str:
    if not math.isfinite(number):
        return ".nan" if math.isnan(number) else ".inf" if number > 0 else "-.inf"
    mantissa, exponent, power = repr(number).partition("e")
    # YAML 1.1 reads `1e-05` as a string: it wants the point, and the sign of the power.
    return (mantissa if "." in mantissa else mantissa + ".0") + exponent + power


def _json_float(number: float) -> str:
    if not math.isfinite(number):
        raise ConfigError(f"JSON cannot hold {number!r}")
    return repr(number)


def _py_string(text: str) -> str:
    plain = repr(text)
    return f'"{plain[1:-1]}"' if plain.startswith("'") and '"' not in plain and "\\'" not in plain else plain


def _py_float(number: float) -> str:
    return repr(number) if math.isfinite(number) else f'float("{number!r}")'
