"""Damaged histories: read around, made again from what is left, and MB114 where parts do not fit."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts.applier import AccountApplier
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.sources import read_history
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.operations.accounts import show
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.probes import histories
from tests.accounts.sealed import (
    INDEX,
    MID,
    SHORT,
    WHOLE,
    account_files,
    adopted,
    check,
    ids,
    named,
    say,
    segment,
    small_segments,
    unrecovered,
    value,
)
from tests.conftest import Run
from tests.operations.banks import backed_up, journal, opened, repaired, rules

DAMAGES = (
    (WHOLE,),
    (INDEX,),
    (segment(1),),
    (segment(11),),
    (SHORT, MID),
    (WHOLE, INDEX),
    (INDEX, segment(1)),
    (WHOLE, INDEX, segment(1), segment(11), SHORT),
)


@pytest.mark.parametrize("damaged", DAMAGES, ids=lambda one: "+".join(name.rpartition("/")[2] for name in one))
@pytest.mark.parametrize("how", ["truncated", "gone"])
def test_damage_is_read_around_and_repaired(long: Path, damaged: tuple[str, ...], how: str) -> None:
    good = account_files(long)
    for name in damaged:
        if how == "gone":
            (long / name).unlink()
        else:
            (long / name).write_bytes(good[name][:-20])
    with unrecovered(long):
        assert ids(long) == named(25)
        assert ids(long, last=3) == named(22, 25)
        with opened(long) as bank:
            assert show(bank, "a").messages == 25
    assert set(rules(long)) == set(damaged)
    done = repaired(long)
    assert {one.path for one in done.repaired} == set(damaged)
    assert {one.method for one in done.repaired} == {"rebuilt"}
    assert account_files(long) == good
    assert rules(long) == {}
    say(long, 25, 32)
    check(long, named(32))


def test_messages_go_on_while_files_are_damaged(long: Path) -> None:
    (long / WHOLE).write_bytes(b"{")
    (long / segment(1)).unlink()
    say(long, 25, 32)
    assert set(rules(long)) == {segment(1)}
    repaired(long)
    check(long, named(32))


def test_a_changed_segment_is_a_finding_and_not_believed(long: Path) -> None:
    data = (long / segment(11)).read_bytes()
    (long / segment(11)).write_bytes(data.replace(b"text 12", b"text 99"))
    assert rules(long) == {segment(11): "MB110"}
    with opened(long) as bank:
        assert [one["content"] for one in list_(bank, account="a")][12] == "text 12"


def test_one_lost_segment_leaves_the_others_in_use(long: Path, tmp_path: Path, run: Run) -> None:
    target = adopted(long, tmp_path)
    check(target, named(25))
    (target / segment(1)).write_bytes(b"")
    assert ids(target, last=15) == named(10, 25)
    with opened(target) as bank:
        assert show(bank, "a").messages == 25
        with pytest.raises(AccountDamaged, match=r"000000000001\.json is damaged"):
            list(list_(bank, account="a"))
    refused = run("message", "add", "x", "--id", "m3", "--account", "a", "--role", "user", "--bank", target, "--json")
    assert refused.error["code"] == "account_damaged"  # nobody can say whether it is there already
    assert [(one.path, one.method) for one in repaired(target).repaired] == [(segment(1), "journal")]
    check(target, named(25))


def test_a_segment_that_is_nowhere_else(path: Path, tmp_path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", str(number) * 20_000, id=f"m{number}") for number in range(4)])
    target = adopted(path, tmp_path)
    (target / segment(2)).unlink()
    (target / segment(3)).unlink()
    backed_up(path)
    done = repaired(target)
    assert [one.path for one in done.unrepaired] == [segment(2), segment(3)]
    assert ids(target, last=1) == ["m3"]


@pytest.mark.parametrize("damaged", [name for name in DAMAGES if name != (SHORT, MID)])
def test_what_only_a_snapshot_has(long: Path, tmp_path: Path, damaged: tuple[str, ...]) -> None:
    target = adopted(long, tmp_path)
    backed_up(target)
    say(target, 25, 28)
    good = account_files(target)
    for name in damaged:
        (target / name).write_bytes(b"")
    done = repaired(target)
    assert done.unrepaired == ()
    assert account_files(target) == good
    check(target, named(28))


def test_an_adopted_account_seals_on(long: Path, tmp_path: Path) -> None:
    target = adopted(long, tmp_path)
    say(target, 25, 28)
    assert journal(target)[-1]["base"] is None
    say(target, 28, 43)
    assert journal(target)[-1]["base"]["sealed"] == 40
    check(target, named(43))
    good = account_files(target)
    (target / WHOLE).unlink()
    assert ids(target) == named(43)
    repaired(target)
    assert account_files(target) == good


def test_a_history_of_which_the_journal_lost_a_part_is_not_taken_for_whole(long: Path) -> None:
    good = account_files(long)
    [file] = (long / ".memorybank/journal").iterdir()
    data = file.read_bytes()
    start = data.index(b'"record":"m22"')
    file.write_bytes(data[:start] + b"?" + data[start + 1 :])
    for one in (long / ".memorybank").glob("catalog*"):
        one.unlink()
    repaired(long)
    assert ids(long) == named(25)
    for name in (WHOLE, INDEX):
        (long / name).unlink()
    with opened(long) as bank, pytest.raises(AccountDamaged):
        read_history(bank, "a")
    done = repaired(long)
    assert {one.lost for one in done.repaired} == {"messages that neither the journal nor a file holds any more"}
    assert [one for one in named(25) if one not in ids(long)] == ["m22"]
    assert (long / INDEX).read_bytes() == good[INDEX]


# MB114


def accept(run: Run, path: Path, *names: str) -> None:
    assert run("accept", *names, "--bank", path).returncode == 0


def test_an_accepted_segment_does_not_fit_its_index(long: Path, run: Run) -> None:
    good = (long / segment(1)).read_bytes()
    (long / segment(1)).write_bytes(good.replace(b"text 3", b"text X"))
    accept(run, long, segment(1))
    assert rules(long) == {segment(1): "MB114"}
    assert ids(long) == named(25)
    [done] = repaired(long).repaired
    assert (done.path, done.rule, done.method) == (segment(1), "MB114", "rebuilt")
    assert (long / segment(1)).read_bytes() == good
    assert rules(long) == {}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        (WHOLE, lambda one: one.update(total=one["total"] + 1)),
        (WHOLE, lambda one: one["messages"].reverse()),
        (WHOLE, lambda one: one["messages"].pop(1)),
        (WHOLE, lambda one: one.update(first=1)),
        (WHOLE, lambda one: one.update(index=None)),
        (INDEX, lambda one: one["segments"].pop()),
        (INDEX, lambda one: one["segments"].reverse()),
    ],
)
def test_an_accepted_break_of_count_or_order(long: Path, run: Run, name: str, change: Any) -> None:
    good = account_files(long)
    found = value(long, name)
    change(found)
    (long / name).write_text(json.dumps(found))
    accept(run, long, name)
    assert set(rules(long).values()) == {"MB114"}
    assert repaired(long).unrepaired == ()
    assert rules(long) == {}
    assert ids(long) == named(25)
    assert account_files(long) == good


@pytest.mark.parametrize("change", [lambda one: one.reverse(), lambda one: one.pop(0)])
def test_an_index_that_the_head_names_and_that_is_broken(long: Path, run: Run, change: Any) -> None:
    found = value(long, INDEX)
    change(found["segments"])
    data = json.dumps(found).encode()
    (long / INDEX).write_bytes(data)
    head = value(long, WHOLE)
    (long / WHOLE).write_text(json.dumps({**head, "index": digests.of(data)}))
    accept(run, long, INDEX, WHOLE)
    assert rules(long) == {INDEX: "MB114"}


def test_an_adopted_unsealed_history_in_disorder_is_counted_anew(path: Path, tmp_path: Path) -> None:
    say(path, 5)
    found = value(path, WHOLE)
    found["messages"][2]["seq"] = 77
    (path / WHOLE).write_text(json.dumps(found))
    target = adopted(path, tmp_path)
    assert rules(target) == {WHOLE: "MB114"}
    assert ids(target) == named(5)
    assert [one.path for one in repaired(target).repaired] == [WHOLE]
    check(target, named(5))


# Of an older program


def unsealed(path: Path, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages as the program of issue 2 left them: one file, and nothing of it in the line of the rendering."""
    render = AccountApplier.render

    def older(self: AccountApplier, *arguments: Any) -> Any:
        return (one for one in render(self, *arguments) if not isinstance(one, dict))

    with monkeypatch.context() as patch:
        small_segments(patch, 10**6, 10**9)
        patch.setattr(AccountApplier, "render", older)
        say(path, count)


