"""Times as agents write them: texts with and without a zone, epochs as numbers and in files' names.

Moments are microseconds since the epoch; a text without a zone is read as UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
FARTHEST_ZONE = 14 * 60  # minutes
SAME_DAY = 26 * HOUR
LEAST = 1_000_000_000
"""The least number that is taken for an epoch, 2001-09-09 in seconds: below it stand prices and counts."""
_UNTIL = 4_102_444_800  # 2100-01-01
_SCALES = ((1, SECOND), (1_000, 1_000), (SECOND, 1))
_NANOSECONDS = 1_000_000_000
_START = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = -62_135_510_400 * SECOND, 253_402_214_400 * SECOND  # a day in from what a datetime can say in any zone
TIME_MEMBERS = (
    "timestamp",
    "time",
    "ts",
    "iso_timestamp",
    "datetime",
    "opened_at",
    "executed_at",
    "created_at",
    "filled_at",
    "entry_time",
    "open_date",
    "date",
    "closed_at",
    "exit_time",
    "close_date",
)
"""Members that say when a record happened, the one that counts first."""
_LONGEST_NAME = 100  # a name of megabytes would be kept with a dozen others as long
_UNITS = frozenset({"ms", "us", "ns", "s", "epoch", "unix", "ts", "timestamp"})


def looks_like_time(text: str) -> bool:
    """Whether a text is made like a date with a time of day: a quick look before it is parsed."""
    return 15 < len(text) < 40 and text[4] == "-" and text[10] in "Tt " and text[13] == ":" and text[7] == "-"


def parse(text: str) -> datetime | None:
    """The time that a text with a date and a time of day says, naive where it has no zone; None for any other text."""
    if not looks_like_time(text):
        return None
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        pass  # the other spellings: a blank before the zone, a small t or z
    try:
        return datetime.fromisoformat(f"{text[:10]}T{text[11:].replace(' ', '').upper()}")
    except ValueError:
        return None


def of_datetime(time: datetime) -> int:
    """Microseconds since the epoch, exactly."""
    # A float holds the microseconds of some 285 years exactly.
    return round((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp() * SECOND)


def of_epoch(number: float) -> int | None:
    """The moment of an epoch in seconds, milliseconds, microseconds or nanoseconds, told apart by their size."""
    for scale, factor in _SCALES:
        if LEAST * scale <= number < _UNTIL * scale:
            return round(number * factor)
    return int(number // 1_000) if LEAST * _NANOSECONDS <= number < _UNTIL * _NANOSECONDS else None


def of_value(value: Any) -> tuple[int, bool] | None:
    """The moment that a member's value says, and whether it has no zone; None for what is no time.

    The first and the last day of the calendar are no times: in another zone there is no such date.
    """
    if isinstance(value, str):
        time = parse(value)
        if time is None or not _FIRST <= (at := of_datetime(time)) < _LAST:
            return None
        return at, time.tzinfo is None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    moment = of_epoch(value)
    return None if moment is None else (moment, False)


def like(moment: int, text: str) -> str:
    """A moment in the manner of another text: with its separator, and its zone or none."""
    known = parse(text)
    zone = (known.tzinfo if known is not None else None) or UTC
    local = (_START + timedelta(microseconds=moment)).astimezone(zone).replace(tzinfo=None)
    return local.isoformat(sep=text[10]) + _zone(text)


def as_epoch(moment: int, number: float) -> float:
    """A moment as an epoch in the unit of another one, whole if that one is; in seconds if that is no epoch."""
    factor = next((by for scale, by in _SCALES if LEAST * scale <= number < _UNTIL * scale), SECOND)
    if LEAST * _NANOSECONDS <= number < _UNTIL * _NANOSECONDS:
        return moment * 1_000
    return round(moment / factor) if isinstance(number, int) else moment / factor


def _zone(text: str) -> str:
    """The zone as a text writes it, '' where it has none."""
    tail = text[11:]
    if tail[-1:] in "Zz":
        return tail[-1]
    at = max(tail.find("+"), tail.find("-"))
    return tail[at:] if at >= 0 else ""


def in_name(name: str) -> int | None:
    """The moment of an epoch of 10 or 13 digits that is a word of a file's name."""
    for word in name.partition(".")[0].replace("-", "_").split("_"):
        if len(word) in (10, 13) and word.isdecimal() and word.isascii():
            moment = of_epoch(int(word))
            if moment is not None:
                return moment
    return None


def zone_of(apart: int) -> int | None:
    """The whole quarters of an hour, as minutes, that two tellings are apart as zones are; None for anything else."""
    quarters = round(apart / QUARTER)
    minutes = quarters * 15
    return minutes if abs(apart - quarters * QUARTER) < MINUTE and abs(minutes) <= FARTHEST_ZONE else None


def show_zone(minutes: int) -> str:
    """UTC, UTC-4, UTC+5:30."""
    if not minutes:
        return "UTC"
    hours, rest = divmod(abs(minutes), 60)
    return f"UTC{'+' if minutes > 0 else '-'}{hours}{f':{rest:02d}' if rest else ''}"


def offset(minutes: int) -> str:
    """The end of a time's text that says its zone: Z, -04:00, +05:30."""
    hours, rest = divmod(abs(minutes), 60)
    return f"{'+' if minutes > 0 else '-'}{hours:02d}:{rest:02d}" if minutes else "Z"


def show_span(minutes: int) -> str:
    """4 h, 5 h 30 min, 45 min."""
    hours, rest = divmod(abs(minutes), 60)
    return " ".join(
        part for part in (f"{hours} h" if hours else "", f"{rest} min" if rest or not hours else "") if part
    )


@lru_cache(maxsize=4096)
def partners(name: str) -> tuple[str, ...]:
    """Members that tell, as a text, the moment which member `name` tells as an epoch; none for a very long name."""
    if len(name) > _LONGEST_NAME:
        return ()
    parts = name.split("_")
    while parts and parts[-1] in _UNITS:
        parts.pop()
    while parts and parts[0] in ("epoch", "unix"):
        parts.pop(0)
    base = "_".join(parts)
    found = [f"iso_{name}", f"{name}_iso", f"{name}_utc"]
    if not base:
        found += ["timestamp", "iso_timestamp", "timestamp_iso", "datetime", "iso_time", "iso_date", "iso", "time"]
    elif base == name:
        found += [f"{base}_date", f"{base}_datetime"]
    else:
        endings = ("", "_iso", "_date", "_time", "_at", "_datetime", "_utc", "_timestamp")
        found += [f"{base}{ending}" for ending in endings] + [f"iso_{base}"]
    return tuple(one for one in dict.fromkeys(found) if one != name)
