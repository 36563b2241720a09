"""Heartbeats: each job that runs by the clock leaves a sign of life, so that one that died is noticed.

`.memorybank/heartbeats/<job>.json` says when it last ran and when it is due again; where alerts.json names a URL for
the job it is asked for too, after a good run, so that a service elsewhere notices when the whole machine is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from memorybank_cli.alerts.channels import table
from memorybank_cli.alerts.channels.values import Undelivered
from memorybank_cli.alerts.settings import read_own
from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock, files
from memorybank_cli.base.errors import from_os_error
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads
from memorybank_cli.base.names import check_id, escape_text, is_id
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root

GRACE = timedelta(hours=2)
"""A job may be so late before it counts as overdue: what was missed is made up for within an hour, and takes time."""
AHEAD = timedelta(minutes=5)
"""A heartbeat may lie so far in the future: clocks are set."""
_EVER = datetime.min.replace(tzinfo=UTC)
_LIMIT = 1 << 16
_ENDING = ".json"


@dataclass(frozen=True)
class Beat:
    """One job's last sign of life. Times are RFC 3339."""

    job: str
    ok: bool
    at: str
    """When the run ended."""
    seconds: float
    """How long it took."""
    next_due: str | None = None
    """When it should run again; None for a job without a schedule."""
    detail: str = ""
    """What people should know of the run, in a few words."""

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, as the file has them."""
        return asdict(self)


def beat(
    bank: Bank, job: str, ok: bool, seconds: float, next_due: datetime | None = None, detail: str = ""
) -> list[str]:
    """Leave a sign of life; what went wrong with that, in words: a job must not fail by it. Raises UsageError."""
    due = None if next_due is None else clock.show(next_due)
    one = Beat(check_id(job, "job"), ok, clock.now(), round(seconds, 3), due, detail)
    notes = []
    try:
        files.make_dirs(bank.root, layout.HEARTBEATS)
        files.replace(bank.root, _file(job), dumps(one.as_dict(), indent=True))
    except OSError as error:
        notes.append(from_os_error(error, f"no heartbeat of {job} was left").message)
    definition = read_own(bank.owner).heartbeats.get(job)
    if definition is not None:
        try:
            _ping(definition, ok)
        except (Undelivered, table.Unfit) as error:
            notes.append(f"the ping of {job} did not arrive: {error}")
    return notes


def read(root: Root) -> list[Beat]:
    """The jobs that ever ran, by name, without those whose file is damaged."""
    return [one for name in _jobs(root) if (one := _read(root, name)) is not None]


def is_late(due: datetime, now: datetime) -> bool:
    """Whether what was due did not come in time. While the machine was off nothing could: it counts from then on."""
    return max(due, now - clock.uptime()) + GRACE < now


def overdue(root: Root, now: datetime | None = None, since: datetime | None = None) -> list[Finding]:
    """The jobs that should have run and did not, and those whose last run failed. They were scheduled at `since`."""
    moment, found = now or datetime.now(UTC), list[Finding]()
    for job in _jobs(root):
        path, one = _file(job), _read(root, job)
        if one is None:
            message = f"the heartbeat of {job} is damaged, so nobody can tell whether it runs"
            found.append(Finding("MB560", message, path, f"run {job} once more: it is written anew then"))
        elif clock.parse(one.at) > moment + AHEAD:
            message = f"{job} last ran in the future, at {one.at}, so nobody can tell whether it still runs"
            found.append(Finding("MB560", message, path, "set the clock right, and run it once more"))
        elif one.next_due is not None and is_late(max(clock.parse(one.next_due), since or _EVER), moment):
            message = f"{job} was due at {one.next_due}; it last ran at {one.at}"
            hint = "memorybank maintain missed makes up for it, or names the run that hangs; memorybank schedule show"
            found.append(Finding("MB560", message, path, f"{hint}; look whether cron or its timer runs"))
        elif not one.ok:
            words = f": {one.detail}" if one.detail else ""
            found.append(Finding("MB561", f"the last run of {job} failed{words}", path, "run it by hand to see why"))
    return found


def _file(job: str) -> str:
    return f"{layout.HEARTBEATS}/{job}{_ENDING}"


def _jobs(root: Root) -> list[str]:
    names = [one.name.removesuffix(_ENDING) for one in root.listing(layout.HEARTBEATS) if one.name.endswith(_ENDING)]
    return [name for name in names if is_id(name)]


def _read(root: Root, job: str) -> Beat | None:
    """One heartbeat; None for what none could be."""
    try:
        value = loads(root.content(_file(job), _LIMIT) or b"")
    except FlawedJSON:
        return None
    if not isinstance(value, Mapping):
        return None
    ok, seconds, due = value.get("ok"), value.get("seconds"), value.get("next_due")
    if not isinstance(ok, bool) or not isinstance(seconds, int | float):
        return None
    try:
        at, next_due = _time(value.get("at")), None if due is None else _time(due)
    except (TypeError, ValueError, OverflowError):
        return None
    return Beat(job, ok, at, float(seconds), next_due, escape_text(str(value.get("detail", ""))))


def _time(text: Any) -> str:
    """A time in the one form that is shown, whatever stood between its date and its hour."""
    return clock.show(clock.parse(text))


def _ping(definition: Any, ok: bool) -> None:
    """Ask for the URL of good runs, or of failed ones. Raises Undelivered, Unfit; neither repeats the URL."""
    fields: Mapping[str, Any] = {"url": definition} if isinstance(definition, str) else definition
    if not isinstance(fields, Mapping):
        raise table.Unfit("what alerts.json has for it is neither a URL nor an object")
    url = fields.get("url" if ok else "fail_url", "")
    if not isinstance(url, str):
        raise table.Unfit("its URL is no text")
    if url:
        from memorybank_cli.alerts.channels import http

        http.send(table.request_of(fields, url, "GET"))
