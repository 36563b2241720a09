"""A bank and its repository under fire: commands that can be hurt from inside, and what must hold afterwards."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from functools import cache
from importlib import import_module
from pathlib import Path
from pkgutil import walk_packages
from typing import NamedTuple
from unittest import mock

import memorybank_cli
from memorybank_cli import main as program
from memorybank_cli.snapshots import documents, keys
from memorybank_cli.snapshots.repository import Repository, unlocking
from tests.snapshots import making
from tests.stdin import reading

PROGRAM = (sys.executable, "-m", "memorybank_cli")
TRADES = 60
BROKEN = 99
"""The exit code of a forked command that ended by an exception, of which `main` never lets one out."""

Contents = dict[str, bytes]


class Ran(NamedTuple):
    """A command that has ended; a negative code is the signal that killed it."""

    code: int
    out: str
    err: str


UNSUMMARISED = {"MEMORYBANK_CONTEXT_MESSAGES": "0", "MEMORYBANK_CONTEXT_HOURS": "0"}
"""Settings without which closing a bank may make summaries, for which a large library is imported."""


class Story(NamedTuple):
    """One operation under fire: how the bank is prepared, what runs, and what must hold afterwards."""

    name: str
    prepare: Callable[[Lab], None]
    command: tuple[str, ...]
    stdin: bytes
    check: Callable[[Lab], None]
    is_done: Callable[[Lab], bool] | None = None
    """Whether what the command acknowledges by exit code 0 or 1 is there."""
    forgets: int = 0
    """How many of the oldest snapshots the command may take away."""

    def words(self, lab: Lab) -> list[str]:
        """The command line, for this bank."""
        words = [word.replace("{place}", str(lab.place)) for word in self.command]
        return [*words, *(lab.gone if words[-1] == "undelete" else ()), "--bank", str(lab.bank)]


class Lab:
    """A bank in a directory of its own, with its state beside it."""

    def __init__(self, place: Path, trades: int = TRADES) -> None:
        self.place, self.bank, self.trades = place, place / "bank", trades
        self.env = {name: value for name, value in os.environ.items() if not name.startswith("MEMORYBANK_")}
        self.env |= {"MEMORYBANK_STATE_HOME": str(place / "home"), **UNSUMMARISED}
        self.known: dict[str, Contents] = {}
        """What each snapshot held before the fault, oldest first; without those that the command may take away."""
        self.gone: dict[str, Contents] = {}
        """What each snapshot held that was forgotten before the fault, or may be by it."""

    def build(self) -> None:
        """A bank as a bot leaves it: trades, a list padded with NULs, a truncated one."""
        for section in ("trades", "metrics", "state"):
            (self.bank / section).mkdir(parents=True)
        for number in range(self.trades):
            (self.bank / f"trades/trade_{number:04}.json").write_bytes(trade(number))
        recent = json.dumps({"trades": [json.loads(trade(number)) for number in range(20)]}).encode()
        (self.bank / "trades/recent.json").write_bytes(recent + bytes(50_000))
        (self.bank / "state/cut.json").write_bytes(b'[{"a": 1}, {"a": 2}, {"a"')

    @property
    def repository(self) -> Path:
        """The repository, by default in the state; it may not be there yet."""
        default = self.place / "home/repositories"
        found = self.env.get("MEMORYBANK_REPOSITORY") or next(iter(default.glob("*")), default / "none")
        return Path(found)

    def call(self, *words: str, stdin: bytes = b"", fault: AbstractContextManager[object] | None = None) -> Ran:
        """Run a command to its end in this process, which has everything imported already: it takes a few ms."""
        out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
        with ExitStack() as around:
            for one in (reading(stdin), mock.patch.dict(os.environ, self.env, clear=True), fault or nullcontext()):
                around.enter_context(one)
            around.enter_context(redirect_stdout(out))
            around.enter_context(redirect_stderr(err))
            code = program.main([*words])
            out.flush()
            err.flush()
        return Ran(code, *(text.buffer.getvalue().decode(errors="backslashreplace") for text in (out, err)))

    def die(self, *words: str, stdin: bytes, fault: AbstractContextManager[object]) -> int:
        """Run a command in a child that `fault` may kill; its exit code, negative for a signal."""
        child = os.fork()
        if not child:
            code = BROKEN
            try:
                code = self.call(*words, stdin=stdin, fault=fault).code
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)

    def run(self, *words: str, stdin: bytes = b"", codes: tuple[int, ...] = (0,)) -> str:
        """The standard output of a command that must end with one of `codes`."""
        done = self.call(*words, "--bank", str(self.bank), stdin=stdin)
        assert done.code in codes, (words, done)
        return done.out

    def start(self, story: Story, prefix: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """The operation of a story as a process of its own, under way."""
        pipe = subprocess.PIPE
        command = [*prefix, *PROGRAM, *story.words(self)]
        process = subprocess.Popen(command, env=self.env, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert process.stdin is not None
        try:
            process.stdin.write(story.stdin)
            process.stdin.close()
        except BrokenPipeError:
            pass  # it was killed before it read
        process.stdin = None  # communicate() would close it again
        return process

    def contents(self) -> dict[str, Contents]:
        """Every file of every snapshot, oldest first. Raises at the first that is not what was saved."""
        if not (self.repository / "config.json").exists():
            return {}
        given = self.env.get("MEMORYBANK_KEY_FILE")
        unlock = unlocking(keys.raw(Path(given).read_bytes())) if given else None
        with Repository.open(self.repository, unlock=unlock) as repo:
            found = documents.listing(repo)
            assert not found.findings, found.findings
            return {document.id: making.read_back(repo, document) for document in found.documents}

    def remember(self, forgets: int) -> None:
        """Note what every snapshot holds now."""
        now = self.contents()
        self.known = {name: now[name] for name in list(now)[forgets:]}
        self.gone |= {name: now[name] for name in list(now)[:forgets]}

    def check_whole(self) -> None:
        """The bank opens, its journal is provable, and every snapshot from before is there, byte for byte."""
        if (self.bank / "bank.json").exists():
            self.run("status")
            proof = json.loads(self.run("log", "--verify", "--json"))
            assert proof["ok"], proof
        self.check_snapshots()

    def check_snapshots(self) -> None:
        """Every snapshot from before is there, byte for byte, and no other is damaged."""
        now = self.contents()
        assert now.items() >= self.known.items(), (sorted(now), sorted(self.known))

    def temporaries(self) -> list[str]:
        """Temporary files and trees that somebody left behind."""
        return sorted(str(path) for path in self.place.rglob(".mb-*"))

    def stages(self) -> list[str]:
        """What stands in the bank's scratch directory: an act that the next opening finishes or clears away."""
        scratch = self.bank / ".memorybank/tmp"
        return sorted(os.listdir(scratch)) if scratch.is_dir() else []


