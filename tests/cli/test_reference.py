"""The reference that is committed is the one the code prints."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from memorybank_cli.base.rules import RULES
from memorybank_cli.cli import app, reference
from memorybank_cli.cli.commands import COMMANDS

DIRECTORY = Path(__file__).resolve().parents[2] / "docs" / "reference"


@pytest.mark.parametrize("name", ["cli.md", "findings.md"])
def test_the_committed_reference_is_the_printed_one(name: str) -> None:
    assert (DIRECTORY / name).read_text() == reference.documents()[name], "run scripts/docs"


def test_every_command_and_every_rule_has_its_place() -> None:
    pages = reference.documents()
    for name in COMMANDS:
        assert f"\n## memorybank {name}\n" in pages["cli.md"]
    for code, rule in RULES.items():
        assert f"\n### {code} {rule.name}\n" in pages["findings.md"]
        assert code[:3] in reference.FAMILIES


def test_the_whole_application_can_be_walked() -> None:
    found = {" ".join(words[1:]) for words, _ in reference.walk(get_command(app.whole()), ("memorybank",))}
    assert found == set(COMMANDS)


def test_writing_the_pages(tmp_path: Path) -> None:
    reference.main(str(tmp_path / "pages"))
    assert {path.name for path in (tmp_path / "pages").iterdir()} == {"cli.md", "findings.md"}
