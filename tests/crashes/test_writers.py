"""Many processes that write at one moment: all is recorded, at the first attempt."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import writers

MANY = [pytest.param(24, id="24"), pytest.param(100, id="100", marks=pytest.mark.full)]


@pytest.mark.parametrize("count", MANY)
def test_many_writers_of_one_git_remote_lose_nothing(tmp_path: Path, count: int) -> None:
    outcome = writers.with_refs(tmp_path, count)
    assert (outcome.there, outcome.attempts) == (count, [1] * count)
