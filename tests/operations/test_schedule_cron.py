from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.operations import schedule_cron
from tests.operations.schedulers import Crontab

ONE, TWO = "01a20059-787d-7b0d-9d19-895c993cb36e", "01a20059-787d-7b0d-9d19-895c993cb36f"
COMMANDS = {"daily": ["/bin/mb", "maintain", "daily", "--bank", "/srv/bank"]}


def block(bank_id: str = ONE, **environment: str) -> list[str]:
    return schedule_cron.lines(bank_id, COMMANDS, environment)


def text(bank_id: str = ONE) -> bytes:
    return "".join(f"{line}\n" for line in block(bank_id)).encode()


def test_a_block_is_marked_with_the_bank() -> None:
    assert block(HOME="/a b") == [
        f"# >>> memorybank {ONE} >>>",
        "# Written by `memorybank schedule install`; `memorybank schedule remove` takes it away.",
        "0 6 * * * HOME='/a b' /bin/mb maintain daily --bank /srv/bank",
        f"# <<< memorybank {ONE} <<<",
    ]


def test_percent_signs_do_not_end_the_command() -> None:
    [line] = schedule_cron.lines(ONE, {"daily": ["mb", "/a%b"]}, {})[2:-1]
    assert line == "0 6 * * * mb /a\\%b"
    for path in ("/a\nb", "/a\\b", "/a\x1bb", "/\udcff"):
        with pytest.raises(OperationFailed, match="no crontab can hold the path"):
            schedule_cron.lines(ONE, {"daily": ["mb", path]}, {})


LINES = st.lists(
    st.sampled_from([b"", b"# a comment", b"0 1 * * * backup", b"MAILTO=me", b"\xff\xfe", b"# >>> memorybank x >>>"])
)


@given(before=LINES, after=LINES)
def test_what_is_not_ours_stays_byte_for_byte(before: list[bytes], after: list[bytes]) -> None:
    head, tail = (b"".join(line + b"\n" for line in part) for part in (before, after))
    there = head + text(TWO) + text() + tail
    assert schedule_cron.with_block(there, ONE, ()) == head + text(TWO) + tail
    assert schedule_cron.with_block(there, ONE, block()) == there
    assert schedule_cron.with_block(head, ONE, block()) == head + text()
    assert schedule_cron.with_block(schedule_cron.with_block(head, ONE, block()), ONE, ()) == head
    twice = head + text() + tail + text()
    assert schedule_cron.with_block(twice, ONE, block()) == head + text() + tail
    assert schedule_cron.block(there, ONE) == text()
    assert schedule_cron.block(head, ONE) == b""


def test_a_last_line_without_an_end_gets_one() -> None:
    assert schedule_cron.with_block(b"MAILTO=me", ONE, block()) == b"MAILTO=me\n" + text()
    assert schedule_cron.with_block(text()[:-1], ONE, ()) == b""
    assert schedule_cron.with_block(b"MAILTO=me", ONE, ()) == b"MAILTO=me"


BLOCK = text().splitlines(keepends=True)


@pytest.mark.parametrize(
    "lines",
    [
        BLOCK[1:],
        BLOCK[:-1],
        BLOCK[::-1],
        [BLOCK[0], *BLOCK, BLOCK[-1]],
        [line.replace(b"\n", b"\r\n") for line in BLOCK],
    ],
    ids=["no begin", "no end", "turned around", "nested", "as Windows writes"],
)
def test_a_block_that_lost_a_mark_is_left_alone(lines: list[bytes]) -> None:
    with pytest.raises(OperationFailed, match="has lost one of its marks") as error:
        schedule_cron.with_block(b"".join(lines), ONE, ())
    assert error.value.hint.startswith("crontab -e")


def test_a_crontab_is_read_and_written(crontab: Crontab) -> None:
    assert schedule_cron.read() == b""
    schedule_cron.write(b"", text())
    assert (schedule_cron.read(), crontab.content) == (text(), text())
    schedule_cron.write(text(), text())
    assert crontab.calls == ["-l", "-l", "-", "-l"]
    schedule_cron.write(text(), b"\n")
    assert crontab.content is None


def test_one_that_cannot_be_read_is_never_written(crontab: Crontab) -> None:
    crontab.fails("You (bot) are not allowed to use this program (crontab)\nSee crontab(1)")
    with pytest.raises(OperationFailed, match=r"cannot be read: You \(bot\) are not allowed"):
        schedule_cron.read()
    with pytest.raises(OperationFailed, match="cannot be read"):
        schedule_cron.write(b"", text())
    assert crontab.calls == ["-l", "-l"]


def test_one_that_changed_meanwhile_is_not_overwritten(crontab: Crontab) -> None:
    crontab.put(b"0 0 * * * new\n")
    with pytest.raises(OperationFailed, match="somebody else changed the crontab just now"):
        schedule_cron.write(b"", text())
    assert crontab.content == b"0 0 * * * new\n"


def test_cron_s_own_complaint_is_passed_on(crontab: Crontab) -> None:
    crontab.refuses('"-":1: bad minute')
    with pytest.raises(OperationFailed, match="'crontab -' failed: \"-\":1: bad minute"):
        schedule_cron.write(b"", text())


def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperationFailed, match="there is no program 'crontab' here"):
        schedule_cron.read()
