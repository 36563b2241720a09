"""The newest messages: by the windows' files alone where those tell, else by the history, in bounded memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.accounts import newest as newest_module
from memorybank_cli.accounts.newest import in_windows
from memorybank_cli.base.walk import Root
from memorybank_cli.operations.accounts import create
from memorybank_cli.operations.messages import list_
from tests.accounts.sealed import MID, SHORT, WHOLE, adopted, ids, named, say, say_and_die, value
from tests.operations.banks import opened


def test_only_the_windows_are_read(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(long) as bank:
        create(bank, "a", short_term=5, mid_term=8)
    read: list[str] = []
    content = Root.content

    def told(self: Root, path: str, *limits: Any) -> bytes | None:
        read.append(path)
        return content(self, path, *limits)

    with opened(long) as bank:
        list(list_(bank, account="a", last=1))  # the first use looks whether every file is sound
        monkeypatch.setattr(Root, "content", told)
        for count, files in ((0, [SHORT]), (3, [SHORT]), (5, [SHORT]), (6, [SHORT, MID]), (13, [SHORT, MID])):
            read.clear()
            assert [one["id"] for one in list_(bank, account="a", last=count)] == named(25 - count, 25)
            assert read == files
        assert [one["id"] for one in list_(bank, account="a", last=14)] == named(11, 25)
        assert [one["id"] for one in list_(bank, account="a", last=99)] == named(25)


def test_a_short_account_is_all_in_its_windows(path: Path) -> None:
    with opened(path) as bank:
        assert in_windows(bank, "a", 5) == []
    say(path, 3)
    with opened(path) as bank:
        found = in_windows(bank, "a", 99)
        assert found is not None
        assert [one["seq"] for one in found] == [1, 2, 3]


def test_where_the_windows_do_not_tell(long: Path, tmp_path: Path) -> None:
    good = (long / SHORT).read_bytes()
    for data in (b"{", good.replace(b"text 20", b"text 02")):
        (long / SHORT).write_bytes(data)
        with opened(long) as bank:
            assert in_windows(bank, "a", 3) is None
        assert ids(long, last=3) == named(22, 25)
    (long / SHORT).write_bytes(good)
    target = adopted(long, tmp_path)
    with opened(target) as bank:
        assert in_windows(bank, "a", 3) is not None
    say_and_die(long, 25, 27)
    assert ids(long, last=3) == named(24, 27)


@pytest.mark.parametrize("data", [b"[]", b"{}", b'{"messages": [1]}', b'{"messages": [{"seq": "1"}]}'])
def test_windows_that_somebody_else_made(long: Path, tmp_path: Path, data: bytes) -> None:
    (long / SHORT).write_bytes(data)
    target = adopted(long, tmp_path)
    with opened(target) as bank:
        assert in_windows(bank, "a", 3) is None
    assert ids(target, last=3) == named(22, 25)


def test_many_of_a_kind_are_found_and_then_read_again(long: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    some = named(5, 25)[::5]
    pattern = "text (5|10|15|20)$"
    for at_once in (1_000, 2):
        monkeypatch.setattr(newest_module, "AT_ONCE", at_once)
        assert ids(long, grep=pattern) == some
        assert ids(long, grep=pattern, last=3) == some[1:]
        assert ids(long, grep=pattern, last=9) == some
        assert ids(long, grep="nothing of the kind", last=9) == []
    assert value(long, WHOLE)["total"] == 25
