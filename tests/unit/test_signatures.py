"""Signatures are OpenSSH's own: made and verified with real keys."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlops_ci import signatures
from mlops_ci.errors import Refused, UsageError


def make_key(folder: Path, name: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)], check=True)
    return folder / name


def allow(*keys: Path, options: str = 'namespaces="mlops-ci"') -> bytes:
    lines = [f"{key.name}@example.com {options} {key.with_suffix('.pub').read_text()}" for key in keys]
    return "".join(lines).encode()


def test_the_signer_of_the_very_text_is_found(tmp_path: Path) -> None:
    one, other = make_key(tmp_path, "one"), make_key(tmp_path, "other")
    signature = signatures.sign("plan ünïcode", other)
    assert signatures.signer_of("plan ünïcode", signature, allow(one, other)) == "other@example.com"


def test_another_text_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path, "one")
    with pytest.raises(Refused, match="does not hold"):
        signatures.signer_of("plan b", signatures.sign("plan a", key), allow(key))


@pytest.mark.parametrize("allowed", [b"", b"# nobody\n", b"garbage\n"])
def test_an_unknown_key_is_refused(tmp_path: Path, allowed: bytes) -> None:
    with pytest.raises(Refused, match="allowed_signers"):
        signatures.signer_of("plan", signatures.sign("plan", make_key(tmp_path, "one")), allowed)


def test_a_key_for_another_purpose_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path, "one")
    with pytest.raises(Refused):
        signatures.signer_of("plan", signatures.sign("plan", key), allow(key, options='namespaces="git"'))


def test_an_expired_key_is_refused(tmp_path: Path) -> None:
    key = make_key(tmp_path, "one")
    with pytest.raises(Refused):
        signatures.signer_of("plan", signatures.sign("plan", key), allow(key, options='valid-before="20200101"'))


def test_a_file_that_is_no_key_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    with pytest.raises(UsageError, match="cannot sign with"):
        signatures.sign("plan", tmp_path / "key")
