"""Times as other programs write them: what moment they mean, and what had to be assumed to say so."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from memorybank_cli.base import clock

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,9})?")
# From 1973 on no number is both seconds and milliseconds of a time before 5138.
_MILLISECONDS, _MICROSECONDS, _NANOSECONDS, _MOST = 10**11, 10**14, 10**17, 10**19
# Below so many, multiply and divide by these to get microseconds.
_UNITS = ((_MICROSECONDS, 1000, 1), (_NANOSECONDS, 1, 1), (_MOST, 1, 1000))

NAIVE = "times without a zone were read as UTC"
SECONDS = "times that are numbers were read as seconds since 1970"
_SMALLER = "times that are large numbers were read as milliseconds (or micro- or nanoseconds) since 1970"


class Moment(NamedTuple):
    """A time as the bank writes it ('' for none), and what was assumed ('' for nothing)."""

    text: str = ""
    assumed: str = ""


def moment(value: Any) -> Moment:
    """The moment that a value of JSON means: epoch seconds or smaller units, or ISO 8601. Raises ValueError."""
    if value is None or value == "":
        return Moment()
    try:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return _of_number(value)
        if isinstance(value, str):
            return _of_text(value.strip())
    except (ValueError, OverflowError):
        pass
    raise ValueError("the time is none that can be read") from None


def _of_text(text: str) -> Moment:
    if _NUMBER.fullmatch(text):
        return _of_number(float(text) if "." in text else int(text))
    found = datetime.fromisoformat(text)
    return Moment(clock.show(clock.parse(text)), "" if found.tzinfo else NAIVE)


def _of_number(number: float) -> Moment:
    """Integers of any unit are exact; of fractions what lies below a microsecond is dropped."""
    if not 0 <= number < _MOST:
        raise ValueError
    if number < _MILLISECONDS:
        return Moment(clock.show(_EPOCH + timedelta(seconds=number)), SECONDS)
    micros = next(int(number * up // down) for most, up, down in _UNITS if number < most)
    return Moment(clock.show(_EPOCH + timedelta(microseconds=micros)), _SMALLER)
