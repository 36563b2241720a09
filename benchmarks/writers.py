"""One process that writes messages, or opens a bank of many: `python -m benchmarks.writers JOB`, as JSON.

It says `ready` when everything is open, begins when it reads a line, and then prints what it measured.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from threading import Thread
from typing import Any, Protocol

from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.context import Context
from memorybank_cli.base.exact_json import dumps
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank

Record = tuple[str, str, str]
"""Id, role, content."""
ACCOUNT = "a"
WORDS = "the order was filled above the limit and the stop moved to break even while volume fell below its average "
CONTENT = WORDS * 2  # with the rest of a line about 250 bytes
BUSY_SECONDS = 60
FEW = 10_000  # so many waits are told one by one


@dataclass(frozen=True)
class Job:
    """What one process does: `count` messages to `path` in groups of `batch`, by `threads` threads that share it."""

    kind: str
    """`ours`, `sqlite`, `bare`, or `open`: nothing is written then, a bank is opened and the newest are read."""
    path: str
    name: str = "m"
    """How its messages' ids begin."""
    count: int = 0
    batch: int = 1
    threads: int = 1
    first: int = 0
    dies_after: int = 0
    """Kill itself after so many messages; 0: never."""
    warm: str = ""
    """A small bank that `open` opens first, so that no import is measured."""

    def words(self) -> list[str]:
        """The command."""
        return [sys.executable, "-m", "benchmarks.writers", json.dumps(asdict(self))]

    def ids(self, thread: int = 0) -> list[str]:
        """The ids that one of its threads writes, in order."""
        each = self.count // self.threads
        start = self.first + thread * each
        return [f"{self.name}{number:08}" for number in range(start, start + each)]


class Writer(Protocol):
    """One program that stores messages durably."""

    def add(self, records: list[Record]) -> None:
        """Store them as one group; when this returns they are on the disk."""

    def close(self) -> None:
        """End as the program ends."""


class Ours:
    """A bank."""

    def __init__(self, path: str) -> None:
        self.bank = open_bank(Context(bank=path))

    def add(self, records: list[Record]) -> None:
        """Store them as one group."""
        store(self.bank, ACCOUNT, [Message(role, content, id=id) for id, role, content in records])

    def close(self) -> None:
        """Close the bank, which renders its files."""
        self.bank.close()


class Sqlite:
    """One table in SQLite, WAL, synchronous=FULL."""

    def __init__(self, path: str) -> None:
        self.db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("PRAGMA synchronous = FULL")
        self.db.execute("CREATE TABLE IF NOT EXISTS messages (id TEXT, role TEXT, content TEXT, moment REAL)")

    def add(self, records: list[Record]) -> None:
        """Insert them in one transaction."""
        rows = [(*record, time.time()) for record in records]
        insert = "INSERT INTO messages VALUES (?, ?, ?, ?)"
        if len(rows) == 1:
            self.db.execute(insert, rows[0])
            return
        self.db.execute("BEGIN IMMEDIATE")
        self.db.executemany(insert, rows)
        self.db.execute("COMMIT")

    def close(self) -> None:
        """Close the database."""
        self.db.close()


class Bare:
    """Lines at the end of a file, and fdatasync: what the disk can do."""

    def __init__(self, path: str) -> None:
        self.fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def add(self, records: list[Record]) -> None:
        """Append them."""
        lines = [{"id": id, "role": role, "content": content, "at": time.time()} for id, role, content in records]
        os.write(self.fd, b"".join(dumps(line) + b"\n" for line in lines))
        os.fdatasync(self.fd)

    def close(self) -> None:
        """Close the file."""
        os.close(self.fd)


WRITERS: dict[str, type[Ours | Sqlite | Bare]] = {"ours": Ours, "sqlite": Sqlite, "bare": Bare}


def groups(job: Job, thread: int) -> Iterator[list[Record]]:
    """What one thread writes, group by group."""
    ids = job.ids(thread)
    for start in range(0, len(ids), job.batch):
        yield [(id, "user", f"{id} {CONTENT}") for id in ids[start : start + job.batch]]


def write(job: Job) -> dict[str, Any]:
    """Write them all and close; seconds of wall (as two moments) and CPU, and how long each group waited."""
    writer = WRITERS[job.kind](job.path)
    waits: list[list[float]] = [[] for _ in range(job.threads)]
    threads = [Thread(target=_write, args=(job, writer, number, waits[number])) for number in range(job.threads)]
    _ready()
    begun, cpu = time.monotonic(), time.process_time()
    if job.threads == 1:
        _write(job, writer, 0, waits[0])
    else:
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    acknowledged = time.monotonic()
    writer.close()
    told = [one for each in waits for one in each]
    return {
        "begun": begun,
        "acknowledged": acknowledged,
        "ended": time.monotonic(),
        "cpu": time.process_time() - cpu,
        "groups": len(told),
        "waits": told if len(told) <= FEW else [],
    }


def _write(job: Job, writer: Writer, thread: int, waits: list[float]) -> None:
    for group in groups(job, thread):
        before = time.monotonic()
        writer.add(group)
        waits.append(time.monotonic() - before)
        if job.dies_after and len(waits) * job.batch >= job.dies_after:
            os.kill(os.getpid(), signal.SIGKILL)


def look(job: Job) -> dict[str, Any]:
    """Open a bank and read the newest message, then the newest 50 `count` times; seconds of each, and the ids."""
    with closing(open_bank(Context(bank=job.warm))) as bank:
        list(list_(bank, account=ACCOUNT, last=50))
    _ready()
    begun = time.monotonic()
    with closing(open_bank(Context(bank=job.path))) as bank:
        opened = time.monotonic()
        list(list_(bank, account=ACCOUNT, last=1))
        newest = time.monotonic()
        waits = []
        ids: list[str] = []
        for _ in range(job.count):
            before = time.monotonic()
            ids = [one["id"] for one in list_(bank, account=ACCOUNT, last=50)]
            waits.append(time.monotonic() - before)
    return {"opened": opened - begun, "newest": newest - begun, "waits": waits, "ids": ids}


def _ready() -> None:
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    work = Job(**json.loads(sys.argv[1]))
    print(json.dumps(look(work) if work.kind == "open" else write(work)), flush=True)
