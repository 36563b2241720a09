from __future__ import annotations

import errno
import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.bank import layout
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.chain import START, Reading
from memorybank_cli.bank.replacing import BEGIN, END, Replacement, digest_there, replace_files, replacing
from memorybank_cli.bank.scan import Scanner
from memorybank_cli.base import digests, files, libc
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import JournalDamaged, OperationFailed
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.opening import open_bank
from tests.broken_os import Fault, broken, failing, full_after, interrupted, killed, put_back, stop
from tests.conftest import MakeBank
from tests.faults.disks import can_mount, small_disk
from tests.operations.owners import OWNER, give_away, own_ids_again

STATE, TRADE, RECENT, FRESH = (
    "state/state.json",
    "trades/trade_0.json",
    "trades/recent_trades.json",
    "trades/a/new.json",
)
UNKNOWN = b'{"written": "after the last look"}'
NEW = b'{"new": 1}'
MTIME = 1_700_000_000_000_000_000
WANTED = {STATE: b'{"bot_status": "restored"}', TRADE: None, RECENT: b'{"trades": []}', FRESH: b'{"fresh": 1}'}


def wanted() -> Iterator[Replacement]:
    for path, content in WANTED.items():
        yield Replacement(path, content, 0o640, MTIME, "kind", ("MB202",) if path == FRESH else ())


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank in which one file holds bytes that nobody recorded."""
    bank = make_bank()
    (bank / STATE).write_bytes(UNKNOWN)
    return bank


@pytest.fixture
def bank(path: Path) -> Iterator[Bank]:
    opened = open_bank(Context(bank=str(path)))
    yield opened
    opened.close()


def content(path: Path) -> dict[str, bytes | None]:
    return {name: (path / name).read_bytes() if (path / name).exists() else None for name in WANTED}


def quarantined(path: Path) -> list[bytes]:
    return [one.read_bytes() for one in sorted((path / layout.QUARANTINE).glob("*"))]


def stages(path: Path) -> list[Path]:
    return list((path / layout.SCRATCH).glob("*"))


def events(bank: Bank) -> dict[str, list[str]]:
    """Ids of replacements that were begun and ended."""
    return {op: [line.core["id"] for line in bank.journal.lines() if line.op == op] for op in (BEGIN, END)}


def test_files_are_replaced_removed_and_made(bank: Bank, path: Path) -> None:
    before = content(path)
    done = replace_files(bank, wanted(), "test", extra="field")
    assert content(path) == WANTED
    assert done.restored == [STATE, RECENT, FRESH]
    assert done.removed == [TRADE]
    assert sorted(done.kept) == sorted([STATE, TRADE, RECENT])
    for name, place in done.kept.items():
        assert (path / place).read_bytes() == before[name]
    assert stages(path) == []
    assert stat.S_IMODE((path / FRESH).stat().st_mode) == 0o640
    assert (path / FRESH).stat().st_mtime_ns == MTIME
    begin, end = (next(line for line in bank.journal.lines() if line.op == op) for op in (BEGIN, END))
    assert begin.core["id"] == end.core["id"]
    assert (begin.core["reason"], begin.core["extra"], end.core["extra"]) == ("test", "field", "field")
    assert end.core["kept"] == done.kept
    for name, data in WANTED.items():
        expected = bank.catalog.row(name).expected
        assert (expected.sha if expected else None) == (digests.of(data) if data is not None else None)
    fresh = bank.catalog.row(FRESH).expected
    assert fresh is not None
    assert (fresh.mode, fresh.kind, fresh.rules, fresh.size) == (0o640, "kind", ("MB202",), len(WANTED[FRESH] or b""))


def test_without_keep_only_what_was_not_recorded_goes_to_quarantine(bank: Bank, path: Path) -> None:
    done = replace_files(bank, wanted(), "test", keep=False)
    assert content(path) == WANTED
    assert list(done.kept) == [STATE]
    assert quarantined(path) == [UNKNOWN]


def test_where_the_system_cannot_exchange(bank: Bank, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libc, "renameat2_call", lambda: None)
    before = content(path)
    done = replace_files(bank, wanted(), "test")
    assert content(path) == WANTED
    assert {name: (path / place).read_bytes() for name, place in done.kept.items()} == {
        name: data for name, data in before.items() if data is not None
    }


def test_nothing_wanted_is_nothing_done(bank: Bank, path: Path) -> None:
    end = bank.end
    assert replace_files(bank, [], "test") == ([], [], {})
    assert bank.end == end
    assert stages(path) == []


def test_what_is_no_file_is_moved_away_whole(bank: Bank, path: Path) -> None:
    names = [f"trades/odd_{number}.json" for number in range(3)]
    (path / names[0]).symlink_to("nowhere")
    (path / names[1]).symlink_to("elsewhere")
    (path / names[2]).mkdir()
    (path / names[2] / "inside").write_bytes(b"kept")
    assert digest_there(bank, names[0]) is None
    done = replace_files(bank, [Replacement(name, b"{}") for name in names], "test")
    assert all((path / name).read_bytes() == b"{}" for name in names)
    assert len(set(done.kept.values())) == 3
    assert os.readlink(path / done.kept[names[0]]) == "nowhere"
    assert os.readlink(path / done.kept[names[1]]) == "elsewhere"
    assert (path / done.kept[names[2]] / "inside").read_bytes() == b"kept"


STAGING: dict[str, Callable[[], dict[str, Fault]]] = {
    "no room": lambda: {"write": full_after(30)},
    "fsync": lambda: {"fsync": failing(errno.EIO, 4)},
    "mkdir": lambda: {"mkdir": failing(errno.ENOSPC)},
    "journal": lambda: {"fdatasync": failing(errno.EIO)},
}


@pytest.mark.parametrize("fault", STAGING)
def test_a_failure_before_the_swap_changes_nothing(bank: Bank, path: Path, fault: str) -> None:
    before, events_before = content(path), events(bank)
    with broken(**STAGING[fault]()), pytest.raises(OSError, match="Errno"):
        replace_files(bank, wanted(), "test")
    assert content(path) == before
    assert stages(path) == []
    assert events(bank) == events_before
    assert quarantined(path) == []
    bank.refresh()
    assert bank.breaks() == []
    assert bank.journal.tail is None
    replace_files(bank, wanted(), "test")
    assert content(path) == WANTED


def test_a_failure_in_the_swap_is_finished_at_the_next_opening(bank: Bank, path: Path) -> None:
    with broken(rename=failing(errno.EIO, 3)) as calls, pytest.raises(OSError, match="Errno"):
        replace_files(bank, wanted(), "test")
    assert calls.calls.count("rename") == 3
    assert len(stages(path)) == 1
    again = open_bank(Context(bank=str(path)))
    assert content(path) == WANTED
    assert UNKNOWN in quarantined(path)
    assert stages(path) == []
    assert events(again)[BEGIN] == events(again)[END]
    again.close()


def test_nothing_is_replaced_on_a_damaged_journal(bank: Bank, path: Path) -> None:
    before = content(path)
    segment = path / layout.segment_file(1)
    segment.write_bytes(b"x" + segment.read_bytes())
    bank.rebuild_catalog()
    with pytest.raises(JournalDamaged):
        replace_files(bank, wanted(), "test")
    assert content(path) == before
    assert stages(path) == []


class Scene:
    """A bank that is put back before each step."""

    def __init__(self, path: Path, home: Path, store: Path) -> None:
        self.places = {path: store / "bank", home: store / "home"}
        self.path = path
        for place, copy in self.places.items():
            shutil.copytree(place, copy, symlinks=True)
        self.before = content(path)

    def reset(self) -> None:
        put_back(self.places)

    def replace(self, keep: bool) -> None:
        bank = open_bank(Context(bank=str(self.path)))
        replace_files(bank, wanted(), "test", keep)
        bank.close()

    def check_halfway(self) -> None:
        """Every file is there and wholly old or new."""
        for name, found in content(self.path).items():
            assert found in {self.before[name], WANTED[name]}, name

    def check_after(self) -> bool:
        """All is old or all is new once the bank was opened again; whether it is new."""
        bank = open_bank(Context(bank=str(self.path)))
        try:
            begun, ended = events(bank).values()
            assert begun == ended
            assert content(self.path) == (WANTED if ended else self.before)
            assert stages(self.path) == []
            kept = quarantined(self.path)
            assert (UNKNOWN in kept) == bool(ended)
            assert len(kept) == len(set(kept))
            scan = Scanner(bank).run()
            assert {one.path for one in scan.changes} & set(WANTED) <= ({STATE} if not ended else set())
            *_, reading = bank.journal.read(START, bank.home.mark())
            assert isinstance(reading, Reading)
            assert reading.breaks == ()
            assert list(self.path.rglob(f"{files.TEMPORARY}*")) == [] or not ended
            return bool(ended)
        finally:
            bank.close()


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_kill_at_any_step_leaves_all_or_nothing(
    path: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchange: bool, keep: bool
) -> None:
    if not exchange:
        monkeypatch.setattr(libc, "renameat2_call", lambda: None)
    scene = Scene(path, home, tmp_path / "store")
    outcomes, step = [], 0 if keep else -1
    while True:
        step += 2  # odd steps with one kind of keeping, even ones with the other
        reached = killed(lambda: scene.replace(keep), step)
        if exchange or not reached:
            scene.check_halfway()
        outcomes.append(scene.check_after())
        if not reached:
            break
        scene.reset()
    assert step > 40
    assert outcomes == sorted(outcomes)
    assert outcomes.count(True) > 5


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.no_cover
def test_a_kill_in_the_recovery_is_recovered_too(path: Path, home: Path, tmp_path: Path) -> None:
    scene = Scene(path, home, tmp_path / "store")
    step = 0
    while not (events_of(path)[BEGIN] and len(stages(path)) == 1):
        scene.reset()
        step += 1
        assert killed(lambda: scene.replace(keep=True), step)
    halfway = Scene(path, home, tmp_path / "halfway")
    halfway.before = scene.before
    step = 0
    while True:
        step += 2
        reached = killed(lambda: open_bank(Context(bank=str(path))).close(), step)
        halfway.check_halfway()
        assert halfway.check_after()
        if not reached:
            break
        halfway.reset()
    assert step > 10


def events_of(path: Path) -> dict[str, list[str]]:
    bank = Bank(str(path), Context())
    try:
        return events(bank)
    finally:
        bank.abandon()


@pytest.mark.parametrize("fraction", range(1, 8))
def test_an_interruption_leaves_all_or_nothing(path: Path, home: Path, tmp_path: Path, fraction: int) -> None:
    scene = Scene(path, home, tmp_path / "store")
    for step in range(fraction, 70, 7):
        interrupted(lambda: scene.replace(keep=True), step, stop)
        scene.check_halfway()
        bank = open_bank(Context(bank=str(path)))
        assert content(path) in (scene.before, WANTED)
        assert stages(path) == []
        assert bank.breaks() == []
        bank.close()
        scene.reset()


class _Notes(Progress):
    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)


@pytest.mark.parametrize("there", [True, False])
def test_what_somebody_wrote_since_it_was_staged_is_kept_and_told(path: Path, there: bool) -> None:
    place, notes = path / "state" / "shared.json", _Notes()
    if there:
        place.write_bytes(b'{"n": 1}\n')
    bank = open_bank(Context(bank=str(path), progress=notes))
    Scanner(bank).run()
    with replacing(bank, "test", keep=False) as act:
        act.put(Replacement("state/shared.json", b'{"n": 2}\n'), digest_there(bank, "state/shared.json"))
        place.write_bytes(b'{"n": "theirs"}\n')
        kept = act.carry_out().kept["state/shared.json"]
    bank.close()
    assert (path / kept).read_bytes() == b'{"n": "theirs"}\n'
    assert place.read_bytes() == b'{"n": 2}\n'
    assert [text for text in notes.texts if kept in text and "by somebody else" in text]


def test_what_is_written_while_a_file_is_removed_stays(bank: Bank, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer replaces its file by rename just when what was read of it is held against what was recorded."""
    Scanner(bank).run()
    theirs = path / "theirs"

    def read_and_written(of: Bank, place: str) -> str | None:
        digest = digest_there(of, place)
        theirs.write_bytes(b'{"n": "theirs"}')
        theirs.rename(path / TRADE)
        return digest

    before = digest_there(bank, TRADE)
    monkeypatch.setattr("memorybank_cli.bank.replacing.digest_there", read_and_written)
    with replacing(bank, "test", keep=False) as act:
        act.put(Replacement(TRADE, None), before)
        act.carry_out()
    assert (path / TRADE).read_bytes() == b'{"n": "theirs"}'


