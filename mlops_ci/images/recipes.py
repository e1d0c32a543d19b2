"""What can be read from a recipe: its bases, and where the part begins that differs with every version."""

from __future__ import annotations

import re

_FROM = re.compile(r"^FROM +(?:--\S+ +)*(\S+)(?: +AS +(\S+))? *$", re.IGNORECASE | re.MULTILINE)
_COPY = re.compile(r"^(?:COPY|ADD)\s+(.+)$", re.IGNORECASE | re.MULTILINE)


def bases(recipe: str) -> list[str]:
    """The images that *recipe* begins with, each once; a stage that another one begins with is none."""
    stages = {found[2] for found in _FROM.finditer(recipe) if found[2]}
    return list(dict.fromkeys(found[1] for found in _FROM.finditer(recipe) if found[1] not in stages))


def parts(recipe: str) -> tuple[str, str] | None:
    """
    *recipe* without its last stage, and the instructions of that.

    What the first part gives is the same for every version that has the same lock. None if it is not so: the last
    stage does not add to the one before alone, or those before copy something else than the lock.
    """
    found = list(_FROM.finditer(recipe))
    if len(found) < 2 or found[-1][1] != found[-2][2]:
        return None
    shared, own = recipe[: found[-1].start()], recipe[found[-1].end() :]
    copied = [line for line in _COPY.findall(shared) if "--from=" not in line]
    others = [line for line in copied if not line.startswith("requirements.lock ")]
    return None if others or "--from=" in own or "--mount=" in own else (shared, own)


def platform(recipe: str) -> str:
    """The platform that *recipe* is for, as "linux/arm64"; "" if it is the builder's own."""
    found = re.search(r"^FROM\s+--platform=(\S+)", recipe, re.IGNORECASE | re.MULTILINE)
    return found[1] if found else ""
