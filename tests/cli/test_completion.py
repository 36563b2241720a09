"""What is offered on Tab, and that asking changes nothing; tests/cli/test_shells.py presses the key."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.cli import values
from memorybank_cli.cli.candidates import find
from memorybank_cli.cli.commands import COMMANDS, TITLES, load
from memorybank_cli.cli.completion import complete
from memorybank_cli.cli.shells import SCRIPTS, VARIABLE, Shell
from memorybank_cli.main import main
from memorybank_cli.migrations.table import IMPORTERS
from memorybank_cli.operations import signature
from tests.conftest import MakeBank, Run

PROJECT = Path(__file__).resolve().parents[2]


def words(*line: str) -> list[str]:
    return [one.text for one in find(list(line)).words]


@pytest.fixture
def bank(make_bank: MakeBank, run: Run, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bank with two accounts, a schema of its own and a snapshot; the tests stand in it."""
    path = make_bank()
    assert run("account", "create", "alpha", cwd=path).returncode == 0
    assert run("account", "create", "beta.2", cwd=path).returncode == 0
    assert run("backup", cwd=path).returncode == 1  # for the padded file
    (path / "config" / "schemas").mkdir(parents=True)
    (path / "config" / "schemas" / "mine.schema.json").write_text("{}")
    monkeypatch.chdir(path)
    return path


def test_first_words_are_commands_and_groups() -> None:
    assert words("") == [*dict.fromkeys(name.split()[0] for name in COMMANDS), "--version", "--help"]
    assert words("snap") == ["snapshot"]
    assert words("--v") == ["--version"]


@pytest.mark.parametrize("group", TITLES)
def test_second_words_are_the_commands_of_the_group(group: str) -> None:
    inner = [name.removeprefix(f"{group} ").split()[0] for name in COMMANDS if name.startswith(f"{group} ")]
    assert words(*group.split(), "") == [*dict.fromkeys(inner), "--help"]


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_offered(name: str) -> None:
    offered = words(*name.split(), "--")
    for parameter in signature.parameters(load(COMMANDS[name])):
        if not parameter.positional and not parameter.option.hidden:
            assert f"--{parameter.word}" in offered or parameter.option.name in offered
    assert {"--json", "--bank", "--help"} <= set(offered)


def test_an_option_is_offered_once_unless_it_may_be_repeated() -> None:
    assert "--dry-run" not in words("repair", "-n", "--d")
    assert "--no-verify" not in words("backup", "--verify", "--")
    assert "--tag" in words("backup", "--tag", "x", "--t")


def test_values_of_tables() -> None:
    assert words("validate", "--fail-on", "") == ["info", "warning", "error", "critical"]
    assert words("validate", "--fail-on=e") == ["--fail-on=error"]
    assert words("explain", "MB10")[:2] == ["MB101", "MB102"]
    assert words("validate", "--only", "MB2")[0] == "MB2"
    assert words("config", "get", "limits.t") == ["limits.trades_mib"]
    assert "trade" in words("validate", "--schema", "")
    assert "trade" in words("schema", "show", "tr")
    assert "metrics/historical" in words("schema", "infer", "m")
    assert {one.NAME for one in IMPORTERS} == set(words("init", "--as", ""))
    assert words("maintain", "weekly", "--step", "c") == ["compact", "chain"]


def test_values_that_nobody_knows_are_not_offered() -> None:
    assert not words("backup", "--tag", "")
    assert not words("account", "create", "")
    assert not words("config", "set", "actor", "")
    assert not words("repair", "--", "--dr")


def test_options_are_offered_where_no_word_is_missing() -> None:
    assert "--json" in words("status", "")
    assert "--json" in words("explain", "MB102", "")
    assert not words("status", "--", "")


@pytest.mark.parametrize(
    ("line", "places"),
    [
        (("validate", ""), "files"),
        (("validate", "trades", "x"), "files"),
        (("validate", "--report", ""), "files"),
        (("validate", "--report=x"), "files"),
        (("init", ""), "directories"),
        (("status", "--bank", ""), "directories"),
        (("generate", "man", ""), "directories"),
        (("explain", ""), ""),
    ],
)
def test_the_shell_is_asked_for_files(line: tuple[str, ...], places: str) -> None:
    assert find(list(line)).places == places


def test_names_in_a_bank(bank: Path) -> None:
    assert words("account", "show", "") == ["alpha", "beta.2"]
    assert words("message", "list", "--account=a") == ["--account=alpha"]
    assert "mine" in words("validate", "--schema", "m")
    [latest, made] = words("snapshot", "show", "")
    assert latest == "latest"
    assert words("rollback", made[:8]) == [made]
    assert words("snapshot", "diff", "") == words("snapshot", "cat", "") == [latest, made]
    assert words("snapshot", "diff", "latest", "") == ["now", latest, made]
    assert words("snapshot", "find", "--snapshot", made[:8]) == words("snapshot", "export", made[:8]) == [made]
    assert words("rollback", "--repo", str(bank / "trades"), "") == []


def test_names_in_the_bank_that_is_named(bank: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words("account", "show", "--bank", str(bank), "") == ["alpha", "beta.2"]
    assert words("account", "show", "--bank", str(tmp_path / "none"), "") == []
    monkeypatch.setenv("MEMORYBANK_BANK", str(bank))
    assert words("account", "show", "a") == ["alpha"]


@pytest.mark.usefixtures("bank")
def test_the_repository_of_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "repo" / "snapshots" / "one").mkdir(parents=True)
    monkeypatch.setenv("MEMORYBANK_REPOSITORY", str(tmp_path / "repo"))
    assert words("snapshot", "show", "") == ["latest", "one"]


