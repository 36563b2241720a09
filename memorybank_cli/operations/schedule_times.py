"""When the maintenance jobs are due: 06:00 each day, Sundays 02:00, the 1st of a month 01:00, by the local clock."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import NamedTuple


class Job(NamedTuple):
    """One maintenance job and its place in the calendar."""

    name: str
    when: str
    """For people."""
    hour: int
    weekday: int | None
    """0 is Monday; None: any."""
    day: int | None
    """Of the month; None: any."""
    cron: str
    """The five fields of a crontab."""
    calendar: str
    """`OnCalendar=` of a systemd timer."""

    def is_day(self, moment: datetime) -> bool:
        """Whether it is to run on that day."""
        return self.weekday in (None, moment.weekday()) and self.day in (None, moment.day)


JOBS: dict[str, Job] = {
    one.name: one
    for one in (
        Job("monthly", "the 1st of each month, 01:00", 1, None, 1, "0 1 1 * *", "*-*-01 01:00:00"),
        Job("weekly", "Sundays, 02:00", 2, 6, None, "0 2 * * 0", "Sun *-*-* 02:00:00"),
        Job("daily", "every day, 06:00", 6, None, None, "0 6 * * *", "*-*-* 06:00:00"),
    )
}
"""By name, in the order in which they run when several are due."""
SAMPLES_EVERY = 5
"""Minutes between two looks of the monitor."""


def minute(bank_id: str) -> int:
    """The minute of each hour at which a bank makes up for what was missed, so that many banks don't begin at once."""
    return int(bank_id.replace("-", "")[-4:], 16) % 60


def next_after(job: str, moment: datetime) -> datetime:
    """The first time after an aware moment at which a job is to run, in local time."""
    return next(due for due in _times(job, moment, timedelta(days=1)) if due > moment)


def last_before(job: str, moment: datetime) -> datetime:
    """The last time up to an aware moment at which a job was to run, in local time."""
    return next(due for due in _times(job, moment, -timedelta(days=1)) if due <= moment)


def _times(job: str, moment: datetime, step: timedelta) -> Iterator[datetime]:
    """When a job runs on the local day of a moment, and on every day from there on."""
    day = moment.astimezone()
    while True:
        if (due := _on(job, day)) is not None:
            yield due
        day = _noon(day) + step


def _on(job: str, day: datetime) -> datetime | None:
    """When a job runs on the local day of a moment."""
    row = JOBS[job]
    if not row.is_day(day):
        return None
    return day.replace(tzinfo=None, hour=row.hour, minute=0, second=0, microsecond=0).astimezone()


def _noon(day: datetime) -> datetime:
    """Noon of the same local day, from where a day's distance never misses one when the clocks change."""
    return day.replace(tzinfo=None, hour=12, minute=0, second=0, microsecond=0).astimezone()
