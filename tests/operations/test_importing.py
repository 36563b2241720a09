"""Importing: built beside and renamed, or one act in place; what cannot be taken is told; a second run adds nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.base import files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Locked, OperationFailed, Refused, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import QUIET
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.base.walk import READ_SIZE, Root
from memorybank_cli.migrations.choosing import Part
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from memorybank_cli.operations import intake
from memorybank_cli.operations.importing import Chosen, Imported, bring, building, rehearse
from memorybank_cli.operations.init import InitReport, init
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.migrate import MigrateReport, migrate
from tests.broken_os import broken, failing, killed, put_back
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import contents, journal, opened, put, rules
from tests.operations.owners import OWNER, as_root, own_ids_again, public_place
from tests.operations.test_opening import Notes

TIME = "2026-01-02T03:04:05Z"


class Importer:
    """An importer that yields what it is told to."""

    NAME, TITLE = "made", "what a test makes"

    def __init__(self, *items: Item | Callable[[], None]) -> None:
        self.items = items

    def score(self, source: Source) -> int:
        del source
        return 100

    def takes(self, source: Source, path: str) -> bool:
        del source, path
        return True

    def read(self, source: Source, paths: Sequence[str]) -> Iterator[Item]:
        del source, paths
        for item in self.items:
            if callable(item):
                item()
            else:
                yield item


def message(number: int, account: str = "a", **fields: Any) -> MessageItem:
    known: dict[str, Any] = {"role": "user", "content": f"text {number}", "id": f"m{number}", "timestamp": TIME}
    return MessageItem(account, **{**known, "metadata": {}, "origin": "talk.md", **fields})


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    for number in range(3):
        put(path / f"trades/{number}.json", trade(number), age=1_000)
    put(path / "talk.md", b"talk")
    return path


def brought(path: Path, source: Path, *items: Item | Callable[[], None], refuse: bool = False) -> Imported:
    """Items into a standing bank."""
    with closing(Source(source)) as one, opened(path) as bank:
        return bring(Chosen(one, [Part(Importer(*items), 100, list(one.paths))]), bank, QUIET, refuse)


def made(path: Path, source: Path, **options: Any) -> InitReport:
    return init(Context(bank=str(path)), from_=str(source), **options)


def migrated(path: Path, source: Path, **options: Any) -> MigrateReport:
    return migrate(Context(bank=str(path)), from_=str(source), **options)


def messages(path: Path, account: str = "a") -> list[str]:
    whole = json.loads((path / f"account_{account}/whole_history.json").read_bytes())
    return [one["id"] for one in whole["messages"]]


def reasons(done: Imported) -> dict[str, str]:
    return {one.path: one.reason for one in done.tally.rejected}


def quarantined(path: Path) -> list[bytes]:
    return [one.read_bytes() for one in sorted((path / layout.QUARANTINE).glob("*"))]


# A new bank


def test_a_new_bank_stands_in_its_place_at_once(run: Run, source: Path, tmp_path: Path, home: Path) -> None:
    path = tmp_path / "bank"
    report = made(path, source)
    assert report.path == str(path)
    assert (report.adopted, report.created[0]) == (4 + 3, str(path))
    assert [one.name for one in tmp_path.iterdir() if one.name.startswith(".")] == []
    assert contents(source).items() <= contents(path).items()
    assert list((path / layout.PRIVATE / "tmp").glob("*")) == []
    place = json.loads((home / "state" / report.bank_id / "place.json").read_bytes())
    assert place["path"] == str(path)
    notes = Notes()
    with opened(path, progress=notes) as bank:
        bank.check_writable()
        assert prove(bank).ok
        assert bank.home.mark()[0] == bank.end.seq
    assert notes.notes == []
    done = run("validate", "--bank", path, "--json")
    assert (done.returncode, done.json["pending"], done.json["checked"]) == (0, 0, report.adopted + 1)


def test_the_journal_of_a_new_bank_is_that_of_any_other(source: Path, tmp_path: Path) -> None:
    put(source / "trades/odd.json", {"no": "time"})
    put(source / "trades/bad.json", b'{"cut')
    put(source / "state/big.json", {"x": "y" * (20 << 10)})
    made(tmp_path / "one", source)
    shutil.copytree(source, tmp_path / "two")
    init(Context(bank=str(tmp_path / "two")))

    def told(path: Path) -> tuple[dict[str, Any], object]:
        rows = {row[0]: row for line in journal(path) if line["op"] != "bank.created" for row in line.get("files", ())}
        del rows[layout.README]
        return rows, journal(path)[0]["bound"]

    assert told(tmp_path / "one") == told(tmp_path / "two")
    with opened(tmp_path / "one") as bank:
        expected = bank.catalog.row("trades/1.json").expected
        assert expected is not None
        from memorybank_cli.bank.versions import find

        assert find(bank.journal, "trades/1.json", expected.sha, expected.seq) == put(tmp_path / "x", trade(1))
    assert rules(tmp_path / "one") == {"trades/bad.json": "MB103"}


def test_what_a_killed_run_left_is_removed(source: Path, tmp_path: Path) -> None:
    put(tmp_path / ".bank.importing/trades/9.json", {})
    put(tmp_path / ".bank.importing/bank.json", {"half": 1})
    made(tmp_path / "bank", source)
    assert not (tmp_path / "bank/trades/9.json").exists()
    assert not (tmp_path / ".bank.importing").exists()


def test_two_at_once(source: Path, tmp_path: Path) -> None:
    site = tmp_path / ".bank.importing"
    site.mkdir()
    put(site / "trades/9.json", {})
    with closing(Root(site)) as root:
        locks.hold_root(root)
        with pytest.raises(Locked) as caught:
            init(Context(bank=str(tmp_path / "bank"), lock_timeout=0), from_=str(source))
    assert caught.value.exit_code == 11
    assert (site / "trades/9.json").exists()
    assert not (tmp_path / "bank").exists()


def test_what_was_put_in_place_while_we_waited_is_not_taken_for_a_leftover(tmp_path: Path) -> None:
    with building(str(tmp_path / "bank"), 0) as site:
        late = Root(site.root.path)
        put(tmp_path / ".bank.importing/kept.json", {})
        site.put_in_place()
    with closing(late):
        assert (tmp_path / "bank/kept.json").exists()
    with building(str(tmp_path / "bank"), 0):
        pass
    assert (tmp_path / "bank/kept.json").exists()


def test_something_that_came_to_stand_meanwhile(tmp_path: Path) -> None:
    with building(str(tmp_path / "bank"), 0) as site:
        put(tmp_path / "bank/other.json", {})
        with pytest.raises(Refused, match="came to stand"):
            site.put_in_place()
    assert contents(tmp_path) == {"bank/other.json": b"{}"}


def test_a_failure_leaves_nothing(source: Path, tmp_path: Path, home: Path) -> None:
    for number in range(1, 40, 3):
        with broken(write=failing(28, number)), suppress(OperationFailed):
            made(tmp_path / "bank", source)
        if (tmp_path / "bank").exists():
            break
        assert sorted(one.name for one in tmp_path.iterdir() if one != home) == ["source"]
        assert list(home.glob("state/*")) == []
    assert number > 12
    assert rules(tmp_path / "bank") == {}


def test_an_empty_directory_keeps_its_mode(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank").chmod(0o750)
    made(tmp_path / "bank", source)
    assert (tmp_path / "bank").stat().st_mode & 0o777 == 0o750
    assert contents(source).items() <= contents(tmp_path / "bank").items()


def test_an_empty_directory_behind_a_link_is_filled_in_place(source: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "bank").symlink_to("real")
    report = made(tmp_path / "bank", source)
    assert (tmp_path / "bank").is_symlink()
    assert report.adopted == 4 + 3
    assert contents(source).items() <= contents(tmp_path / "real").items()


def test_a_bank_with_a_group_and_accounts(source: Path, tmp_path: Path) -> None:
    report = made(tmp_path / "bank", source, account=("new",), group="root" if os.geteuid() == 0 else None)
    assert report.created[-1] == "account_new"
    assert rules(tmp_path / "bank") == {}


def test_repair_on_the_way(run: Run, source: Path, tmp_path: Path) -> None:
    put(source / "trades/recent.json", json.dumps({"trades": [trade(1)]}).encode() + bytes(500))
    done = run("init", tmp_path / "bank", "--from", source, "--repair", "--json")
    assert [one["method"] for one in done.json["repaired"]["repaired"]] == ["leading-document"]
    assert run("validate", "--bank", tmp_path / "bank").returncode == 0
    assert (source / "trades/recent.json").read_bytes().endswith(bytes(500))


# Around what stands there


def test_a_directory_with_content_becomes_a_bank_with_both(source: Path, tmp_path: Path) -> None:
    put(tmp_path / "bank/trades/1.json", trade(1))
    put(tmp_path / "bank/trades/.mb-0123", b"half")
    put(tmp_path / "bank/trades/own.json", trade(7))
    report = made(tmp_path / "bank", source)
    assert report.imported is not None
    assert (report.imported.tally.files, report.imported.tally.present) == (3, 1)
    assert contents(source).items() <= contents(tmp_path / "bank").items()
    assert report.adopted == 5 + 3
    assert rules(tmp_path / "bank") == {}


@pytest.mark.parametrize("standing", [True, False])
@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "shorter", "above"])
def test_something_else_in_the_way_of_init(source: Path, tmp_path: Path, kind: str, standing: bool) -> None:
    target = tmp_path / "bank"
    put(target / "state/state.json", {})
    if standing:
        init(Context(bank=str(target)))
    place = target / "trades/2.json"
    place.parent.mkdir(exist_ok=True)
    if kind == "directory":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(source / "trades/2.json")
    elif kind == "pipe":
        os.mkfifo(place)
    elif kind == "shorter":
        put(place, b"{")
    else:
        shutil.rmtree(target / "trades")
        put(target / "trades", b"a file")
    before = contents(target)
    with pytest.raises(Refused, match=r"json stands in the target") as caught:
        made(target, source)
    assert caught.value.exit_code == 13
    assert caught.value.path.startswith("trades/")
    assert contents(target) == before


# Into a standing bank


def test_a_bank_just_made_brings_nothing_to_another(tmp_path: Path) -> None:
    for name in ("old", "new"):
        init(Context(bank=None), str(tmp_path / name))
    lines = len(journal(tmp_path / "new"))
    report = migrate(Context(bank=str(tmp_path / "new")), from_=str(tmp_path / "old"))
    assert (report.as_dict()["imported"], report.as_dict()["present"]) == (0, 2)
    assert report.summary().endswith("next: memorybank validate")
    assert len(journal(tmp_path / "new")) == lines


def test_a_migration_is_one_act_and_the_second_adds_nothing(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(source / "trades/bad.json", b'{"cut')
    report = migrated(path, source)
    assert report.imported is not None
    assert (report.imported.tally.files, report.exit_code()) == (5, 0)
    assert [(one.rule, one.path) for one in report.imported.findings if one.severity == "error"] == [
        ("MB103", "trades/bad.json")
    ]
    assert contents(source).items() <= contents(path).items()
    ops = [line["op"] for line in journal(path)]
    assert ops.count("restore.begin") == ops.count("restore.end") == ops.count("source.imported") == 1
    before = contents(path, private=True)
    again = migrated(path, source)
    assert again.imported is not None
    assert (again.imported.tally.files, again.imported.tally.present, again.exit_code()) == (0, 5, 0)
    assert [line["op"] for line in journal(path)] == ops
    assert contents(path) == {name: data for name, data in before.items() if not name.startswith(".memorybank")}


def test_another_content_is_rejected_and_kept_once(run: Run, source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    mine = put(path / "trades/1.json", trade(5))
    for _ in range(2):
        done = run("migrate", "--from", source, "--bank", path, "--json")
        assert done.returncode == 1
        [rejected] = done.json["rejected"]
        assert (rejected["path"], rejected["reason"]) == ("trades/1.json", "another content stands there")
        assert (path / rejected["kept"]).read_bytes() == (source / "trades/1.json").read_bytes()
        assert (path / "trades/1.json").read_bytes() == mine
    assert len(quarantined(path)) == 1
    told = [line for line in journal(path) if line["op"] == "source.imported"]
    assert [one["rejected"][0][:2] for one in told] == [["trades/1.json", "another content stands there"]]


def test_placeholders_are_in_nobodys_way(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "bank"
    init(Context(bank=str(path)))
    data = put(source / "metrics/metrics.json", {"gas_price": 1.5})
    put(source / "state/state.json", b"{}\n")
    report = migrated(path, source)
    assert (report.exit_code(), report.as_dict()["rejected"]) == (0, [])
    assert (path / "metrics/metrics.json").read_bytes() == data
    assert quarantined(path) == []
    put(source / "metrics/metrics.json", {"gas_price": 2.5})
    assert migrated(path, source).exit_code() == 1


def test_what_no_bank_can_have_is_rejected(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(path / "docs", b"a file of the bank")
    wrong = ["../out.json", "a//b.json", ".hidden/x.json", "x/.y.json", "account_a/own.json", "a\0.json"]
    items = [FileItem(name, f"origin {number}", b"{}", 0) for number, name in enumerate(wrong)]
    twice = [
        FileItem(f"state/{name}", f"twice {name.replace('/', '-')}", b"{}", 0)
        for name in ("x.json", "x.json/y.json", "d/e/f.json")
    ]
    more = [FileItem("state/d/e", "twice dir", b"{}", 0), FileItem("state/x.json", "twice again", b"[]", 0)]
    for one in (*items, *twice, *more):
        put(source / one.origin.replace("/", "-"), b"{}")
    done = brought(path, source, *items, *twice, *more, FileItem("docs/x.md", "talk.md"), FileItem("bank.json", "b"))
    assert set(reasons(done)) == {*(one.origin for one in items), "twice x.json-y.json", "twice dir", "twice again"} | {
        "talk.md"
    }
    assert ("b", "the new bank has its own") in done.skipped
    assert done.tally.files == 2
    assert (path / "docs").read_bytes() == b"a file of the bank"
    assert not (path.parent / "out.json").exists()


def test_names_that_the_place_cannot_hold(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    long = "n" * 300 + ".json"
    done = brought(path, source, FileItem(f"state/{long}", "talk.md"), FileItem("state/x.json", "talk.md"))
    assert list(reasons(done)) == ["talk.md"]
    assert "too long" in reasons(done)["talk.md"]
    assert done.tally.files == 1


def test_a_source_that_changes_is_rejected(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    put(source / "notes.md", b"x" * (READ_SIZE + 1))

    def vanish() -> None:
        (source / "trades/1.json").unlink()
        (source / "notes.md").unlink()

    items: list[Item] = [FileItem(name, name) for name in ("trades/0.json", "trades/1.json", "notes.md")]
    done = brought(path, source, items[0], vanish, *items[1:])
    assert reasons(done) == dict.fromkeys(("trades/1.json", "notes.md"), "it changed or vanished while it was read")
    assert {one.kept for one in done.tally.rejected} == {""}
    assert (path / "trades/0.json").exists()
    assert rules(path) == {}


def test_large_files_are_streamed(source: Path, make_bank: MakeBank, tmp_path: Path) -> None:
    put(source / "notes.md", b"x" * (READ_SIZE + 1))
    with (source / "state.json").open("wb") as file:
        file.truncate(HARD_SIZE + 1)
    items: list[Item] = [FileItem("notes.md", "notes.md"), FileItem("state/state2.json", "state.json", None, 5_000)]
    path = make_bank(0, padded=False)
    done = brought(path, source, *items)
    assert done.tally.bytes == READ_SIZE + 1 + HARD_SIZE + 1
    assert (path / "state/state2.json").stat().st_mtime_ns == 5_000
    assert rules(path) == {"state/state2.json": "MB108"}
    again = brought(path, source, *items)
    assert again.tally.present == 2
    (source / "state.json").unlink()
    made(tmp_path / "new", source)
    assert (tmp_path / "new/notes.md").stat().st_size == READ_SIZE + 1
    with opened(tmp_path / "new") as bank:
        assert bank.catalog.row("notes.md").expected is not None


def test_converted_files_and_what_was_assumed(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    done = brought(
        path,
        source,
        FileItem("state/x.json", "talk.md", b'{"a": 1}', None, 3),
        Assumption("times are UTC"),
        Assumption("times are UTC", 4),
        Rejected("talk.md", "half a record", b'{"ha'),
    )
    report = done.as_dict()
    assert (report["converted"], report["references_updated"]) == (1, 3)
    assert report["assumptions"] == [{"text": "times are UTC", "count": 5}]
    [rejected] = report["rejected"]
    assert (path / rejected["kept"]).read_bytes() == b'{"ha'
    [told] = [line for line in journal(path) if line["op"] == "source.imported"]
    assert (told["assumptions"], told["importers"]) == (["times are UTC"], ["made"])


def test_many_rejections_stand_in_several_lines(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    brought(path, source, *(Rejected("talk.md", f"number {number}", b"same") for number in range(1_001)))
    told = [line for line in journal(path) if line["op"] == "source.imported"]
    assert [len(line["rejected"]) for line in told] == [1_000, 1]
    assert quarantined(path) == [b"same"]


def test_a_file_that_is_rejected_for_many_reasons_is_read_once(source: Path, make_bank: MakeBank) -> None:
    one, two = Rejected("talk.md", "one"), Rejected("talk.md", "two")
    done = brought(make_bank(0, padded=False), source, one, (source / "talk.md").unlink, two)
    (place,) = {one.kept for one in done.tally.rejected}
    assert place.startswith(layout.QUARANTINE)
    assert [one.reason for one in done.tally.rejected] == ["one", "two"]


# Messages


def test_messages_come_in_with_the_files(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    items: list[Item] = [
        FileItem("trades/0.json", "trades/0.json"),
        *map(message, range(300)),
        AccountItem("empty", "talk.md"),
    ]
    done = brought(path, source, *items, message(7), message(7, account="b"))
    assert (done.tally.messages, done.tally.present, sorted(done.tally.accounts)) == (301, 1, ["a", "b", "empty"])
    assert messages(path)[-5:] == [f"m{number}" for number in range(295, 300)]
    assert json.loads((path / "account_empty/whole_history.json").read_bytes())["messages"] == []
    groups = {
        tuple(line.get("txn", [""])[:1]) for line in journal(path) if line["op"] in ("record.stored", "restore.begin")
    }
    assert len(groups) == 1
    with opened(path) as bank:
        assert prove(bank).ok
    lines = len(journal(path))
    again = brought(path, source, *items, message(300))
    assert (again.tally.messages, again.tally.present) == (1, 301)
    assert messages(path)[-1] == "m300"
    assert len(journal(path)) < lines + 10
    assert rules(path) == {}


def test_messages_of_a_new_bank(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.operations.targets.BATCH", 7)
    monkeypatch.setattr(intake, "BATCH", 5)
    items: list[Item] = [AccountItem("empty", "talk.md"), *map(message, range(50)), message(3), message(1, account="b")]
    path = tmp_path / "bank"
    from memorybank_cli.migrations import choosing

    monkeypatch.setattr(choosing, "IMPORTERS", (Importer(*items),))
    report = made(path, source)
    assert report.imported is not None
    tally = report.imported.tally
    assert (tally.messages, tally.present, tally.files) == (51, 1, 0)
    assert messages(path) == [f"m{number}" for number in range(50)]
    assert messages(path, "b") == ["m1"]
    assert rules(path) == {}


def test_messages_that_are_none_are_rejected(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    wrong = [
        message(1, role=""),
        message(2, timestamp="yesterday"),
        message(3, content="half \ud800"),
        message(4, account="../up"),
        message(5, content="x" * (9 << 20)),
    ]
    done = brought(path, source, *wrong, message(6), AccountItem(".no", "talk.md"))
    assert len(done.tally.rejected) == 6
    assert messages(path) == ["m6"]
    assert all(json.loads((path / one.kept).read_bytes())["origin"] == "talk.md" for one in done.tally.rejected)


# Rehearsals and the choice of importers


@pytest.mark.parametrize("where", ["new", "bank", "content"])
def test_a_dry_run_shows_the_plan_and_writes_nothing(run: Run, source: Path, tmp_path: Path, where: str) -> None:
    path = tmp_path / "bank"
    if where == "content":
        put(path / "trades/0.json", trade(0))
    elif where == "bank":
        init(Context(bank=str(path)))
    before = contents(tmp_path)
    done = run("init", path, "--from", source, "-n", "--json")
    assert (done.returncode, done.json["imported"]["dry_run"]) == (0, True)
    assert done.json["imported"]["imported"] + done.json["imported"]["present"] == 4
    assert contents(tmp_path) == before
    if where == "bank":
        plan = run("migrate", "--from", source, "--bank", path, "--dry-run")
        assert "bank_layout" in plan.stdout
        assert "next: the same without --dry-run" in plan.stdout
        assert contents(tmp_path) == before
    assert "next: the same without --dry-run" in run("init", path, "--from", source, "-n").stdout


def test_a_rehearsal_counts_as_the_import_does(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    items: list[Item] = [
        FileItem("trades/0.json", "trades/0.json"),
        *map(message, range(20)),
        message(3),
        AccountItem("b", "x"),
    ]
    items.append(FileItem("notes.md", "notes.md"))
    put(source / "notes.md", b"x" * (READ_SIZE + 1))
    brought(path, source, *map(message, range(5)))
    with closing(Source(source)) as one, opened(path) as bank:
        part = Part(Importer(*items, Rejected("x", "y", b"z")), 100, list(one.paths))
        told = rehearse(Chosen(one, [part]), QUIET, bank.root, bank)
    done = brought(path, source, *items)
    for name in ("files", "bytes", "messages", "present", "accounts"):
        assert getattr(told.tally, name) == getattr(done.tally, name), name
    assert told.tally.plan == done.tally.plan
    assert told.tally.rejected[0].kept == ""


def test_the_importer_that_was_asked_for(run: Run, source: Path, tmp_path: Path) -> None:
    done = run("init", tmp_path / "bank", "--from", source, "--as", "plain_json", "--json")
    assert {one["importer"] for one in done.json["imported"]["plan"]} == {"plain_json"}
    with pytest.raises(UsageError, match="no importer 'nonsense'"):
        made(tmp_path / "other", source, as_="nonsense")
    with pytest.raises(UsageError, match="go with --from"):
        init(Context(bank=str(tmp_path / "other")), as_="plain_json")
    with pytest.raises(UsageError, match="go with --from"):
        init(Context(bank=str(tmp_path / "other")), dry_run=True)
    assert not (tmp_path / "other").exists()


def test_a_name_with_odd_bytes(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "a\nb\\c"
    report = made(path, source)
    assert report.path == str(path)
    assert escape(str(path)) in report.summary()


@as_root
def test_what_cannot_be_read_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    with public_place() as place, own_ids_again():
        monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        put(place / "source/state/good.json", {})
        put(place / "source/state/dark.json", {})
        (place / "source").chmod(0o755)
        (place / "source/state").chmod(0o755)
        os.chown(place / "source/state/good.json", OWNER, OWNER)
        os.seteuid(OWNER)
        report = made(place / "target", place / "source")
        assert report.imported is not None
        assert report.imported.tally.files == 1
        assert report.imported.skipped == (("state/dark.json", "it cannot be read"),)


def test_the_bank_is_held_while_things_come_in(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    with closing(Root(path)) as root, locks.hold(root, layout.LOCK), pytest.raises(Locked):
        migrate(Context(bank=str(path), lock_timeout=0), from_=str(source))
    assert not (path / "trades/0.json").exists()


def test_a_full_disk_changes_nothing(source: Path, make_bank: MakeBank) -> None:
    path = make_bank(0, padded=False)
    before = contents(path)
    with broken(write=failing(28, 3)), pytest.raises(OSError, match="No space"):
        migrated(path, source)
    assert contents(path) == before
    assert list((path / layout.SCRATCH).iterdir()) == []
    assert migrated(path, source).exit_code() == 0


def test_more_files_than_are_synced_singly(source: Path, make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "SYNCED_SINGLY", 2)
    monkeypatch.setattr("memorybank_cli.bank.replacing.ROWS", 2)
    path = make_bank(0, padded=False)
    migrated(path, source)
    begun = [line for line in journal(path) if line["op"] == "restore.begin"]
    assert [len(line["files"]) for line in begun] == [2, 2]
    assert len({line["id"] for line in begun}) == 1
    assert [line["op"] for line in journal(path)].count("restore.end") == 2
    assert rules(path) == {}


# Kills at every point


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_kill_while_a_new_bank_is_built_leaves_none_or_all(source: Path, tmp_path: Path, home: Path) -> None:
    put(
        source / "short_term.json", [{"role": "user", "content": "x", "timestamp": 1_700_000_000 + n} for n in range(3)]
    )
    path, outcomes, number = tmp_path / "bank", [], 1
    while killed(lambda: made(path, source), number):
        outcomes.append(path.exists())
        if path.exists():
            whole(path, source)
        else:
            assert list(home.glob("state/*")) == []
        made(path, source)
        whole(path, source)
        assert not (tmp_path / ".bank.importing").exists()
        for one in (path, home):
            shutil.rmtree(one)
        number += 4
    assert number > 60
    assert outcomes == sorted(outcomes)


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_kill_while_things_come_in_leaves_none_or_all(
    source: Path, make_bank: MakeBank, tmp_path: Path, home: Path
) -> None:
    put(
        source / "short_term.json", [{"role": "user", "content": "x", "timestamp": 1_700_000_000 + n} for n in range(3)]
    )
    path = make_bank(0, padded=False)
    places = {path: tmp_path / "store/bank", home: tmp_path / "store/home"}
    for place, copy in places.items():
        shutil.copytree(place, copy)
    before, outcomes, number = contents(path), [], 1
    while killed(lambda: migrated(path, source), number):
        with opened(path) as bank:
            assert prove(bank).ok
        outcomes.append((path / "trades/1.json").exists())
        if outcomes[-1]:
            whole(path, source)
        else:
            found = contents(path)
            assert {name for name in found if ".mb-" not in name} == set(before)
        assert migrated(path, source).exit_code() == 0
        whole(path, source)
        put_back(places)
        number += 3
    assert number > 40
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {False, True}


def whole(path: Path, source: Path) -> None:
    """The bank holds everything of the source, proved and undamaged."""
    there = contents(path)
    assert {
        name: data for name, data in contents(source).items() if name.startswith("trades/")
    }.items() <= there.items()
    with opened(path) as bank:
        assert prove(bank).ok
        assert list(bank.root.listing(layout.SCRATCH)) == []
    assert len(messages(path, "default")) == 3
    assert rules(path) == {}


def test_the_config_of_a_bank_that_stands_decides(source: Path, make_bank: MakeBank, tmp_path: Path) -> None:
    put(source / "config/schemas/trade.schema.json", {"type": "object"})
    path = make_bank(1, padded=False)
    done = migrated(path, source).as_dict()
    left = {one["path"]: one["reason"] for one in done["skipped"]}
    assert left["config/schemas/trade.schema.json"].startswith("the bank's own config decides")
    assert not (path / "config").exists()
    made(tmp_path / "new", source)
    assert (tmp_path / "new/config/schemas/trade.schema.json").exists()
