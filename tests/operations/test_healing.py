"""What watch cures by itself, what it leaves to people, and the account that it keeps of damage."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.locks import hold
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity import corruption
from memorybank_cli.operations import healing
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.recovering import mend
from memorybank_cli.operations.watch_telling import Line
from memorybank_cli.operations.watching import Watching
from tests.conftest import MakeBank, trade
from tests.operations.banks import adopt, journal, journal_file, opened, put, rules

STATE = "state/state.json"


@contextmanager
def watched(path: Path, heal: str = "all", **options: Any) -> Iterator[Watching]:
    with opened(path, **options) as bank:
        one = Watching(bank, bank.context, adopt=True, heal=heal)
        try:
            yield one
        finally:
            one.close()


def looked(path: Path, heal: str = "all") -> list[Line]:
    with watched(path, heal) as one:
        return list(one.everything())


def of(lines: list[Line], kind: str) -> list[Line]:
    return [one for one in lines if one["type"] == kind]


def events(path: Path) -> list[corruption.CorruptionEvent]:
    with closing(Root(path)) as root, closing(EventStore(root)) as store:
        return corruption.events(store)


def pad(path: Path) -> bytes:
    """Damage as a writer leaves it who maps memory; the good bytes."""
    data = path.read_bytes()
    path.write_bytes(data + bytes(500))
    return data


# What is cured


def test_a_document_with_nuls_behind_it_is_cured_with_its_story(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    good = pad(path / STATE)
    lines = looked(path)
    [recovered] = of(lines, "recovered")
    assert (recovered["path"], recovered["rule"], recovered["method"]) == (STATE, "MB102", "leading-document")
    assert (path / STATE).read_bytes() == good
    assert (path / recovered["kept"]).read_bytes() == good + bytes(500)
    assert [one["rule"] for one in of(lines, "resolved")] == ["MB102"]
    [event] = events(path)
    assert event.corruption_id == recovered["corruption_id"]
    assert (event.recovery_action, event.recovery_success, event.kept) == (
        "leading-document",
        True,
        recovered["kept"],
    )
    told = {core["op"]: core["events"] for core in journal(path) if core["op"].startswith("corruption.")}
    assert [one["path"] for one in told["corruption.detected"]] == [STATE]
    assert told["corruption.ended"][0]["recovery_action"] == "leading-document"
    assert rules(path) == {}


def test_the_tail_of_the_longer_version_before_is_worthless_another_one_is_not(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    before = put(path / STATE, {"bot_status": "running", "note": "x" * 200})
    adopt(path)
    short = json.dumps({"bot_status": "stopped"}).encode()
    put(path / STATE, short + before[len(short) :])
    assert [one["path"] for one in of(looked(path), "recovered")] == [STATE]
    assert (path / STATE).read_bytes() == short
    put(path / STATE, short + b'\n{"bot_status": "running"}')
    assert of(looked(path), "recovered") == []


@pytest.mark.parametrize(
    ("damage", "cured"),
    [
        (b"", True),  # nothing is there, so what was recorded loses nothing
        (b"\xef\xbb\xbf" + b'{"bot_status": "running"}', True),
        (b'{"bot_status": "run', False),  # somebody meant to write something newer
        (b'{"bot_status"; "running"}', False),
    ],
)
def test_files_that_agents_rewrite(make_bank: MakeBank, damage: bytes, cured: bool) -> None:
    path = make_bank(2, padded=False)
    put(path / STATE, damage)
    lines = looked(path)
    assert [one["path"] for one in of(lines, "recovered")] == ([STATE] if cured else [])
    [event] = events(path)
    assert event.recovery_success is cured
    assert cured or (path / STATE).read_bytes() == damage
    assert cured or event.recovery_action == "none without loss"


def test_a_damaged_record_gets_what_was_recorded(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    good = (path / "trades/trade_1.json").read_bytes()
    put(path / "trades/trade_1.json", good[:-20])
    assert [one["method"] for one in of(looked(path), "recovered")] == ["journal"]
    assert (path / "trades/trade_1.json").read_bytes() == good


def test_a_record_that_somebody_removed_stays_removed(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    (path / "trades/trade_1.json").unlink()
    lines = looked(path)
    assert of(lines, "recovered") == []
    assert not (path / "trades/trade_1.json").exists()
    [event] = events(path)
    assert (event.rule, event.corruption_type, event.recovery_success) == ("MB111", "DATA_INCONSISTENCY", None)


def test_bit_rot_is_cured_from_the_journal(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    target = path / "trades/trade_1.json"
    good, old = target.read_bytes(), (1_700_000_000, 1_700_000_000)
    os.utime(target, old)
    with watched(path) as one:
        list(one.everything())
        with target.open("r+b") as file:
            file.write(good.replace(b"0.0725", b"0.0735"))
        os.utime(target, old)
        # The change of the inode cannot be undone, so it is taken for the one that was seen.
        query = "UPDATE files SET s_ctime=? WHERE name='trade_1.json'"
        one.bank.catalog.db.execute(query, (target.stat().st_ctime_ns,))
        lines = list(one.everything())
    assert [one["finding"]["rule"] for one in of(lines, "finding")] == ["MB115"]
    assert [one["rule"] for one in of(lines, "recovered")] == ["MB115"]
    assert target.read_bytes() == good
    assert [(one.corruption_type, one.recovery_success) for one in events(path)] == [("CHECKSUM_MISMATCH", True)]


# What the setting says


@pytest.mark.parametrize(("heal", "cured"), [("nothing", set()), ("accounts", {"a"}), ("all", {"a", "s"})])
def test_what_is_cured_is_what_the_user_wants(make_bank: MakeBank, heal: str, cured: set[str]) -> None:
    path = make_bank(2, padded=False)
    with opened(path) as bank:
        create(bank, "a")
    pad(path / STATE)
    (path / "account_a/short_term.json").write_bytes(b"")
    assert {one["path"][0] for one in of(looked(path, heal), "recovered")} == cured
    assert len(events(path)) == 2


# Others at work


def test_a_file_that_is_still_open_is_left_alone(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with (path / STATE).open("r+b") as writer:
        pad(path / STATE)
        with watched(path) as one:
            assert of(list(one.everything()), "recovered") == []
            writer.close()
            assert [line["path"] for line in of(list(one.everything()), "recovered")] == [STATE]


def test_what_is_damaged_again_and_again_is_cured_ever_less_often(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(2, padded=False)
    now = [1_000.0]
    monkeypatch.setattr("memorybank_cli.operations.healing.time.monotonic", lambda: now[0])
    cured = []
    with watched(path) as one:
        for _ in range(60):
            pad(path / STATE) if not (path / STATE).read_bytes().endswith(b"\0") else None
            list(one.teller.bank.journal.lines(0))
            for cure, _event in one.acting.healer.heal(one_look(one)):
                cured.append(now[0] - 1_000.0)
                assert cure.path == STATE
            now[0] += 30
    assert cured == [0, 60, 180, 420, 900]


def one_look(one: Watching) -> list[Any]:
    from memorybank_cli.bank.scan import Scanner

    one.bank.refresh()
    return Scanner(one.bank).run().findings


def test_who_comes_between_gets_his_file_back(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    pad(path / STATE)
    newer = json.dumps({"bot_status": "newer"}).encode()

    def late(*arguments: Any) -> Any:
        from memorybank_cli.bank import replacing

        swap = replacing.swap

        def swapped(*more: Any, **options: Any) -> Any:
            (path / STATE).write_bytes(newer)
            return swap(*more, **options)

        with monkeypatch.context() as patched:
            patched.setattr(replacing, "swap", swapped)
            return mend(*arguments)

    monkeypatch.setattr(healing, "mend", late)
    lines = looked(path)
    assert of(lines, "recovered") == []
    assert (path / STATE).read_bytes() == newer


def test_while_the_bank_is_held_nothing_is_cured_and_later_it_is(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    pad(path / STATE)
    with closing(Root(path)) as root, hold(root, layout.LOCK), watched(path, lock_timeout=0.0) as one:
        assert of(list(one.everything()), "recovered") == []
    assert len(of(looked(path), "recovered")) == 1


# The account that is kept


def test_damage_that_ended_while_nobody_watched(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    good = pad(path / STATE)
    looked(path, "nothing")
    assert [one.ended_at for one in events(path)] == [None]
    (path / STATE).write_bytes(good)
    looked(path, "nothing")
    [event] = events(path)
    assert event.ended_at is not None
    assert event.recovery_action is None
    looked(path, "nothing")
    assert len([core for core in journal(path) if core["op"].startswith("corruption.")]) == 2


def test_damage_that_its_writer_mends(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        put(path / STATE, b'{"bot_status": ')
        list(one.some({STATE}))
        put(path / STATE, {"bot_status": "running"})
        assert [line["rule"] for line in of(list(one.some({STATE})), "resolved")] == ["MB103"]
    [event] = events(path)
    assert (event.recovery_action, event.recovery_success) == ("none without loss", False)
    assert event.ended_at is not None


def test_a_store_that_is_damaged_meanwhile_is_put_aside(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        one.store().db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        place = path / layout.FINDINGS
        place.write_bytes(place.read_bytes()[:1_000] + b"\xff" * 60_000)
        one.store().db.close()
        one._store = None
        pad(path / STATE)
        assert [line["path"] for line in of(list(one.everything()), "recovered")] == [STATE]
    assert [file.name.startswith("findings-") for file in (path / layout.QUARANTINE).glob("*.sqlite")] == [True]


def test_an_account_that_could_not_be_kept_is_made_up_for(make_bank: MakeBank) -> None:
    """Neither in the store, nor in the journal: both have it once they can be written again."""
    path = make_bank(2, padded=False)
    put(path / STATE, b'{"bot_status": ')
    with watched(path) as one:
        one.store().db.execute("PRAGMA query_only=1")
        list(one.everything())
        assert corruption.events(one.store()) == []
        one.store().db.execute("PRAGMA query_only=0")
        with opened(path) as holder, holder.locked():
            one.bank.lock_timeout = 0.05
            list(one.everything())
        assert [event.rule for event in corruption.events(one.store())] == ["MB103"]
        assert "corruption.detected" not in [core["op"] for core in journal(path)]
        list(one.everything())
        put(path / STATE, {"bot_status": "running"})
        list(one.everything())
    told = [core for core in journal(path) if core["op"].startswith("corruption.")]
    assert [core["op"] for core in told] == ["corruption.detected", "corruption.ended"]
    assert len({core["events"][0]["corruption_id"] for core in told}) == 1


def test_where_the_account_cannot_be_kept_damage_is_cured_all_the_same(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    pad(path / STATE)
    with watched(path) as one:
        one.store().db.execute("PRAGMA query_only=1")
        [recovered] = of(list(one.everything()), "recovered")
    assert "corruption_id" not in recovered


@pytest.mark.parametrize("change", ["DROP TABLE corruption_events", "DELETE FROM corruption_events"])
def test_an_account_that_is_removed_meanwhile_is_begun_anew(make_bank: MakeBank, change: str) -> None:
    path = make_bank(2, padded=False)
    put(path / STATE, b'{"bot_status": ')
    with watched(path) as one:
        list(one.everything())
        one.store().db.execute(change)
        for ending in ("", "-wal", "-shm"):
            (path / f"{layout.FINDINGS}{ending}").unlink()
        list(one.everything())
    assert [event.rule for event in events(path)] == ["MB103"]


def test_a_damaged_journal_says_nothing_and_stops_nothing(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    segment = journal_file(path)
    segment.write_bytes(segment.read_bytes().replace(b'"actor":"', b'"actor":"x', 1))
    for name in (path / ".memorybank").glob("catalog*"):
        name.unlink()
    put(path / "trades/half.json", json.dumps(trade(9)).encode()[:-9])
    lines = looked(path)
    assert "MB120" in {one["finding"]["rule"] for one in of(lines, "finding")}
    assert {"MB120"} <= {one.rule for one in events(path)}
