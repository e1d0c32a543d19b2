"""Freeze windows: dates, days of the week, hours over midnight, time zones."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_ci import config, records
from mlops_ci.config import Freeze
from mlops_ci.errors import ConfigError, Refused
from mlops_ci.lifecycle.deploying.freezes import demand_open, until

HOLIDAYS = Freeze(from_="2026-12-20", until="2027-01-02", reason="holidays")
WEEKEND = Freeze(days=["fri", "sat", "sun"], timezone="Europe/Berlin")
EVENINGS = Freeze(days=["mon", "fri"], from_="16:00", until="08:00")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "moment", "end"),
    [
        (HOLIDAYS, "2026-12-19T23:59", None),
        (HOLIDAYS, "2026-12-20T00:00", "2027-01-03T00:00"),
        (HOLIDAYS, "2027-01-02T23:59", "2027-01-03T00:00"),
        (HOLIDAYS, "2027-01-03T00:00", None),
        (EVENINGS, "2026-11-23T15:59", None),  # a Monday
        (EVENINGS, "2026-11-23T16:00", "2026-11-24T08:00"),
        (EVENINGS, "2026-11-24T07:59", "2026-11-24T08:00"),
        (EVENINGS, "2026-11-24T16:00", None),
        (WEEKEND, "2026-11-19T22:59", None),
        (WEEKEND, "2026-11-19T23:00", "2026-11-22T23:00"),  # Friday in Berlin, until Monday there
        (WEEKEND, "2026-11-22T22:59", "2026-11-22T23:00"),
        (WEEKEND, "2026-11-22T23:00", None),
    ],
)
def test_it_holds_from_its_beginning_to_its_end(window: Freeze, moment: str, end: str | None) -> None:
    assert until(window, at(moment)) == (at(end) if end else None)


MOMENTS = st.datetimes(datetime(2025, 1, 1), datetime(2028, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # is UTC
TIMES = st.times().map(lambda each: f"{each:%H:%M}") | st.just("")
WINDOWS = st.builds(
    Freeze,
    days=st.lists(st.sampled_from(["mon", "tue", "wed", "thu", "fri", "sat"]), min_size=1, unique=True),
    from_=TIMES,
    until=TIMES,
    timezone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
)


@given(WINDOWS, MOMENTS)
def test_it_is_over_at_its_end_and_holds_until_then(window: Freeze, moment: datetime) -> None:
    end = until(window, moment)
    if end is not None:
        assert end > moment
        assert until(window, end) is None
        before = (end.astimezone(UTC) - timedelta(microseconds=1)).astimezone(ZoneInfo(window.timezone))
        assert until(window, max(moment, before)) == end


def test_it_says_why_and_until_when() -> None:
    today = records.now()[:10]
    window = Freeze(from_=today, until=today, reason="the audit")
    with pytest.raises(Refused, match=r"production is frozen until .* 00:00 \(UTC\): the audit"):
        demand_open("production", [HOLIDAYS, window] if today < "2026-12-20" else [window])
    demand_open("production", [])


TARGET = "project: churn\ntargets:\n  a:\n    kind: local\n    port: 1\n    freeze:\n      - "


def test_dates_and_times_are_read_as_they_are_written() -> None:
    found = config.parse(TARGET + '{from: 2026-12-20, until: 2027-01-02}\n      - {days: [fri], from: "16:00"}\n', "x")
    first, second = found.targets["a"].freeze
    assert (first.from_, first.until) == ("2026-12-20", "2027-01-02")
    assert (second.days, second.from_, second.until) == (["fri"], "16:00", "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{from: 2026-13-40, until: 2027-01-02}", "found"),
        ("{from: 2026-12-20}", 'freeze[0].until: found ""; allowed without `days`: a date such as 2026-12-20'),
        ("{from: 2026-12-20, until: 2026-12-19}", "found 2026-12-19, which is before 2026-12-20"),
        ('{days: [fri], from: "25:00"}', 'found "25:00"; allowed with `days`'),
        ("{days: [friday]}", 'found "friday"'),
        ("{days: [fri], timezone: Europe/Berlim}", 'found "Europe/Berlim"; allowed: a name such as Europe/Berlin'),
        ("{days: [fri], timezone: ../../etc/passwd}", "allowed: a name such as Europe/Berlin"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.parse(f"{TARGET}{text}\n", "x")
    assert said in str(refused.value)
