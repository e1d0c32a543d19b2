"""What a user gets who installs the package: built as for a release, in an environment of its own, without extras."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from dataclasses import dataclass
from importlib.metadata import Distribution, distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
HEAVY = {"duckdb", "jinja2", "msgspec", "rfc8785", "rich", "sqlalchemy", "yaml"}
# What the base install may cost: everything besides Python itself, without bytecode.
SIZE_BUDGET_BYTES = 31_000_000
DISTRIBUTIONS_BUDGET = 15

pytestmark = pytest.mark.xdist_group("packaging")


@dataclass(frozen=True)
class Built:
    """The files of a release; *wheel* is built from *sdist*, as an index's users would, *direct* from the checkout."""

    sdist: Path
    wheel: Path
    direct: Path


@dataclass(frozen=True)
class Installed:
    """An environment that holds the wheel."""

    folder: Path

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python3*/site-packages"))

    @property
    def distributions(self) -> list[Distribution]:
        return list(distributions(path=[str(self.packages)]))

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment, away from the checkout."""
        program = str(self.folder / "bin" / command[0])
        words = [program, *command[1:]]
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True, check=False)

    def python(self, code: str) -> str:
        """What *code* prints."""
        done = self.run("python", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def install(wheel: Path, folder: Path, extras: str = "") -> Installed:
    uv = str(Path(sys.executable).with_name("uv"))
    subprocess.run([uv, "venv", "-q", "--no-project", "--python", sys.executable, str(folder)], check=True)
    package = f"mlops-ci{extras} @ {wheel.as_uri()}"
    python = str(folder / "bin" / "python")
    subprocess.run([uv, "pip", "install", "-q", "--no-config", "--python", python, package], check=True, cwd=folder)
    return Installed(folder)


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", str(ROOT), "--outdir"]
    subprocess.run([*build, str(folder)], check=True, capture_output=True)
    subprocess.run([*build, str(folder / "direct"), "--wheel"], check=True, capture_output=True)
    return Built(
        sdist=next(folder.glob("*.tar.gz")),
        wheel=next(folder.glob("*.whl")),
        direct=next((folder / "direct").glob("*.whl")),
    )


@pytest.fixture(scope="session")
def base(built: Built, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The package without any extra."""
    return install(built.wheel, tmp_path_factory.mktemp("base") / "environment")


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def files_below(folder: Path) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and not any(part.endswith(("__pycache__", "_cache")) for part in path.parts)
    }


def test_the_sdist_builds_the_same_wheel_as_the_checkout(built: Built) -> None:
    """Nothing that the wheel is made of is missing from the sdist."""
    assert contents(built.wheel) == contents(built.direct)


def test_the_wheel_holds_the_package_and_what_it_ships_and_nothing_else(built: Built) -> None:
    """Each file of the package, the templates and the serving runtime; no bytecode, no tests."""
    expected = {f"mlops_ci/{name}" for name in files_below(ROOT / "mlops_ci")}
    for bundled in ("templates", "serving"):
        expected |= {f"mlops_ci/_bundled/{bundled}/{name}" for name in files_below(ROOT / bundled)}
    found = {name for name in contents(built.wheel) if ".dist-info/" not in name}
    assert found == expected


def test_the_sdist_holds_no_history_and_no_environment(built: Built) -> None:
    """What lies about in a checkout does not travel."""
    with tarfile.open(built.sdist) as archive:
        tops = {name.split("/")[1] for name in archive.getnames() if "/" in name}
    allowed = {"mlops_ci", "templates", "serving", "README.md", "LICENSE", "CHANGELOG.md"}
    assert tops <= allowed | {"pyproject.toml", "PKG-INFO", ".gitignore"}


def test_the_version_is_that_of_the_project(base: Installed) -> None:
    """`mlops-ci --version` says what pyproject.toml says."""
    done = base.run("mlops-ci", "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == f"mlops-ci {PROJECT['version']}"


def test_every_command_that_help_lists_can_be_asked_for_help(base: Installed) -> None:
    """No command needs an extra in order to say what it does."""
    commands = json.loads(base.python("import json; from mlops_ci.cli import COMMANDS; print(json.dumps([*COMMANDS]))"))
    assert commands
    for command in commands:
        done = base.run("mlops-ci", command, "--help")
        assert done.returncode == 0, (command, done.stderr)


def test_templates_and_serving_are_found(base: Installed) -> None:
    """They are inside the installed package, all of them."""
    for name in ("TEMPLATES", "SERVING"):
        folder = Path(base.python(f"from mlops_ci.resources import {name}; print({name})"))
        assert base.folder.resolve() in folder.parents
        assert files_below(folder) == files_below(ROOT / name.lower())


def test_training_code_meets_the_standard_library_alone(base: Installed) -> None:
    """`import mlops_ci`, and starting a run, bring nothing into the user's process but our own modules."""
    code = (
        "import sys; before = set(sys.modules); import mlops_ci; mlops_ci.start_run;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "print(sorted(new - set(sys.stdlib_module_names) - {'mlops_ci'}))"
    )
    assert base.python(code) == "[]"


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"]], ids=" ".join)
def test_help_imports_nothing_heavy(base: Installed, arguments: list[str]) -> None:
    """What only says how to use it starts at once."""
    code = (
        f"import sys; from mlops_ci.cli import cli; cli({arguments!r}, standalone_mode=False);"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    assert base.python(code).splitlines()[-1] == "[]"


def test_every_extra_that_the_code_names_exists() -> None:
    """The hint of a missing package tells to install an extra; there is one of that name."""
    named = set()
    for path in (ROOT / "mlops_ci").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "optional_extra":
                named |= {ast.literal_eval(argument) for argument in node.args}
    assert named <= set(PROJECT["optional-dependencies"])


@pytest.mark.parametrize(("extra", "module"), [("data", "duckdb"), ("serve", "bentoml")])
def test_a_missing_extra_is_named(base: Installed, extra: str, module: str) -> None:
    """The base install has none of the extras' packages, and says which extra brings one."""
    code = f"""
from mlops_ci.errors import MissingDependency
from mlops_ci.providers import optional_extra
try:
    with optional_extra({extra!r}):
        import {module}
except MissingDependency as error:
    print(error, error.hint)
"""
    assert base.python(code) == f"{module} is not installed pip install 'mlops-ci[{extra}]'"


def test_the_base_install_is_small(base: Installed) -> None:
    """A budget of size: a job installs this each time it runs."""
    files = [path for path in base.packages.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    size = sum(path.stat().st_size for path in files)
    assert size <= SIZE_BUDGET_BYTES
    assert len(base.distributions) <= DISTRIBUTIONS_BUDGET


@pytest.mark.full
def test_all_extras_install_together(built: Built, tmp_path: Path) -> None:
    """A fresh resolution of all extras has a solution, in which everything starts."""
    extras = ",".join(PROJECT["optional-dependencies"])
    full = install(built.wheel, tmp_path / "environment", f"[{extras}]")
    assert full.python("import bentoml, duckdb, kubernetes_validate, sklearn, mlops_ci; print('all')") == "all"
    assert full.run("mlops-ci", "--version").returncode == 0
