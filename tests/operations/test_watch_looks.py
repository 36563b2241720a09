"""What watch makes of what it sees: mass changes, permissions, clocks that jump, looks that fail, and who leads."""

from __future__ import annotations

import math
import os
import shutil
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import layout, turns
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base import clock
from memorybank_cli.base.errors import BankNotFound, Locked
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity import limits, requests, watcher
from memorybank_cli.integrity.limits import Load
from memorybank_cli.integrity.permissions import Permissions
from memorybank_cli.integrity.watcher import Batch
from memorybank_cli.operations import watch_failing, watch_looks, watching
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.companions import Company
from memorybank_cli.operations.rollback import rollback
from memorybank_cli.operations.watch import watch
from memorybank_cli.operations.watch_telling import Line
from memorybank_cli.operations.watching import Watching
from tests.conftest import MakeBank, trade
from tests.decoys import passwd
from tests.operations.banks import adopt, contents, journal, journal_file, opened, put
from tests.operations.owners import OWNER, as_root, give_away, own_ids_again, public_place

EVERYTHING = Batch(frozenset(), frozenset(), True, None)
PATIENCE = 30.0


@contextmanager
def watched(path: Path, **options: Any) -> Iterator[Watching]:
    with opened(path, **options) as bank:
        one = Watching(bank, bank.context, adopt=True)
        try:
            yield one
        finally:
            one.close()


def of(lines: list[Line], kind: str) -> list[Line]:
    return [one for one in lines if one["type"] == kind]


def found(lines: list[Line]) -> dict[str, str]:
    return {one["path"]: one["finding"]["rule"] for one in of(lines, "finding")}


def kinds(lines: list[Line]) -> list[str]:
    return [one["type"] for one in lines if one["type"] != "looked"]


# Mass changes


