"""The channels that stay on this machine, and how definitions become channels."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.alerts.channels import appending, command, table, terminal
from memorybank_cli.alerts.channels.appending import AppendingChannel
from memorybank_cli.alerts.channels.command import CommandChannel
from memorybank_cli.alerts.channels.table import Unfit, make
from memorybank_cli.alerts.channels.values import Message, Undelivered, span, title
from memorybank_cli.alerts.channels.webhook import WebhookChannel
from memorybank_cli.base import locks
from memorybank_cli.base.walk import Root
from tests.alerts.receivers import alert, notice
from tests.waiting import until


def message(*alerts: Any, **fields: Any) -> Message:
    return Message(notice("desk", *alerts).as_dict(), **fields)


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "bank/.memorybank").mkdir(parents=True)
    root = Root(tmp_path / "bank")
    yield root
    root.close()


# Words


def test_a_message_in_words_says_what_to_do_and_is_safe_for_a_terminal() -> None:
    told = message(alert(1, message="bad \x1b]0;x\x07 \u202e name"), alert(2, state="resolved"))
    assert told.text() == (
        "memorybank /srv/memory: 1 alert, 1 resolved (data error trades)\n"
        "error MB102 trades/1.json: bad \\x1b]0;x\\x07 \\xe2\\x80\\xae name\n"
        "    memorybank repair\n"
        "resolved MB102 trades/2.json: bytes follow\n"
    )


def test_a_message_says_how_late_it_is_and_what_it_stands_for() -> None:
    words = message(late=7_300.0, stands_for=120).text()
    assert "Late by 2 hours" in words
    assert "stands for 120 messages" in words
    assert "Late" not in message(late=59.0).text()


def test_of_many_alerts_the_first_are_named() -> None:
    words = message(*(alert(number) for number in range(30))).text()
    assert words.count("trades/") == 10
    assert words.endswith("... and 20 more: memorybank alert list\n")


def test_a_test_says_that_it_is_one() -> None:
    assert title({"bank": "/b", "test": True}) == "memorybank /b: a test. Who reads this is told of alerts."
    assert title({"bank": "/b", "group": "g", "firing": 0, "resolved": 2}) == "memorybank /b: 2 resolved (g)"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(1, "1 second"), (119, "1 minute"), (7_200, "2 hours"), (86_400, "1 day"), (400_000, "4 days")],
)
def test_spans_in_words(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_a_line_for_the_terminal_has_the_worst_severity() -> None:
    line = terminal.line(notice("terminal", alert(1, "warning"), alert(2, "critical"), alert(3, "error")))
    assert (line["type"], line["severity"], line["firing"]) == ("alert", "critical", 3)
    assert line["message"].endswith("3 alerts (data error trades)")
    many = terminal.line(notice("terminal", *(alert(number, state="resolved") for number in range(50))))
    assert (len(many["alerts"]), many["resolved"], many["severity"]) == (20, 50, "info")


# Files


def test_each_message_is_a_line_of_json(tmp_path: Path) -> None:
    channel = AppendingChannel(str(tmp_path), "alerts.log", 1 << 20)
    channel.send(message(alert(1, message="\u202e\x1b")))
    channel.send(message(late=5.0))
    channel.close()
    data = (tmp_path / "alerts.log").read_bytes()
    assert data.isascii()
    assert data.endswith(b"\n")
    first, second = map(json.loads, data.splitlines())
    assert first["alerts"][0]["message"] == "\u202e\x1b"
    assert second["delivery"]["late_seconds"] == 5.0
    assert (tmp_path / "alerts.log").stat().st_mode & 0o777 == 0o600
    assert channel.limit > 0


def test_it_is_rotated_and_never_grows_beyond_twice_the_limit(tmp_path: Path) -> None:
    channel, sent = AppendingChannel(str(tmp_path), "log", 3_000), []
    for number in range(20):
        one = message(alert(number))
        channel.send(one)
        sent.append(one.id)
    both = [(tmp_path / name).read_bytes() for name in ("log.1", "log")]
    assert all(len(data) <= 3_000 for data in both)
    kept = [json.loads(line)["id"] for data in both for line in data.splitlines()]
    assert kept == sent[-len(kept) :]
    assert sorted(os.listdir(tmp_path)) == ["log", "log.1"]


def test_many_who_append_and_rotate_lose_no_line_of_the_last_two_files(tmp_path: Path) -> None:
    channel = AppendingChannel(str(tmp_path), "log", 100_000)

    def send() -> None:
        for _ in range(20):
            channel.send(message())

    threads = [threading.Thread(target=send) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    lines = [json.loads(line)["id"] for line in (tmp_path / "log").read_bytes().splitlines()]
    assert len(set(lines)) == len(lines) == 80


@pytest.mark.parametrize("kind", ["missing", "file", "link", "pipe", "directory"])
def test_what_cannot_be_appended_to_is_told(tmp_path: Path, kind: str) -> None:
    place, name = tmp_path / "place", "log"
    if kind == "file":
        place.write_bytes(b"")
    elif kind == "link":
        (tmp_path / "other").mkdir()
        place.symlink_to(tmp_path / "other")
    elif kind != "missing":
        place.mkdir()
        (os.mkfifo if kind == "pipe" else os.mkdir)(place / name)
    with pytest.raises(Undelivered) as caught:
        AppendingChannel(str(place), name, 1 << 20).send(message())
    assert caught.value.reason
    assert not (tmp_path / "other/log").exists()


def test_a_full_disk_is_told_and_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    channel = AppendingChannel(str(tmp_path), "log", 1 << 20)
    channel.send(message())
    before = (tmp_path / "log").read_bytes()
    real = os.pwrite

    def half(fd: int, data: bytes, offset: int) -> int:
        if len(data) < 100:
            raise OSError(28, "No space left on device")
        return real(fd, data[: len(data) - 50], offset)

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(Undelivered, match="the disk is full"):
        channel.send(message())
    assert (tmp_path / "log").read_bytes() == before


def test_one_who_holds_the_file_for_long_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "_PATIENCE", 0.05)
    held = Root(tmp_path)
    try:
        locks.hold_root(held)
        with pytest.raises(Undelivered, match="another process holds"):
            AppendingChannel(str(tmp_path), "log", 1 << 20).send(message())
    finally:
        held.close()


# Programs


def shell(script: str, seconds: float = 10.0, **more: Any) -> CommandChannel:
    return CommandChannel(["/bin/sh", "-c", script], seconds, **more)


def test_a_program_gets_json_or_words_on_stdin(tmp_path: Path) -> None:
    one = message()
    shell(f"cat > {tmp_path}/json; pwd > {tmp_path}/where").send(one)
    shell(f"cat > {tmp_path}/words", words=True).send(one)
    assert json.loads((tmp_path / "json").read_bytes())["id"] == one.id
    assert (tmp_path / "words").read_text() == one.text()
    assert (tmp_path / "where").read_text() == "/\n"


def test_no_argument_is_read_by_a_shell(tmp_path: Path) -> None:
    CommandChannel(["/usr/bin/touch", f"{tmp_path}/a b; $(id)"]).send(message())
    assert [one.name for one in tmp_path.iterdir()] == ["a b; $(id)"]


def test_our_own_settings_are_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMORYBANK_PASSWORD_FILE", "/nowhere")
    monkeypatch.setenv("OTHER", "stays")
    shell(f"env > {tmp_path}/env").send(message())
    text = (tmp_path / "env").read_text()
    assert "MEMORYBANK_" not in text
    assert "OTHER=stays" in text


@pytest.mark.parametrize(
    ("script", "words"), [("exit 3", "exit code 3"), ("kill -9 $$", "signal 9"), ("exec 0<&-; exit 1", "exit code 1")]
)
def test_how_a_program_failed(script: str, words: str) -> None:
    with pytest.raises(Undelivered, match=f"sh ended with {words}"):
        shell(script).send(message(alert(1, message="x" * 500_000)))


def test_a_program_that_does_not_read_may_still_succeed() -> None:
    shell("exit 0").send(message(alert(1, message="x" * 500_000)))


@pytest.mark.parametrize("argv", [["/nowhere/s3cret-program", "--token=horse"], ["/etc/passwd", "horse"], ["/bin/\0"]])
def test_a_program_that_cannot_be_run(argv: list[str]) -> None:
    channel = CommandChannel(argv)
    with pytest.raises(Undelivered, match="cannot run") as caught:
        channel.send(message())
    assert "horse" not in caught.value.reason + repr(channel)


def gone(pid: int) -> bool:
    """Whether a process ended, or only waits to be taken note of by init."""
    try:
        state = re.sub(r"^.*\) ", "", Path(f"/proc/{pid}/stat").read_text())
    except FileNotFoundError:
        return True
    return state.startswith("Z")


def test_a_program_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that ends when it is asked, one that doesn't, and one that ends and leaves a child that doesn't."""
    monkeypatch.setattr(command, "GRACE", 0.2)
    reasons: dict[str, str] = {}

    def hang(name: str, trap: str) -> None:
        child = f"/bin/sh -c 'trap \"\" TERM; echo $$ > {tmp_path}/{name}-child; sleep 300; sleep 300'"
        script = f"{trap}{child} & echo $$ > {tmp_path}/{name}; wait; wait; sleep 300"
        try:
            shell(script, 2.0).send(message(alert(1, message="x" * 500_000)))
        except Undelivered as error:
            reasons[name] = error.reason

    traps = {"polite": "", "stubborn": "trap '' TERM; ", "leaving": "trap 'exit 0' TERM; "}
    threads = [threading.Thread(target=hang, args=one) for one in traps.items()]
    for one in threads:
        one.start()
    for one in threads:
        one.join(60)
    assert reasons == dict.fromkeys(traps, "sh did not end within 2 seconds")
    for path in tmp_path.iterdir():
        until(partial(gone, int(path.read_text())))
    assert len(list(tmp_path.iterdir())) == 6


