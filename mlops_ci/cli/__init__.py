"""
The command line: one file for each noun or verb, loaded when it is asked for.

Parses, calls a use case of `lifecycle`, and shows what came of it; the only room that prints and that
knows click.
"""

from __future__ import annotations

import gc as collector  # `gc` is what the command of that name is found by
import importlib
import os
import sys
import traceback
import warnings
from collections.abc import Mapping
from typing import Any

import click

from mlops_ci.errors import MlopsCIError, ServiceError

COMMANDS = {
    "init": "start a project in this repository",
    "run": "train, and record the run",
    "gate": "judge the run of what is checked out",
    "report": "show the newest verdict as Markdown, HTML or JSON",
    "register": "turn the run of a tagged commit into a model version",
    "render": "write the service, the image recipe and the manifests of a version",
    "serve": "run a version's service on this machine, or measure how it is best set",
    "build": "build the container image of a version",
    "deploy": "deploy a version to a target",
    "promote": "deploy to a target what is live on another",
    "rollback": "put back what a target ran before",
    "approve": "sign a decision on a deployment",
    "explain": "follow a deployment down to its data, verifying everything",
    "runs": "list runs, or show one",
    "experiments": "list experiments, rename, archive or delete one",
    "models": "list the versions of the model",
    "deployments": "list deployments, check, lock or stop them",
    "approvals": "list the decisions that are asked for",
    "sync": "send what waits here",
    "gc": "delete artifacts that nobody needs",
    "backup": "write everything to one file, verified",
    "restore": "bring back what a backup has",
    "doctor": "look whether this project is set up, and say what to do",
    "config": "check mlops.yaml, or print its schema",
    "ci": "do what the CI event asks for",
    "demo": "walk the whole loop on a real model, in a folder of its own",
}
BUG = 70
INTERRUPTED = 130


class _Commands(click.Group):
    """Imports a command's module when the command is named; its line of help stands in `COMMANDS`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        del ctx
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"mlops_ci.cli.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            from mlops_ci.providers import suggestion

            ctx.fail(f"no command {args[0]!r}; {suggestion(args[0], COMMANDS).replace('Known', 'known')}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="mlops-ci", message="mlops-ci %(version)s")
@click.option(
    "--config", "config_path", metavar="FILE", help="Read this instead of mlops.yaml at the top of the repository."
)
@click.option("-q", "--quiet", is_flag=True, help="Print results and errors only.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def cli(ctx: click.Context, /, **options: Any) -> None:
    """The whole life of a model, from its own repository.

    Exit codes: 0 done, 1 a gate failed, 2 wrong use or configuration, 3 something outside did not answer,
    4 refused by policy, 5 the training command failed, 6 undecided, 70 a bug of mlops-ci, 130 interrupted.
    """
    ctx.ensure_object(dict).update(options)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    # Most of what a command allocates lives until it ends: looking for garbage in it is a tenth of the time to start.
    collector.set_threshold(100_000, 50, 100)
    options: dict[str, Any] = {}
    warnings.showwarning = _show_warning
    try:
        code = cli(standalone_mode=False, obj=options)
    except MlopsCIError as error:
        code = _complain(str(error), error.hint, error.exit_code, options)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (KeyboardInterrupt, click.Abort):
        code = _complain("interrupted", "", INTERRUPTED, options)
    except BrokenPipeError:
        # Whoever read our output has seen enough; nothing may be written while the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 0
    except OSError as error:
        said = f"{error.filename or 'the system'}: {error.strerror}"
        code = _complain(said, "mend that, then run the same command again", ServiceError.exit_code, options)
    except Exception as error:  # noqa: BLE001  # whatever it is, a person gets a sentence
        said = f"unexpected {type(error).__name__}: {error}"
        code = _complain(said, "this is a bug of mlops-ci; `mlops-ci --debug …` shows where", BUG, options)
    sys.exit(code if isinstance(code, int) else 0)


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning is a sentence for a person, like an error; where in the program it was raised is of no use."""
    click.echo(f"mlops-ci: warning: {message}", err=True)


def _complain(message: str, hint: str, code: int, options: Mapping[str, Any]) -> int:
    """Say what went wrong and what to do, after the traceback if that is asked for; return *code*."""
    if options.get("debug"):
        traceback.print_exc()
    from mlops_ci.cli.show import printable

    click.echo(f"mlops-ci: {printable(message)}", err=True)
    if hint:
        click.echo(f"  {hint}", err=True)
    return code
