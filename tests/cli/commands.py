"""
Our command in a process of its own: forked from one that has everything imported, or, with `MLOPS_TEST_PROCESSES=fresh`
as `./dev test --full` sets it, started anew as people do.

Importing takes four times as long as most commands do.
"""

from __future__ import annotations

import io
import multiprocessing
import os
import pkgutil
import runpy
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext
from pathlib import Path

import mlops_ci

# Read before a test's surroundings are cleared of it.
_FRESH = os.environ.get("MLOPS_TEST_PROCESSES") == "fresh"
# What the interpreter reads when it starts, and what other processes are asked for by.
_READ_AT_START = ("PYTHON", "LC_", "LANG", "TZ")
_NEVER_IMPORTED = ("__main__", "probe")
_ALSO = ("github", "rich.console", "rich.table", "sqlalchemy.dialects.sqlite")


def run_command(words: Sequence[str], folder: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run `mlops-ci` with *words* in *folder*, with nothing to read."""
    if _FRESH or _at_start(env) != _at_start(os.environ):
        command = [sys.executable, "-m", "mlops_ci", *words]
        return subprocess.run(
            command, cwd=folder, env=env, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
        )
    with tempfile.TemporaryDirectory() as place:
        said = [Path(place, name) for name in ("out", "err")]
        process = _server().Process(target=_command, args=(list(words), folder, dict(env), said))
        process.start()
        process.join()
        out, err = (path.read_text("utf-8") if path.exists() else "" for path in said)
    return subprocess.CompletedProcess(list(words), process.exitcode or 0, out, err)


@cache
def _server() -> ForkServerContext:
    """What forks; its process begins with the first command, and ends with this one."""
    context = multiprocessing.get_context("forkserver")
    ours = [module.name for module in pkgutil.walk_packages(mlops_ci.__path__, "mlops_ci.")]
    wanted = [name for name in ours if not name.endswith(_NEVER_IMPORTED) and "_bundled" not in name]
    context.set_forkserver_preload([*wanted, *_ALSO, __name__])
    return context


def _command(words: list[str], folder: Path, env: dict[str, str], said: list[Path]) -> None:
    """Become the command: its folder, its environment, its streams."""
    for number, path in ((0, Path(os.devnull)), *enumerate(said, start=1)):
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(file, number)
        os.close(file)
    sys.stdin = io.TextIOWrapper(io.FileIO(0, closefd=False), "utf-8")
    sys.stdout = io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), "utf-8")
    sys.stderr = io.TextIOWrapper(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(folder)
    sys.path[0] = str(folder)
    sys.argv = ["mlops-ci", *words]
    runpy.run_module("mlops_ci", run_name="__main__", alter_sys=True)


def _at_start(env: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in env.items() if name.startswith(_READ_AT_START)}
