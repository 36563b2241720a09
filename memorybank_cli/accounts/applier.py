"""Accounts as an applier of the bank: the gate that keeps a message from being stored twice, and the files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from memorybank_cli.accounts.identities import Identities
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.replay import CREATED, STORED
from memorybank_cli.accounts.segments import index_text, parse_index
from memorybank_cli.accounts.sources import renderings
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.layout import account_of, place
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base import digests
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.exact_json import FlawedJSON, loads


class AccountApplier:
    """Accounts as an `Applier` of one bank."""

    ops = frozenset({STORED, CREATED})

    def __init__(self) -> None:
        self._identities: Identities | None = None

    def admit(self, bank: Bank, entries: list[Entry]) -> list[Entry]:
        """Leave out messages that the account holds already, or that were admitted under this hold of the lock."""
        places: dict[str, list[int]] = {}
        for index, entry in enumerate(entries):
            if entry.op == STORED and entry.fields.get("kind") == "message":
                places.setdefault(str(entry.fields["account"]), []).append(index)
        twice: set[int] = set()
        for account, indexes in places.items():
            ids = [str(entries[index].fields["record"]) for index in indexes]
            fresh = self._known(bank).fresh(account, ids)
            twice.update(index for index, new in zip(indexes, fresh, strict=True) if not new)
        return [entry for index, entry in enumerate(entries) if index not in twice] if twice else entries

    def _known(self, bank: Bank) -> Identities:
        if self._identities is None:
            self._identities = Identities(bank)
            bank.resources.callback(self._identities.close)
        return self._identities

    def render(self, bank: Bank, account: str, upto: int) -> Iterator[Rendering | dict[str, Any]]:
        """The account's files as of journal line `upto`: of the sealed part what is new, then what to remember of it.

        Raises AccountDamaged while its history cannot be had whole.
        """
        return renderings(bank, account, upto)

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
                return one.data == data or (kind == "history_index" and _begins(account, one.data, data))
        return False


def _begins(account: str, whole: bytes, part: bytes) -> bool:
    """Whether one index is another one at an earlier seal."""
    listed = parse_index(part)
    return parse_index(whole)[: len(listed)] == listed and index_text(account, listed) == part
