"""The reference that is committed is the one the code prints."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from memorybank_cli.base import errors, exits
from memorybank_cli.base.rules import FAMILIES, RULES
from memorybank_cli.base.settings import SETTINGS
from memorybank_cli.cli import app, reference
from memorybank_cli.cli.commands import COMMANDS, load
from memorybank_cli.operations import signature

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "reference"
PAGES = reference.documents()


def test_the_committed_reference_is_the_printed_one() -> None:
    found = {path.name: path.read_text() for path in DIRECTORY.iterdir()}
    assert found == PAGES, "run scripts/docs"


def test_everything_has_its_place() -> None:
    for name in COMMANDS:
        assert f"\n## memorybank {name}\n" in PAGES["cli.md"]
        assert f"\n`memorybank {name}`:\n" in PAGES["exit-codes.md"]
    for code, rule in RULES.items():
        assert f"\n### {code} {rule.name}\n" in PAGES["findings.md"]
        assert code[:3] in FAMILIES
    for setting in SETTINGS:
        assert f"\n## {setting.name}\n" in PAGES["settings.md"]
        assert f"`{setting.variable}`" in PAGES["settings.md"]
    for number in exits.MEANINGS:
        assert f"\n| {number} |" in PAGES["exit-codes.md"]


def test_every_error_ends_in_a_code_that_has_a_meaning() -> None:
    for one in vars(errors).values():
        if isinstance(one, type) and issubclass(one, errors.MemorybankError):
            assert one.exit_code in exits.MEANINGS
            assert f"`{one.code}`" in PAGES["exit-codes.md"]


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_names_only_exit_codes_that_have_a_meaning(name: str) -> None:
    said = signature.text(load(COMMANDS[name])).sections["Exit codes:"]
    codes = [int(found) for found in re.findall(r"^(\d+)\s", said, re.MULTILINE)]
    assert codes == sorted(set(codes))
    assert set(codes) <= exits.MEANINGS.keys()


def test_the_whole_application_can_be_walked() -> None:
    found = {" ".join(words[1:]) for words, _ in reference.walk(get_command(app.whole()), ("memorybank",))}
    assert found == set(COMMANDS)


def test_writing_the_pages(tmp_path: Path) -> None:
    reference.main(str(tmp_path / "pages"))
    assert {path.name for path in (tmp_path / "pages").iterdir()} == set(PAGES)
