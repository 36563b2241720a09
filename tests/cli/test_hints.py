"""Commands that are told to be typed next: for the bank and the repository of the command before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.cli.call import Call
from memorybank_cli.cli.hints import to_be_typed
from memorybank_cli.operations.table import OPERATIONS
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, put


def typed(text: str, bank: str | None = None, repo: str | None = None) -> str:
    common: dict[str, Any] = {"bank": bank}
    return to_be_typed(text, Call(OPERATIONS["rollback"], print, (), {"repo": repo}, common, {}))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("memorybank snapshot find nope", "memorybank snapshot find --bank b --repo r nope"),
        ("memorybank snapshot key list shows", "memorybank snapshot key list --bank b --repo r shows"),
        ("next: memorybank validate", "next: memorybank validate --bank b"),
        ("memorybank backup --repo DIR", "memorybank backup --bank b --repo DIR"),
        ("memorybank backup; --repo names one", "memorybank backup --bank b --repo r; --repo names one"),
        ("memorybank log or memorybank rollback", "memorybank log --bank b or memorybank rollback --bank b --repo r"),
        ("memorybank backup --bank c", "memorybank backup --repo r --bank c"),
        ("memorybank init in that directory", "memorybank init in that directory"),
        ("memorybank-cli; memorybank backups", "memorybank-cli; memorybank backups"),
        ("memorybank explain MB101", "memorybank explain MB101"),
    ],
)  # fmt: skip
def test_options_are_repeated(text: str, told: str) -> None:
    assert typed(text, "b", "r") == told
    assert typed(text) == text


def test_each_alone_and_quoted() -> None:
    assert typed("memorybank rollback --undo", repo="a b") == "memorybank rollback --repo 'a b' --undo"
    assert typed("memorybank rollback --undo", repo="$x") == "memorybank rollback --repo '$x' --undo"


def test_what_is_told_can_be_typed(make_bank: MakeBank, run: Run, tmp_path: Path) -> None:
    bank = make_bank(padded=False)
    options = ("--bank", str(bank), "--repo", str(tmp_path / "a repo"))
    backed_up(bank, repo=options[-1])
    put(bank / "state/state.json", {"bot_status": "stopped"})
    done = run("rollback", "--yes", *options, cwd=tmp_path)
    told = f"--bank {bank} --repo '{options[-1]}'"
    assert done.stdout.splitlines()[-1].endswith(f"; to undo: memorybank rollback {told} --undo")
    assert run("rollback", "--undo", "--yes", *options, cwd=tmp_path).returncode == 0
    done = run("rollback", "--path", "nope", *options, cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (10, f"  memorybank snapshot find {told} nope")
    done = run("rollback", "--path", "nope", "--json", cwd=bank, env={"MEMORYBANK_REPOSITORY": options[-1]})
    assert done.error["hint"] == "memorybank snapshot find nope"


def test_the_hints_of_findings_can_be_typed_from_elsewhere(make_bank: MakeBank, run: Run, tmp_path: Path) -> None:
    bank = make_bank()
    for words in (("validate", "--bank", bank.name), ("init", bank.name)):
        shown = run(*words, cwd=tmp_path).stdout
        assert f"    memorybank repair --bank {bank.name} trades/recent_trades.json\n" in shown
        assert shown.endswith(f"ext: memorybank repair --bank {bank.name} --dry-run\n")
    (tmp_path / "elsewhere").mkdir()
    for directory, named in ((tmp_path, bank.name), (tmp_path / "elsewhere", bank)):
        shown = run("validate", bank / "trades", cwd=directory).stdout
        assert f"    memorybank repair --bank {named} trades/recent_trades.json\n" in shown
        assert shown.endswith(f"ext: memorybank repair --bank {named} --dry-run\n")
    assert run("validate", cwd=bank).stdout.endswith("Next: memorybank repair --dry-run\n")
    hints = [one["hint"] for one in run("validate", "--bank", bank.name, "--json", cwd=tmp_path).json["findings"]]
    assert "memorybank repair trades/recent_trades.json" in hints
    told = run("repair", "--bank", bank.name, "trades/recent_trades.json", cwd=tmp_path)
    assert told.returncode == 0


def test_an_option_without_its_value(run: Run, tmp_path: Path) -> None:
    done = run("snapshot", "forget", "--keep-daily", "--json", cwd=tmp_path)
    assert done.returncode == 2
    done = run("snapshot", "forget", "--keep-daily", cwd=tmp_path)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (
        2,
        "  memorybank snapshot forget --help shows how it is used",
    )
