"""
Makes the environment in which `action.yml` and the `Dockerfile` run mlops-ci.

Two phases: the packages of requirements.txt, then those of the extras that are asked for, from files beside this one;
each is checked against its hashes, and none is installed that is there already. `mlops_ci` itself is the checkout that
this file belongs to, neither built nor copied. The user's own Python is asked to make the environment and stays as it
was. Parses on Python 3.6, which is `python3` on some machines, and looks for a newer one there.
"""

import argparse
import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
LOCKS = sorted(HERE.glob("*.txt"))
NEWEST_FIRST = ("python3.14", "python3.13", "python3.12", "python3.11")
OLDEST_UV = (0, 5)
OPTIONS = ("--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:")
# What of uv's settings says where packages go, and which: those are ours to say.
OURS = re.compile("UV_(PYTHON|SYSTEM_PYTHON|TARGET|PREFIX|CONSTRAINT|OVERRIDE|EXCLUDE.*|NO_BINARY|COMPILE_.*)")
ADVICE = """Add this step before mlops-ci:
  - uses: actions/setup-python@v7
    with:
      python-version: "3.13"
or name another interpreter in the action's input `python`."""


class Failure(Exception):
    """A sentence that says what is wrong; the lines after it say what to do."""


class Environment:
    """
    The environment in *folder*; its file `finished` says what it was made of, and which extras it holds.

    Attributes:
        interpreter: The Python in it.
        purpose: What it is to be made of: a Python on a system, at two places, and the locks. It begins like the name
            of a cache entry that may be used for it.
    """

    def __init__(self, python: str, version: str, folder: Path) -> None:
        self.python = python
        self.folder = folder
        self.version = version
        self.interpreter = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        made_of = "\n".join([str(folder), os.path.realpath(python), *(lock.read_text("utf-8") for lock in LOCKS)])
        digest = hashlib.sha256(made_of.encode()).hexdigest()[:24]
        self.purpose = f"mlops-ci-{sysconfig.get_platform()}-{version}-{digest}"

    def held(self) -> "set[str] | None":
        """The extras that it holds, or None where it is not there, or not what it should be."""
        try:
            purpose, *extras = (self.folder / "finished").read_text("utf-8").split()
        except (OSError, ValueError):
            return None
        return set(extras) if purpose == self.purpose else None

    def key(self, extras: "set[str]") -> str:
        """What a cache entry of this environment with *extras* is called."""
        return "{}-{}".format(self.purpose, "+".join(sorted(extras)) or "base")

    def ensure(self, extras: "set[str]", *, compiled: bool) -> bool:
        """
        Make it hold *extras* beside the base set, *compiled* or as it comes, and say whether there was anything to do.

        Raises:
            Failure: A package could not be had, or this Python cannot make environments.
        """
        held = self.held()
        if held is not None and extras <= held:
            self.lend()
            return False
        locks = [HERE / (extra + ".txt") for extra in sorted(extras - (held or set()))]
        missing = [lock.name for lock in locks if not lock.exists()]
        if missing:
            raise Failure("this version of the action has no {}".format(", ".join(missing)))
        uv = find_uv(self.python, self.folder.with_name(self.folder.name + "-uv"))
        if held is None:
            shutil.rmtree(str(self.folder), ignore_errors=True)
            locks.insert(0, HERE / "requirements.txt")
            self.create(uv)
        else:
            (self.folder / "finished").unlink()
        self.install(uv, locks, compiled=compiled)
        self.lend()
        (self.folder / "finished").write_text(" ".join([self.purpose, *sorted((held or set()) | extras)]), "utf-8")
        return True

    def create(self, uv: str) -> None:
        """Make it, without a package in it."""
        if uv:
            run("no environment could be made", uv, "venv", "--quiet", "--python", self.python, str(self.folder))
        elif succeeds(self.python, "-I", "-m", "pip", "--version"):
            # Lending it the pip that is there takes a moment; a pip of its own takes four seconds.
            run("no environment could be made", self.python, "-I", "-m", "venv", "--without-pip", str(self.folder))
        else:
            run("this Python cannot make environments", self.python, "-I", "-m", "venv", str(self.folder))

    def install(self, uv: str, locks: "list[Path]", *, compiled: bool) -> None:
        """Install what is in *locks*, with one command."""
        options = [*OPTIONS, *(word for lock in locks for word in ("-r", str(lock)))]
        if uv:
            # Without its cache, in which an earlier job may have left anything.
            installer = [uv, "pip", "install", "--no-cache", "--python", str(self.interpreter)]
            options += ["--compile-bytecode"] if compiled else []
        else:
            lent = [self.python, "-I", "-m", "pip", "--python", str(self.interpreter)]
            own = [str(self.interpreter), "-I", "-m", "pip"]
            installer = [*(own if succeeds(*own, "--version") else lent), "install"]
            options += [] if compiled else ["--no-compile"]
        run("a package could not be installed", *installer, *options)

    def lend(self) -> None:
        """Let it import `mlops_ci` from this checkout, and know its version."""
        packages = self.folder / ("Lib" if os.name == "nt" else "lib/python" + ".".join(self.version.split(".")[:2]))
        packages /= "site-packages"
        version = re.findall(r'(?m)^version = "(.+)"$', (ROOT / "pyproject.toml").read_text("utf-8"))[0]
        metadata = packages / f"mlops_ci-{version}.dist-info" / "METADATA"
        text = f"Metadata-Version: 2.1\nName: mlops-ci\nVersion: {version}\n"
        # The path in the locale's encoding, in which Python reads it.
        for path, content in ((packages / "mlops_ci.pth", f"{ROOT}\n"), (metadata, text)):
            if not path.exists() or path.read_text() != content:
                for old in packages.glob("mlops_ci-*.dist-info") if path is metadata else ():
                    shutil.rmtree(str(old))
                path.parent.mkdir(exist_ok=True)
                path.write_text(content)


