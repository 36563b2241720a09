"""An encrypted repository: it holds nothing that can be read, and takes nothing that is not its own."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest
import zstandard

from memorybank_cli.base import digests
from memorybank_cli.base.errors import FormatMismatch, MemorybankError, OperationFailed, Refused, WrongKey
from memorybank_cli.snapshots import documents, index, keys
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.repository import Repository, pack_path, unlocking
from memorybank_cli.snapshots.sealing import PACK, Damaged, Sealed
from memorybank_cli.snapshots.verifying import verify
from tests.snapshots import making

SECRET = keys.Secret("raw", b"k" * 32)
OTHER = keys.Secret("raw", b"o" * 32)
CONTENTS = {
    "state/treasure.json": b'{"treasure": "under the old oak"}',
    **{f"trades/{n:02}.json": b'{"note": "nobody may read this", "n": %d}' % n for n in range(60)},
}


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[Repository]:
    with Repository.create(tmp_path / "repo", reserve=0, secret=SECRET) as opened:
        yield opened


@pytest.fixture
def saved(repo: Repository) -> Document:
    return making.save_files(repo, CONTENTS, tags=("private",)).document


def opened(place: str | Path, secret: keys.Secret = SECRET) -> Repository:
    return Repository.open(place, unlock=unlocking(secret))


def rekeyed(repo: Repository, place: Path) -> Repository:
    """A second repository with the same master key: its id alone tells it from the first."""
    assert repo.key is not None
    other = Repository.create(place, reserve=0)
    config = json.loads((place / "config.json").read_bytes()) | {"encryption": "aes-256-gcm"}
    (place / "config.json").write_text(json.dumps(config))
    keys.add(other.backend, other.repo_id, repo.key.master, SECRET)
    other.close()
    return opened(place)


def test_it_saves_restores_and_verifies(repo: Repository, saved: Document) -> None:
    with opened(repo.path) as again:
        assert again.encrypted
        assert making.read_back(again, saved) == CONTENTS
        assert verify(again, read_data=True).findings == ()
        assert documents.listing(again).documents == (saved,)
        assert index.load(again).caches
        making.drop_index(again)
        assert making.read_back(again, saved) == CONTENTS
        second = making.save_files(again, {**CONTENTS, "new": b"1"}, seq=1)
        assert second.new_bytes < 3000


def test_nothing_in_it_can_be_read(repo: Repository, saved: Document) -> None:
    for path, data in making.on_disk(Path(repo.path)).items():
        for word in (b"treasure", b"nobody", b"trades", b"private", b"bank", saved.root.encode(), b"\x28\xb5\x2f\xfd"):
            assert word not in data, path
        if not path.startswith(("config.json", "keys/", "lock")):
            with pytest.raises(zstandard.ZstdError):
                zstandard.decompress(data)


def test_equal_contents_look_different(repo: Repository, tmp_path: Path, saved: Document) -> None:
    with rekeyed(repo, tmp_path / "second") as other:
        assert making.save_files(other, CONTENTS, tags=("private",)).document == saved
        one, two = (making.on_disk(Path(place.path)) for place in (repo, other))
        assert {path for path in one if path.startswith("packs/")}.isdisjoint(two)


@pytest.mark.usefixtures("saved")
def test_the_wrong_key_opens_nothing(repo: Repository) -> None:
    with pytest.raises(WrongKey):
        opened(repo.path, OTHER)
    with pytest.raises(WrongKey, match="is encrypted and no key was given"):
        Repository.open(repo.path)


def test_creating_where_one_stands(repo: Repository, tmp_path: Path) -> None:
    with Repository.create(repo.path, secret=SECRET) as again:
        assert again.repo_id == repo.repo_id
    with pytest.raises(WrongKey):
        Repository.create(repo.path, secret=OTHER)
    with pytest.raises(WrongKey):
        Repository.create(repo.path)
    Repository.create(tmp_path / "plain", reserve=0).close()
    with pytest.raises(Refused, match="not encrypted"):
        Repository.create(tmp_path / "plain", secret=SECRET)
    assert not (tmp_path / "plain" / "keys").exists()


def test_a_creation_that_was_interrupted_after_the_key_is_completed(tmp_path: Path) -> None:
    place = tmp_path / "repo"
    Repository.create(place, secret=SECRET).close()
    (place / "config.json").unlink()
    with Repository.create(place, secret=SECRET) as made:
        document = making.save_files(made, CONTENTS).document
    with opened(place) as again:
        assert making.read_back(again, document) == CONTENTS


@pytest.mark.parametrize("encryption", [None, True, {}, "", "aes-128-gcm", ["aes-256-gcm"]])
def test_an_encryption_that_is_not_known_is_not_guessed(repo: Repository, encryption: object) -> None:
    path = Path(repo.path) / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "encryption": encryption}))
    with pytest.raises(FormatMismatch):
        opened(repo.path)


def test_a_lost_config_can_be_written_anew_from_a_key(repo: Repository, saved: Document) -> None:
    path = Path(repo.path) / "config.json"
    path.write_bytes(b"\0" * 100)
    with pytest.raises(OperationFailed) as caught:
        opened(repo.path)
    assert "keys/" in caught.value.hint
    (key,) = (Path(repo.path) / "keys").iterdir()
    repo_id = json.loads(key.read_bytes())["repo_id"]
    path.write_text(json.dumps({"format": "mb-repo", "version": 1, "repo_id": repo_id, "encryption": "aes-256-gcm"}))
    with opened(repo.path) as again:
        assert making.read_back(again, saved) == CONTENTS


@pytest.mark.usefixtures("saved")
def test_a_config_without_encryption_makes_nothing_readable(repo: Repository) -> None:
    path = Path(repo.path) / "config.json"
    path.write_text(json.dumps({"format": "mb-repo", "version": 1, "repo_id": repo.repo_id}))
    shutil.rmtree(path.parent / "keys")
    with Repository.open(repo.path) as plain:
        listing = documents.listing(plain)
        assert listing.documents == ()
        assert [finding.rule for finding in listing.findings] == ["MB130"]
        assert not index.load(plain).where


@pytest.mark.usefixtures("saved")
def test_what_another_repository_wrote_is_refused(repo: Repository, tmp_path: Path) -> None:
    """Even one of the same master key: packs, snapshots and index alike."""
    with rekeyed(repo, tmp_path / "second") as other:
        for folder in ("packs", "snapshots", "index"):
            shutil.copytree(Path(repo.path) / folder, Path(other.path) / folder, dirs_exist_ok=True)
        loaded = index.load(other)
        assert (loaded.where, loaded.caches) == ({}, {})
        assert [finding.rule for finding in loaded.findings] == ["MB130"]
        listing = documents.listing(other)
        assert listing.documents == ()
        assert [finding.rule for finding in listing.findings] == ["MB130"]


def test_packs_under_each_others_names_give_exact_data_and_are_named(repo: Repository) -> None:
    first = making.save_files(repo, {"a": b"1" * 500}, seq=1).document
    second = making.save_files(repo, {"b": b"2" * 500}, seq=2).document
    one, two = making.packs_of(repo)
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    with opened(repo.path) as again:
        making.drop_index(again)
        for document, contents in ((first, {"a": b"1" * 500}), (second, {"b": b"2" * 500})):
            assert making.read_back(again, document) == contents
        assert not verify(again, read_data=True).ok


def test_frames_cannot_change_places(repo: Repository) -> None:
    """Two frames of equal length exchanged in one pack, and the footer left as it is."""
    noise = random.Random(1).randbytes
    big = {"a": noise(300_000), "b": noise(300_000)}
    document = making.save_files(repo, big).document
    (path,) = making.packs_of(repo)
    frames = index.load(repo).packs[path.name].frames[:2]
    (one, two) = frames
    assert one.length == two.length
    data = bytearray(path.read_bytes())
    data[one.offset : one.offset + one.length], data[two.offset : two.offset + two.length] = (
        data[two.offset : two.offset + two.length],
        data[one.offset : one.offset + one.length],
    )
    path.write_bytes(data)
    with opened(repo.path) as again, pytest.raises(Damaged, match="altered"):
        making.read_back(again, document)


def test_a_pack_that_somebody_made_without_the_key_is_refused(repo: Repository) -> None:
    blob = b'{"forged": true}'
    frame = zstandard.compress(blob)
    footer = zstandard.compress(orjson.dumps([[40, len(frame), [[digests.of(blob), len(blob)]]]]))
    data = b"MBPACK1\n" + bytes(32) + frame + footer + len(footer).to_bytes(4, "little") + b"MBEND1\n\n"
    path = Path(repo.path) / pack_path(digests.of(data))
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    blobs = Blobs(repo)
    assert digests.of(blob) not in blobs
    assert [finding.rule for finding in blobs.findings] == ["MB130"]


def test_a_snapshot_that_somebody_made_without_the_key_is_refused(repo: Repository, saved: Document) -> None:
    forged = documents.make(saved.root, 1, 1, making.meta(seq=99))
    (Path(repo.path) / "snapshots" / forged.id).write_bytes(documents.encode(forged))
    listing = documents.listing(repo)
    assert listing.documents == (saved,)
    assert [finding.pointer for finding in listing.findings] == [f"/snapshots/{forged.id}"]


def test_caches_of_others_count_as_absent(repo: Repository, saved: Document, tmp_path: Path) -> None:
    place = Path(repo.path) / "index"
    (mine,) = place.iterdir()
    with Repository.create(tmp_path / "plain", reserve=0) as plain:
        making.save_files(plain, CONTENTS)
        (theirs,) = (tmp_path / "plain" / "index").iterdir()
        shutil.copy(theirs, place)
        shutil.copy(mine, tmp_path / "plain" / "index")
        assert set(index.load(plain).caches) == {theirs.name}
    with Repository.create(tmp_path / "other", reserve=0, secret=OTHER) as other:
        making.save_files(other, CONTENTS)
        (foreign,) = (tmp_path / "other" / "index").iterdir()
        shutil.copy(foreign, place)
    assert set(index.load(repo).caches) == {mine.name}
    assert making.read_back(repo, saved) == CONTENTS


def test_flips_give_exact_data_or_a_named_error(repo: Repository, saved: Document) -> None:
    chance = random.Random(5)
    for file in (path for path in Path(repo.path).rglob("*") if path.is_file() and path.name != "lock"):
        data = file.read_bytes()
        for offset in chance.sample(range(len(data)), min(len(data), 60)):
            flipped = bytearray(data)
            flipped[offset] ^= 1 << chance.randrange(8)
            file.write_bytes(flipped)
            with suppress(*() if file.parent.name == "index" else (MemorybankError,)), opened(repo.path) as again:
                assert making.read_back(again, documents.resolve(again, "latest")) == CONTENTS
        file.write_bytes(data)
    assert making.read_back(repo, saved) == CONTENTS


def test_salts_are_used_once(repo: Repository) -> None:
    for seq in range(5):
        making.save_files(repo, {"a": b"%d" % seq}, seq=seq)
    salts = [path.read_bytes()[8:40] for path in making.packs_of(repo)]
    salts += [
        path.read_bytes()[:32] for folder in ("snapshots", "index") for path in (Path(repo.path) / folder).iterdir()
    ]
    assert len(set(salts)) == len(salts)


def test_a_key_of_its_own_for_each_use(repo: Repository) -> None:
    assert isinstance(repo.seal, Sealed)
    data = repo.seal.seal_file("mb-snap-1", b"data")
    with pytest.raises(Damaged):
        repo.seal.open_file("mb-index-1", data)
    with pytest.raises(Damaged):
        repo.seal.open(PACK, data[:32], 0, data[32:])
