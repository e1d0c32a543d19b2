"""
OpenSSH signatures: signs and verifies text with the keys that people have already.

Keys are vouched for by a file in OpenSSH's ALLOWED SIGNERS format (ssh-keygen(1)). What is signed, and
who may, is the business of others.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from mlops_ci.errors import Refused, UsageError

NAMESPACE = "mlops-ci"


def sign(payload: str, key: Path) -> str:
    """
    Return the armored signature of *payload* by the private key at *key* (or its public half, with an agent).

    Raises:
        UsageError: The key cannot be used.
    """
    done = _ssh_keygen(["-Y", "sign", "-n", NAMESPACE, "-f", os.fspath(key)], payload)
    if done.returncode:
        raise UsageError(
            f"cannot sign with {key}: {_last_line(done.stderr)}",
            hint="`--key` names a private SSH key, or a public one whose private half your agent holds",
        )
    return done.stdout


def signer_of(payload: str, signature: str, allowed_signers: bytes, *, at: datetime | None = None) -> str:
    """
    Return the principal whose key in *allowed_signers* made *signature* over *payload*.

    A key counts if it was valid at the moment *at*; now, unless given.

    Raises:
        Refused: Nobody's did: the key is unknown, expired or revoked, or the text is not what was signed.
    """
    with tempfile.TemporaryDirectory() as name:
        allowed, signed = Path(name) / "allowed_signers", Path(name) / "signature"
        allowed.write_bytes(allowed_signers)
        signed.write_text(signature, "utf-8")
        files = ["-s", os.fspath(signed), "-f", os.fspath(allowed)]
        if at is not None:
            files += ["-O", f"verify-time={at.astimezone(UTC):%Y%m%d%H%M%S}Z"]
        found = _ssh_keygen(["-Y", "find-principals", *files], "")
        principals = found.stdout.split()
        if found.returncode or not principals:
            raise Refused(
                "the signature's key is not in the default branch's .mlops/allowed_signers",
                hint='add a line `<email> namespaces="mlops-ci" <public key>` there through a reviewed pull request',
            )
        verified = _ssh_keygen(["-Y", "verify", "-n", NAMESPACE, "-I", principals[0], *files], payload)
    if verified.returncode:
        raise Refused(
            f"the signature of {principals[0]} does not hold: {_last_line(verified.stderr or verified.stdout)}"
        )
    return principals[0]


def _ssh_keygen(args: Sequence[str], stdin: str) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            ["ssh-keygen", *args], input=stdin, capture_output=True, text=True, encoding="utf-8", check=False
        )
    except FileNotFoundError as error:
        raise UsageError("ssh-keygen is not installed", hint="apt-get install openssh-client") from error


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else "no reason was given"
