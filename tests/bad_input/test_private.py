"""What memorybank keeps for itself, damaged: journal, catalog, quarantine, scratch and the state directory."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_input.surveying import Commands
from tests.conftest import trade
from tests.decoys import outside, passwd
from tests.operations.banks import adopt, contents, journal_file, put

GARBAGE: dict[str, bytes] = {
    "empty": b"",
    "NULs": bytes(5_000),
    "noise": bytes(range(256)) * 20,
    "a list": b"[]",
    "other types": b'{"seq": "x", "hash": 5, "path": [], "device": "x", "inode": null}',
    "huge numbers": b'{"seq": 1' + b"0" * 30 + b', "hash": "", "path": "a\\u0000b"}',
    "deep": b"[" * 100_000,
    "2 MB": b'{"a": "' + b"x" * 2_000_000 + b'"}',
}


def put_directory(path: Path) -> None:
    remove(path)
    path.mkdir(parents=True)
    put(path / "inside", b"x")


def put_link(path: Path) -> None:
    remove(path)
    path.symlink_to(passwd(path))


def put_loop(path: Path) -> None:
    remove(path)
    path.symlink_to(path)


def put_pipe(path: Path) -> None:
    remove(path)
    os.mkfifo(path)


def put_nothing(path: Path) -> None:
    remove(path)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


THINGS: dict[str, Callable[[Path], None]] = {
    "a directory": put_directory,
    "a link": put_link,
    "a loop": put_loop,
    "a pipe": put_pipe,
    "nothing": put_nothing,
}


@pytest.fixture
def grown(bank: Path, commands: Commands) -> Path:
    """A bank with an account, a snapshot and a few segments' worth of history."""
    commands("account", "create", "alpha", expect=0)
    commands("message", "add", "one", "--account", "alpha", "--role", "user", expect=0)
    for number in range(10, 13):
        put(bank / f"trades/trade_{number}.json", trade(number))
        adopt(bank)
    commands("backup", expect=0)
    return bank


def assert_recovers(commands: Commands, messages: int = 1) -> None:
    """After a repair everything works, and what agents wrote is what it was."""
    commands("repair", "--json")
    commands("repair", "--json", expect=0)
    commands("accept", ".", expect=0)
    assert set(commands.findings().values()) <= {"MB401"}  # a config that is not trusted any more
    added = commands("message", "add", "two", "--account", "alpha", "--role", "user", expect=0)
    assert added.returncode == 0
    assert len(commands("message", "list", "--account", "alpha", "--json").lines) == messages + 1
    commands("backup", expect=(0, 1))
    commands("log", "--verify", expect=0)


# The journal


@pytest.mark.parametrize("name", [*GARBAGE, *THINGS])
def test_a_segment_of_the_journal_that_became_something_else(name: str, grown: Path, commands: Commands) -> None:
    before = contents(grown)
    segment = journal_file(grown)
    if name in GARBAGE:
        segment.write_bytes(GARBAGE[name])
    else:
        THINGS[name](segment)
    found = commands("validate", "--json", expect=1).json["findings"]
    assert {"MB120", "MB121"} & {one["rule"] for one in found}
    for words in (("status",), ("log",), ("health",), ("log", "--verify"), ("repair", "--dry-run"), ("manifest",)):
        commands(*words)
    refused = commands("message", "add", "x", "--account", "alpha", "--role", "user", "--json", expect=(3, 10))
    assert refused.error["code"] in ("journal_damaged", "account_not_found", "account_damaged")
    assert contents(grown) == before
    commands("repair", "--json")
    commands("repair", "--json")
    assert {path: data for path, data in contents(grown).items() if not path.startswith("account")} == {
        path: data for path, data in before.items() if not path.startswith("account")
    }
    done = commands("account", "create", "beta", expect=0)
    assert done.returncode == 0
    commands("backup", expect=(0, 1))
    commands("validate", expect=(0, 1))
    assert not {"MB120", "MB121"} & set(commands.findings().values())


@pytest.mark.parametrize("name", THINGS)
def test_the_journals_directory_that_became_something_else(name: str, grown: Path, commands: Commands) -> None:
    before = contents(grown)
    THINGS[name](grown / ".memorybank/journal")
    for words in (("validate",), ("status",), ("log",), ("log", "--verify"), ("health",)):
        commands(*words, expect=(0, 1, 3))
    commands("message", "add", "x", "--account", "alpha", "--role", "user", expect=(3, 10))
    assert contents(grown) == before


def test_files_in_the_journals_directory_that_are_no_segments(grown: Path, commands: Commands) -> None:
    for name in (
        "x.jsonl",
        "000000000000.jsonl.bak",
        "00000000000a.jsonl",
        "9" * 13 + ".jsonl",
        ".hidden",
        "½½½½½½½½½½½½.jsonl",
    ):
        put(grown / ".memorybank/journal" / name, b"garbage\n")
    assert commands.findings() == {}
    assert_recovers(commands)


