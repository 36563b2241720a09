"""What somebody may have meant by a name that is not there."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

MOST = 2
SHORTEST = 3  # letters that are taken as the beginning of a name
COMPARED = 2_000  # names; a directory may have 100,000, and each costs some 20 microseconds


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "", before: str = "") -> str:
    """A hint with the known names nearest to `word`, or that begin with it, case put aside; `otherwise` without any.

    `before` is put before each name, as the words of a command are.
    """
    from difflib import get_close_matches

    from memorybank_cli.base.names import escape_text

    names: dict[str, str] = {}
    for name in islice(known, COMPARED):
        names.setdefault(name.lower(), name)
    low = word.lower()
    begun = [name for name in names if name.startswith(low)] if len(low) >= SHORTEST else []
    near = [escape_text(before + names[name]) for name in get_close_matches(low, names, MOST) or begun[:MOST]]
    return f"did you mean {' or '.join(near)}?" if near else otherwise