def test_closing_ends_what_runs(tmp_path: Path) -> None:
    channel = shell(f"echo $$ > {tmp_path}/pid; exec sleep 300", 60.0)
    failed: list[str] = []

    def send() -> None:
        try:
            channel.send(message())
        except Undelivered as error:
            failed.append(error.reason)

    thread = threading.Thread(target=send)
    thread.start()
    until(lambda: failed or ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text()))
    channel.close()
    thread.join(20)
    assert failed == [f"sh ended with signal {signal.SIGTERM.value}"]
    assert gone(int((tmp_path / "pid").read_text()))
    channel.close()
    with pytest.raises(Undelivered, match="sh ended with signal"):  # it was being started when the end came
        channel.send(message())


# Definitions


def test_good_definitions(bank: Root, tmp_path: Path) -> None:
    file = make("f", {"kind": "file", "path": f"{tmp_path}/x.log", "max_mib": 3, "description": "mine"}, bank, own=True)
    assert file == AppendingChannel(str(tmp_path), "x.log", 3 << 20)
    made = make("c", {"kind": "command", "argv": ["cat"], "timeout": 3, "format": "text"}, bank, own=True)
    assert made.limit > 3
    hook = {
        "kind": "webhook",
        "url": "https://example.org/x",
        "secret_file": "/s",
        "timeout": 2.5,
        "allow_private": True,
    }
    channel = make("h", hook, bank, own=False)
    assert isinstance(channel, WebhookChannel)
    assert (channel.secret_file, channel.token_file) == ("/s", "")
    assert (channel.request.total, channel.request.allow_private) == (2.5, True)
    small = make("f", {"kind": "file", "path": f"{tmp_path}/x.log"}, bank, own=False)
    assert small == AppendingChannel(str(tmp_path), "x.log", 1 << 20)


