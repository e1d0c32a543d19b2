"""
Writes the lock files of the action, and checks that they say what pyproject.toml asks for.

requirements.txt is the base set; one file for each extra that CI may need holds what that extra adds to it; uv.txt is
the installer. All come from one resolution, so that any of them can be installed together. With `--check` nothing is
written and nothing is asked of the network.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOLDER = Path(__file__).resolve().parent
PROJECT = FOLDER.parent.parent / "pyproject.toml"
BASE, INSTALLER = "requirements.txt", "uv.txt"
# What runs in images and on laptops, and never in the action.
ELSEWHERE = {"demo", "serve"}
HEADER = "# Written by `./dev lock`; `./dev lint` checks it.\n"
# The last three are uv's defaults; a setting of the machine shall not change what is written.
OPTIONS = ["--universal", "--generate-hashes", "--python-version=3.11", "--only-binary=:all:", "--quiet"]
SILENT = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links", "--no-emit-index-annotation"]

Entries = dict[str, str]


def extras() -> dict[str, list[str]]:
    """The extras that have a lock, each with its requirements."""
    declared = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    return {name: wanted for name, wanted in declared.items() if name not in ELSEWHERE}


def entries(text: str) -> Entries:
    """What stands in a lock: the name of each package, and its lines. A package with two versions has them all."""
    found: Entries = {}
    for entry in re.split(r"(?m)^(?=[A-Za-z0-9])", text)[1:]:
        name = canonicalize_name(re.split(r"[=\[ ]", entry, maxsplit=1)[0])
        found[name] = found.get(name, "") + entry
    return found


def resolve(source: Path | str, *options: str) -> str:
    """Let uv lock *source*, which is a file or the text of one."""
    uv = Path(sys.executable).with_name("uv")
    given = ["-"] if isinstance(source, str) else [str(source)]
    text = source if isinstance(source, str) else None
    command = [str(uv), "pip", "compile", *given, *OPTIONS, *SILENT, *options]
    return subprocess.run(command, input=text, stdout=subprocess.PIPE, text=True, check=True, cwd=FOLDER).stdout


def locks() -> dict[str, Entries]:
    """What every file shall hold, by its name."""
    with tempfile.TemporaryDirectory() as folder:
        agreed = Path(folder) / "agreed.txt"
        agreed.write_text(resolve(PROJECT, *(f"--extra={name}" for name in extras())), encoding="utf-8")
        everything = entries(agreed.read_text(encoding="utf-8"))
        found = {BASE: entries(resolve(PROJECT, f"--constraint={agreed}"))}
        for name in extras():
            added = entries(resolve(PROJECT, f"--extra={name}", f"--constraint={agreed}"))
            found[f"{name}.txt"] = {package: everything[package] for package in added if package not in found[BASE]}
        found[INSTALLER] = entries(resolve("uv\n"))
    return found


def faults(held: Mapping[str, Entries]) -> list[str]:
    """What is wrong with the files, a sentence each."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    wanted = {INSTALLER: ["uv"], BASE: project["dependencies"]}
    wanted |= {f"{name}.txt": needed for name, needed in extras().items()}
    found = [f"{name} is missing" for name in sorted(set(wanted) - set(held))]
    found += [f"{name} belongs to no extra" for name in sorted(set(held) - set(wanted))]
    for name in sorted(set(held) & set(wanted)):
        reach = {**held.get(BASE, {}), **held[name]}
        found += [f"{name} does not hold {wish}" for wish in wanted[name] if not satisfies(reach, Requirement(wish))]
    return found + list(clashes(held))


def satisfies(locked: Entries, requirement: Requirement) -> bool:
    """Whether *locked* has the package, in versions that are admitted."""
    versions = re.findall(r"==([^ ;\\]+)", locked.get(canonicalize_name(requirement.name), ""))
    return bool(versions) and all(requirement.specifier.contains(version) for version in versions)


def clashes(held: Mapping[str, Entries]) -> Iterator[str]:
    """What speaks against installing the files, alone or together."""
    everything: Entries = {}
    for name, packages in held.items():
        for package, entry in packages.items():
            if "--hash=sha256:" not in entry:
                yield f"{name} has no hash for {package}"
            if "://" in entry:
                yield f"{name} says where {package} is to come from"
            if everything.setdefault(package, entry) != entry:
                yield f"{name} has another {package} than the others"
            if name not in {BASE, INSTALLER} and package in held.get(BASE, {}):
                yield f"{name} holds {package}, as {BASE} does already"


def main(arguments: list[str]) -> int:
    """Write the files, or check them."""
    if arguments == ["--check"]:
        found = faults({path.name: entries(path.read_text(encoding="utf-8")) for path in FOLDER.glob("*.txt")})
        for fault in found:
            print(f".github/action: {fault}; run ./dev lock")
        return 1 if found else 0
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, packages in locks().items():
        FOLDER.joinpath(name).write_text(HEADER + "".join(packages.values()), encoding="utf-8")
    return main(["--check"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
