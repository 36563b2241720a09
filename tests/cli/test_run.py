"""Carrying out a call: what is injected, what comes out, and with which exit code."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import BankNotFound, Refused, UsageError
from memorybank_cli.cli import call, plain
from memorybank_cli.cli.run import as_dict, execute, make_context
from memorybank_cli.operations.init import init
from memorybank_cli.operations.table import Need, Operation


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class SampleReport:
    ok: bool
    parts: tuple[Part, ...]
    big: int = 10**30

    def exit_code(self) -> int:
        return 0 if self.ok else 1

    def summary(self) -> str:
        return "next: memorybank sample"


@dataclass(frozen=True)
class Prepared:
    lines: str | bytes

    def text(self) -> str | bytes:
        return self.lines


class Quiet:
    def as_dict(self) -> dict[str, Any]:
        return {"place": "a\x1b[31mred", "findings": [], "nothing": None}


def report(*, ok: Annotated[bool, "well"] = True) -> SampleReport:
    """Report."""
    return SampleReport(ok, (Part("a", (1, 2)), Part("b", ())))


def prepared(*, raw: Annotated[bool, "bytes"] = False) -> Prepared:
    """Write text."""
    return Prepared(b"\xff\n" if raw else "as it stands\n")


def quiet() -> Quiet:
    """Say little."""
    return Quiet()


def stream(context: Context, *, code: Annotated[int, "the exit code"] = 0) -> Generator[dict[str, Any], None, int]:
    """Tell."""

    def lines() -> Generator[dict[str, Any], None, int]:
        yield {"type": "ready", "ts": "2026-11-20T14:00:00.123456Z", "verbose": context.verbose}
        yield {"type": "changed", "path": "a\nb"}
        return code

    return lines()


def formatted(context: Context, *, format_: Annotated[Literal["text", "json"], "how"] = "text") -> dict[str, Any]:
    """Answer in a format."""
    return {"format": format_, "json": context.json}


def asking(context: Context, *, yes: Annotated[bool, "do it"] = False) -> dict[str, bool]:
    """Ask first."""
    context.ensure("Replace 3 files?", yes=yes)
    return {"done": True}


def banked(bank: object, context: Context) -> dict[str, bool]:
    """Use a bank."""
    return {"bank": bank is not None, "context": isinstance(context, Context)}


def telling(context: Context) -> dict[str, bool]:
    """Say something on the way."""
    context.progress.start("work")
    context.progress.note("the disk did not take it")
    return {"done": True}


def run(function: Any, *arguments: str, needs: Need = "none") -> int:
    call = plain.parse(Operation("sample", "nowhere:x", needs, "x"), function, list(arguments))
    assert call is not None
    return execute(call)


def test_json_is_one_object_with_integers_exact(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(report, "--json") == 0
    out, err = capsys.readouterr()
    assert out.count("\n") == 1
    parts = [{"name": "a", "sizes": [1, 2]}, {"name": "b", "sizes": []}]
    assert json.loads(out) == {"ok": True, "parts": parts, "big": 10**30}
    assert err == ""


def test_notes_go_to_stderr_also_with_json_and_nowhere_with_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    run(telling, "--json")
    assert capsys.readouterr() == ('{"done":true}\n', "the disk did not take it\n")
    run(telling, "--json", "--quiet")
    assert capsys.readouterr().err == ""


def test_what_failed_first_is_told_where_closing_fails_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def banked_badly(bank: Bank) -> None:
        """Lose the bank."""
        monkeypatch.setattr(Bank, "render", lose)
        raise BankNotFound(f"the bank at {bank.root.path} went away")

    def lose(_bank: Bank) -> None:
        raise PermissionError(13, "Permission denied")

    init(Context(), str(tmp_path / "bank"))
    with pytest.raises(BankNotFound, match="went away"):
        run(banked_badly, "--bank", str(tmp_path / "bank"), needs="bank")


def test_json_drives_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    harmful = "\x1b[2J \x7f \x80 \x9b31m \x9f \u2028 \u2029"
    fine = "\xa0 é Ā € \u2027 \u202a 界 😀"

    def lines() -> Generator[dict[str, Any], None, int]:
        yield {"type": harmful, fine: "x"}
        return 0

    def both() -> dict[str, Any]:
        return {"text": [harmful, fine], harmful: fine}

    for function, wanted in ((both, both()), (lines, {"type": harmful, fine: "x"})):
        assert run(function, "--json") == 0
        out = capsys.readouterr().out
        assert json.loads(out) == wanted
        assert set(out) & {chr(code) for code in (*range(32), *range(0x7F, 0xA0), 0x2028, 0x2029)} == {"\n"}
        assert fine in out


def test_the_report_decides_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Bad(SampleReport):
        pass

    def bad() -> Bad:
        return Bad(ok=False, parts=())

    assert run(bad, "--json") == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False


def test_a_report_that_is_not_ok_ends_in_1(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Verdict:
        ok: bool

    def verdict(*, ok: Annotated[bool, "well"] = False) -> Verdict:
        return Verdict(ok)

    assert run(verdict, "-q") == 1
    assert run(verdict, "--ok", "-q") == 0
    assert capsys.readouterr().out == "ok:  no\nok:  yes\n"


def test_people_see_fields_tables_and_the_next_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(report) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "ok:   yes"
    assert "NAME  SIZES" in out
    assert "a     1, 2" in out
    assert out[-1] == "next: memorybank sample"


def test_quiet_leaves_the_summary_out(capsys: pytest.CaptureFixture[str]) -> None:
    run(report, "-q")
    out = capsys.readouterr().out
    assert "next:" not in out
    assert "ok:" in out


@pytest.mark.parametrize(("options", "written"), [((), b"as it stands\n"), (("--raw",), b"\xff\n")])
def test_prepared_text_is_written_as_it_stands(
    options: tuple[str, ...], written: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    run(prepared, *options)
    assert capfdbinary.readouterr().out == written


def test_control_characters_are_never_printed_raw(capsys: pytest.CaptureFixture[str]) -> None:
    run(quiet)
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "a\\x1b[31mred" in out


def test_a_stream_is_json_lines_and_its_end_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stream, "--code", "1", "--json", "-v") == 1
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0]["verbose"] is True
    assert [line["type"] for line in lines] == ["ready", "changed"]


def test_a_stream_for_people_is_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(stream) == 0
    assert capsys.readouterr().out == "2026-11-20T14:00:00Z ready verbose=no\nchanged a\\x0ab\n"


@pytest.mark.parametrize("option", [["--json"], ["--format", "json"], ["--format=json"]])
def test_json_and_format_json_are_the_same(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    run(formatted, *option)
    assert json.loads(capsys.readouterr().out) == {"format": "json", "json": True}


def test_yes_answers_and_nobody_to_ask_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(asking, "--yes", "--json") == 0
    capsys.readouterr()
    with pytest.raises(UsageError, match="Replace 3 files") as caught:
        run(asking, "--no-input")
    assert "--yes" in caught.value.hint


def test_a_no_is_a_refusal() -> None:
    context = Context(confirm=lambda _: False)
    with pytest.raises(Refused, match="nothing was changed"):
        context.ensure("Replace?", yes=False)
    Context(confirm=lambda _: True).ensure("Replace?", yes=False)


def test_without_a_bank(tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MEMORYBANK_BANK", raising=False)
    with pytest.raises(BankNotFound):
        run(banked, needs="bank")
    with pytest.raises(BankNotFound):
        run(banked, "--bank", "nowhere", needs="optional")
    assert run(banked, "--json", needs="optional") == 0
    assert json.loads(capsys.readouterr().out) == {"bank": False, "context": True}


def test_a_negative_lock_timeout_is_wrong_usage() -> None:
    common: dict[str, Any] = {"lock_timeout": -1.0}
    with pytest.raises(UsageError, match="negative"):
        make_context(common, json=False)


def test_a_person_at_a_terminal_is_asked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    stdin = io.StringIO("yes\nno\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert run(asking, "-q") == 0
    with pytest.raises(Refused):
        run(asking)
    assert capsys.readouterr().err.count("Replace 3 files? [y/N] ") == 2


def showing(context: Context, *, yes: Annotated[bool, "do not ask"] = False) -> Quiet:
    """Ask about what is shown."""
    context.ensure("Do it?", yes=yes, preview=Quiet())
    return Quiet()


def test_what_somebody_is_asked_about_is_shown_before(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin = io.StringIO("yes\n")
    monkeypatch.setattr(stdin, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdin", stdin)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "dumb")
    assert run(showing) == 0
    shown = capsys.readouterr()
    assert shown.err.index("place:") < shown.err.index("Do it? [y/N] ")
    assert "\x1b" not in shown.err
    assert run(showing, "--yes") == 0
    assert "place:" not in capsys.readouterr().err


def test_the_options_of_a_context_are_those_given() -> None:
    assert Context().options == {}
    assert Context(lock_timeout=2.0, actor="me").options == {"lock_timeout": 2.0, "actor": "me"}


def test_open_input(tmp_path: Any) -> None:
    (tmp_path / "in").write_bytes(b"words")
    with Context().open_input(str(tmp_path / "in")) as file:
        assert file.read() == b"words"
    with pytest.raises(Exception, match="cannot read"):
        Context().open_input(str(tmp_path / "none"))


def test_as_dict_of_plain_values() -> None:
    assert as_dict({"a": (1, [None, Quiet()])}) == {
        "a": [1, [None, {"place": "a\x1b[31mred", "findings": [], "nothing": None}]]
    }


def test_prompts(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from memorybank_cli.cli.prompts import confirm

    for answer, expected in (("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False), ("", False)):
        monkeypatch.setattr("sys.stdin", io.StringIO(answer))
        assert confirm("Replace\x1b?") is expected
    assert "Replace\\x1b? [y/N] " in capsys.readouterr().err


def test_what_is_secret_is_asked_without_showing_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from memorybank_cli.cli.prompts import secret

    asked: list[str] = []

    def typed(prompt: str, stream: object) -> str:
        assert stream is sys.stderr
        asked.append(prompt)
        return "sesame"

    monkeypatch.setattr("getpass.getpass", typed)
    assert secret("Passphrase of /a\x1b") == "sesame"
    assert asked == ["Passphrase of /a\\x1b: "]
    for raised, expected in ((EOFError(), UsageError), (KeyboardInterrupt(), KeyboardInterrupt)):

        def ended(_prompt: str, _stream: object, raised: BaseException = raised) -> str:
            raise raised

        monkeypatch.setattr("getpass.getpass", ended)
        with pytest.raises(expected):
            secret("Passphrase")
    assert capsys.readouterr().err == "\n\n"


def test_keys_reach_the_context() -> None:
    common = dict.fromkeys(call.COMMON_NAMES)
    context = make_context(common, json=False, keys={"key_file": "k"})
    assert context.options == {"key_file": "k"}
    assert context.password_file is None
    with pytest.raises(UsageError, match="nobody to ask for a passphrase"):
        context.ask_secret("Passphrase")
