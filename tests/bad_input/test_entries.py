"""Things in a bank's directories that are no plain files, or have odd names, owners and times."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from memorybank_cli.operations.accounts import create_account
from tests.bad_input.surveying import Commands, assert_decent
from tests.conftest import Run, trade, write_json
from tests.operations.banks import adopt, contents, opened, put
from tests.operations.owners import as_root, give_away, public_place

NOBODY = 65534


def make_directory(path: Path) -> None:
    path.mkdir()
    put(path / "inner.json", trade(1))


def make_link_out(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def make_link_to_directory(path: Path) -> None:
    path.symlink_to("/etc")


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
    assert Path("/etc/passwd").read_bytes() not in contents(bank, private=True).values()


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
    assert adopt(bank) or True
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
        "a\x00b"[:1],
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
    assert (bank / "trades/trade_0.json").stat().st_mtime_ns == before
    put(bank / "trades/trade_0.json", b"{")
    os.utime(bank / "trades/trade_0.json", ns=(before, before))
    assert commands.findings() == {"trades/trade_0.json": "MB103"}


def test_times_in_records_of_any_kind(bank: Path, commands: Commands) -> None:
    for number, moment in enumerate(
        ["0000-01-01", "9999-12-31T23:59:60Z", -(10**18), 10**30, 1e300, "yesterday", None, [], "2025-02-30T00:00:00Z"]
    ):
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


def as_nobody(bank: Path, *words: str, **more: str) -> tuple[int, bytes, bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "memorybank_cli", *words],
        cwd=bank,
        env={**os.environ, "MEMORYBANK_STATE_HOME": str(bank.parent / "home"), **more},
        capture_output=True,
        check=False,
        stdin=subprocess.DEVNULL,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    assert done.returncode != 70, done.stderr.decode()
    return done.returncode, done.stdout, done.stderr


def nobodys_bank(place: Path) -> Path:
    bank = place / "bank"
    for number in range(3):
        write_json(bank / f"trades/trade_{number}.json", trade(number))
    write_json(bank / "state/state.json", {"bot_status": "running"})
    put(bank / "metrics/historical/day.json", {"a": 1})
    (place / "home").mkdir()
    give_away(place, NOBODY)
    assert as_nobody(bank, "init")[0] == 0
    assert as_nobody(bank, "account", "create", "alpha")[0] == 0
    assert as_nobody(bank, "backup")[0] == 0
    return bank


@as_root
@pytest.mark.parametrize(
    ("path", "rule"),
    [
        ("trades/trade_0.json", "MB307"),
        ("state/state.json", "MB307"),
        ("metrics/historical", "MB307"),
        ("trades", "MB307"),
        ("config", "MB307"),
        ("account_alpha", "MB307"),
        ("account_alpha/short_term.json", "MB307"),
        ("bank.json", "MB307"),
    ],
)
def test_what_may_not_be_read_is_named_and_the_rest_is_served(path: str, rule: str) -> None:
    with public_place() as place:
        bank = nobodys_bank(place)
        (bank / "config").mkdir(exist_ok=True)
        os.chown(bank / "config", NOBODY, NOBODY)
        (bank / path).chmod(0)
        try:
            code, out, err = as_nobody(bank, "validate", "--json")
            assert code == 1, err
            found = {one["path"]: one["rule"] for one in json.loads(out)["findings"]}
            assert found[path] == rule
            assert not {"MB111", "MB110"} & set(found.values()), "what cannot be seen is not called gone"
            assert json.loads(out)["checked"] >= 3
            for words in (["status"], ["log"], ["health"], ["backup"], ["repair"], ["repair", "-n"], ["manifest"]):
                code, out, err = as_nobody(bank, *words)
                assert code in (0, 1, 3), (words, err)
            code, out, err = as_nobody(bank, "message", "add", "x", "--account", "alpha", "--role", "user")
            assert code in (0, 3, 10), err
        finally:
            (bank / path).chmod(0o700 if (bank / path).is_dir() else 0o600)
        code, out, err = as_nobody(bank, "validate", "--json")
        assert code == 0, out


@as_root
def test_rights_that_are_lost_midway_and_come_back() -> None:
    with public_place() as place:
        bank = nobodys_bank(place)
        for path in (".memorybank", ".memorybank/journal", "."):
            for mode in (0o500, 0o000):
                (bank / path).chmod(mode)
                codes = {}
                for words in (["validate"], ["status"], ["log"], ["backup"], ["account", "create", "beta"]):
                    codes[words[0]], _, err = as_nobody(place, *words, "--bank", str(bank))
                    assert codes[words[0]] in (0, 1, 3, 10, 13), (path, mode, words, err)
                (bank / path).chmod(0o700)
                code, out, err = as_nobody(bank, "validate", "--json")
                assert code == 0, (path, mode, out, err)


@as_root
def test_a_bank_of_another_user_is_refused_unless_trusted(run: Run) -> None:
    with public_place() as place:
        bank = nobodys_bank(place)
        bank.chmod(0o777)
        other = {"cwd": "/", "user": 1234}
        home = {"MEMORYBANK_STATE_HOME": str(place / "other"), "HOME": str(place)}
        (place / "other").mkdir(mode=0o777)
        (place / "other").chmod(0o777)
        for words in (["status"], ["validate"], ["backup"], ["init"]):
            done = run(*words, "--bank", bank, "--json", env=home, **other)  # type: ignore[arg-type]
            assert (done.returncode, done.error["code"]) == (3, "not_ours"), done.stderr
            assert "MEMORYBANK_TRUSTED_BANKS" in done.error["hint"]


def test_root_works_under_the_owners_ids(run: Run) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can")
    with public_place() as place:
        bank = nobodys_bank(place)
        home = {"MEMORYBANK_STATE_HOME": str(place / "home")}
        put(bank / "trades/trade_1.json", b"{")
        for words in (["repair"], ["backup"], ["message", "add", "x", "--account", "alpha", "--role", "user"]):
            done = run(*words, "--bank", bank, env=home)
            assert done.returncode == 0, done.stderr
        assert {one.stat().st_uid for one in bank.rglob("*")} == {NOBODY}
        assert {one.stat().st_uid for one in (place / "home").rglob("*")} == {NOBODY}


def test_a_bank_that_was_renamed_over_while_it_was_open(bank: Path) -> None:
    with opened(bank) as one:
        bank.rename(bank.parent / "elsewhere")
        create_account(one, "late")
    assert (bank.parent / "elsewhere/account_late/account.json").exists()
    assert not bank.exists()
