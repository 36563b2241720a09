"""Looking over a bank: what is read and what is not, what is gone, bit rot, and things that are no files."""

from __future__ import annotations

import os
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.rows import SETTLED_NS
from memorybank_cli.bank.scan import Scan, Scanner
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root
from tests.conftest import MakeBank, trade
from tests.decoys import outside
from tests.operations.banks import adopt, contents, journal, opened, put
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again

ROLLED = 8


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def age(path: Path, seconds: float = 3600) -> None:
    """Let every file of a bank be that old."""
    then = time.time_ns() - int(seconds * 1e9)
    for one in path.rglob("*"):
        if one.is_file() and ".memorybank" not in one.parts:
            os.utime(one, ns=(then, then))


def hashed(bank: Bank) -> dict[str, int]:
    """When each file was last read."""
    rows = bank.catalog.db.execute("SELECT dir,name,s_hashed FROM files WHERE s_sha IS NOT NULL")
    return {f"{row[0]}/{row[1]}".lstrip("/"): row[2] for row in rows}


def read_again(bank: Bank, **options: Any) -> tuple[Scan, set[str]]:
    """One look, and which files were read in it."""
    before = hashed(bank)
    found = Scanner(bank).run(**options)
    return found, {path for path, moment in hashed(bank).items() if moment != before.get(path)}


def found(one: Scan) -> list[tuple[str, str]]:
    return [(finding.rule, finding.path) for finding in one.findings]


def change_unseen(bank: Bank, path: str, data: bytes) -> None:
    """Change a file's content so that neither size nor times nor inode tell of it, as a failing disk does."""
    whole = Path(bank.root.absolute(path))
    info = whole.stat()
    assert len(data) == info.st_size
    with whole.open("r+b") as file:
        file.write(data)
    os.utime(whole, ns=(info.st_atime_ns, info.st_mtime_ns))
    directory, _, name = path.rpartition("/")
    moved = whole.stat().st_ctime_ns
    bank.catalog.db.execute("UPDATE files SET s_ctime=? WHERE dir=? AND name=?", (moved, directory, name))


def flipped(path: Path, one: bytes, other: bytes) -> bytes:
    data = path.read_bytes()
    assert data.count(one)
    return data.replace(one, other, 1)


# What is read


