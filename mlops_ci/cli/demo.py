"""`mlops-ci demo`: the whole loop on a real model, with the commands that a person would type."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import click

from mlops_ci.cli import show

_MARKER = ".mlops-ci-demo"
_ENGINEER, _APPROVER = "engineer@example.com", "approver@example.com"


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=Path("mlops-demo"))
@show.exits
def command(folder: Path) -> None:
    """Walk the whole loop on a real model, in FOLDER (./mlops-demo).

    Makes a repository with a remote, trains, gates a better and a worse branch, registers, renders, deploys
    to two local targets with an approval between them, and explains. Leaves nothing running.
    """
    started = time.monotonic()
    demo = _Demo(_fresh(folder.resolve()))
    try:
        demo.start_project()
        demo.train_baseline()
        demo.improve()
        demo.worsen()
        demo.release()
        demo.deploy_to_staging()
        demo.deploy_to_production()
        demo.explain()
    finally:
        demo.stop()
    demo.say(f"Done in {time.monotonic() - started:.0f} s; nothing is left running. The files are in {demo.folder}:")
    for name, what in _LEFT.items():
        click.echo(f"  {name:<16} {what}")


_LEFT = {
    "comment.md": "the pull request's comment, and comment.html to look at",
    "origin.git": "the remote: branches, tag, and the ledger below refs/mlops",
    "release/build": "the rendered service, image recipe and manifests",
    "state": "the services' folders and logs",
}


class _Demo:
    """The steps, each in a clone of its own: what one needs of another comes through the remote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = _free_ports(2)
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "GITHUB_", "MLOPS_"))},
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", ""))),
            "MLOPS_STATE_HOME": str(folder / "state"),
            "GIT_CONFIG_NOSYSTEM": "1",
            "COLUMNS": str(shutil.get_terminal_size().columns),
        }
        if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
            self._env["FORCE_COLOR"] = "1"
        self._here = folder
        self._person = _ENGINEER

    def start_project(self) -> None:
        """A repository with a remote, as `mlops-ci init` begins it, and two people's keys."""
        self.title("1. A repository, its remote, and a project in it")
        self.run("git init --quiet --bare --initial-branch=main origin.git")
        self.clone("main")
        self.run(f"mlops-ci init --example --name cancer --ports {self.ports[0]} {self.ports[1]}")
        for person in (_ENGINEER, _APPROVER):
            key = self._key(person)
            self.run(f"ssh-keygen -q -t ed25519 -N '' -C {person} -f {key}")
            public = " ".join((self._here / f"{key}.pub").read_text("utf-8").split()[:2])
            line = f'{person} namespaces="mlops-ci" {public}\n'
            with (self._here / ".mlops/allowed_signers").open("a", encoding="utf-8") as file:
                file.write(line)
        self.say("both public keys now stand in .mlops/allowed_signers")
        self.run("git add .", "git commit --quiet -m 'Start the project'", "git push --quiet origin HEAD:main")

    def train_baseline(self) -> None:
        """A run on the default branch: recorded against its SHA, it is the baseline."""
        self.title("2. Train on main: the run becomes the baseline")
        self.run("mlops-ci run")

    def improve(self) -> None:
        """A branch that makes the model better."""
        self.title("3. A branch that makes the model better (from here, each step in a fresh clone)")
        self.branch("better", "C: 0.01 ", "C: 1.0 ", "Regularize less")
        self.run("mlops-ci run --json > ../run.json", "mlops-ci --quiet gate --base origin/main", "mlops-ci report")
        self.run("mlops-ci report -o ../comment.md", "mlops-ci report -o ../comment.html")

    def worsen(self) -> None:
        """A branch that makes it worse."""
        self.title("4. A branch that makes it worse: the gate fails")
        self.branch("worse", "C: 0.01 ", "C: 0.001 ", "Regularize more")
        self.run("mlops-ci run --json > ../run-worse.json")
        self.run("mlops-ci gate --base origin/main", expect=1)

    def release(self) -> None:
        """Merge, tag, register, render."""
        self.title("5. Merge the better one, tag it, register it, render what it would deploy")
        self.clone("merge")
        self.run("git merge --quiet --no-ff -m 'Merge branch better' origin/better")
        self.run("git tag -a -m 'cancer 1.0.0' cancer@v1.0.0", "git push --quiet origin main cancer@v1.0.0")
        self.clone("release")
        self.run("mlops-ci register cancer@v1.0.0", "mlops-ci render 1.0.0")

    def deploy_to_staging(self) -> None:
        """Deploy, and ask the service."""
        self.title("6. Deploy to staging, and ask it")
        self.clone("staging")
        self.run("mlops-ci deploy staging")
        self.predict(self.ports[0])

    def deploy_to_production(self) -> None:
        """Refused, refused again, approved, deployed."""
        self.title("7. Production needs somebody else's approval")
        self.clone("production")
        self.run("mlops-ci deploy production", expect=4)
        plan = json.loads(self.output("mlops-ci approvals --json"))[0]["request"]["plan_digest"].removeprefix(
            "sha256:"
        )[:12]
        self.run("mlops-ci approvals")
        self.run(f"mlops-ci approve {plan} --key ../{self._key(_ENGINEER, local=True)}", expect=4)
        self.say("the requester's own signature does not count; now the second person, in a clone of their own")
        self.clone("approval", person=_APPROVER)
        self.run(f"mlops-ci approve {plan} --key ../{self._key(_APPROVER, local=True)}")
        self.clone("apply")
        self.run("mlops-ci deploy production")
        self.predict(self.ports[1])

    def explain(self) -> None:
        """From the deployment down to the data."""
        self.title("8. Months later: which data made this decision?")
        self.clone("audit")
        self.run("mlops-ci explain production")

    def stop(self) -> None:
        """End what was started."""
        if not (self.folder / "state").exists():
            return
        self.title("Stop what was started")
        for target in ("production", "staging"):
            with suppress(subprocess.SubprocessError, click.ClickException):
                self.run(f"mlops-ci deployments stop {target}")

    def branch(self, name: str, old: str, new: str, message: str) -> None:
        """Clone, change a parameter on a branch, push it."""
        self.clone(name)
        self.run(f"git switch --quiet -c {name}")
        path = self._here / "params.yaml"
        path.write_text(path.read_text("utf-8").replace(old, new), "utf-8")
        self.run("git diff -U0 params.yaml", only=("-C", "+C"))
        self.run(f"git commit --quiet -am '{message}'", f"git push --quiet origin {name}")

    def clone(self, name: str, *, person: str = _ENGINEER) -> None:
        """Clone the remote to *name* and go there, as *person*."""
        self._here = self.folder
        self._person = person
        self.run(f"git clone --quiet origin.git {name}", f"cd {name}")
        self._here = self.folder / name

    def predict(self, port: int) -> None:
        """Send two real records over HTTP and show the answer."""
        url = f"http://127.0.0.1:{port}/predict"
        if shutil.which("curl"):
            self.run(f"curl -sS -H 'Content-Type: application/json' -d @tests/request.json {url}")
            return
        from mlops_ci.lifecycle.smoke_test import predict

        click.secho(f"$ POST tests/request.json to {url}", bold=True)
        records = json.loads((self._here / "tests/request.json").read_bytes())["records"]
        click.echo(json.dumps(predict(url.removesuffix("/predict"), records)[1]))

    def run(self, *commands: str, expect: int = 0, only: tuple[str, ...] = ("",)) -> None:
        """
        Show each command, run it, show what came out; stop the demo if its exit code is not *expect*.

        Of what came out, only lines that begin with one of *only* are shown.
        """
        for line in commands:
            click.secho(f"$ {line}", bold=True)
            if line.startswith("cd "):
                continue
            done = self._run(line)
            click.echo("".join(row + "\n" for row in done.stdout.splitlines() if row.startswith(only)), nl=False)
            if done.returncode != expect:
                raise click.ClickException(f"`{line}` ended with {done.returncode}, and {expect} was expected")
            if expect:
                click.secho(f"exit code {expect}, as it should be", dim=True)

    def output(self, line: str) -> str:
        """Run a command silently and return what it printed."""
        return self._run(line, stderr=subprocess.DEVNULL).stdout

    def say(self, sentence: str) -> None:
        """Tell the person what is going on."""
        click.secho(sentence, fg="cyan")

    def title(self, text: str) -> None:
        """Begin a step."""
        click.secho(f"\n{text}", bold=True, fg="green")

    def _run(self, line: str, stderr: int = subprocess.STDOUT) -> subprocess.CompletedProcess[str]:
        words: Sequence[str] = shlex.split(line)
        target = None
        if ">" in words:
            target = self._here / words[words.index(">") + 1]
            words = words[: words.index(">")]
        who = {
            f"GIT_{role}_{what}": value
            for role in ("AUTHOR", "COMMITTER")
            for what, value in (("NAME", self._person.partition("@")[0]), ("EMAIL", self._person))
        }
        done = subprocess.run(
            words,
            cwd=self._here,
            env={**self._env, **who},
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            check=False,
        )
        if target is not None:
            target.write_text(done.stdout, "utf-8")
            done.stdout = ""
        return done

    def _key(self, person: str, *, local: bool = False) -> str:
        name = f"{person.partition('@')[0]}.key"
        return name if local else f"../{name}"


def _fresh(folder: Path) -> Path:
    """An empty *folder*: what an earlier demo left there is removed, anything else is not."""
    if folder.exists() and any(folder.iterdir()):
        if not (folder / _MARKER).exists():
            raise click.ClickException(f"{folder} is not empty, and no demo made it; name another folder")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / _MARKER).touch()
    return folder


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [found.getsockname()[1] for found in sockets]
    for found in sockets:
        found.close()
    return ports
