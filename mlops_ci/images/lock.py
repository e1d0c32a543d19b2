"""
The hash lock: every package that a service needs, with the digests that its files may have.

uv resolves it, for the image's Python and platform and not for this machine's. Only wheels are locked: what has to be
built first would fetch its tools unlocked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

from mlops_ci import records
from mlops_ci.errors import ConfigError, MissingDependency
from mlops_ci.images import program
from mlops_ci.images.access import Access

_PLATFORMS = {"linux/amd64": "x86_64-manylinux_2_28", "linux/arm64": "aarch64-manylinux_2_28"}
_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==(?P<version>[^\s;\\]+)")
_WHEEL = re.compile(
    r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])? *@ *[^\s;]*/(?P<file>[^/\s;?#]+\.whl)(?=[\s;?#]|$)"
)
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_FRAGMENT = re.compile(r"#(?:\S*&)?sha256=([0-9a-f]{64})")


class Package(NamedTuple):
    """A line of a lock. *hashes* are SHA-256 in hexadecimal, one for each file that the index has of it."""

    name: str
    version: str
    hashes: list[str]


def inputs(requirements: str, *, python: str, platform: str) -> str:
    """The digest of what a lock is made of: one that was made of the same may be used again."""
    return records.digest([sorted(requirements.split("\n")), python, platform])


def make(requirements: str, *, python: str, platform: str, access: Access) -> str:
    """
    Resolve *requirements* and return the lock.

    Args:
        requirements: A requirements file.
        python: The image's Python, as "3.11".
        platform: The image's platform, as "linux/amd64".
        access: How the index is reached.

    Raises:
        MissingDependency: uv is not here.
        ConfigError: There is no solution, or no wheel, or the platform is not known.
        ServiceError: The index did not answer.
    """
    if platform not in _PLATFORMS:
        raise ConfigError(f"no lock can be made for {platform!r}", hint=f"known: {', '.join(_PLATFORMS)}")
    options = ["--generate-hashes", "--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    options += [
        "--only-binary",
        ":all:",
        "--python",
        sys.executable,
        "--python-version",
        python,
        "--python-platform",
        _PLATFORMS[platform],
    ]
    done = subprocess.run(
        [*_uv(), "pip", "compile", "--quiet", "--color", "never", "--no-progress", *options, "-"],
        input=requirements,
        env={**os.environ, **access.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise _failure(program.redacted(done.stderr, access.hidden))
    if re.search(r"://[^/\s]*@", done.stdout):
        raise ConfigError(
            "a requirement names an address with a password in it, which would stay in the image",
            hint="name the package, and let UV_DEFAULT_INDEX say where it comes from",
        )
    return done.stdout


def packages(lock: str) -> Iterator[Package]:
    """Yield what *lock* holds, in its order; the version of a wheel that is named by its address is in its name."""
    for line in lock.replace("\\\n", " ").splitlines():
        if found := _PIN.match(line):
            yield Package(found["name"], found["version"], _HASH.findall(line))
        elif found := _WHEEL.match(line):
            version = unquote(found["file"]).split("-")[1]
            yield Package(found["name"], version, _HASH.findall(line) or _FRAGMENT.findall(line))


def _uv() -> list[str]:
    """The command that starts uv: from PATH, beside this interpreter, or as a module."""
    beside = Path(sys.executable).with_name("uv")
    if found := shutil.which("uv"):
        return [found]
    if beside.is_file():
        return [str(beside)]
    if find_spec("uv") is None:
        raise MissingDependency("uv", extra="image")
    return [sys.executable, "-m", "uv"]


def _failure(said: str) -> Exception:
    if "No solution found" in said:
        why = " ".join(re.sub(r"^\s*[×╰├│─▶]*", "", line).strip() for line in said.splitlines())
        return ConfigError(
            f"the service's requirements cannot be locked: {why.strip()[:600]}",
            hint="a package without a wheel for the image has to be built, and put on an index, first",
        )
    return program.failure(said.splitlines(), "locking the service's requirements", said.strip()[-600:])
