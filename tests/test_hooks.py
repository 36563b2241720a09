"""The hook for pre-commit: what it says is run as pre-commit would run it, on a repository with a bank inside."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.conftest import MakeBank, Ran, Run, trade
from tests.operations.banks import put

PROJECT = Path(__file__).resolve().parent.parent
LANGUAGES = {"python"}


@pytest.fixture(scope="module")
def hook() -> dict[str, Any]:
    hooks = YAML(typ="safe").load((PROJECT / ".pre-commit-hooks.yaml").read_bytes())
    [found] = hooks
    return dict(found)


@pytest.fixture
def repository(make_bank: MakeBank, tmp_path: Path) -> Path:
    """A directory as git would hold it, with a bank below."""
    (tmp_path / "repo/data").mkdir(parents=True)
    path = make_bank(3, padded=False, name="repo/data/memory-bank")
    put(path / "docs/notes.md", b"no JSON")
    put(tmp_path / "repo/package.json", b"{")
    return tmp_path / "repo"


def staged(hook: dict[str, Any], repository: Path) -> list[str]:
    """The files that pre-commit hands to the hook: those of the repository that its patterns take."""
    names = sorted(str(one.relative_to(repository)) for one in repository.rglob("*") if one.is_file())
    return [one for one in names if re.search(hook["files"], one) and not re.search(hook["exclude"], one)]


def committed(hook: dict[str, Any], run: Run, repository: Path, *args: str) -> Ran:
    program, *entry = shlex.split(hook["entry"])
    assert program == "memorybank"
    return run(*entry, *args, *staged(hook, repository), cwd=repository)


def test_the_hook_is_one_that_pre_commit_takes(hook: dict[str, Any]) -> None:
    assert set(hook) >= {"id", "name", "entry", "language"}
    assert hook["language"] in LANGUAGES
    assert hook["require_serial"] is True
    assert "pass_filenames" not in hook  # it does by default
    scripts = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]["scripts"]
    assert shlex.split(hook["entry"])[0] in scripts


def test_it_takes_the_documents_of_a_bank_and_nothing_else(hook: dict[str, Any], repository: Path) -> None:
    assert [one.removeprefix("data/memory-bank/") for one in staged(hook, repository)] == [
        "bank.json",
        "metrics/metrics.json",
        "state/state.json",
        "trades/recent_trades.json",
        "trades/trade_0.json",
        "trades/trade_1.json",
        "trades/trade_2.json",
    ]
    for name, taken in (("memory-bank/a.json", True), ("my-memory-bank/a.json", False), ("a.json", False)):
        assert bool(re.search(hook["files"], name)) is taken


def test_good_files_pass(hook: dict[str, Any], run: Run, repository: Path) -> None:
    done = committed(hook, run, repository)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("7 files checked")


def test_damaged_and_changed_ones_do_not(hook: dict[str, Any], run: Run, repository: Path) -> None:
    bank = repository / "data/memory-bank"
    put(bank / "state/cut.json", b'{"a": 1')
    put(bank / "trades/trade_1.json", trade(7))
    done = committed(hook, run, repository)
    assert done.returncode == 1
    assert "error MB103 state/cut.json: " in done.stdout
    assert "error MB113 trades/trade_1.json: " in done.stdout


def test_a_schema_can_be_given_where_there_is_no_bank(hook: dict[str, Any], run: Run, repository: Path) -> None:
    bank = repository / "data/memory-bank"
    for one in bank.rglob("*.json"):
        if one.parent.name != "trades":
            one.unlink()
    put(bank / "trades/trade_1.json", {"timestamp": "noon"})
    done = committed(hook, run, repository, "--schema", "trade")
    assert done.returncode == 1
    assert "error MB201 data/memory-bank/trades/trade_1.json:2 at /timestamp: " in done.stdout


def test_a_checkout_holds_no_journal(hook: dict[str, Any], run: Run, repository: Path) -> None:
    """`.memorybank/` stays out of git, so the hook must do without, and must leave nothing behind."""
    bank = repository / "data/memory-bank"
    (bank / ".memorybank").rename(repository / "elsewhere")
    before = sorted(repository.rglob("*"))
    assert committed(hook, run, repository).returncode == 0
    put(bank / "trades/trade_1.json", b"")
    assert "MB104 trades/trade_1.json" in committed(hook, run, repository).stdout
    assert sorted(repository.rglob("*")) == before
