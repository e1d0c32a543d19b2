"""Secrets do not get into a record; what only sounds like one does."""

from __future__ import annotations

import pytest

from mlops_ci.capture import secrets

TOKEN = "ghp_" + "a1B2" * 9


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "db.password",
        "DB_PASSWORD",
        "apiKey",
        "OPENAI_API_KEY",
        "aws_secret_access_key",
        "client_secret",
        "token",
        "hf_token",
        "auth.token",
        "credentials",
    ],
)
def test_names_of_secrets_are_known(name):
    """In the spellings that people use."""
    assert secrets.redact({name: "hunter2hunter2"}) == {name: secrets.REDACTED}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_tokens", 512),
        ("n_tokens", "512"),
        ("tfidf__token_pattern", r"(?u)\b\w\w+\b"),
        ("pad_token", "[PAD]"),
        ("tokenizer", "wordpiece"),
        ("sort_key", "date"),
        ("key", "a"),
        ("monkey", "chimp"),
        ("secretary", "problem"),
        ("token", 3),
        ("password", None),
        ("use_password", False),
        ("lr", 0.1),
        ("url", "https://example.com/a@b"),
    ],
)
def test_words_of_the_trade_are_no_secrets(name, value):
    """Parameters must stay comparable."""
    assert secrets.redact({name: value}) == {name: value}


@pytest.mark.parametrize(
    "value",
    [
        "AKIA" + "ABCDEFGH12345678",
        TOKEN,
        "github_pat_" + "a" * 30,
        "xoxb-" + "1234567890-abc",
        "sk-" + "proj-" + "a" * 30,
        "hf_" + "a" * 30,
        "eyJhbGciOiJI" + ".eyJzdWIiOiIx" + ".c2ln",
        "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIE\n",
    ],
)
def test_shapes_of_tokens_are_known_under_any_name(value):
    """Also in the middle of a text."""
    assert secrets.redact({"note": f"use {value}"})["note"] == f"use {secrets.REDACTED}"


def test_a_url_loses_its_password():
    """And stays a URL."""
    found = secrets.redact({"database": "postgresql+psycopg://ml:s3cr3t@db:5432/runs", "other": "no secret"})
    assert found == {"database": "postgresql+psycopg://ml:[redacted]@db:5432/runs", "other": "no secret"}


def test_a_command_loses_what_follows_an_option_for_a_secret():
    """With a blank or an equals sign; the next option is none."""
    text = "train.py --api-key abc --token=def --hf-token --depth 3 -v"
    assert secrets.redact_text(text) == "train.py --api-key [redacted] --token=[redacted] --hf-token --depth 3 -v"
