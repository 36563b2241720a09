"""The journal as people and scripts read it: its events, and the proof of its chain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import GAP, START, Reading
from memorybank_cli.bank.framing import Line
from memorybank_cli.bank.replacing import BEGIN
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.base import clock
from memorybank_cli.base.records import Finding
from memorybank_cli.base.words import counted
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.paths import bank_path
from memorybank_cli.operations.repositories import Snapshots

FOLLOW_SECONDS = 0.5
_KEY_HINT = "the settings password_file and key_file name the key of an encrypted repository"


@dataclass(frozen=True)
class Proof:
    """What is proved of the journal, and up to where."""

    ok: bool
    proved_to: int
    """The last line that something outside the journal vouches for: the high-water mark or a snapshot."""
    chained_to: int
    """The last line that follows the ones before it."""
    key: str | None
    findings: tuple[Finding, ...]
    anchors: tuple[str, ...]
    """What vouches for the lines up to `proved_to`."""
    gaps: tuple[int, ...] = ()
    """Lines that name a gap before them: what stood there is not proved."""

    def exit_code(self) -> int:
        """1 when the chain is broken or contradicted."""
        return 0 if self.ok else 1

    def summary(self) -> str:
        """What holds, in plain words."""
        if not self.ok:
            return "The journal is damaged; next: memorybank repair keeps it as evidence and goes on after the gap"
        by = " and ".join(self.anchors) or "nothing outside the journal"
        rest = "" if self.proved_to == self.chained_to else f"; lines up to {self.chained_to} are only chained"
        but = f", but for the {counted(len(self.gaps), 'gap')} told above," if self.gaps else ""
        return (
            f"Lines 1 to {self.proved_to}{but} are as they were acknowledged, by {by}{rest}. "
            "Without a key this detects accidents, cut tails and careless edits, not a forger who rewrites the mark."
        )


def log(
    bank: Bank,
    *,
    path: Annotated[str | None, Option("only events of this file or directory", metavar="P")] = None,
    account: Annotated[str | None, Option("only events of this account", metavar="ID")] = None,
    since: Annotated[str | None, Option("only from this time on: RFC 3339, or a span such as 24h", metavar="T")] = None,
    follow: Annotated[bool, "go on with what is written from now on, until interrupted"] = False,
    verify: Annotated[bool, "prove the chain instead"] = False,
) -> Proof | Iterator[dict[str, Any]]:
    """Show the journal, or prove it.

    Exit codes:
        0  done; with --verify: the chain holds
        1  --verify found a break

    Examples:
        memorybank log --since 24h
        memorybank log --path trades --json
        memorybank log --verify
    """
    if verify:
        return prove(bank)
    start = clock.parse_since(since) if since else None
    wanted = bank_path(bank, path, must_exist=False) if path is not None else ""
    if account is not None:
        layout.account_section(account)
    return _events(bank, wanted, account, start, follow)


def _events(
    bank: Bank, path: str, account: str | None, since: datetime | None, follow: bool
) -> Iterator[dict[str, Any]]:
    seq = 0
    while True:
        for line in bank.journal.lines(seq):
            seq = line.seq
            # What begins a rollback is told by the line that ends it: one event, not two.
            event = None if line.op == BEGIN else _event(line, path, account)
            if event is not None and (since is None or clock.parse(event["ts"]) >= since):
                yield event
        if not follow:
            return
        time.sleep(FOLLOW_SECONDS)


def _event(line: Line, path: str, account: str | None) -> dict[str, Any] | None:
    """One line as an event, None when it is not about what is asked for."""
    core = line.core
    rows = [
        FileRow(*row) for row in core.get("files", ()) if not path or row[0] == path or row[0].startswith(f"{path}/")
    ]
    if path and not rows:
        return None
    about = (core.get("account"), core.get("subject"), *core.get("accounts", ()))
    if account is not None and account not in about:
        return None
    event = {"type": "event", "op": line.op, "seq": line.seq, "ts": core["ts"], "actor": core["actor"]}
    event |= {
        name: value for name, value in core.items() if name not in event and name not in ("files", "key", "commit")
    }
    if len(rows) == 1:
        event |= {"path": rows[0].path, "before": rows[0].before, "after": rows[0].after}
    if "files" in core:
        event["files"] = [
            {"path": row.path, "before": row.before, "after": row.after, "size": row.size} for row in rows
        ]
    return event | {"hash": line.hash}


def prove(bank: Bank) -> Proof:
    """Follow the whole chain from its first line, and hold it against what vouches for it from outside."""
    mark = bank.home.mark()
    anchors = {mark[0]: (mark[1], "the high-water mark")} if mark[0] else {}
    vouching, trouble = _snapshot_anchors(bank)
    anchors |= vouching
    proved: list[tuple[int, str]] = []
    findings = [Finding("MB123", f"no snapshot was asked: {trouble}", hint=_KEY_HINT)] if trouble else []
    gaps: list[int] = []
    reading = Reading(START, (), None)
    for item in bank.journal.read(START, mark):
        if isinstance(item, Reading):
            reading = item
            continue
        if item.op == GAP:
            gaps.append(item.seq)
            message = f"line {item.seq} names a gap before it: {item.core.get('reason', '')}"
            findings.append(Finding("MB123", message))
        if item.seq in anchors:
            digest, name = anchors[item.seq]
            if digest == item.hash:
                proved.append((item.seq, name))
            else:
                findings.append(_contradiction(item.seq, name))
    findings += [_break(one) for one in reading.breaks]
    if reading.tail is not None:
        message = f"{reading.tail.size} bytes at the end are no complete line; the next write cuts them off"
        findings.append(Finding("MB123", message, layout.segment_file(reading.tail.segment)))
    last = max(proved, default=(0, ""))
    broken = any(one.rule != "MB123" for one in findings)
    names = tuple(dict.fromkeys(name for _, name in sorted(proved, reverse=True)))[:2]
    return Proof(not broken, last[0], reading.end.seq, None, tuple(findings), names, tuple(gaps))


def _snapshot_anchors(bank: Bank) -> tuple[dict[int, tuple[str, str]], str]:
    """What snapshots say of lines, by number, and why they could not be looked at."""
    with closing(Snapshots(bank, look=True)) as snapshots:
        marks = [(one.checkpoint, one.id) for one in snapshots.newest_first() if one.checkpoint]
        found = {int(mark["seq"]): (str(mark["hash"]), f"snapshot {name}") for mark, name in marks}
        return found, snapshots.trouble


def _contradiction(seq: int, name: str) -> Finding:
    return Finding(
        "MB120",
        f"line {seq} is not the one that {name} vouches for",
        hint="the journal was rewritten; keep it and compare with a backup",
    )


def _break(one: Any) -> Finding:
    path = layout.segment_file(one.segment or 1)
    return Finding(one.rule, f"after line {one.after}, byte {one.offset}: {one.reason}", path, "memorybank repair")
