"""Renaming: every message under the new id, also where the journal has it under the old one."""

from __future__ import annotations

from pathlib import Path

import pytest

from memorybank_cli.accounts import replay
from memorybank_cli.accounts.messages import Message
from memorybank_cli.base.errors import AccountNotFound, Refused
from memorybank_cli.operations.account_archive import archive
from memorybank_cli.operations.account_rename import rename
from memorybank_cli.operations.accounts import account_ids, create, show
from memorybank_cli.operations.message_forget import forget
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.rollback import rollback
from tests.accounts.conftest import long, path
from tests.accounts.sealed import named
from tests.conftest import Run
from tests.operations.banks import backed_up, contents, journal, opened, repaired, rules
from tests.operations.here import run

__all__ = ("long", "path", "run")  # fixtures


def held(path: Path, name: str) -> list[str]:
    with opened(path) as bank:
        return [one["id"] for one in list_(bank, account=name)]


def say(path: Path, name: str, *numbers: int) -> None:
    with opened(path) as bank:
        store(bank, name, [Message("user", f"text {one}", f"m{one}") for one in range(*numbers)])


def renamed(path: Path, old: str, new: str) -> None:
    with opened(path) as bank:
        rename(bank, old, new)


def of(path: Path, name: str) -> dict[str, bytes]:
    """An account's files by their names inside its directory."""
    start = f"account_{name}/"
    return {file.removeprefix(start): data for file, data in contents(path).items() if file.startswith(start)}


def test_the_command(run: Run, path: Path) -> None:
    say(path, "a", 5)
    done = run("account", "rename", "a", "new", "--bank", path, "--json")
    told = {"account": "new", "former": "a", "messages": 5, "path": "account_new"}
    assert (done.returncode, done.json) == (0, told)
    assert run("account", "show", "a", "--bank", path).returncode == 10
    assert "restore.end (rename)" in run("log", "--account", "new", "--bank", path).stdout
    assert (
        f"to undo: memorybank account rename --bank {path} a new"
        in run("account", "rename", "new", "a", "--bank", path).stdout
    )
    assert held(path, "a") == named(5)


def test_everything_goes_with_it_and_comes_back(long: Path) -> None:
    before = of(long, "a")
    renamed(long, "a", "new")
    assert of(long, "a") == {}
    assert not (long / "account_a").exists()
    after = of(long, "new")
    assert set(after) == set(before)
    for name in set(after) - {"history/index.json", "whole_history.json"}:  # which name digests
        assert after[name] == before[name].replace(b'"account_id": "a"', b'"account_id": "new"')
    assert held(long, "new") == named(25)
    assert rules(long) == {}
    renamed(long, "new", "a")
    assert of(long, "a") == before
    assert rules(long) == {}


def test_it_goes_on_under_the_new_id(long: Path) -> None:
    renamed(long, "a", "new")
    with opened(long) as bank:
        assert store(bank, "new", [Message("user", "again", "m3")]).duplicates == 1
    say(long, "new", 25, 40)
    assert held(long, "new") == named(40)
    assert rules(long) == {}


def test_damage_is_mended_from_lines_of_the_old_name(long: Path) -> None:
    renamed(long, "a", "new")
    say(long, "new", 25, 28)
    good = of(long, "new")
    for name in good:
        (long / "account_new" / name).unlink()
    assert held(long, "new") == named(28)
    repaired(long)
    assert of(long, "new") == good
    assert rules(long) == {}


def test_the_old_id_is_free_again(long: Path) -> None:
    renamed(long, "a", "new")
    with opened(long) as bank:
        assert account_ids(bank) == ["new"]
        create(bank, "a")
        store(bank, "a", [Message("user", "of another", "m1")])
    assert (held(long, "a"), held(long, "new")) == (["m1"], named(25))
    for name in ("a", "new"):
        (long / f"account_{name}/whole_history.json").write_bytes(b"{")
    with opened(long) as bank:
        found = [[one["id"] for one in replay.messages(bank, name, bank.end.seq)] for name in ("a", "new")]
    assert found == [["m1"], named(25)]
    with opened(long) as bank, pytest.raises(Refused, match="there is an account 'a' already"):
        rename(bank, "new", "a")


