"""Banks of every format that there was: this program opens, checks, proves, restores, rolls back and migrates them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from memorybank_cli.bank import layout
from tests.conftest import Run
from tests.golden.make_bank import MESSAGES
from tests.operations.banks import contents

BANKS = sorted(Path(__file__).parent.glob("bank-*"))
LOST = "state/lost.json"


@pytest.fixture(params=BANKS, ids=lambda path: path.name)
def bank(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "bank"
    shutil.copytree(request.param, path)
    return path


def test_there_is_one_of_each_format() -> None:
    assert [one.name for one in BANKS] == [f"bank-{number}" for number in range(1, layout.FORMAT + 1)]
    for one in BANKS:
        assert {entry.name for entry in (one / layout.PRIVATE).iterdir()} == {"journal", "quarantine"}
        document = json.loads((one / layout.BANK).read_bytes())
        assert document["format"] == int(one.name.removeprefix("bank-"))


def test_it_is_checked_and_proved(run: Run, bank: Path) -> None:
    before = contents(bank)
    done = run("validate", "--bank", bank, "--json")
    findings = done.json["findings"]
    errors = [(one["rule"][:3], one["path"]) for one in findings if one["severity"] in ("error", "critical")]
    assert (done.returncode, errors, done.json["pending"]) == (1, [("MB1", LOST)], 0)
    proof = run("log", "--verify", "--bank", bank, "--json")
    assert (proof.returncode, proof.json["ok"]) == (0, True)
    lines = run("log", "--bank", bank, "--json").lines
    assert {"bank.created", "file.adopted", "file.found", "record.stored", "restore.end", "source.imported"} <= {
        one["op"] for one in lines
    }
    assert run("status", "--bank", bank, "--json").returncode == 0
    assert contents(bank) == before


def test_its_messages_can_be_had(run: Run, bank: Path) -> None:
    found = run("message", "list", "--account", "alpha", "--bank", bank, "--json").lines
    assert [one["id"] for one in found] == [f"m{number}" for number in range(MESSAGES)]


def test_it_goes_into_a_snapshot_and_comes_back(run: Run, bank: Path, tmp_path: Path) -> None:
    assert run("migrate", "--yes", "--bank", bank).returncode == 0
    before = contents(bank)
    assert run("backup", "--bank", bank).returncode == 1  # of the damaged file
    assert run("snapshot", "restore", "latest", "--to", tmp_path / "out", "--bank", bank).returncode == 1
    assert contents(tmp_path / "out").items() <= contents(bank).items()
    assert set(before) - set(contents(tmp_path / "out")) == set()
    (bank / "trades/trade_3.json").unlink()
    (bank / "state/state.json").write_bytes(b"{}")
    done = run("rollback", "--path", "trades", "--path", "state", "--yes", "--bank", bank, "--json")
    assert done.json["restored"] == ["state/state.json", "trades/trade_3.json"]
    assert contents(bank).items() >= {name: data for name, data in before.items() if name != layout.README}.items()


def test_a_lost_file_comes_back_from_its_journal(run: Run, bank: Path) -> None:
    assert run("migrate", "--yes", "--bank", bank).returncode == 0
    for name in ("trades/trade_2.json", "trades/imported.json"):
        data = (bank / name).read_bytes()
        (bank / name).write_bytes(data[:20])
        done = run("repair", name, "--bank", bank, "--json")
        assert [one["method"] for one in done.json["repaired"]] == ["journal"]
        assert (bank / name).read_bytes() == data


def test_it_is_brought_up_to_date(run: Run, bank: Path) -> None:
    done = run("migrate", "--yes", "--bank", bank, "--json")
    steps = [one["to"] for one in done.json["steps"]]
    was = json.loads((bank / layout.BANK).read_bytes())["format"]
    assert was == layout.FORMAT
    assert steps == list(range(layout.FORMAT - len(steps) + 1, layout.FORMAT + 1))
    assert "up to date" in run("migrate", "--bank", bank).stdout
    assert run("init", bank).returncode == 0