def test_what_was_hashed_long_after_its_mtime_is_not_read_again(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    with opened(path) as bank:
        first, read = read_again(bank)
        assert read >= {f"trades/trade_{number}.json" for number in range(30)}
        for _ in range(2):
            again, read = read_again(bank)
            assert len(read) == ROLLED
            assert (again.checked, again.bytes, again.records) == (first.checked, first.bytes, first.records)
            assert (again.by_section, again.mtimes) == (first.by_section, first.mtimes)


def test_what_was_hashed_within_a_minute_of_its_mtime_is_read_each_time(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        put(path / "trades/young.json", trade(40), age=30)
        for _ in range(5):
            assert "trades/young.json" in read_again(bank)[1]
        put(path / "trades/young.json", trade(40), age=90)
        read_again(bank)
        assert sum("trades/young.json" in read_again(bank)[1] for _ in range(3)) <= 1


def test_a_young_file_that_changes_without_a_trace_is_found(make_bank: MakeBank) -> None:
    path = make_bank(3)
    with opened(path) as bank:
        Scanner(bank).run()
        target = path / "trades/trade_1.json"
        change_unseen(bank, "trades/trade_1.json", flipped(target, b"0.0725", b"0.9725"))
        one = Scanner(bank).run()
        assert ("MB113", "trades/trade_1.json") in found(one)
        assert not [rule for rule, _ in found(one) if rule == "MB115"]


def test_the_files_unread_for_longest_are_read_in_turn(make_bank: MakeBank) -> None:
    path = make_bank(40, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        total: set[str] = set()
        for _ in range(6):
            _, read = read_again(bank)
            assert not read & total
            assert len(read) == ROLLED or len(total) + len(read) == len(hashed(bank))
            total |= read
            if len(total) > len(hashed(bank)) - ROLLED:
                break
        assert len(total) >= 40


def test_missing_files_do_not_hold_the_turn_up(make_bank: MakeBank) -> None:
    path = make_bank(40, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        for one in sorted(hashed(bank), key=lambda name: hashed(bank)[name])[: 2 * ROLLED]:
            if one.startswith("trades/"):
                (path / one).unlink()
        Scanner(bank).run()
        assert len(read_again(bank)[1]) == ROLLED
        assert len(read_again(bank)[1]) == ROLLED


def test_a_full_look_reads_everything(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        _, read = read_again(bank, full=True)
        assert read == set(hashed(bank))


def test_a_file_put_in_place_with_the_same_size_and_time_is_read(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    target = path / "trades/trade_7.json"
    with opened(path) as bank:
        for _ in range(6):
            Scanner(bank).run()
        info = target.stat()
        other = target.with_name("other")
        other.write_bytes(flipped(target, b"0.0725", b"0.9725"))
        os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
        other.rename(target)
        assert ("MB113", "trades/trade_7.json") in found(Scanner(bank).run())


# Settled directories


def test_findings_of_a_settled_directory_are_repeated(make_bank: MakeBank) -> None:
    path = make_bank(20, padded=False)
    put(path / "state/odd.json", {"notes": "x" * (6 << 20)})
    put(path / "metrics/misfit.json", [1])
    adopt(path)
    age(path)
    with opened(path) as bank:
        first = found(Scanner(bank).run())
        assert ("MB301", "state/odd.json") in first
        assert {path for _, path in first} >= {"state/odd.json", "metrics/misfit.json"}
        for _ in range(4):
            assert found(Scanner(bank).run()) == first
        assert bank.catalog.unchanged()["state"][0]


def test_another_limit_is_held_against_settled_directories_too(make_bank: MakeBank) -> None:
    path = make_bank(20, padded=False)
    put(path / "state/large.json", {"notes": "x" * (6 << 20)})
    adopt(path)
    age(path)
    with opened(path) as bank:
        for _ in range(4):
            assert ("MB301", "state/large.json") in found(Scanner(bank).run())
        bank.settings = type(bank.settings)({"limits.state_mib": 8})
        assert found(Scanner(bank).run()) == []
        bank.settings = type(bank.settings)({"limits.state_mib": 1})
        assert ("MB301", "state/large.json") in found(Scanner(bank).run())


def test_pending_and_outside_changes_are_told_each_time(make_bank: MakeBank) -> None:
    path = make_bank(20, padded=False)
    put(path / "trades/trade_3.json", trade(9))
    put(path / "state/more.json", {"bot_status": "running"})
    age(path)
    with opened(path) as bank:
        for _ in range(4):
            one = Scanner(bank).run()
            assert [change.path for change in one.changes] == ["state/more.json"]
            assert [change.path for change in one.outside] == ["trades/trade_3.json"]
            assert one.pending == 1


# What is gone


def test_a_file_that_is_gone(make_bank: MakeBank) -> None:
    path = make_bank(3)
    (path / "trades/trade_1.json").unlink()
    (path / "state/state.json").unlink()
    with opened(path) as bank:
        for one in (Scanner(bank).run(), Scanner(bank).run_on(["trades/trade_1.json", "state/state.json"])):
            assert [change.path for change in one.outside] == ["trades/trade_1.json"]
            assert [(change.path, change.pending) for change in one.changes] == [("state/state.json", "removed")]
        Scanner(bank).run()
        assert Scanner(bank).run_on(["trades/never.json"]).findings == []


@pytest.mark.parametrize("asked", ["trades", "trades/old", "trades/old/a.json"])
def test_a_directory_that_is_gone_with_its_files(make_bank: MakeBank, asked: str) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/old/a.json", trade(1))
    adopt(path)
    (path / "trades/old/a.json").unlink()
    (path / "trades/old").rmdir()
    with opened(path) as bank:
        assert found(Scanner(bank).run_on([asked])) == [("MB111", "trades/old/a.json")]
        assert found(Scanner(bank).run()) == [("MB111", "trades/old/a.json")]


def test_some_files_of_several_directories_at_once(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(4, padded=False)
    put(path / "trades/old/a.json", trade(1))
    adopt(path)
    age(path)
    put(path / "trades/new.json", trade(8))
    put(path / "trades/trade_1.json", trade(9))
    (path / "trades/trade_2.json").unlink()
    (path / "trades/link.json").symlink_to("trade_0.json")
    put(path / "trades/old/b.json", trade(7))
    put(path / "trades/old/c.json", b"{")
    names = ("link", "new", "never", "trade_0", "trade_1", "trade_2")
    asked = ["state", *(f"trades/{one}.json" for one in names), "trades/old", "trades/old/b.json", "trades/old/c.json"]
    opens: list[str] = []
    with opened(path) as bank:
        descend = Root.directory

        def counted(root: Root, one: str) -> AbstractContextManager[int]:
            opens.append(one)
            return descend(root, one)

        monkeypatch.setattr(Root, "directory", counted)
        some = Scanner(bank).run_on(asked)
        monkeypatch.undo()
        assert opens.count("trades") == 1
        assert {(one, where) for one, where in found(some)} == {
            ("MB305", "trades/link.json"),
            ("MB113", "trades/trade_1.json"),
            ("MB111", "trades/trade_2.json"),
            ("MB103", "trades/old/c.json"),
        }
        assert {one.path for one in some.changes} >= {"trades/new.json", "trades/old/b.json"}
        assert {"trades/new.json", "trades/old/b.json", "trades/old/c.json"} <= hashed(bank).keys()


def test_a_directory_in_the_place_of_a_file(make_bank: MakeBank) -> None:
    path = make_bank(2)
    (path / "trades/trade_1.json").unlink()
    put(path / "trades/trade_1.json/inner.json", trade(5))
    with opened(path) as bank:
        whole = found(Scanner(bank).run())
        assert ("MB111", "trades/trade_1.json") in whole
        assert ("MB112", "trades/trade_1.json") in whole
        some = Scanner(bank).run_on(["trades/trade_1.json"])
        assert found(some) == [("MB111", "trades/trade_1.json")]
        assert [change.path for change in some.changes] == ["trades/trade_1.json/inner.json"]


def test_a_file_in_the_place_of_a_directory(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "trades/old/a.json", trade(1))
    adopt(path)
    (path / "trades/old/a.json").unlink()
    (path / "trades/old").rmdir()
    (path / "trades/old").write_bytes(b"")
    with opened(path) as bank:
        assert found(Scanner(bank).run()) == [("MB111", "trades/old/a.json")]
        assert found(Scanner(bank).run_on(["trades/old/a.json"])) == [("MB111", "trades/old/a.json")]


def test_what_was_new_and_is_gone_is_forgotten(make_bank: MakeBank) -> None:
    path = make_bank(1)
    put(path / "trades/new.json", trade(5))
    with opened(path) as bank:
        assert Scanner(bank).run().pending == 1
        (path / "trades/new.json").unlink()
        assert Scanner(bank).run().pending == 0
        assert bank.catalog.row("trades/new.json").seen is None


def test_excluded_files_are_neither_read_nor_missed(make_bank: MakeBank) -> None:
    path = make_bank(12)
    with opened(path) as bank:
        bank.settings = type(bank.settings)({"exclude": ("trades/trade_1*", "state")})
        put(path / "trades/trade_10.json", b"damaged")
        one = Scanner(bank).run()
        assert found(one) == [("MB102", "trades/recent_trades.json")]
        assert "state" not in one.by_section
        assert Scanner(bank).run_on(["state"]).findings == []


# Bit rot


@pytest.mark.parametrize("name", ["trades/trade_2.json", "metrics/metrics.json"])
def test_bit_rot(make_bank: MakeBank, name: str) -> None:
    path = make_bank(3, padded=False)
    age(path)
    one, other = (b"0.0725", b"0.0735") if name.startswith("trades") else (b"35.5", b"35.6")
    with opened(path) as bank:
        Scanner(bank).run()
        change_unseen(bank, name, flipped(path / name, one, other))
        for options in ({}, {}, {"full": True}):
            looked = Scanner(bank).run(**options)
            assert found(looked) == [("MB115", name)]
            assert looked.findings[0].severity == "critical"
            assert [change.path for change in looked.damaged] == [name]
            assert looked.changes == []
        assert found(Scanner(bank).run_on([name])) == [("MB115", name)]
    assert adopt(path) == []


def test_a_full_look_finds_bit_rot_before_its_turn_comes(make_bank: MakeBank) -> None:
    path = make_bank(60, padded=False)
    age(path)
    with opened(path) as bank:
        for _ in range(3):
            Scanner(bank).run()
        name = max((one for one in hashed(bank) if one.startswith("trades/trade")), key=lambda one: hashed(bank)[one])
        change_unseen(bank, name, flipped(path / name, b"0.0725", b"0.0735"))
        assert found(Scanner(bank).run()) == []
        assert found(Scanner(bank).run(full=True)) == [("MB115", name)]


def test_rot_that_breaks_the_document_tells_both(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    age(path)
    name = "trades/trade_1.json"
    with opened(path) as bank:
        Scanner(bank).run()
        change_unseen(bank, name, flipped(path / name, b"{", b"["))
        assert found(Scanner(bank).run()) == [("MB115", name), ("MB101", name)]


def test_rot_is_over_when_the_file_is_written_or_heals(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    age(path)
    name = "metrics/metrics.json"
    good = (path / name).read_bytes()
    with opened(path) as bank:
        Scanner(bank).run()
        change_unseen(bank, name, good.replace(b"35.5", b"35.6"))
        assert found(Scanner(bank).run()) == [("MB115", name)]
        change_unseen(bank, name, good)
        assert found(Scanner(bank).run()) == []
        change_unseen(bank, name, good.replace(b"35.5", b"35.7"))
        assert found(Scanner(bank).run()) == [("MB115", name)]
        put(path / name, {"gas_price": 40})
        one = Scanner(bank).run()
        assert (found(one), [change.pending for change in one.changes]) == ([], ["changed"])


def test_rot_of_a_file_that_was_never_recorded_is_no_good_version(make_bank: MakeBank) -> None:
    path = make_bank(3, padded=False)
    put(path / "state/more.json", {"bot_status": "running"}, age=3600)
    with opened(path) as bank:
        Scanner(bank).run()
        change_unseen(bank, "state/more.json", flipped(path / "state/more.json", b"running", b"runninG"))
        assert ("MB115", "state/more.json") in found(Scanner(bank).run(full=True))
    assert adopt(path) == ["state/more.json"]
    assert journal(path)[-1]["files"][0][4] == ["MB115"]
    with opened(path) as bank:
        expected = bank.catalog.row("state/more.json").expected
        assert expected is not None
        assert not expected.good
        assert ("MB115", "state/more.json") in found(Scanner(bank).run())


# Versions


def test_another_version_of_program_or_schemas_reads_everything_again(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        with bank.catalog.writing():
            bank.catalog.set_meta("version", "0.0 elsewhere")
        _, read = read_again(bank)
        assert read == set(hashed(bank))


def test_after_a_crash_of_the_machine_what_changed_last_is_read_again(make_bank: MakeBank) -> None:
    path = make_bank(30, padded=False)
    age(path)
    with opened(path) as bank:
        Scanner(bank).run()
        put(path / "trades/late.json", trade(77), age=90)
        Scanner(bank).run()
        with bank.catalog.writing():
            bank.catalog.set_meta("boot", ["another"])
        _, read = read_again(bank)
        assert "trades/late.json" in read
        assert len(read) <= ROLLED + 1
        _, read = read_again(bank)
        assert len(read) == ROLLED


# Things that are no files


def test_things_that_are_no_files(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    (path / "trades/link.json").symlink_to("trade_0.json")
    (path / "state/away").symlink_to(outside(path))
    os.mkfifo(path / "state/pipe.json")
    (path / "metrics/folder.json").mkdir()
    with socket.socket(socket.AF_UNIX) as server:
        here = Path.cwd()
        os.chdir(path / "state")
        try:
            server.bind("socket.json")
        finally:
            os.chdir(here)
        with opened(path) as bank:
            whole = {finding.path: (finding.rule, finding.message) for finding in Scanner(bank).run().findings}
            some = {
                finding.path: (finding.rule, finding.message)
                for finding in Scanner(bank).run_on(sorted(whole)).findings
            }
    assert whole == {
        "trades/link.json": ("MB305", "a symbolic link; it is not followed"),
        "state/away": ("MB305", "a symbolic link; it is not followed"),
        "state/pipe.json": ("MB305", "a named pipe, no file"),
        "state/socket.json": ("MB305", "a socket, no file"),
        "metrics/folder.json": ("MB112", "a directory named like a JSON file"),
    }
    assert some == {path: what for path, what in whole.items() if path != "metrics/folder.json"}


@as_root
def test_a_device(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    os.mknod(path / "state/null.json", 0o600 | 0o020000, os.makedev(1, 3))
    with opened(path) as bank:
        [one] = Scanner(bank).run().findings
    assert (one.rule, one.message) == ("MB305", "a device, no file")


def test_a_hard_link_of_a_managed_file(make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(1, padded=False)
    os.link(path / "bank.json", tmp_path / "other")
    os.link(path / "trades/trade_0.json", tmp_path / "another")
    with opened(path) as bank:
        assert found(Scanner(bank).run()) == [("MB305", "bank.json")]


def test_a_bank_inside_the_bank_is_not_gone_into(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "shared/inner/bank.json", {"format": 1})
    put(path / "shared/inner/trades/broken.json", b"{")
    with opened(path) as bank:
        one = Scanner(bank).run()
    assert found(one) == [("MB112", "shared/inner")]
    assert one.findings[0].severity == "info"


def test_dot_names_are_not_judged(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / ".git/config.json", b"{")
    put(path / "trades/.tmp.json", b"{")
    with opened(path) as bank:
        assert found(Scanner(bank).run()) == []


@as_root
def test_what_cannot_be_read(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/dark.json", trade(2))
    put(path / "state/dark/x.json", {"a": 1})
    with own_ids_again(), opened(path) as bank:
        give_away(path)
        for one in (path / "trades/dark.json", path / "state/dark"):
            os.chown(one, 0, 0)
        Scanner(bank).run()
        with bank.catalog.writing():
            bank.catalog.forget_seen()
        os.seteuid(OWNER)
        looked = Scanner(bank).run()
        os.seteuid(0)
    assert sorted(found(looked)) == [("MB307", "state/dark"), ("MB307", "trades/dark.json")]
    assert looked.by_section["trades"] == 2


def test_a_file_that_keeps_changing_is_left_for_next_time(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    notes = Notes()
    target = path / "metrics/metrics.json"
    with opened(path) as bank:

        class Restless(type(bank.registry)):  # type: ignore[misc]
            def matches(self, kind: str, value: Any) -> bool:
                if kind == "metrics":
                    target.write_text(f'{{"gas_price": {"1" * (value["gas_price"] % 50 + 5)}}}')
                return bool(super().matches(kind, value))

        target.write_text('{"gas_price": 1}')
        scanner = Scanner(bank, notes)
        scanner.examiner.registry = Restless()
        one = scanner.run()
    assert notes.notes == ["metrics/metrics.json keeps changing; it is looked at next time"]
    assert (one.findings, one.changes) == ([], [])


# Odd names and counts


def test_odd_names(make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    names = {b"a\nb.json": "a\\x0ab.json", b"\xff.json": "\\xff.json", b"back\\slash.json": "back\\\\slash.json"}
    for raw in names:
        (path / os.fsdecode(b"trades/" + raw)).parent.mkdir(exist_ok=True)
        Path(os.fsdecode(os.fsencode(path) + b"/trades/" + raw)).write_bytes(b"{")
    with opened(path) as bank:
        assert {finding.path for finding in Scanner(bank).run().findings} == {f"trades/{one}" for one in names.values()}
        assert len(Scanner(bank).run_on([f"trades/{one}" for one in names.values()]).findings) == 3


def test_a_partial_look_does_not_forget_how_many_files_there_are(make_bank: MakeBank) -> None:
    path = make_bank(9, padded=False)
    with opened(path) as bank:
        whole = Scanner(bank).run().checked
        assert Scanner(bank).run_on(["trades/trade_1.json"]).checked == 1
        assert bank.catalog.meta("files") == whole


def test_counts(make_bank: MakeBank) -> None:
    path = make_bank(4, padded=False)
    put(path / "metrics/historical/0.json", {"x": 1})
    put(path / "notes.md", b"text")
    with opened(path) as bank:
        one = Scanner(bank).run()
    files = contents(path)
    assert one.checked == len(files)
    assert one.bytes == sum(map(len, files.values()))
    assert one.by_section == {"bank": 1, "documents": 2, "trades": 5, "metrics": 2, "state": 1}
    assert one.mtimes["trades"] == max(file.stat().st_mtime_ns for file in (path / "trades").iterdir())
    assert SETTLED_NS == 60 * 10**9
