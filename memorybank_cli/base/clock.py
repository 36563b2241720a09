"""Time as memorybank writes it: RFC 3339, UTC, microseconds, `Z`."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from memorybank_cli.base.errors import UsageError

SECOND_NS = 1_000_000_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def now() -> str:
    """The present moment, e.g. `2026-11-20T14:00:00.000000Z`."""
    second, nanoseconds = divmod(time.time_ns(), SECOND_NS)
    return f"{_second(second)}.{nanoseconds // 1000:06}Z"


@lru_cache(maxsize=1)
def _second(since_epoch: int) -> str:
    return datetime.fromtimestamp(since_epoch, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def show(moment: datetime) -> str:
    """An aware datetime in the one form that memorybank writes."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


def from_ns(nanoseconds: int) -> str:
    """Nanoseconds since the epoch in the one form that memorybank writes."""
    return show(datetime.fromtimestamp(nanoseconds // 1000 / 1_000_000, UTC))


def parse(text: str) -> datetime:
    """An RFC 3339 or ISO 8601 time; a naive one is taken as UTC. Raises ValueError."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def span(text: str) -> timedelta:
    """A span such as `90s`, `24h`, `7d`, `4w`. Raises UsageError."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit() and text.isascii():
            return timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
    except (OverflowError, ValueError):  # the latter of thousands of digits
        pass
    raise UsageError(f"'{text:.40}' is not a span of time", hint="give a number and a unit, such as 90s, 24h, 7d or 4w")


def parse_since(text: str) -> datetime:
    """A time, or a span before now such as `90s`, `24h`, `7d`. Raises UsageError."""
    try:
        if text[-1:] in _UNITS and text[:-1].isdigit() and text.isascii():
            return datetime.now(UTC) - timedelta(seconds=int(text[:-1]) * _UNITS[text[-1]])
        return parse(text)
    except (ValueError, OverflowError):
        raise UsageError(
            f"'{text}' is not a time", hint="give 2026-11-20T14:00:00Z, 2026-11-20, or a span such as 24h or 7d"
        ) from None


def now_ns() -> int:
    """Nanoseconds since the epoch, comparable with a file's mtime."""
    return time.time_ns()


def uptime() -> timedelta:
    """How long the machine has been on, asleep or not."""
    return timedelta(seconds=time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)))


def boot_id() -> str:
    """What changes with each start of the machine; empty where the system does not tell."""
    try:
        fd = os.open("/proc/sys/kernel/random/boot_id", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        return os.read(fd, 64).decode().strip()
    finally:
        os.close(fd)
