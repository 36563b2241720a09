"""The table of operations: every row can be loaded and says of itself what the operation says."""

from __future__ import annotations

from importlib import import_module

import pytest

from memorybank_cli.operations import signature
from memorybank_cli.operations.table import GROUPS, OPERATIONS, Operation


@pytest.mark.parametrize("row", OPERATIONS.values(), ids=OPERATIONS)
def test_a_row(row: Operation) -> None:
    module, _, name = row.target.partition(":")
    function = getattr(import_module(module), name)
    text = signature.text(function)
    assert text.summary == row.summary
    assert set(text.sections) == {"Exit codes:", "Examples:"}
    assert f"memorybank {row.name}" in text.sections["Examples:"]
    assert ("bank" in signature.injected(function)) == (row.needs != "none")
    assert (row.group in GROUPS) == (" " in row.name)
    assert f"{row.group} {row.word}".strip() == row.name


def test_names_are_unique_and_groups_are_used() -> None:
    assert len({row.target for row in OPERATIONS.values()}) == len(OPERATIONS)
    assert {row.group for row in OPERATIONS.values()} - {""} == set(GROUPS)


def test_every_parameter_can_be_offered_and_is_explained() -> None:
    for row in OPERATIONS.values():
        module, _, name = row.target.partition(":")
        for parameter in signature.parameters(getattr(import_module(module), name)):
            assert parameter.option.help, (row.name, parameter.name)
