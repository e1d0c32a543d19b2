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
    signer = signatures.signer_of("plan ünïcode", signature, allow(one, other))
    assert signer.principals == signer.aliases == ("other@example.com",)
    assert signer.key in other.with_suffix(".pub").read_text()


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


def line(principals: str, key: Path, options: str = 'namespaces="mlops-ci"') -> bytes:
    return f"{principals} {options} {key.with_suffix('.pub').read_text()}".encode()


def test_all_names_of_a_key_are_found_on_every_line(tmp_path: Path) -> None:
    key = make_key(tmp_path, "one")
    allowed = line("a@example.com,b@example.com", key) + b"# c\n" + line('"d e@example.com"', key)
    found = signatures.signer_of("plan", signatures.sign("plan", key), allowed)
    assert found.principals == ("a@example.com", "b@example.com", "d e@example.com")


def test_a_name_whose_line_has_expired_is_still_the_same_person(tmp_path: Path) -> None:
    key = make_key(tmp_path, "one")
    allowed = line("old@example.com", key, 'valid-before="20200101"') + line("new@example.com", key)
    found = signatures.signer_of("plan", signatures.sign("plan", key), allowed)
    assert found.principals == ("new@example.com",)
    assert found.aliases == ("old@example.com", "new@example.com")


@pytest.mark.parametrize("pattern", ["*@example.com", "on?@example.com", "!two@example.com,*@example.com", "a@b.c,*"])
def test_a_pattern_names_nobody(tmp_path: Path, pattern: str) -> None:
    key = make_key(tmp_path, "one")
    with pytest.raises(Refused, match="pattern"):
        signatures.signer_of("plan", signatures.sign("plan", key), line(pattern, key))


def test_a_pattern_beside_another_key_disturbs_nobody(tmp_path: Path) -> None:
    one, other = make_key(tmp_path, "one"), make_key(tmp_path, "other")
    allowed = line("*@example.com", other) + allow(one)
    assert signatures.signer_of("plan", signatures.sign("plan", one), allowed).principals == ("one@example.com",)


@pytest.mark.parametrize(
    "text", ["", "garbage", "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----\n"]
)
def test_what_is_no_signature_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(Refused):
        signatures.signer_of("plan", text, allow(make_key(tmp_path, "one")))
