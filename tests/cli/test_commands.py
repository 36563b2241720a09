"""The table of operations is true: each row's function is there and says the same."""

from __future__ import annotations

import pytest

from memorybank_cli.cli import call
from memorybank_cli.cli.commands import COMMANDS, TITLES, find, load
from memorybank_cli.operations import signature
from memorybank_cli.operations.table import Operation


@pytest.mark.parametrize("operation", COMMANDS.values(), ids=lambda operation: operation.name)
def test_each_row_is_what_its_function_says(operation: Operation) -> None:
    function = load(operation)
    text = signature.text(function)
    assert text.summary == operation.summary
    assert len(text.summary) <= 60
    assert list(text.sections) == ["Exit codes:", "Examples:"]
    assert any(line.strip().startswith("0 ") for line in text.sections["Exit codes:"].splitlines())
    for line in text.sections["Examples:"].splitlines():
        assert f"memorybank {operation.name}" in line
    injected = signature.injected(function)
    assert ("bank" in injected) == (operation.needs != "none")
    for parameter in signature.parameters(function):
        assert parameter.option.help, f"{parameter.name} has no help text"
        assert parameter.name not in call.COMMON_NAMES


def test_every_group_has_a_title_and_commands() -> None:
    assert {operation.group for operation in COMMANDS.values() if operation.group} == set(TITLES)


@pytest.mark.parametrize(
    ("line", "name", "group", "rest"),
    [
        (["status", "--json"], "status", "", ["--json"]),
        (["snapshot", "list", "-q"], "snapshot list", "", ["-q"]),
        (["snapshot", "--help"], None, "snapshot", ["--help"]),
        (["snapshot"], None, "snapshot", []),
        (["snapshot", "key", "add", "-q"], "snapshot key add", "", ["-q"]),
        (["snapshot", "key"], None, "snapshot key", []),
        (["snapshot", "key", "-h"], None, "snapshot key", ["-h"]),
        (["--help"], None, "", ["--help"]),
        ([], None, "", []),
    ],
)
def test_which_command_a_line_means(line: list[str], name: str | None, group: str, rest: list[str]) -> None:
    meant = find(line)
    assert (meant.operation.name if meant.operation else None, meant.group, meant.rest) == (name, group, rest)
