"""Names that Kubernetes takes, made from names that people gave; different ones stay different."""

from __future__ import annotations

import hashlib
import re

_LENGTH = 63
_HASH_DIGITS = 10
# A name that looks as if it ended in our hash gets one too, or it could be taken for another's.
_PLAIN = re.compile(rf"(?!.*-[0-9a-f]{{{_HASH_DIGITS}}}$)[a-z]([a-z0-9-]*[a-z0-9])?")
_LABEL = re.compile(rf"(?!.*-[0-9a-f]{{{_HASH_DIGITS}}}$)[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def dns_name(name: str) -> str:
    """*name* as RFC 1035 wants it: at most 63 of a-z, 0-9 and "-", a letter first."""
    if len(name) <= _LENGTH and _PLAIN.fullmatch(name):
        return name
    stem = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    return _hashed(stem if stem[:1].isalpha() else f"m-{stem}".rstrip("-"), name)


def label_value(value: str) -> str:
    """*value* as the value of a label: at most 63 of letters, digits, "-", "_" and "."."""
    if not value or (len(value) <= _LENGTH and _LABEL.fullmatch(value)):
        return value
    stem = re.sub(r"[^A-Za-z0-9_.-]+", "-", value).strip("-_.")
    return _hashed(stem or "v", value)


def _hashed(stem: str, name: str) -> str:
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
    return f"{stem[: _LENGTH - _HASH_DIGITS - 1].rstrip('-_.')}-{digest}"