def test_a_damaged_head_of_an_older_program_comes_back_sealed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unsealed(path, 25, monkeypatch)
    (path / WHOLE).write_bytes(b"{")
    with unrecovered(path):
        assert ids(path) == named(25)
    assert {one.path for one in repaired(path).repaired} == {WHOLE, INDEX, segment(1), segment(11)}
    check(path, named(25))
    say(path, 25, 27)
    check(path, named(27))


def test_a_head_that_names_an_index_that_never_was(long: Path, tmp_path: Path) -> None:
    bare = tmp_path / "without"
    shutil.copytree(long, bare, ignore=shutil.ignore_patterns(".memorybank", "bank.json", "history"))
    init(Context(bank=str(bare)))
    assert rules(bare) == {WHOLE: "MB114"}
    with opened(bare) as bank, pytest.raises(AccountDamaged):
        list_(bank, account="a")
    assert [one.path for one in repaired(bare).unrepaired] == [WHOLE]


@pytest.mark.parametrize("name", [WHOLE, INDEX])
def test_what_its_own_schema_says_is_not_said_twice(long: Path, run: Run, name: str) -> None:
    data = b'{"account_id": "a"}'
    (long / name).write_bytes(data)
    if name == INDEX:
        (long / WHOLE).write_text(json.dumps({**value(long, WHOLE), "index": digests.of(data)}))
        accept(run, long, WHOLE)
    accept(run, long, name)
    assert rules(long) == {}
    assert rules(long, "MB201") == {name: "MB201"}


def test_histories_of_a_bank_without_a_baseline(long: Path) -> None:
    """Nothing was recorded: what stands there is held against itself all the same."""
    shutil.rmtree(long / ".memorybank")
    shutil.rmtree(long.parent / "state-home")
    with opened(long) as bank:
        assert list(histories(bank)) == []
    (long / INDEX).write_bytes((long / INDEX).read_bytes() + b"\n")
    with opened(long) as bank:
        assert [one.path for one in histories(bank)] == [INDEX]
        assert list(histories(bank, ["account_b"])) == []
        assert len(list(histories(bank, ["account_a"]))) == 1
