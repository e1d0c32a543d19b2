"""
Load the model that is published at an address, and load it again when another one is published there.

    python reload.py file:///srv/models/churn     (or https://…: any address below which current.json is served)

`watch` is all there is to copy; it needs Python and nothing else.
"""

from __future__ import annotations

import hashlib
import json
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any


def fetch(address: str, path: str) -> bytes:
    """Read one file below *address*."""
    with urllib.request.urlopen(f"{address}/{urllib.parse.quote(path)}", timeout=30) as answer:  # noqa: S310
        return bytes(answer.read())


def download(address: str, pointer: dict[str, Any], folder: Path) -> None:
    """Copy the model into *folder*; every file is compared with its digest."""
    for file in pointer["files"]:
        data = fetch(address, f"{pointer['path']}/model/{file['path']}")
        place = (folder / file["path"]).resolve()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != file["digest"] or not place.is_relative_to(folder.resolve()):
            raise ValueError(f"{file['path']} is not what was published")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)


def watch(address: str, load: Callable[[Path, dict[str, Any]], None], every_s: float = 10) -> None:
    """Call *load* with the folder of the model (it goes afterwards) and what was published, each time that changes."""
    loaded = None
    while True:
        try:
            pointer = json.loads(fetch(address, "current.json"))
            if pointer["path"] != loaded:
                with tempfile.TemporaryDirectory() as folder:
                    download(address, pointer, Path(folder))
                    load(Path(folder), pointer)
                loaded = pointer["path"]
        except (OSError, ValueError, KeyError) as error:
            print(f"the model that is loaded stays: {error}", file=sys.stderr, flush=True)
        time.sleep(every_s)


if __name__ == "__main__":
    watch(sys.argv[1].rstrip("/"), lambda folder, said: print(said["version"], *sorted(folder.iterdir()), flush=True))
