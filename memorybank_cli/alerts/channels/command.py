"""The channel `command`: a program of the user's own gets each message on stdin. No shell, and no way to hang."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from memorybank_cli.alerts.channels.values import Message, Undelivered
from memorybank_cli.base.ids import for_programs
from memorybank_cli.base.names import escape

if TYPE_CHECKING:
    import subprocess

SECONDS = 10.0
GRACE = 2.0
"""Seconds between the two signals that end a program."""
_OURS = "MEMORYBANK_"


class CommandChannel:
    """Runs `argv` as a process group of its own, in `/`; its output goes nowhere, its exit code counts."""

    def __init__(self, argv: Sequence[str], seconds: float = SECONDS, *, words: bool = False) -> None:
        self._argv, self._seconds, self._words = list(argv), seconds, words
        self._running: subprocess.Popen[bytes] | None = None
        self._is_closed = False
        self.limit = seconds + 2 * GRACE

    def __repr__(self) -> str:
        return f"CommandChannel({self._name!r})"

    @property
    def _name(self) -> str:
        return escape(os.path.basename(self._argv[0]))

    def send(self, message: Message) -> None:
        """Run it once, the message on its stdin: JSON, or words.

        Raises Undelivered; nothing of it runs on then, but for what it started in a session of its own.
        """
        import subprocess  # 5 ms, and few need it

        data = message.text().encode() if self._words else message.body() + b"\n"
        try:
            process = subprocess.Popen(
                self._argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
                **for_programs({name: value for name, value in os.environ.items() if not name.startswith(_OURS)}),
            )
        except (OSError, ValueError) as error:
            why = (getattr(error, "strerror", None) or "it is no command").lower()
            raise Undelivered(f"cannot run {self._name}: {why}") from None
        self._running = process
        try:
            if self._is_closed:  # while it was being started
                _end(process)
            process.communicate(data, timeout=self._seconds)
        except subprocess.TimeoutExpired:
            raise Undelivered(f"{self._name} did not end within {self._seconds:g} seconds") from None
        finally:
            self._running = None
            _end(process)
            assert process.stdin is not None
            with suppress(OSError):  # what it never read
                process.stdin.close()
        if process.returncode:
            raise Undelivered(f"{self._name} ended with {_words(process.returncode)}")

    def close(self) -> None:
        """End a program that still runs, with all that it started."""
        self._is_closed = True
        process = self._running
        if process is not None:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all of its group, politely first; one that is over is only taken note of."""
    if process.poll() is not None:
        return
    # Until it is waited for, its number is nobody else's: the second signal reaches what it left behind, and no other.
    with suppress(ProcessLookupError, ChildProcessError):
        os.killpg(process.pid, signal.SIGTERM)
        end = time.monotonic() + GRACE
        while time.monotonic() < end and os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _words(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
