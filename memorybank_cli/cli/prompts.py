"""Questions to the person at the terminal."""

from __future__ import annotations

import sys

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import printable


def confirm(question: str) -> bool:
    """Ask on stderr and read the answer from the terminal; anything but yes is no, and so is the end of input."""
    sys.stderr.write(f"{printable(question)} [y/N] ")
    sys.stderr.flush()
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):
        sys.stderr.write("\n")
    return answer.strip().lower() in ("y", "yes")


def secret(question: str) -> str:
    """Ask at the terminal for what is not to be shown there. Raises UsageError at the end of input."""
    from getpass import getpass

    try:
        return getpass(f"{printable(question)}: ", sys.stderr)
    except KeyboardInterrupt:
        sys.stderr.write("\n")
        raise
    except EOFError:
        sys.stderr.write("\n")
        raise UsageError("no passphrase was given", hint="--password-file FILE reads one from a file") from None
