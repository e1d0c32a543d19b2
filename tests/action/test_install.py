"""The installer: what it takes, what it leaves alone, what it says; and the locks that it installs from."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.action.place import Place
from tests.action.runner import ROOT, place_of, runner_environment

FOLDER = ROOT / ".github" / "action"
INSTALL = FOLDER / "install.py"
NOWHERE = {"UV_OFFLINE": "1", "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}

pytestmark = pytest.mark.xdist_group("action")


def install(folder: Path, *words: str, script: Path = INSTALL, **variables: str) -> dict[str, str]:
    """Run the installer; its outputs."""
    outputs = folder.parent / "outputs"
    outputs.write_text("")
    environment = {**runner_environment(folder.parent), "GITHUB_OUTPUT": str(outputs), **variables}
    command = ["python3", "-I", str(script), *words, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(line.split("=", 1) for line in outputs.read_text().splitlines())


def packages(interpreter: str) -> set[str]:
    """What can be imported there, of what the extras bring."""
    code = "import importlib.util as u; print(*(n for n in ('github', 'pymysql', 'mlops_ci') if u.find_spec(n)))"
    return set(subprocess.check_output([interpreter, "-I", "-c", code], text=True).split())


@pytest.fixture
def path(tools: Path) -> str:
    return f"{tools}{os.pathsep}{os.environ['PATH']}"


def test_an_environment_is_made_once_and_grows(tmp_path: Path, path: str) -> None:
    """A second call installs nothing and needs no network; another extra comes beside those that are there."""
    folder = tmp_path / "mlops-ci"
    first = install(folder, "--extra", "mysql", PATH=path, PIP_USER="1")
    assert packages(first["python"]) == {"mlops_ci", "pymysql"}
    assert not (tmp_path / ".local").exists()
    (folder / "left").touch()
    second = install(folder, "--extra", "mysql", PATH=path, **NOWHERE)
    assert (second["key"], (folder / "left").exists()) == ("", True)
    third = install(folder, "--extra", "github", PATH=path)
    assert packages(third["python"]) == {"mlops_ci", "pymysql", "github"}
    assert first["key"].removesuffix("mysql") == third["key"].removesuffix("github+mysql")
    assert install(folder, "--plan")["key"] == first["key"].removesuffix("mysql")
    assert (folder / "left").exists()


def test_what_is_interrupted_is_begun_again(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "mlops-ci"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").write_text("half a program")
    assert packages(install(folder, PATH=path)["python"]) == {"mlops_ci"}


def test_without_uv_it_is_pip_that_installs(tmp_path: Path) -> None:
    """Where no uv can be had, as on a mirror without it; and with the hashes that the lock has."""
    copy = tmp_path / "action" / ".github" / "action"
    shutil.copytree(FOLDER, copy)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "action")
    (copy / "uv.txt").write_text("uv==0.0.0 --hash=sha256:" + "0" * 64 + "\n")
    (copy / "requirements.txt").write_bytes((copy / "mysql.txt").read_bytes())
    bare = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "uv").exists())
    found = install(tmp_path / "mlops-ci", script=copy / "install.py", PATH=bare)
    assert packages(found["python"]) == {"pymysql"}  # mlops_ci would be beside the copy


@pytest.mark.full
def test_it_fetches_a_uv_of_its_own(tmp_path: Path) -> None:
    """Into a folder beside the environment, by the runner's pip."""
    bare = os.pathsep.join(each for each in os.environ["PATH"].split(os.pathsep) if not (Path(each) / "uv").exists())
    install(tmp_path / "mlops-ci", PATH=bare)
    assert (tmp_path / "mlops-ci-uv" / "bin" / "uv").exists()


def test_it_parses_on_the_oldest_python_that_runners_have() -> None:
    """It must live to say which Python is needed."""
    ast.parse(INSTALL.read_text("utf-8"), feature_version=(3, 6))


# ---- the cache -------------------------------------------------------------------------------------------------------

