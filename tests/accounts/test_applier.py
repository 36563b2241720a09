"""From stored messages to an account's files: replayed, rendered again after a kill, known as ours, and rolled back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.applier import AccountApplier
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.rebuilding import Rebuilt, rebuild
from memorybank_cli.accounts.shelf import nowhere
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.rendering import Rendering
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.base.records import Progress
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.conftest import MakeBank, Run
from tests.operations.banks import adopt, backed_up, contents, journal, journal_file, opened, put, repaired, rules

TIERS = ("account", "history_context", "mid_term", "short_term", "whole_history")
WHOLE, SHORT = "account_a/whole_history.json", "account_a/short_term.json"


@pytest.fixture
def path(make_bank: MakeBank) -> Path:
    """A bank with an account that has three messages."""
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    say(made, "one", "two", "three")
    return made


def say(path: Path, *texts: str) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", text, id=text) for text in texts])


def say_and_die(path: Path, *texts: str) -> None:
    """Store messages and end as after kill -9: acknowledged, and nothing rendered."""
    bank = open_bank(Context(bank=str(path)))
    store(bank, "a", [Message("user", text, id=text) for text in texts])
    bank.abandon()


def whole(path: Path) -> list[str]:
    return [one["content"] for one in json.loads((path / WHOLE).read_bytes())["messages"]]


def held(path: Path) -> list[str]:
    with opened(path) as bank:
        return [one["content"] for one in read_history(bank, "a").messages]


def account_files(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(path).items() if name.startswith("account_a/")}


def rendered(bank: Bank, upto: int) -> dict[str, bytes]:
    return {one.path: one.data for one in AccountApplier().render(bank, "a", upto) if isinstance(one, Rendering)}


def in_the_journal(bank: Bank) -> bool:
    """Whether the journal alone gives the account's messages."""
    try:
        return bool(list(replay.messages(bank, "a", bank.end.seq)))
    except AccountDamaged:
        return False


def cut_last_line(path: Path) -> dict[str, Any]:
    """Lose the newest line of the journal, as a crash of the machine may: it was not synced."""
    segment = journal_file(path)
    lines = segment.read_bytes().splitlines(keepends=True)
    core: dict[str, Any] = json.loads(lines[-1])["core"]
    segment.write_bytes(b"".join(lines[:-1]))
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    return core


# Rendering


def test_the_files_are_rendered_at_close(path: Path) -> None:
    assert set(account_files(path)) == {f"account_a/{tier}.json" for tier in TIERS}
    assert whole(path) == ["one", "two", "three"]
    last = journal(path)[-1]
    assert last["op"] == "files.rendered"
    assert {row[0] for row in last["files"]} == set(account_files(path)) - {"account_a/history_context.json"}
    assert rules(path) == {}


def test_a_lost_rendering_is_made_by_the_next_who_opens(path: Path) -> None:
    before = account_files(path)
    say_and_die(path, "four")
    assert account_files(path) == before
    assert rules(path) == {}
    assert whole(path) == ["one", "two", "three", "four"]
    assert journal(path)[-1]["op"] == "files.rendered"
    assert not (path / ".memorybank/quarantine").exists()


def test_what_is_not_rendered_is_read_all_the_same(path: Path) -> None:
    say_and_die(path, "four")
    bank = open_bank(Context(bank=str(path)))
    assert [one["content"] for one in read_history(bank, "a").messages] == ["one", "two", "three", "four"]
    assert store(bank, "a", [Message("user", "four", id="four")]).duplicates == 1
    bank.close()


def test_a_rendering_of_which_the_line_was_lost_is_ours(path: Path) -> None:
    say(path, "four")
    after = account_files(path)
    assert cut_last_line(path)["op"] == "files.rendered"
    assert rules(path) == {}
    assert account_files(path) == after
    say(path, "five")
    assert whole(path) == ["one", "two", "three", "four", "five"]
    assert rules(path) == {}
    assert not (path / ".memorybank/quarantine").exists()


def test_a_rendering_of_which_every_file_but_one_was_written(path: Path) -> None:
    old = account_files(path)
    say(path, "four")
    cut_last_line(path)
    (path / WHOLE).write_bytes(old[WHOLE])
    assert rules(path) == {}
    assert held(path) == ["one", "two", "three", "four"]
    assert whole(path) == ["one", "two", "three", "four"]
    assert not (path / ".memorybank/quarantine").exists()


def test_the_same_bytes_for_the_same_history(path: Path) -> None:
    before = account_files(path)
    with opened(path) as bank:
        again = rendered(bank, bank.end.seq)
        older = rendered(bank, read_history(bank, "a").seq)
    assert again == older == before