def trade(number: int) -> bytes:
    """One trade in the shape of a public bot's."""
    moment = f"2026-01-01T00:00:{number % 60:02}.000000Z"
    row = {"timestamp": moment, "net_profit": number / 7, "success": number % 5 != 0}
    return json.dumps(row, indent=2).encode()


def memory() -> str | None:
    """A directory in memory, where a sync costs nothing; None where there is no such place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None


class Prepared(NamedTuple):
    """A lab that can be put back to where its story begins."""

    lab: Lab
    saved: Path

    def reset(self) -> Lab:
        """The prepared state again. The bank keeps its directory: a new one at the same path would be another bank."""
        for left in self.lab.place.iterdir():
            if left.name not in ("bank", "home"):
                _remove(left)
        for part in ("bank", "home"):
            target = self.lab.place / part
            if part == "bank" and not (self.saved / part).exists():
                shutil.rmtree(target, ignore_errors=True)
                continue
            target.mkdir(exist_ok=True)
            for item in target.iterdir():
                _remove(item)
            if (self.saved / part).exists():
                copy_tree(self.saved / part, target)
        for left in self.saved.iterdir():
            if left.name not in ("bank", "home"):
                (copy_tree if left.is_dir() else shutil.copy2)(left, self.lab.place / left.name)
        return self.lab


def copy_tree(source: Path, target: Path) -> None:
    shutil.copytree(source, target, dirs_exist_ok=True, symlinks=True, copy_function=_copy_file)


def _copy_file(source: str, target: str) -> None:
    if os.path.basename(source) == "reserve":  # only its size counts, and it is by far the largest file
        with open(target, "wb") as file:
            file.truncate(os.stat(source).st_size)
        shutil.copystat(source, target)
    else:
        shutil.copy2(source, target, follow_symlinks=False)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


@cache
def warm() -> None:
    """Import what commands import when they need it: those that run here then find it there."""
    heavy = ("cryptography.hazmat.primitives.ciphers.aead", "jsonschema_rs", "zstandard", "email.utils", "getpass")
    ours = (found.name for found in walk_packages(memorybank_cli.__path__, "memorybank_cli."))
    for name in (*heavy, *(name for name in ours if not name.endswith("__main__"))):
        import_module(name)


@contextmanager
def prepared(story: Story, trades: int = TRADES) -> Iterator[Prepared]:
    """A lab in which the story can begin, in memory."""
    warm()
    with tempfile.TemporaryDirectory(dir=memory()) as place:
        lab = Lab(Path(place) / "lab", trades)
        lab.build()
        story.prepare(lab)
        lab.remember(story.forgets)
        saved = Path(place) / "saved"
        copy_tree(lab.place, saved)
        yield Prepared(lab, saved)


def no_crash(done: Ran) -> None:
    """A command that failed did so with an error of ours, and told it once."""
    assert done.code not in (BROKEN, 70), done
    assert "Traceback" not in done.err, done
    assert "internal error" not in done.err, done
