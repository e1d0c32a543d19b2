"""
How long to wait before a request is sent again. Nothing that a header says makes this fail.

GitHub's rules: `Retry-After` first; else, where nothing remains, until the limit is reset; else a minute.
Times are those of GitHub's clock where it tells its own, since a runner's may be wrong.
"""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from mlops_ci.github.answers import Answer

TRANSIENT = frozenset({500, 502, 503, 504})
_SECONDARY_S = 60.0
_FIRST_S, _LONGEST_S = 0.5, 8.0
_WORDS = ("rate limit", "abuse detection", "please retry your request again later")


def limited(answer: Answer) -> bool:
    """Whether GitHub says "later", and not "no"."""
    if answer.status != 403:
        return answer.status == 429
    said = answer.message.lower()
    headers = answer.headers
    return (
        "retry-after" in headers
        or headers.get("x-ratelimit-remaining", "").strip() == "0"
        or any(words in said for words in _WORDS)
    )


def wait_s(answer: Answer) -> float | None:
    """How many seconds GitHub asks us to wait; None where it does not say."""
    now = clock(answer.headers)
    asked = answer.headers.get("retry-after", "").strip()
    seconds = _number(asked)
    if seconds is None and (date := _date(asked)) is not None:
        seconds = date - now
    if seconds is None and limited(answer):
        reset = _number(answer.headers.get("x-ratelimit-reset", ""))
        spent = answer.headers.get("x-ratelimit-remaining", "").strip() == "0"
        # A second more, since nobody knows when in its second the limit ends.
        seconds = reset - now + 1 if spent and reset is not None else _SECONDARY_S
    return None if seconds is None else max(seconds, 0.0)


def backoff_s(attempt: int) -> float:
    """Half a second, doubled with each *attempt* (from 1), at most 8; the half of it by chance."""
    delay = min(_FIRST_S * 2.0 ** (attempt - 1), _LONGEST_S)
    return delay * (1 + random.random()) / 2  # noqa: S311  # it spreads requests and hides nothing


def until(answer: Answer, seconds: float) -> str:
    """When *seconds* after *answer* are over: "2026-11-21 13:40 UTC"."""
    try:
        return datetime.fromtimestamp(clock(answer.headers) + seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return "a time that no calendar has"


def clock(headers: Mapping[str, str]) -> float:
    """Seconds since 1970 by GitHub's clock, or by ours."""
    date = _date(headers.get("date", ""))
    return time.time() if date is None else date


def _number(text: str) -> float | None:
    text = text.strip()
    return float(text) if text.isascii() and text.isdecimal() else None


def _date(text: str) -> float | None:
    try:
        return float(parsedate_to_datetime(text).timestamp())
    except (ValueError, TypeError, IndexError, OverflowError, OSError):
        return None
