"""A crontab and a systemd of one's own: programs first in PATH that keep what they are told in files."""

from __future__ import annotations

from pathlib import Path

_CRONTAB = """#!/bin/sh
echo "$*" >> "$0.calls"
if [ -e "$0.fails" ]; then cat "$0.fails" >&2; exit 1; fi
case "$1" in
-l) if [ -e "$0.content" ]; then cat "$0.content"; else echo "no crontab for bot" >&2; exit 1; fi ;;
-r) rm "$0.content" ;;
-) if [ -e "$0.refuses" ]; then cat "$0.refuses" >&2; exit 1; fi; cat > "$0.content" ;;
esac
"""
_SYSTEMCTL = """#!/bin/sh
echo "$*" >> "$0.calls"
if [ -e "$0.fails" ]; then cat "$0.fails" >&2; exit 1; fi
"""
_LOGINCTL = """#!/bin/sh
if [ -e "$0.no" ]; then echo no; else echo yes; fi
"""


class Program:
    """One of them."""

    def __init__(self, directory: Path, name: str, text: str) -> None:
        self.path = directory / name
        self.path.write_text(text)
        self.path.chmod(0o755)

    def beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{ending}")

    @property
    def calls(self) -> list[str]:
        """The arguments of each call."""
        path = self.beside("calls")
        return path.read_text().splitlines() if path.exists() else []

    def fails(self, words: str) -> None:
        """Say this from now on, and fail."""
        self.beside("fails").write_text(f"{words}\n")


class Crontab(Program):
    """`crontab`: `content` is None where there is none."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "crontab", _CRONTAB)

    @property
    def content(self) -> bytes | None:
        path = self.beside("content")
        return path.read_bytes() if path.exists() else None

    def put(self, data: bytes) -> None:
        self.beside("content").write_bytes(data)

    def refuses(self, words: str) -> None:
        """Take no new crontab."""
        self.beside("refuses").write_text(f"{words}\n")


class Systemd(Program):
    """`systemctl` of a user, with `loginctl` beside it."""

    def __init__(self, directory: Path, units: Path) -> None:
        super().__init__(directory, "systemctl", _SYSTEMCTL)
        self.units = units
        self.login = Program(directory, "loginctl", _LOGINCTL)

    def does_not_linger(self) -> None:
        self.login.beside("no").touch()
