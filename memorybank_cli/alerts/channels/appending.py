"""The channels `log` and `file`: each message becomes a line of JSON in a file that never grows beyond a limit."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

from memorybank_cli.alerts.channels.values import Message, Undelivered
from memorybank_cli.base import files, locks
from memorybank_cli.base.errors import Locked, MemorybankError, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.walk import Root

OLD = ".1"
"""Ends the name of the one older file that is kept."""
_PATIENCE = 5.0


@dataclass(frozen=True)
class AppendingChannel:
    """Appends to the file `name` in a directory (a real path); past `most` bytes that becomes `name.1`."""

    directory: str
    name: str
    most: int
    limit: float = 15.0
    """Seconds, beside others who append."""

    def send(self, message: Message) -> None:
        """Append a line durably. Raises Undelivered."""
        try:
            root = Root(self.directory)
            try:
                if root.path != self.directory:
                    raise Undelivered(f"{escape(self.directory)} is a link, or a part of it is")
                # The directory itself is what writers take turns at: whoever comes second must see the new file.
                locks.hold_root(root, _PATIENCE)
                self._append(root, message.body() + b"\n")
            finally:
                root.close()
        except OSError as error:
            raise Undelivered(from_os_error(error, "cannot append").message) from None
        except Locked as error:
            raise Undelivered(error.message) from None
        except MemorybankError as error:
            raise Undelivered(error.message, hint=error.hint) from None

    def _append(self, root: Root, line: bytes) -> None:
        name = escape(self.name)
        info = root.stat(name)
        if info is not None and not stat.S_ISREG(info.st_mode):
            raise Undelivered(f"{name} is no regular file")
        if info is not None and info.st_size + len(line) > self.most and info.st_size:
            files.rename(root, name, name + OLD)
        fd = files.open_to_write(root, name)
        try:
            files.append(fd, line)  # unsynced: what is evidence stands in findings.sqlite
        finally:
            os.close(fd)

    def close(self) -> None:
        """Nothing runs."""
