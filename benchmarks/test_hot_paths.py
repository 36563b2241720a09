"""What is done for every file and every line, in one process: pytest benchmarks/ --benchmark-only."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import corpus
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import Reading
from memorybank_cli.bank.examine import Examiner
from memorybank_cli.bank.framing import GENESIS, frame, unframe
from memorybank_cli.bank.journal import Entry
from memorybank_cli.bank.layout import place
from memorybank_cli.bank.rows import FileRow
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.bank.schemas import Registry
from memorybank_cli.base import exact_json
from memorybank_cli.base.context import Context
from memorybank_cli.operations.init import init
from memorybank_cli.operations.opening import open_bank

FILES = 1_000
TRADES = [data for _, data in corpus.documents(FILES)]
ROWS = [list(FileRow(path, "0" * 64, 1_000, 0o600, [], "trade", None)) for path, _ in corpus.documents(FILES)]


@pytest.fixture
def bank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bank]:
    """A bank of 1,000 trades an hour old, made and looked at once."""
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path / "home"))
    os.umask(0o077)
    path = str(tmp_path / "bank")
    corpus.write(path, corpus.documents(FILES), time.time() - 3_600)
    init(Context(bank=path))
    opened = open_bank(Context(bank=path))
    Scanner(opened).run()
    yield opened
    opened.close()


def test_exact_json_of_a_thousand_trades(benchmark: BenchmarkFixture) -> None:
    values = benchmark(lambda: [exact_json.loads(data) for data in TRADES])
    assert len(values) == FILES


def test_examining_a_thousand_trades(benchmark: BenchmarkFixture) -> None:
    examiner, where = Examiner(Registry()), place("trades/one.json")
    found = benchmark(lambda: [examiner.content(data, where) for data in TRADES])
    assert {one[:3] for one in found} == {("trade", (), 1)}


def test_framing_a_line_and_reading_it(benchmark: BenchmarkFixture) -> None:
    core: dict[str, Any] = {"seq": 1, "ts": "2026-11-20T12:00:00.000000Z", "actor": "a", "op": "file.adopted"}
    core |= {"files": ROWS[:1]}

    def there_and_back() -> object:
        text, line = frame(GENESIS, {**core}, exact_json.dumps({"role": "user", "content": "hello"}))
        found = unframe(text)
        return found is not None and found[0] == line

    assert benchmark(there_and_back)


def test_appending_a_line_durably(benchmark: BenchmarkFixture, bank: Bank) -> None:
    end = bank.end

    def append() -> None:
        nonlocal end
        lines, end = bank.journal.append(end, [[Entry("note", {})]])
        assert len(lines) == 1

    benchmark(append)
    bank.refresh()
    assert bank.end.seq == end.seq


def test_the_catalog_takes_over_a_thousand_files(benchmark: BenchmarkFixture, bank: Bank) -> None:
    numbers = count(bank.end.seq + 1)

    def apply() -> None:
        core = {"seq": next(numbers), "op": "file.adopted", "files": ROWS, "key": None}
        _, line = frame(GENESIS, {**core})
        with bank.catalog.writing():
            bank.catalog.apply([line, Reading(bank.end, (), None)])

    benchmark(apply)
    assert bank.catalog.row(str(ROWS[0][0])).expected is not None


def test_a_second_look_at_a_thousand_files(benchmark: BenchmarkFixture, bank: Bank) -> None:
    scan = benchmark(lambda: Scanner(bank).run())
    assert scan.by_section["trades"] == FILES
    assert not scan.changes


def test_a_full_look_at_a_thousand_files(benchmark: BenchmarkFixture, bank: Bank) -> None:
    scan = benchmark(lambda: Scanner(bank).run(full=True))
    assert scan.by_section["trades"] == FILES
