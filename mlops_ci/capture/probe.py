"""
Prints, as JSON, the interpreter that runs it and the packages that it sees.

Runs in the interpreter of the training, whatever its age: the standard library alone, and nothing of ours.
"""

import os
import sys

# The folder of this script, whose `secrets.py` would hide the standard library's.
if sys.path and os.path.abspath(sys.path[0]) == os.path.dirname(os.path.abspath(__file__)):  # noqa: PTH100, PTH120
    del sys.path[0]

import json
import platform
import re
from importlib import metadata


def main() -> None:
    """Print the environment."""
    packages = {}  # type: dict[str, str]
    for distribution in metadata.distributions():
        name = distribution.metadata["Name"]
        if name:  # the first on the path is the one that is imported
            packages.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    environment = {
        "python": platform.python_version(),
        "implementation": platform.python_implementation(),
        "platform": platform.platform(),
        "packages": dict(sorted(packages.items())),
    }
    json.dump(environment, sys.stdout)


if __name__ == "__main__":
    main()
