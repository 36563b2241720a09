"""Processes of `python -m memorybank_cli` that need not start Python anew: 20 ms each instead of 300.

A server, started for each process of pytest, imports memorybank_cli once and forks a child for each call. The child has
the environment, directory, umask and files that it would have had, and runs what `python -m memorybank_cli` runs.
How fast Python starts and what it imports is tested elsewhere, with processes that begin at the beginning.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

_SEEN_AT_RUNTIME = ("MEMORYBANK_", "PYTEST_", "XDG_")
_NAMES = {"HOME", "PATH", "TZ", "TMPDIR", "OLDPWD", "PWD"}
"""Variables that nobody reads while modules are imported; where others differ the server is of no use."""
_STATUS = struct.Struct("ii")


class Server:
    """Forks one child for each call."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.owner, self.environment, self._socket = os.getpid(), dict(os.environ), ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.processes", str(theirs.fileno())],
                cwd=Path(__file__).resolve().parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )

    def close(self) -> None:
        """End it."""
        self._socket.close()
        self._process.wait()

    def serves(self, environment: Mapping[str, str]) -> bool:
        """Whether a process with this environment can be had from it."""
        names = {name for name, _ in environment.items() ^ self.environment.items()}
        return self.owner == os.getpid() and all(name in _NAMES or name.startswith(_SEEN_AT_RUNTIME) for name in names)

    def run(
        self, words: Sequence[str], environment: Mapping[str, str], place: str, stdin: bytes, timeout: float
    ) -> tuple[int, bytes, bytes]:
        """The return code of a command, as `subprocess` has it, and what it wrote to stdout and stderr."""
        umask = os.umask(0o077)
        os.umask(umask)
        asked = json.dumps({"words": [*words], "environment": {**environment}, "umask": umask}).encode()
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            given.write(stdin)
            given.seek(0)
            code = self._ask(asked, (given, out, err), place, timeout)
            out.seek(0)
            err.seek(0)
            return code, out.read(), err.read()

    def _ask(self, asked: bytes, files: Sequence[IO[bytes]], place: str, timeout: float) -> int:
        directory, (reads, writes) = os.open(place, os.O_PATH), os.pipe()
        try:
            with tempfile.TemporaryFile() as request:
                request.write(asked)
                request.seek(0)
                numbers = [request.fileno(), directory, writes, *(one.fileno() for one in files)]
                socket.send_fds(self._socket, [b"run"], numbers)
            os.close(writes)
            return _awaited(reads, time.monotonic() + timeout)
        finally:
            os.close(directory)
            os.close(reads)


def _awaited(reads: int, until: float) -> int:
    """The return code, once it is told. Raises TimeoutExpired; the process is killed then."""
    pid, data = 0, b""
    while len(data) < _STATUS.size:
        if not select.select([reads], [], [], max(0.0, until - time.monotonic()))[0]:
            os.kill(pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired("memorybank", until)
        more = os.read(reads, _STATUS.size - len(data))
        assert more, "the server is gone"
        data += more
        pid = struct.unpack_from("i", data)[0] if len(data) >= 4 else 0
    return int(os.waitstatus_to_exitcode(_STATUS.unpack(data)[1]))


def _serve(number: int) -> None:
    from tests.faults.lab import warm

    warm()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait
    with socket.socket(fileno=number) as ours:
        while True:
            data, numbers, _, _ = socket.recv_fds(ours, 16, 6)
            if not data:
                return
            if not os.fork():
                _wait_for_child(*numbers)
            for one in numbers:
                os.close(one)


def _wait_for_child(request: int, directory: int, status: int, *files: int) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if not child:
        _be(request, directory, files)
    os.write(status, struct.pack("i", child))
    os.write(status, struct.pack("i", os.waitpid(child, 0)[1]))
    os._exit(0)


def _be(request: int, directory: int, files: Sequence[int]) -> NoReturn:
    """Become the process that was asked for."""
    with os.fdopen(request, "rb") as file:
        asked = json.loads(file.read())
    for number, one in enumerate(files):
        os.dup2(one, number)
    os.fchdir(directory)
    os.closerange(3, 64)
    os.umask(asked["umask"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    time.tzset()
    sys.argv[1:] = asked["words"]
    from memorybank_cli.main import run

    run()


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
