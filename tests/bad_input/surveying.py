"""Running every command over a bank that holds something bad, and holding the answers against the contract."""

from __future__ import annotations

import ctypes
import json
import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.main import main
from tests.conftest import Ran

EVERYTHING: tuple[tuple[str, ...], ...] = (
    ("status",),
    ("validate",),
    ("validate", "--json"),
    ("validate", "--full", "--json"),
    ("health",),
    ("log",),
    ("log", "--verify"),
    ("manifest",),
    ("config", "show"),
    ("watch", "--once"),
    ("backup", "--dry-run"),
    ("backup",),
    ("snapshot", "verify", "--read-data"),
    ("accept", "."),
    ("rollback", "--dry-run"),
    ("init",),
    ("repair", "--dry-run"),
    ("repair",),
    ("rollback", "--yes"),
    ("validate", "--json"),
)


class Commands:
    """The command line, in this process."""

    def __init__(self, bank: Path, captured: pytest.CaptureFixture[bytes]) -> None:
        self.bank, self.captured = bank, captured

    def __call__(self, *arguments: str | os.PathLike[str], expect: int | tuple[int, ...] = (0, 1)) -> Ran:
        """Run one command on the bank; whatever it does, it fails in words and prints no control characters."""
        self.captured.readouterr()
        words = [os.fspath(one) for one in arguments]
        end = words.index("--") if "--" in words else len(words)
        code = main([*words[:end], "--bank", str(self.bank), *words[end:]])
        out, err = self.captured.readouterr()
        ran = Ran(code, out, err)
        assert_decent(ran)
        assert code in ((expect,) if isinstance(expect, int) else expect), (arguments, code, ran.stderr, ran.stdout)
        return ran

    def findings(self, *arguments: str) -> dict[str, str]:
        """What a check finds that is no mere information, the first rule of each path."""
        found = self("validate", *arguments, "--json").json["findings"]
        return {one["path"]: one["rule"] for one in reversed(found) if one["severity"] != "info"}

    def survey(self, allowed: tuple[int, ...] = (0, 1), but: Sequence[str] = ()) -> None:
        """Run everything there is; `but` are commands that are left out."""
        for words in EVERYTHING:
            if words[0] not in but:
                self(*words, expect=allowed)


def _obey_modes() -> None:
    """Give up CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH: from here on modes hold, also where root runs the tests."""
    libc = ctypes.CDLL(None, use_errno=True)
    header, sets = struct.pack("Ii", 0x20080522, 0), (ctypes.c_uint32 * 6)()  # version 3 of the interface, this process
    assert libc.capget(header, sets) == 0
    sets[0] &= ~0b110  # effective
    sets[1] &= ~0b110  # permitted
    assert libc.capset(header, sets) == 0


def rightless(*words: str) -> Ran:
    """Run a command in a child that has no more rights than modes give."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if not child:
            code = 70
            try:
                for number, file in ((1, out), (2, err)):
                    os.dup2(file.fileno(), number)
                sys.stdout, sys.stderr = (os.fdopen(number, "w", encoding="utf-8") for number in (1, 2))
                _obey_modes()
                code = main([*words])
                sys.stdout.flush()
                sys.stderr.flush()
            finally:
                os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return Ran(os.waitstatus_to_exitcode(status), out.read(), err.read())


def assert_decent(ran: Ran) -> None:
    """No traceback, no internal error, and nothing that a terminal would obey."""
    assert b"Traceback" not in ran.raw_errors, ran.stderr
    assert ran.returncode != 70, (ran.stderr, _report(ran))
    for text in (ran.raw.decode(), ran.raw_errors.decode()):  # also: it is UTF-8
        assert all(char.isprintable() or char == "\n" for char in text), ascii(text)


def _report(ran: Ran) -> str:
    """The crash report, so that a failing test shows where it happened."""
    for word in ran.stderr.replace(";", " ").split():
        if word.endswith((".txt", ".json", ".log")) and os.path.exists(word):
            return Path(word).read_text()
    return ""


@dataclass(frozen=True)
class Measured:
    """What a process came to and what it cost."""

    returncode: int
    stdout: bytes
    stderr: str
    peak: int
    """Bytes of memory."""
    seconds: float
    """Of the processor."""

    @property
    def json(self) -> Any:
        return json.loads(self.stdout)


# The system hands the peak of a process on to what it starts, so a small one stands between.
_BETWEEN = """
import os, sys
out, err, *words = sys.argv[1:]
pid = os.fork()
if pid == 0:
    for fd, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), fd)
    os.execv(sys.executable, [sys.executable, "-m", "memorybank_cli", *words])
_, status, usage = os.wait4(pid, 0)
print(os.waitstatus_to_exitcode(status), usage.ru_maxrss, usage.ru_utime + usage.ru_stime)
"""


def measured(tmp_path: Path, *arguments: str | os.PathLike[str]) -> Measured:
    """Run the command as a process of its own and ask the system for its peak memory."""
    out, err = tmp_path / "measured.out", tmp_path / "measured.err"
    told = subprocess.run(
        [sys.executable, "-S", "-c", _BETWEEN, out, err, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    )
    code, peak, seconds = told.stdout.split()
    text = err.read_text()
    assert "Traceback" not in text, text
    unit = 1 if sys.platform == "darwin" else 1024
    return Measured(int(code), out.read_bytes(), text, int(peak) * unit, float(seconds))
