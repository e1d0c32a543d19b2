"""The hash lock, by the real uv; and what is read from it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlops_ci.errors import ConfigError, MlopsCIError, ServiceError
from mlops_ci.images import access, lock

MADE = {"python": "3.11", "platform": "linux/amd64"}


def make(requirements: str, **changes: str) -> str:
    return lock.make(requirements, **{**MADE, **changes}, access=access.find(os.environ))


def test_a_lock_names_every_package_with_its_hashes_and_no_address() -> None:
    found = make("joblib==1.4.2\nscikit-learn==1.6.1\n")
    packages = {package.name: package for package in lock.packages(found)}
    assert packages["joblib"].version == "1.4.2"
    assert set(packages) >= {"scikit-learn", "numpy", "scipy", "threadpoolctl"}
    assert all(package.hashes for package in packages.values())
    assert "://" not in found
    assert found == make("joblib==1.4.2\nscikit-learn==1.6.1\n")


def test_a_lock_is_for_the_image_and_not_for_this_machine() -> None:
    requirements = "joblib==1.4.2; python_version < '3.12'\nthreadpoolctl==3.5.0; platform_machine == 'aarch64'\n"
    of = {key: [package.name for package in lock.packages(make(requirements, **key._asdict()))] for key in _IMAGES}
    assert list(of.values()) == [["joblib"], ["threadpoolctl"]]


class _Image(lock.NamedTuple):
    python: str
    platform: str


_IMAGES = [_Image("3.11", "linux/amd64"), _Image("3.13", "linux/arm64")]


@pytest.mark.parametrize(
    ("requirements", "said"),
    [
        ("joblib==1.4.2\njoblib==1.4.1\n", "cannot be locked: .*joblib"),
        ("this-package-does-not-exist-at-all==1.0\n", "cannot be locked: .*this-package-does-not-exist-at-all"),
    ],
)
def test_what_has_no_solution_is_a_sentence(requirements: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        make(requirements)
    assert "\n" not in str(caught.value)


def test_an_unknown_platform_is_a_sentence() -> None:
    with pytest.raises(ConfigError, match="no lock can be made for 'plan9/mips'"):
        make("joblib==1.4.2\n", platform="plan9/mips")


@pytest.mark.full
def test_a_password_is_in_no_error(tmp_path: Path) -> None:
    """Nobody listens there."""
    reached = access.find({"UV_DEFAULT_INDEX": "http://robot:hunter-2@127.0.0.1:9/simple", "NETRC": str(tmp_path)})
    with pytest.raises(MlopsCIError) as caught:
        lock.make("joblib==1.4.2\n", **MADE, access=reached)
    assert isinstance(caught.value, ServiceError)
    assert "hunter-2" not in str(caught.value)


def test_what_a_lock_is_made_of() -> None:
    """Neither the order of lines nor anything else that changes nothing."""
    one = lock.inputs("a==1\nb==2", **MADE)
    assert one == lock.inputs("b==2\na==1", **MADE)
    assert one not in {
        lock.inputs("a==1\nb==3", **MADE),
        lock.inputs("a==1\nb==2", python="3.12", platform="linux/amd64"),
        lock.inputs("a==1\nb==2", python="3.11", platform="linux/arm64"),
    }


_DIGEST = "a" * 64


@pytest.mark.parametrize(
    ("line", "package"),
    [
        (f"foo @ https://h/x/foo-1.0-py3-none-any.whl \\\n    --hash=sha256:{_DIGEST}", ("foo", "1.0")),
        (
            f"bar[x] @ https://h/bar-2.1%2Bcpu-cp311-cp311-linux_x86_64.whl ; os_name > '' --hash=sha256:{_DIGEST}",
            ("bar", "2.1+cpu"),
        ),
        (f"foo-bar @ https://h/foo_bar-1.0-1-py3-none-any.whl#sha256={_DIGEST}", ("foo-bar", "1.0")),
    ],
)
def test_a_package_that_is_named_by_its_address_is_one(line: str, package: tuple[str, str]) -> None:
    """Beside others, so that nothing is taken from a neighbour."""
    other = f"joblib==1.4.2 \\\n    --hash=sha256:{'b' * 64}\n"
    found = list(lock.packages(f"{other}{line}\n"))
    assert found == [("joblib", "1.4.2", ["b" * 64]), (*package, [_DIGEST])]
