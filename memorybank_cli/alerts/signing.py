"""Signatures of webhooks: HMAC-SHA256 over `timestamp.body`, so that neither can be changed nor sent again much later.

The header is `Memorybank-Signature: t=<seconds since the epoch>,v1=<hex>`; receivers compare with `verify`.
"""

from __future__ import annotations

import hmac
import os
import stat
from dataclasses import dataclass, field
from hashlib import sha256

from memorybank_cli.base.errors import OperationFailed, from_os_error
from memorybank_cli.base.names import escape, quoted
from memorybank_cli.base.walk import read_all

HEADER = "Memorybank-Signature"
TOLERANCE = 300.0
"""Seconds that a signature counts for, before and after: clocks differ."""
_LIMIT = 1 << 16


@dataclass(frozen=True)
class Secret:
    """A secret that shows in no message, log or report."""

    value: bytes = field(repr=False)


def read_secret(path: str) -> Secret:
    """What a secret's file holds, without one line feed at its end.

    Raises OperationFailed, which names the file and never what is in it: it must be a regular file that its owner alone
    may read.
    """
    name = escape(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise from_os_error(error, "cannot read the secret") from None
    try:
        mode = os.fstat(fd).st_mode
        if not stat.S_ISREG(mode):
            raise OperationFailed(f"{name} is no regular file, so it cannot hold a secret", path=name)
        if mode & 0o077:
            raise OperationFailed(f"others may read the secret in {name}", hint=f"chmod 600 {quoted(name)}", path=name)
        data = read_all(fd, _LIMIT)
    except OSError as error:
        raise from_os_error(error, f"cannot read the secret in {name}") from None
    finally:
        os.close(fd)
    data = data.removesuffix(b"\n").removesuffix(b"\r")
    if not data:
        raise OperationFailed(f"there is no secret in {name}", hint="an empty one signs nothing", path=name)
    return Secret(data)


def sign(secret: Secret, timestamp: int, body: bytes) -> str:
    """The header's value for a body that is sent at `timestamp`, in seconds since the epoch."""
    return f"t={timestamp},v1={_digest(secret, timestamp, body)}"


def verify(secret: Secret, header: str, body: bytes, now: float) -> bool:
    """Whether the header signs exactly this body, at a time of at most `TOLERANCE` seconds from `now`."""
    parts = dict(part.split("=", 1) for part in header.split(",") if "=" in part)
    timestamp = parts.get("t", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    fits = hmac.compare_digest(_digest(secret, int(timestamp), body).encode(), parts.get("v1", "").encode())
    return fits and abs(now - int(timestamp)) <= TOLERANCE


def _digest(secret: Secret, timestamp: int, body: bytes) -> str:
    return hmac.new(secret.value, f"{timestamp}.".encode() + body, sha256).hexdigest()