CACHING = [
    ("push", {"ref": "refs/heads/main"}, {}, True),
    ("push", {"ref": "refs/heads/main"}, {"part": "train"}, True),
    ("push", {"ref": "refs/heads/main"}, {"part": "record"}, False),
    ("push", {"ref": "refs/heads/main"}, {"tag": "tiny@v1.0.0"}, False),
    ("push", {"ref": "refs/tags/tiny@v1.0.0"}, {}, False),
    ("merge_group", {"merge_group": {"head_ref": "refs/heads/main"}}, {}, True),
    ("workflow_dispatch", {"ref": "refs/heads/main", "inputs": {"tag": ""}}, {}, True),
    ("workflow_dispatch", {"ref": "refs/heads/main", "inputs": {"tag": "tiny@v1.0.0"}}, {}, False),
    ("release", {"release": {"tag_name": "tiny@v1.0.0"}, "action": "published"}, {}, False),
    ("schedule", {}, {}, False),
    ("workflow_run", {"workflow_run": {"name": "mlops"}}, {}, False),
    ("issue_comment", {"action": "created"}, {}, False),
    ("pull_request_target", {"action": "opened", "pull_request": {"base": {"ref": "main"}}}, {}, False),
]


ASK = """
import {{ holds, readAction, at, items }} from "{folder}/expressions.mjs";
import fs from "node:fs";
const action = await readAction("action.yml", fs.readFileSync("{action}", "utf8"));
const step = items(at(action.value, "runs", "steps")).find((each) => String(at(each, "id")) === "cache");
const asked = JSON.parse(fs.readFileSync(0, "utf8"));
console.log(JSON.stringify(asked.map((contexts) => holds(action, at(step, "if"), contexts))));
"""


def test_a_cache_is_used_where_nothing_is_trusted_or_released(place: Place) -> None:
    """The condition of action.yml, asked for every kind of event."""
    place.tagged("tiny@v1.0.0")
    asked = []
    for event, payload, inputs, _ in CACHING:
        github = {"event_name": event, **place_of(event, place.about(**payload), place.remote)}
        tag = str((payload.get("inputs") or {}).get("tag", ""))  # the input's default
        asked.append({"github": github, "inputs": {"part": "all", "tag": tag, **inputs}})
    script = ASK.format(folder=Path(__file__).parent, action=ROOT / "action.yml")
    command = ["node", "--input-type=module", "-e", script]
    said = json.loads(subprocess.check_output(command, input=json.dumps(asked), text=True))
    assert said == [used for *_, used in CACHING]


@pytest.mark.full
def test_the_cache_holds_an_environment_for_the_next_job(place: Place) -> None:
    """The first job saves what it has installed; the second has it back, and needs no network."""
    place.options |= {"home": place.folder / "home", "keep": False}
    (place.folder / "home").mkdir()
    first = place.act().jobs["mlops"]
    assert (first.outcome("Install mlops-ci"), first.outcome("Keep the environment")) == ("success", "success")
    place.options["environment"] |= NOWHERE
    second = place.act()
    assert "Cache restored from key" in second.log
    assert second.jobs["mlops"].outcome("Keep the environment") == "skipped"
    assert second.jobs["mlops"].outputs["verdict"] == "pass", second.log
    assert list((place.folder / "home").glob("_cache/*/0/lib/*/site-packages/github/__pycache__/*.pyc"))


# ---- the locks -------------------------------------------------------------------------------------------------------


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    command = ["python", str(folder / ".github/action/lock.py"), "--check"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_the_locks_hold_what_the_package_needs() -> None:
    """Every requirement of the package and of each extra, in a version that it admits, from no named index."""
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout


FAULTS = [
    ("github.txt", "", "github.txt is missing"),
    ("surplus.txt", "x==1 --hash=sha256:0\n", "surplus.txt belongs to no extra"),
    ("mysql.txt", "pymysql==0.1 --hash=sha256:0\n", "mysql.txt does not hold pymysql"),
    ("mysql.txt", "pymysql==1.2\n", "mysql.txt has no hash for pymysql"),
    ("mysql.txt", "pymysql @ https://example.com/x.whl --hash=sha256:0\n", "says where pymysql is to come from"),
    ("mysql.txt", "pymysql==1.2 --hash=sha256:0\nclick==1 --hash=sha256:0\n", "mysql.txt holds click"),
    ("mysql.txt", "pymysql==1.2 --hash=sha256:0\nduckdb==9 --hash=sha256:0\n", "another duckdb than the others"),
]


@pytest.mark.parametrize(("name", "text", "said"), FAULTS)
def test_a_lock_that_does_not_fit_is_named(tmp_path: Path, name: str, text: str, said: str) -> None:
    shutil.copytree(FOLDER, tmp_path / ".github/action")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    place = tmp_path / ".github/action" / name
    place.write_text(text) if text else place.unlink()
    done = lint(tmp_path)
    assert done.returncode == 1
    assert said in done.stdout
