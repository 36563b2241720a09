"""One digest for everything: SHA-256 in hexadecimal, so that anybody can check with `sha256sum`."""

from __future__ import annotations

import os
from hashlib import sha256

CHUNK = 1 << 18


def of(data: bytes) -> str:
    """The digest of bytes in memory."""
    return sha256(data).hexdigest()


def of_fd(fd: int) -> tuple[str, int]:
    """Digest and size of what is left to read of an open file, in constant memory."""
    digest, size, buffer = sha256(), 0, bytearray(CHUNK)
    view = memoryview(buffer)
    while count := os.readv(fd, [buffer]):
        digest.update(view[:count])
        size += count
    return digest.hexdigest(), size
