"""
Writes the pages of docs/ that are derived from the program; with `--check`, only says which of them are out of date.

- reference.md: what each command's `--help` says.
- configuration.md: every key of mlops.yaml, from the schema.
- mlops.schema.json: that schema, by which editors complete and check the file.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from mlops_ci import config
from mlops_ci.cli import cli

DOCS = Path(__file__).resolve().parent
WIDTH = 100
BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤"}
Json = dict[str, Any]
COMMANDS = """\
# Commands

Written by `./dev docs`: what `mlops-ci COMMAND --help` says.
"""
CONFIGURATION = """\
# Configuration

Written by `./dev docs` from the schema of `mlops.yaml`, the one file that you write. `mlops-ci config check` reads
yours and says everything that is wrong with it at once. `mlops-ci config schema > mlops.schema.json` writes the schema;
an editor takes it from a first line `# yaml-language-server: $schema=mlops.schema.json`.

The smallest that works:

```yaml
project: churn
run:
  command: python train.py
gates:
  - metric: accuracy
    min: 0.90
```

A team's:

```yaml
project: churn
artifacts: /srv/models              # a folder that all see; in the repository unless said otherwise

run:
  command: python train.py
  params: [params.yaml]             # only for training code that logs nothing itself
  metrics: [metrics.json]
  plots: [plots/]
  data: {train: data/train.parquet, test: data/test.parquet}
  model: {path: model/, flavor: sklearn}
  reuse: true                       # the same tree, data and parameters are not trained twice

gates:
  - metric: accuracy                # which way is better is known for the usual names
    min: 0.90
    max_drop: 0.01                  # against the baseline, in the metric's own unit
  - metric: log_loss
    max_increase: 5%                # of the baseline
  - metric: queue_length
    better: lower
    max: 200
    on_fail: warn                   # shown, and blocks nothing

serving: {image: "ghcr.io/acme/churn:1.4.0", workers: 2}

targets:
  staging:
    kind: local
    port: 3001
  production:
    kind: local
    port: 3002
    after: staging                  # what is not live there does not come here
    approval: {required: 2, from: [lead@example.com, risk@example.com, on-call@example.com]}
    freeze: [{days: [fri], from: "16:00", timezone: Europe/Berlin}, {days: [sat, sun]}]
  cluster:
    kind: kubernetes
    kubernetes: "1.31"
    namespace: churn
    credentials: KUBECONFIG_CLUSTER # the environment variable with the kubeconfig
    replicas: {min: 2, max: 6}
    resources: {cpu: 500m, memory: 512Mi}
```