@pytest.mark.parametrize(
    "name", ["999999999999.jsonl", "000000000000.jsonl", "000000000003.jsonl", "²²²²²²²²²²²².jsonl"]
)
def test_a_segment_that_nobody_wrote(name: str, grown: Path, commands: Commands) -> None:
    put(grown / ".memorybank/journal" / name, b"garbage\n")
    for words in (("validate",), ("status",), ("log",), ("log", "--verify")):
        commands(*words)
    commands("repair")
    commands("account", "create", "beta", expect=0)
    commands("validate", expect=0)


@pytest.mark.parametrize(
    "line",
    [
        b"{}\n",
        b"null\n",
        b'{"core": {}, "hash": "x"}\n',
        b'{"core": {"seq": "x"}, "hash": "x"}\n',
        b'{"core": {"seq": 1}, "hash": 5, "data": null, "salt": ""}\n',
        b"\xff" * 100 + b"\n",
        b"\n" * 10,
        b"x" * 3_000_000 + b"\n",
        b'{"core":' + b"[" * 5_000 + b"\n",
        b"no line break",
    ],
)
def test_lines_that_are_none_at_the_end_are_cut_by_the_next_write(line: bytes, grown: Path, commands: Commands) -> None:
    with journal_file(grown).open("ab") as file:
        file.write(line)
    assert commands.findings() == {}
    commands("log", "--verify", expect=0)
    assert_recovers(commands)


def forge(path: Path, **core: object) -> None:
    """A well-chained line that says something impossible, as an agent could write it."""
    from memorybank_cli.bank.framing import frame, unframe

    found = unframe(path.read_bytes().splitlines(keepends=True)[-1])
    assert found is not None
    last = found[0]
    text, _ = frame(last.hash, {"seq": last.seq + 1, "ts": last.core["ts"], "actor": "x", **core})
    with path.open("ab") as file:
        file.write(text)


@pytest.mark.parametrize(
    "core",
    [
        {"op": "file.adopted"},
        {"op": "file.adopted", "files": 5},
        {"op": "file.adopted", "files": [[1]]},
        {"op": "file.adopted", "files": [["../../outside.json", "0" * 64, 1, 0o600, [], "state", None]]},
        {"op": "file.adopted", "files": [["trades/x.json", 5, "x", None, 7, [], {}]]},
        {"op": "file.adopted", "files": [["trades/x.json", "0" * 64, 10**30, 10**30, ["MB101"], "trade", None]]},
        {"op": "journal.gap", "breaks": 7},
        {"op": "record.stored", "account": "../x", "kind": "message", "record": "1"},
        {"op": "record.stored", "account": "alpha", "kind": "message"},
        {"op": "account.created", "account": 5},
        {"op": "files.rendered", "account": "alpha"},
        {"op": "restore.begin", "id": "../../x", "files": [], "reason": "x"},
        {"op": "restore.end", "id": "x", "files": [], "accounts": {"alpha": "x"}},
        {"op": "restore.end", "id": "x", "files": [], "accounts": 5},
        {"op": "bank.renamed", "document": {"bank_id": "../x"}, "files": []},
        {"op": "checkpoint", "upto": "x"},
        {"op": "snapshot.created"},
        {"op": 5},
        {"op": "\x1b[31munknown", "text": "\x1b[31m" * 100},
        {"op": "file.adopted", "files": [], "txn": "x"},
        {"op": "file.adopted", "files": [], "txn": ["x", 0, 3]},
    ],
    ids=lambda core: json.dumps(core)[:70],
)
def test_lines_that_are_chained_and_say_something_impossible(
    core: dict[str, object], grown: Path, commands: Commands
) -> None:
    before = contents(grown)
    forge(journal_file(grown), **core)
    for words in (
        ("validate",), ("status",), ("log",), ("log", "--verify"), ("manifest",), ("repair", "--dry-run"),
        ("message", "list", "--account", "alpha"), ("message", "add", "x", "--account", "alpha", "--role", "user"),
        ("backup",), ("repair",), ("rollback", "--dry-run"),
    ):  # fmt: skip
        commands(*words, expect=(0, 1, 3, 10))
    assert {path: data for path, data in contents(grown).items() if not path.startswith("account")} == {
        path: data for path, data in before.items() if not path.startswith("account")
    }
    assert not (grown.parent / "outside.json").exists()


# The catalog


@pytest.mark.parametrize("name", [*GARBAGE, *THINGS])
def test_a_damaged_catalog_is_made_again(name: str, grown: Path, commands: Commands) -> None:
    catalog = next((grown / ".memorybank").glob("catalog*.sqlite"))
    for more in ("-wal", "-shm"):
        Path(f"{catalog}{more}").unlink(missing_ok=True)
    if name in GARBAGE:
        catalog.write_bytes(GARBAGE[name])
    else:
        THINGS[name](catalog)
    assert commands.findings() == {}
    put(grown / "trades/trade_0.json", {**trade(0), "success": False})
    assert commands.findings() == {"trades/trade_0.json": "MB113"}
    commands("rollback", "--yes", expect=0)
    assert_recovers(commands)