def test_a_rendering_of_any_line_before(path: Path) -> None:
    seq = journal(path)[-1]["upto"]
    say(path, "four")
    with opened(path) as bank:
        short = rendered(bank, seq)[SHORT]
        assert [one["content"] for one in json.loads(short)["messages"]] == ["one", "two", "three"]


# Whose content is it


@pytest.mark.parametrize("tier", TIERS)
def test_a_tampered_file_is_a_finding(path: Path, tier: str) -> None:
    name = f"account_a/{tier}.json"
    value = json.loads((path / name).read_bytes())
    (path / name).write_text(json.dumps(value))
    assert rules(path) == {name: "MB110"}


def test_is_rendering_says_no_to_what_it_cannot_be(path: Path) -> None:
    applier = AccountApplier()
    with opened(path) as bank:
        good = (path / SHORT).read_bytes()
        assert applier.is_rendering(bank, SHORT, good)
        account = (path / "account_a/account.json").read_bytes()
        assert applier.is_rendering(bank, "account_a/account.json", account)
        for name, data in (
            (WHOLE, good),
            ("trades/short_term.json", good),
            (SHORT, good[:-3]),
            (SHORT, b"[]"),
            (SHORT, good.replace(b'"seq": ', b'"seq": "', 1).replace(b",", b'",', 1)),
            ("account_b/short_term.json", good),
        ):
            assert not applier.is_rendering(bank, name, data), (name, data)


def test_a_tampered_tier_is_rendered_over_and_kept(path: Path) -> None:
    tampered = (path / SHORT).read_bytes().replace(b'"two"', b'"2wo"')
    (path / SHORT).write_bytes(tampered)
    assert rules(path) == {SHORT: "MB110"}
    say(path, "four")
    assert rules(path) == {}
    [kept] = (path / ".memorybank/quarantine").iterdir()
    assert kept.read_bytes() == tampered
    assert journal(path)[-1]["kept"] == {SHORT: f".memorybank/quarantine/{kept.name}"}


def test_a_tampered_history_is_never_taken_for_the_truth(path: Path) -> None:
    (path / WHOLE).write_bytes((path / WHOLE).read_bytes().replace(b'"content":"two"', b'"content":"2wo"'))
    assert rules(path) == {WHOLE: "MB110"}
    assert held(path) == ["one", "two", "three"]
    say(path, "four")
    assert whole(path) == ["one", "two", "three", "four"]


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"messages": {}}', b'{"messages": [1], "seq": 1}'])
def test_a_damaged_history_is_had_from_the_journal(path: Path, data: bytes) -> None:
    good = (path / WHOLE).read_bytes()
    (path / WHOLE).write_bytes(data)
    assert held(path) == ["one", "two", "three"]
    assert rules(path)[WHOLE].startswith("MB1")
    if rules(path)[WHOLE] != "MB110":
        assert repaired(path).repaired
        assert (path / WHOLE).read_bytes() == good
        assert rules(path) == {}


def test_files_that_are_gone_are_rebuilt(path: Path) -> None:
    before = account_files(path)
    for name in before:
        (path / name).unlink()
    assert set(rules(path).values()) == {"MB111"}
    assert len(repaired(path).repaired) == len(TIERS)
    assert account_files(path) == before
    assert rules(path) == {}


def test_an_accepted_hand_edit_is_the_truth_from_then_on(path: Path, run: Run) -> None:
    (path / WHOLE).write_bytes((path / WHOLE).read_bytes().replace(b'"content":"two"', b'"content":"2wo"'))
    assert run("accept", WHOLE, "--bank", path).returncode == 0
    assert held(path) == ["one", "2wo", "three"]
    say(path, "four")
    assert whole(path) == ["one", "2wo", "three", "four"]
    assert rules(path) == {}


# Rollback


def test_after_a_rollback_the_account_goes_on_from_there(run: Run, path: Path) -> None:
    snapshot = backed_up(path).document
    assert snapshot is not None
    before = account_files(path)
    say(path, "four", "five")
    done = run("rollback", snapshot.id, "--account", "a", "--yes", "--bank", path, "--json")
    assert done.returncode == 0
    assert account_files(path) == before
    assert held(path) == ["one", "two", "three"]
    assert rules(path) == {}
    added = run(
        "message", "add", "four again", "--id", "four", "--role", "user", "--account", "a", "--bank", path, "--json"
    )
    assert (added.json["added"], added.json["total"]) == (1, 4)
    assert whole(path) == ["one", "two", "three", "four again"]
    assert [one["seq"] for one in json.loads((path / WHOLE).read_bytes())["messages"]] == [1, 2, 3, 4]
    undone = run("rollback", done.json["safety_snapshot"], "--account", "a", "--yes", "--bank", path, "--json")
    assert undone.returncode == 0
    assert whole(path) == held(path) == ["one", "two", "three", "four", "five"]
    for one in (path / WHOLE, path / SHORT):
        one.write_bytes(b"")
    assert held(path) == ["one", "two", "three", "four", "five"]
    assert rules(path) == {WHOLE: "MB104", SHORT: "MB104"}
    repaired(path)
    assert whole(path) == ["one", "two", "three", "four", "five"]


