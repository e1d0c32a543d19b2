"""Find a registered version by what a person calls it: `1.0.0`, `v1.0.0`, `cancer@v1.0.0`, or "" for the newest."""

from __future__ import annotations

from mlops_ci import providers
from mlops_ci.config import Config
from mlops_ci.entities import ModelVersion
from mlops_ci.errors import NotFound
from mlops_ci.ledger import Ledger
from mlops_ci.records import Record


def find_version(ledger: Ledger, config: Config, name: str = "") -> tuple[ModelVersion, Record]:
    """
    Return the version that *name* means, and its record.

    Only a claimed version counts: a record of the same name without the claim was never registered.

    Raises:
        NotFound: There is none; the hint names the nearest.
        ServiceError: The ledger did not answer.
    """
    claims = ledger.claims(f"version/{config.model}")
    versions = {claim.rpartition("/")[2]: record for claim, record in claims.items()}
    if not versions:
        raise NotFound(f"no version of {config.model} is registered", hint="push a tag and `mlops-ci register` it")
    wanted = name.removeprefix(f"{config.model}@").removeprefix("v") if name else _newest(versions)
    if wanted not in versions:
        raise NotFound(f"no version {name!r} of {config.model}", hint=providers.suggestion(wanted, list(versions)))
    return versions[wanted].read(ModelVersion), versions[wanted]


def precedence(version: str) -> tuple[tuple[int, ...], tuple[tuple[int, int, str], ...]]:
    """The order of semantic versions (https://semver.org, section 11); build metadata does not count."""
    numbers, _, pre = version.partition("+")[0].partition("-")
    # A release comes after its pre-releases; numeric identifiers come before words.
    identifiers = (
        [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in pre.split(".")] if pre else [(2, 0, "")]
    )
    return tuple(int(number) for number in numbers.split(".")), tuple(identifiers)


def _newest(versions: dict[str, Record]) -> str:
    """The highest release; a pre-release only where there is nothing else."""
    releases = [version for version in versions if "-" not in version.partition("+")[0]]
    return max(releases or versions, key=precedence)
