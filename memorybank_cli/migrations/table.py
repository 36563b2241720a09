"""The importers that there are. Of two that are equally sure the first one gets a file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from memorybank_cli.migrations import (
    bank_layout,
    dialogues,
    freqtrade,
    markdown_bank,
    mcp_memory,
    memory_tree,
    plain_json,
)
from memorybank_cli.migrations.items import Item
from memorybank_cli.migrations.source import Source


class Importer(Protocol):
    """What an importer is; each is a module."""

    NAME: str
    """What `--as` calls it."""
    TITLE: str
    """What it reads, for people."""

    def score(self, source: Source) -> int:
        """How sure it is that the source, or a part of it, is its own: 0 not at all, 100 surely. Cheap."""

    def takes(self, source: Source, path: str) -> bool:
        """Whether a file is its own; asked only where `score` is not 0."""

    def read(self, source: Source, paths: Sequence[str]) -> Iterator[Item]:
        """Everything in those files as a stream, messages in the order they arrived. Bad input is `Rejected`."""


IMPORTERS: tuple[Importer, ...] = (
    bank_layout,
    memory_tree,
    mcp_memory,
    freqtrade,
    dialogues,
    markdown_bank,
    plain_json,
)
LAST: Importer = markdown_bank
"""It is read after the others: links of documents lead to where the others put their files."""
