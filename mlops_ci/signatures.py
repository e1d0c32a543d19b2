"""
OpenSSH signatures: signs and verifies text with the keys that people have already.

Keys are vouched for by a file in OpenSSH's ALLOWED SIGNERS format (ssh-keygen(1)). What is signed, and
who may, is the business of others.
"""

from __future__ import annotations

import base64
import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Signer:
    """
    Who signed.

    Attributes:
        key: The public key, in base64.
        principals: The names under which this key is allowed at that moment; at least one.
        aliases: All names that stand beside this key, on lines that have expired too: one key is one person.
    """

    key: str
    principals: tuple[str, ...]
    aliases: tuple[str, ...]


def signer_of(payload: str, signature: str, allowed_signers: bytes, *, at: datetime | None = None) -> Signer:
    """
    Return whose key in *allowed_signers* made *signature* over *payload*.

    A key counts if it was valid at the moment *at*; now, unless given. Certificates are not followed.

    Raises:
        Refused: Nobody's did: the key is unknown, expired or revoked, or the text is not what was signed. Or the
            key is listed under a pattern, which names nobody.
    """
    key = _key_of(signature)
    # ssh-keygen stops at the first line with the key; the other names of the same person stand on later ones.
    lines = [line for line in allowed_signers.decode("utf-8", "replace").splitlines() if key in line.split()]
    listed = [(line, _principals(line)) for line in lines if not line.lstrip().startswith("#")]
    aliases = tuple(dict.fromkeys(name for _, names in listed for name in names))
    if not aliases:
        raise Refused(
            "the signature's key is not in the default branch's .mlops/allowed_signers",
            hint='add a line `<email> namespaces="mlops-ci" <public key>` there through a reviewed pull request',
        )
    for name in aliases:
        if set("*?!") & set(name):
            raise Refused(
                f"the signature's key is listed in .mlops/allowed_signers under the pattern {name!r}",
                hint="four eyes need a person: write the e-mail address out",
            )
    valid, why = [], ""
    for line, names in listed:
        verified = _verify(payload, signature, line, names[0], at)
        valid += [] if verified.returncode else names
        why = why or _last_line(verified.stderr or verified.stdout)
    if not valid:
        raise Refused(f"the signature of {aliases[0]} does not hold by .mlops/allowed_signers: {why}")
    return Signer(key, tuple(dict.fromkeys(valid)), aliases)


def _verify(
    payload: str, signature: str, line: str, principal: str, at: datetime | None
) -> subprocess.CompletedProcess[str]:
    with tempfile.TemporaryDirectory() as name:
        allowed, signed = Path(name) / "allowed_signers", Path(name) / "signature"
        allowed.write_text(f"{line}\n", "utf-8")
        signed.write_text(signature, "utf-8")
        args = ["-Y", "verify", "-n", NAMESPACE, "-I", principal, "-s", os.fspath(signed), "-f", os.fspath(allowed)]
        if at is not None:
            args += ["-O", f"verify-time={at.astimezone(UTC):%Y%m%d%H%M%S}Z"]
        return _ssh_keygen(args, payload)


def _key_of(signature: str) -> str:
    """The public key in *signature*: `SSHSIG`, a version of 4 bytes, the key with its length before it."""
    body = "".join(line for line in signature.split("\n") if not line.startswith("-----"))
    try:
        data = base64.b64decode(body, validate=True)
    except ValueError:
        data = b""
    if not data.startswith(b"SSHSIG"):
        raise Refused("the signature is none of OpenSSH's")
    return base64.b64encode(data[14 : 14 + int.from_bytes(data[10:14], "big")]).decode()


def _principals(line: str) -> list[str]:
    """The names that *line* begins with: separated by commas, in quotes where one holds a space."""
    match = re.match(r'\s*(?:"([^"]*)"|(\S+))', line)
    return [name for name in (match[1] or match[2] or "").split(",") if name] if match else []


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
