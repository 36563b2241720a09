"""The commands that are told to be typed next: with --bank and --repo where the one before had them."""

from __future__ import annotations

import re
import shlex
from functools import cache
from typing import Any

from memorybank_cli.base.names import escape
from memorybank_cli.cli.call import Call
from memorybank_cli.operations.table import OPERATIONS

_WITH_REPOSITORY = ("backup", "rollback", "snapshot")
_END = re.compile(r"[;:,]| or ")
"""After a command: what follows it belongs to another one."""


@cache
def _commands() -> re.Pattern[str]:
    """Any command that works on a bank."""
    names = sorted((one.name for one in OPERATIONS.values() if one.needs != "none"), key=len, reverse=True)
    return re.compile(rf"\bmemorybank ({'|'.join(map(re.escape, names))})\b")


def to_be_typed(text: str, call: Call) -> str:
    """A text with every command in it as it has to be typed where `call` was, for the same bank and repository."""
    given = {"--bank": call.bank, "--repo": call.options.get("repo")}

    def complete(found: re.Match[str]) -> str:
        rest = _END.split(text[found.end() :], maxsplit=1)[0]
        options = ["--bank", "--repo"] if found[1].split()[0] in _WITH_REPOSITORY else ["--bank"]
        missing = [(one, value) for one in options if (value := given[one]) and one not in rest]
        return found[0] + "".join(f" {one} {shlex.quote(escape(value))}" for one, value in missing)

    return _commands().sub(complete, text)


def hints_to_be_typed(report: Any, call: Call) -> Any:
    """A report as JSON knows it, with the hints in it as they have to be typed."""
    if isinstance(report, dict):
        return {
            key: to_be_typed(value, call)
            if key == "hint" and isinstance(value, str)
            else hints_to_be_typed(value, call)
            for key, value in report.items()
        }
    return [hints_to_be_typed(one, call) for one in report] if isinstance(report, list) else report
