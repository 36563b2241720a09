"""What a command may import: heavy packages only where they are used."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent
HEAVY = {"cryptography", "filelock", "jsonschema", "rich", "sklearn", "watchdog", "zstandard"}
SCRIPT = """
import json, sys
from memorybank_cli.main import main
code = main(sys.argv[1:])
sys.stdout.flush()
print("\\n" + json.dumps({"code": code, "modules": sorted({name.partition(".")[0] for name in sys.modules})}))
"""


def loaded(arguments: list[str], place: Path) -> set[str]:
    """The top-level modules in memory after a command, run in a fresh interpreter."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV", "MEMORYBANK_"))}
    environment |= {"PYTHONPATH": str(PROJECT), "MEMORYBANK_STATE_HOME": str(place / "home"), "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        stdin=subprocess.DEVNULL,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["code"] == 0, done.stderr
    return set(result["modules"])


def test_version_imports_neither_typer_nor_typing(tmp_path: Path) -> None:
    assert not loaded(["--version"], tmp_path) & (HEAVY | {"typer", "typing", "dataclasses", "orjson"})


@pytest.mark.parametrize("arguments", [["--help"], ["snapshot", "--help"], ["validate", "--help"]], ids=" ".join)
def test_help_imports_typer_and_nothing_heavy(arguments: list[str], tmp_path: Path) -> None:
    modules = loaded(arguments, tmp_path)
    assert "typer" in modules
    assert not modules & HEAVY


LIGHT = [
    ["explain", "MB102"],
    ["status"],
    ["validate", "trades/one.json"],
    ["log"],
    ["log", "--verify"],
    ["manifest"],
    ["health"],
    ["config", "show", "--origin"],
    ["config", "get", "actor"],
    ["snapshot", "list"],
    ["account", "list"],
    ["message", "add", "hello", "--account", "alpha", "--role", "user"],
    ["message", "list", "--account", "alpha"],
]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with a bank in it."""
    place = tmp_path_factory.mktemp("startup")
    trades = place / "memory-bank" / "trades"
    trades.mkdir(parents=True)
    (trades / "one.json").write_text('{"id": "one", "timestamp": "2026-11-20T14:00:00Z"}')
    loaded(["init", "memory-bank", "--account", "alpha"], place)
    loaded(["backup"], place)
    return place


@pytest.mark.parametrize("arguments", LIGHT, ids=" ".join)
def test_light_commands_import_nothing_heavy(arguments: list[str], place: Path) -> None:
    assert not loaded([*arguments, "--json"], place) & (HEAVY | {"typer"})
