"""An account's files under another name: the same messages, windows and context; only who they belong to differs."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_cli.accounts.segments import Segment, without
from memorybank_cli.accounts.shelf import FileShelf, packed
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.accounts.tiers import render
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.layout import ARCHIVED_KIND, history_archive, history_segment
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base.exact_json import loads


def renamed(bank: Bank, account: str, name: str) -> Iterator[Rendering]:
    """Every file of an account as it is under the new name; what is archived stays so. Raises AccountDamaged.

    A segment in memory at a time, cut as it was.
    """
    history = read_history(bank, account, indexed=True)
    shelf, segments = FileShelf(bank, account), list[Segment]()
    for segment in history.segments:
        data = shelf.data(segment) or shelf.again(segment)
        sealed, data = without(name, segment, loads(data)["messages"])
        segments.append(sealed)
        if shelf.archived(segment.first) is None:
            yield Rendering(history_segment(name, segment.first), "history_segment", data)
        else:
            yield Rendering(history_archive(name, segment.first), ARCHIVED_KIND, packed(data))
    history.rename(name, segments)
    yield from render(history)
