"""Freeze windows: when nothing is deployed to a target."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from mlops_ci import records
from mlops_ci.config import Freeze
from mlops_ci.errors import Refused

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FURTHEST = 15


def demand_open(target: str, windows: Sequence[Freeze]) -> None:
    """Raise `Refused` if one of *windows* holds now."""
    moment = records.moment(records.now())
    for window in windows:
        end = until(window, moment)
        if end is not None:
            why = f": {window.reason}" if window.reason else ""
            raise Refused(
                f"{target} is frozen until {end:%Y-%m-%d %H:%M} ({window.timezone}){why}",
                hint="wait; a rollback is possible all the same; `freeze:` on the default branch says when",
            )


def until(window: Freeze, moment: datetime) -> datetime | None:
    """When *window* ends, in its own time zone, if it holds at *moment*; None if it does not."""
    local = moment.astimezone(ZoneInfo(window.timezone))
    if not window.days:
        first, last = date.fromisoformat(window.from_), date.fromisoformat(window.until)
        if not first <= local.date() <= last:
            return None
        # Who writes 9999-12-31 means for ever, and there is no day after that.
        return datetime.combine(last + timedelta(days=last < date.max), time(), local.tzinfo)
    days = (local.date() + timedelta(days=offset) for offset in range(-2, _FURTHEST))
    end = None
    # Windows of neighbouring days touch or overlap: the end is that of the last of them.
    for start, stop in sorted(_of_day(window, day, local) for day in days if _DAYS[day.weekday()] in window.days):
        if end is None:
            end = stop if start <= local < stop else None
        elif start <= end:
            end = max(end, stop)
    return end


def _of_day(window: Freeze, day: date, local: datetime) -> tuple[datetime, datetime]:
    """From when to when *window* holds, which begins on *day*; an end before its beginning is on the day after."""
    start = time.fromisoformat(window.from_) if window.from_ else time()
    end = time.fromisoformat(window.until) if window.until else time()
    over = day + timedelta(days=end <= start)
    return datetime.combine(day, start, local.tzinfo), datetime.combine(over, end, local.tzinfo)
