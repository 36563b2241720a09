"""What people see of a rollback."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from memorybank_cli.bank.layout import account_of, account_section
from memorybank_cli.base.names import escape_text
from memorybank_cli.base.words import counted
from memorybank_cli.cli.blocks import Block, Findings, Text
from memorybank_cli.cli.views.differences import changes
from memorybank_cli.cli.views.generic import PER_LIST, lines
from memorybank_cli.meaning.records import MESSAGE


def rolled_back(report: dict[str, Any]) -> list[Block]:
    """Files, the records that differ, versions that are not the ones that were asked for, and what is kept."""
    blocks: list[Block] = [Findings(report["findings"])]
    if report["dry_run"]:
        blocks += _foreseen(report)
    else:
        blocks += [*lines("restored", report["restored"]), *lines("removed", report["removed"], "warning")]
    older = [one for one in report["versions"] if not one["exact"]]
    for one in older[:PER_LIST]:
        got = f"line {one['got']}" if one["got"] else one["source"]
        blocks.append(Text(escape_text(f"earlier version {one['path']}: of {got}, {one['time']}"), "warning"))
    blocks += lines("kept", [f"{one['path']} in {one['place']}" for one in report["kept"]], "dim")
    return [*blocks, *lines("changed since, left as it is:", report["left"], "bad")]


def _foreseen(report: dict[str, Any]) -> list[Block]:
    """Files that would change with what changes in them; what is alike is told together."""
    broken = {one["path"]: one["damaged_now"] for one in report["changes"] if "damaged_now" in one}
    files = [
        {"path": path, "what": f"would be {what}", "damaged_now": broken.get(path)}
        for what in ("restored", "removed")
        for path in report[what]
    ]
    records = []
    for one in report["changes"]:
        account = account_of(one["path"].partition("/")[0])
        if one["kind"] != "file":
            message = bool(account) and one["kind"] == MESSAGE
            records.append({**one, "account": account, "path": account_section(account)} if message else one)
    told = {one["path"] for one in records if one.get("account")}
    shown = [*_accounts(files, told), *changes(files, records)]
    rest = report["more_changes"]
    return [*shown, Text(f"... and {rest:,} more changes (--json shows more)", "dim")] if rest else shown


def _accounts(files: list[dict[str, Any]], told: set[str]) -> Iterator[Block]:
    """A line for the files of each account whose messages are told instead of them."""
    places = ((one["path"].rpartition("/")[0].removesuffix("/history"), one["what"]) for one in files)
    for (section, what), number in Counter(place for place in places if place[0] in told).items():
        yield Text(f"account {account_of(section)}: {counted(number, 'file')} {what}")
