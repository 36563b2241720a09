"""Completion in real shells: the key is pressed, and what then stands in the line is looked at."""

from __future__ import annotations

import os
import pty
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from memorybank_cli.cli.shells import SCRIPTS
from tests.conftest import MakeBank, Run

PATIENCE = 20.0
"""Seconds; what comes in time is not waited for."""
BASH = """\
source {scripts}/memorybank.bash
dump() {{ printf '%s' "$READLINE_LINE" > {out}.new; mv {out}.new {out}; }}
bind -x '"\\C-x": dump'
"""
ZSH = """\
fpath=({scripts} $fpath)
autoload -U compinit; compinit -u -D
dump() {{ print -rn -- "$BUFFER" > {out}.new; command mv {out}.new {out}; }}
zle -N dump
bindkey '^X' dump
bindkey '^I' complete-word
"""
SHELLS = {"bash": (["bash", "--norc", "--noprofile", "-i"], BASH), "zsh": (["zsh", "-f", "-i"], ZSH)}
TYPED = {
    "memorybank sna": "memorybank snapshot ",
    "memorybank account sh": "memorybank account show ",
    "memorybank message add hi --account al": "memorybank message add hi --account alpha ",
    "memorybank validate --fail-on=w": "memorybank validate --fail-on=warning ",
    "memorybank validate --sch": "memorybank validate --schema ",
    "memorybank config get limits.t": "memorybank config get limits.trades_mib ",
    "memorybank explain MB10": "memorybank explain MB10",  # several fit
    "memorybank validate tra": "memorybank validate trades/",
    "memorybank backup --repo=tra": "memorybank backup --repo=trades/",
    "memorybank nonsense ": "memorybank nonsense --help ",
}


@pytest.fixture
def place(tmp_path: Path, make_bank: MakeBank, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank, with the scripts beside it and `memorybank` on PATH."""
    bank = make_bank()
    assert run("account", "create", "alpha", cwd=bank).returncode == 0
    scripts, programs = tmp_path / "scripts", tmp_path / "bin"
    scripts.mkdir()
    programs.mkdir()
    for name, text in SCRIPTS.values():
        (scripts / name).write_text(text)
    (programs / "memorybank").write_text(f'#!/bin/sh\nexec {sys.executable} -m memorybank_cli "$@"\n')
    (programs / "memorybank").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return bank


class Terminal:
    """An interactive shell at the other end of a terminal."""

    def __init__(self, command: list[str], place: Path) -> None:
        self.shown = b""
        environment = {**os.environ, "TERM": "dumb", "PS1": "> ", "HOME": str(place)}
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(place)
            os.execvpe(command[0], command, environment)  # noqa: S606

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def wait_for(self, path: Path) -> str:
        """The content of a file, once it is there; it is removed then."""
        end = time.monotonic() + PATIENCE
        while not path.exists():
            assert time.monotonic() < end, self.shown.decode(errors="replace")
            if select.select([self.fd], [], [], 0.02)[0]:
                self.shown += os.read(self.fd, 1 << 16)
        found = path.read_text()
        path.unlink()
        return found

    def close(self) -> None:
        os.close(self.fd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


@pytest.fixture(params=SHELLS)
def terminal(request: pytest.FixtureRequest, place: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A shell that has read its completion script."""
    command, setup = SHELLS[request.param]
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed: its completion is not tested")
    (tmp_path / "setup").write_text(setup.format(scripts=tmp_path / "scripts", out=tmp_path / "line"))
    found = Terminal(command, place)
    try:
        found.type(f"source {tmp_path}/setup; touch {tmp_path}/ready\n")
        found.wait_for(tmp_path / "ready")
        yield found
    finally:
        found.close()


def test_the_key_is_pressed(terminal: Terminal, tmp_path: Path) -> None:
    for typed, expected in TYPED.items():
        terminal.type(typed + "\t\x18")
        assert terminal.wait_for(tmp_path / "line") == expected
        terminal.type("\x15")  # takes the line away
    assert b"Traceback" not in terminal.shown
    assert b"memorybank:" not in terminal.shown


@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed: its completion is not tested")
def test_fish_is_asked(place: Path, tmp_path: Path) -> None:
    def offered(line: str) -> list[str]:
        command = ["fish", "--no-config", "-c", f"source {tmp_path}/scripts/memorybank.fish; complete -C '{line}'"]
        environment = {**os.environ, "HOME": str(tmp_path)}
        done = subprocess.run(command, cwd=place, env=environment, capture_output=True, check=True, timeout=60)
        assert done.stderr == b""
        return done.stdout.decode().splitlines()

    assert offered("memorybank sna") == ["snapshot\tWork with snapshots"]
    assert offered("memorybank account show ") == ["alpha"]
    assert offered("memorybank validate --fail-on=w") == ["--fail-on=warning"]
    assert offered("memorybank validate tra") == ["trades/"]
    assert offered("memorybank backup --repo=tra") == ["--repo=trades/\tDirectory"]
    assert offered("memorybank nonsense ") == ["--help\tshow the help"]


def test_bash_keeps_the_order(place: Path, tmp_path: Path) -> None:
    script = (
        f'source {tmp_path}/scripts/memorybank.bash; COMP_WORDS=(memorybank ""); COMP_CWORD=1; '
        '_memorybank memorybank "" memorybank; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], cwd=place, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split()[:3] == ["init", "status", "validate"]
