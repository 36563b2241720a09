"""Sealed histories end to end: what is written and when, killed at every place, damaged, rolled back, and the same."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memorybank_cli.accounts import history as history_module
from memorybank_cli.accounts import segments as segments_module
from memorybank_cli.accounts.applier import AccountApplier
from memorybank_cli.accounts.messages import Message
from memorybank_cli.accounts.segments import index_text, parse_index, parse_segment
from memorybank_cli.accounts.sources import read_history, rebuild_history
from memorybank_cli.bank import rendering
from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import digests
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import AccountDamaged
from memorybank_cli.operations import messages as messages_module
from memorybank_cli.operations.accounts import create, show
from memorybank_cli.operations.init import init
from memorybank_cli.operations.messages import list_, store
from memorybank_cli.operations.opening import open_bank
from memorybank_cli.operations.rollback import rollback
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, journal, opened, repaired, rules

WHOLE, SHORT, MID = (f"account_a/{name}.json" for name in ("whole_history", "short_term", "mid_term"))
INDEX = "account_a/history/index.json"


def small_segments(patch: pytest.MonkeyPatch, most: int = 10, largest: int = 4_000) -> None:
    """Seal after a few messages, so that a history of many segments is quickly made."""
    for module in (segments_module, history_module):
        patch.setattr(module, "MOST", most)
        patch.setattr(module, "LARGEST", largest)
    patch.setattr(messages_module, "MOST", most)


@pytest.fixture
def path(make_bank: MakeBank, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank with an account that has no message; ten messages are a segment."""
    small_segments(monkeypatch)
    made = make_bank(0, padded=False)
    with opened(made) as bank:
        create(bank, "a")
    return made


def texts(*numbers: int) -> list[Message]:
    return [Message("user", f"text {number}", id=f"m{number}") for number in range(*numbers)]


def say(path: Path, *numbers: int) -> None:
    with opened(path) as bank:
        store(bank, "a", texts(*numbers))


def leave(bank: Bank) -> None:
    """End as after kill -9: nothing is rendered or closed in order."""
    bank.catalog.close()
    bank.home.close()
    bank.root.close()


def say_and_die(path: Path, *numbers: int) -> None:
    bank = open_bank(Context(bank=str(path)))
    store(bank, "a", texts(*numbers))
    leave(bank)


def ids(path: Path, **options: Any) -> list[str]:
    with opened(path) as bank:
        return [one["id"] for one in list_(bank, account="a", **options)]


def named(*numbers: int) -> list[str]:
    return [f"m{number}" for number in range(*numbers)]


def account_files(path: Path) -> dict[str, bytes]:
    return {name: data for name, data in contents(path).items() if name.startswith("account_a/")}


def segment(first: int) -> str:
    return f"account_a/history/{first:012d}.json"


def value(path: Path, name: str) -> Any:
    return json.loads((path / name).read_bytes())


def check(path: Path, expected: list[str]) -> None:
    """Head, index and segments hold exactly these messages in order, the windows are right, digests agree."""
    whole = value(path, WHOLE)
    found: list[dict[str, Any]] = []
    if whole["index"] is not None:
        index = (path / INDEX).read_bytes()
        assert digests.of(index) == whole["index"]
        for one in parse_index(index):
            listed, messages = parse_segment((path / segment(one.first)).read_bytes())
            assert listed == one
            found += messages
    assert whole["first"] == (len(found) + 1 if whole["messages"] else 0)
    found += whole["messages"]
    assert [one["id"] for one in found] == expected
    assert [one["seq"] for one in found] == list(range(1, len(found) + 1))
    assert whole["total"] == whole["status"]["message_count"] == len(found)
    assert value(path, SHORT)["messages"] == found[-50:]
    assert value(path, MID)["messages"] == found[-250:-50]
    assert rules(path) == {}


# What is written


def test_full_segments_are_sealed(path: Path) -> None:
    say(path, 25)
    assert set(account_files(path)) >= {segment(1), segment(11), INDEX}
    assert [one["id"] for one in value(path, WHOLE)["messages"]] == named(20, 25)
    check(path, named(25))
    assert ids(path) == named(25)
    say(path, 25, 30)
    assert value(path, WHOLE)["messages"] == []
    check(path, named(30))


def test_a_sealed_segment_is_never_written_again(path: Path) -> None:
    say(path, 25)
    sealed = {name: (path / name).stat().st_ino for name in (segment(1), segment(11))}
    index = (path / INDEX).stat().st_ino
    say(path, 25, 27)
    assert (path / INDEX).stat().st_ino == index
    assert {row[0] for row in journal(path)[-1]["files"]}.isdisjoint({*sealed, INDEX})
    say(path, 27, 45)
    assert {name: (path / name).stat().st_ino for name in sealed} == sealed
    assert {row[0] for row in journal(path)[-1]["files"]} >= {segment(21), segment(31), INDEX, WHOLE}
    check(path, named(45))


