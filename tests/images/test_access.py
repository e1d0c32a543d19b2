"""How a build reaches its package index, and that nobody else learns how."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from mlops_ci.errors import ConfigError
from mlops_ci.images import access, program
from mlops_ci.images.access import Access


def test_a_file_with_certificates_has_to_be_there(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("certificates")
    assert access.find({"SSL_CERT_FILE": str(tmp_path / "ca.pem"), "PIP_INDEX_URL": "https://a/s"}).ca
    with pytest.raises(ConfigError, match=r"there is no file .*other\.pem"):
        access.find({}, tmp_path / "other.pem")


@pytest.mark.parametrize(
    ("env", "index"),
    [
        ({"UV_DEFAULT_INDEX": "https://a/simple", "PIP_INDEX_URL": "https://b/simple"}, "https://a/simple"),
        ({"UV_DEFAULT_INDEX": "corp=https://u:p@a/simple"}, "https://u:p@a/simple"),
        ({"PIP_INDEX_URL": "https://u:p%3D@b/simple"}, "https://u:p%3D@b/simple"),
    ],
)
def test_the_index_is_that_of_uv_or_pip(env: dict[str, str], index: str) -> None:
    assert access.find(env).index == index


def test_a_folder_is_no_index_of_a_build() -> None:
    with pytest.raises(ConfigError, match="a folder of this machine, which a build cannot reach"):
        access.find({"PIP_INDEX_URL": "file:///srv/packages"})


def test_only_the_password_of_the_index_is_handed_over(tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine a login u password one\nmachine other login u password two\n")
    found = access.find({"PIP_INDEX_URL": "https://a/simple", "NETRC": str(tmp_path / "netrc")})
    assert "password one" in found.netrc
    assert "two" not in found.netrc
    assert found.hidden == ["one"]


def test_secrets_are_files_that_are_gone_afterwards() -> None:
    found = Access(index="https://u:p%22@a/simple", netrc="machine a\nlogin u\npassword p\n")
    with access.secrets(found) as files:
        assert set(files) == {"netrc", "pip", "uv"}
        config = tomllib.loads(files["uv"].read_text())
        assert config == {"index": [{"url": "https://u:p%22@a/simple", "default": True}]}
        assert "index-url = https://u:p%22@a/simple" in files["pip"].read_text()
        assert "trusted-host" not in files["pip"].read_text()
    assert not any(file.exists() for file in files.values())


def test_without_an_index_of_ones_own_there_is_no_secret() -> None:
    with access.secrets(Access()) as files:
        assert files == {}


def test_a_password_is_replaced_however_it_is_written() -> None:
    found = Access(index="https://u:a%40b@host/simple", netrc="machine host\nlogin u\npassword c d\n")
    said = program.redacted("a%40b, c d, c%20d and https://u:a%40b@host", found.hidden)
    assert said == "****, ****, **** and https://u:****@host"


@pytest.mark.parametrize(
    ("index", "said"),
    [
        ("https://glpat-token@host/simple", "https://glpat-token@host and glpat-token"),
        ("https://glpat-token:@host/simple", "https://glpat-token@host and glpat-token"),
        ("https://u:p%40ss@host/simple", "p%40ss, p@ss and https://u:p@ss@host"),
        ("https://a%3Db@host/simple", "a%3Db and a=b"),
    ],
)
def test_a_token_in_the_place_of_a_name_and_what_was_quoted_are_hidden(index: str, said: str) -> None:
    clean = program.redacted(said, Access(index=index).hidden)
    assert not any(secret in clean for secret in ("glpat", "p@ss", "p%40ss", "a=b", "a%3Db"))


def test_a_name_beside_a_password_is_no_secret() -> None:
    assert Access(index="https://robot:hunter-2@host/simple").hidden == ["hunter-2"]
