"""Verifying as a command: what was found damaged is healed by the next backup, and nothing vanishes unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.bank.journal import Entry
from memorybank_cli.base.errors import UsageError
from memorybank_cli.operations.forgetting import forget
from memorybank_cli.operations.proofs import damaged_packs, proofs
from memorybank_cli.operations.repositories import open_repository
from memorybank_cli.operations.verifying import lacking, verify
from memorybank_cli.snapshots.backends import Stored
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, opened, put


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    for number in range(3):
        put(path / f"state/noise_{number}.json", {"noise": os.urandom(90_000).hex()})
    return path


def repository(bank: Path) -> Path:
    with opened(bank) as one, open_repository(one, None) as found:
        return Path(found.path)


def packs(bank: Path) -> list[Path]:
    return sorted(path for path in (repository(bank) / "packs").rglob("*") if path.is_file())


def flip(path: Path, offset: int = 1000) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_verify_finds_damage_and_the_next_backup_heals_it(bank: Path, tmp_path: Path, run: Run) -> None:
    backed_up(bank)
    for pack in packs(bank):
        flip(pack)
    found = run("snapshot", "verify", "--read-data", "--json", cwd=bank)
    assert found.returncode == 1
    hit = {one["path"] for one in found.json["findings"]} - {""}
    assert hit
    assert hit <= contents(bank).keys()
    assert set(found.json["damaged_packs"]) == {pack.name for pack in packs(bank)}
    made = run("backup", "--json", cwd=bank)
    assert made.returncode == 0, made.stderr
    assert made.json["snapshot"]["new_bytes"] > 90_000
    healed = run("snapshot", "verify", "--read-data", "--json", cwd=bank)
    assert (healed.returncode, healed.json["ok"]) == (0, True)
    assert {one["severity"] for one in healed.json["findings"]} == {"warning"}
    restored = run("snapshot", "restore", "latest", "--to", tmp_path / "to", "--json", cwd=bank)
    assert (restored.returncode, restored.json["findings"]) == (0, [])
    assert contents(tmp_path / "to") == contents(bank)
    again = run("backup", "--json", cwd=bank)
    assert again.json["snapshot"]["new_bytes"] < 20_000  # once is enough


def test_what_the_bank_has_no_more_stays_hit(bank: Path, run: Run) -> None:
    backed_up(bank)
    for pack in packs(bank):
        flip(pack)
    assert run("snapshot", "verify", "--read-data", cwd=bank).returncode == 1
    gone = {f"state/noise_{number}.json" for number in range(3)}
    for path in gone:
        put(bank / path, {"noise": "another"})
    backed_up(bank)
    found = run("snapshot", "verify", "--read-data", "--json", cwd=bank)
    assert found.returncode == 1
    assert {one["path"] for one in found.json["findings"]} - {""} <= gone


def test_a_pack_that_was_put_back_is_trusted_again(bank: Path) -> None:
    backed_up(bank)
    (pack, *_) = packs(bank)
    good = pack.read_bytes()
    flip(pack)
    with opened(bank) as one, open_repository(one, None) as found:
        assert not verify(one, read_data=True).ok
        assert damaged_packs(one, found) == {pack.name}
        pack.write_bytes(good)
        assert damaged_packs(one, found) == frozenset()
        assert verify(one, read_data=True).findings == ()
        assert proofs(one, found).damaged == {}


def test_a_snapshot_that_vanished_is_missed(bank: Path, run: Run) -> None:
    backed_up(bank)
    made = backed_up(bank).document
    assert made is not None
    (repository(bank) / "snapshots" / made.id).unlink()
    done = run("snapshot", "verify", "--json", cwd=bank)
    assert done.returncode == 1
    (finding,) = done.json["findings"]
    assert made.id in finding["message"]
    assert "nobody forgot it" in finding["message"]
    for path in (repository(bank) / "snapshots").iterdir():
        path.unlink()
    emptied = run("snapshot", "verify", "--json", cwd=bank)
    assert (emptied.returncode, emptied.json["snapshots"], len(emptied.json["findings"])) == (1, 0, 3)


def test_what_is_made_and_forgotten_meanwhile_is_not_missed(bank: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = backed_up(bank).document
    for _ in range(3):
        backed_up(bank)
    assert first is not None
    with opened(bank) as one, open_repository(one, None) as found:
        real = found.backend.entries

        def entries(folder: str) -> list[Stored]:
            with opened(bank) as other:
                forget(other, first.id, yes=True)
            listed = real(folder)
            backed_up(bank)
            return listed

        monkeypatch.setattr(found.backend, "entries", entries)
        assert lacking(one, found.path, found) == {}
        assert len(real("snapshots")) == 4


def test_snapshots_of_another_repository_are_not_missed(bank: Path, tmp_path: Path, run: Run) -> None:
    backed_up(bank)
    backed_up(bank, repo=str(tmp_path / "other"))
    for words in ([], ["--repo", str(tmp_path / "other")]):
        assert run("snapshot", "verify", *words, cwd=bank).returncode == 0


def test_a_repository_that_moved_is_known_again(bank: Path, tmp_path: Path, run: Run) -> None:
    place = tmp_path / "repo"
    for _ in range(2):
        backed_up(bank, repo=str(place))
    made = backed_up(bank, repo=str(place)).document
    assert made is not None
    moved = place.rename(tmp_path / "moved")
    assert run("snapshot", "verify", "--repo", moved, cwd=bank).returncode == 0
    (moved / "snapshots" / made.id).unlink()
    done = run("snapshot", "verify", "--json", "--repo", moved, cwd=bank)
    assert (done.returncode, [made.id in one["message"] for one in done.json["findings"]]) == (1, [True])
    forgot = run("snapshot", "forget", "--keep-last", "1", "--repo", moved, "--yes", cwd=bank)
    assert forgot.returncode == 0, forgot.stderr


def test_what_was_forgotten_elsewhere_is_not_missed_where_it_was_made(bank: Path, tmp_path: Path, run: Run) -> None:
    place = tmp_path / "repo"
    for _ in range(5):
        backed_up(bank, repo=str(place))
    moved = place.rename(tmp_path / "moved")
    done = run("snapshot", "forget", "--keep-last", "1", "--repo", moved, "--yes", "--json", cwd=bank)
    assert len(done.json["forgotten"]) == 2
    moved.rename(place)
    assert run("snapshot", "verify", "--repo", place, cwd=bank).returncode == 0


def test_lines_of_older_programs_name_only_the_place(bank: Path, tmp_path: Path) -> None:
    backed_up(bank)
    with opened(bank) as one:
        for place in (repository(bank), tmp_path / "other"):
            fields = {"snapshot": f"20200101T000000Z-{len(place.name):08x}", "repository": str(place)}
            one.commit([Entry("snapshot.created", fields)])
        found = verify(one)
    (finding,) = found.findings
    assert f"20200101T000000Z-{len(repository(bank).name):08x}" in finding.message


def test_forgotten_snapshots_are_not_missed(bank: Path, run: Run) -> None:
    for _ in range(5):
        backed_up(bank)
    done = run("snapshot", "forget", "--keep-last", "1", "--yes", "--json", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert len(list((repository(bank) / "snapshots").iterdir())) == 3
    assert run("snapshot", "verify", cwd=bank).returncode == 0


def test_parts_and_what_goes_with_what(bank: Path, run: Run) -> None:
    for number in range(4):
        put(bank / "state/state.json", {"bot_status": str(number)})
        backed_up(bank)
    parts = [run("snapshot", "verify", "--read-data", "--subset", f"{n}/3", "--json", cwd=bank).json for n in (1, 2, 3)]
    assert sum(one["packs"] for one in parts) == len(packs(bank))
    shown = run("snapshot", "verify", "--read-data", "--subset", "50%", cwd=bank)
    assert "not read" in shown.stdout
    with opened(bank) as one:
        for options in (
            {"subset": "1/2"},
            {"resume": True},
            {"read_data": True, "resume": True, "subset": "1/2"},
            {"read_data": True, "resume": True, "id": "latest"},
            {"read_data": True, "subset": "3"},
        ):
            with pytest.raises(UsageError):
                verify(one, **options)
        assert verify(one, read_data=True, resume=True).packs == len(packs(bank))


def test_what_cannot_be_kept_is_told_and_does_not_fail(bank: Path, run: Run) -> None:
    backed_up(bank)
    with opened(bank) as one, open_repository(one, None) as found:
        place = Path(one.home.root.absolute(f"proofs-{found.repo_id}.json"))
    place.mkdir()
    done = run("snapshot", "verify", "--read-data", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert "cannot note which packs were read" in done.stderr
    with opened(bank) as one:
        assert verify(one, read_data=True).ok
    place.rmdir()
    place.write_bytes(b"\xff")
    assert run("snapshot", "verify", "--read-data", cwd=bank).returncode == 0


def test_an_encrypted_repository_is_proved_and_healed_alike(bank: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "password").write_bytes(b"open sesame\n")
    (tmp_path / "wrong").write_bytes(b"open barley\n")
    key = ("--password-file", tmp_path / "password")
    assert run("backup", "--encrypt", *key, cwd=bank).returncode == 0
    assert run("snapshot", "verify", "--read-data", *key, cwd=bank).returncode == 0
    drilled = run("snapshot", "drill", "--json", *key, cwd=bank)
    assert (drilled.returncode, drilled.json["ok"]) == (0, True), drilled.stderr
    for command in ("verify", "drill"):
        assert run("snapshot", command, "--password-file", tmp_path / "wrong", cwd=bank).returncode == 12
    place = next((Path(os.environ["MEMORYBANK_STATE_HOME"]) / "repositories").iterdir())
    for pack in [path for path in (place / "packs").rglob("*") if path.is_file()]:
        flip(pack)
    found = run("snapshot", "verify", "--read-data", "--json", *key, cwd=bank)
    assert found.returncode == 1
    assert {one["path"] for one in found.json["findings"]} & contents(bank).keys()
    assert run("backup", *key, cwd=bank).returncode == 0
    assert run("snapshot", "verify", "--read-data", *key, cwd=bank).returncode == 0
