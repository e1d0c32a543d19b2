"""
The figures that the README quotes, each against a peer, interleaved in one run.

`./dev bench` runs it. Every command is a whole process, timed by the operating system's own accounting of it and its
children; A and B take turns, so that a machine whose speed drifts slows both. Quote medians and ratios.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

BIN = Path(sys.executable).parent
MLOPS = str(BIN / "mlops-ci")


@dataclass(frozen=True)
class Sample:
    """One process: wall and CPU seconds (user and system, children included)."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True)
class Contender:
    """A command to time; *prepare* runs before each time and is not timed."""

    name: str
    command: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    prepare: Callable[[], object] = lambda: None


def main() -> None:
    """Run every benchmark and print a table each."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}, {cpu_name()}")
    print(f"mlops-ci {version('mlops-ci')}, mlflow {version('mlflow')}, SQLAlchemy {version('sqlalchemy')}\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start_up(folder)
        log_a_run(folder)
        gate_and_report(folder)


def start_up(folder: Path) -> None:
    """`--version`, as a whole process."""
    env = dict(os.environ)
    ours = Contender("mlops-ci --version", [MLOPS, "--version"], folder, env)
    floor = Contender("python -c pass", [sys.executable, "-c", "pass"], folder, env)
    peer = Contender("mlflow --version", [str(BIN / "mlflow"), "--version"], folder, env)
    found = interleave([ours, floor, peer], times=9)
    table("start", found)
    ratio("of python -c pass (at most 8)", found[ours.name], found[floor.name])
    ratio("faster than mlflow --version (at least 25)", found[peer.name], found[ours.name])


def log_a_run(folder: Path) -> None:
    """A run of 20 params and 20 metrics, as a whole process, on a store that exists."""
    work = repository(folder / "log", store="sqlite:///../log.db")
    (work / "log.py").write_text(OURS, "utf-8")
    (work / "log_mlflow.py").write_text(THEIRS, "utf-8")
    subprocess.run(["git", "add", "."], cwd=work, check=True)
    subprocess.run(["git", "commit", "-qm", "scripts"], cwd=work, check=True)
    env = environment()
    env["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    ours = Contender("mlops-ci run", [MLOPS, "-q", "run", "--", sys.executable, "log.py"], work, env)
    peer = Contender("mlflow client", [sys.executable, "log_mlflow.py"], work, env)
    for contender in (ours, peer):
        once(contender)  # the store exists afterwards
    found = interleave([ours, peer], times=7)
    table("log a run of 20 params and 20 metrics (SQLite, existing store, whole process)", found)
    ratio("faster than mlflow's client (at least 5)", found[peer.name], found[ours.name])


def gate_and_report(folder: Path) -> None:
    """`gate` and `report` on a warm clone, without training; the git ledger over a bare remote."""
    work = repository(folder / "gate", store="git")
    (work / "log.py").write_text(OURS, "utf-8")
    for message in ("baseline", "candidate"):
        subprocess.run(["git", "add", "."], cwd=work, check=True)
        subprocess.run(["git", "commit", "-q", "--allow-empty", "-m", message], cwd=work, check=True)
        subprocess.run(["git", "push", "-q", "origin", "HEAD:main"], cwd=work, check=True)
        once(Contender("", [MLOPS, "-q", "run"], work, environment()))
    line = f"{MLOPS} gate > gate.out; {MLOPS} report -o report.md"
    both = Contender("gate and report", ["sh", "-c", line], work, environment())
    one = Contender("gate", [MLOPS, "gate"], work, environment())
    once(both)
    found = interleave([both, one], times=9)
    table("gate and report on a warm clone (aim: at most 0.6 s of CPU)", found)


OURS = """
import mlops_ci as mlops
with mlops.start_run() as run:
    run.log_params({f"p{i}": i for i in range(20)})
    run.log_metrics({f"m{i}": i / 7 for i in range(20)})
"""

THEIRS = """
import mlflow
with mlflow.start_run():
    mlflow.log_params({f"p{i}": i for i in range(20)})
    mlflow.log_metrics({f"m{i}": i / 7 for i in range(20)})
"""


def repository(folder: Path, *, store: str) -> Path:
    """A clone of a bare remote, with a configuration."""
    folder.mkdir(parents=True)
    subprocess.run(["git", "init", "-q", "--bare", "--initial-branch=main", "origin.git"], cwd=folder, check=True)
    subprocess.run(["git", "clone", "-q", "origin.git", "work"], cwd=folder, check=True, stderr=subprocess.DEVNULL)
    work = folder / "work"
    for name, value in (("user.name", "benchmark"), ("user.email", "benchmark@example.com")):
        subprocess.run(["git", "config", name, value], cwd=work, check=True)
    config = f"project: bench\nstore: {store}\nrun: {{command: python log.py}}\n"
    config += "gates: [{metric: m3, min: 0, max_drop: 5%}]\n"
    (work / "mlops.yaml").write_text(config, "utf-8")
    (work / ".gitignore").write_text("*.out\nreport.md\n", "utf-8")
    return work


def environment() -> dict[str, str]:
    """Ours, with the environment's own `python` first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "MLOPS_"))}
    return {**kept, "PATH": f"{BIN}{os.pathsep}{kept.get('PATH', '')}"}


def interleave(contenders: Sequence[Contender], *, times: int) -> dict[str, list[Sample]]:
    """Time every contender *times* times, in turns, after one turn that does not count."""
    found: dict[str, list[Sample]] = {contender.name: [] for contender in contenders}
    for turn in range(times + 1):
        for contender in contenders:
            sample = once(contender)
            if turn:
                found[contender.name].append(sample)
    return found


def once(contender: Contender) -> Sample:
    """Run one command to its end."""
    contender.prepare()
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(contender.command, cwd=contender.cwd, env=contender.env, capture_output=True, check=False)
    wall_s, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{contender.command} ended with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return Sample(wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def table(title: str, found: Mapping[str, Sequence[Sample]]) -> None:
    """Print medians, with the smallest and largest."""
    print(title)
    for name, samples in found.items():
        wall = sorted(sample.wall_s for sample in samples)
        cpu = statistics.median(sample.cpu_s for sample in samples)
        print(f"  {name:<22} wall {statistics.median(wall):6.3f} s ({wall[0]:.3f} to {wall[-1]:.3f}), CPU {cpu:.3f} s")


def ratio(what: str, one: Sequence[Sample], other: Sequence[Sample]) -> None:
    """Print the median of the pairwise ratios of wall time."""
    pairs = [a.wall_s / b.wall_s for a, b in zip(one, other, strict=True)]
    print(f"  {statistics.median(pairs):.1f} × {what}")


def cpu_name() -> str:
    """The processor, where the system says."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    if shutil.which("mlflow", path=str(BIN)) is None:
        raise SystemExit("mlflow is not installed beside this Python: `./dev bench` installs it")
    main()