@pytest.mark.parametrize("content", [b'{"n": 2}', None])
def test_what_is_taken_away_meanwhile_stops_nothing(
    bank: Bank, path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes | None
) -> None:
    Scanner(bank).run()
    before = digest_there(bank, TRADE)

    def gone(real: Callable[..., bool]) -> Callable[..., bool]:
        def call(*given: Any, **options: Any) -> bool:
            (path / TRADE).unlink(missing_ok=True)
            return real(*given, **options)

        return call

    for name in ("exchange", "rename"):
        monkeypatch.setattr(files, name, gone(getattr(files, name)))
    with replacing(bank, "test", keep=False) as act:
        act.put(Replacement(TRADE, content), before)
        act.carry_out()
    assert ((path / TRADE).read_bytes() if content else (path / TRADE).exists()) == (content or False)
    assert events(bank)[END] == events(bank)[BEGIN]


def test_a_directory_that_is_made_is_for_those_who_share_the_one_above(bank: Bank, path: Path) -> None:
    (path / "trades").chmod(0o2770)
    with replacing(bank, "test") as act:
        act.put(Replacement("trades/2025/12/new.json", b"{}"), None)
        act.carry_out()
    made = [path / "trades/2025", path / "trades/2025/12"]
    assert [stat.S_IMODE(one.stat().st_mode) for one in made] == [0o2770] * 2


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("change", [(STATE, NEW), (STATE, None), ("state/a/b.json", NEW)])
def test_nothing_is_begun_that_could_not_be_ended(path: Path, home: Path, change: tuple[str, bytes | None]) -> None:
    """A file goes into a directory in which nobody may write, after one that could be replaced."""
    with own_ids_again(), closing(open_bank(Context(bank=str(path)))) as bank:
        for place in (path, home):
            give_away(place)
        os.chown(path / "state", 0, 0)
        before, end = content(path), bank.end
        os.seteuid(OWNER)
        with pytest.raises(PermissionError) as caught:
            replace_files(bank, [Replacement(TRADE, NEW), Replacement(*change)], "test")
        os.seteuid(0)
        assert caught.value.filename == str(path / "state")
        assert content(path) == before
        assert bank.end == end
        assert stages(path) == []