def test_large_messages_fill_segments_too(path: Path) -> None:
    with opened(path) as bank:
        store(bank, "a", [Message("user", "x" * 1_500, id=f"m{number}") for number in range(5)])
        store(bank, "a", [Message("user", "x" * 9_000, id="m5"), Message("user", "small", id="m6")])
    check(path, named(7))
    sizes = [one.length for one in parse_index((path / INDEX).read_bytes())]
    assert sizes == [2, 2, 1, 1]


def test_the_journal_remembers_where_the_open_part_begins(path: Path) -> None:
    say(path, 7)
    base = journal(path)[-1]["base"]
    assert (base["line"], base["sealed"], base["digest"]) == (0, 0, "")
    say(path, 7, 12)
    core = journal(path)[-1]
    assert core["base"]["sealed"] == 10
    assert core["base"]["digest"] == value(path, WHOLE)["index"]
    [line] = [one for one in journal(path) if one.get("record") == "m9"]
    assert core["base"]["line"] == line["seq"]


def test_what_waits_does_not_grow(path: Path) -> None:
    """Who stores again and again without closing seals on the way."""
    with opened(path) as bank:
        for start in range(0, 40, 4):
            store(bank, "a", texts(start, start + 4))
            since = bank.catalog.unrendered_since("a")
            assert since is None or bank.end.seq - since < 15
        assert (path / segment(11)).exists()
        assert show(bank, "a").messages == 40
    check(path, named(40))