def test_a_catalog_damaged_inside(grown: Path, commands: Commands) -> None:
    catalog = next((grown / ".memorybank").glob("catalog*.sqlite"))
    with sqlite3.connect(catalog) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = bytearray(catalog.read_bytes())
    for offset in range(4096, len(data), 97):
        data[offset] ^= 0x5A
    catalog.write_bytes(data)
    for _ in range(2):
        commands("validate")
    assert_recovers(commands)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE files",
        "DROP TABLE meta",
        "DROP TABLE dirs",
        "DELETE FROM meta",
        "UPDATE meta SET value='garbage'",
        "UPDATE meta SET value='[]'",
        "UPDATE meta SET value='[1,2,3,4]' WHERE name='position'",
        "UPDATE files SET rules='garbage'",
        "UPDATE files SET s_content='garbage'",
        "UPDATE files SET size='x', seq='y', mode='z'",
        "UPDATE dirs SET counts='garbage'",
        "UPDATE dirs SET findings='garbage'",
        "DELETE FROM files",
        "ALTER TABLE files DROP COLUMN s_records",
    ],
)
def test_a_catalog_that_holds_something_else(statement: str, grown: Path, commands: Commands) -> None:
    commands("validate")
    catalog = next((grown / ".memorybank").glob("catalog*.sqlite"))
    with sqlite3.connect(catalog) as db:
        db.execute(statement)
    db.close()
    commands("validate", expect=(0, 1, 3))
    commands("status", expect=(0, 1, 3))
    (grown / ".memorybank" / catalog.name).unlink(missing_ok=True)
    for more in ("-wal", "-shm"):
        Path(f"{catalog}{more}").unlink(missing_ok=True)
    assert commands.findings() == {}
    assert_recovers(commands)


# Quarantine, scratch, locks


@pytest.mark.parametrize("name", THINGS)
@pytest.mark.parametrize("what", ["quarantine", "tmp", "lock", "status.json", "journal.lock", "crash"])
def test_other_things_of_ours_that_became_something_else(what: str, name: str, grown: Path, commands: Commands) -> None:
    THINGS[name](grown / ".memorybank" / what)
    for words in (("validate",), ("status",), ("health",), ("log",)):
        commands(*words)
    put(grown / "state/state.json", b"{")
    commands("repair", expect=(0, 1, 3))
    commands("backup", expect=(0, 1, 3))
    remove(grown / ".memorybank" / what)
    commands("repair", expect=0)
    assert_recovers(commands)


def test_scratch_of_a_process_that_died(grown: Path, commands: Commands) -> None:
    put(grown / ".memorybank/tmp/019-dead/0", b"half")
    put(grown / ".memorybank/tmp/loose", b"half")
    (grown / ".memorybank/tmp/link").symlink_to(outside(grown))
    assert commands.findings() == {}
    assert passwd(grown).exists()
    assert_recovers(commands)
    assert list((grown / ".memorybank/tmp").iterdir()) == []


# The state directory


@pytest.mark.parametrize("name", [*GARBAGE, *THINGS])
@pytest.mark.parametrize("what", ["mark.json", "trusted.json", "place.json"])
def test_damage_in_the_state_directory_stops_nobody(
    what: str, name: str, grown: Path, commands: Commands, home: Path
) -> None:
    put(grown / "config/memorybank.json", {"undo_budget_mib": 10})
    commands("config", "trust", expect=0)
    (state,) = [path for path in (home / "state").iterdir() if (path / "mark.json").exists()]
    if name in GARBAGE:
        (state / what).write_bytes(GARBAGE[name])
    else:
        THINGS[name](state / what)
    for words in (("validate",), ("status",), ("log", "--verify"), ("health",)):
        commands(*words, expect=(0, 1))
    done = commands("message", "add", "x", "--account", "alpha", "--role", "user", expect=(0, 3))
    if done.returncode == 3:
        assert name in THINGS
        remove(state / what)
    assert_recovers(commands, 1 + (done.returncode == 0))


def test_a_damaged_config_of_the_user_is_said(bank: Path, commands: Commands, home: Path) -> None:
    for data in GARBAGE.values():
        put(home / "config.json", data)
        done = commands("status", "--json", expect=(0, 2, 3))
        assert done.returncode == 0 or str(home / "config.json") in done.stderr
    assert bank.exists()


def test_a_state_home_that_is_no_directory(
    bank: Path, commands: Commands, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(home.parent / "file", b"")
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(home.parent / "file"))
    done = commands("status", "--json", expect=3)
    assert done.error["code"] == "operation_failed"
    assert bank.exists()
