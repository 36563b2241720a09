"""The sample bank of the project is a good bank."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from memorybank_cli.base.context import Context
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.init import init
from memorybank_cli.operations.opening import open_bank

SAMPLE = Path(__file__).resolve().parents[1] / "memory-bank"


def test_the_sample_ships_without_a_journal_and_is_valid(tmp_path: Path) -> None:
    assert not (SAMPLE / ".memorybank").exists()
    copy = tmp_path / "bank"
    shutil.copytree(SAMPLE, copy)
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o700 if path.is_dir() else 0o600)
    context = Context(bank=str(copy))
    assert not init(context).findings
    bank = open_bank(context)
    try:
        report = validate(bank, context)
        assert (report.findings, report.pending, report.checked) == ((), 0, sum(p.is_file() for p in SAMPLE.rglob("*")))
    finally:
        bank.close()


def test_the_sample_shows_every_section_and_three_tiers() -> None:
    tiers = {
        name: json.loads((SAMPLE / f"account_alpha/{name}.json").read_bytes()) for name in ("short_term", "mid_term")
    }
    assert [len(one["messages"]) for one in tiers.values()] == [50, 10]
    for section in ("trades", "metrics", "metrics/historical", "state"):
        assert list((SAMPLE / section).glob("*.json"))
