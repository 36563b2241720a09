"""What a signature becomes on the command line, and that the short way and typer's read a line alike."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.main import get_command

from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import UsageError
from memorybank_cli.cli import app, derive, plain
from memorybank_cli.cli.call import COMMON, KEYS, Call
from memorybank_cli.cli.commands import COMMANDS, load
from memorybank_cli.cli.usage import from_parser
from memorybank_cli.operations import signature
from memorybank_cli.operations.options import Option, RepoOption
from memorybank_cli.operations.table import Operation

Level = Literal["low", "high"]


def everything(
    bank: object,
    context: Context,
    first: Annotated[str, "the first"],
    *paths: Annotated[str, "files"],
    level: Annotated[Level, "how much"] = "low",
    only: Annotated[tuple[str, ...], Option("families", metavar="FAMILY")] = (),
    last: Annotated[int | None, "how many"] = None,
    ratio: Annotated[float, "a share"] = 0.5,
    dry_run: Annotated[bool, Option("rehearse", short="-n")] = False,
    verify: Annotated[bool, "read back"] = True,
    from_: Annotated[str | None, Option("a source", metavar="DIR")] = None,
) -> None:
    """Do everything at once.

    A further paragraph.

    Exit codes:
        0  done
        1  not done

    Examples:
        memorybank everything a b --level high
    """


def needy(*, account: Annotated[str, "whose"], text: Annotated[str | None, "what"] = None) -> None:
    """Need an account."""


def one(name: Annotated[str | None, Option("which", metavar="ID")] = None) -> None:
    """Take one thing at most."""


OPERATION = Operation("everything", "nowhere:everything", "none", "Do everything at once")


def opening(bank: object, *, repo: RepoOption = None, tag: Annotated[tuple[str, ...], "which"] = ()) -> None:
    """Open a repository."""


def typer_call(arguments: list[str], function: Any = everything) -> Call:
    found = app._new()
    derive.add(found, OPERATION, function)
    call = get_command(found).main(arguments, prog_name="memorybank everything", standalone_mode=False)
    assert isinstance(call, Call)
    return call


def typer_help(function: Any = everything) -> str:
    found = app._new()
    derive.add(found, OPERATION, function)
    command = get_command(found)
    return command.get_help(command.make_context("memorybank everything", ["x"], resilient_parsing=True))


def test_defaults_are_those_of_the_signature() -> None:
    call = typer_call(["a"])
    assert call.positional == ("a",)
    assert call.options == {
        "level": "low",
        "only": (),
        "last": None,
        "ratio": 0.5,
        "dry_run": False,
        "verify": True,
        "from_": None,
    }
    assert call.common["json"] is False
    assert call.common["bank"] is None


def test_each_kind_of_parameter() -> None:
    line = ["a", "b", "c", "--level", "high", "--only", "MB1", "--only", "MB2", "--last", "3", "--ratio", "0.25"]
    call = typer_call([*line, "-n", "--no-verify", "--from", "x"])
    assert call.positional == ("a", "b", "c")
    assert call.options == {
        "level": "high",
        "only": ("MB1", "MB2"),
        "last": 3,
        "ratio": 0.25,
        "dry_run": True,
        "verify": False,
        "from_": "x",
    }


@pytest.mark.parametrize("position", [0, 1, 2])
def test_common_options_stand_anywhere_after_the_name(position: int) -> None:
    words = ["a", "b"]
    words[position:position] = ["--json", "--bank", "there", "-q", "--lock-timeout", "2.5", "--actor", "me"]
    for call in (typer_call(words), plain.parse(OPERATION, everything, words)):
        assert call is not None
        assert call.positional == ("a", "b")
        assert call.common == {
            "bank": "there",
            "json": True,
            "quiet": True,
            "verbose": False,
            "no_color": False,
            "no_input": False,
            "lock_timeout": 2.5,
            "actor": "me",
        }


def test_help_shows_what_signature_and_docstring_say() -> None:
    text = typer_help()
    assert "Usage: memorybank everything [OPTIONS] FIRST [PATHS]...\n" in text
    assert "Do everything at once.\n\n  A further paragraph." in text
    assert re.search(r"--level low\|high +how much +\[default: low\]", text)
    assert re.search(r"-n, --dry-run +rehearse\n", text)
    assert re.search(r"--verify / --no-verify +read back", text)
    assert "--from DIR" in text
    assert "  Exit codes:\n    0  done\n    1  not done\n" in text
    assert text.rstrip().endswith("Examples:\n    memorybank everything a b --level high")
    assert text.index("--ratio") < text.index("Common options:") < text.index("--bank PATH")


def test_commands_that_open_a_repository_take_its_keys() -> None:
    line = ["--key-file", "k", "--repo", "r", "--tag", "a", "--tag", "b"]
    for call in (typer_call(line, opening), plain.parse(OPERATION, opening, line)):
        assert call is not None
        assert call.options == {"repo": "r", "tag": ("a", "b")}
        assert call.keys == {"password_file": None, "key_file": "k", "password_command": None}
    assert typer_call(["a"]).keys == {}
    text = typer_help(opening)
    assert text.index("--repo DIR") < text.index("--key-file FILE") < text.index("Common options:")
    assert "--key-file" not in typer_help()


def test_injected_parameters_are_on_no_surface() -> None:
    assert signature.injected(everything) == ["bank", "context"]
    names = {parameter.name for parameter in signature.parameters(everything)}
    assert not names & {"bank", "context"}


@pytest.mark.parametrize(
    "line",
    [
        [],
        ["--level", "middle", "a"],
        ["--last", "x", "a"],
        ["--bogus", "a"],
        ["a", "--bank"],
        ["a", "--level"],
        ["a", "--verify=no"],
        ["a", "-x"],
    ],
)
def test_wrong_usage_is_a_usage_error_with_a_hint(line: list[str]) -> None:
    assert plain.parse(OPERATION, everything, line) is None
    with pytest.raises(Exception, match=r".") as caught:
        typer_call(line)
    error = from_parser(caught.value)
    assert error is not None
    assert error.exit_code == 2
    assert error.message
    assert "--help" in error.hint


def test_an_option_without_default_is_required() -> None:
    assert plain.parse(OPERATION, needy, ["--text", "x"]) is None
    found = plain.parse(OPERATION, needy, ["--account", "x"])
    assert found is not None
    assert found.options == {"account": "x", "text": None}
    with pytest.raises(Exception, match="account") as caught:
        typer_call([], needy)
    error = from_parser(caught.value)
    assert error is not None
    assert error.message == "missing option '--account'"


def test_one_optional_argument() -> None:
    assert typer_call([], one).positional == (None,)
    assert typer_call(["x"], one).positional == ("x",)
    assert plain.parse(OPERATION, one, ["x", "y"]) is None
    assert "[ID]" in typer_help(one)


def read(line: list[str], function: Any) -> Call:
    """As main does: by the short way, else by typer's."""
    return plain.parse(OPERATION, function, line) or typer_call(line, function)


