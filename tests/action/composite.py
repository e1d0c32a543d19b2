"""
Runs the steps of a composite action as GitHub's runner does: each in bash, with its inputs and command files.

Knows only what a small action may use, and refuses the rest: expressions that name an input, a step's output, the
action's path or the token; steps that run bash; no conditions, no other actions.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

EXPRESSION = re.compile(r"\$\{\{\s*(.*?)\s*\}\}")
STEP_KEYS = {"name", "id", "shell", "env", "run", "working-directory"}


@dataclass
class Result:
    """What came of it. *log* is what the steps printed, *summary* the job's summary."""

    exit_code: int = 0
    outputs: dict[str, str] = field(default_factory=dict)
    log: str = ""
    summary: str = ""


def run_action(
    action: Path, workspace: Path, temporary: Path, *, inputs: Mapping[str, str], environment: Mapping[str, str]
) -> Result:
    """
    Run the composite action in the folder *action* on the checkout *workspace*.

    Args:
        action: Where its action.yml is.
        workspace: Where its steps begin.
        temporary: The runner's folder, for environments and command files.
        inputs: What stands under `with:`; "github-token" also stands for `${{ github.token }}`.
        environment: What the steps find set, besides what a runner sets for each step. Nothing else is passed on.

    Raises:
        ValueError: The action uses something that this runner does not know.
    """
    definition = yaml.safe_load((action / "action.yml").read_text("utf-8"))
    unknown = set(inputs) - set(definition["inputs"])
    if unknown:
        raise ValueError(f"no such input: {sorted(unknown)}")
    known = {"github.action_path": str(action), "github.token": "token-of-the-job"}
    for name, declared in definition["inputs"].items():
        known[f"inputs.{name}"] = inputs.get(name, resolve(declared.get("default", ""), known))
    result = Result()
    for number, step in enumerate(definition["runs"]["steps"]):
        if set(step) - STEP_KEYS or step["shell"] != "bash":
            raise ValueError(f"step {step.get('name', number)!r} is more than this runner knows")
        files = {name: temporary / f"{name.lower()}-{number}" for name in ("GITHUB_OUTPUT", "GITHUB_STEP_SUMMARY")}
        script = temporary / f"step-{number}.sh"
        # As it stands: an expression in a script is what an attacker looks for.
        script.write_text(step["run"], "utf-8")
        for file in files.values():
            file.touch()
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=workspace / resolve(step.get("working-directory", "."), known),
            env={
                **environment,
                **{name: str(path) for name, path in files.items()},
                **{name: resolve(value, known) for name, value in step.get("env", {}).items()},
                "GITHUB_ACTION_PATH": str(action),
                "RUNNER_TEMP": str(temporary),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        result.log += done.stdout
        result.summary += files["GITHUB_STEP_SUMMARY"].read_text("utf-8")
        for name, value in read_outputs(files["GITHUB_OUTPUT"].read_text("utf-8")).items():
            known[f"steps.{step.get('id')}.outputs.{name}"] = value
        if done.returncode:
            result.exit_code = done.returncode
            break
    for name, output in definition["outputs"].items():
        result.outputs[name] = resolve(output["value"], known)
    return result


def resolve(text: Any, known: Mapping[str, str]) -> str:
    """
    Put values in place of the expressions in *text*. An output that no step has set is empty.

    Raises:
        ValueError: An expression that is not in *known*, and no step's output.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in known and not re.fullmatch(r"steps\.[\w-]+\.outputs\.[\w-]+", name):
            raise ValueError(f"this runner does not know the expression {name!r}")
        return known.get(name, "")

    return EXPRESSION.sub(value, str(text))


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


def runner_environment(home: Path, **variables: str) -> dict[str, str]:
    """What a hosted runner sets: little. Of this machine only PATH and what the package index needs come along."""
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in {"PATH", "LANG", "SSL_CERT_FILE"} or name.startswith("PIP_")
    }
    return {**passed_on, "HOME": str(home), "CI": "true", "GITHUB_ACTIONS": "true", **variables}