@pytest.fixture
def many(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MEMORYBANK_WATCH_MASS_FILES", "20")
    return make_bank(40, padded=False)


def test_a_mass_deletion_is_one_finding_whose_hint_brings_everything_back(many: Path) -> None:
    before = contents(many)
    with watched(many) as one:
        list(one.everything())
        for number in range(30):
            (many / f"trades/trade_{number}.json").unlink()
        lines = list(one.some({f"trades/trade_{number}.json" for number in range(30)}))
        assert found(lines) == {"trades": "MB117"}
        assert len(of(lines, "changed")) == 30
        [mass] = [line["finding"] for line in of(lines, "finding")]
        assert "30 recorded files of 45" in mass["message"]
        assert found(list(one.everything())) == {}
        words = mass["hint"].split()
        moment, place = words[words.index("--at") + 1], words[words.index("--path") + 1]
        with opened(many) as bank:
            rollback(bank, at=moment, path=(place,), yes=True)
        assert contents(many).items() >= {k: v for k, v in before.items() if k.startswith("trades")}.items()
        one.bank.refresh()
        assert [line["rule"] for line in of(list(one.everything()), "resolved")] == ["MB117"]


def test_what_comes_slowly_is_told_one_by_one_until_it_is_many(many: Path) -> None:
    with watched(many) as one:
        list(one.everything())
        told = []
        for number in range(30):
            (many / f"trades/trade_{number}.json").unlink()
            told += list(one.some({f"trades/trade_{number}.json"}))
        rules = [line["finding"]["rule"] for line in of(told, "finding")]
        assert rules == ["MB111"] * 19 + ["MB117"]
        assert of(list(one.everything()), "finding") == []
        with opened(many) as bank:
            accept(bank, "trades")
        one.bank.refresh()
        resolved = of(list(one.everything()), "resolved")
        assert {line["rule"] for line in resolved} == {"MB111", "MB117"}  # it was meant, so it is over


def test_ransomware_is_one_finding_and_nothing_is_cured_meanwhile(many: Path) -> None:
    with opened(many) as bank, closing_watch(bank, heal="all") as one:
        list(one.everything())
        for number in range(30):
            put(many / f"trades/trade_{number}.json", os.urandom(300))
        lines = list(one.everything())
        assert found(lines) == {"trades": "MB117"}
        assert of(lines, "recovered") == []
        assert of(lines, "adopted") == []


@contextmanager
def closing_watch(bank: Bank, heal: str) -> Iterator[Watching]:
    one = Watching(bank, bank.context, adopt=True, heal=heal)
    try:
        yield one
    finally:
        one.close()


def test_many_new_files_are_none(many: Path) -> None:
    with watched(many) as one:
        list(one.everything())
        for number in range(100):
            put(many / f"trades/new_{number}.json", trade(100 + number))
        assert found(list(one.everything())) == {}
        for number in range(40):
            put(many / f"trades/half_{number}.json", b"{")
        assert set(found(list(one.everything())).values()) == {"MB103"}


def test_what_was_gone_before_it_began_is_one_finding_too(many: Path) -> None:
    shutil.rmtree(many / "trades")
    with watched(many) as one:
        assert found(list(one.everything())) == {"trades": "MB117"}


# Permissions


def test_permissions_are_told_at_once_and_gone_at_once(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    target = "trades/trade_1.json"
    with watched(path) as one:
        list(one.everything())
        (path / target).chmod(0o666)
        assert found(list(one.some({target}))) == {target: "MB308"}
        assert kinds(list(one.everything())) == []
        assert kinds(list(one.some({"trades"}))) == []
        (path / target).chmod(0o600)
        assert [line["rule"] for line in of(list(one.some({target})), "resolved")] == ["MB308"]


def test_a_new_link_is_told(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        (path / "trades/link.json").symlink_to(passwd(path))
        assert found(list(one.some({"trades/link.json"}))) == {"trades/link.json": "MB305"}


# Files that are being written


def test_what_has_not_settled_is_left_to_a_later_batch(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        with (path / "state/state.json").open("wb", buffering=0) as file:
            file.write(b'{"bot_status": ')
            assert kinds(list(one.everything())) == []
            file.write(b'"running"}')
        batch = one.watcher.next(PATIENCE)
        assert batch is not None
        assert kinds(list(one._batch(batch))) == ["changed", "adopted"]


def test_what_came_and_went_before_anybody_recorded_it(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        monkeypatch.setattr(one.acting._adopter, "adopt", lambda _changes: [])
        put(path / "trades/short.json", trade(9))
        assert kinds(list(one.some({"trades/short.json"}))) == ["changed"]
        (path / "trades/short.json").unlink()
        [line] = of(list(one.some({"trades"})), "changed")
        assert (line["change"], line["path"], line["after"]) == ("removed", "trades/short.json", None)
        assert kinds(list(one.everything())) == []


def test_the_records_of_a_change_are_told(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        put(path / "state/state.json", {"bot_status": "stopped", "last_update": "2025-04-08T01:00:34Z"})
        [line] = of(list(one.some({"state/state.json"})), "changed")
        assert line["records"]["changed"] == ["bot_status"]


# Clocks


@pytest.mark.parametrize("jump", [-86_400 * 365, 86_400 * 365])
def test_a_clock_that_jumps_fires_and_resolves_nothing(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    path = make_bank(2)
    real_ns, real = time.time_ns, clock.now
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + jump * clock.SECOND_NS)
        monkeypatch.setattr(clock, "now", lambda: clock.from_ns(time.time_ns()))
        assert one.watcher.next(0.05) is None
        assert kinds(list(one.everything())) == []
        put(path / "trades/new.json", trade(9))
        batch = one.watcher.next(PATIENCE)
        assert batch is not None
        assert batch.gap is None
        assert kinds(list(one._batch(batch))) == ["changed", "adopted"]
    assert real() < "2100"


def test_a_process_that_was_stopped_for_long_was_blind(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        monkeypatch.setattr(watcher, "LATE", 0.1)
        before = clock.now()
        time.sleep(0.2)
        batch = one.watcher.next(PATIENCE)
        assert batch is not None
        assert batch.full
        assert batch.gap is not None
        assert batch.gap[0] <= before < batch.gap[1]
        monkeypatch.undo()
        assert one.watcher.next(0.05) is None


def test_polling_that_takes_long_is_not_blind(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    with closing(Root(path)) as root:
        polling = watcher.Watcher(root, backend="polling", reconcile=3_600)
        polling.arm()
        monkeypatch.setattr(watcher, "LATE", 0.01)
        time.sleep(0.05)
        assert polling.next(0.02) is None
        polling.close()


# Looks that fail


def test_a_disk_without_room_is_said_and_looked_at_again(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    monkeypatch.setattr(watch_failing, "AGAIN", 0.0)
    with watched(path) as one:
        one.company = Company(one.bank, True, [])
        list(one.everything())
        real, fails = Scanner.run_on, [sqlite3.OperationalError("database or disk is full"), Locked("kept")]

        def run_on(self: Any, paths: Any) -> Any:
            if fails:
                raise fails.pop()
            return real(self, paths)

        monkeypatch.setattr(Scanner, "run_on", run_on)
        lines = list(one.failing.enduring(one.some({"state/state.json"})))
        assert found(lines) == {"": "MB526"}
        assert of(list(one._beside()), "health")[0]["status"] == "error"
        assert found(list(one.failing.enduring(one.some({"state/state.json"})))) == {}
        assert one.failing.again_at < math.inf
        lines = list(one.failing.enduring(one.everything()))
        assert [line["rule"] for line in of(lines, "resolved")] == ["MB526"]
        assert one.failing.again_at == math.inf


def test_a_catalog_that_is_damaged_meanwhile_is_made_again(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())

        broken = failing(sqlite3.DatabaseError("database disk image is malformed"))
        assert found(list(one.failing.enduring(broken))) == {"": "MB526"}
        monkeypatch.undo()
        assert "resolved" in kinds(list(one.everything()))


def test_a_store_that_another_process_keeps_is_waited_for(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
    monkeypatch.setattr(watching, "PATIENCE", 0.05)
    with closing(sqlite3.connect(path / layout.FINDINGS, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode=EXCLUSIVE")
        other.execute("INSERT INTO ownership VALUES ('x', 1, '[]')")
        with watched(path) as one:
            assert found(list(one.failing.enduring(one.everything()))) == {"": "MB526"}
            other.close()
            assert "resolved" in kinds(list(one.failing.enduring(one.everything())))
            assert not one.store().lost


def test_a_catalog_that_cannot_be_made_again_now_is_made_again_later(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one, opened(path) as holder:
        list(one.everything())
        one.bank.lock_timeout = 0.05
        with holder.locked():
            broken = failing(sqlite3.DatabaseError("database disk image is malformed"))
            assert found(list(one.failing.enduring(broken))) == {"": "MB526"}
        assert "resolved" in kinds(list(one.failing.enduring(one.everything())))


def test_what_the_system_refuses_does_not_end_it(make_bank: MakeBank) -> None:
    with watched(make_bank(1)) as one:
        lines = list(one.failing.enduring(failing(OSError(13, "Permission denied", "trades"))))
        assert found(lines) == {"": "MB526"}
        assert of(lines, "finding")[0]["finding"]["hint"] == "check the owner and the mode of the path"
        assert one.failing.again_at < math.inf
        with pytest.raises(ZeroDivisionError):  # a defect does
            list(one.failing.enduring(failing(ZeroDivisionError())))


def test_a_bank_that_goes_while_it_is_looked_at_is_gone(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with watched(path) as one:
        path.rename(path.with_name("moved"))
        with pytest.raises(BankNotFound, match="went away"):
            list(one.failing.enduring(failing(FileNotFoundError(2, "No such file"))))
        path.with_name("moved").rename(path)


def test_a_bank_that_may_not_be_read_any_more_is_gone_too(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    with watched(make_bank(1)) as one:
        monkeypatch.setattr(watch_failing, "may", lambda *_: False)
        with pytest.raises(BankNotFound, match="may not be read any more") as caught:
            list(one.failing.gone())
        assert caught.value.hint == "check the owner and the mode of the directory"


def failing(error: Exception) -> Iterator[Line]:
    """A look that fails after its first line."""
    yield {"type": "looked", "ts": ""}
    raise error


def test_limits_that_are_near_are_findings(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(1, padded=False)
    asked: list[Load] = []

    def findings(load: Load, _slow: float) -> list[Finding]:
        asked.append(load)
        return [Finding("MB521", "many watches", "")]

    with watched(path) as one:
        one.watcher.arm()
        monkeypatch.setattr(limits, "findings", findings)
        assert found(list(one._timed(one.everything()))) == {"": "MB521"}
        assert one.looks.slowest > 0
        list(one.everything())
        assert asked[1].seconds > 0
        assert asked[1].backend in ("inotify", "polling")
        monkeypatch.undo()
        assert [line["rule"] for line in of(list(one.everything()), "resolved")] == ["MB521"]


def test_what_is_written_while_everything_is_looked_at_is_left_to_a_later_batch(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(2, padded=False)
    real = Scanner.run

    def run(self: Scanner) -> Any:
        (path / "state/state.json").write_bytes(b'{"bot_status": ')  # its writer is not done
        return real(self)

    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        monkeypatch.setattr(Scanner, "run", run)
        assert found(list(one.everything())) == {}
        put(path / "state/state.json", {"bot_status": "running"})
        monkeypatch.undo()
        assert found(list(one.everything())) == {}


@as_root
@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_directory_that_cannot_be_read_any_more_is_a_finding_and_no_end(make_bank: MakeBank, mode: int) -> None:
    with public_place() as place, own_ids_again():
        path = Path(shutil.move(make_bank(3, padded=False), place / "bank"))
        with watched(path) as one:
            list(one.everything())
            give_away(path)
            os.seteuid(OWNER)  # from now on modes count
            (path / "trades").chmod(mode)
            for hints in ({"trades"}, {"trades/trade_1.json"}, {"trades", "trades/trade_1.json"}):
                list(one.some(frozenset(hints)))
                assert {finding.path for finding in one.teller.open.values() if finding.rule == "MB307"} == {"trades"}
            assert not one.teller.knows("MB111")
            (path / "trades").chmod(0o700)
            list(one.some({"trades"}))
            assert not one.teller.knows("MB307")
            os.seteuid(0)


@pytest.mark.parametrize("what", ["link", "file"])
def test_what_stood_below_a_directory_is_gone_when_something_else_stands_there(make_bank: MakeBank, what: str) -> None:
    path = make_bank(3, padded=False)
    with watched(path) as one:
        list(one.everything())
        (path / "trades").rename(path.with_name("away"))
        if what == "link":
            (path / "trades").symlink_to(path.with_name("away"))
        else:
            (path / "trades").write_bytes(b"x")
        lines = list(one.some({"trades"}))
        assert [line["path"] for line in of(lines, "finding") if line["finding"]["rule"] == "MB111"] == [
            f"trades/trade_{number}.json" for number in range(3)
        ]
        assert of(list(one.some({"trades"})), "resolved") == []


def test_what_cannot_be_adopted_has_everything_looked_at_soon(make_bank: MakeBank) -> None:
    """The journal is damaged, which only a look at everything tells."""
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        segment = journal_file(path)
        segment.write_bytes(segment.read_bytes()[:200])
        put(path / "trades/new.json", trade(9))
        list(one._batch(EVERYTHING._replace(full=False, paths=frozenset({"trades/new.json"}))))
        assert one.failing.again_at < math.inf
        assert one.teller.knows("MB120", "MB121") is False
        list(one.everything())
        assert one.teller.knows("MB120", "MB121")
        list(one.some({"trades/new.json"}))
        assert one.failing.again_at == math.inf


@pytest.mark.parametrize(
    "damage",
    ["DROP TABLE ownership", "UPDATE ownership SET groups='{['", "UPDATE ownership SET groups=x'ff00', newest='abc'"],
)
def test_a_store_with_rows_that_nobody_wrote_does_not_keep_it_from_beginning(make_bank: MakeBank, damage: str) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as one:
        list(one.everything())
        one.store().db.execute(damage)
    with watched(path) as one:
        list(one.everything())
        assert one.store().lost
    with watched(path) as one:
        list(one.everything())
        assert not one.store().lost


def test_it_is_ready_when_a_look_succeeded(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    monkeypatch.setattr(watch_failing, "AGAIN", 0.0)
    real, fails = Scanner.run, [OSError(5, "Input/output error")] * 2

    def run(self: Scanner) -> Any:
        if fails:
            raise fails.pop()
        return real(self)

    monkeypatch.setattr(Scanner, "run", run)
    with watched(path) as one:
        lines = []
        for line in one.run(once=False):
            lines.append(line)
            if line["type"] == "ready":
                one.stop("enough")
    said = [kind for kind in kinds(lines) if kind in ("ready", "resolved", "finding")]
    assert said[0] == "finding"
    assert said[-1] == "ready"
    assert found(lines)[""] in ("MB526", "MB501")
    assert "MB526" in [line["rule"] for line in of(lines, "resolved")]


def test_the_health_is_unknown_until_all_is_looked_at_and_the_same_for_who_follows(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    with watched(path) as first, watched(path) as second:
        runs = []
        for one in (first, second):
            runs.append(one.run(once=False))  # it goes on: the second one is to find the first
            lines = [next(runs[-1])]
            while lines[-1]["type"] != "health" or lines[-1]["status"] == "unknown":
                lines.append(next(runs[-1]))
            health = [line["status"] for line in of(lines, "health")]
            assert (health[0], health[-1]) == ("unknown", "degraded")
            assert found(lines) == {"": "MB501"}
        assert (first._role, second._role) == ("leading", "following")


# Who leads, and who asks


def test_another_directory_in_the_banks_place_is_not_watched(make_bank: MakeBank) -> None:
    path, other = make_bank(1, padded=False), make_bank(1, padded=False, name="other")
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        path.rename(path.with_name("moved"))
        other.rename(path)
        lines: list[Line] = []
        gap = EVERYTHING._replace(gap=("2026-11-20T14:00:00Z", "2026-11-20T14:00:05Z"))
        with pytest.raises(BankNotFound, match="another directory"):
            lines.extend(one._batch(gap))
        path.rename(other)
        path.with_name("moved").rename(path)


def test_where_nobody_watches_sync_looks_itself(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    put(path / "trades/new.json", trade(9))
    with opened(path) as bank:
        lines = list(watch(bank, bank.context, sync=True))
    assert lines[-1]["type"] == "synced"
    assert lines[-1]["by"] == "own"
    assert "adopted" in kinds(lines)


def test_a_watch_that_does_not_answer_is_an_error_and_the_request_is_taken_back(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as one:
        assert one.lead.take()
        with opened(path, lock_timeout=0.1) as bank, pytest.raises(Locked, match=r"did not answer within 0\.1 s"):
            list(watch(bank, bank.context, sync=True))
        assert requests.waiting(one.bank.root) == []


def test_a_request_waits_for_what_is_being_written(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        name = requests.ask(one.bank.root)
        with (path / "state/state.json").open("wb", buffering=0) as file:
            file.write(b'{"bot_status": ')
            list(one.everything())
            assert not requests.is_answered(one.bank.root, name)
            file.write(b'"running"}')
        for _ in range(50):
            list(one._step())
            if requests.is_answered(one.bank.root, name):
                break
        assert requests.is_answered(one.bank.root, name)
        assert "state/state.json" in {row[0] for core in journal(path) for row in core.get("files", ())}


def test_one_that_follows_adopts_nothing_until_it_leads(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as first, watched(path) as second:
        assert first.lead.take()
        second.leads = second.lead.take()
        assert second._ready()["role"] == "following"
        put(path / "trades/new.json", trade(9))
        assert kinds(list(second.everything())) == ["changed"]
        first.close()
        lines = list(second._beside())
        assert [line["role"] for line in of(lines, "role")] == ["leading"]
        assert "trades/new.json" in of(list(second._step()), "adopted")[0]["paths"]


def test_whoever_removes_the_lock_does_not_make_two_lead(make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as first, watched(path) as second:
        assert first.lead.take()
        (path / requests.LOCK).unlink()
        assert second.lead.take()
        list(first._beside())
        assert (first.leads, second.lead.take()) == (False, True)
        second.close()
        assert [line["role"] for line in of(list(first._beside()), "role")] == ["leading"]


def test_a_request_that_nobody_can_answer_is_looked_for_once(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bank(1, padded=False)
    with watched(path) as one:
        assert one.lead.take()
        (path / layout.WATCH / "ask-directory").mkdir()
        assert one.lead.asked() == []
        name = requests.ask(one.bank.root)
        assert one.lead.asked() == [name]

        def refuse(_root: Root, path: str) -> None:
            raise PermissionError(13, "Permission denied", path)

        monkeypatch.setattr(requests, "answer", refuse)
        list(one.everything())
        assert one.lead.asked() == []


def test_what_others_record_is_looked_at_soon(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    put(path / "trades/trade_1.json", {**trade(1), "net_profit": 9})
    with watched(path) as one:
        list(one.everything())
        assert one._recorded() == set()
        put(path / "trades/other.json", trade(7))
        adopt(path)
        assert one._recorded() == set()
        with opened(path) as bank:
            accept(bank, "trades/trade_1.json")
        changed = one._recorded()
        assert changed == {"trades/trade_1.json"}
        assert [line["rule"] for line in of(list(one.some(changed)), "resolved")] == ["MB113"]


def test_damage_is_seen_twice_before_it_is_told_but_not_where_it_was_renamed_into_place(make_bank: MakeBank) -> None:
    path = make_bank(2, padded=False)
    target = "state/state.json"
    some = EVERYTHING._replace(full=False, paths=frozenset({target}))
    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        put(path / target, b'{"bot_status": ')
        first = one.watcher.next(PATIENCE)
        assert first is not None
        assert kinds(list(one._batch(first))) == []
        second = one.watcher.next(PATIENCE)
        assert second is not None
        assert second.paths == {target}
        assert found(list(one._batch(second))) == {target: "MB103"}
        put(path / target, {"bot_status": "running"})
        assert "resolved" in kinds(list(one._batch(some)))
        put(path / target, b"{")
        assert found(list(one._batch(some._replace(complete=frozenset({target}))))) == {target: "MB103"}


def test_a_store_that_cannot_be_read_is_put_aside(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_bank(2, padded=False)
    tries: list[int] = []

    def permissions(*arguments: Any, **options: Any) -> Any:
        tries.append(1)
        if len(tries) == 1:
            raise sqlite3.DatabaseError("malformed")
        return Permissions(*arguments, **options)

    monkeypatch.setattr(watch_looks, "Permissions", permissions)
    with watched(path) as one:
        list(one.everything())
        assert one.store().lost
        assert not one.store().in_memory


def test_a_large_bank_is_gone_into_by_turns_unless_something_may_have_been_missed(
    make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "AT_ONCE", 1)
    path = make_bank(2, padded=False)
    for place in (path / "trades", *(path / "trades").rglob("*/")):
        os.utime(place, (1, 1))
    monkeypatch.setattr(turns, "_TICK_NS", -(10**12))  # their ctime is that of just now
    monkeypatch.setattr(turns.Turns, "_is_its_turn", lambda *_: False)
    reconcile = Batch(frozenset(), frozenset(), full=True, gap=None)

    def passed(batch: Batch) -> bool:
        list(one._batch(batch))
        return bool(one.looks._turns.passed)

    with watched(path) as one:
        one.watcher.arm()
        list(one.everything())
        assert passed(reconcile)
        assert not passed(reconcile._replace(gap=("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z")))
        assert passed(reconcile)
        one.leads = one.lead.take()
        requests.ask(one.bank.root)
        assert not passed(reconcile)
        with monkeypatch.context() as patch:
            patch.setattr(one.watcher, "unwatched", lambda: frozenset({"trades"}))
            assert not passed(reconcile)


def test_the_banks_documents_are_kept_up_to_date(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_DOCUMENTS_SECONDS", "0")
    path = make_bank(2, padded=False)
    put(path / "trades/new.json", trade(9))
    with watched(path) as one:
        list(one.everything())
    assert "| trade | built in | 3 |" in (path / "README.md").read_text()
