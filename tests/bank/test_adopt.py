"""Adoption: grouped lines, contents kept once a minute and within a budget, and changes that do not hold any more."""

from __future__ import annotations

from pathlib import Path

from memorybank_cli.bank import adopt as module
from memorybank_cli.bank import versions
from memorybank_cli.bank.adopt import Adopter
from memorybank_cli.bank.scan import Change, Scanner
from memorybank_cli.base.records import Progress
from tests.conftest import MakeBank, trade
from tests.operations.banks import journal, opened, put


def changes(path: Path) -> list[Change]:
    with opened(path) as bank:
        return Scanner(bank).run().changes


def test_each_kind_of_change_has_its_line(make_bank: MakeBank) -> None:
    path = make_bank(3)
    put(path / "trades/new.json", trade(9))
    put(path / "trades/cut.json", b'{"timestamp": 1')
    put(path / "metrics/metrics.json", {"gas_price": 36})
    (path / "state/state.json").unlink()
    with opened(path) as bank:
        before = bank.end.seq
        adopted = Adopter(bank).adopt(Scanner(bank).run().changes)
        assert sorted(adopted) == ["metrics/metrics.json", "state/state.json", "trades/cut.json", "trades/new.json"]
        assert Scanner(bank).run().changes == []
        lines = {line.op: line for line in bank.journal.lines(before)}
    rows = {op: {row[0]: row for row in line.core["files"]} for op, line in lines.items() if "files" in line.core}
    assert set(rows["file.adopted"]) == {"metrics/metrics.json", "trades/new.json"}
    assert rows["file.removed"]["state/state.json"][1] is None
    assert rows["file.found"]["trades/cut.json"][4] == ["MB103"]
    assert rows["file.adopted"]["metrics/metrics.json"][6] is not None
    assert rows["file.adopted"]["trades/new.json"][6] is None
    kept = versions.unpack(lines["file.adopted"])
    assert kept["trades/new.json"] == (path / "trades/new.json").read_bytes()


def test_a_thousand_files_a_line(make_bank: MakeBank) -> None:
    path = make_bank(1)
    for number in range(1_050):
        (path / f"trades/more_{number}.json").write_bytes(b'{"timestamp": %d}' % number)
    with opened(path) as bank:
        before = bank.end.seq
        assert len(Adopter(bank).adopt(Scanner(bank).run().changes)) == 1_050
        sizes = [len(line.core["files"]) for line in bank.journal.lines(before) if line.op == "file.adopted"]
    assert sizes == [1_000, 50]


def test_it_tells_how_far_it_is(make_bank: MakeBank) -> None:
    class Told(Progress):
        def __init__(self) -> None:
            self.seen: list[object] = []

        def start(self, what: str, total: int | None = None) -> None:
            self.seen.append((what, total))

        def advance(self, count: int = 1) -> None:
            self.seen.append(count)

        def finish(self) -> None:
            self.seen.append("end")

    path, told = make_bank(1), Told()
    put(path / "trades/a.json", trade(1))
    put(path / "trades/b.json", b"{")
    with opened(path) as bank:
        Adopter(bank, told).adopt(Scanner(bank).run().changes)
        Adopter(bank, told).adopt([])
    assert told.seen == [("adopting", 2), 1, 1, "end"]


def test_a_change_that_holds_no_more_is_left_for_the_next_look(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/a.json", trade(1))
    put(path / "trades/b.json", trade(2))
    put(path / "trades/c.json", trade(3))
    found = changes(path)
    put(path / "trades/a.json", {"timestamp": "2026-01-01"})
    (path / "trades/b.json").unlink()
    with opened(path) as bank:
        assert Adopter(bank).adopt(found) == ["trades/c.json"]
        end = bank.end
        assert Adopter(bank).adopt(found[:2]) == []
        assert bank.end == end


def test_a_large_file_has_its_digest_only(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "state/large.json", {"notes": "x" * versions.LARGEST})
    with opened(path) as bank:
        assert Adopter(bank).adopt(Scanner(bank).run().changes) == ["state/large.json"]
        expected = bank.catalog.row("state/large.json").expected
        assert expected is not None
        assert versions.find(bank.journal, "state/large.json", expected.sha) is None


def test_one_version_of_a_path_a_minute(make_bank: MakeBank) -> None:
    path = make_bank(1)
    digests = []
    with opened(path) as bank:
        adopter = Adopter(bank)
        for number in range(3):
            put(path / "state/state.json", {"bot_status": "running", "number": number})
            adopter.adopt(Scanner(bank).run().changes)
            expected = bank.catalog.row("state/state.json").expected
            assert expected is not None
            digests.append(expected.sha)
        adopter.kept["state/state.json"] -= module.MINUTE
        put(path / "state/state.json", {"bot_status": "stopped"})
        adopter.adopt(Scanner(bank).run().changes)
        last = bank.catalog.row("state/state.json").expected
        assert last is not None
        kept = [versions.find(bank.journal, "state/state.json", sha) is not None for sha in (*digests, last.sha)]
    assert kept == [True, False, False, True]


def test_past_the_budget_only_digests_are_kept(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/a.json", trade(1))
    with opened(path) as bank:
        bank.settings = type(bank.settings)({"undo_budget_mib": 0})
        assert Adopter(bank).adopt(Scanner(bank).run().changes) == ["trades/a.json"]
        expected = bank.catalog.row("trades/a.json").expected
        assert expected is not None
        assert versions.find(bank.journal, "trades/a.json", expected.sha) is None


def test_another_operation_and_more_fields(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/trade_0.json", trade(7))
    with opened(path) as bank:
        scan = Scanner(bank).run()
        assert [one.path for one in scan.outside] == ["trades/trade_0.json"]
        Adopter(bank).adopt(scan.outside, "file.accepted", reason="wanted")
    last = [core for core in journal(path) if core["op"] == "file.accepted"][-1]
    assert last["reason"] == "wanted"
