"""Messages as a Python program gives them and gets them back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NotRequired, TypedDict, cast

from memorybank_cli.accounts.messages import Message, parse
from memorybank_cli.base import clock
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import dumps, loads


class StoredMessage(TypedDict):
    """A message as it is read back."""

    id: str
    """Its own id, or the one that it was given."""
    seq: int
    """Its position in the account, from 1."""
    role: str
    content: str
    timestamp: str
    """RFC 3339, UTC, microseconds."""
    metadata: dict[str, Any]
    late: NotRequired[bool]
    """True where its own time lies before that of an earlier message; else it is not there."""


def message_of(given: Mapping[str, Any], where: str) -> Message:
    """A message from what a caller gave. Raises UsageError that says where and what is wrong."""
    if not isinstance(given, Mapping):
        raise UsageError(f"{where} is no mapping", hint="a message is {'role': 'user', 'content': '…'}")
    value = {name: one for name, one in given.items() if one is not None}
    if isinstance(value.get("timestamp"), datetime):
        value["timestamp"] = moment_of(value["timestamp"], f"{where}: ")
    if all(type(one) is str for one in value.values()):
        return parse(value, where)
    try:
        return parse(loads(dumps(value)), where)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be written as JSON: {error}") from None


def moment_of(time: datetime | str | None, where: str = "") -> str | None:
    """A time as the operations take it. Raises UsageError for one without a zone, or outside of the years of UTC."""
    if not isinstance(time, datetime):
        return time
    if time.tzinfo is None:
        raise UsageError(f"{where}the time {time} has no zone", hint="datetime.now(timezone.utc) has one")
    try:
        return clock.show(time)
    except OverflowError:
        raise UsageError(f"{where}the time {time} is not between the years 1 and 9999 in UTC") from None


def stored(line: dict[str, Any]) -> StoredMessage:
    """A line of `messages.list_` as a caller gets it."""
    return cast(StoredMessage, {name: value for name, value in line.items() if name != "type"})
