"""Checking a bank for what its documents say of each other."""

from __future__ import annotations

from pathlib import Path

from memorybank_cli.base.records import Finding
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.probes import check_bank
from tests.operations.banks import opened, put


def findings(path: Path, *rules: str) -> list[Finding]:
    """What a check finds now by these rules; by default all about meaning."""
    with opened(path) as bank:
        wanted = rules or ("MB204", "MB205", "MB206", "MB207", "MB208")
        return [one for one in check_bank(bank)[2] if one.rule in wanted]


def declare(path: Path, *rules: dict[str, object]) -> None:
    """Write rules to the bank's config, and accept them."""
    put(path / "config/aggregates.json", {"aggregates": list(rules)})
    with opened(path) as bank:
        accept(bank, str(path / "config/aggregates.json"))
