"""Forms that a text may have: how each is recognised, and how a schema says it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, NamedTuple

from memorybank_cli.bank.patterns import is_date, is_time, is_uuid

# Short enough to be read in a schema; that there is no 31st of June is not said.
_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = "[0-9]{2}:[0-9]{2}(:[0-9]{2}([.,][0-9]+)?)?"
_ZONE = "( ?([Zz]|[+-][0-9]{2}(:?[0-9]{2})?))"
_HEX_LENGTHS = (32, 40, 56, 64, 96, 128)


class Form(NamedTuple):
    """One form: whether a text has it, and the keywords that ask for it; no keywords where none are worth it."""

    matches: Callable[[str], object]
    keywords: dict[str, Any]


def _by_pattern(pattern: str, description: str) -> Form:
    # In Python `$` also stands before a last line break; fullmatch does not.
    return Form(re.compile(pattern[1:-1]).fullmatch, {"pattern": pattern, "description": description})


def _hexadecimal(prefix: str, length: int) -> Form:
    words = f"{length} hexadecimal digits" + (f" after {prefix}" if prefix else "")
    return _by_pattern(f"^{prefix}[0-9A-Fa-f]{{{length}}}$", words)


# In the order of preference: of several that fit every text the first is taken.
FORMS: dict[str, Form] = {
    "date-time": Form(is_time, {"format": "date-time"}),
    "date": Form(is_date, {"format": "date"}),
    "uuid": Form(is_uuid, {"format": "uuid"}),
    # A zone may always be added: a time without one is a finding of its own (MB205), and that is its cure.
    "time": _by_pattern(f"^{_DATE}[T ]{_CLOCK}{_ZONE}?$", "an ISO 8601 time"),
    "date-or-time": _by_pattern(f"^{_DATE}([T ]{_CLOCK}{_ZONE}?)?$", "an ISO 8601 date or time"),
    **{f"hex{prefix}{n}": _hexadecimal(prefix, n) for prefix in ("", "0x") for n in _HEX_LENGTHS},
    "digits": Form(re.compile("[0-9]+").fullmatch, {}),
    "decimal": _by_pattern(r"^[+-]?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?$", "a decimal number as text"),
    "address": _by_pattern("^(https?|wss?)://[!-~]+$", "an http, https, ws or wss address"),
}
_TIMES = ("date-time", "date", "time", "date-or-time")
_NUMBERS = ("digits", "decimal")
_LENGTHS = {len(prefix) + n: (f"hex{prefix}{n}",) for prefix in ("", "0x") for n in _HEX_LENGTHS}


def forms_of(text: str) -> tuple[str, ...]:
    """Names of the forms that a text has, the preferred first."""
    return tuple(name for name in _candidates(text) if FORMS[name].matches(text))


def _candidates(text: str) -> tuple[str, ...]:
    """Forms that a text may have by its length and its first characters; texts that have none are many."""
    length = len(text)
    if not length or length > 2_000:
        return ()
    found: tuple[str, ...] = ()
    if text[0] in "0123456789+-" and length <= 100:
        found = _TIMES + _NUMBERS if text[4:5] == "-" else _NUMBERS
    if length == 36:
        found = (*found, "uuid")
    found += _LENGTHS.get(length, ())
    return (*found, "address") if text[0] in "hw" and "://" in text[:8] else found


def still(forms: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Those of some forms that one more text has too."""
    if len(forms) == 1:
        return forms if FORMS[forms[0]].matches(text) else ()
    return tuple(name for name in forms if FORMS[name].matches(text))
