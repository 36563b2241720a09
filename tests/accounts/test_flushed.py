"""Which messages are durable outside the journal."""

from __future__ import annotations

from pathlib import Path

from memorybank_cli.accounts.flushed import mark, sealed
from memorybank_cli.operations.accounts import create
from tests.accounts.sealed import INDEX, WHOLE, say, segment
from tests.operations.banks import opened


def marked(path: Path) -> int:
    with opened(path) as bank:
        return mark(bank, "a")


def test_the_mark_is_the_last_sealed_message(long: Path) -> None:
    with opened(long) as bank:
        [line] = [line for line in bank.journal.lines() if line.core.get("record") == "m19"]
    assert marked(long) == line.seq


def test_nothing_is_sealed_yet(path: Path) -> None:
    assert marked(path) == 0
    say(path, 5)
    assert marked(path) == 0
    with opened(path) as bank:
        assert mark(bank, "nobody") == 0


def test_what_is_not_there_is_not_durable(long: Path) -> None:
    for name in (segment(1), segment(11), INDEX):
        data = (long / name).read_bytes()
        with opened(long) as bank:
            (long / name).unlink()
            assert mark(bank, "a") == 0, name
            (long / name).write_bytes(data[:-1])
            assert mark(bank, "a") == 0, name
            (long / name).write_bytes(data)
            assert mark(bank, "a") > 0


def test_a_history_that_nobody_gives(long: Path) -> None:
    with opened(long) as bank:
        for one in (long / "account_a/history").iterdir():
            one.unlink()
        (long / WHOLE).unlink()
        assert mark(bank, "a") == 0
        assert not any(map(sealed(bank, ["a"]), bank.journal.lines()))


def test_lines_of_others_are_not_told_of(long: Path) -> None:
    with opened(long) as bank:
        create(bank, "b")
        may_go = sealed(bank, ["a", "b", "nobody"])
        gone = [line.core["record"] for line in bank.journal.lines() if may_go(line)]
        assert gone == [f"m{number}" for number in range(20)]
        assert not any(map(sealed(bank, ["b"]), bank.journal.lines()))
