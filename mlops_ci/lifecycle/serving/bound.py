"""
A script of its own: becomes the program in its arguments, which ends when the process that started it has ended.

The kernel sees to that where it can (Linux); elsewhere only what ends us in an orderly way ends the program.
"""

from __future__ import annotations

import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Take the parent's process number and a command line."""
    parent, *command = sys.argv[1:]
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415  # only here

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(parent):  # it has ended before we could ask for that
            sys.exit(1)
    try:
        os.execvp(command[0], command)  # noqa: S606  # the command line of whoever started us
    except OSError as error:
        sys.exit(f"{command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()
