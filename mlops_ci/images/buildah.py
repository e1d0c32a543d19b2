"""
Builds by buildah, without a daemon. The same inputs give the same image, byte for byte, whenever and wherever.

All but the last stage of a recipe is built apart, with 1970 as its time, so that the layers which versions share
are the same for each; only the last carries the version's own time.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from mlops_ci import digests, records
from mlops_ci.errors import ServiceError, UsageError
from mlops_ci.images import Built, Order, Tell, program, recipes

_SHARED = "localhost/mlops-ci-packages"
_QUIETLY = {"BUILDAH_ISOLATION": "chroot"}


class BuildahBuilder:
    """buildah on this machine, with whatever storage and registries it is configured for."""

    name: ClassVar[str] = "buildah"

    def __init__(self) -> None:
        said = program.ask("buildah", "version", "--json") if shutil.which("buildah") else None
        if said is None:
            raise UsageError("there is no buildah here", hint="install it, or build with `--builder docker`")
        self._number = str(json.loads(said)["version"])

    @property
    def version(self) -> str:
        """Of the one program."""
        return self._number

    @property
    def doubt(self) -> str:
        """None: what is built depends on the inputs alone."""
        return ""

    def build(self, order: Order, tell: Tell) -> Built:
        """Build by `buildah build`, in two parts where the recipe lets us; see `Builder.build`."""
        recipe = (order.context / "Dockerfile").read_text("utf-8")
        divided = recipes.parts(recipe)
        with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
            if divided is not None:
                shared, own = divided
                name = self._shared(order, shared, Path(folder), tell)
                recipe = f"FROM {name}{own}"
            self._build(order, recipe, Path(folder), order.reference, tell, epoch=order.epoch)
        built = self.inspect(order.reference)
        if built is None:
            raise ServiceError(f"{order.reference} was built and is not there", hint="run the same command again")
        return built

    def inspect(self, reference: str) -> Built | None:
        """Ask the storage; see `Builder.inspect`."""
        said = program.ask("buildah", "inspect", "--type", "image", reference)
        if said is None:
            return None
        facts: dict[str, Any] = json.loads(said)
        system = facts["OCIv1"]
        return Built(
            image_id=f"sha256:{facts['FromImageID']}",
            size_bytes=sum(layer["size"] for layer in json.loads(facts["Manifest"])["layers"]),
            layers=system["rootfs"]["diff_ids"],
            platform=f"{system['os']}/{system['architecture']}",
        )

    def read(self, image: str, path: str) -> bytes:
        """Print it in a container; see `Builder.read`."""
        container = (program.ask("buildah", "from", "--pull-never", image) or "").strip()
        try:
            said = program.ask("buildah", "run", "--user", "0", container, "--", "cat", path, env=_QUIETLY)
            return (said or "").encode()
        finally:
            program.ask("buildah", "rm", container)

    def push(self, reference: str, tell: Tell) -> str:
        """Push by `buildah push`; see `Builder.push`."""
        with tempfile.TemporaryDirectory(prefix="mlops-ci-") as folder:
            said = Path(folder, "digest")
            command = ["buildah", "push", "--retry", "0", "--digestfile", str(said), reference, f"docker://{reference}"]
            program.run(command, tell, what="pushing")
            return said.read_text("ascii").strip()

    def _shared(self, order: Order, recipe: str, folder: Path, tell: Tell) -> str:
        """Build what versions share, unless it is here, and return its name: made of all that it depends on."""
        bases = [self._base(base, order, tell) for base in recipes.bases(recipe)]
        lock = order.context / "requirements.lock"
        inputs = [recipe, bases, digests.of_file(lock) if lock.is_file() else ""]
        name = f"{_SHARED}:{records.digest(inputs).removeprefix('sha256:')}"
        if not order.cached or self.inspect(name) is None:
            self._build(order, recipe, folder, name, tell, epoch=0)
        return name

    def _base(self, base: str, order: Order, tell: Tell) -> str:
        """The id of the image *base*, which is fetched if it is not here."""
        known = self.inspect(base)
        if known is None:
            program.run(["buildah", "pull", "--quiet", base], tell, what="building", hidden=order.hidden)
            known = self.inspect(base)
        return known.image_id if known else base

    def _build(self, order: Order, recipe: str, folder: Path, name: str, tell: Tell, *, epoch: int) -> None:
        file = folder / "Dockerfile"
        file.write_text(recipe, "utf-8")
        command = ["buildah", "build", "--isolation", "chroot", "--format", "oci", "--layers"]
        command += ["--timestamp", str(epoch), "--file", os.fspath(file), "--tag", name]
        command += [] if order.cached else ["--no-cache"]
        command += [word for id_, path in order.secrets.items() for word in ("--secret", f"id={id_},src={path}")]
        program.run([*command, str(order.context)], tell, what="building", env=_QUIETLY, hidden=order.hidden)
