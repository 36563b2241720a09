"""Every shape through the commands: into a new bank, then into that bank again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Run
from tests.migrations.conftest import as_bytes, write_files
from tests.migrations.shapes import SOUND, entity, lines
from tests.migrations.test_hostile import DAMAGED, fingerprint

EXPECTED = {
    "bank_layout": (4, 0),
    "memory_tree": (1, 7),
    "mcp_memory": (2, 0),
    "freqtrade": (8, 0),
    "dialogues": (0, 12),
    "markdown_bank": (4, 0),
    "plain_json": (3, 2),
}
# A look at a bank may make what is derived.
DERIVED = r"^\.memorybank(/(catalog|index).*)?$"


@pytest.mark.parametrize("name", SOUND)
def test_a_source_comes_in_once(tmp_path: Path, run: Run, name: str) -> None:
    source, bank = tmp_path / "source", tmp_path / "bank"
    write_files(source, SOUND[name])
    before = fingerprint(source)

    planned = run("init", bank, "--from", source, "--dry-run", "--json")
    assert planned.returncode == 0, planned.stderr
    assert not bank.exists()
    assert {row["importer"] for row in planned.json["imported"]["plan"]} == {name}

    made = run("init", bank, "--from", source, "--json")
    assert made.returncode == 0, made.stderr
    report = made.json["imported"]
    assert (report["files"], report["messages"]) == EXPECTED[name]
    assert report["plan"] == planned.json["imported"]["plan"]
    assert report["rejected"] == []

    after = fingerprint(bank, DERIVED)
    again = run("migrate", "--from", source, "--bank", bank, "--dry-run", "--json")
    assert again.returncode == 0, again.stderr
    assert again.json["imported"] == 0
    assert fingerprint(bank, DERIVED) == after

    again = run("migrate", "--from", source, "--bank", bank, "--json")
    assert again.returncode == 0, again.stderr
    assert (again.json["imported"], again.json["present"]) == (0, sum(EXPECTED[name]))
    assert again.json["rejected"] == []

    # One relation of the graph names an entity that is not there: the import says so, and so does each check.
    dangling = ["MB204"] if name == "mcp_memory" else []
    assert [one["rule"] for one in run("validate", "--bank", bank, "--json").json["findings"]] == dangling
    assert fingerprint(source) == before


@pytest.mark.parametrize("name", SOUND)
def test_a_source_comes_into_a_standing_bank_once(tmp_path: Path, run: Run, name: str) -> None:
    source, bank = tmp_path / "source", tmp_path / "bank"
    write_files(source, SOUND[name])
    assert run("init", bank).returncode == 0
    placeholders = {"bank_layout": ["metrics/metrics.json", "state/state.json"]}.get(name, [])
    for path in placeholders:
        (bank / path).unlink()
    first = run("migrate", "--from", source, "--bank", bank, "--json")
    second = run("migrate", "--from", source, "--bank", bank, "--json")
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert (first.json["files"], first.json["messages"]) == EXPECTED[name]
    assert (second.json["imported"], second.json["present"]) == (0, sum(EXPECTED[name]))


@pytest.mark.parametrize("name", SOUND)
def test_a_damaged_source_comes_in_as_far_as_it_goes(tmp_path: Path, run: Run, name: str) -> None:
    source, bank = tmp_path / "source", tmp_path / "bank"
    write_files(source, SOUND[name])
    for number, (kind, damage) in enumerate(DAMAGED.items()):
        for path, content in SOUND[name].items():
            head, _, tail = path.rpartition("/")
            place = {
                "memory_tree": f"memory/account_{number}/{tail}",
                "bank_layout": f"{head}/{number}-{tail}",
            }.get(name, f"{number}-{kind.replace(' ', '-').replace(',', '')}/{path}")
            write_files(source, {place: damage(as_bytes(content))})
    before = fingerprint(source)
    made = run("init", bank, "--from", source, "--json")
    assert made.returncode in (0, 1), made.stderr
    report = made.json["imported"]
    assert (report["files"], report["messages"]) >= EXPECTED[name]
    for one in report["rejected"]:
        assert one["reason"].isprintable()
        assert not one["kept"] or (bank / one["kept"]).is_file()
    again = run("migrate", "--from", source, "--bank", bank, "--json")
    assert again.returncode in (0, 1), again.stderr
    assert again.json["imported"] == 0
    assert len(again.json["rejected"]) == len(report["rejected"])
    assert fingerprint(source) == before
    assert run("validate", "--bank", bank, "--json").returncode in (0, 1)


def test_thousands_of_bad_records_are_each_kept(tmp_path: Path, run: Run) -> None:
    source, bank = tmp_path / "source", tmp_path / "bank"
    bad = [f'{{"type":"entity","name":{number}'.encode() for number in range(3000)]
    write_files(source, {"memory.jsonl": b"\n".join([*lines(entity(1)).splitlines(), *bad, bad[0]])})
    made = run("init", bank, "--from", source, "--json")
    assert made.returncode == 0, made.stderr
    rejected = made.json["imported"]["rejected"]
    assert len(rejected) == 3001
    assert sorted((bank / path).read_bytes() for path in {one["kept"] for one in rejected}) == sorted(bad)
    again = run("migrate", "--from", source, "--bank", bank, "--json")
    assert again.returncode == 1, again.stderr
    assert [one["kept"] for one in again.json["rejected"]] == [one["kept"] for one in rejected]