def test_a_rollback_goes_back_to_the_old_name(long: Path) -> None:
    before = of(long, "a")
    with opened(long) as bank:
        line = bank.end.seq
    renamed(long, "a", "new")
    say(long, "new", 25, 27)
    with opened(long) as bank:
        rollback(bank, seq=line, yes=True)
    assert (of(long, "a"), of(long, "new")) == (before, {})
    assert not (long / "account_new").exists()
    assert held(long, "a") == named(25)
    assert rules(long) == {}
    with opened(long) as bank:
        create(bank, "new")
        assert show(bank, "new").messages == 0
        assert store(bank, "new", [Message("user", "text", "m1")]).added == 1
    with opened(long) as bank:
        assert [one["id"] for one in replay.messages(bank, "new", bank.end.seq)] == ["m1"]


def test_a_single_message_comes_back_across_it(long: Path) -> None:
    snapshot = backed_up(long).document
    assert snapshot is not None
    with opened(long) as bank:
        rollback(bank, seq=before_last(long), account="a", yes=True)
    fewer = held(long, "a")
    assert len(fewer) < 25
    renamed(long, "a", "new")
    assert held(long, "new") == fewer
    assert rules(long) == {}


def before_last(path: Path) -> int:
    """The line before the second batch of messages."""
    stored = [core["seq"] for core in journal(path) if core["op"] == "record.stored" and core["kind"] == "message"]
    return int(stored[15]) - 1


def test_what_is_archived_stays_archived(long: Path) -> None:
    with opened(long) as bank:
        archive(bank, "a", keep_mib=0)
    renamed(long, "a", "new")
    assert {name for name in of(long, "new") if ".zst" in name} == {
        "history/000000000001.json.zst",
        "history/000000000011.json.zst",
    }
    assert held(long, "new") == named(25)
    assert rules(long) == {}


def test_positions_that_were_forgotten_stay_empty(long: Path) -> None:
    with opened(long) as bank:
        forget(bank, "m3", account="a", yes=True)
        forget(bank, "m22", account="a", yes=True)
    before = {name: of(long, "a")[name] for name in of(long, "a")}
    renamed(long, "a", "new")
    assert rules(long) == {}
    with opened(long) as bank:
        assert [one["seq"] for one in list_(bank, account="new")] == [one for one in range(1, 26) if one not in (4, 23)]
    say(long, "new", 25, 40)
    for name in of(long, "new"):
        (long / "account_new" / name).write_bytes(b"{")
    repaired(long)
    assert rules(long) == {}
    assert len(held(long, "new")) == 38
    with opened(long) as bank:
        forget(bank, "m5", account="new", yes=True)
    renamed(long, "new", "a")
    assert rules(long) == {}
    assert set(before) <= set(of(long, "a"))


def test_what_an_agent_put_beside_it_goes_with_it(long: Path) -> None:
    (long / "account_a/notes.md").write_text("# mine\n")
    (long / "account_a/deep/er").mkdir(parents=True)
    (long / "account_a/deep/er/notes.md").write_text("# mine\n")
    renamed(long, "a", "new")
    assert (long / "account_new/deep/er/notes.md").exists()
    assert not (long / "account_a").exists()
    assert (long / "account_new/notes.md").read_text() == "# mine\n"


def test_what_is_refused(run: Run, long: Path) -> None:
    with opened(long) as bank:
        create(bank, "b")
    before = contents(long)
    for words, code in ((("a", "b"), 13), (("a", "a"), 13), (("nobody", "c"), 10), (("a", "../c"), 2)):
        done = run("account", "rename", *words, "--bank", long, "--json")
        assert done.returncode == code, words
        assert done.error["message"]
    assert contents(long) == before


def test_who_still_has_the_old_id_stores_nothing(long: Path) -> None:
    with opened(long) as bank, opened(long) as other:
        assert store(bank, "a", [Message("user", "before")]).total == 26
        rename(other, "a", "new")
        before = journal(long)
        for message in (Message("user", "after"), Message("user", "after", "m99")):
            with pytest.raises(AccountNotFound):
                store(bank, "a", [message])
        assert journal(long) == before
        assert store(bank, "new", [Message("user", "after", "m99")]).total == 27
    assert rules(long) == {}
