"""The list of what is in an image, judged by the format's own schema."""

from __future__ import annotations

import json
from pathlib import Path

from cyclonedx.schema import SchemaVersion
from cyclonedx.schema._res import BOM_JSON_STRICT
from jsonschema import Draft7Validator
from referencing import Registry, Resource

from mlops_ci.images import sbom

LOCK = f"""\
joblib==1.4.2 \\
    --hash=sha256:{"a" * 64} \\
    --hash=sha256:{"b" * 64}
typing-extensions==4.15.0 ; python_version < '3.13' \\
    --hash=sha256:{"c" * 64}
"""
STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Version: 2.36-9+deb12u10
Description: GNU C Library
 Status: this line belongs to the description

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1.0

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2025b-0+deb12u1
"""


def written(**changes: str) -> bytes:
    facts = {"lock": LOCK, "dpkg_status": STATUS, "digest": "sha256:" + "1" * 64, **changes}
    return sbom.write("churn", "1.0.0", **facts, epoch=1_700_000_000)


def faults(data: bytes) -> list[str]:
    """What the schema that comes with the library says of an SBOM; its own validator would want 2 s at every import."""
    path = Path(BOM_JSON_STRICT[SchemaVersion.V1_6])
    others = [(each.name.replace(".SNAPSHOT", ""), json.loads(each.read_text())) for each in path.parent.glob("*.json")]
    registry = Registry().with_resources((name, Resource.from_contents(schema)) for name, schema in others)
    return [
        error.message
        for error in Draft7Validator(json.loads(path.read_text()), registry=registry).iter_errors(json.loads(data))
    ]


def test_it_is_valid_and_always_the_same() -> None:
    assert faults(written()) == []
    assert written() == written()
    assert written() != written(digest="sha256:" + "2" * 64)


def test_the_validator_would_notice() -> None:
    assert faults(written().replace(b'"library"', b'"books"', 1))


def test_it_names_what_is_installed_with_hashes_and_purls() -> None:
    found = json.loads(written())
    parts = {part["purl"]: part for part in found["components"]}
    assert set(parts) == {
        "pkg:pypi/joblib@1.4.2",
        "pkg:pypi/typing-extensions@4.15.0",
        "pkg:deb/debian/libc6@2.36-9%2Bdeb12u10?arch=amd64",
        "pkg:deb/debian/tzdata@2025b-0%2Bdeb12u1?arch=all",
    }
    assert {each["content"] for each in parts["pkg:pypi/joblib@1.4.2"]["hashes"]} == {"a" * 64, "b" * 64}
    assert found["metadata"]["component"]["name"] == "churn"


def test_a_base_without_debian_is_no_trouble() -> None:
    assert len(json.loads(written(dpkg_status=""))["components"]) == 2


def test_a_wheel_that_is_named_by_its_address_is_in_it() -> None:
    line = f"own-code @ https://host/own_code-0.3-py3-none-any.whl \\\n    --hash=sha256:{'d' * 64}\n"
    parts = {part["purl"]: part for part in json.loads(written(lock=LOCK + line))["components"]}
    assert parts["pkg:pypi/own-code@0.3"]["hashes"] == [{"alg": "SHA-256", "content": "d" * 64}]