def find_python(named: str) -> "tuple[str, str]":
    """
    Return an interpreter that is new enough, and its version: the one that is *named*, else the first that is found.

    Raises:
        Failure: There is none.
    """
    cache = Path(os.environ.get("RUNNER_TOOL_CACHE") or os.devnull)
    cached = sorted((str(path) for path in cache.glob("Python/3.1[1-9].*/*/bin/python3")), reverse=True)
    candidates = [named] if named else [sys.executable, *NEWEST_FIRST, "/usr/bin/python3", *cached]
    for candidate in candidates:
        version = version_of(candidate)
        if version:
            return candidate, version
    found = repr(named) if named else "python3, which is {}.{}".format(*sys.version_info)
    raise Failure(f"mlops-ci needs Python 3.11 or newer, and finds only {found}.\n{ADVICE}")


def version_of(python: str) -> str:
    """The version of *python*, or "" where it does not start or is older than 3.11."""
    if python == sys.executable and sys.version_info >= (3, 11):
        return "{}.{}.{}".format(*sys.version_info)
    question = "import sys; print('{}.{}.{}'.format(*sys.version_info)); sys.exit(sys.version_info < (3, 11))"
    return answer(python, "-I", "-c", question)


def find_uv(python: str, folder: Path) -> str:
    """Return the uv of this machine where it is new enough, else one that *python* puts into *folder*, else ""."""
    own = folder / "bin" / ("uv.exe" if os.name == "nt" else "uv")
    for uv in (shutil.which("uv"), str(own)):
        version = re.match(r"uv (\d+)\.(\d+)", answer(uv, "--version") if uv else "")
        if uv and version and (int(version.group(1)), int(version.group(2))) >= OLDEST_UV:
            return uv
    shutil.rmtree(str(folder), ignore_errors=True)
    command = [python, "-I", "-m", "pip", "install", *OPTIONS, "--no-compile", "--target", str(folder)]
    command += ["-r", str(HERE / "uv.txt")]
    return str(own) if succeeds(*command) and succeeds(str(own), "--version") else ""


