"""
Prints, as JSON, the interpreter that runs it and the packages that it sees.

Runs in the interpreter of the training, whatever its age: the standard library alone, and nothing of ours.
"""

from __future__ import annotations

import os
import sys

# The folder of this script, whose `secrets.py` would hide the standard library's.
if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):  # noqa: PTH100, PTH120
    del sys.path[0]

import json
import platform
import re

# Reading names takes a tenth of the time that reading every package's metadata takes.
_DIST_INFO = re.compile(r"(?P<name>[^-]+)-(?P<version>[^-]+)\.dist-info")


def main() -> None:
    """Print the environment."""
    environment = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages().items())),
    }
    json.dump(environment, sys.stdout)


def packages() -> dict[str, str]:
    """Name → version of what is installed on the path; of two, the first, which is the one that is imported."""
    found: dict[str, str] = {}
    for folder in dict.fromkeys(sys.path):
        for name, version in sorted(packages_in(folder or ".")):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return found


def packages_in(folder: str) -> list[tuple[str, str]]:
    """Name and version of what is installed in one folder of the path."""
    try:
        entries = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
    matches = [match for match in map(_DIST_INFO.fullmatch, entries) if match]
    found = [(match.group("name"), match.group("version")) for match in matches]
    if any(entry.endswith((".egg-info", ".egg")) for entry in entries):
        from importlib import metadata  # noqa: PLC0415  # seldom needed, and slow to import

        distributions = metadata.distributions(path=[folder])
        found += [(item.metadata["Name"], item.version) for item in distributions if item.metadata["Name"]]
    return found


if __name__ == "__main__":
    main()
