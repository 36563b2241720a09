"""Snapshots as commands: listing, showing, proving, restoring, and what damage of the repository comes to."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

import pytest

from memorybank_cli.base.errors import Refused, SnapshotNotFound, UsageError
from memorybank_cli.operations.repositories import Snapshots, open_repository
from memorybank_cli.operations.snapshots import list_, restore, show
from memorybank_cli.operations.verifying import verify
from memorybank_cli.snapshots import documents, pins
from memorybank_cli.snapshots.documents import Document
from tests.conftest import MakeBank, Run
from tests.operations.banks import backed_up, contents, opened, put


@pytest.fixture
def bank(make_bank: MakeBank) -> Path:
    path = make_bank(padded=False)
    for number in range(3):
        put(path / f"state/large_{number}.json", {"noise": f"{number}" + "abcdefgh" * 40_000})
    return path


def saved(bank: Path, **options: object) -> Document:
    made = backed_up(bank, **options).document
    assert made is not None
    return made


def repository(bank: Path) -> Path:
    with opened(bank) as one, open_repository(one, None) as found:
        return Path(found.path)


def packs(bank: Path) -> list[Path]:
    return sorted(path for path in (repository(bank) / "packs").rglob("*") if path.is_file())


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    path.chmod(0o600)
    if how == "gone":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "empty":
        path.write_bytes(b"")
    else:
        data[len(data) // 2] ^= 1
        path.write_bytes(data)


def test_listing(bank: Path, run: Run) -> None:
    first, second = saved(bank, tag=("a",)), saved(bank, tag=("b", "c"))
    with opened(bank) as one:
        assert [found.id for found in list_(one).snapshots] == [first.id, second.id]
        assert [found.id for found in list_(one, tag=("c", "x")).snapshots] == [second.id]
        assert list_(one).summary() == f"2 snapshots in {repository(bank)}"
    done = run("snapshot", "list", "--json", cwd=bank)
    assert done.returncode == 0
    assert {"id", "time", "status", "files"} <= set(done.json["snapshots"][0])
    assert first.id in run("snapshot", "list", cwd=bank).stdout


def test_the_newest_and_marks(bank: Path, run: Run) -> None:
    ids = [saved(bank, tag=tag).id for tag in ((), ("x",), (documents.SAFETY,))]
    with opened(bank) as one, open_repository(one, None) as found:
        pins.pin(found, ids[0])
        assert [row.id for row in list_(one, last=2).snapshots] == ids[1:]
        assert [row.id for row in list_(one, last=9, tag=("x",)).snapshots] == [ids[1]]
        with pytest.raises(UsageError):
            list_(one, last=-1)
        marks = [(row["latest"], row["pinned"]) for row in list_(one).as_dict()["snapshots"]]
        assert marks == [(False, True), (True, False), (False, False)]
        assert show(one, ids[0]).as_dict()["snapshot"]["pinned"]
    done = run("snapshot", "list", cwd=bank).stdout.splitlines()
    assert [line.split(maxsplit=5)[-1] for line in done[1:4]] == ["pinned", "latest, x", documents.SAFETY]


def test_without_a_repository(bank: Path, run: Run) -> None:
    for words in (["list"], ["show"], ["verify"], ["restore", "--to", "../x"]):
        done = run("snapshot", *words, "--json", cwd=bank)
        assert (done.returncode, done.error["code"]) == (10, "snapshot_not_found")
        assert "memorybank backup" in done.error["hint"]
    with opened(bank) as one:
        snapshots = Snapshots(one)
        assert (snapshots.repo, snapshots.newest_first(), snapshots.content("bank.json")) == (None, [], None)
        snapshots.close()


def test_showing_one(bank: Path, run: Run) -> None:
    put(bank / "trades/trade_0.json", b"{")
    made = saved(bank)
    with opened(bank) as one:
        for name in ("latest", made.id, made.id[:-3]):
            found = show(one, name)
            assert found.snapshot == made
        rows = {row["path"]: row for row in found.as_dict()["files"]}
        with pytest.raises(SnapshotNotFound):
            show(one, "nosuch")
    assert rows.keys() == contents(bank).keys()
    assert (rows["trades/trade_0.json"]["rule"], rows["trades/trade_0.json"]["good"]) == ("MB103", True)
    assert set(rows["bank.json"]) == {"path", "size", "mode", "mtime_ns"}
    assert "trades/trade_0.json" in run("snapshot", "show", cwd=bank).stdout


def test_restoring_to_a_new_place(bank: Path, tmp_path: Path, run: Run) -> None:
    saved(bank)
    before = contents(bank, private=True)
    done = run("snapshot", "restore", "latest", "--to", tmp_path / "new/place", "--json", cwd=bank)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "new/place") == contents(bank)
    (tmp_path / "empty").mkdir()
    with opened(bank) as one:
        restore(one, to=str(tmp_path / "empty"), path=("trades", "bank.json"))
        assert set(contents(tmp_path / "empty")) == {
            name for name in contents(bank) if name.startswith(("trades/", "bank.json"))
        }
        with pytest.raises(Refused):
            restore(one, to=str(tmp_path / "empty"))
    refused = run("snapshot", "restore", "--to", bank, "--json", cwd=bank)
    assert (refused.returncode, refused.error["code"]) == (13, "refused")
    assert {name: data for name, data in contents(bank, private=True).items() if "catalog" not in name} == {
        name: data for name, data in before.items() if "catalog" not in name
    }


def test_a_sound_repository_is_proved(bank: Path, run: Run) -> None:
    first, second = saved(bank), saved(bank)
    for words in ([], ["--read-data"], [first.id], ["latest", "--read-data"]):
        done = run("snapshot", "verify", *words, "--json", cwd=bank)
        assert (done.returncode, done.json["ok"], done.json["findings"]) == (0, True, [])
        assert done.json["checked"]
    assert run("snapshot", "verify", second.id + "0", "--json", cwd=bank).returncode == 10


@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "empty"])
def test_damage_of_a_pack_is_found_and_names_the_files_that_it_hits(bank: Path, run: Run, how: str) -> None:
    made = saved(bank)
    for path in packs(bank):
        damage(path, how)
    done = run("snapshot", "verify", "--read-data", "--json", cwd=bank)
    assert (done.returncode, done.json["ok"]) == (1, False), done.stderr
    findings = done.json["findings"]
    assert {one["rule"] for one in findings} == {"MB130"}
    text = " ".join(one["path"] + " " + one["message"] for one in findings)
    assert any(name in text for name in (*contents(bank), made.id)), findings
    if how != "flipped":
        assert run("snapshot", "verify", cwd=bank).returncode == 1


def test_what_is_left_of_a_damaged_snapshot_is_restored(bank: Path, tmp_path: Path) -> None:
    saved(bank)
    largest = max(packs(bank), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[60] ^= 1  # in the first frame; the root's tree stands in the last
    largest.chmod(0o600)
    largest.write_bytes(data)
    with opened(bank) as one:
        proof = verify(one, read_data=True)
        hit = {found.path for found in proof.findings}
        assert not proof.ok
        done = restore(one, to=str(tmp_path / "to"))
    assert done.exit_code() == 1
    whole, had = contents(bank), contents(tmp_path / "to")
    assert had
    assert all(had[name] == whole[name] for name in had)
    assert whole.keys() - had.keys() <= hit | {found.path for found in done.findings}


def test_a_damaged_snapshot_document_is_a_finding_and_the_others_serve(bank: Path, run: Run) -> None:
    first, second = saved(bank), saved(bank)
    damage(repository(bank) / "snapshots" / second.id, "flipped")
    listed = run("snapshot", "list", "--json", cwd=bank)
    assert (listed.returncode, [one["id"] for one in listed.json["snapshots"]]) == (1, [first.id])
    assert listed.json["findings"][0]["rule"] == "MB130"
    assert run("snapshot", "verify", cwd=bank).returncode == 1
    with opened(bank) as one:
        assert show(one).snapshot.id == first.id
    assert run("backup", cwd=bank).returncode in (0, 1)


@pytest.mark.parametrize("name", ["config.json", "index", "lock", "generation"])
def test_garbage_in_the_repository_is_an_error_in_words(bank: Path, run: Run, name: str) -> None:
    saved(bank)
    where = repository(bank) / name
    for path in where.iterdir() if where.is_dir() else [where]:
        path.write_bytes(b"\xff\x00garbage")
    for words in (["snapshot", "list"], ["snapshot", "verify"], ["backup"], ["repair"], ["health"], ["status"]):
        done = run(*words, "--json", cwd=bank)
        assert done.returncode in (0, 1, 3, 14), (words, done.stderr)
        assert "Traceback" not in done.stderr


def test_versions_are_had_from_snapshots_that_still_can_be_read(bank: Path) -> None:
    first = saved(bank)
    good = contents(bank)["state/large_1.json"]
    put(bank / "state/large_1.json", {"noise": "newer" * 9_000})
    saved(bank)
    newest = max(packs(bank), key=lambda path: path.stat().st_mtime_ns)
    damage(newest, "gone")
    with opened(bank) as one:
        snapshots = Snapshots(one)
        assert snapshots.content("state/large_1.json") == (good, first.id)
        assert snapshots.content("state/nosuch.json") is None
        assert snapshots.content("state/large_1.json", "0" * 64) is None
        snapshots.close()


def test_none_is_no_number_of_the_newest(bank: Path, run: Run) -> None:
    saved(bank)
    done = run("snapshot", "list", "--last", "0", "--json", cwd=bank)
    assert (done.returncode, done.error["code"]) == (2, "usage")


@pytest.mark.parametrize("words", [("restore", "--to", "look"), ("export", "--to", "bank.tar")])
def test_nothing_is_put_into_the_bank_or_the_repository(bank: Path, run: Run, words: tuple[str, ...]) -> None:
    saved(bank)
    store = repository(bank)
    for place, what in ((bank / "state", "bank"), (store / "packs", "repository")):
        before = contents(bank), contents(store)
        done = run("snapshot", *words, "--bank", bank, "--json", cwd=place)
        assert (done.returncode, done.error["code"]) == (13, "refused")
        assert f"inside the {what}" in done.error["message"]
        assert (contents(bank), contents(store)) == before


def test_paths_to_restore_are_meant_as_everywhere(bank: Path, run: Run, tmp_path: Path) -> None:
    saved(bank)
    data = (bank / "trades/trade_0.json").read_bytes()
    (bank / "trades/trade_0.json").unlink()
    ways = [
        (bank, "trades/trade_0.json"),
        (bank / "trades", "trade_0.json"),
        (bank / "state", str(bank / "trades/trade_0.json")),
        (tmp_path, "trades/trade_0.json"),
    ]
    for number, (here, path) in enumerate(ways):
        out = tmp_path / f"out{number}"
        done = run("snapshot", "restore", "--bank", str(bank), "--to", str(out), "--path", path, cwd=here)
        assert done.returncode == 0, done.stderr
        assert contents(out) == {"trades/trade_0.json": data}
    words = ("snapshot", "restore", "--to", str(tmp_path / "none"), "--path")
    done = run(*words, str(tmp_path / "elsewhere"), "--json", cwd=bank)
    assert (done.returncode, done.error["code"]) == (2, "usage")
    missing = run(*words, "nope", "--json", cwd=bank / "trades")
    assert missing.returncode == 10
    assert missing.error["hint"].startswith("memorybank snapshot find nope --snapshot ")
    assert run(*missing.error["hint"].split()[1:], cwd=bank).returncode == 10


def test_files_that_one_pack_took_are_told_together(bank: Path, run: Run, tmp_path: Path) -> None:
    for number in range(30):
        noise = "".join(sha256(f"{number} {part}".encode()).hexdigest() for part in range(20))
        put(bank / f"trades/more_{number}.json", {"trade_id": str(number), "noise": noise})
    saved(bank)
    place = max(packs(bank), key=lambda path: path.stat().st_size)
    data = bytearray(place.read_bytes())
    data[60 : len(data) // 2] = bytes(len(data) // 2 - 60)
    place.chmod(0o600)
    place.write_bytes(data)
    done = run("snapshot", "restore", "--to", str(tmp_path / "out"), cwd=bank)
    assert done.returncode == 1
    told = [line for line in done.stdout.splitlines() if line.startswith("error MB130")]
    assert [line.split()[2:6] for line in told if "trades" in line.split(":")[0]] == [["34", "files", "in", "trades:"]]


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("backup --repo {repo}", "the next backup goes on from here"),
        ("snapshot restore --to {to} --repo {repo}", "nothing was put into {to}"),
        ("snapshot drill --repo {repo}", "nothing was proved, and no scratch copy is left"),
        ("snapshot verify --repo {repo}", "nothing was changed"),
    ],
)
def test_an_interruption_says_what_it_left(bank: Path, run: Run, tmp_path: Path, command: str, said: str) -> None:
    put(tmp_path / "word", b"correct horse")
    (tmp_path / "word").chmod(0o600)
    places = {"repo": str(tmp_path / "repo"), "to": str(tmp_path / "to")}
    made = run("backup", "--encrypt", "--password-file", tmp_path / "word", "--repo", tmp_path / "repo", cwd=bank)
    assert made.returncode == 0, made.stderr
    key = ("--password-command", "sh -c 'kill -INT $PPID; exec sleep 2'")  # as a person does who is asked for it
    done = run(*command.format(**places).split(), *key, cwd=bank)
    assert done.returncode == 130, done.stderr
    assert done.stderr.splitlines()[-1] == f"memorybank: interrupted; {said.format(**places)}"
    assert not (tmp_path / "to").exists()
