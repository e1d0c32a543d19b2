"""
Secrets: what must not get into a record, known by its name or by its shape.

A net with a fine mesh for well-known tokens, and a coarse one for names. It stops accidents.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from mlops_ci.entities import Scalar

REDACTED = "[redacted]"

_SHAPES = re.compile(
    r"""(
      \b(?:AKIA|ASIA)[0-9A-Z]{16}\b                        # AWS
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,}  # GitHub
    | \bglpat-[\w-]{20,}                                   # GitLab
    | \bxox[abeprs]-[\w-]{10,}                             # Slack
    | \bsk-[\w-]{20,}                                      # OpenAI, Anthropic
    | \bhf_[A-Za-z0-9]{20,}                                # Hugging Face
    | \bAIza[\w-]{35}                                      # Google
    | \bpypi-[\w-]{20,}                                    # PyPI
    | \beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]*                 # JSON Web Token
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----[\s\S]*        # any key
    )""",
    re.VERBOSE,
)
_URL_PASSWORD = re.compile(r"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/:@]*:)[^\s/@]+(?=@)")
_OPTION = re.compile(
    r"(--?[\w-]*(?:password|passwd|passphrase|secret|token|api[_-]?key|access[_-]?key|credentials?)(?:=|\s+))(?!-)\S+",
    re.IGNORECASE,
)

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_ALWAYS = {"password", "passwd", "pwd", "passphrase", "secret", "secrets", "credential", "credentials", "apikey"}
_KEYS = {"api", "access", "private", "secret", "signing", "encryption", "account", "auth", "ssh", "storage"}
# "token" is a word of language models as well: pad_token, eos_token, ...
_TOKENS = {"access", "api", "auth", "bearer", "bot", "github", "gitlab", "hf", "refresh", "session", "wandb", "id"}


def redact(params: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """Return *params* with `[redacted]` for every value whose name or shape says that it is a secret."""
    return {name: _value(name, value) for name, value in params.items()}


def redact_text(text: str) -> str:
    """Return *text* without known tokens, passwords in URLs, and what follows an option like `--api-key`."""
    return _shapes(_OPTION.sub(rf"\1{REDACTED}", text))


def _value(name: str, value: Scalar) -> Scalar:
    if value is None or isinstance(value, bool) or value == "":
        return value
    if _secret_name(name, text=isinstance(value, str)):
        return REDACTED
    return _shapes(value) if isinstance(value, str) else value


def _shapes(text: str) -> str:
    return _URL_PASSWORD.sub(rf"\1{REDACTED}", _SHAPES.sub(REDACTED, text))


def _secret_name(name: str, *, text: bool) -> bool:
    """Whether the last words of *name* are those of a secret. A number is one only under the plainest names."""
    words = [word.lower() for word in _WORDS.findall(name)]
    last, before = (["", "", *words])[-1], (["", "", *words])[-2]
    if last in _ALWAYS:
        return True
    if last == "key":
        return text and before in _KEYS
    return text and last == "token" and (before in _TOKENS or len(words) == 1)
