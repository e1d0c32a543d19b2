"""
The interpreter that a service runs with: the one that is running now where that has every pinned library, else one
of an environment made for those pins, once.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from importlib import util
from pathlib import Path

from mlops_ci.errors import ConfigError, MlopsCIError, ServiceError, UsageError
from mlops_ci.lifecycle.serving.children import bound
from mlops_ci.lifecycle.serving.folders import Notify, made, writing

Tell = Callable[[str, int, int], None]

_PIN = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?\s*==\s*([^\s;#]+)\s*(?:;.*)?")
_OLDEST = (3, 11)
_LINES = 50
_OURS = {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV"}
# What an interpreter says of itself: its version, and that of each package in its arguments.
_PROBE = """
import json, sys
from importlib import metadata
def version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
print(json.dumps([list(sys.version_info[:2]), {name: version(name) for name in sys.argv[1:]}]))
"""
_CAUSES: list[tuple[str, type[MlopsCIError], str, str]] = [
    (
        r"no space left on device|disk quota exceeded",
        ServiceError,
        "there is no room on the disk",
        "make room, or set MLOPS_STATE_HOME to a folder that has some",
    ),
    (
        r"certificate|unknownissuer",
        ConfigError,
        "the package index has a certificate that is not trusted",
        "set SSL_CERT_FILE (uv) or PIP_CERT (pip) to the file of your certificate authority",
    ),
    (
        r"dns error|name resolution|failed to (lookup|fetch)|connection (refused|reset)|timed out|sending request",
        ServiceError,
        "the package index does not answer",
        "look whether this machine reaches it (UV_DEFAULT_INDEX, PIP_INDEX_URL name another), then run this again",
    ),
    (
        r"no wheels? |no usable wheels|platform tag|building source distributions is disabled|python abi tag",
        UsageError,
        "a library has no wheel for this platform and Python",
        "use a Python that it has one for (`--python PATH`), or `mlops-ci build` and run the image",
    ),
    (
        r"no version of|not found in the package registry|no matching distribution|could not find a version",
        UsageError,
        "a library of that version is nowhere in the package index",
        "name the index that has it (UV_INDEX or PIP_EXTRA_INDEX_URL), or an interpreter that has it (`--python PATH`)",
    ),
    (
        r"unsatisfiable|conflict|incompatible",
        ConfigError,
        "the libraries that the model and the service name do not go together",
        "train with versions that do; what they ask for is in requirements.txt of `mlops-ci render`",
    ),
]


def named(python: str, requirements: Path) -> str:
    """
    Return the interpreter *python*, a path or a name, as it is.

    Raises:
        UsageError: It is none, is too old, or lacks one of the *requirements*.
    """
    path = shutil.which(python)
    found = str(Path(path).absolute()) if path else ""
    said = _ask(found, requirements) if found else None
    if said is None:
        raise UsageError(f"{python} is no Python that can be started", hint="--python names an interpreter")
    (version, installed) = said
    if version < _OLDEST:
        raise UsageError(f"{python} is Python {_dotted(version)}, and a service needs {_dotted(_OLDEST)} or newer")
    if missing := [name for name, have in installed.items() if not have]:
        raise UsageError(
            f"{python} lacks {' and '.join(missing)}",
            hint=f"{python} -m pip install -r {requirements}, or leave --python away",
        )
    return found


def environment(home: Path, requirements: Path, *, notify: Notify, tell: Tell) -> str:
    """
    Return an interpreter that has the *requirements*: this one, or that of an environment kept below *home*.

    Raises:
        MlopsCIError: It cannot be made; nothing of it stays.
    """
    if satisfied(sys.executable, requirements):
        return sys.executable
    version = _dotted(sys.version_info[:2])
    key = hashlib.sha256(f"{sys.executable} {sys.version}\n".encode() + requirements.read_bytes()).hexdigest()[:16]
    place = home / "environments" / f"{version}-{key}"
    if not _python(place).exists():
        with writing(home):
            if not _python(place).exists():
                _make(place, requirements, notify, tell)
    return str(_python(place))


def satisfied(python: str, requirements: Path) -> bool:
    """Whether *python* has each of the *requirements* in just the version that is pinned."""
    pins = _pins(requirements)
    said = _ask(python, requirements) if None not in pins else None
    if said is None:
        return False
    have = said[1]
    return all(pin is not None and have[pin[0]].partition("+")[0] == pin[1].partition("+")[0] for pin in pins)


def install(place: Path, requirements: Path, uv: Sequence[str], *, tell: Tell) -> None:
    """
    Make an environment at *place*, an empty folder, with *uv*, or with pip where that is empty.

    Only wheels are installed: nothing of a package runs before the service does.

    Raises:
        MlopsCIError: It did not work.
    """
    python = str(_python(place))
    if uv:
        _run([*uv, "venv", "--allow-existing", "--no-project", "--python", sys.executable, str(place)], tell)
        _run([*uv, "pip", "install", "--no-build", "--python", python, "-r", str(requirements)], tell)
        return
    if util.find_spec("ensurepip") is None:
        raise UsageError(
            "neither uv nor ensurepip is here, so no environment can be made",
            hint="pip install uv, apt-get install python3-venv, or name an interpreter with --python",
        )
    _run([sys.executable, "-m", "venv", str(place)], tell)
    pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "--only-binary", ":all:"]
    _run([*pip, "-r", str(requirements)], tell)


def uv_command() -> list[str]:
    """How uv is called here: on the PATH, beside the interpreter, or as its module; [] if it is not."""
    beside = Path(sys.executable).with_name("uv")
    found = shutil.which("uv") or (str(beside) if beside.is_file() else "")
    if found:
        return [found]
    return [sys.executable, "-m", "uv"] if util.find_spec("uv") else []


def _make(place: Path, requirements: Path, notify: Notify, tell: Tell) -> None:
    count = len(requirements.read_text(encoding="utf-8").splitlines())
    notify(f"this Python does not have what the service pins: making an environment for its {count} lines (once)")
    shutil.rmtree(place, ignore_errors=True)
    with made(place) as partial:
        install(partial, requirements, uv_command(), tell=tell)


def _run(command: Sequence[str], tell: Tell) -> None:
    """Run a step; it ends when we do, however that is."""
    last: deque[str] = deque(maxlen=_LINES)
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    process = subprocess.Popen(
        bound(command),
        env={**env, "UV_NO_PROGRESS": "1", "NO_COLOR": "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    try:
        for count, line in enumerate(process.stdout or (), 1):
            last.append(line.strip())
            tell("installing libraries", count, 0)
        code = process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
    if code:
        raise _failure(list(last))


def _failure(lines: list[str]) -> MlopsCIError:
    # Wrapped lines are joined: what is looked for may stand on two of them.
    text = " ".join(lines)
    said = next((line for line in lines if re.search(r"(?i)because|error|failed", line)), (lines or ["nothing"])[-1])
    for pattern, error, message, hint in _CAUSES:
        if re.search(pattern, text, re.IGNORECASE):
            return error(f"the environment cannot be made: {message} ({_brief(said)})", hint=hint)
    return ServiceError(
        f"the environment cannot be made: {_brief(said)}", hint="or name an interpreter that has it all with --python"
    )


def _brief(text: str) -> str:
    plain = re.sub(r"^[\W_]+|(?<=://)[^/\s@]*@", "", text)
    return plain if len(plain) <= 200 else f"{plain[:199]}…"


def _pins(requirements: Path) -> list[tuple[str, str] | None]:
    """Name and version of each line, whatever platforms it is for; None for a line that is no plain pin."""
    lines = (line.strip() for line in requirements.read_text(encoding="utf-8").splitlines())
    found = [_PIN.fullmatch(line) for line in lines if line and not line.startswith("#")]
    return [(match[1], match[2]) if match else None for match in found]


def _ask(python: str, requirements: Path) -> tuple[tuple[int, int], dict[str, str]] | None:
    """The version of *python*, and of each package in *requirements* ("": not installed); None if it does not run."""
    names = [pin[0] for pin in _pins(requirements) if pin]
    try:
        done = subprocess.run(
            [python, "-c", _PROBE, *names], cwd=requirements.parent.parent, capture_output=True, check=False
        )
        (major, minor), installed = json.loads(done.stdout)
    except (OSError, ValueError):
        return None
    return (major, minor), installed


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _dotted(version: Sequence[int]) -> str:
    return ".".join(map(str, version))
