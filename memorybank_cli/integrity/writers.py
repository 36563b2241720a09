"""Whether somebody still writes a file: who has it open, or mapped, writes into what would be replaced."""

from __future__ import annotations

import fcntl
import os
import signal

from memorybank_cli.base import clock
from memorybank_cli.base.walk import Root

QUIET_NS = 60 * clock.SECOND_NS


def is_written(root: Root, path: str) -> bool:
    """Whether a file is open or mapped for writing by anybody; where that cannot be known, if it changed lately.

    Linux grants a lease for reading only on a file that nobody has open for writing.
    """
    try:
        fd = root.open(path)
    except OSError:
        return False  # gone, or no file: nobody's writing would be lost
    try:
        if not hasattr(fcntl, "F_SETLEASE"):
            return _is_fresh(fd)
        # Who opens it meanwhile breaks the lease, which is told by a signal; this one is ignored unless it is awaited.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return _is_fresh(fd)  # another owner's, or a file system without leases
    finally:
        os.close(fd)


def _is_fresh(fd: int) -> bool:
    return abs(clock.now_ns() - os.fstat(fd).st_mtime_ns) < QUIET_NS
