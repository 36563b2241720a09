"""Messages: adding them durably, and reading them back."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from memorybank_cli.accounts.history import SHORT_TERM
from memorybank_cli.accounts.messages import Message, checked, parse
from memorybank_cli.accounts.replay import STORED
from memorybank_cli.accounts.segments import MOST
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank import baseline
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.base import clock
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.exact_json import FlawedJSON, loads
from memorybank_cli.base.words import counted
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class AddedMessages:
    """What `message add` did."""

    added: int
    duplicates: int
    moved_to_mid_term: int
    context_refreshed: bool
    account: str
    total: int

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


def store(bank: Bank, account: str, messages: list[Message]) -> AddedMessages:
    """Store messages in one durable group; duplicates of what the account holds are left out.

    The cost is that of the messages given, at any length of history. Raises AccountDamaged where that cannot be had.
    """
    baseline.begin(bank)
    key, now = bytes.fromhex(str(bank.document["identity_key"])), clock.now()
    entries = []
    for message in messages:
        record = message.record(key, now)
        entries.append(Entry(STORED, {"account": account, "kind": "message", "record": record["id"]}, record))
    with bank.locked():
        before = read_history(bank, account).total
        lines = bank.commit(entries)
        since = bank.catalog.unrendered_since(account)
        if since is not None and bank.end.seq - since >= MOST:
            bank.render()  # what waits is read again by each who comes, so it must not grow
    added = sum(line.op == STORED for line in lines)
    total = before + added
    moved = max(0, total - SHORT_TERM) - max(0, before - SHORT_TERM)
    return AddedMessages(added, len(messages) - added, moved, False, account, total)


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
    wanted = _filter(since, until, role, grep)
    if bank.catalog.unrendered_since(account) is not None and not bank.catalog.in_memory:
        bank.render()  # as after a kill; what waits may be more than should be held in memory
    history = read_history(bank, account, indexed=True)
    if last is None:
        return _lines(filter(wanted, history.messages))
    return _lines(reversed(list(islice(filter(wanted, history.backwards()), last))))


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
