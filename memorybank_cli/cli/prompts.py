"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

from memorybank_cli.base.names import printable


def confirm(question: str) -> bool:
    """Ask on stderr and read the answer from the terminal; anything but yes is no, and so is the end of input."""
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")
