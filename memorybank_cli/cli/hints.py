"""The commands that are told to be typed next: with --repo where the one before had it."""

from __future__ import annotations

import re
import shlex

from memorybank_cli.base.names import escape
from memorybank_cli.cli.call import Call
from memorybank_cli.operations.table import OPERATIONS

_WITH_REPOSITORY = ("backup", "rollback", "snapshot")
_END = re.compile(r"[;:,]| or ")
"""After a command: what follows it belongs to another one."""


def to_be_typed(text: str, call: Call) -> str:
    """A text with every command in it as it has to be typed where `call` was, for the same repository."""
    given = call.options.get("repo")
    names = sorted((one.name for one in OPERATIONS.values() if one.needs != "none"), key=len, reverse=True)

    def complete(found: re.Match[str]) -> str:
        rest = _END.split(text[found.end() :], maxsplit=1)[0]
        if not given or found[1].split()[0] not in _WITH_REPOSITORY or "--repo" in rest:
            return found[0]
        return f"{found[0]} --repo {shlex.quote(escape(given))}"

    return re.sub(rf"\bmemorybank ({'|'.join(map(re.escape, names))})\b", complete, text)