def test_a_rollback_of_the_whole_bank_takes_accounts_with_it(path: Path) -> None:
    backed_up(path)
    say(path, "four")
    with opened(path) as bank:
        create(bank, "b")
    with opened(path) as bank:
        report = rollback(bank, yes=True)
    assert WHOLE in report.restored
    assert "account_b/whole_history.json" in report.removed
    assert held(path) == ["one", "two", "three"]
    assert rules(path) == {}


# Accounts that the journal does not know from the beginning


def imported(path: Path, tmp_path: Path) -> Path:
    """A bank around the account's files: what they hold stands in no line of its journal."""
    target = tmp_path / "imported"
    shutil.copytree(path, target, ignore=shutil.ignore_patterns(".memorybank", "bank.json"))
    init(Context(bank=str(target)))
    return target


def test_an_imported_history_that_is_damaged_is_not_taken_for_a_shorter_one(
    run: Run, path: Path, tmp_path: Path
) -> None:
    target = imported(path, tmp_path)
    say(target, "four")
    good = account_files(target)
    assert whole(target) == ["one", "two", "three", "four"]
    (target / WHOLE).write_bytes(b"{")
    with opened(target) as bank:
        assert not in_the_journal(bank)
        with pytest.raises(AccountDamaged, match="does not hold all of it"):
            read_history(bank, "a")
        with pytest.raises(AccountDamaged):
            store(bank, "a", [Message("user", "five", id="five")])
    assert run("repair", "--bank", target).returncode == 0
    assert account_files(target) == good


def test_an_imported_history_that_was_rolled_back(run: Run, path: Path, tmp_path: Path) -> None:
    target = imported(path, tmp_path)
    backed_up(target)
    say(target, "four")
    assert run("rollback", "--account", "a", "--yes", "--bank", target).returncode == 0
    assert held(target) == ["one", "two", "three"]
    say(target, "five")
    (target / WHOLE).write_bytes(b"{")
    with opened(target) as bank:
        assert not in_the_journal(bank)
    assert repaired(target).repaired
    assert held(target) == whole(target) == ["one", "two", "three", "five"]


def test_an_account_that_cannot_be_had_whole_is_not_rendered(path: Path, tmp_path: Path) -> None:
    notes: list[str] = []

    class Notes(Progress):
        def note(self, text: str) -> None:
            notes.append(text)

    target = imported(path, tmp_path)
    say_and_die(target, "four")
    (target / WHOLE).write_bytes(b"{")
    with opened(target, progress=Notes()):
        pass
    assert (target / WHOLE).read_bytes() == b"{"
    assert notes == [f"{WHOLE} is damaged, and the journal does not hold all of it; its files are left as they are"]
    repaired(target)
    assert held(target) == ["one", "two", "three", "four"]


def test_a_version_of_a_history_and_what_came_later(path: Path, tmp_path: Path) -> None:
    target = imported(path, tmp_path)
    data = (target / WHOLE).read_bytes()
    say(target, "four")
    good = account_files(target)
    (target / WHOLE).write_bytes(b"{")
    with opened(target) as bank:
        seq = next(line.seq for line in bank.journal.lines() if line.op == "file.adopted")

        def rebuilt(*versions: bytes) -> Rebuilt:
            return rebuild(bank, "a", {WHOLE, SHORT}, lambda: [(one, seq) for one in versions], nowhere)

        for bad in (b"{", b"{}", b'{"messages": [1]}', b'{"messages": []}', data[:-3]):
            assert rebuilt(bad).files == {}
        assert not rebuilt(data.replace(b"two", b"2wo")).proved
        assert rebuilt(b"{", data) == rebuilt(data)
        assert rebuilt(data).files == {WHOLE: good[WHOLE], SHORT: good[SHORT]}
        assert rebuilt(data).proved


def test_files_of_an_agent_in_an_accounts_place(path: Path) -> None:
    put(path / "account_a/notes.json", {"mine": True})
    assert rules(path) == {"account_a/notes.json": "MB110"}
    assert adopt(path) == []
