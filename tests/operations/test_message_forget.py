"""Forgetting messages: their content is nowhere in the bank, everything else is as it was, and the chain holds."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.recorded import record_of
from memorybank_cli.accounts.sources import ways
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import MessageNotFound, UsageError
from memorybank_cli.operations import erasing
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_compact import compact
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.journal import prove
from memorybank_cli.operations.message_forget import ForgetMessagesReport, forget
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.accounts.sealed import small_segments
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, journal, opened, repaired, rules
from tests.operations.erased import journal_lines, listed, named, places_of, said, say, short_segments, unpacked
from tests.operations.retained import killed_everywhere


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two accounts of 25 messages, in segments of ten; a segment of the journal has twelve lines."""
    small_segments(monkeypatch)
    short_segments(monkeypatch)
    made = make_bank(0, padded=False)
    for account in ("alpha", "beta"):
        with opened(made) as bank:
            create(bank, account)
        say(made, account, 25)
    return made


def forgotten(path: Path, *names: str, **options: Any) -> ForgetMessagesReport:
    with opened(path) as bank:
        return forget(bank, *names, **{"account": "alpha", "yes": True, **options})


def saved(path: Path) -> str:
    return str(backed_up(path).as_dict()["snapshot"]["id"])


def check(path: Path, *gone: int) -> None:
    """The account has all but these, nothing holds them, and what the journal says is proved."""
    assert listed(path, "alpha") == named(25, without=gone)
    assert listed(path, "beta") == named(25)
    for number in gone:
        assert places_of(path, f"alpha says secret-{number}.") == []
    assert rules(path) == {}
    with opened(path) as bank:
        assert prove(bank).ok


@pytest.mark.parametrize("number", [0, 9, 10, 19, 20, 24])
def test_a_message_is_nowhere_any_more(path: Path, number: int) -> None:
    assert len(places_of(path, f"alpha says secret-{number}.")) >= 2
    others = {name: data for name, data in contents(path).items() if name.startswith("account_beta/")}
    done = forgotten(path, f"m{number}")
    check(path, number)
    assert (done.forgotten, done.messages, done.quarantine) == ((f"m{number}",), 1, ())
    assert done.lines >= 1
    assert "account_alpha/whole_history.json" in done.files
    assert done.snapshots == ((), "")
    assert others == {name: data for name, data in contents(path).items() if name.startswith("account_beta/")}


def test_several_at_once_and_all_of_them(path: Path) -> None:
    assert forgotten(path, "m3", "m17", "m3").forgotten == ("m3", "m17")
    check(path, 3, 17)
    forgotten(path, *(f"m{number}" for number in range(25) if number not in (3, 17)))
    check(path, *range(25))
    assert not list((path / "account_alpha/history").glob("*.json"))
    say(path, "alpha", 3)
    assert listed(path, "alpha") == named(3)
    assert rules(path) == {}


def test_the_journal_keeps_that_there_was_one(path: Path) -> None:
    before = {line["core"]["seq"]: line for line in journal_lines(path)}
    forgotten(path, "m4")
    after = {line["core"]["seq"]: line for line in journal_lines(path)}
    assert {seq: (line["core"], line["hash"]) for seq, line in before.items()} == {
        seq: (line["core"], line["hash"]) for seq, line in after.items() if seq in before
    }
    [stored] = [
        line for line in after.values() if line["core"].get("record") == "m4" and line["core"]["account"] == "alpha"
    ]
    assert "data" not in stored
    assert "salt" not in stored
    other = [
        line for line in after.values() if line["core"].get("record") == "m4" and line["core"]["account"] == "beta"
    ]
    assert all("data" in line for line in other)
    begin, end = (
        next(line["core"] for line in after.values() if line["core"]["op"] == f"forget.{word}")
        for word in ("begin", "end")
    )
    assert begin["id"] == end["id"]
    assert (begin["subject"], begin["records"]) == ("alpha", ["m4"])
    assert stored["core"]["seq"] in begin["lines"]


def test_it_can_be_stored_again(path: Path) -> None:
    forgotten(path, "m4")
    with opened(path) as bank:
        done = store(bank, "alpha", said("alpha", 3, 6))
    assert (done.added, done.duplicates, done.total) == (1, 2, 25)
    assert listed(path, "alpha") == [*named(25, without=(4,)), "m4"]
    forgotten(path, "m4")
    check(path, 4)


