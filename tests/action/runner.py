"""
Runs workflow files, and the action in them, as GitHub and its runner do: the steps of run.mjs, from Python.

Parsing, conditions and expressions are GitHub's own. Played by the files beside this one: the runner, and the actions
of others that ours works with (remote.mjs says which, and refuses the rest). Git reaches the bare repository under the
address that it would have on GitHub.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.repositories import git

ROOT = Path(__file__).resolve().parents[2]
TOKEN = "token-of-the-job"
RELEASED = "mlops-ci/mlops-ci@v1"
_HOST = "https://github.com"
NAMES = {"PATH", "LANG", "SSL_CERT_FILE", "SSL_CERT_DIR"}  # and what the package index needs


@dataclass
class Job:
    """
    What came of a job.

    Attributes:
        result: "success", "failure" or "skipped".
        permissions: What its token may do, as the workflow says it; None where it says nothing.
        steps: Those of the action too, in the order of their ends, each with its outcome and its seconds.
        cells: How many of a matrix have run.
        environment: Whose review GitHub would have waited for; "" where the job names none.
    """

    result: str
    outputs: dict[str, str]
    permissions: Any
    steps: list[dict[str, Any]]
    cells: int = 1
    environment: str = ""

    def outcome(self, name: str) -> str:
        """How the step ended that is called *name*: success, failure or skipped."""
        (found,) = {step["outcome"] for step in self.steps if step["name"] == name}
        return str(found)


@dataclass
class Result:
    """
    What came of a workflow.

    Attributes:
        triggered: Whether the event starts it at all.
        annotations: Each with its level and message, and where it stands; *dropped* says how many were too many.
        remote: The actions of others that were used, with their inputs.
        log: What the steps printed, with secrets masked.
        temporary: The runner's folder, as the last job left it.
    """

    triggered: bool
    jobs: dict[str, Job]
    summary: str
    annotations: list[dict[str, str]]
    dropped: int
    remote: list[dict[str, Any]]
    log: str
    temporary: Path = field(default_factory=Path)

    @property
    def failed(self) -> bool:
        """Whether a job has."""
        return any(job.result == "failure" for job in self.jobs.values())


def run_workflow(
    workflow: Path | str,
    *,
    event: str,
    payload: Mapping[str, Any],
    repository: Path,
    home: Path,
    address: str = "",
    server: str = "https://api.github.invalid",
    token: str = TOKEN,
    tokens: Mapping[str, str] | None = None,
    name: str = "octo/tiny",
    run: tuple[int, int] = (1000, 1),
    keep: bool = False,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
) -> Result:
    """
    Run *workflow* for one event, all its jobs one after the other.

    Args:
        workflow: A file, or its text.
        event: Its name, like "push".
        payload: What `GITHUB_EVENT_PATH` holds. The ref and the SHA are those that GitHub takes from it.
        repository: A bare one: what is checked out, and what git finds at the repository's address.
        home: A folder for everything of this runner: the home directory, caches and artifacts, which stay for the next
            run, and the work and temporary folders, which are emptied before each job.
        address: Where git finds the repository, if not in its folder.
        server: Address of the API.
        token: Of every job.
        tokens: Those of jobs that have another, by the job's name.
        name: The repository's, with its owner.
        run: Number and attempt.
        keep: Do not empty the temporary folder between jobs. No runner is like that; it saves installing again.
        environment: What the steps find set, besides what a runner sets.
        secrets: What `secrets.` names, masked in the log like the tokens.

    Raises:
        ValueError: GitHub would refuse the file, or it uses what run.mjs does not know.
    """
    text, path = (workflow.read_text("utf-8"), str(workflow)) if isinstance(workflow, Path) else (workflow, "given.yml")
    about = {"event_name": event, "workflow": Path(path).stem, "event_path": str(home / "event.json")}
    context = {**place_of(event, payload, repository), **_context(name, payload, run, server), **about}
    order = {
        "workflow": path,
        "content": text,
        "event": event,
        "payload": payload,
        "github": context,
        "remote": f"{_HOST}/{name}",
        **_made_at(home, payload, _found_at(address or repository.as_uri(), name)),
        "keep": keep,
        "token": token,
        "tokens": dict(tokens or {}),
        "secrets": dict(secrets or {}),
        "released": {RELEASED: str(ROOT)},
        "environment": runner_environment(home, **(environment or {})),
    }
    return _run(order, home)


def _made_at(home: Path, payload: Mapping[str, Any], gitconfig: str) -> dict[str, str]:
    """Write what a runner finds in its *home*, and return the folders that it works in."""
    home.mkdir(parents=True, exist_ok=True)
    (home / "event.json").write_text(json.dumps(payload), "utf-8")
    (home / ".gitconfig").write_text(gitconfig, "utf-8")
    names = {"workspace": "work", "temporary": "_temp", "cache": "_cache", "artifacts": "_artifacts"}
    return {"home": str(home), **{key: str(home / name) for key, name in names.items()}}


def _context(name: str, payload: Mapping[str, Any], run: tuple[int, int], server: str) -> dict[str, str]:
    """What `github.` says of the repository *name*, of who started the run, and of where everything is."""
    actor = (payload.get("sender") or {}).get("login", "octocat")
    return {
        "repository": name,
        "repository_owner": name.partition("/")[0],
        "actor": actor,
        "triggering_actor": actor,
        "run_id": str(run[0]),
        "run_number": str(run[0]),
        "run_attempt": str(run[1]),
        "server_url": _HOST,
        "api_url": server,
        "graphql_url": f"{server}/graphql",
    }


def _found_at(address: str, name: str) -> str:
    """A configuration of git that finds the repository *name* of GitHub at *address*."""
    return f'[url "{address}"]\n\tinsteadOf = {_HOST}/{name}.git\n\tinsteadOf = {_HOST}/{name}\n'


def _run(order: dict[str, Any], home: Path) -> Result:
    given, written = home / "order.json", home / "result.json"
    given.write_text(json.dumps(order), "utf-8")
    command = ["node", str(Path(__file__).with_name("run.mjs")), str(given), str(written)]
    # The runner's own git is to find the repository as the steps do.
    variables = {**os.environ, "GIT_CONFIG_GLOBAL": str(home / ".gitconfig"), "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        fault = re.search(r"(?m)^(?:\w*Error): (.*)$", done.stderr)
        raise ValueError(fault[1] if fault else done.stderr)
    found = json.loads(written.read_text("utf-8"))
    jobs = {name: Job(**job) for name, job in found.pop("jobs").items()}
    return Result(**found, jobs=jobs, temporary=home / "_temp")


def run_action(inputs: Mapping[str, str], **options: Any) -> Result:
    """
    Check out what the event is about and run the action, in a job called "mlops" that has its outputs.

    Args:
        inputs: What stands below `with:`.
        options: The same as of `run_workflow`.
    """
    names = list(yaml.safe_load((ROOT / "action.yml").read_text("utf-8"))["outputs"])
    checkout = {"uses": "actions/checkout@v7", "with": {"fetch-depth": "0", "persist-credentials": "false"}}
    job = {
        "runs-on": "ubuntu-latest",
        "outputs": {name: f"${{{{ steps.it.outputs.{name} }}}}" for name in names},
        "steps": [checkout, {"id": "it", "uses": RELEASED, "with": dict(inputs)}],
    }
    return run_workflow(json.dumps({"on": options["event"], "jobs": {"mlops": job}}), **options)


def place_of(event: str, payload: Mapping[str, Any], repository: Path) -> dict[str, str]:
    """The ref and the SHA that GitHub gives a run of *event*, with what follows from them."""
    pull = payload.get("pull_request") or {}
    default = f"refs/heads/{(payload.get('repository') or {}).get('default_branch', 'main')}"
    ref = {
        "pull_request": f"refs/pull/{pull.get('number', payload.get('number'))}/merge",
        "pull_request_target": f"refs/heads/{(pull.get('base') or {}).get('ref', '')}",
        "push": payload.get("ref", default),
        "workflow_dispatch": payload.get("ref", default),
        "release": f"refs/tags/{(payload.get('release') or {}).get('tag_name', '')}",
        "merge_group": (payload.get("merge_group") or {}).get("head_ref", ""),
    }.get(event, default)
    return {
        "ref": ref,
        "sha": git(repository, "rev-parse", f"{ref}^{{commit}}"),
        "ref_name": re.sub(r"^refs/(heads|tags|pull)/", "", ref),
        "ref_type": "tag" if ref.startswith("refs/tags/") else "branch",
        "head_ref": (pull.get("head") or {}).get("ref", ""),
        "base_ref": (pull.get("base") or {}).get("ref", ""),
    }


def runner_environment(home: Path, **variables: str) -> dict[str, str]:
    """What a hosted runner sets: little. Of this machine only PATH and what the package index needs come along."""
    passed_on = {name: value for name, value in os.environ.items() if name in NAMES or name.startswith("PIP_")}
    return {**passed_on, "HOME": str(home), **variables}


def read_outputs(text: str) -> dict[str, str]:
    """
    Read what a step wrote to `$GITHUB_OUTPUT`: `name=value`, and `name<<END` with lines up to END.

    Raises:
        ValueError: A line is neither, or END does not come.
    """
    found: dict[str, str] = {}
    lines = iter(text.splitlines())
    for line in lines:
        plain, delimited = re.fullmatch(r"([^=<]+)=(.*)", line), re.fullmatch(r"([^=<]+)<<(.+)", line)
        if plain:
            found[plain[1]] = plain[2]
        elif delimited:
            value = []
            for inner in lines:
                if inner == delimited[2]:
                    break
                value.append(inner)
            else:
                raise ValueError(f"the delimiter {delimited[2]!r} does not come")
            found[delimited[1]] = "\n".join(value)
        elif line:
            raise ValueError(f"no output: {line!r}")
    return found
