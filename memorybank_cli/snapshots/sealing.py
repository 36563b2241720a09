"""How bytes are sealed before they reach the repository and opened after: the one seam for encryption."""

from __future__ import annotations

from typing import Protocol

from memorybank_cli.base.errors import OperationFailed

PACK = "mb-pack-1"
INDEX = "mb-index-1"
SNAPSHOT = "mb-snap-1"
FOOTER_NUMBER = (1 << 96) - 1


class Damaged(OperationFailed):
    """Bytes in the repository are not what was written there; message says which and why."""

    code = "snapshot_damaged"
    hint = "memorybank snapshot verify --read-data lists what is hit; memorybank backup makes a new snapshot"


class Seal(Protocol):
    """What packs, index and snapshot documents are sealed with.

    `label` separates the uses of one master key, `salt` the packs, `number` the frames of a pack
    (`FOOTER_NUMBER` for its footer). Opening what was altered raises Damaged.
    """

    def seal(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """A part of a pack as it is stored."""

    def open(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The part that `seal` was given."""

    def seal_file(self, label: str, data: bytes) -> bytes:
        """A whole file as it is stored, with whatever salt it needs."""

    def open_file(self, label: str, data: bytes) -> bytes:
        """The content that `seal_file` was given."""


class Plain:
    """No encryption: bytes are stored as they are; digests alone tell damage."""

    def seal(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data itself."""
        return data

    def open(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data itself."""
        return data

    def seal_file(self, label: str, data: bytes) -> bytes:
        """The data itself."""
        return data

    def open_file(self, label: str, data: bytes) -> bytes:
        """The data itself."""
        return data