def test_what_fails_in_the_swap_is_told_to_go_on(path: Path) -> None:
    notes = _Notes()
    with (
        closing(open_bank(Context(bank=str(path), progress=notes))) as bank,
        broken(rename=failing(errno.EIO)),
        pytest.raises(OSError, match="Input/output"),
    ):
        replace_files(bank, [Replacement(STATE, None)], "test")
    assert any("the next command finishes it" in text for text in notes.texts)


@pytest.mark.skipif(not can_mount(), reason="may not mount")
@pytest.mark.parametrize("is_bound", [False, True])
def test_what_is_mounted_apart_is_told_before_anything_is_begun(path: Path, tmp_path: Path, is_bound: bool) -> None:
    disk = path / "trades"
    with small_disk(disk, 1 << 20), closing(open_bank(Context(bank=str(path)))) as bank:
        if is_bound:  # also a directory of the same file system
            (tmp_path / "other").mkdir()
            subprocess.run(["mount", "--bind", tmp_path / "other", disk], check=True)
        try:
            (disk / "list.json").write_bytes(b"[]")
            before, end = content(path), bank.end
            for content_ in (NEW, None):
                with pytest.raises(OperationFailed, match="mounted apart") as caught:
                    replace_files(bank, [Replacement(STATE, NEW), Replacement("trades/list.json", content_)], "test")
                assert caught.value.path == str(disk)
            assert (content(path), bank.end, stages(path)) == (before, end, [])
        finally:
            if is_bound:
                subprocess.run(["umount", "-l", disk], check=True)
