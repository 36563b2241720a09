"""Each registered view is there, and shows what its report says."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.blocks import Block, Findings, Table, Text
from memorybank_cli.cli.commands import COMMANDS
from memorybank_cli.cli.views import checks, generic, table

FINDING = Finding("MB102", "padded", "trades/a.json").as_dict()


@pytest.mark.parametrize("name", [*table.VIEWS, "NoSuchReport"])
def test_every_view_can_be_loaded(name: str) -> None:
    assert callable(table.view(name))


@pytest.mark.parametrize("name", [*table.LINES, "no such command"])
def test_every_line_can_be_loaded(name: str) -> None:
    assert callable(table.line(name))


def test_lines_are_for_streams() -> None:
    assert set(table.LINES) == {name for name, operation in COMMANDS.items() if operation.stream}


def texts(blocks: list[Block]) -> list[str]:
    return [block.text for block in blocks if isinstance(block, Text)]


def test_findings_alone() -> None:
    assert checks.findings({"ok": False, "findings": [FINDING]}) == [Findings([FINDING])]


REPAIR: dict[str, Any] = {
    "repaired": [{"path": "a", "rule": "MB102", "method": "salvage", "kept": "q/a", "lost": "", "why": "only one"}],
    "unrepaired": [{"path": "b", "rule": "MB104", "reason": "nothing is left", "hint": "restore it"}],
    "dry_run": False,
}


def test_repair_shows_cures_and_what_has_none() -> None:
    blocks = checks.repair(REPAIR)
    assert blocks[0] == Table(["path", "rule", "method", "kept", "why"], [["a", "MB102", "salvage", "q/a", "only one"]])
    assert texts(blocks) == ["unrepaired MB104 b: nothing is left", "    restore it"]


def test_init_shows_import_and_repair() -> None:
    blocks = checks.init({"findings": [], "imported": {"files": 3}, "repaired": REPAIR})
    assert "imported" in texts(blocks)
    assert any(isinstance(block, Table) for block in blocks)
    assert checks.init({"findings": []}) == [Findings([])]


def test_accepted_paths() -> None:
    blocks = checks.accept({"accepted": ["a"], "skipped": ["b"]})
    assert texts(blocks) == ["accepted a", "damaged b"]


def test_long_lists_are_cut() -> None:
    blocks = generic.lines("accepted", [str(number) for number in range(1000)])
    assert len(blocks) == 21
    assert texts(blocks)[-1] == "... and 980 more accepted (--json shows all)"
