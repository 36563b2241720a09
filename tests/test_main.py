"""Exit codes, the shape of errors, crash reports without values, and that nothing ever shows a traceback."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import pytest

import memorybank_cli
from memorybank_cli.base import errors
from memorybank_cli.cli import commands
from memorybank_cli.main import main, wants_json
from memorybank_cli.operations.options import Option
from memorybank_cli.operations.table import Operation

PROJECT = Path(__file__).resolve().parent.parent
RAISED: dict[str, BaseException] = {
    "usage": errors.UsageError("what?"),
    "failed": errors.OperationFailed("the disk\x1b said no", hint="buy one", path="trades/a.json"),
    "not-found": errors.SnapshotNotFound("no snapshot 'x'"),
    "locked": errors.Locked("busy"),
    "key": errors.WrongKey("wrong passphrase"),
    "refused": errors.Refused("would lose data"),
    "format": errors.FormatMismatch("format 9"),
    "full": OSError(errno.ENOSPC, "No space left on device", "trades/b.json"),
    "module": ModuleNotFoundError("No module named 'sklearn'", name="sklearn"),
    "own-module": ModuleNotFoundError("No module named 'memorybank_cli.x'", name="memorybank_cli.x"),
    "interrupt": KeyboardInterrupt(),
    "pipe": BrokenPipeError(),
    "bug": KeyError("hunter2"),
}


def fail(how: Annotated[str, "which failure"], *, password: Annotated[str, Option("a secret")] = "") -> dict[str, Any]:
    """Fail."""
    local = f"local {password}"
    try:
        raise RAISED[how]
    finally:
        del local


@pytest.fixture(autouse=True)
def failing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(commands.COMMANDS, "fail", Operation("fail", f"{__name__}:fail", "none", "Fail"))
    monkeypatch.setenv("MEMORYBANK_STATE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("usage", 2),
        ("failed", 3),
        ("not-found", 10),
        ("locked", 11),
        ("key", 12),
        ("refused", 13),
        ("format", 14),
        ("full", 3),
        ("module", 3),
        ("own-module", 70),
        ("interrupt", 130),
        ("bug", 70),
    ],
)
def test_every_failure_has_its_exit_code_and_no_traceback(
    how: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fail", how]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memorybank: ")
    assert "Traceback" not in err
    assert "\x1b" not in err


def test_an_error_says_what_where_and_what_next(capsys: pytest.CaptureFixture[str]) -> None:
    main(["fail", "failed"])
    assert capsys.readouterr().err == "memorybank: the disk\\x1b said no (trades/a.json)\n  buy one\n"


def test_with_json_one_object_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fail", "failed", "--json"]) == 3
    out, err = capsys.readouterr()
    assert out == ""
    assert json.loads(err.splitlines()[-1]) == {
        "error": {
            "code": "operation_failed",
            "message": "the disk\x1b said no",
            "hint": "buy one",
            "path": "trades/a.json",
        }
    }


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (["fial"], "did you mean memorybank fail?"),
        (["snapshot", "lst"], "did you mean memorybank snapshot list?"),
        (["snapshot", "zzz"], "memorybank snapshot --help lists"),
        (["--json"], "write it after the command"),
        (["--bogus"], "no such option: --bogus"),
        (["explain", "--bogus"], "no such option: --bogus"),
        (["explain", "--lock-timeout", "soon"], "'soon' is not a valid float"),
        (["explain", "a", "b"], "unexpected extra argument"),
        (["explain", "--bank"], "--bank"),
        (["snapshot"], "which command?"),
        (["fail"], "missing argument 'HOW'"),
        (["explain", "MB999"], "there is no rule 'MB999'"),
        (["config", "--json"], "no such option"),
    ],
)
def test_wrong_usage_ends_in_2_with_a_hint(line: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert words in err


def test_wrong_usage_with_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json", "--bogus"]) == 2
    error = json.loads(capsys.readouterr().err.splitlines()[-1])["error"]
    assert error["code"] == "usage"
    assert set(error) == {"code", "message", "hint", "path"}


@pytest.mark.parametrize(
    ("line", "json_wanted"),
    [
        (["status", "--json"], True),
        (["health", "--format", "json"], True),
        (["health", "--format=json"], True),
        (["message", "add", "--", "--json"], False),
        (["status"], False),
    ],
)
def test_which_lines_want_json(line: list[str], json_wanted: bool) -> None:
    assert wants_json(line) is json_wanted


def crash_reports(place: Path) -> list[Path]:
    return sorted(place.rglob("crash-*.txt"))


def test_a_crash_leaves_a_report_without_values(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fail", "bug", "--password", "swordfish", "--json"]) == 70
    err = capsys.readouterr().err
    [report] = crash_reports(tmp_path)
    assert str(report) in err
    text = report.read_text()
    assert "builtins.KeyError" in text
    assert "test_main.py" in text
    assert "in fail" in text
    assert "command: none of the table" in text
    for secret in ("swordfish", "hunter2"):
        assert secret not in text
        assert secret not in err
    assert stat.S_IMODE(report.stat().st_mode) == 0o600


def test_a_crash_report_names_the_command_and_the_cause() -> None:
    from memorybank_cli.cli.crash import report

    try:
        try:
            raise ValueError("inner")
        except ValueError as inner:
            raise RuntimeError("outer") from inner
    except RuntimeError as error:
        text = report(error, ["snapshot", "verify", "secret-id"])
    assert "command: snapshot verify\n" in text
    assert text.index("builtins.RuntimeError") < text.index("builtins.ValueError")
    assert "secret-id" not in text
    assert "inner" not in text.replace("inner:", "")


def test_a_crash_that_cannot_be_written_at_home_goes_to_the_temporary_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "home").write_text("a file where the directory should be")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert main(["fail", "bug"]) == 70
    assert len(crash_reports(tmp_path / "temporary")) == 1
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "home"))
    assert main(["fail", "bug"]) == 70
    assert "could not be written" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == main(["-V"]) == 0
    assert capsys.readouterr().out == f"memorybank {memorybank_cli.__version__}\n" * 2


def test_the_version_is_that_of_the_project() -> None:
    import tomllib

    project = (PROJECT / "pyproject.toml").read_text()
    assert tomllib.loads(project)["project"]["version"] == memorybank_cli.__version__


def test_every_public_name_is_there_and_no_other() -> None:
    for name in memorybank_cli.__all__:
        assert getattr(memorybank_cli, name) is not None
    assert dir(memorybank_cli) == sorted(memorybank_cli.__all__)
    with pytest.raises(AttributeError, match="'nothing'"):
        memorybank_cli.nothing  # noqa: B018


@pytest.mark.parametrize("line", [["--help"], ["-h"], ["snapshot", "-h"], ["explain", "--help"]])
def test_help_is_on_stdout_and_fine(line: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(line) == 0
    out, err = capsys.readouterr()
    assert out.startswith("Usage: memorybank")
    assert err == ""


def test_a_reader_that_goes_away() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "memorybank_cli", "explain", "--json"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, cwd=PROJECT, text=True, check=False)
    os.close(writing)
    assert done.returncode == 141
    assert done.stderr == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("arguments", [["explain"], ["explain", "--json"], ["--help"], ["--version"]])
def test_a_full_disk_behind_stdout(arguments: list[str], unbuffered: str) -> None:
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    command = [sys.executable, "-m", "memorybank_cli", *arguments]
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, cwd=PROJECT, env=environment, text=True, check=False
        )
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_full_disk_behind_stderr() -> None:
    line = f'"{sys.executable}" -m memorybank_cli explain --bogus 2>/dev/full'
    assert subprocess.run(["bash", "-c", line], cwd=PROJECT, check=False).returncode == 3


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">&- 2>&-", 0), ("--bogus 2>&-", 2)])
def test_closed_streams(redirection: str, code: int) -> None:
    line = f'"{sys.executable}" -m memorybank_cli explain MB102 {redirection}'
    done = subprocess.run(["bash", "-c", line], cwd=PROJECT, capture_output=True, check=False)
    assert done.returncode == code
    assert b"Traceback" not in done.stderr


def test_a_name_that_the_locale_cannot_show() -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    command = [sys.executable, "-m", "memorybank_cli", "explain", "M\u00fcll"]
    done = subprocess.run(command, env=environment, cwd=PROJECT, capture_output=True, check=False)
    assert done.returncode == 2
    assert b"'M\\xfcll'" in done.stderr


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        (["explain", "--jsno"], "did you mean --json?"),
        (["explain", "--bogus"], "memorybank explain --help shows how it is used"),
        (["validate", "--fail-on", "eror"], "did you mean error?"),
        (["validate", "--fail-on", "zzz"], "memorybank validate --help shows how it is used"),
    ],
)
def test_misspelt_options_and_choices_get_suggestions(
    line: list[str], hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line) == 2
    assert hint in capsys.readouterr().err
