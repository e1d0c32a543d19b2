"""
Makes the environment in which `action.yml` and the `Dockerfile` run mlops-ci.

Its packages are those of requirements.txt, each checked against its hashes; `mlops_ci` itself is the checkout that this
file belongs to, neither built nor copied. The user's own Python is asked to make the environment and stays as it was.
Parses on Python 3.6, which is `python3` on some machines, and looks for a newer one there.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
REQUIREMENTS = Path(__file__).resolve().with_name("requirements.txt")
NEWEST_FIRST = ("python3.14", "python3.13", "python3.12", "python3.11")
ADVICE = """Add this step before mlops-ci:
  - uses: actions/setup-python@v7
    with:
      python-version: "3.13"
or name another interpreter in the action's input `python`."""


class Failure(Exception):
    """A sentence that says what is wrong; the lines after it say what to do."""


def find_python(named: str) -> str:
    """
    Return an interpreter that is new enough: the one that is *named*, else the first of those a runner may have.

    Raises:
        Failure: There is none.
    """
    cache = Path(os.environ.get("RUNNER_TOOL_CACHE") or os.devnull)
    cached = sorted((str(path) for path in cache.glob("Python/3.1[1-9].*/*/bin/python3")), reverse=True)
    candidates = [named] if named else [sys.executable, *NEWEST_FIRST, "/usr/bin/python3", *cached]
    for candidate in candidates:
        if is_new_enough(candidate):
            return candidate
    found = repr(named) if named else "python3, which is {}.{}".format(*sys.version_info)
    raise Failure(f"mlops-ci needs Python 3.11 or newer, and finds only {found}.\n{ADVICE}")


def is_new_enough(python: str) -> bool:
    """Whether *python* starts, and is Python 3.11 or newer."""
    return succeeds(python, "-I", "-c", "import sys; sys.exit(sys.version_info < (3, 11))")


def make(python: str, folder: Path) -> Path:
    """
    Make the environment *folder* with *python* and return its interpreter; one that is there is used again.

    Raises:
        Failure: A package could not be had, or *python* cannot make environments.
    """
    interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    finished = folder / "finished"
    purpose = digest(python)
    if finished.exists() and finished.read_text(encoding="utf-8") == purpose:
        return interpreter
    shutil.rmtree(str(folder), ignore_errors=True)
    # Lending it the pip that is there takes a moment; a pip of its own takes four seconds.
    if succeeds(python, "-I", "-m", "pip", "--version"):
        run("no environment could be made", python, "-I", "-m", "venv", "--without-pip", str(folder))
        pip = [python, "-I", "-m", "pip", "--python", str(interpreter)]
    else:
        run("this Python cannot make environments", python, "-I", "-m", "venv", str(folder))
        pip = [str(interpreter), "-I", "-m", "pip"]
    # Compiling all of it takes longer than compiling, at their first import, the few modules that a command needs.
    options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:", "--no-compile"]
    run("a package could not be installed", *pip, "install", *options, "-r", str(REQUIREMENTS))
    lend(interpreter)
    finished.write_text(purpose, encoding="utf-8")
    return interpreter


def digest(python: str) -> str:
    """What an environment is made of; it is made again when that changes."""
    return hashlib.sha256(f"{python}\n{ROOT}\n".encode() + REQUIREMENTS.read_bytes()).hexdigest()


def lend(interpreter: Path) -> None:
    """Let *interpreter* import `mlops_ci` from this checkout, and know its version."""
    where = [str(interpreter), "-I", "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.check_output(where, universal_newlines=True).strip())
    version = re.findall(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))[0]
    about = packages / f"mlops_ci-{version}.dist-info"
    about.mkdir()
    about.joinpath("METADATA").write_text(f"Metadata-Version: 2.1\nName: mlops-ci\nVersion: {version}\n")
    # In the locale's encoding, in which Python reads it.
    packages.joinpath("mlops_ci.pth").write_text(f"{ROOT}\n")


def succeeds(*command: str) -> bool:
    """Whether *command* starts and ends well."""
    try:
        return subprocess.call(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) == 0
    except OSError:
        return False


def run(otherwise: str, *command: str) -> None:
    """
    Run a step; what it prints is for the log.

    Raises:
        Failure: It ended badly; *otherwise* is the sentence for that.
    """
    # `user = true` in pip's configuration would send packages past the environment.
    if subprocess.call(command, env=dict(os.environ, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1")) != 0:
        raise Failure(f"{otherwise}; the lines above say why.")


def main() -> None:
    """Make the environment, and tell the steps after this one which interpreter to use."""
    parser = argparse.ArgumentParser(description="Make an environment for mlops-ci.")
    parser.add_argument("folder", type=Path, help="where the environment shall be")
    parser.add_argument("--python", default="", help="the interpreter to make it with")
    options = parser.parse_args()
    try:
        interpreter = make(find_python(options.python), options.folder)
    except Failure as failure:
        message = f"mlops-ci: {failure}"
        if os.environ.get("GITHUB_ACTIONS"):
            message = "::error title=mlops-ci::" + str(failure).replace("%", "%25").replace("\n", "%0A")
        print(message)
        sys.exit(2)
    if os.environ.get("GITHUB_OUTPUT"):
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as outputs:
            outputs.write(f"python={interpreter}\n")


if __name__ == "__main__":
    main()
