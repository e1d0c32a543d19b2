"""`python -m serving`: serves the folder that this package lies in, until it is told to end."""

from __future__ import annotations

import argparse
import os
import sys

from serving import manifest
from serving.server import serve


def main() -> int:
    """Read the command line, prove the model, serve. The exit code is 1 where the service does not start."""
    parser = argparse.ArgumentParser(prog="python -m serving", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--workers", type=int, help="Processes that answer, if not as many as the manifest says.")
    arguments = parser.parse_args()
    sys.path.insert(0, str(manifest.HOME))
    manifest.forbid_bytecode()
    found = manifest.read()
    manifest.verify(found)
    return serve(found, host=arguments.host, port=arguments.port, workers=arguments.workers or found.settings.workers)


if __name__ == "__main__":
    code = main()
    # At once: at the interpreter's own end the loggers wait for each other, and one may wait for a reader for ever.
    os._exit(code)
