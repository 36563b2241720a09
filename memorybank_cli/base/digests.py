"""One digest for everything: SHA-256 in hexadecimal, so that anybody can check with `sha256sum`."""

from __future__ import annotations

import os
from hashlib import sha256

# As in base/walk.py; a buffer to read into would cost more than a small file does.
CHUNK = 1 << 16


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
