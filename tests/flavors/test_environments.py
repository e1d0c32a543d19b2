"""The tests of each heavy framework pass in an environment that has it."""

from __future__ import annotations

import pytest

from tests.flavors import environment

pytestmark = pytest.mark.full


@pytest.mark.parametrize(
    "flavor",
    [pytest.param(name, marks=pytest.mark.xdist_group(of)) for name, of in environment.FLAVORS.items()],
)
def test_its_tests_pass_where_it_is_installed(flavor):
    """They are of the file that bears its name, and at least one runs."""
    done = environment.test(flavor)
    assert not done.returncode, done.stdout + done.stderr
    assert " passed" in done.stdout
