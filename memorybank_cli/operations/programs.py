"""Programs of the system that memorybank calls, and how memorybank itself is called by others."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from typing import NamedTuple

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape_text

_SECONDS = 60


class Ran(NamedTuple):
    """What a program came to: its exit code and what it wrote."""

    code: int
    out: bytes
    errors: str


def is_there(name: str) -> bool:
    """Whether a program is in PATH."""
    return shutil.which(name) is not None


def run(words: Sequence[str], given: bytes = b"") -> Ran:
    """Run a program without a shell, in the language C. Raises OperationFailed where it is missing or hangs."""
    try:
        done = subprocess.run(
            words,
            input=given,
            capture_output=True,
            check=False,
            timeout=_SECONDS,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        raise OperationFailed(
            f"there is no program '{words[0]}' here", hint="install it, or choose another way"
        ) from None
    except subprocess.TimeoutExpired:
        raise OperationFailed(f"'{' '.join(words)}' did not end within {_SECONDS} s") from None
    return Ran(done.returncode, done.stdout, done.stderr.decode(errors="backslashreplace").strip())


def checked(words: Sequence[str], given: bytes = b"") -> bytes:
    """What a program writes to stdout. Raises OperationFailed where it fails."""
    done = run(words, given)
    if done.code != 0:
        why = escape_text(done.errors.partition("\n")[0]) or f"exit code {done.code}"
        raise OperationFailed(f"'{' '.join(words)}' failed: {why}")
    return done.out


def ourselves() -> list[str]:
    """The words that call this very memorybank from anywhere: the script beside the interpreter, else the module."""
    script = os.path.join(os.path.dirname(sys.executable), "memorybank")
    # Without -P a directory named memorybank_cli where cron happens to start would be run instead.
    return [script] if os.access(script, os.X_OK) else [sys.executable, "-P", "-m", "memorybank_cli"]
