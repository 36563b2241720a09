"""Generated blocks of the bank's documents, kept true by the commands that adopt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import baseline, readme
from memorybank_cli.base.context import Context
from memorybank_cli.operations import documents
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.init import init
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.watch import watch
from tests.conftest import MakeBank


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_DOCUMENTS_SECONDS", "0")


def look_once(path: Path) -> list[dict[str, Any]]:
    """What a short watch does."""
    context = Context(bank=str(path))
    bank = open_bank(context)
    try:
        return list(watch(bank, context, once=True))
    finally:
        bank.close()


def pending(path: Path) -> int:
    context = Context(bank=str(path))
    bank = open_bank(context)
    try:
        return validate(bank, context).pending
    finally:
        bank.close()


def test_init_fills_in_what_the_new_readme_tells(tmp_path: Path) -> None:
    init(Context(), str(tmp_path / "new"))
    text = (tmp_path / "new" / "README.md").read_text()
    assert "| `metrics/` | 1 |" in text
    assert "all good" in text
    assert pending(tmp_path / "new") == 0


def test_a_watch_brings_the_blocks_up_to_date(make_bank: MakeBank) -> None:
    path = make_bank(trades=2, padded=False)
    assert "| `trades/` | 3 |" in (path / "README.md").read_text()  # two and the list
    (path / "trades" / "trade_9.json").write_text(json.dumps({"timestamp": "2026-01-01T00:00:00Z", "success": True}))
    look_once(path)
    assert "| `trades/` | 4 |" in (path / "README.md").read_text()
    assert pending(path) == 0


def test_text_by_hand_stays_and_is_adopted_first(make_bank: MakeBank) -> None:
    path = make_bank(trades=2, padded=False)
    docs = path / "docs"
    docs.mkdir()
    page = f"# Ours\n<!-- memorybank: generated counts -->\n{readme.END}\nby hand\n"
    (docs / "page.md").write_text(page)
    (docs / "other.md").write_text("by hand\n")
    look_once(path)
    text = (docs / "page.md").read_text()
    assert text.startswith("# Ours\n")
    assert text.endswith(f"{readme.END}\nby hand\n")
    assert "| `trades/` | 3 |" in text
    assert (docs / "other.md").read_text() == "by hand\n"


def test_nothing_new_writes_nothing(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    look_once(path)
    before = (path / "README.md").stat()
    look_once(path)
    after = (path / "README.md").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_readme_without_marks_is_never_written(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    (path / "README.md").write_text("# mine\n")
    look_once(path)
    assert (path / "README.md").read_text() == "# mine\n"


def test_a_huge_document_is_left_alone(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    text = readme.render() + b"x" * (1 << 20)
    (path / "README.md").write_bytes(text)
    look_once(path)
    assert (path / "README.md").read_bytes() == text


def test_a_watch_that_does_not_adopt_leaves_documents_alone(make_bank: MakeBank) -> None:
    path = make_bank(padded=False)
    (path / "trades" / "trade_9.json").write_text(json.dumps({"timestamp": "2026-01-01T00:00:00Z"}))
    before = (path / "README.md").read_bytes()
    context = Context(bank=str(path))
    bank = open_bank(context)
    try:
        list(watch(bank, context, once=True, no_adopt=True))
    finally:
        bank.close()
    assert (path / "README.md").read_bytes() == before


def test_a_watch_waits_before_it_writes_documents(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MEMORYBANK_DOCUMENTS_SECONDS")
    path = make_bank(padded=False)
    (path / "trades" / "trade_9.json").write_text(json.dumps({"timestamp": "2026-01-01T00:00:00Z"}))
    before = (path / "README.md").read_bytes()
    assert "adopted" in [line["type"] for line in look_once(path)]
    assert (path / "README.md").read_bytes() == before


def test_what_is_saved_while_blocks_are_written_stays(make_bank: MakeBank) -> None:
    path = make_bank(trades=2, padded=False)
    pages = [path / "docs" / name for name in ("a.md", "b.md", "c.md")]
    pages[0].parent.mkdir()
    for page in pages:
        page.write_text(f"<!-- memorybank: generated counts -->\n{readme.END}\n")
    bank = open_bank(Context(bank=str(path)))
    baseline.establish(bank, bank.context.progress)
    facts = readme.Facts({"trades": 3}, "2026-11-20T14:00:00Z", 0, 0, {})
    outdated = list(documents._outdated(bank, facts))
    pages[1].write_text("saved meanwhile\n")
    written = documents._write(bank, outdated)
    bank.close()
    assert {"docs/a.md", "docs/c.md"} <= set(written)
    assert "docs/b.md" not in written
    assert pages[1].read_text() == "saved meanwhile\n"
    assert all("| `trades/` | 3 |" in page.read_text() for page in (pages[0], pages[2]))
    assert pending(path) == 1
