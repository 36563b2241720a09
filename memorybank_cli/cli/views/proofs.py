"""What people see when snapshots are proved: by reading the repository, and by restoring."""

from __future__ import annotations

from typing import Any

from memorybank_cli.base.words import counted, size
from memorybank_cli.cli.blocks import Block, Fields, Findings, Text


def verified(report: dict[str, Any]) -> list[Block]:
    """Findings, and how much was proved."""
    verdict = "everything is there" if report["ok"] else "something is damaged; see above"
    counts = [counted(report["snapshots"], "snapshot"), f"{report['checked']:,} trees and blobs"]
    if report["packs"] or report["read_before"] or report["unread"]:
        counts.append(f"{counted(report['packs'], 'pack')} read ({size(report['bytes_read'])})")
    else:
        verdict += "; --read-data reads every byte too"
    counts += [f"{report['read_before']:,} read before"] if report["read_before"] else []
    counts += [f"{report['unread']:,} not read"] if report["unread"] else []
    return [Findings(report["findings"]), Text(f"{', '.join(counts)}: {verdict}", "good" if report["ok"] else "bad")]


def drilled(report: dict[str, Any]) -> list[Block]:
    """Why it failed, what came back, and how long that took."""
    seconds = report["seconds"]
    speed = f" ({size(report['bytes_per_second'])}/s)" if seconds["restore"] else ""
    pairs = [
        (
            "restored",
            f"{counted(report['files'], 'file')}, {size(report['bytes'])}, in {seconds['restore']:.2f} s{speed}",
        ),
        ("validated", f"{counted(report['records'], 'record')}, {_accounts(report)}, in {seconds['validate']:.2f} s"),
        ("time to recovery", f"{seconds['recovery']:.2f} s"),
    ]
    if report["known"]:
        rules = ", ".join(sorted({one["rule"] for one in report["known"]}))
        pairs.append(("came along", f"{counted(len(report['known']), 'known finding')} ({rules}; see --json)"))
    if report["snapshot"]["status"] != "good":
        pairs.append(("suspect", "; ".join(report["snapshot"]["reasons"])))
    if report["kept"]:
        pairs.append(("kept", report["kept"]))
    return [Findings(report["findings"]), Fields(pairs)]


def _accounts(report: dict[str, Any]) -> str:
    accounts = counted(report["accounts"], "account")
    return f"{accounts} with {counted(report['messages'], 'message')}" if report["accounts"] else accounts
