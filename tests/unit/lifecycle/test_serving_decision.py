"""Which settings of a service are worth it, decided on made-up figures."""

from __future__ import annotations

import pytest

from mlops_ci.lifecycle.serving.decision import Figure, Measured, choose, choose_workers


def measured(batch_rows: int, at_8: float, at_32: float, *, p99_ms: float = 20, workers: int = 1, fault: str = ""):
    figures = [
        Figure(connections=connections, rps=rps, p50_ms=p99_ms / 2, p99_ms=p99_ms)
        for connections, rps in ((1, 100), (8, at_8), (32, at_32))
    ]
    return Measured(batch_rows=batch_rows, workers=workers, figures=figures, fault=fault)


OFF = measured(1, 1000, 1000)


@pytest.mark.parametrize(
    ("other", "rows"),
    [
        (measured(8, 1150, 1150), 8),
        (measured(8, 1149, 3000), 1),
        (measured(8, 3000, 1149), 1),
        (measured(8, 3000, 3000, p99_ms=22), 8),
        (measured(8, 3000, 3000, p99_ms=22.01), 1),
        (measured(8, 3000, 3000, fault="it answered 500"), 1),
        (Measured(batch_rows=8, workers=1), 1),
        (measured(8, 900, 900), 1),
    ],
)
def test_batching_must_be_worth_it(other: Measured, rows: int) -> None:
    assert choose([other, OFF], 1).batch_rows == rows


@pytest.mark.parametrize(("p99_ms", "rows"), [(1.5, 8), (1.6, 1)])
def test_a_millisecond_is_not_noticed(p99_ms: float, rows: int) -> None:
    off = measured(1, 1000, 1000, p99_ms=0.5)
    assert choose([off, measured(8, 2000, 2000, p99_ms=p99_ms)], 1).batch_rows == rows


def test_the_reason_is_a_sentence_with_the_figures() -> None:
    assert choose([OFF, measured(8, 1500, 2000)], 1).why == (
        "batches of up to 8 rows answer more requests: +50% at 8 and +100% at 32 connections"
    )
    assert choose([OFF, measured(8, 1100, 2000)], 1).why == (
        "batching stays off: with 8 rows it answers +10% requests at 8 connections, and +15% is the least"
    )
    assert "p99 30.0 ms instead of 20.0" in choose([OFF, measured(8, 2000, 2000, p99_ms=30)], 1).why
    assert "it answered 500" in choose([OFF, measured(8, 2000, 2000, fault="it answered 500")], 1).why


def test_the_smallest_of_about_the_same_wins() -> None:
    settings = [OFF, measured(8, 2000, 2000), measured(32, 3000, 3000), measured(128, 3050, 3050)]
    assert choose(settings, 1).batch_rows == 32


def test_what_is_configured_stays_where_it_is_about_as_good() -> None:
    settings = [OFF, measured(8, 2000, 2000), measured(32, 3000, 3000), measured(128, 3050, 3050)]
    assert choose(settings, 1, now=128).batch_rows == 128
    assert choose(settings, 1, now=8).batch_rows == 32


def test_workers_are_more_only_where_they_are_worth_it() -> None:
    two = measured(1, 1900, 1900, workers=2)
    assert choose_workers([OFF, two]) == 2
    assert choose_workers([OFF, measured(1, 1100, 1900, workers=2)]) == 1
    assert choose_workers([OFF, measured(1, 1900, 1900, workers=2, fault="it ended")]) == 1


def test_batching_is_compared_with_as_many_workers() -> None:
    """Else what the workers gain would be taken for what batching does."""
    settings = [OFF, measured(1, 1900, 1900, workers=2), measured(8, 2000, 2000, workers=2)]
    assert choose(settings, choose_workers(settings)).batch_rows == 1
    assert choose(settings, choose_workers(settings)).workers == 2


def test_nothing_to_compare_with_leaves_it_off() -> None:
    assert choose([OFF], 1).batch_rows == 1