def test_more_messages_come_after(path: Path) -> None:
    forgotten(path, "m11")
    say(path, "alpha", 25, 48)
    assert listed(path, "alpha") == named(48, without=(11,))
    assert rules(path) == {}


def test_files_lost_after_it_come_back_without_it(path: Path) -> None:
    forgotten(path, "m4", "m22")
    shutil.rmtree(path / "account_alpha")
    report = repaired(path)
    assert report.exit_code() == 0
    check(path, 4, 22)


def test_what_was_in_quarantine_goes_too(path: Path) -> None:
    head = path / "account_alpha/whole_history.json"
    head.write_bytes(head.read_bytes().replace(b'"total": 25', b'"total": 26'))
    (path / "account_beta/short_term.json").write_bytes(b"{")
    repaired(path)
    waiting = [one for one in places_of(path, "alpha says secret-22.") if "quarantine" in one]
    assert len(waiting) == 1
    with opened(path) as bank:
        assert forget(bank, "m22", account="alpha", dry_run=True).quarantine == tuple(waiting)
    done = forgotten(path, "m22")
    assert done.quarantine == tuple(waiting)
    assert list((path / ".memorybank/quarantine").iterdir()) != []
    check(path, 22)


def test_what_cannot_be_read_in_quarantine_goes_too(path: Path) -> None:
    """A damaged archive of the account may hold it; one of another account is no business of this."""
    for account in ("alpha", "beta"):
        with opened(path) as bank:
            archive(bank, account, keep_mib=0)
        place = path / f"account_{account}/history/000000000001.json.zst"
        data = bytearray(place.read_bytes())
        data[len(data) // 2] ^= 0x55
        place.write_bytes(data)
    repaired(path)
    waiting = sorted((path / ".memorybank/quarantine").iterdir())
    assert len(waiting) == 2
    assert len(forgotten(path, "m4").quarantine) == 1
    assert len(list((path / ".memorybank/quarantine").iterdir())) == 1
    assert listed(path, "alpha") == named(25, without=(4,))
    assert rules(path) == {}


@pytest.mark.parametrize("found", [b'"n22"', b'"\\u006d22"', b"\0\0\0\0\0"])
def test_what_was_kept_under_another_id_goes_too(path: Path, found: bytes) -> None:
    """What waits in quarantine was damaged or changed, perhaps in the very id."""
    window = path / "account_alpha/short_term.json"
    window.write_bytes(window.read_bytes().replace(b'"m22"', found))
    repaired(path)
    assert any("quarantine" in one for one in places_of(path, "alpha says secret-22."))
    forgotten(path, "m22")
    check(path, 22)


@pytest.mark.parametrize(
    ("text", "found"), [(b'"record":"m4"', b'"record":"m5"'), (b'"message","record":"m4"', b'"messagf","record":"m4"')]
)
def test_damaged_lines_of_the_journal_go_too(path: Path, text: bytes, found: bytes) -> None:
    segment = next(one for one in sorted((path / ".memorybank/journal").iterdir()) if text in one.read_bytes())
    segment.write_bytes(segment.read_bytes().replace(text, found, 1))
    _mended(path)
    forgotten(path, "m4")
    assert places_of(path, "alpha says secret-4.") == []
    assert listed(path, "alpha") == named(25, without=(4,))


def test_damaged_frames_of_the_journal_go_too(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They may hold it, for all that anybody can say."""
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    with opened(path) as bank:
        compact(bank)
    monkeypatch.delenv("MEMORYBANK_UNDO_BUDGET_MIB")
    first, second, *_ = sorted((path / ".memorybank/journal").glob("*.zst"))
    for segment, at in ((first, -3), (second, 5)):
        data = bytearray(segment.read_bytes())
        data[at] ^= 1
        segment.write_bytes(data)
    _mended(path)
    forgotten(path, "m4")
    for segment in (first, second):
        assert b"forgotten" in unpacked(segment.read_bytes())
    assert listed(path, "alpha") == named(25, without=(4,))


def _mended(path: Path) -> None:
    """The journal goes on after a gap that is named; what is damaged stays where it is."""
    for catalog in (path / ".memorybank").glob("catalog*"):
        catalog.unlink()
    assert repaired(path).exit_code() == 0


def test_what_waits_to_be_rendered_counts(path: Path) -> None:
    bank = open_bank(Context(bank=str(path)))
    store(bank, "alpha", said("alpha", 25, 27))
    bank.abandon()
    forgotten(path, "m25", "m4")
    assert listed(path, "alpha") == named(27, without=(4, 25))
    assert places_of(path, "alpha says secret-25.") == []


def test_what_a_kill_left_half_written_goes_too(path: Path) -> None:
    for place in ("account_alpha", "account_alpha/history", ".memorybank/journal"):
        (path / place / ".mb-0123456789abcdef").write_bytes(b"alpha says secret-4.")
    forgotten(path, "m4")
    check(path, 4)


def test_what_was_rolled_back_is_forgotten_as_well(path: Path) -> None:
    [seq] = [line["seq"] for line in journal(path) if line.get("record") == "m20" and line.get("account") == "alpha"]
    with opened(path) as bank:
        rollback(bank, seq=seq, account="alpha", yes=True)
    assert listed(path, "alpha") == named(21)
    assert places_of(path, "alpha says secret-23.") != []
    done = forgotten(path, "m23")
    assert (done.messages, done.files) == (0, ())
    assert places_of(path, "alpha says secret-23.") == []
    assert listed(path, "alpha") == named(21)
    with opened(path) as bank:
        assert prove(bank).ok


def test_it_is_repeated_without_harm_and_says_which_snapshots_hold_it(path: Path) -> None:
    made = [saved(path) for _ in range(2)]
    done = forgotten(path, "m4")
    assert [one.id for one in done.snapshots.snapshots] == made
    assert all(one.certain for one in done.snapshots.snapshots)
    assert "2 snapshots still hold it" in done.summary()
    assert saved(path) not in made
    again = forgotten(path, "m4")
    assert (again.messages, again.lines, again.files) == (0, 0, ())
    assert [one.id for one in again.snapshots.snapshots] == made
    assert [line["op"] for line in journal(path)].count("forget.begin") == 1
    check(path, 4)


def test_a_rollback_of_the_journal_does_not_bring_it_back(path: Path) -> None:
    forgotten(path, "m4")
    say(path, "alpha", 25, 28)
    [seq] = [line["seq"] for line in journal(path) if line.get("record") == "m19" and line.get("account") == "alpha"]
    with opened(path) as bank:
        done = rollback(bank, seq=seq, account="alpha", yes=True)
        assert done.findings == ()
    assert listed(path, "alpha") == named(20, without=(4,))
    assert places_of(path, "alpha says secret-4.") == []
    with opened(path) as bank:
        rollback(bank, undo=True, yes=True)
    assert listed(path, "alpha") == named(28, without=(4,))
    assert rules(path) == {}


def test_a_snapshot_does_not_bring_it_back(path: Path, run: Run) -> None:
    name = saved(path)
    forgotten(path, "m4", "m22")
    say(path, "alpha", 25, 28)
    with opened(path) as bank:
        done = rollback(bank, name, account="alpha", yes=True)
    assert (done.forgotten, done.findings) == (("alpha",), ())
    assert "; what was forgotten since of alpha stays forgotten; to undo" in done.summary()
    assert done.as_dict()["forgotten"] == ["alpha"]
    check(path, 4, 22)
    with opened(path) as bank:
        rollback(bank, undo=True, yes=True)
    assert listed(path, "alpha") == named(28, without=(4, 22))
    run("rollback", name, "--record", "m4", "--bank", path, "--yes")
    assert listed(path, "alpha") == named(28, without=(4, 22))
    with opened(path) as bank:
        beside = rollback(bank, name, path=("account_beta",), yes=True)
    assert beside.forgotten == ()


def test_an_undone_rollback_does_not_bring_it_back(path: Path) -> None:
    """The forgotten message was rolled back before: the state in front of the rollback held it."""
    [seq] = [line["seq"] for line in journal(path) if line.get("record") == "m20" and line.get("account") == "alpha"]
    with opened(path) as bank:
        rollback(bank, seq=seq, account="alpha", yes=True)
    forgotten(path, "m23")
    with opened(path) as bank:
        assert rollback(bank, undo=True, yes=True).forgotten == ("alpha",)
    check(path, 23)


def test_it_stays_forgotten_when_the_journal_has_no_content_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = saved(path)
    say(path, "alpha", 25, 37)
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    with opened(path) as bank:
        assert sum(one.lines for one in compact(bank).segments) > 10
    forgotten(path, "m4", "m13", "m28")
    with opened(path) as bank:
        assert rollback(bank, name, account="alpha", yes=True).findings == ()
    check(path, 4, 13)


def test_only_what_holds_it_is_written(path: Path) -> None:
    before = {one: one.stat().st_mtime_ns for one in (path / "account_alpha/history").iterdir()}
    done = forgotten(path, "m4")
    assert done.files == tuple(
        f"account_alpha/{name}.json"
        for name in ("history/000000000001", "history/index", "short_term", "whole_history")
    )
    after = {one: one.stat().st_mtime_ns for one in (path / "account_alpha/history").iterdir()}
    changed = sorted(one.name for one in before if before[one] != after[one])
    assert changed == ["000000000001.json", "index.json"]
    with opened(path) as bank:
        positions = {one["id"]: one["seq"] for one in list_(bank, account="alpha")}
        assert positions == {f"m{number}": number + 1 for number in range(25) if number != 4}
        record = record_of(bank, "alpha")
        assert record is not None
        assert record.base is not None
        assert (record.base.sealed, record.base.gone, record.proves) == (20, 1, True)
    for name in ("whole_history", "short_term"):
        (path / f"account_alpha/{name}.json").unlink()
    with opened(path) as bank:
        [way] = [one for one in ways(bank, "alpha", bank.end.seq) if "segments and the journal" in one.why]
        assert next(line.seq for line in way.lines) > record.base.line
    repaired(path)
    check(path, 4)


def test_the_newest_and_its_time(path: Path) -> None:
    """A message from the future, forgotten, does not leave every later one marked as late."""
    with opened(path) as bank:
        store(bank, "alpha", [Message("user", "alpha says secret-99.", id="m99", timestamp="2990-01-01T00:00:00Z")])
    forgotten(path, "m99")
    say(path, "alpha", 25, 26)
    with opened(path) as bank:
        *_, newest = list_(bank, account="alpha", last=1)
    assert (newest["id"], newest["seq"], newest.get("late")) == ("m25", 27, None)
    assert listed(path, "alpha") == named(26)


def test_an_archived_segment_stays_archived(path: Path) -> None:
    with opened(path) as bank:
        archive(bank, "alpha", keep_mib=0)
    forgotten(path, "m4", "m23")
    check(path, 4, 23)
    assert sorted(one.name for one in (path / "account_alpha/history").iterdir()) == [
        "000000000001.json.zst",
        "000000000011.json.zst",
        "index.json",
    ]
    with opened(path) as bank:
        archive(bank, "alpha", undo=True)
    check(path, 4, 23)


def test_more_than_can_be_looked_for_one_by_one(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.accounts.forgotten.FEW", 1)
    monkeypatch.setattr("memorybank_cli.bank.forgetting.FEW", 1)
    forgotten(path, "m3", "m13", "m14", "m24")
    check(path, 3, 13, 14, 24)


def test_in_an_account_whose_journal_is_compacted(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_UNDO_BUDGET_MIB", "0")
    with opened(path) as bank:
        assert sum(one.lines for one in compact(bank).segments) > 10
    forgotten(path, "m4", "m13", "m24")
    check(path, 4, 13, 24)
    say(path, "alpha", 25, 28)
    assert listed(path, "alpha") == named(28, without=(4, 13, 24))


def test_summaries_that_quote_it_go_with_it(path: Path) -> None:
    from memorybank_cli.bank.journal import Entry

    sentence = {"message": "m4", "role": "user", "text": "alpha says secret-4.", "marks": [], "weight": 1.0}
    with opened(path) as bank:
        for span in [(1, 3), (4, 8)]:
            summary = {
                "id": f"s{span[0]}",
                "first": span[0],
                "last": span[1],
                "sentences": [sentence] if span[0] == 4 else [],
            }
            fields = {
                "account": "alpha",
                "kind": "summary",
                "record": summary["id"],
                "span": list(span),
                "reason": "request",
            }
            bank.commit([Entry("record.stored", fields, summary)])
    assert "account_alpha/history_context.json" in places_of(path, "alpha says secret-4.")
    forgotten(path, "m4")
    check(path, 4)
    assert b'"s1"' in (path / "account_alpha/history_context.json").read_bytes()


# What is refused


def test_one_that_was_never_there(path: Path, run: Run) -> None:
    before = contents(path, private=True)
    with pytest.raises(MessageNotFound, match="no message 'm99'"):
        forgotten(path, "m4", "m99")
    done = run("message", "forget", "m99", "--account", "alpha", "--bank", path, "--json")
    assert (done.returncode, done.error["code"]) == (10, "message_not_found")
    assert run("message", "forget", "\udcff", "--account", "alpha", "--bank", path).returncode == 10
    with pytest.raises(UsageError, match="no message is named"):
        forgotten(path)
    assert {name: data for name, data in contents(path, private=True).items() if "sqlite" not in name} == {
        name: data for name, data in before.items() if "sqlite" not in name
    }


def test_without_a_yes_nothing_happens(path: Path, run: Run) -> None:
    done = run("message", "forget", "m4", "--account", "alpha", "--bank", path)
    assert done.returncode == 2
    assert "--yes" in done.stderr
    assert listed(path, "alpha") == named(25)
    done = run("message", "forget", "m4", "--account", "alpha", "--bank", path, "-n", "--json")
    assert done.returncode == 0
    assert done.json["dry_run"] is True
    assert (done.json["forgotten"], done.json["messages"], done.json["files"]) == (["m4"], 1, [])
    assert done.json["lines"] >= 1
    assert listed(path, "alpha") == named(25)
    done = run("message", "forget", "m4", "--account", "alpha", "--bank", path, "--yes")
    assert done.stdout.splitlines()[0] == "forgotten m4"
    assert "1 message forgotten. No snapshot of this bank holds it." in done.stdout
    log = run("log", "--account", "alpha", "--bank", path).stdout
    assert "forget.begin alpha m4" in log


def test_a_name_that_is_part_of_others_and_of_texts(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "alpha", [Message("user", '{"id":"user"} and "user"', id="x"), Message("user", "own", id="user")])
    forgotten(path, "user")
    assert places_of(path, '"own"') == []
    with opened(path) as bank:
        lines = [line for line in bank.journal.lines(0, (b'"kind":"message"',)) if line.data is None]
    assert [line.core["record"] for line in lines] == ["user"]


# Kills


@pytest.mark.no_cover
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_killed_anywhere_it_is_all_there_or_all_gone(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> None:
    small_segments(monkeypatch)
    short_segments(monkeypatch, 8)
    path = make_bank(0, padded=False)
    with opened(path) as bank:
        create(bank, "alpha")
    say(path, "alpha", 13)
    head = path / "account_alpha/short_term.json"
    head.write_bytes(head.read_bytes().replace(b"alpha says secret-5.", b"alpha says secret-5. Twice."))
    repaired(path)
    outcomes = []

    def after() -> None:
        there = listed(path, "alpha")
        gone = there == named(13, without=(5,))
        outcomes.append(gone)
        assert gone or there == named(13)
        assert (places_of(path, "alpha says secret-5.") == []) == gone
        assert list((path / ".memorybank/tmp").iterdir()) == []
        ops = [line["core"]["op"] for line in journal_lines(path)]
        assert ops.count("forget.begin") == ops.count("forget.end") == gone
        assert rules(path) == {}
        with opened(path) as bank:
            assert prove(bank).ok

    assert killed_everywhere(path, lambda: forgotten(path, "m5"), after) > 30
    assert outcomes == sorted(outcomes)
    assert outcomes.count(True) > 20


def test_what_cannot_be_finished_at_once_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The account is damaged when the forgetting is to go on: the bank opens, and it is done after the repair."""
    with monkeypatch.context() as patch:
        patch.setattr(erasing, "finish", _dying)
        with pytest.raises(KeyboardInterrupt):
            forgotten(path, "m4")
    kept = {name: data for name, data in contents(path, private=True).items() if name.startswith("account_alpha/")}
    for name in kept:
        (path / name).write_bytes(b"{")
    journal_files = {one: one.read_bytes() for one in (path / ".memorybank/journal").iterdir()}
    for one, data in journal_files.items():
        one.write_bytes(data.replace(b"alpha says secret-1.", b"alpha says secret-I."))
    with opened(path):
        assert len(list((path / ".memorybank/tmp").iterdir())) == 1
    for one, data in journal_files.items():
        one.write_bytes(data)
    for name, data in kept.items():
        (path / name).write_bytes(data)
    check(path, 4)


def _dying(*_arguments: object) -> None:
    raise KeyboardInterrupt
