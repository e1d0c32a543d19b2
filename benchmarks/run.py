"""
The figures that the README quotes, each against a peer, interleaved in one run.

`./dev bench` runs the short ones (seven minutes or so), `./dev bench --full` all, `./dev bench NAME …` those that are
named. Every figure is of this machine: quote the line that is printed first with it, and medians and ratios alone.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks import commands, deploying, images, pull_request, serving, step, stores, writers
from benchmarks.repositories import BIN

SHORT = {
    "start": commands.start,
    "log": commands.log,
    "gate": commands.gate,
    "step": step.step,
    "run": stores.run,
    "points": stores.points,
    "best": stores.best,
    "serving": serving.serving,
    "render": deploying.render,
}
LONG = {
    "million": stores.million,
    "hundred-thousand": stores.hundred_thousand,
    "pull-request": pull_request.pull_request,
    "writers": writers.writers,
    "serving-long": serving.serving_long,
    "image": images.image,
    "deploy": deploying.deploy,
}


def main(arguments: list[str]) -> None:
    """Run the benchmarks that are asked for; each prints its tables."""
    every = {**SHORT, **LONG}
    names = [argument for argument in arguments if argument != "--full"]
    if unknown := [name for name in names if name not in every]:
        raise SystemExit(f"no benchmark {unknown[0]!r}; there are {', '.join(every)}, and --full for all")
    if shutil.which("mlflow", path=str(BIN)) is None:
        raise SystemExit("mlflow is not installed beside this Python: `./dev bench` installs it")
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {cpu_name()}")
    print(f"mlops-ci {version('mlops-ci')}, mlflow {version('mlflow')}, SQLAlchemy {version('sqlalchemy')}")
    for name in names or (every if "--full" in arguments else SHORT):
        print(flush=True)
        with tempfile.TemporaryDirectory() as folder:
            every[name](Path(folder))


def cpu_name() -> str:
    """The processor, where the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main(sys.argv[1:])
