"""What a builder says when it fails, as a sentence."""

from __future__ import annotations

import sys

import pytest

from mlops_ci.errors import ConfigError, IntegrityError, MlopsCIError, NotFound, ServiceError, UsageError
from mlops_ci.images import program


@pytest.mark.parametrize(
    ("line", "error", "said"),
    [
        ("write /var/lib/docker/tmp/x: no space left on device", ServiceError, "no room on the disk"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", ServiceError, "daemon"),
        ("THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", IntegrityError, "digest"),
        ("  × Hash mismatch for `joblib==1.4.2`", IntegrityError, "digest that the lock names"),
        ("SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED]'", ConfigError, "not trusted"),
        ("invalid peer certificate: UnknownIssuer", ConfigError, "not trusted"),
        ("x509: certificate signed by unknown authority", ConfigError, "not trusted"),
        ("dial tcp: lookup ghcr.io on 10.0.0.1:53: no such host", ServiceError, "a name was not found"),
        ("failed to lookup address information: Temporary failure in name resolution", ServiceError, "a name was not"),
        ("unauthorized: authentication required", UsageError, "credentials"),
        ("no basic auth credentials", UsageError, "credentials"),
        ("denied: requested access to the resource is denied", UsageError, "credentials"),
        ("pull access denied, repository does not exist or may require authorization", NotFound, "base image"),
        ("reading manifest 1 in localhost:5000/nothing: manifest unknown", NotFound, "base image was not found"),
        ("received unexpected HTTP status: 500 Internal Server Error", ServiceError, "something is wrong with it"),
        (
            "uploading blob: received unexpected HTTP status: 503 Service Unavailable",
            ServiceError,
            "something is wrong",
        ),
        ("dial tcp 127.0.0.1:5000: connect: connection refused", ServiceError, "did not answer"),
        ("EOF", ServiceError, "did not answer"),
        ("toomanyrequests: You have reached your pull rate limit", ServiceError, "too many requests"),
        ("something that nobody has seen before", ServiceError, "ended with exit code 7"),
    ],
)
def test_what_is_known_to_go_wrong(line: str, error: type[MlopsCIError], said: str) -> None:
    script = f"import sys; print('first'); print({line!r}, file=sys.stderr); sys.exit(7)"
    told: list[str] = []
    with pytest.raises(MlopsCIError, match=said) as caught:
        program.run([sys.executable, "-c", script], told.append, what="building")
    assert type(caught.value) is error
    assert caught.value.hint
    assert "first" in told


def test_what_is_hidden_is_told_to_nobody() -> None:
    told: list[str] = []
    program.run([sys.executable, "-c", "print('a hunter-2 b')"], told.append, what="building", hidden=["hunter-2"])
    assert told == ["a **** b"]


def test_what_cannot_be_started_answers_nothing() -> None:
    assert program.ask("no-such-program-anywhere") is None
    assert program.ask(sys.executable, "-c", "raise SystemExit(1)") is None
