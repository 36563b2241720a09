from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from memorybank_cli.bank import baseline, layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import START, Reading
from memorybank_cli.bank.scan import Change, Scanner
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.exact_json import loads
from memorybank_cli.operations.init import init
from memorybank_cli.operations.opening import open_bank
from tests.broken_os import killed
from tests.conftest import MakeBank


def opened(path: Path, document: dict[str, object] | None = None) -> Bank:
    bank = Bank(str(path), Context(), document=document)
    bank.refresh()
    return bank


def tree(path: Path) -> dict[str, bytes]:
    """What agents own."""
    return {
        str(one.relative_to(path)): one.read_bytes()
        for one in path.rglob("*")
        if one.is_file() and layout.PRIVATE not in one.parts and one.name not in {layout.BANK, layout.README}
    }


def test_a_new_document_names_a_new_bank() -> None:
    one, two = baseline.new_document(), baseline.new_document("staff")
    assert one["format"] == layout.FORMAT
    assert one["bank_id"] != two["bank_id"]
    assert one["identity_key"] != two["identity_key"]
    assert len(one["identity_key"]) == 64
    assert "group" not in one
    assert two["group"] == "staff"
    assert loads(baseline.render_document(two)) == two


def test_what_stands_there_is_recorded_as_it_is(make_bank: MakeBank) -> None:
    path = make_bank(adopt=False)
    before = tree(path)
    bank = opened(path, baseline.new_document())
    scan, adopted = baseline.establish(bank)
    assert tree(path) == before
    assert sorted(adopted) == sorted(before)
    assert scan.checked == len(before)
    assert {name: one.sha for name, one in bank.catalog.all_expected()} == {
        **{name: digests.of(data) for name, data in before.items()},
        layout.BANK: digests.of((path / layout.BANK).read_bytes()),
    }
    assert [line.op for line in bank.journal.lines()][:1] == [baseline.CREATED]
    recent = bank.catalog.row("trades/recent_trades.json").expected
    assert recent is not None
    assert not recent.good
    bank.close()
    again = opened(path)
    end = again.end
    assert again.bank_id == bank.bank_id
    assert baseline.establish(again)[1] == []
    assert again.end == end
    again.close()


def test_changes_are_adopted_later(make_bank: MakeBank) -> None:
    path = make_bank()
    (path / "state/state.json").write_bytes(b'{"new": 1}')
    (path / "trades/trade_9.json").write_bytes((path / "trades/trade_0.json").read_bytes())
    (path / "metrics/metrics.json").unlink()
    bank = opened(path)
    _, adopted = baseline.establish(bank)
    assert sorted(adopted) == ["metrics/metrics.json", "state/state.json", "trades/trade_9.json"]
    assert not Scanner(bank).run().changes
    bank.close()


def test_a_document_that_is_gone_comes_back(make_bank: MakeBank) -> None:
    path = make_bank()
    before = (path / layout.BANK).read_bytes()
    (path / layout.BANK).unlink()
    bank = opened(path)
    baseline.establish(bank)
    assert loads((path / layout.BANK).read_bytes()) == loads(before)
    bank.close()


def test_a_copy_gets_a_name_of_its_own(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank()
    old = opened(path)
    copy = tmp_path / "copy"
    shutil.copytree(path, copy)
    document = {**old.document, "bank_id": "0193-other"}
    old.close()
    bank = opened(copy, document)
    baseline.rename(bank)
    assert loads((copy / layout.BANK).read_bytes()) == document
    expected = bank.catalog.row(layout.BANK).expected
    assert expected is not None
    assert expected.sha == digests.of((copy / layout.BANK).read_bytes())
    last = list(bank.journal.lines())[-1]
    assert last.op == baseline.RENAMED
    assert last.core["files"][0][-1] == digests.of((path / layout.BANK).read_bytes())
    bank.close()
    assert opened(copy).bank_id == "0193-other"


def test_a_kind_is_bound_when_every_file_fits(make_bank: MakeBank) -> None:
    path = make_bank(padded=False, adopt=False)
    (path / "trades/odd.json").write_bytes(b'{"no": "trade"}')
    (path / "state/empty.json").write_bytes(baseline.EMPTY)
    bank = opened(path, baseline.new_document())
    changes: list[Change] = Scanner(bank).run().changes
    bound = baseline.bound_kinds(changes)
    assert "trade" not in bound
    assert "state" in bound
    assert "trade_list" in bound
    assert baseline.bound_kinds([]) == []
    assert "trade" in baseline.bound_kinds([one for one in changes if one.path != "trades/odd.json"])
    empty = [one for one in changes if one.path == "state/empty.json"]
    assert baseline.bound_kinds(empty) == []
    bank.close()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_killed_beginning_is_begun_again(make_bank: MakeBank, home: Path, tmp_path: Path) -> None:
    path = make_bank(trades=1, adopt=False)
    before, store = tree(path), tmp_path / "store"
    shutil.copytree(path, store)
    step = 0
    while True:
        step += 3
        reached = killed(lambda: init(Context(bank=str(path))), step)
        assert {name: data for name, data in tree(path).items() if name in before} == before
        report = init(Context(bank=str(path)))
        bank = open_bank(Context(bank=str(path)))
        assert bank.bank_id == report.bank_id
        *_, reading = bank.journal.read(START, bank.home.mark())
        assert isinstance(reading, Reading)
        assert reading == Reading(bank.end, (), None)
        assert set(before) | {layout.BANK, layout.README} == {name for name, _ in bank.catalog.all_expected()}
        assert not Scanner(bank).run().changes
        bank.close()
        if not reached:
            break
        shutil.rmtree(path)
        shutil.rmtree(home)
        shutil.copytree(store, path)
    assert step > 30
