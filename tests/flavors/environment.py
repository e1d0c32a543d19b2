"""
Environments with the heavy frameworks, one for each that does not go with another, and tests that run in them.

They are made once, in the folder that MLOPS_TEST_CACHE names or in `.venv/flavors`, and used until the pins change.
pip installs, and not uv: on Linux PyTorch's plain requirement is a CUDA build of several GB unless a CPU wheel is
found beside the index, which pip's own settings can say.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TORCH = ["numpy==2.4.6", "safetensors==0.8.0", "tokenizers==0.23.3", "torch==2.13.0", "transformers==5.23.0"]
REQUIREMENTS = {
    "torch": TORCH,
    "tensorflow": ["keras==3.15.1", "numpy==2.4.6", "tensorflow-cpu==2.21.0"],
    "spacy": ["numpy==2.4.6", "spacy==3.8.18"],
    "mlflow": ["mlflow-skinny==3.17.2", "numpy==2.4.6", "pandas==3.1.1", "scikit-learn==1.9.1"],
}
# The environment of each flavor.
FLAVORS = {
    "pytorch": "torch",
    "tensorflow": "tensorflow",
    "transformers": "torch",
    "spacy": "spacy",
    "mlflow": "mlflow",
}
_QUIET = {"mlflow": ["-W", "ignore::UserWarning"]}  # its import warns of its own type hints
_SECONDS = 1800
_CACHE = Path(os.environ.get("MLOPS_TEST_CACHE") or ROOT / ".venv" / "flavors")  # tests forget the variable


def python(name: str) -> Path:
    """Return the interpreter of the environment *name*, which is made if it is not there as it should be."""
    folder = _CACHE / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    found = folder / "bin" / "python"
    state = "\n".join([sys.version, *REQUIREMENTS[name], "pytest"])
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two workers may want it at once
        installed = folder / "installed.txt"
        if not installed.is_file() or installed.read_text(encoding="utf-8") != state:
            _call(sys.executable, "-m", "venv", "--clear", folder)
            _call(
                found, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "pytest", *REQUIREMENTS[name]
            )
            installed.write_text(state, encoding="utf-8")
    return found


def test(flavor: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of *flavor* where its framework is, and return how that ended."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "VIRTUAL_ENV"))}
    environment["MLOPS_TEST_FLAVOR"] = flavor
    here = Path(__file__).parent
    command = [python(FLAVORS[flavor]), "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--confcutdir={here}"]
    return subprocess.run(
        [*command, *_QUIET.get(flavor, []), *here.glob(f"test_{flavor}*.py")],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )


def _call(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))} failed:\n{done.stdout}{done.stderr}")