def test_the_channels_of_the_user(home: Path) -> None:
    assert words("alert", "test", "") == ["log"]
    home.mkdir(exist_ok=True)
    (home / "alerts.json").write_text('{"channels": {"desk": {}, "a; b": {}}}')
    (home / "alerts.json").chmod(0o600)
    assert words("alert", "test", "") == ["log", "desk"]


@pytest.mark.usefixtures("bank")
def test_forgotten_snapshots_can_be_brought_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trash = tmp_path / "repo" / "trash"
    (trash / "20261121T130000Z" / "snapshots" / "one").mkdir(parents=True)
    (trash / "20261121T140000Z" / "packs").mkdir(parents=True)
    (trash / "a file").touch()
    monkeypatch.setenv("MEMORYBANK_REPOSITORY", str(tmp_path / "repo"))
    assert words("snapshot", "undelete", "") == ["one"]


def test_no_bank_no_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert words("account", "show", "") == []
    assert words("snapshot", "show", "") == []
    assert "mine" not in words("validate", "--schema", "")


@pytest.mark.parametrize("document", [b"", b"[]", b'{"bank_id": "../../../etc"}', b'{"bank_id": 7', None])
def test_a_damaged_bank_offers_no_snapshots(bank: Path, document: bytes | None) -> None:
    (bank / "bank.json").unlink()
    if document is None:
        os.mkfifo(bank / "bank.json")  # to be opened by nobody
    else:
        (bank / "bank.json").write_bytes(document)
    assert words("account", "show", "a") == ["alpha"]
    assert words("snapshot", "show", "") == []


def test_only_plain_names_reach_the_shell(bank: Path) -> None:
    for name in ("account_$(reboot)", "account_a b", "account_-x\x1b[2J"):
        (bank / name).mkdir()
    (bank / "config" / "schemas" / "`x`.schema.json").write_text("{}")
    (bank / "config" / "schemas" / "a\nb.schema.json").write_text("{}")
    assert words("account", "show", "") == ["alpha", "beta.2"]
    assert all(one.replace("_", "").isalnum() for one in words("validate", "--schema", ""))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of others")
def test_banks_of_others_are_left_alone(bank: Path) -> None:
    os.chown(bank, 65534, 65534)
    assert words("account", "show", "") == []
    assert words("snapshot", "show", "") == []


def tree(place: Path) -> list[tuple[str, int, int]]:
    return sorted((str(one), one.lstat().st_mtime_ns, one.lstat().st_size) for one in place.rglob("*"))


def test_asking_changes_nothing(bank: Path, tmp_path: Path, run: Run) -> None:
    (bank / ".memorybank" / "tmp" / "left-over").mkdir(parents=True)  # what an opening would clear away
    (bank / "trades" / "new.json").write_text('{"id": 1}')  # what an adoption would record
    before = tree(tmp_path)
    for line in (["snapshot", "show", ""], ["message", "list", "--account", ""], ["validate", "--schema", ""], [""]):
        done = run(*line, cwd=bank, env={VARIABLE: "zsh"})
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout
    assert tree(tmp_path) == before


def test_bash_takes_options_apart(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "bash")
    assert main(["validate", "--fail-on", "=", "w"]) == 0
    assert capsys.readouterr().out == "warning\t\n"
    assert main(["init", "--from", "=", ""]) == 0
    assert capsys.readouterr().out == ":directories\n"


_WORDS = st.one_of(
    st.sampled_from(["", "-", "--", "=", "--bank", "--account", "\0", "\udcff", "a\nb"]),
    st.sampled_from([word for name in COMMANDS for word in name.split()]),
    st.text(max_size=4),
)


@given(st.lists(_WORDS, max_size=5))
def test_no_line_makes_noise(line: list[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, "fish")
        assert complete(line) == 0


def test_every_source_stands_for_a_parameter() -> None:
    known = {(name, one.name) for name, row in COMMANDS.items() for one in signature.parameters(load(row))}
    assert known.issuperset(values.BY_COMMAND)
    assert {name for _, name in known}.issuperset(values.BY_NAME)


@pytest.mark.parametrize("shell", SCRIPTS)
def test_the_committed_scripts_are_the_printed_ones(shell: Shell) -> None:
    name, script = SCRIPTS[shell]
    assert (PROJECT / "scripts" / "completions" / name).read_text() == script, "run scripts/docs"


def test_writing_the_scripts(tmp_path: Path, run: Run) -> None:
    done = run("generate", "completion", tmp_path / "all", "--json")
    assert done.json["files"] == ["memorybank.bash", "_memorybank", "memorybank.fish"]
    assert (tmp_path / "all" / "_memorybank").stat().st_mode & 0o777 == 0o644
    done = run("generate", "completion", tmp_path / "one", "--shell", "zsh")
    assert done.stdout.startswith("1 file written to ")
    assert [one.name for one in (tmp_path / "one").iterdir()] == ["_memorybank"]


def test_a_script_on_stdout(run: Run, tmp_path: Path) -> None:
    done = run("generate", "completion", "-", "--shell", "bash")
    assert done.stdout == SCRIPTS["bash"][1]
    script = tmp_path / "memorybank"
    script.write_text(done.stdout)
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    refused = run("generate", "completion", "-")
    assert refused.returncode == 2
    assert "--shell" in refused.stderr


def test_a_directory_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert run("generate", "completion", tmp_path / "file" / "x").returncode == 3
