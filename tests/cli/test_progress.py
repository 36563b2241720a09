"""Progress on a real terminal and in a pipe."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys

import pytest

from memorybank_cli.cli import progress, terminal

SCRIPT = """
from memorybank_cli.cli import progress
progress.PATIENCE = {patience}
bar = progress.Bar()
bar.start("reading\\x1b files", 3)
bar.note("before")
for _ in range(3):
    bar.advance()
    bar.note("a\\x1bnote")
bar.start("next")
bar.advance(2)
bar.finish()
"""


def on_a_terminal(patience: float) -> str:
    """What a terminal gets of the script's stderr."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    command = [sys.executable, "-c", SCRIPT.format(patience=patience)]
    with subprocess.Popen(command, stderr=theirs, stdin=theirs, env=environment) as process:
        os.close(theirs)
        parts = []
        while True:
            try:
                part = os.read(ours, 1 << 16)
            except OSError:  # how Linux says that the other end is closed
                break
            if not part:
                break
            parts.append(part)
        assert process.wait() == 0
    os.close(ours)
    return b"".join(parts).decode()


def test_a_bar_is_drawn_when_work_takes_long() -> None:
    shown = on_a_terminal(-1.0)
    assert "reading\\x1b files" in shown
    assert "3/3" in shown
    assert "a\\x1bnote" in shown


def test_no_bar_for_quick_work() -> None:
    shown = on_a_terminal(60.0)
    assert "reading" not in shown
    assert shown.count("a\\x1bnote") == 3


def test_in_a_pipe_there_are_only_notes(capsys: pytest.CaptureFixture[str]) -> None:
    notes = progress.Notes()
    notes.start("reading", 3)
    notes.advance()
    notes.finish()
    notes.note("one\x07")
    assert capsys.readouterr().err == "one\\x07\n"
    terminal.console.cache_clear()


def test_notes_that_nobody_takes_end_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    for broken in (open("/dev/full", "w"), open(writer, "w")):  # noqa: SIM115
        monkeypatch.setattr(sys, "stderr", broken)
        progress.Notes().note("the disk is full")
        with contextlib.suppress(OSError):
            broken.close()


def test_a_count_without_an_end() -> None:
    shown = on_a_terminal(-1.0)
    assert "next 2" in shown
    assert "/?" not in shown
