"""Standard input for a command that is run in this process."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reading(stdin: bytes) -> Iterator[None]:
    """Have these bytes on the descriptor 0."""
    before = os.dup(0)
    try:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            os.dup2(given.fileno(), 0)
            yield
    finally:
        os.dup2(before, 0)
        os.close(before)
