"""Things in a bank's directories that are no plain files, or have odd names, owners and times."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.main import main
from memorybank_cli.operations.accounts import create_account
from tests.bad_input import surveying
from tests.bad_input.surveying import Commands, assert_decent
from tests.conftest import Ran, Run, trade
from tests.decoys import CONTENT, outside, passwd
from tests.operations.banks import adopt, contents, opened, put
from tests.operations.owners import as_root, give_away, public_place

NOBODY = 65534


def make_directory(path: Path) -> None:
    path.mkdir()
    put(path / "inner.json", trade(1))


def make_link_out(path: Path) -> None:
    path.symlink_to(passwd(path))


def make_link_to_directory(path: Path) -> None:
    path.symlink_to(outside(path))


def make_loop(path: Path) -> None:
    path.symlink_to(path)


def make_dangling(path: Path) -> None:
    path.symlink_to("nowhere.json")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    here = os.getcwd()
    os.chdir(path.parent)  # a socket's path may have 108 bytes
    try:
        with socket.socket(socket.AF_UNIX) as one:
            one.bind(path.name)
    finally:
        os.chdir(here)


ODD: dict[str, tuple[Callable[[Path], None], str]] = {
    "a directory named x.json": (make_directory, "MB112"),
    "a link out of the bank": (make_link_out, "MB305"),
    "a link to a directory": (make_link_to_directory, "MB305"),
    "a link to itself": (make_loop, "MB305"),
    "a link to nothing": (make_dangling, "MB305"),
    "a pipe": (make_pipe, "MB305"),
    "a socket": (make_socket, "MB305"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file_is_found_and_never_followed(name: str, bank: Path, commands: Commands) -> None:
    make, rule = ODD[name]
    make(bank / "trades/odd.json")
    others = contents(bank)
    found = {one["path"]: one["rule"] for one in commands("validate", "--json").json["findings"]}
    assert found.pop("trades/odd.json") == rule
    assert not any("passwd" in path for path in found)
    commands("validate", "trades/odd.json")
    commands.survey()
    assert contents(bank) == others
    assert CONTENT not in contents(bank, private=True).values()


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize(
    "path", ["trades/trade_0.json", "state/state.json", "bank.json", "account_alpha/short_term.json"]
)
def test_a_file_that_was_replaced_by_it_comes_back(name: str, path: str, bank: Path, commands: Commands) -> None:
    commands("account", "create", "alpha", expect=0)
    commands("message", "add", "hello", "--account", "alpha", "--role", "user", expect=0)
    commands("backup", expect=0)
    good = (bank / path).read_bytes()
    (bank / path).unlink()
    ODD[name][0](bank / path)
    for words in (("status",), ("validate",), ("log",), ("health",), ("repair", "--dry-run")):
        commands(*words)
    if path.startswith("account"):  # the next rendering clears the way
        commands("message", "add", "again", "--account", "alpha", "--role", "user", expect=0)
        assert len(commands("message", "list", "--account", "alpha", "--json").lines) == 2
    commands("rollback", "--yes", expect=0)
    assert (bank / path).read_bytes() == good
    assert {rule for rule in commands.findings().values() if rule.startswith("MB1")} <= {"MB112"}


@pytest.mark.parametrize("section", ["trades", "state", "metrics", "config", "account_alpha"])
def test_a_section_that_was_replaced_by_a_file_or_a_link(section: str, bank: Path, commands: Commands) -> None:
    commands("account", "create", "alpha", expect=0)
    put(bank / "config/memorybank.json", {"settle_ms": 100})
    commands("accept", ".", expect=0)
    commands("backup", expect=0)
    good = contents(bank)
    for kind in ("file", "link"):
        (bank / section).rename(bank.parent / f"{section}-{kind}")
        if kind == "file":
            put(bank / section, b"no directory")
        else:
            (bank / section).symlink_to(bank.parent / f"{section}-{kind}")
        for words in (("status",), ("validate", "--json"), ("log",), ("backup",), ("repair", "--dry-run")):
            commands(*words)
        if section.startswith("account"):
            commands("message", "add", "x", "--account", "alpha", "--role", "user", expect=(0, 3, 10))
        commands("rollback", "--yes", expect=0)
        assert contents(bank) == good or section.startswith("account")
        assert (bank / section).is_dir()
        assert not (bank / section).is_symlink()


def test_a_hard_link_to_a_managed_file(bank: Path, tmp_path: Path, commands: Commands) -> None:
    os.link(bank / "bank.json", tmp_path / "outside.json")
    assert commands.findings() == {"bank.json": "MB305"}
    os.link(bank / "state/state.json", bank / "state/twin.json")  # an agent's own business
    assert commands.findings() == {"bank.json": "MB305"}
    commands.survey()


# Names

NAMES = {
    "not UTF-8": b"\xff\xfe.json",
    "a line break": b"a\nb.json",
    "an escape sequence": b"\x1b]0;owned\x07\x1b[31mred.json",
    "a carriage return": b"ok\rMB000.json",
    "a backslash": b"a\\x41.json",
    "a direction override": "a\u202egnp.json".encode(),
    "a C1 control": "a\u009b31m.json".encode(),
    "a surrogate": b"\xed\xa0\x80.json",
    "a bell and a delete": b"\x07\x7f.json",
    "a zero-width space": "a\u200bb.json".encode(),
    "blanks": b" .json",
    "an option": b"--yes.json",
    "255 bytes": b"x" * 250 + b".json",
    "markup": b"[red]a[/red].json",
    "quotes": b"'\"`$(id)`;.json",
}


@pytest.mark.parametrize("name", NAMES)
def test_odd_names_are_never_printed_raw(name: str, bank: Path, commands: Commands, run: Run) -> None:
    raw = os.fsdecode(NAMES[name])
    put(bank / "trades" / raw, b'{"a": ')
    put(bank / "docs" / raw / raw, b"text")
    shown = run("validate", cwd=bank)
    assert shown.returncode == 1
    assert_decent(shown)
    (path,) = commands.findings()
    assert commands.findings(path) == {path: "MB103"}, "the escaped form is a PATH too"
    commands.survey()
    put(bank / "trades" / raw, trade(1))
    assert commands.findings() == {}
    adopt(bank)
    (bank / "trades" / raw).unlink()
    assert commands.findings() == {path: "MB111"}
    commands("repair", "--json", "--", path, expect=0)
    assert json.loads((bank / "trades" / raw).read_bytes()) == trade(1)
    manifest = run("manifest", cwd=bank)
    (bank.parent / "sums").write_bytes(manifest.raw)
    checked = subprocess.run(["sha256sum", "--check", "--quiet", bank.parent / "sums"], cwd=bank, check=False)
    assert checked.returncode == 0


def test_names_given_as_arguments(bank: Path, commands: Commands) -> None:
    for name in (
        "\x1b[31m",
        "a\nb",
        os.fsdecode(b"\xff"),
        "x" * 300,
        "a" * 5_000,
        "\u202e",
        "..",
        ".",
        "",
    ):
        for words in (
            ("validate", f"trades/{name}"),
            ("repair", f"trades/{name}"),
            ("accept", f"trades/{name}"),
            ("account", "create", name),
            ("message", "add", "x", "--account", name, "--role", "user"),
            ("message", "list", "--account", name),
            ("rollback", "--account", name, "--yes"),
            ("rollback", "--path", f"trades/{name}", "--yes"),
            ("rollback", name, "--yes"),
            ("snapshot", "show", name),
            ("snapshot", "verify", name),
            ("log", "--account", name),
            ("log", "--path", f"trades/{name}"),
            ("config", "get", name),
            ("explain", name),
        ):
            commands(*words, expect=(0, 1, 2, 3, 10))
    assert [path for path in bank.iterdir() if path.name.startswith("account_")] == []


def test_ids_of_300_characters_and_odd_ones(bank: Path, commands: Commands) -> None:
    for one in ("a" * 65, "a" * 300, ".hidden", "a/b", "a b", "a\nb", "ä", "", "a:b", "CON\0"[:3] + "\\"):
        assert commands("account", "create", one, expect=2).raw == b""
    commands("account", "create", "a" * 64, expect=0)
    commands("account", "create", "A", expect=0)
    commands("message", "add", "x", "--account", "A", "--role", "user", "--id", "i" * 300, expect=(0, 2))
    commands("message", "add", "x", "--account", "A", "--role", "r" * 300, expect=(0, 2))
    for one in ("account_" + "b" * 65, "account_", "account_.x", "account_a b"):
        put(bank / one / "short_term.json", {"messages": []})
    assert "MB110" not in commands.findings().values()
    commands.survey()


def test_very_deep_and_very_wide_directories(bank: Path, commands: Commands) -> None:
    deep = bank / "docs"
    for _ in range(300):
        deep = deep / "d"
    deep.mkdir(parents=True)
    put(deep / "note.md", b"deep")
    for number in range(300):
        (bank / f"docs/wide_{number}").mkdir()
    commands.survey()


# Times


@pytest.mark.parametrize(
    "seconds", [0, -1, -(2**31), 2**31, 9_999_999_999, 9_223_372_036, 9_300_000_000, 2**34 - 1, 1_700_000_000]
)
def test_times_of_long_ago_and_far_ahead(seconds: int, bank: Path, commands: Commands) -> None:
    for path in ("trades/trade_0.json", "state/state.json", "bank.json"):
        os.utime(bank / path, (seconds, seconds))
    os.utime(bank / "trades", (seconds, seconds))
    before = (bank / "trades/trade_0.json").stat().st_mtime_ns
    assert commands.findings() == {}
    commands.survey()
    assert commands.findings() == {}
    (bank / "trades/trade_0.json").unlink()
    commands("rollback", "--yes", expect=0)
    assert (bank / "trades/trade_0.json").stat().st_mtime_ns in (before, (1 << 63) - 1)  # in 64 bits: until 2262
    put(bank / "trades/trade_0.json", b"{")
    os.utime(bank / "trades/trade_0.json", ns=(before, before))
    assert commands.findings() == {"trades/trade_0.json": "MB103"}


def test_times_in_records_of_any_kind(bank: Path, commands: Commands) -> None:
    moments: list[object] = ["0000-01-01", "9999-12-31T23:59:60Z", -(10**18), 10**30, 1e300]
    moments += [
        "0000-01-01",
        "9999-12-31T23:59:60Z",
        -(10**18),
        10**30,
        1e300,
        "yesterday",
        None,
        [],
        "2025-02-30T00:00:00Z",
    ]
    for number, moment in enumerate(moments):
        put(bank / f"trades/odd_{number}.json", {**trade(1), "timestamp": moment})
    commands.survey()
    commands("account", "create", "a", expect=0)
    for moment in ("0000-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "x", "2025-13-01T00:00:00Z", "1" * 400):
        commands("message", "add", "x", "--account", "a", "--role", "user", "--timestamp", moment, expect=(0, 2))
    for moment in ("0s", "99999999999d", "-5h", "x", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "1e9"):
        commands("message", "list", "--account", "a", f"--since={moment}", expect=(0, 2))
        commands("log", f"--since={moment}", expect=(0, 2))
        commands("rollback", f"--at={moment}", "--dry-run", expect=(0, 1, 2, 10))


# Rights


@pytest.fixture
def rightless(bank: Path) -> Callable[..., Ran]:
    """The command with no more rights than modes give."""

    def call(*words: str, at: Path = bank) -> Ran:
        ran = surveying.rightless(*words, "--bank", str(at))
        assert_decent(ran)
        return ran

    return call


@pytest.fixture
def full_bank(bank: Path, commands: Commands) -> Path:
    """A bank with something of everything, and a snapshot."""
    put(bank / "metrics/historical/day.json", {"a": 1})
    put(bank / "config/memorybank.json", {"settle_ms": 100})
    commands("account", "create", "alpha", expect=0)
    commands("message", "add", "x", "--account", "alpha", "--role", "user", expect=0)
    commands("accept", ".", expect=0)
    commands("backup", expect=0)
    assert commands.findings() == {}
    return bank


@pytest.mark.parametrize(
    "path",
    [
        "trades/trade_0.json",
        "state/state.json",
        "metrics/historical",
        "trades",
        "state",
        "config",
        "account_alpha",
        "account_alpha/short_term.json",
        "bank.json",
    ],
)
def test_what_may_not_be_read_is_named_and_the_rest_is_served(
    path: str, full_bank: Path, rightless: Callable[..., Ran], tmp_path: Path
) -> None:
    good = contents(full_bank)
    mode = (full_bank / path).stat().st_mode & 0o777
    (full_bank / path).chmod(0)
    try:
        done = rightless("validate", "--json")
        assert done.returncode == 1, done.stderr
        found = {one["path"]: one["rule"] for one in done.json["findings"]}
        assert found[path] == "MB307"
        assert not {"MB111", "MB110"} & set(found.values()), "what cannot be seen is not called gone"
        assert done.json["pending"] == 0
        assert done.json["checked"] >= 4
        everything = (["status"], ["log"], ["manifest"], ["repair", "-n"], ["watch", "--once"], ["account", "list"])
        for words in (*everything, ["account", "check"], ["health"]):
            assert rightless(*words).returncode in (0, 1), words
        saved = rightless("backup", "--json")
        assert saved.returncode == 1, saved.stderr
        restored = rightless(
            "snapshot", "restore", saved.json["snapshot"]["id"], "--to", str(tmp_path / "to"), "--json"
        )
        assert restored.returncode in (0, 1)
        if not path.startswith("account"):
            assert contents(tmp_path / "to") == good
        added = rightless("message", "add", "y", "--account", "alpha", "--role", "user", "--json")
        assert added.returncode in (0, 3), added.stderr
    finally:
        if (full_bank / path).exists():
            (full_bank / path).chmod(mode)
    after = rightless("validate", "--json")
    assert {one["path"] for one in after.json["findings"] if one["severity"] == "error"} == set(), after.stdout
    messages = rightless("message", "list", "--account", "alpha", "--json")
    assert len(messages.lines) == 1 + (added.returncode == 0)


@pytest.mark.parametrize("mode", [0o500, 0o000])
@pytest.mark.parametrize("path", [".memorybank", ".memorybank/journal", "."])
def test_rights_that_are_lost_midway_and_come_back(
    path: str, mode: int, full_bank: Path, rightless: Callable[..., Ran]
) -> None:
    (full_bank / path).chmod(mode)
    try:
        reads = [rightless(*words).returncode for words in (["validate"], ["status"], ["log"])]
        writes = [rightless(*words).returncode for words in (["backup"], ["account", "create", "beta"])]
    finally:
        (full_bank / path).chmod(0o700)
    assert set(reads) <= ({0, 1} if mode else {0, 1, 3, 10, 13}), reads
    assert set(writes) <= {0, 3, 10, 13}, writes
    after = rightless("validate", "--json")
    assert after.returncode == 0, after.stdout


@as_root
def test_a_bank_of_another_user_is_refused_unless_trusted(
    bank: Path, commands: Commands, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    commands("status")  # what is imported now need not be read by the other user
    with public_place() as place:
        copy = place / "bank"
        shutil.copytree(bank, copy)
        give_away(copy, NOBODY)
        copy.chmod(0o755)
        for words in (["status"], ["validate"], ["backup"], ["init"], ["repair"]):
            capfdbinary.readouterr()
            pid = os.fork()
            if pid == 0:
                code = 99
                try:
                    os.setgroups([])
                    os.setgid(1234)
                    os.setuid(1234)
                    os.environ.update(MEMORYBANK_STATE_HOME=str(place / "other"), HOME=str(place))
                    code = main([*words, "--bank", str(copy), "--json"])
                finally:
                    os._exit(code)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ran = Ran(code, *capfdbinary.readouterr())
            assert_decent(ran)
            assert (ran.returncode, ran.error["code"]) == (3, "not_ours"), ran.stderr
            assert "MEMORYBANK_TRUSTED_BANKS" in ran.error["hint"]


def test_a_bank_that_was_renamed_over_while_it_was_open(bank: Path) -> None:
    with opened(bank) as one:
        bank.rename(bank.parent / "elsewhere")
        create_account(one, "late")
    assert (bank.parent / "elsewhere/account_late/account.json").exists()
    assert not bank.exists()
