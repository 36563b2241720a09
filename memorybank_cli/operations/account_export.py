"""An account as one document, streamed: everything that is known of it, the messages last."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from memorybank_cli.accounts.history import History
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.base.names import escape
from memorybank_cli.base.words import counted, size
from memorybank_cli.operations.accounts import check_account
from memorybank_cli.operations.export import write_new
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.repositories import check_outside
from memorybank_cli.snapshots.repository import explained

PIECE = 1 << 16


class AccountDocument:
    """The document of an account, which goes to stdout. It is the same with and without --json."""

    is_json = True

    def __init__(self, history: History) -> None:
        self.history = history

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, once, in pieces; one message a line. Raises AccountDamaged, also after some pieces."""
        head = dumps(_head(self.history), indent=True)
        waiting, size = [head[:-2], b',\n  "messages": ['], 0
        before = b"\n    "
        for message in self.history.messages:
            text = dumps(message)
            waiting += [before, text]
            before, size = b",\n    ", size + len(text)
            if size >= PIECE:
                yield b"".join(waiting)
                waiting, size = [], 0
        yield b"".join([*waiting, b"\n  ]\n}\n" if self.history.total else b"]\n}\n"])


def _head(history: History) -> dict[str, Any]:
    return {
        "account_id": history.account,
        "created_at": history.created_at,
        "last_update": history.last_update,
        "seq": history.seq,
        "capacity": history.capacity._asdict(),
        "total": history.total,
        "summaries": list(history.context.summaries),
    }


@dataclass(frozen=True)
class ExportedAccount:
    """The document that was written."""

    account: str
    path: str
    messages: int
    bytes: int

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON."""
        return {**vars(self), "path": escape(self.path)}

    def summary(self) -> str:
        """How much went where."""
        return f"{counted(self.messages, 'message')} of {self.account} in {escape(self.path)} ({size(self.bytes)})"


def export(
    bank: Bank,
    account: Annotated[str, "its id"],
    *,
    to: Annotated[str, Option("a new file; - writes to stdout", metavar="FILE")] = "-",
) -> ExportedAccount | AccountDocument:
    """Write an account as one JSON document.

    It holds every message, archived ones too, and the summaries; `migrate --from` reads it back. It is written
    as it is read, so an account of any length needs little memory.

    Exit codes:
        0   written
        3   its history cannot be had whole; a part may have gone to stdout
        10  there is no such account
        13  something stands at FILE already, or FILE lies inside the bank

    Examples:
        memorybank account export alpha > alpha.json
        memorybank account export alpha --to alpha.json
    """
    check_account(bank, account)
    if to != "-":
        check_outside(bank, to)
    if bank.catalog.unrendered_since(account) is not None and not bank.catalog.in_memory:
        bank.render()  # what waits may be more than should be held in memory
    history = read_history(bank, account, indexed=True)
    if to == "-":
        return AccountDocument(history)
    with explained("cannot write the document"):
        written = write_new(os.path.abspath(to), AccountDocument(history).pieces())
    return ExportedAccount(account, os.path.abspath(to), history.total, written)
