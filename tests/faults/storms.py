"""Whether a watch that runs misses anything: storms of changes, and what it has told after them held against the disk.

`scripts/faults watch` runs all of it in full size; the test suite runs each in small.
"""

from __future__ import annotations

import json
import mmap
import os
import queue
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from memorybank_cli.base.context import Context
from memorybank_cli.operations.init import init

Line = dict[str, Any]
PATIENCE = 120.0
SECTIONS = ("trades", "state", "agents", "docs")
ENVIRONMENT = {"MEMORYBANK_SETTLE_MS": "50", "MEMORYBANK_RECONCILE_SECONDS": "3600"}
"""Nothing but events, and what follows from lost ones, may find a change here."""


class Watch:
    """A `memorybank watch --json` that runs, and all that it has told: the newest digest of each path."""

    def __init__(self, bank: Path, *options: str, prefix: Sequence[str] = (), **environment: str) -> None:
        self.bank = bank
        command = [*prefix, sys.executable, "-m", "memorybank_cli", "watch", "--json", "--bank", str(bank), *options]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**os.environ, **ENVIRONMENT, **environment}
        )
        self.digests = digests(bank)
        self.lines: list[Line] = []
        self._waiting: queue.Queue[Line | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for raw in self.process.stdout:
            line = json.loads(raw)
            self.lines.append(line)
            if line["type"] == "changed":
                if line["after"] is None:
                    self.digests.pop(line["path"], None)
                else:
                    self.digests[line["path"]] = line["after"]
            self._waiting.put(line)
        self._waiting.put(None)

    def until(self, kind: str, path: str | None = None) -> Line:
        """The next line of a kind, about a path."""
        end = time.monotonic() + PATIENCE
        while True:
            line = self._waiting.get(timeout=max(0.0, end - time.monotonic()))
            assert line is not None, f"it ended: {self._errors()}"
            if line["type"] == kind and (path is None or line.get("path") == path):
                return line

    def sync(self, timeout: float = PATIENCE) -> Line:
        """Wait until all that was changed before is judged."""
        command = [sys.executable, "-m", "memorybank_cli", "watch", "--sync", "--json", "--bank", str(self.bank)]
        done = subprocess.run([*command, "--lock-timeout", str(timeout)], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        line: Line = json.loads(done.stdout.splitlines()[-1])
        assert line["type"] == "synced", line
        assert line["by"] == "running", line
        # What was told before the answer may still be on its way to us.
        mark = self.bank / "docs" / f"mark-{time.monotonic_ns()}.md"
        mark.parent.mkdir(exist_ok=True)
        swap_in(mark, b"x")
        self.until("changed", f"docs/{mark.name}")
        return line

    def findings(self, rule: str = "") -> dict[str, str]:
        """By path the rules of what was found and not resolved, of one rule where it is given."""
        found: dict[tuple[str, str], str] = {}
        for line in list(self.lines):
            if line["type"] == "finding" and line["path"]:
                found[line["path"], line["finding"]["fingerprint"]] = line["finding"]["rule"]
            elif line["type"] == "resolved":
                found.pop((line["path"], line["fingerprint"]), None)
        return {path: one for (path, _), one in found.items() if not rule or one == rule}

    def gaps(self) -> int:
        """How often the view was blind."""
        return sum(line["type"] == "gap" for line in self.lines)

    def end(self) -> int:
        """Stop it as a service manager does; its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code

    def _errors(self) -> str:
        return self.process.stderr.read().decode() if self.process.stderr else ""


@contextmanager
def watching(bank: Path, *options: str, prefix: Sequence[str] = (), **environment: str) -> Iterator[Watch]:
    """A watch that is ready, started by `prefix` where that is given; it is ended afterwards."""
    one = Watch(bank, *options, prefix=prefix, **environment)
    try:
        one.until("ready")
        yield one
    finally:
        if one.process.poll() is None:
            one.process.kill()
        one.process.communicate()


def digests(bank: Path) -> dict[str, str]:
    """What stands in the sections, by path."""
    found = {}
    for section in SECTIONS:
        for top, _, names in os.walk(bank / section):
            for name in names:
                path = Path(top) / name
                if not name.startswith(".") and path.is_file() and not path.is_symlink():
                    found[str(path.relative_to(bank))] = sha256(path.read_bytes()).hexdigest()
    return found


def unreported(watch: Watch) -> set[str]:
    """Paths of which what was told last is not what stands there."""
    there, told = digests(watch.bank), watch.digests
    damaged = {path for path, rule in watch.findings().items() if rule.startswith("MB10")}
    return {path for path in there.keys() | told.keys() if there.get(path) != told.get(path) and path not in damaged}


def new_bank(place: Path, files: int = 50) -> Path:
    """A bank as a bot leaves it."""
    for number in range(files):
        put(place / f"trades/old/{number}.json", record(number))
    put(place / "state/state.json", b'{"bot_status": "running"}')
    place.chmod(0o700)
    init(Context(bank=str(place)))
    return place


def record(number: int) -> bytes:
    """A trade as a bot writes it."""
    stamp = f"2025-03-31T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z"
    value = {"timestamp": stamp, "success": True, "net_profit": number / 7, "tx_hash": f"0x{number:064x}"}
    return json.dumps(value, indent=2).encode()


def put(path: Path, data: bytes) -> None:
    """Write in place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def swap_in(path: Path, data: bytes) -> None:
    """Write beside and rename."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)
    temporary.rename(path)


# Storms: each gets a bank and how much of it, and leaves the bank in any state


def one_folder(bank: Path, size: int) -> None:
    """Many files in one folder."""
    (bank / "trades/burst").mkdir(parents=True)
    for number in range(size):
        (bank / f"trades/burst/{number}.json").write_bytes(record(number))


def nested_folders(bank: Path, size: int) -> None:
    """Many files in a fiftieth as many new folders, nested three deep."""
    for number in range(size):
        folder = number % max(1, size // 50)
        put(bank / f"trades/a{folder % 10}/b{folder // 10 % 10}/c{folder}/{number}.json", record(number))


def moved_in_and_out(bank: Path, size: int) -> None:
    """Directories that are moved in with all their files, out, within, and in again under another name."""
    outside = bank.with_name(f"{bank.name}-outside")
    for number in range(size):
        put(outside / f"come/deep/{number}.json", record(number))
    (outside / "come").rename(bank / "trades/come")
    put(bank / "trades/come/deep/more.json", record(size))
    (bank / "trades/come/deep").rename(outside / "gone")
    (bank / "trades/come").rename(bank / "trades/went")
    (outside / "gone").rename(bank / "trades/back")
    put(bank / "trades/back/last.json", record(size + 1))
    shutil.rmtree(outside)


def editors(bank: Path, size: int) -> None:
    """The ways in which editors and tools save: vim, emacs, sed -i, truncate and write, hard link and rename."""
    for number in range(size):
        path = bank / f"state/edited{number % 10}.json"
        data = json.dumps({"bot_status": "running", "save": number}).encode()
        how = number % 5
        if how == 0 and path.exists():  # vim: the old one becomes the backup, a new one is written, the backup goes
            backup = path.with_name(f"{path.name}~")
            path.rename(backup)
            path.write_bytes(data)
            backup.unlink()
        elif how == 1:  # most programs
            swap_in(path, data)
        elif how == 2 and path.exists():  # emacs: a copy beside, then in place
            shutil.copy(path, path.with_name(f"{path.name}~"))
            path.write_bytes(data)
        elif how == 3:  # an atomic writer with a visible name
            path.with_name("sedQq1").write_bytes(data)
            path.with_name("sedQq1").rename(path)
        else:
            path.write_bytes(b"")
            path.write_bytes(data)


def halves(bank: Path, size: int) -> None:
    """Writers that stop in the middle of a document, and go on."""
    for number in range(size):
        data = json.dumps({"bot_status": "running", "pad": "x" * 5_000, "number": number}).encode()
        with (bank / f"state/half{number % 7}.json").open("wb", buffering=0) as file:
            file.write(data[:2_000])
            if number % 5 == 0:
                time.sleep(0.12)
            file.write(data[2_000:])


def mapped(bank: Path, size: int) -> None:
    """Writers that map a file and close it; the mapping alone tells nobody."""
    for number in range(size):
        path = bank / f"state/mapped{number % 5}.json"
        data = json.dumps({"bot_status": "running", "number": f"{number:08d}"}).encode()
        if not path.exists():
            path.write_bytes(data)
        with path.open("r+b") as file, mmap.mmap(file.fileno(), len(data)) as memory:
            memory[:] = data
            memory.flush()


def ten_writers(bank: Path, size: int) -> None:
    """Ten processes that make, change, replace and remove files at once, some of them the same."""
    children = []
    for writer in range(10):
        child = os.fork()
        if not child:
            try:
                _write_at_random(bank, writer, size // 10)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0


def _write_at_random(bank: Path, writer: int, count: int) -> None:
    choose = random.Random(writer)
    for number in range(count):
        path = bank / "agents" / f"w{choose.choice((writer, 0))}" / f"{choose.randrange(40)}.json"
        data = json.dumps({"writer": writer, "number": number, "pad": "x" * choose.randrange(300)}).encode()
        path.parent.mkdir(parents=True, exist_ok=True)
        what = choose.randrange(4)
        if what == 0:
            path.unlink(missing_ok=True)
        elif what == 1:
            path.with_name(f".{writer}.tmp").write_bytes(data)
            path.with_name(f".{writer}.tmp").rename(path)
        else:
            path.write_bytes(data)


STORMS: dict[str, tuple[Callable[[Path, int], None], int]] = {
    "one folder": (one_folder, 50_000),
    "nested folders": (nested_folders, 50_000),
    "moved in and out": (moved_in_and_out, 5_000),
    "editors": (editors, 2_000),
    "halves": (halves, 500),
    "mapped": (mapped, 1_000),
    "ten writers": (ten_writers, 20_000),
}
"""By name the storm and its full size."""


def campaign(rounds: int, seed: int) -> Iterator[str]:
    """Every storm in full size, `rounds` times; with a watch that is stopped meanwhile in every second one."""
    del seed
    for turn in range(rounds):
        for name, (storm, size) in STORMS.items():
            with tempfile.TemporaryDirectory() as place:
                os.environ["MEMORYBANK_STATE_HOME"] = f"{place}/home"
                bank = new_bank(Path(place) / "bank")
                with watching(bank) as watch:
                    yield _survived(watch, name, storm, size, stopped=bool(turn % 2))


def _survived(watch: Watch, name: str, storm: Callable[[Path, int], None], size: int, stopped: bool) -> str:
    started = time.monotonic()
    if stopped:
        watch.process.send_signal(signal.SIGSTOP)
    storm(watch.bank, size)
    made = time.monotonic() - started
    watch.process.send_signal(signal.SIGCONT)
    watch.sync()
    took = time.monotonic() - started
    missed = unreported(watch)
    assert not missed, f"{name}: {len(missed)} changes were not reported, such as {sorted(missed)[:3]}"
    where = " (stopped meanwhile)" if stopped else ""
    return f"{name}{where}: {size:,} made in {made:.1f} s, all told after {took:.1f} s, {watch.gaps()} gaps"
