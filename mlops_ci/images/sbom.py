"""
What is in an image, as CycloneDX 1.6 in JSON: the packages of the lock, and those that the base's Debian installed.

The same inputs give the same bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mlops_ci import records
from mlops_ci.images import lock as locks
from mlops_ci.providers import optional_extra

if TYPE_CHECKING:
    from cyclonedx.model.component import Component

DPKG_STATUS = "/var/lib/dpkg/status"
"""Where Debian, and what is made of it, writes down what is installed."""


def demand() -> None:
    """Raise `MissingDependency` if the library is not here, before anything is built."""
    with optional_extra("image"):
        import cyclonedx  # noqa: F401, PLC0415  # an extra


def write(name: str, version: str, *, lock: str, dpkg_status: str, digest: str, epoch: int) -> bytes:
    """
    List what is in the image of *name* *version*.

    Args:
        name: The model's.
        version: The model's.
        lock: The packages that were installed, with the hashes that their files may have.
        dpkg_status: The text of `DPKG_STATUS` in the image, "" if it has none.
        digest: Of the context that was built; the serial number is made of it.
        epoch: The image's time, in seconds since 1970.

    Raises:
        MissingDependency: The extra is not installed.
    """
    demand()
    from cyclonedx.model.bom import Bom, BomMetaData  # noqa: PLC0415  # an extra
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415  # an extra
    from cyclonedx.output import make_outputter  # noqa: PLC0415  # an extra
    from cyclonedx.schema import OutputFormat, SchemaVersion  # noqa: PLC0415  # an extra

    image = Component(type=ComponentType.CONTAINER, name=name, version=version, bom_ref="image")
    bom = Bom(
        serial_number=uuid.uuid5(uuid.NAMESPACE_URL, digest),
        metadata=BomMetaData(timestamp=records.from_seconds(epoch), component=image),
        components=[*_python(locks.packages(lock)), *_debian(dpkg_status)],
    )
    bom.register_dependency(image, bom.components)
    return make_outputter(bom, OutputFormat.JSON, SchemaVersion.V1_6).output_as_string(indent=1).encode()


def _python(packages: Iterable[locks.Package]) -> Iterator[Component]:
    from cyclonedx.model import HashAlgorithm, HashType  # noqa: PLC0415  # an extra
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415  # an extra
    from packageurl import PackageURL  # noqa: PLC0415  # comes with the extra

    for package in packages:
        purl = PackageURL("pypi", None, package.name.lower().replace("_", "-"), package.version)
        yield Component(
            type=ComponentType.LIBRARY,
            name=package.name,
            version=package.version,
            purl=purl,
            bom_ref=str(purl),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=each) for each in package.hashes],
        )


def _debian(status: str) -> Iterator[Component]:
    from cyclonedx.model.component import Component, ComponentType  # noqa: PLC0415  # an extra
    from packageurl import PackageURL  # noqa: PLC0415  # comes with the extra

    for paragraph in status.split("\n\n"):
        # A line that begins with a blank belongs to the field before.
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and not line[0].isspace())
        if not fields.get("Status", "").endswith(" installed"):
            continue
        qualifiers = {"arch": fields["Architecture"]} if "Architecture" in fields else {}
        purl = PackageURL("deb", "debian", fields["Package"], fields["Version"], qualifiers)
        yield Component(
            type=ComponentType.LIBRARY,
            name=fields["Package"],
            version=fields["Version"],
            purl=purl,
            bom_ref=str(purl),
        )