@pytest.mark.parametrize("count", [9, 10, 37, 300])
def test_an_unsealed_history_of_any_length_is_sealed_at_its_next_rendering(
    path: Path, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        small_segments(patch, 10**6, 10**9)
        say(path, count)
    assert value(path, WHOLE)["index"] is None
    assert ids(path) == ids(path, last=count) == named(count)
    say(path, count, count + 1)
    check(path, named(count + 1))
    with opened(path) as bank:
        assert store(bank, "a", texts(count + 1)).duplicates == count + 1


# Reading


def test_the_filters_over_segments(path: Path) -> None:
    say(path, 34)
    assert ids(path, last=3) == named(31, 34)
    assert ids(path, last=17) == named(17, 34)
    assert ids(path, last=99) == named(34)
    assert ids(path, grep="[05]$") == [f"m{number}" for number in range(0, 34, 5)]
    assert ids(path, grep="[05]$", last=2) == ["m25", "m30"]
    assert ids(path, last=0) == []


def test_the_newest_need_no_older_segment(path: Path) -> None:
    say(path, 95)
    for first in range(1, 72, 10):
        (path / segment(first)).write_bytes(b"")
    with opened(path) as bank:
        found = read_history(bank, "a")
        assert [one["id"] for one in found.newest(12)] == named(83, 95)
        assert found.total == 95
    assert ids(path, last=12) == named(83, 95)


# Killed on the way


class Killed(BaseException):
    """The process is gone."""


def dying_at(number: int) -> Any:
    """`rendering.put`, which is killed before it puts the file `number`; every file before it stands."""
    put, count = rendering.put, iter(range(10**6))

    def call(*arguments: Any) -> Any:
        if next(count) == number:
            raise Killed
        return put(*arguments)

    return call


STEPS = range(9)  # two segments, index, head, three windows and account: eight files, then the line that tells of them


@pytest.mark.parametrize("before", [0, 8, 260])
@pytest.mark.parametrize("step", STEPS)
def test_a_kill_between_the_files(path: Path, step: int, before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    say(path, before)
    bank = open_bank(Context(bank=str(path)))
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "put", dying_at(step))
        patch.setattr(Bank, "_append", _only(Bank._append, "files.rendered"))
        with pytest.raises(Killed):
            store(bank, "a", texts(before, before + 27))
            bank.render()
    leave(bank)
    killed = account_files(path)
    assert ids(path, last=5) == named(before + 22, before + 27)
    assert rules(path) == {}
    assert not (path / ".memorybank/quarantine").exists()
    check(path, named(before + 27))
    assert all(account_files(path)[name] == data for name, data in killed.items() if "/history/0" in name)
    with opened(path) as again:
        assert store(again, "a", texts(before + 28)).added == 1
    check(path, named(before + 28))


def _only(append: Any, op: str) -> Any:
    """`Bank._append`, which is killed before it writes the line of a rendering."""

    def call(self: Bank, groups: list[Any], *arguments: Any, **options: Any) -> Any:
        if [entry.op for entry in groups[0]] == [op]:
            raise Killed
        return append(self, groups, *arguments, **options)

    return call


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_and_more_messages_before_the_next_rendering(
    path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(path, 8)
    bank = open_bank(Context(bank=str(path)))
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "put", dying_at(step))
        patch.setattr(Bank, "_append", _only(Bank._append, "files.rendered"))
        with pytest.raises(Killed):
            store(bank, "a", texts(8, 35))
            bank.render()
    leave(bank)
    say(path, 35, 52)
    assert not (path / ".memorybank/quarantine").exists()
    check(path, named(52))


def test_files_of_a_killed_rendering_are_ours(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    say(path, 8)
    bank = open_bank(Context(bank=str(path)))
    with monkeypatch.context() as patch:
        patch.setattr(Bank, "_append", _only(Bank._append, "files.rendered"))
        with pytest.raises(Killed):
            store(bank, "a", texts(8, 35))
            bank.render()
    applier = AccountApplier()
    for name, data in account_files(path).items():
        assert applier.is_rendering(bank, name, data), name
        assert not applier.is_rendering(bank, name, data.replace(b"text 1", b"test 1").replace(b'"m', b'"n')) or (
            b"text 1" not in data and b'"m' not in data
        )
    index = parse_index((path / INDEX).read_bytes())
    assert applier.is_rendering(bank, INDEX, index_text("a", index[:2]))
    assert not applier.is_rendering(bank, INDEX, index_text("a", index[1:]))
    assert not applier.is_rendering(bank, INDEX, b"[]")
    leave(bank)


def test_an_append_that_was_not_finished_is_no_message(path: Path) -> None:
    """What a kill left behind the journal's end is neither counted nor known: it is cut, and can be added again."""
    say(path, 3)
    [file] = (path / ".memorybank/journal").iterdir()
    good = file.read_bytes()
    say_and_die(path, 3, 8)
    lines = file.read_bytes()[len(good) :].splitlines(keepends=True)
    (path / ".memorybank/index.sqlite").unlink()
    for one in (path / ".memorybank").glob("catalog*"):
        one.unlink()
    shutil.rmtree(path.parent / "state-home")
    file.write_bytes(good + b"".join(lines[:3]))
    assert ids(path) == named(3)
    with opened(path) as bank:
        done = store(bank, "a", texts(8))
    assert (done.added, done.duplicates, done.total) == (5, 3, 8)
    check(path, named(8))


# Damage


@pytest.fixture
def long(path: Path) -> Path:
    """An account of 25 messages in two segments and a head."""
    say(path, 15)
    say(path, 15, 25)
    return path


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
    assert ids(long) == named(25)
    assert ids(long, last=3) == named(22, 25)
    assert set(rules(long)) == set(damaged)
    with opened(long) as bank:
        assert show(bank, "a").messages == 25
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


def adopted(path: Path, tmp_path: Path) -> Path:
    """A bank around the account's files: what they hold stands in no line of its journal."""
    target = tmp_path / "adopted"
    shutil.copytree(path, target, ignore=shutil.ignore_patterns(".memorybank", "bank.json"))
    init(Context(bank=str(target)))
    return target


def test_one_lost_segment_leaves_the_others_in_use(long: Path, tmp_path: Path, run: Run) -> None:
    target = adopted(long, tmp_path)
    check(target, named(25))
    (target / segment(1)).write_bytes(b"")
    assert ids(target, last=15) == named(10, 25)
    with opened(target) as bank:
        assert show(bank, "a").messages == 25
        with pytest.raises(AccountDamaged, match="000000000001.json is damaged"):
            list(list_(bank, account="a"))
    refused = run("message", "add", "x", "--account", "a", "--role", "user", "--bank", target, "--json")
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


@pytest.mark.parametrize("step", range(3, 9))
def test_an_adopted_account_is_killed_after_its_head(
    long: Path, tmp_path: Path, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = adopted(long, tmp_path)
    bank = open_bank(Context(bank=str(target)))
    with monkeypatch.context() as patch:
        patch.setattr(rendering, "put", dying_at(step))
        patch.setattr(Bank, "_append", _only(Bank._append, "files.rendered"))
        with pytest.raises(Killed):
            store(bank, "a", texts(25, 47))
            bank.render()
    leave(bank)
    assert ids(target) == named(47)
    check(target, named(47))
    say(target, 47, 63)
    check(target, named(63))


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
    with opened(long) as bank:
        assert rebuild_history(bank, "a") is None
        with pytest.raises(AccountDamaged):
            read_history(bank, "a")
    done = repaired(long)
    assert {one.lost for one in done.repaired} == {"messages that neither the journal nor a file holds any more"}
    assert [one for one in named(25) if one not in ids(long)] == ["m22"]
    assert (long / INDEX).read_bytes() == good[INDEX]


# Rolled back


def test_a_rollback_takes_segments_with_it(path: Path) -> None:
    say(path, 25)
    snapshot = backed_up(path).document
    assert snapshot is not None
    before = account_files(path)
    say(path, 25, 3_025)
    with opened(path) as bank:
        report = rollback(bank, snapshot.id, account="a", yes=True)
    assert set(report.removed) == {segment(first) for first in range(21, 3_012, 10)}
    assert account_files(path) == before
    check(path, named(25))
    with opened(path) as bank:
        again = store(bank, "a", texts(20, 3_025))
    assert (again.added, again.duplicates, again.total) == (3_000, 5, 3_025)
    check(path, named(3_025))
    with opened(path) as bank:
        rollback(bank, report.safety_snapshot or "", account="a", yes=True)
        assert store(bank, "a", texts(3_025)).added == 0
    check(path, named(3_025))
    for name in account_files(path):
        (path / name).unlink()
    repaired(path)
    check(path, named(3_025))


def test_a_rollback_and_then_damage(path: Path) -> None:
    say(path, 25)
    backed_up(path)
    say(path, 25, 47)
    with opened(path) as bank:
        rollback(bank, account="a", yes=True)
    with opened(path) as bank:
        store(bank, "a", [Message("user", "other", id=f"o{number}") for number in range(3)])
    good = account_files(path)
    expected = [*named(25), "o0", "o1", "o2"]
    for name in good:
        (path / name).unlink()
    assert ids(path) == expected
    repaired(path)
    assert account_files(path) == good
    check(path, expected)


def test_only_the_head_rolled_back(path: Path) -> None:
    """An odd request: the head goes back behind the index, which is cut back to it."""
    say(path, 25)
    backed_up(path)
    say(path, 25, 47)
    with opened(path) as bank:
        rollback(bank, path=(WHOLE,), yes=True)
    assert rules(path) == {INDEX: "MB114"}
    assert ids(path) == named(25)
    assert [one.path for one in repaired(path).repaired] == [INDEX]
    assert rules(path) == {}
    say(path, 25, 40)
    assert ids(path) == named(40)
    check(path, named(40))


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


def test_an_adopted_unsealed_history_in_disorder_is_counted_anew(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(path, 5)
    found = value(path, WHOLE)
    found["messages"][2]["seq"] = 77
    (path / WHOLE).write_text(json.dumps(found))
    target = adopted(path, tmp_path)
    assert rules(target) == {WHOLE: "MB114"}
    assert ids(target) == named(5)
    assert [one.path for one in repaired(target).repaired] == [WHOLE]
    check(target, named(5))


# The same journal, the same bytes


@st.composite
def batches(draw: st.DrawFn) -> list[list[tuple[int, int]]]:
    """Batches of (id, length of the text); some ids come twice."""
    one = st.tuples(st.integers(0, 60), st.sampled_from([1, 20, 300, 1_500, 5_000]))
    return draw(st.lists(st.lists(one, max_size=25), min_size=1, max_size=6))


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    place = tmp_path_factory.mktemp("bare")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORYBANK_STATE_HOME", str(place / "home"))
        yield place


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(given_batches=batches(), die=st.booleans())
def test_any_batches(
    given_batches: list[list[tuple[int, int]]], die: bool, bare: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small_segments(monkeypatch)
    path = bare / "bank"
    shutil.rmtree(path, ignore_errors=True)
    shutil.rmtree(bare / "home", ignore_errors=True)
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(bare / "home"))
    path.mkdir(mode=0o700)
    init(Context(bank=str(path)))
    expected: list[str] = []
    with opened(path) as bank:
        create(bank, "a")
    for batch in given_batches:
        bank = open_bank(Context(bank=str(path)))
        before = len(expected)
        done = store(bank, "a", [Message("user", "x" * size, id=f"i{number}") for number, size in batch])
        for number, _ in batch:
            if f"i{number}" not in expected:
                expected.append(f"i{number}")
        assert (done.added, done.total) == (len(expected) - before, len(expected))
        assert done.moved_to_mid_term == max(0, len(expected) - 50) - max(0, before - 50)
        leave(bank) if die else bank.close()
    assert ids(path) == expected
    check(path, expected)
    good = account_files(path)
    for name in good:
        (path / name).unlink()
    for one in (path / ".memorybank").glob("*.sqlite*"):
        one.unlink()
    assert ids(path) == expected
    repaired(path)
    assert account_files(path) == good
    check(path, expected)
    with opened(path) as bank:
        assert store(bank, "a", [Message("user", "again", id=one) for one in expected]).added == 0


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
