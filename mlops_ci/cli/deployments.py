"""`mlops-ci deployments`: what was put where, what runs there, and who keeps others from changing it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from mlops_ci.cli import show

if TYPE_CHECKING:
    from mlops_ci.lifecycle.deployments import Past

_UNITS_S = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_DIFFERS = 1
_LONGEST_REASON = 80


@click.group(invoke_without_command=True)
@click.option("--target", "targets", multiple=True, metavar="NAME", help="Only this target (may be repeated).")
@click.option("--at", default="", metavar="TIME", help="Only what served at that time: 2026-05-01, or with T12:00.")
@click.option("-n", "--limit", default=20, show_default=True, type=click.IntRange(min=1), help="How many.")
@show.as_json
@click.pass_context
def command(ctx: click.Context, targets: tuple[str, ...], at: str, limit: int, json_output: bool) -> None:
    """List deployments: who put what where, when and why, and what still serves, which is there however old."""
    if ctx.invoked_subcommand is not None:
        return
    from mlops_ci.lifecycle import policy
    from mlops_ci.lifecycle.deployments import past
    from mlops_ci.numerals import count

    project = policy.ruled(show.project_of(ctx))
    if not targets:
        show.left_out(ctx, project)
    every = past(project, targets, at=_moment(at) if at else None)
    found = [one for number, one in enumerate(every) if number < limit or one.serving]
    if len(found) < len(every):
        show.notifier(ctx)(f"{count(len(every) - len(found), 'older one')} not shown: --limit")
    if json_output:
        show.json(
            [
                {"record": one.record.id, "time": one.record.time, "serving": one.serving, "deployment": one.deployment}
                for one in found
            ]
        )
        return
    columns = ("", "record", "target", "version", "outcome", "when", "by", "where")
    empty = "nothing served then" if at else "nothing was deployed yet"
    show.table(columns, [_row(one) for one in found], empty=empty)


@command.command("stop")
@click.argument("target")
@click.pass_context
@show.exits
def stop(ctx: click.Context, target: str) -> None:
    """Take away what runs on TARGET."""
    from mlops_ci.lifecycle.deploying.deploy import stop as stop_target

    stopped = stop_target(show.project_of(ctx), target)
    click.echo(f"{target} is stopped" if stopped else f"nothing of ours runs on {target}")


@command.command("check")
@click.argument("targets", nargs=-1)
@click.option("--diff", is_flag=True, help="Show every line that differs.")
@show.as_json
@click.pass_context
@show.exits
def check(ctx: click.Context, targets: tuple[str, ...], diff: bool, json_output: bool) -> int:
    """Compare what the TARGETS (all, unless named) run with what is recorded; exit code 1 where something differs."""
    from mlops_ci.lifecycle.deploying.compare import compare

    found = compare(show.project_of(ctx), targets)
    code = _DIFFERS if any(one.state not in {"same", "empty"} for one in found) else 0
    if json_output:
        show.json(
            [
                {
                    "target": one.target,
                    "state": one.state,
                    "why": one.why,
                    "record": one.record.id if one.record else "",
                    "changes": list(one.changes),
                }
                for one in found
            ]
        )
        return code
    show.table(
        ("target", "state", ""), [(one.target, one.state, one.why) for one in found], empty="there are no targets"
    )
    for change in (change for one in found for change in one.changes if diff):
        show.diff(change.diff)
    return code


@command.command("lock")
@click.argument("target")
@click.option("--reason", required=True, help="Told to whoever wants to deploy.")
@click.option("--for", "length", default="1h", metavar="TIME", help="30m, 2h, 1d; 1h unless given.")
@click.pass_context
@show.exits
def lock(ctx: click.Context, target: str, reason: str, length: str) -> None:
    """Keep everybody else from changing TARGET for a while."""
    from mlops_ci.errors import UsageError
    from mlops_ci.lifecycle.deploying import locks

    if not length[:-1].isascii() or not length[:-1].isdecimal() or length[-1:] not in _UNITS_S or len(length) > 5:
        raise UsageError(f"{length!r} is no length of time", hint="say 30m, 2h, 1d or 1w")
    for_s = int(length[:-1]) * _UNITS_S[length[-1]]
    held = locks.lock(show.project_of(ctx), target, reason=reason, for_s=for_s)
    click.echo(f"{target} is locked until {show.minute(held.lock.expires)}: {show.printable(reason)}")


@command.command("unlock")
@click.argument("target")
@click.option("--reason", default="", help="Why, for the record.")
@click.pass_context
@show.exits
def unlock(ctx: click.Context, target: str, reason: str) -> None:
    """Lift the lock of TARGET, whoever's it is; the record says who lifted it."""
    from mlops_ci.lifecycle.deploying import locks

    held = locks.unlock(show.project_of(ctx), target, reason=reason)
    click.echo(f"{target} is free; {show.printable(f'{held.owner} had locked it: {held.lock.reason}')}")


@command.command("locks")
@show.as_json
@click.pass_context
def list_locks(ctx: click.Context, json_output: bool) -> None:
    """List the locks that hold now."""
    from mlops_ci.lifecycle import policy
    from mlops_ci.lifecycle.deploying import locks

    project = policy.ruled(show.project_of(ctx))
    show.left_out(ctx, project)
    every = [held for name in project.within_reach if (held := locks.holding(project, name)) is not None]
    if json_output:
        show.json([{"record": held.record.id, "owner": held.record.author, "lock": held.lock} for held in every])
        return
    rows = [(held.lock.target, held.owner, show.minute(held.lock.expires), held.lock.reason) for held in every]
    show.table(("target", "by", "until", "why"), rows, empty="nothing is locked")


def _row(one: Past) -> Sequence[str]:
    deployment = one.deployment
    plan = deployment.plan
    outcome = "live again" if deployment.cause == "rollback" and deployment.status == "live" else deployment.status
    return (
        "●" if one.serving else "",
        one.record.id[:12],
        plan.target,
        f"{plan.model} {plan.version}",
        outcome,
        show.ago(one.record.time),
        one.record.author.name,
        _shortened(deployment.reason) or deployment.url,
    )


def _shortened(reason: str) -> str:
    first = reason.partition("\n")[0]
    return first if len(first) <= _LONGEST_REASON else f"{first[: _LONGEST_REASON - 1]}…"


def _moment(text: str) -> datetime:
    from mlops_ci.errors import UsageError

    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise UsageError(
            f"{text!r} is no time", hint="say 2026-05-01 or 2026-05-01T12:00, UTC unless it says"
        ) from error
    return found if found.tzinfo else found.replace(tzinfo=UTC)
