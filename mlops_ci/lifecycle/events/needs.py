"""Which extras of the package an event needs, so that the action installs those and no others."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mlops_ci import config as configuration
from mlops_ci.ci import Event
from mlops_ci.config import Config
from mlops_ci.errors import MlopsCIError
from mlops_ci.git import Checkout
from mlops_ci.lifecycle.project import CONFIG_NAME

_DRIVERS = {"postgresql": "postgresql", "postgres": "postgresql", "mysql": "mysql", "mariadb": "mysql"}
_READ_BY_DUCKDB = {".parquet", ".pq"}


def extras(
    event: Event, part: str, start: Path, *, config_path: Path | None = None, deploys: bool = False
) -> list[str]:
    """
    Name the extras that *event* needs, ordered.

    Args:
        event: What CI was started by.
        part: "all", "train" or "record".
        start: Where the checkout is; a job without one has the configuration of nobody.
        config_path: The configuration, where it is not mlops.yaml.
        deploys: Whether a target is named that is to be deployed to.
    """
    if event.nothing:
        return []
    config = _config(start, config_path)
    targets = _of_targets(config, event, deploys=deploys)
    return sorted({*_of_github(part), *_of_stores(config), *_of_training(config, event, part), *targets})


def _config(start: Path, path: Path | None) -> Config | None:
    """The work tree's; whatever is wrong with it is for the command to say."""
    try:
        return configuration.load(path or Checkout.find(start).root / CONFIG_NAME)
    except MlopsCIError:
        return None


def _of_github(part: str) -> Iterator[str]:
    if part != "train":
        yield "github"


def _of_stores(config: Config | None) -> Iterator[str]:
    """By the addresses of stores: those of *config*, and whatever this job was handed, which may know no other."""
    stores = [config.store, *(target.store for target in config.targets.values())] if config else []
    for address in [*stores, *os.environ.values()]:
        scheme = address.partition("://")[0].partition("+")[0]
        if scheme in _DRIVERS:
            yield _DRIVERS[scheme]


def _of_training(config: Config | None, event: Event, part: str) -> Iterator[str]:
    paths = config.run.data.values() if config and config.run and part != "record" and event.kind != "tag" else ()
    if any(Path(path).suffix.lower() in _READ_BY_DUCKDB for path in paths):
        yield "data"


def _of_targets(config: Config | None, event: Event, *, deploys: bool) -> Iterator[str]:
    targets = config.targets.values() if config and (event.kind == "tag" or deploys) else ()
    if any(target.kind == "kubernetes" for target in targets):
        yield from ("kubernetes",) if deploys else ("image", "kubernetes")
    if any(str(getattr(target.options, "uri", "")).startswith("s3://") for target in targets):
        yield "s3"
