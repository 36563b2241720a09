"""One digest for everything: SHA-256 in hexadecimal, so that anybody can check with `sha256sum`."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import sha256

# As in base/walk.py; a buffer to read into would cost more than a small file does.
CHUNK = 1 << 16


UNREAD = "unread:"
"""What stands before the mark of a file that is too large to be read; nothing else that tells files apart has it."""


def unread(head: bytes, size: int, mtime_ns: int) -> str:
    """What tells a file that is not read whole from its earlier self: its beginning, its size and its mtime."""
    return UNREAD + of(b"%d %d " % (size, mtime_ns) + head)


def of(data: bytes) -> str:
    """The digest of bytes in memory."""
    return sha256(data).hexdigest()


def of_fd(fd: int) -> tuple[str, int]:
    """Digest and size of what is left to read of an open file, in constant memory."""
    digest, size = sha256(), 0
    while part := os.read(fd, CHUNK):
        digest.update(part)
        size += len(part)
    return digest.hexdigest(), size


def of_pieces(pieces: Iterable[bytes]) -> str:
    """The digest of what the pieces make together."""
    digest = sha256()
    for piece in pieces:
        digest.update(piece)
    return digest.hexdigest()
