"""
`.mlops/waivers.yaml`: known failures that named people answer for; read and checked as `mlops.yaml` is.

What a waiver does is the business of `gates`; which copy of the file rules, and on which day, that of `lifecycle`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date
from typing import Annotated, Any

import msgspec
from msgspec import Meta
from yaml import Node

from mlops_ci.config.nodes import compose, items_of, line_of, scalar_of
from mlops_ci.config.reader import Problem, Reader, refuse_problems, spell
from mlops_ci.config.structs import Line, Name
from mlops_ci.entities import Waiver

_DAY = r"^\d{4}-\d{2}-\d{2}$"


class WaiverRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A known failure of one metric that a named person answers for, for a while."""

    metric: Annotated[
        str, Meta(min_length=1, max_length=250, description="The metric's name, exactly as its gate has it.")
    ]
    ceiling: Annotated[
        float,
        Meta(description="The worst value that is waived: the lowest for min and max_drop, else the highest."),
    ]
    owner: Annotated[Line, Meta(description="Who answers for it.")]
    reason: Annotated[
        Annotated[
            str, Meta(pattern=r"^\S([^\r\n]*\S)?$", max_length=500, extra={"allowed": "a line of up to 500 characters"})
        ],
        Meta(description="Why the failure is accepted."),
    ]
    expires: Annotated[
        Annotated[str, Meta(pattern=_DAY, extra={"allowed": "a day such as 2026-12-31"})],
        Meta(description="The last day, in UTC, on which it counts."),
    ]
    issue: Annotated[
        Annotated[str, Meta(pattern=r"^(https?://\S+)?$", max_length=500, extra={"allowed": "an https address"})],
        Meta(description="Where the work on it is followed."),
    ] = ""
    project: Annotated[Name, Meta(description="The project it is for. Default: every project of the repository.")] = ""

    @property
    def waiver(self) -> Waiver:
        """It as gates and reports see it."""
        return Waiver(
            metric=self.metric,
            ceiling=self.ceiling,
            owner=self.owner,
            reason=self.reason,
            expires=self.expires,
            issue=self.issue,
        )


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What mlops-ci accepts for a while although a gate says no."""

    waivers: Annotated[list[WaiverRow], Meta(description="One row for each metric.")]


def parse(text: bytes | str, source: str) -> list[WaiverRow]:
    """
    Read the waivers *text*; see `mlops_ci.config.parse`.

    Raises:
        ConfigError: It is not YAML, or a row is wrong. Every problem has a line.
    """
    root = compose(text, source, if_empty="write `waivers: []`, or remove the file")
    reader = Reader()
    found = reader.read_as(_File, root)
    reader.problems += _beyond_types(root)
    refuse_problems(reader.problems, source, hint="docs/waivers.md has the keys of a row")
    return list(found.waivers)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the file."""
    (_,), definitions = msgspec.json.schema_components([_File], ref_template="#/$defs/{name}")
    row = definitions["WaiverRow"]
    row["properties"]["expires"]["format"] = "date"
    for field in row["properties"].values():
        if field.get("default") == "":
            del field["default"]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **definitions["_File"],
        "title": ".mlops/waivers.yaml",
        "$defs": {"WaiverRow": row},
    }


def _beyond_types(root: Node) -> Iterator[Problem]:
    """Find what no type says, also where something else is wrong with a row: days that are none, rows said twice."""
    first: dict[tuple[str, str], int] = {}
    for index, row in enumerate(items_of(root, "waivers")):
        said = {key: value for key in WaiverRow.__struct_fields__ if (value := scalar_of(row, key)) is not None}
        if "expires" in said and re.match(_DAY, said["expires"].value) and not _is_day(said["expires"].value):
            text = f'found "{said["expires"].value}", which is no day; allowed: a day such as 2026-12-31'
            yield Problem(line_of(said["expires"]), spell(("waivers", index, "expires")), text)
        if "metric" not in said:
            continue
        metric, project = said["metric"].value, said["project"].value if "project" in said else ""
        before = [
            line for (name, of), line in first.items() if name == metric and (of == project or "" in {of, project})
        ]
        if before:
            text = f"{metric} is waived twice, first on line {before[0]}; one row for a metric"
            yield Problem(line_of(said["metric"]), spell(("waivers", index, "metric")), text)
        first.setdefault((metric, project), line_of(said["metric"]))


def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
