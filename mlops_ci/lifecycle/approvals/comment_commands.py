"""
What a comment orders: `/approve`, `/reject` or `/waive` on its first line, and nothing else anywhere.

Who wrote it, and whether they may, is the business of others.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Verb = Literal["approve", "reject", "waive"]

_ORDER = re.compile(r"/(mlops[ \t]+)?(approve|reject|waive)(?:[ \t]+([^\n]*))?")
_DIGEST = re.compile(r"(?:sha256:)?([0-9a-fA-F]{8,64})(?:[ \t]+([^\n]*))?")
_LONGEST_REASON = 500


@dataclass(frozen=True)
class Command:
    """
    One order.

    Attributes:
        prefix: Of `/approve` and `/reject`: the first digits of the plan's digest, at least 8, in lower case.
        rest: The reason of `/reject`; all that follows `/waive`.
        fault: Why it cannot be followed, in a sentence; else "".
    """

    verb: Verb
    prefix: str = ""
    rest: str = ""
    fault: str = ""


def command_of(body: str) -> Command | None:
    """
    Return what the comment *body* orders; None for every other comment.

    The first line counts, and it must begin with the command: a quotation, a code block and the middle of a text
    order nothing. Other tools know `/approve` too, so that without a digest it is ours only after `/mlops`.
    """
    line = body.partition("\n")[0].rstrip(" \t\r")
    order = _ORDER.fullmatch(line)
    if order is None:
        return None
    ours, rest = bool(order[1]), (order[3] or "").strip(" \t")
    verb: Verb = order[2]  # type: ignore[assignment]  # the pattern has no other
    if verb == "waive":
        return Command("waive", rest=rest)
    digest = _DIGEST.fullmatch(rest)
    if digest is None:
        fault = f"write `/{verb}` and at least 8 digits of the plan's digest"
        return Command(verb, fault=fault) if ours else None
    prefix, reason = digest[1].lower(), (digest[2] or "").strip(" \t")
    if verb == "approve":
        fault = "nothing may follow the digest: an approval has no conditions" if reason else ""
        return Command(verb, prefix, fault=fault)
    fault = "" if reason else "a rejection says why: write the reason behind the digest"
    return Command(verb, prefix, reason[:_LONGEST_REASON], fault)