def uv_settings(python: str) -> "dict[str, str]":
    """What *python*'s pip is told about indexes and certificates, in uv's words; uv reads only its own settings."""
    names = {"index-url": "UV_DEFAULT_INDEX", "extra-index-url": "UV_INDEX", "cert": "SSL_CERT_FILE"}
    found = {}
    for line in answer(python, "-I", "-m", "pip", "config", "list").splitlines():
        name, _, value = line.partition("=")
        variable = names.get(name.rpartition(".")[2])
        # The environment's own settings are listed first.
        if variable and variable not in os.environ and variable not in found:
            found[variable] = " ".join(str(ast.literal_eval(value)).split())
    # What counts is the hash, wherever the file is found.
    return {**found, "UV_INDEX_STRATEGY": "unsafe-best-match"}


def needs(interpreter: Path, words: "list[str]") -> "set[str]":
    """The extras that `mlops-ci ci` will need; none where it cannot say, since it will say so better itself."""
    return set(answer(str(interpreter), "-I", "-m", "mlops_ci", *words).split())


def variables() -> "dict[str, str]":
    """The environment for an installer: `user = true` in pip's configuration would send packages past the folder."""
    kept = {name: value for name, value in os.environ.items() if not OURS.fullmatch(name)}
    return dict(kept, PIP_USER="0", PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_ROOT_USER_ACTION="ignore")


def answer(*command: str) -> str:
    """What *command* prints, or "" where it does not end well."""
    try:
        done = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, universal_newlines=True)
        printed = done.communicate()[0]
    except OSError:
        return ""
    return "" if done.returncode else printed.strip()


def succeeds(*command: str) -> bool:
    """Whether *command* starts and ends well."""
    try:
        return not subprocess.call(command, env=variables(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    except OSError:
        return False


def run(otherwise: str, *command: str) -> None:
    """
    Run a step; what it prints is for the log.

    Raises:
        Failure: It ended badly; *otherwise* is the sentence for that.
    """
    settings = uv_settings(sys.executable) if Path(command[0]).stem == "uv" and "install" in command else {}
    # Elsewhere, since a uv.toml of the checkout is not ours.
    if subprocess.call(command, env={**variables(), **settings}, cwd=tempfile.gettempdir()) != 0:
        raise Failure(f"{otherwise}; the lines above say why.")


def main() -> None:
    """Make the environment, and tell the steps after this one about it."""
    parser = argparse.ArgumentParser(description="Make an environment for mlops-ci.")
    parser.add_argument("folder", type=Path, help="where the environment shall be")
    parser.add_argument("--python", default="", help="the interpreter to make it with")
    parser.add_argument("--plan", action="store_true", help="make nothing; only say which cache entry would do")
    parser.add_argument("--compiled", action="store_true", help="compile all of it, for it will be kept")
    parser.add_argument("--extra", action="append", default=[], help="an extra that it shall hold")
    parser.add_argument("--needs", nargs=argparse.REMAINDER, default=[], help="what to ask mlops-ci for more extras")
    options = parser.parse_args()
    try:
        outputs = follow(options)
    except Failure as failure:
        message = f"mlops-ci: {failure}"
        if os.environ.get("GITHUB_ACTIONS"):
            message = "::error title=mlops-ci::" + str(failure).replace("%", "%25").replace("\n", "%0A")
        print(message)
        sys.exit(2)
    if os.environ.get("GITHUB_OUTPUT"):
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as written:
            written.writelines(f"{name}={value}\n" for name, value in outputs.items())


def follow(options: argparse.Namespace) -> "dict[str, str]":
    """Do what the command line says; the outputs are for the steps after this one."""
    python, version = find_python(options.python)
    environment = Environment(python, version, options.folder.absolute())
    if options.plan:
        return {"path": str(environment.folder), "key": environment.purpose + "-", "python": python}
    extras = set(options.extra)
    changed = environment.ensure(extras, compiled=options.compiled)
    if options.needs:
        changed |= environment.ensure(needs(environment.interpreter, options.needs), compiled=options.compiled)
    outputs = {"python": str(environment.interpreter)}
    outputs["key"] = environment.key(environment.held() or set()) if changed else ""
    if os.environ.get("RUNNER_TEMP"):
        # For what mlops-ci writes. Made here, where paths are understood on every system.
        outputs["folder"] = tempfile.mkdtemp(prefix="mlops-ci-", dir=os.environ["RUNNER_TEMP"])
    return outputs


if __name__ == "__main__":
    main()
