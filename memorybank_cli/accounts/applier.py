"""Accounts as an applier of the bank: the gate that keeps a message from being stored twice, and the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.identities import Identities
from memorybank_cli.accounts.lateness import flagged
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.replay import CREATED, STORED, follow
from memorybank_cli.accounts.segments import index_text, parse_index
from memorybank_cli.accounts.sources import current, rendering, renderings
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.following import MESSAGE, RENDERED, Told
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.layout import account_of, place
from memorybank_cli.bank.ledger import RENDERED_BYTES, RENDERED_LINES
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, dumps, loads

HARMLESS = frozenset({STORED, CREATED, RENDERED, "checkpoint", "snapshot.created", "finding.opened", "journal.cut"})
"""Operations that change no account but by storing messages."""
MOST_OPEN = 3 * RENDERED_LINES
"""Messages of one account that are kept in memory where nobody can render them."""
CAUGHT_UP = 1_024
"""At so many lines of the journal the table of identities learns of what was stored since."""


class Known:
    """What is kept in memory of one account, up to the end of the journal."""

    def __init__(self, history: History, *, follows: bool) -> None:
        self.total, self.newest, self.capacity = history.total, history.newest_time, history.capacity
        self.follows = follows
        """Whether what others stored is taken over, too: for who renders what others write."""
        self.history: History | None = None
        """Its messages, as long as every line that came was taken over; so its files need not be read."""
        self.shown: History | None = None
        """What was rendered; it counts again when the journal tells of those files."""

    def hear(self, one: Told) -> None:
        """A message or a summary was stored."""
        if one.kind == MESSAGE:
            self.total += 1
            self.newest = max(self.newest, one.time)
        history = self.history or self.shown
        if history is None:
            return
        line = one.whole() if self.follows or isinstance(one.line, Line) else None
        if line is None or len(history.open) > MOST_OPEN or history.size > RENDERED_BYTES:
            self.history = self.shown = None
        else:
            follow(history, line)

    def take(self) -> History | None:
        """The history, to be rendered; None where it is not there."""
        self.shown, taken, self.history = None, self.history, None
        return taken

    def told_of(self) -> None:
        """The journal tells of files that were rendered."""
        self.history, self.shown = self.history or self.shown, None


class AccountApplier:
    """Accounts as an `Applier` of one bank."""

    ops = frozenset({STORED, CREATED})

    def __init__(self) -> None:
        self._identities: Identities | None = None
        self._known: dict[str, Known] = {}

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        """Leave out messages that the account holds already, or that were admitted under this hold of the lock."""
        places: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            if entry.op == STORED and entry.fields.get("kind") == "message":
                places.setdefault(str(entry.fields["account"]), []).append(index)
        twice: set[int] = set()
        for account, indexes in places.items():
            twice.update(self._twice(bank, account, [(index, entries[index]) for index in indexes]))
            kept = [index for index in indexes if index not in twice]
            if kept:
                late = flagged(self.known(bank, account).newest, [entries[index] for index in kept])
                for index, entry in zip(kept, late, strict=True):
                    entries[index] = entry
        return [entry for index, entry in enumerate(entries) if index not in twice] if twice else entries

    def _twice(self, bank: Bank, account: str, entries: list[tuple[int, Entry]]) -> Iterator[int]:
        asked = [(index, str(entry.fields["record"])) for index, entry in entries if not entry.is_new]
        if asked:
            fresh = self.identities(bank).fresh(account, [record for _, record in asked])
            yield from (index for (index, _), new in zip(asked, fresh, strict=True) if not new)

    def identities(self, bank: Bank) -> Identities:
        """Which messages the accounts hold."""
        if self._identities is None:
            self._identities = Identities(bank)
            bank.resources.callback(self._identities.close)
        return self._identities

    def known(self, bank: Bank, account: str) -> Known:
        """What is known of an account; its history is read once. The lock is held. Raises AccountDamaged."""
        if account not in self._known:
            way = current(bank, account)
            known = self._known[account] = Known(way.history, follows=False)
            if not (way.seals or way.unrecorded):
                known.history = way.history
        return self._known[account]

    def heard(self, bank: Bank, told: list[Told]) -> None:
        """Lines were appended: the next message, and the next rendering, need not ask for them."""
        for one in told:
            if one.op == STORED:
                if (known := self._known.get(one.account)) is not None:
                    known.hear(one)
            elif one.op == RENDERED:
                if (known := self._known.get(one.account)) is not None:
                    known.told_of()
            elif one.op not in HARMLESS:
                self._known.clear()
        if not bank.is_held:
            if self._identities is not None:
                self._identities.lost()
        elif self._identities is not None:
            self._identities.heard(told)
        elif told and told[0].seq // CAUGHT_UP != (told[-1].seq + 1) // CAUGHT_UP:
            self.identities(bank).catch_up()

    def lost(self) -> None:
        """Lines passed that nobody told."""
        self._known.clear()
        if self._identities is not None:
            self._identities.lost()

    def render(self, bank: Bank, account: str, upto: int) -> Iterator[Rendering | dict[str, Any]]:
        """The account's files as of journal line `upto`: of the sealed part what is new, then what to remember of it.

        Raises AccountDamaged while its history cannot be had whole.
        """
        known = self._known.get(account) if upto == bank.heard.seq else None
        history = None if known is None else known.take()
        if history is None:
            history = yield from renderings(bank, account, upto)
        else:
            history.upto = upto
            yield from rendering(history)
        if upto == bank.heard.seq:  # with all in place: what a failure leaves behind is read again
            known = self._known.get(account) or Known(history, follows=True)
            known.shown, self._known[account] = history, known

    def is_rendering(self, bank: Bank, path: str, data: bytes) -> bool:
        """Whether bytes found at `path` are the rendering at the journal line that they name."""
        account = account_of(path.partition("/")[0])
        if not account:
            return False
        expected = bank.catalog.row(path).expected
        if expected is not None and digests.of(data) == expected.sha:
            return True
        kind = place(path).kind
        if expected is not None and (kind == "history_segment" or bank.catalog.unrendered_since(account) is None):
            return False  # there is nothing that the journal could not tell of yet
        try:
            return self._is_newer(bank, account, path, kind, data)
        except (AccountDamaged, FlawedJSON, ValueError, TypeError, KeyError):
            return False

    def _is_newer(self, bank: Bank, account: str, path: str, kind: str, data: bytes) -> bool:
        """Whether bytes are a rendering of what the journal holds beyond the files that it tells of."""
        value = loads(data)
        if not isinstance(value, dict):
            return False
        seq, record = value.get("seq", bank.end.seq), record_of(bank, account)
        if type(seq) is not int or (record is not None and seq <= record.after):
            return False
        for one in renderings(bank, account, min(seq, bank.end.seq)):
            if isinstance(one, Rendering) and one.path == path:
                return one.data == data or (kind in _EARLIER and _EARLIER[kind](account, one.data, data))
        return False


def _begins(account: str, whole: bytes, part: bytes) -> bool:
    """Whether one index is another one at an earlier seal."""
    listed = parse_index(part)
    return parse_index(whole)[: len(listed)] == listed and index_text(account, listed) == part


def _differs_in_status(_account: str, later: bytes, earlier: bytes) -> bool:
    """Whether an account's file is another one, which names no line, when other tiers were active."""
    now, then = loads(later), loads(earlier)
    return bool(now | {"memory_status": then["memory_status"]} == then) and dumps(then, indent=True) + b"\n" == earlier


_EARLIER = {"history_index": _begins, "account": _differs_in_status}
"""What a file may be of an earlier rendering that the journal does not tell of either."""


def applier_of(bank: Bank) -> AccountApplier:
    """The applier that takes part in what is written into a bank."""
    return next(one for one in bank.appliers if isinstance(one, AccountApplier))