A relative path starts where `mlops.yaml` is. A branch cannot weaken the rules that judge it: a pull request is judged
by the file of the branch that it wants to enter, a release by the default branch's.
"""


def reference() -> str:
    """The page of all commands, each with its help."""
    return COMMANDS + "".join(f"\n## {path}\n\n```text\n{text}```\n" for path, text in helps("mlops-ci", cli, None))


def helps(path: str, command: click.Command, parent: click.Context | None) -> Iterator[tuple[str, str]]:
    """Yield each command below *command*, and itself: how it is called, and its help."""
    name = path.rpartition(" ")[2]
    context = click.Context(command, parent, info_name=name, terminal_width=WIDTH, **command.context_settings)
    yield path, "".join(f"{line.rstrip()}\n" for line in command.get_help(context).splitlines())
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            found = command.get_command(context, name)
            if found is not None and not found.hidden:
                yield from helps(f"{path} {name}", found, context)


def schema() -> str:
    """What `mlops-ci config schema` prints."""
    done = CliRunner().invoke(cli, ["config", "schema"], catch_exceptions=False)
    return done.stdout


def configuration() -> str:
    """The page of all keys: a table for each section, in the order in which a reader meets them."""
    whole: Json = config.schema()
    titles: dict[str, str] = {}
    parts = list(sections("", whole, whole["$defs"], titles))
    return CONFIGURATION + "".join(
        f"\n## {title}\n\n{said_of(section)}\n\n{table(section, titles)}" for title, section in parts
    )


def sections(path: str, section: Json, definitions: Json, titles: dict[str, str]) -> Iterator[tuple[str, Json]]:
    """
    Yield *section* with its title, then those inside it; a target also with each of its kinds.

    Args:
        path: Where *section* stands in the file.
        section: Part of the schema.
        definitions: The schema's.
        titles: Of the definitions that were met; this adds to it.
    """
    kinds = {branch["if"]["properties"]["kind"]["const"]: branch["then"] for branch in section.get("allOf", [])}
    general = shared(section, list(kinds.values())) if kinds else section["properties"]
    yield f"`{path}`" if path else "The file", {**section, "properties": general}
    own = {
        kind: {key: value for key, value in of["properties"].items() if key not in general}
        for kind, of in kinds.items()
    }
    for kind, keys in own.items():
        yield f"`{path}` of kind `{kind}`", {**kinds[kind], "properties": keys}
    for keys in (general, *own.values()):
        for key, value in keys.items():
            for name in referred(value):
                if name not in titles:
                    below = f"{path}.{key}".lstrip(".") + {"array": "[]", "object": ".NAME"}.get(value.get("type"), "")
                    titles[name] = below
                    yield from sections(below, definitions[name], definitions, titles)


def shared(section: Json, kinds: list[Json]) -> Json:
    """The keys of *section* itself, and those that are the same in all of *kinds*."""
    first = kinds[0]["properties"]
    same = {key: first[key] for key in first if all(kind["properties"].get(key) == first[key] for kind in kinds)}
    return {**section["properties"], **same}


def referred(value: Any) -> Iterator[str]:
    """The names of the definitions that *value* may hold."""
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        value = [item for key, item in value.items() if key != "default"]
    if isinstance(value, list):
        for item in value:
            yield from referred(item)


def said_of(section: Json) -> str:
    """The description of a whole section, its names written as code."""
    return re.sub(r"\*(\w+)\*", r"`\1`", " ".join(section["description"].split()))


def table(section: Json, titles: dict[str, str]) -> str:
    """The keys of a section, a line each."""
    rows = [["key", "type", "default", "what it says"], ["---"] * 4]
    for key, value in section["properties"].items():
        default = "required" if key in section.get("required", []) else written(value.get("default"))
        rows.append([f"`{key}`", type_of(value, titles), default, value.get("description", "")])
    return "".join(f"| {' | '.join(cell.replace('|', '¦') or ' ' for cell in row)} |\n" for row in rows)


def written(default: Any) -> str:
    """A default as YAML has it; a section's stand in its own table, and nothing is not written."""
    if default in (None, "", []) or isinstance(default, dict):
        return ""
    if isinstance(default, float):
        return f"`{default:g}`"
    plain = isinstance(default, str) and not default.replace(".", "").isdigit()
    return f"`{default if plain else json.dumps(default)}`"


def type_of(value: Json, titles: dict[str, str]) -> str:
    """The type of a value in words; a section is a link."""
    if "anyOf" in value:
        return " or ".join(type_of(one, titles) for one in value["anyOf"] if one.get("type") != "null")
    if "$ref" in value:
        title = titles[next(referred(value))]
        return f"[`{title}`](#{re.sub(r'[^a-z_]', '', title.lower())})"
    if "enum" in value:
        return " or ".join(f"`{one}`" for one in value["enum"])
    inside = value.get("items") or value.get("additionalProperties")
    if isinstance(inside, dict):
        one = type_of(inside, titles)
        return f"{'list' if 'items' in value else 'map'} of {'strings' if one == 'string' else one}"
    if value.get("pattern", "").endswith("%$"):
        return "percentage"
    bounds = [f"{sign} {value[name]}" for name, sign in BOUNDS.items() if name in value]
    return " ".join([value["type"], ", ".join(bounds)]).strip()


PAGES: dict[str, Callable[[], str]] = {
    "reference.md": reference,
    "configuration.md": configuration,
    "mlops.schema.json": schema,
}


def main() -> int:
    """Write the pages, or compare them; 1 if one is out of date."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a page is out of date")
    check = parser.parse_args().check
    old = []
    for name, page in PAGES.items():
        path, text = DOCS / name, page()
        if not path.exists() or path.read_text("utf-8") != text:
            old.append(name)
            if not check:
                path.write_text(text, "utf-8")
    for name in old:
        print(f"docs/{name} is out of date: run ./dev docs" if check else f"wrote docs/{name}")
    return 1 if old and check else 0


if __name__ == "__main__":
    sys.exit(main())
