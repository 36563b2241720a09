"""Messages: adding them durably, and reading them back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts.applier import applier_of
from memorybank_cli.accounts.history import Capacity
from memorybank_cli.accounts.messages import Message, checked, parse
from memorybank_cli.accounts.newest import in_windows, newest
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.accounts.segments import MOST
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.writing import Appended
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged, UsageError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.words import counted
from memorybank_cli.health.responses import measured
from memorybank_cli.operations.accounts import check_account, check_there
from memorybank_cli.operations.context_upkeep import noticed
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class AddedMessages:
    """What `message add` did."""

    added: int
    duplicates: int
    moved_to_mid_term: int
    context_refreshed: bool
    """Whether these messages set off a refresh of the account's context: it follows this answer."""
    account: str
    total: int
    ids: tuple[str, ...] = ()
    """Of all messages, in the order given."""
    duplicate_ids: tuple[str, ...] = ()
    """Of those that the account held already."""

    def summary(self) -> str:
        """One line for people."""
        twice = f", {self.duplicates} already there" if self.duplicates else ""
        return f"{self.added} added{twice}; {self.account} holds {counted(self.total, 'message')}."


def add(
    bank: Bank,
    context: Context,
    text: Annotated[str | None, Option("what was said; - reads it from stdin", empty=True)] = None,
    *,
    account: Annotated[str, "the account's id"],
    role: Annotated[str, "who speaks: user, assistant, tool, system"] = "",
    id: Annotated[str, "the message's own id; the same id again is not stored twice"] = "",
    timestamp: Annotated[str, "when it was said (RFC 3339); default: now"] = "",
    stdin: Annotated[bool, "read JSON lines from stdin, all stored in one durable batch"] = False,
) -> AddedMessages:
    """Add a message, or many from stdin.

    When this returns 0 the messages are on the disk.

    Exit codes:
        0   stored, or stored before
        2   the message is not one
        10  there is no such account

    Examples:
        memorybank message add "hello" --account alpha --role user
        memorybank message add --stdin --account alpha < messages.jsonl
    """
    check_account(bank, account)
    if stdin == (text is not None):
        raise UsageError("give either a text or --stdin", hint="memorybank message add TEXT --account ID --role user")
    messages = _from_lines(context) if stdin else [_single(context, text or "", role, id, timestamp)]
    return store(bank, account, messages)


@measured("write")
def store(bank: Bank, account: str, messages: list[Message]) -> AddedMessages:
    """Store messages in one durable group; duplicates of what the account holds are left out.

    The cost is that of the messages given, at any length of history. Raises AccountDamaged where that cannot be had.
    """
    baseline.begin(bank)
    key, now = bytes.fromhex(str(bank.document["identity_key"])), clock.now()
    entries = []
    for message in messages:
        record = message.record(key, now)
        fields = {"account": account, "kind": "message", "record": record["id"]}
        entries.append(Entry(STORED, fields, record, is_new=not message.id and not message.timestamp))

    def begin() -> tuple[tuple[list[Line], int, Capacity], Appended | None]:
        try:
            lines, what = bank.begin(entries)
        except AccountDamaged:
            check_there(bank, account)  # it may have been renamed or forgotten since it was looked at
            raise
        known = applier_of(bank).known(bank, account)
        return (lines, known.total, known.capacity), what

    lines, total, capacity = bank.together.run(begin)
    if bank.nudge is None:
        bank.relieve()  # what waits is read again by each who comes, so it must not grow
    ids, twice = _sorted_out(entries, lines)
    before = total - len(ids) + len(twice)
    moved = capacity.moved(before, total)
    refreshed = total > before and noticed(bank, account, total - before, total)
    return AddedMessages(total - before, len(twice), moved, refreshed, account, total, ids, twice)


def _sorted_out(entries: list[Entry], lines: list[Line]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The ids of all messages in the order given, and of those that were left out."""
    ids = tuple(entry.fields["record"] for entry in entries)
    if len(lines) == len(ids):
        return ids, ()
    stored = [str(line.core["record"]) for line in lines]
    twice, at = [], 0
    for one in ids:
        if at < len(stored) and stored[at] == one:
            at += 1
        else:
            twice.append(one)
    return ids, tuple(twice)


def _single(context: Context, text: str, role: str, id: str, timestamp: str) -> Message:
    if text == "-":
        with context.open_input("-") as file:
            try:
                text = file.read().decode()
            except UnicodeDecodeError as error:
                raise UsageError(f"stdin is not UTF-8: {error.reason} at byte {error.start}") from None
    try:
        text.encode()
    except UnicodeEncodeError:
        raise UsageError("the text is not UTF-8") from None
    return checked(Message(role, text, id, timestamp))


def _from_lines(context: Context) -> list[Message]:
    messages = []
    with context.open_input("-") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                messages.append(parse(loads(line), f"line {number}"))
            except FlawedJSON as error:
                raise UsageError(f"line {number} is no JSON: {error}", hint="nothing was stored") from None
    return messages


@measured("read")
def list_(
    bank: Bank,
    *,
    account: Annotated[str, "the account's id"],
    last: Annotated[int | None, Option("only the newest N", metavar="N")] = None,
    since: Annotated[str | None, "only from this time on: RFC 3339 or a span such as 24h"] = None,
    until: Annotated[str | None, "only before this time"] = None,
    role: Annotated[str | None, "only this speaker"] = None,
    grep: Annotated[str | None, Option("only messages in which this pattern is found", metavar="PATTERN")] = None,
) -> Iterator[dict[str, Any]]:
    """List the messages of an account.

    Oldest first, all of them without a filter.

    Exit codes:
        0   done
        10  there is no such account

    Examples:
        memorybank message list --account alpha --last 10
        memorybank message list --account alpha --grep 'stop.?loss' --json
    """
    check_account(bank, account)
    if last is not None and last < 0:
        raise UsageError("--last takes a number of messages, 0 or more")
    wanted = _filter(since, until, role, grep) if since or until or role or grep else None
    if last is not None and wanted is None:
        found = in_windows(bank, account, last)
        if found is not None:
            return _lines(found)
    waits = bank.catalog.unrendered_since(account)
    if waits is not None and bank.end.seq - waits >= MOST and not bank.catalog.in_memory:
        bank.render()  # as after a kill; what waits may be more than should be held in memory
    history = read_history(bank, account, indexed=True)
    if last is not None:
        return _lines(newest(history, last, wanted))
    return _lines(history.messages if wanted is None else filter(wanted, history.messages))


def _filter(
    since: str | None, until: str | None, role: str | None, grep: str | None
) -> Callable[[dict[str, Any]], bool]:
    """What a message must be to be listed. Raises UsageError for a time or a pattern that is none."""
    start = clock.parse_since(since) if since else None
    stop = clock.parse_since(until) if until else None
    pattern = _pattern(grep) if grep else None

    def wanted(message: dict[str, Any]) -> bool:
        moment = clock.parse(message["timestamp"]) if start or stop else None
        return (
            (start is None or (moment is not None and moment >= start))
            and (stop is None or (moment is not None and moment < stop))
            and (not role or message["role"] == role)
            and (pattern is None or pattern.search(message["content"]) is not None)
        )

    return wanted


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"'{text}' is no pattern: {error}") from None


def _lines(messages: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for message in messages:
        yield {"type": "message", **message}