@pytest.mark.parametrize(
    ("line", "function", "what"),
    [
        ([""], everything, "FIRST"),
        (["a", "b", ""], everything, "PATHS"),
        (["a", "--from", ""], everything, "--from"),
        (["a", "--from="], everything, "--from"),
        (["a", "--only", "x", "--only", ""], everything, "--only"),
        (["a", "--bank", ""], everything, "--bank"),
        (["--repo", "", "--tag", "x"], opening, "--repo"),
        (["--tag="], opening, "--tag"),
        (["--key-file", ""], opening, "--key-file"),
        (["--account", "x", "--text", ""], needy, "--text"),
        ([""], one, "ID"),
    ],
)
def test_an_empty_text_is_refused(line: list[str], function: Any, what: str) -> None:
    for parse in (read, typer_call):
        with pytest.raises(UsageError) as caught:
            parse(line, function)
        assert caught.value.message == f"{what} is empty"
        assert "leave" in caught.value.hint


def saying(text: Annotated[str | None, Option("what", empty=True)] = None, *, why: Annotated[str, "why"] = "") -> None:
    """Take an empty text."""


def test_an_empty_text_is_taken_where_it_means_something() -> None:
    assert read([""], saying).positional == ("",)
    assert read([], saying).positional == (None,)
    assert read(["x", "--why", ""], saying).options == {"why": ""}


def test_texts_that_may_be_empty_are_few() -> None:
    every = {
        f"{name} {parameter.word}"
        for name, operation in COMMANDS.items()
        for parameter in (*signature.parameters(load(operation)), *COMMON, *KEYS)
        if parameter.kind is str and not parameter.choices and (parameter.option.empty or parameter.default == "")
    }
    assert every == {
        "accept reason",
        "alert ack reason",
        "alert route alert",
        "alert route path",
        "alert silence end",
        "alert silence reason",
        "alert silence until",
        "config set value",
        "message add id",
        "message add role",
        "message add text",
        "message add timestamp",
        "snapshot key add name",
    }


LINE = (
    "a b.json - -- -n -q -v -qv --dry-run --verify --no-verify --json --level low high --level=high --only MB1 "
    "--only=MB2 --last 3 3.5 x --last=7 --ratio .5 --ratio=1e3 --from --from=/a=b --bank --bank=x --lock-timeout "
    "1 --actor --repo --key-file --password-file=- --password-command --tag -h --help "
    "--no-dry-run --bogus -1 --actor= -n=1 1_000 ja\udcff"
)


@given(st.lists(st.sampled_from([*LINE.split(), ""]), max_size=7))
def test_the_short_way_reads_what_typer_reads(line: list[str]) -> None:
    for function in (everything, needy, one, opening):
        short = plain.parse(OPERATION, function, line)
        if short is not None:
            assert short == typer_call(line, function)


@pytest.mark.parametrize(
    "line", [["a"], ["a", "b", "--json"], ["a", "--only", "x", "--bank", "y"], ["--", "-a", "--json"]]
)
def test_ordinary_lines_take_the_short_way(line: list[str]) -> None:
    assert plain.parse(OPERATION, everything, line) == typer_call(line)


def untyped(thing: Annotated[dict[str, str], "what"]) -> None:
    """Take what no command line can give."""


def greedy(*, json: Annotated[bool, "mine"] = False) -> None:
    """Take a common option's name."""


@pytest.mark.parametrize(("function", "words"), [(untyped, "'thing'"), (greedy, "json is a common option")])
def test_what_cannot_be_derived_is_refused(function: Any, words: str) -> None:
    with pytest.raises(TypeError, match=words):
        typer_call([], function)


def test_a_docstring_in_its_parts() -> None:
    text = signature.text(everything)
    assert text.summary == "Do everything at once"
    assert text.body == "A further paragraph."
    assert text.sections == {
        "Exit codes:": "0  done\n1  not done",
        "Examples:": "memorybank everything a b --level high",
    }
    assert signature.text(one) == signature.Text("Take one thing at most", "", {})


def test_every_common_option_has_a_help_text() -> None:
    assert all(parameter.option.help for parameter in COMMON)
