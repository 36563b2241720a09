"""Where a bank stands, and what it says of itself: full disks, banks in banks, copies, other formats, settings."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from memorybank_cli.base.names import escape, uuid7
from tests.bad_input.surveying import Commands, assert_decent
from tests.conftest import MakeBank, Run, trade
from tests.operations.banks import adopt, contents, journal, put


@contextmanager
def mounted(place: Path, size: str) -> Iterator[Path]:
    """A file system of its own; the test is skipped where none can be mounted."""
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root can mount a file system")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "none", place], check=False)
    if done.returncode != 0:
        pytest.skip("no file system can be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", place], check=True)


def remount(place: Path, how: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{how}", place], check=True)


# Read-only


def test_a_read_only_file_system_is_read_and_never_written(
    bank: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with mounted(tmp_path / "disk", "8m") as disk:
        shutil.copytree(bank, disk / "bank")
        shutil.rmtree(bank)
        commands = Commands(disk / "bank", capfdbinary)
        commands("account", "create", "alpha", expect=0)
        commands("message", "add", "hello", "--account", "alpha", "--role", "user", expect=0)
        commands("backup", expect=0)
        put(disk / "bank/trades/trade_0.json", b"{")
        before = contents(disk / "bank", private=True)
        remount(disk, "ro")
        for _ in range(2):
            assert commands.findings() == {"": "MB306", "trades/trade_0.json": "MB103"}
        for reading in (("status",), ("log",), ("log", "--verify"), ("health",), ("manifest",), ("config", "show")):
            commands(*reading)
        assert len(commands("message", "list", "--account", "alpha", "--json").lines) == 1
        commands("snapshot", "restore", "--to", tmp_path / "to", expect=0)
        commands("repair", "--dry-run", expect=0)
        commands("watch", "--once", expect=(0, 1, 3))
        for words in (
            ("repair",),
            ("backup",),
            ("message", "add", "x", "--account", "alpha", "--role", "user"),
            ("account", "create", "beta"),
            ("rollback", "--yes"),
            ("config", "set", "--bank-config", "settle_ms", "5"),
        ):
            done = commands(*words, expect=(2, 3) if words[0] == "config" else 3)
            assert "read-only" in done.stderr or words[0] == "config", (words, done.stderr)
        assert contents(disk / "bank", private=True) == before
        remount(disk, "rw")
        commands("repair", expect=0)
        assert commands.findings() == {}


def test_a_read_only_state_directory(bank: Path, tmp_path: Path, run: Run) -> None:
    with mounted(tmp_path / "disk", "8m") as disk:
        home = {"MEMORYBANK_STATE_HOME": str(disk)}
        assert run("status", "--bank", bank, env=home).returncode == 0
        remount(disk, "ro")
        assert run("status", "--bank", bank, env=home).returncode == 0
        assert run("validate", "--bank", bank, env=home).returncode == 0
        done = run("backup", "--bank", bank, env=home)
        assert_decent(done)
        assert done.returncode == 3


# Full


def fill(disk: Path) -> Path:
    """Take every block that is left."""
    with (disk / "filler").open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return disk / "filler"


def test_nothing_acknowledged_is_lost_on_a_full_file_system(
    bank: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with mounted(tmp_path / "disk", "4m") as disk:
        shutil.copytree(bank, disk / "bank")
        shutil.rmtree(bank)
        commands = Commands(disk / "bank", capfdbinary)
        commands("account", "create", "alpha", expect=0)
        commands("message", "add", "first", "--account", "alpha", "--role", "user", expect=0)
        commands("backup", expect=0)
        put(disk / "bank/trades/trade_0.json", b"{")
        filler = fill(disk)

        acknowledged = 1
        for number in range(200):
            done = commands("message", "add", f"more {number}", "--account", "alpha", "--role", "user", expect=(0, 3))
            acknowledged += done.returncode == 0
            if done.returncode == 3:
                assert "the disk is full" in done.stderr
                assert "free some space" in done.stderr
                break
        else:
            pytest.fail("the file system never was full")
        for reading in (("status",), ("validate",), ("log",), ("health",), ("message", "list", "--account", "alpha")):
            commands(*reading)
        assert len(commands("message", "list", "--account", "alpha", "--json").lines) == acknowledged
        for words in (("repair",), ("account", "create", "beta"), ("rollback", "--yes"), ("accept", ".")):
            done = commands(*words, expect=(0, 1, 3))
            assert done.returncode != 3 or "the disk is full" in done.stderr, (words, done.stderr)
        commands("backup", expect=(0, 1, 3))
        commands("init", expect=(0, 3))

        filler.unlink()
        assert len(commands("message", "list", "--account", "alpha", "--json").lines) == acknowledged
        commands("message", "add", "after", "--account", "alpha", "--role", "user", expect=0)
        commands("repair", expect=0)
        commands("backup", expect=0)
        assert len(commands("message", "list", "--account", "alpha", "--json").lines) == acknowledged + 1
        assert commands("log", "--verify", "--json", expect=0).json["ok"]
        assert commands.findings() == {}


def test_a_repository_on_a_full_file_system(bank: Path, tmp_path: Path, run: Run) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        put(bank / "docs/noise.bin", os.urandom(3 << 20))
        done = run("backup", "--bank", bank, "--repo", disk / "repo")
        assert_decent(done)
        assert (done.returncode, "the disk is full" in done.stderr) == (3, True), done.stderr
        assert not [line for line in journal(bank) if line["op"] == "snapshot.created"]
        listed = run("snapshot", "list", "--bank", bank, "--repo", disk / "repo", "--json")
        assert listed.returncode in (0, 10)
        (bank / "docs/noise.bin").write_bytes(b"small")
        shutil.rmtree(disk / "repo", ignore_errors=True)
        assert run("backup", "--bank", bank, "--repo", disk / "repo").returncode == 0


def test_init_on_a_full_file_system(tmp_path: Path, run: Run) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        data = put(disk / "bank/trades/trade_0.json", trade(0))
        filler = fill(disk)
        done = run("init", disk / "bank")
        assert_decent(done)
        assert (done.returncode, "the disk is full" in done.stderr) == (3, True), done.stderr
        assert (disk / "bank/trades/trade_0.json").read_bytes() == data
        filler.unlink()
        assert run("init", disk / "bank").returncode == 0
        assert run("validate", "--bank", disk / "bank").returncode == 0


def test_a_quarantine_elsewhere_is_not_used_and_the_bytes_wait(bank: Path, tmp_path: Path, run: Run) -> None:
    with mounted(tmp_path / "disk", "1m") as disk:
        put(bank / "trades/trade_0.json", b"{")
        (bank / ".memorybank/quarantine").symlink_to(disk)
        done = run("repair", "--bank", bank)
        assert_decent(done)
        assert done.returncode == 3
        assert list(disk.iterdir()) == []
        assert run("validate", "--bank", bank).returncode in (0, 1)
        (bank / ".memorybank/quarantine").unlink()
        assert run("repair", "--bank", bank).returncode == 0
        assert run("validate", "--bank", bank).returncode == 0
        assert [one.read_bytes() for one in (bank / ".memorybank/quarantine").iterdir()] == [b"{"]
        assert list((bank / ".memorybank/tmp").iterdir()) == []


# A bank in a bank


def test_a_bank_inside_a_bank_is_left_to_itself(make_bank: MakeBank, commands: Commands, bank: Path, run: Run) -> None:
    inner = make_bank(2, padded=True, name="inner")
    (bank / "docs").mkdir()
    inner.rename(bank / "docs/inner")
    found = {one["path"]: one["rule"] for one in commands("validate", "--json", expect=0).json["findings"]}
    assert found["docs/inner"] == "MB112"
    assert not any(path.startswith("docs/inner/") for path in found)
    before = contents(bank / "docs/inner")
    commands.survey()
    assert contents(bank / "docs/inner") == before
    assert run("validate", cwd=bank / "docs/inner").returncode == 1
    for place in (bank / "docs/another", bank / "trades/x"):
        refused = run("init", place, "--json")
        assert (refused.returncode, refused.error["code"]) == (13, "refused")
        assert not place.exists()


def test_a_bank_json_that_an_agent_puts_into_a_section_hides_nothing(bank: Path, commands: Commands) -> None:
    commands("backup", expect=0)
    put(bank / "trades/bank.json", {"format": 1})
    found = commands.findings()
    assert {found.get(f"trades/trade_{number}.json") for number in range(3)} == {"MB111"}
    saved = commands("backup", "--json", expect=1).json["snapshot"]
    assert {one["path"] for one in saved["damaged"]} >= {"trades/trade_0.json"}
    assert saved["files"] >= 7
    commands("rollback", "--yes", expect=(0, 1))
    (bank / "trades/bank.json").unlink(missing_ok=True)
    assert commands.findings() == {}


# Moved, copied


def test_a_moved_bank_goes_on(bank: Path, run: Run) -> None:
    moved = bank.parent / "moved"
    bank.rename(moved)
    done = run("account", "create", "alpha", "--bank", moved)
    assert done.returncode == 0
    assert str(bank) in done.stderr
    assert "moved" in done.stderr
    assert run("validate", "--bank", moved).returncode == 0


def test_a_copied_bank_is_read_but_not_written_until_it_has_an_id_of_its_own(bank: Path, run: Run) -> None:
    run("account", "create", "alpha", "--bank", bank)
    copy = bank.parent / "copy"
    shutil.copytree(bank, copy)
    for words in (["status"], ["validate"], ["log"]):
        done = run(*words, "--bank", copy)
        assert done.returncode == 0
        assert "copy" in done.stderr
        assert "init --new-id" in done.stderr
    put(copy / "state/state.json", {"bot_status": "copied"})
    for words in (
        ["account", "create", "beta"],
        ["message", "add", "x", "--account", "alpha", "--role", "user"],
        ["backup"],
        ["accept", "."],
    ):
        done = run(*words, "--bank", copy, "--json")
        assert (done.returncode, done.error["code"]) == (13, "copied_bank"), words
        assert "init --new-id" in done.error["hint"]
    assert run("account", "create", "beta", "--bank", bank).returncode == 0, "the original goes on"
    assert run("init", "--new-id", copy).returncode == 0
    assert (
        json.loads((copy / "bank.json").read_bytes())["bank_id"]
        != json.loads((bank / "bank.json").read_bytes())["bank_id"]
    )
    for one in (bank, copy):
        assert run("account", "create", "gamma", "--bank", one).returncode == 0
        assert run("backup", "--bank", one).returncode == 0
        assert run("validate", "--bank", one).returncode == 0


# Formats and malformed bank.json


@pytest.mark.parametrize("number", [2, 99, 0, -1, 10**30, "2", None, [], "\x1b[31m" * 1000])
def test_another_format(number: object, bank: Path, commands: Commands) -> None:
    before = contents(bank, private=True)
    document = {**json.loads((bank / "bank.json").read_bytes()), "format": number}
    put(bank / "bank.json", document)
    for words in (("status",), ("validate",), ("backup",), ("repair",), ("init",), ("account", "create", "a")):
        done = commands(*words, "--json", expect=14)
        assert done.error["code"] == "format_mismatch"
        assert len(done.error["message"]) < 200
    put(bank / "bank.json", before["bank.json"])
    assert contents(bank, private=True) == before
    commands("validate", expect=0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"format": 1}',
        b'{"format": 1, "bank_id": 5, "identity_key": "x"}',
        b'{"format": 1, "bank_id": "../../../escape", "created_at": "x", "identity_key": "%s"}' % (b"a" * 64),
        b'{"format": 1, "bank_id": "/tmp/escape", "created_at": "x", "identity_key": "%s"}' % (b"a" * 64),
        b'{"format": 1, "bank_id": "a\\u0000b", "created_at": "x", "identity_key": "%s"}' % (b"a" * 64),
        b'{"format": 1, "bank_id": "good", "created_at": "x"}',
        b'{"format": 1, "bank_id": "good", "created_at": "x", "identity_key": "no hex"}',
        b'{"format": 1, "bank_id": "%s", "identity_key": "%s"}' % (b"a" * 3_000_000, b"a" * 64),
        bytes(2_000_000),
    ],
)
def test_a_malformed_bank_json_is_damage_and_the_bank_is_served(data: bytes, bank: Path, commands: Commands) -> None:
    good = (bank / "bank.json").read_bytes()
    put(bank / "bank.json", data)
    found = commands.findings()
    assert found["bank.json"][:4] in ("MB10", "MB11", "MB20")
    assert set(found) == {"bank.json"}
    for words in (("status",), ("log",), ("health",), ("manifest",)):
        commands(*words)
    commands("account", "create", "alpha", expect=0)
    commands("message", "add", "x", "--account", "alpha", "--role", "user", expect=0)
    commands("backup", expect=1)
    commands("rollback", "--path", "bank.json", "--yes", expect=0)
    assert (bank / "bank.json").read_bytes() == good
    assert commands.findings() == {}
    assert not list(bank.parent.rglob("*escape*"))


def test_another_identity_in_bank_json_is_an_outside_change(bank: Path, commands: Commands) -> None:
    document = json.loads((bank / "bank.json").read_bytes())
    put(bank / "bank.json", {**document, "bank_id": uuid7()})
    assert commands.findings() == {"bank.json": "MB110"}
    commands.survey()


# Settings


def test_a_config_that_names_commands_addresses_and_repositories_is_inert_and_reported(
    bank: Path, commands: Commands, tmp_path: Path
) -> None:
    document = {
        "repository": str(tmp_path / "stolen"),
        "actor": "somebody else",
        "trusted_banks": ["/"],
        "open_patterns": ["*"],
        "exclude": ["*"],
        "limits": {"trades_mib": 1_000_000},
        "undo_budget_mib": 0,
        "alert_command": "touch /tmp/owned",
        "webhook": "http://127.0.0.1:9/",
        "lock_timeout": 0.5,
    }
    put(bank / "config/memorybank.json", document)
    findings = commands("validate", "--json", expect=1).json["findings"]
    inert = {one["pointer"] for one in findings if one["rule"] == "MB401"}
    assert inert >= {f"/{name}" for name in document if name not in ("limits", "lock_timeout")} | {"/limits.trades_mib"}
    put(bank / "trades/trade_0.json", {**trade(0), "success": False})
    assert commands.findings()["trades/trade_0.json"] == "MB113"
    saved = commands("backup", "--json", expect=1).json
    assert saved["repository"] != str(tmp_path / "stolen")
    assert not (tmp_path / "stolen").exists()
    assert "somebody else" not in {line["actor"] for line in journal(bank)}
    commands.survey()
    commands("config", "trust", expect=0)
    assert (
        commands("config", "get", "undo_budget_mib", "--json", expect=0).json["settings"]["undo_budget_mib"]["value"]
        == 0
    )
    assert commands("config", "get", "repository", "--json", expect=0).json["settings"]["repository"]["value"] != str(
        tmp_path / "stolen"
    )


WRONG: list[object] = [
    {"lock_timeout": "soon"},
    {"lock_timeout": -5},
    {"lock_timeout": [1]},
    {"lock_timeout": 1e308},
    {"settle_ms": 10**30},
    {"settle_ms": True},
    {"reconcile_seconds": 1e300},
    {"reconcile_seconds": 0},
    {"snapshot_max_age_hours": 1e300},
    {"limits": 5},
    {"limits": {"trades_mib": {"deep": [1]}}},
    {"open_patterns": [[1]], "exclude": {"a": 1}},
    [],
    "text",
    5,
    {"x" * 1000: "\x1b[31m", "\x1b[31m": 1, "": {"": {"": 1}}},
    {"a": {"b": {"c": {"d": list(range(1000))}}}},
]


@pytest.mark.parametrize("document", WRONG, ids=lambda one: str(one)[:40])
def test_settings_of_the_wrong_kind_stop_nobody(document: object, bank: Path, commands: Commands) -> None:
    put(bank / "config/memorybank.json", document)
    assert set(commands.findings()) == {"config/memorybank.json"}
    commands.survey(but=("accept",))
    commands("config", "check", expect=(0, 1))
    commands("config", "show", "--origin", expect=(0, 2))
    commands("accept", ".", expect=(0, 13))
    commands("config", "trust", expect=(0, 2, 13))
    commands.survey(allowed=(0, 1))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "http://127.0.0.1:9/x"},
        {"$ref": "file:///etc/passwd"},
        {"$ref": "#/$defs/none"},
        {"$ref": "#"},
        {"pattern": "(?=a)"},
        {"type": 5},
        {"not": {}},
        False,
        {"$schema": "http://example.com/other"},
        {"$dynamicRef": "#x"},
        {"allOf": [{"$ref": "urn:memorybank:schema:trade"}]},
        {"$id": "urn:memorybank:schema:trade"},
        {"patternProperties": {"(": {}}},
        {"enum": []},
    ],
    ids=str,
)
@pytest.mark.parametrize("name", ["trade", "odd", "bank"])
def test_schemas_that_an_agent_brings_stop_nobody(name: str, schema: object, bank: Path, commands: Commands) -> None:
    put(bank / f"config/schemas/{name}.schema.json", schema)
    commands("validate")
    commands("accept", ".", expect=(0, 13))
    for words in (
        ("validate", "--json"),
        ("status",),
        ("backup",),
        ("repair",),
        ("validate", "--schema", name, bank / "bank.json"),
    ):
        commands(*words, expect=(0, 1, 2, 10) if "--schema" in words else (0, 1))
    assert adopt(bank) is not None


# Odd names of the bank's own directory

READING = ["init", "status", "validate", "log", "health", "backup", "snapshot list", "alert list", "schedule show"]


@pytest.mark.parametrize(
    "name", [b"ba\xffnk", b"ba\nnk", b"ba\\x41nk"], ids=["not UTF-8", "a line feed", "a backslash"]
)
def test_a_bank_whose_path_is_odd(run: Run, tmp_path: Path, name: bytes) -> None:
    """Told escaped, kept as it is: a copy of it is found to be one, a move of it too."""
    place = tmp_path / os.fsdecode(name)
    shown = escape(str(place))
    assert run("init", place, "--account", "alpha", "--json").json["path"] == shown
    put(place / "trades/one.json", trade(1))
    for words in READING:
        for how in ((), ("--json",)):
            done = run(*words.split(), *how, cwd=place)
            assert done.returncode in (0, 1), done.stderr
    assert run("init", place / "copy", "--from", place, "--dry-run", "--json").returncode in (0, 13)
    shutil.copytree(place, tmp_path / "copy")
    refused = run("message", "add", "x", "--account", "alpha", "--role", "user", "--json", cwd=tmp_path / "copy")
    assert refused.returncode == 13
    assert shown in refused.error["message"]
    shutil.rmtree(tmp_path / "copy")
    place.rename(tmp_path / "moved")
    assert run("backup", cwd=tmp_path / "moved").returncode == 0