def test_the_log_is_always_there(bank: Root) -> None:
    table.log(bank).send(message())
    assert json.loads(bank.read(".memorybank/alerts.log"))["channel"] == "desk"


HOOK = {"kind": "webhook", "url": "https://example.org/T0KEN"}
COMMAND = {"kind": "command", "argv": ["/bin/cat"]}


@pytest.mark.parametrize(
    ("name", "definition", "words"),
    [
        ("log", HOOK, "is taken"),
        ("terminal", HOOK, "is taken"),
        ("../x", HOOK, "a channel's name has"),
        ("x", ["webhook"], "no object"),
        ("x", {}, "kind is not one of file, command, webhook"),
        ("x", {"kind": ["file"]}, "kind is not one of"),
        ("x", {"kind": "fax"}, "kind is not one of"),
        ("x", {**HOOK, "pass": "T0KEN"}, "has no 'pass'; it may have allow_private"),
        ("x", {**HOOK, "url": ""}, "url is no text"),
        ("x", {**HOOK, "url": 7}, "url is no text"),
        ("x", {**HOOK, "url": "https://T0KEN@example.org"}, "a user or a password"),
        ("x", {**HOOK, "secret_file": "secret"}, "secret_file is no absolute path"),
        ("x", {**HOOK, "ca_file": ""}, "ca_file is no text"),
        ("x", {**HOOK, "timeout": 0}, "timeout is no number of seconds up to 60"),
        ("x", {**HOOK, "timeout": True}, "timeout is no number"),
        ("x", {**HOOK, "timeout": 61}, "timeout is no number"),
        ("x", {**HOOK, "connect_timeout": "5"}, "connect_timeout is no number"),
        ("x", {**HOOK, "allow_private": "yes"}, "neither true nor false"),
        ("x", {**COMMAND, "argv": "cat"}, "argv is no list"),
        ("x", {**COMMAND, "argv": []}, "argv is no list"),
        ("x", {**COMMAND, "argv": ["cat", 1]}, "argv is no list"),
        ("x", {**COMMAND, "argv": ["ca\0t"]}, "argv is no list"),
        ("x", {**COMMAND, "argv": [""]}, "there is no program"),
        ("x", {**COMMAND, "argv": ["/nowhere", "T0KEN"]}, "there is no program /nowhere"),
        ("x", {**COMMAND, "argv": ["/nowhere --key T0KEN"]}, "there is no program /nowhere; each argument stands"),
        ("x", {**COMMAND, "format": "xml"}, "neither json nor text"),
        ("x", {"kind": "file"}, "no absolute path"),
        ("x", {"kind": "file", "path": "x.log"}, "no absolute path"),
        ("x", {"kind": "file", "path": "/tmp/"}, "no absolute path of a file"),
        ("x", {"kind": "file", "path": "/tmp/x", "max_mib": 0}, "max_mib is no whole number"),
        ("x", {"kind": "file", "path": "/tmp/x", "max_mib": 1.5}, "max_mib is no whole number"),
    ],
)
def test_bad_definitions(bank: Root, name: str, definition: Any, words: str) -> None:
    with pytest.raises(Unfit, match=words) as caught:
        make(name, definition, bank, own=True)
    assert "T0KEN" not in str(caught.value)


def test_no_file_in_the_bank_where_agents_write(bank: Root, tmp_path: Path) -> None:
    (tmp_path / "way").symlink_to(tmp_path / "bank")
    for path in (f"{bank.path}/trades/x.log", f"{bank.path}/x.log", f"{tmp_path}/way/x.log"):
        with pytest.raises(Unfit, match="lies in the bank"):
            make("x", {"kind": "file", "path": path}, bank, own=True)


def test_programs_of_another_user_are_not_run(bank: Root) -> None:
    with pytest.raises(Unfit, match="of another user"):
        make("x", COMMAND, bank, own=False)
