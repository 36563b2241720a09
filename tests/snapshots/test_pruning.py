from __future__ import annotations

import errno
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from memorybank_cli.base import digests, files
from memorybank_cli.base.errors import Locked, OperationFailed, Refused
from memorybank_cli.snapshots import documents, index, pruning, trash, trees
from memorybank_cli.snapshots.backends import LocalBackend
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.pruning import Pruned, prune
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Folder, Row, Totals, save
from memorybank_cli.snapshots.sealing import Damaged
from memorybank_cli.snapshots.undeleting import Trash
from tests.broken_os import broken, killed
from tests.snapshots.making import RAW_KEY, drop_index, meta, packs_of, read_back, row, save_files, save_rows
from tests.snapshots.pruned import DAY, aged, check, content, copied, grown, listed, thrown


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "repo"


def names(repo: Repository) -> set[str]:
    return {path.name for path in packs_of(repo)}


def test_what_no_snapshot_needs_goes_to_the_trash_and_the_rest_restores(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        generation, before = repo.generation(), names(repo)
        first, second, *rest = made
        thrown(repo, first, second)
        done = prune(repo, max_unused=100)
        assert not done.removed  # each pack holds something that a later snapshot needs too
        done = prune(repo, max_unused=0)
        assert len(done.removed) == 2
        assert done.repacked == done.removed
        assert done.written_bytes
        assert done.packs == len(before) - 2 + 1 == len(packs_of(repo))
        assert set(done.removed) == before - names(repo)
        assert repo.generation() != generation
        [one] = [one for one in trash.bins(repo) if one.packs]
        assert sorted(one.packs) == done.removed
        assert done.removed_bytes == sum(pack.size for pack in one.packs.values())
        assert not Blobs(repo).findings
    assert check(place, made) == set(rest)


def test_a_pack_of_which_nothing_is_needed_is_moved_as_it_is(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        old = save_files(repo, {"trades/a.json": content(1)}, seq=1).document
        new = save_files(repo, {"trades/b.json": content(2)}, seq=2).document
        aged(repo)
        thrown(repo, old.id)
        done = prune(repo)
        assert (len(done.removed), done.repacked, done.written_bytes, done.packs) == (1, [], 0, 1)
        assert list(read_back(repo, new)) == ["trades/b.json"]
        again = prune(repo)
        assert (again.removed, again.emptied, again.packs) == ([], [], 1)


def test_young_packs_stay_and_so_do_those_of_the_future(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        old = save_files(repo, {"trades/a.json": content(1)}, seq=1).document
        save_files(repo, {"trades/b.json": content(2)}, seq=2)
        thrown(repo, old.id)
        assert (prune(repo).young, len(packs_of(repo))) == (1, 2)
        aged(repo, -400 * DAY)
        assert (prune(repo, now=True).young, len(packs_of(repo))) == (1, 2)
        aged(repo, DAY + 60)
        assert len(prune(repo).removed) == 1


def test_a_rehearsal_says_the_same_and_changes_nothing(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        first, *_ = made
        before = sorted(str(path) for path in place.rglob("*"))
        rehearsal = prune(repo, dry_run=True, max_unused=0, without=[first])
        assert sorted(str(path) for path in place.rglob("*")) == before
        thrown(repo, first)
        done = prune(repo, max_unused=0)
        assert rehearsal.removed == done.removed
        assert rehearsal.removed_bytes == done.removed_bytes
        assert rehearsal.snapshots == done.snapshots == 3
        assert prune(repo, dry_run=True, now=True).freed_bytes == sum(one.bytes for one in trash.bins(repo))


def test_copies_are_read_in_the_order_in_which_they_stand(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = Blobs.is_good

    def is_good(self: Blobs, place: int, name: str) -> bool:
        asked.append(place)
        return real(self, place, name)

    monkeypatch.setattr("memorybank_cli.snapshots.packing.FRAME_SIZE", 5_000)
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo, pruning.MANY)
        assert prune(repo).repacked
        monkeypatch.setattr(Blobs, "is_good", is_good)
        prune(repo, dry_run=True)  # now everything stands in the trash, too
    assert len(asked) > 2 * len(set(asked)) > 10
    assert asked == sorted(asked)
    assert check(place, made) == set(made)


def test_many_small_packs_become_one(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = {}
        for number in range(pruning.MANY):
            contents = {f"trades/{number}.json": content(number)}
            made[save_files(repo, contents, seq=number).document.id] = contents
        aged(repo)
        done = prune(repo)
        assert len(done.repacked) == len(done.removed) == pruning.MANY
        assert done.packs == len(packs_of(repo)) == 1
    check(place, made)


def test_trees_stay_apart_from_files_in_packs_that_are_written_anew(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        thrown(repo, next(iter(made)))
        prune(repo, max_unused=0)
        roots = {document.root for document in listed(repo)}
        blobs = Blobs(repo)
        for root in roots:
            frame = blobs.index.frames[blobs.index.where[root]].frame
            assert all(blobs.get(name).startswith(b"[") for name in frame.ids)


def test_large_directories_and_damage_are_marked_too(place: Path) -> None:
    """A directory in parts, and bytes that were found damaged beside a good version, or without one."""
    many = {f"trades/t{number:04}.json": b"%d" % number for number in range(300)}

    def rows(extra: bytes) -> list[Row | Folder]:
        made: list[Row | Folder] = [row(path, data) for path, data in sorted({**many, "a.json": extra}.items())]
        good, found = b"good" + extra, b"found" + extra
        made.append(row("z.json", good, found_content=lambda: found, rule="MB102"))
        made.append(Row("zz.json", 0o600, 0, 5, found_content=lambda: b"bad" + extra, rule="MB103"))
        return made

    with Repository.create(place, reserve=0) as repo:
        old, new = (save_rows(repo, rows(extra), seq=len(extra)).document for extra in (b"1", b"22"))
        before = read_back(repo, new)
        aged(repo)
        thrown(repo, old.id)
        assert prune(repo, max_unused=0).repacked
        drop_index(repo)
        assert read_back(repo, new) == before
        blobs = Blobs(repo)
        assert digests.of(b"found22") in blobs
        assert digests.of(b"found1") not in blobs


def test_an_encrypted_repository_stays_one(place: Path) -> None:
    with Repository.create(place, reserve=0, secret=RAW_KEY) as repo:
        made = grown(repo)
        thrown(repo, *list(made)[:2])
        assert prune(repo, max_unused=0).repacked
        there = Trash(repo)
        there.bring_back([there.look(one) for one in there.listing.documents])
        for document in listed(repo):
            assert read_back(repo, document) == made[document.id]
        assert len(listed(repo)) == 4
        assert not any(b"trades/" in path.read_bytes() for path in packs_of(repo))


def test_the_index_names_no_pack_that_is_gone(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        thrown(repo, *list(made)[:2])
        prune(repo, max_unused=0)
        held = {pack.name for packs in index.load(repo).caches.values() for pack in packs}
        assert held == names(repo)


def test_two_banks_in_one_repository_keep_what_each_needs(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        mine = save_files(repo, {"trades/a.json": content(1)}, seq=1).document
        theirs = save_files(repo, {"trades/b.json": content(2)}, seq=1, bank_id="other").document
        aged(repo)
        thrown(repo, mine.id)
        assert len(prune(repo).removed) == 1
        assert list(read_back(repo, theirs)) == ["trades/b.json"]


# What is not known


def test_nothing_is_removed_while_a_document_cannot_be_read(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        first, second, *_ = made
        thrown(repo, first)
        path = place / "snapshots" / second
        path.write_bytes(path.read_bytes()[:-9])
        with pytest.raises(Refused, match=f"snapshot {second} cannot be used: .* so nothing was removed") as caught:
            prune(repo, now=True, max_unused=0)
        assert f"snapshot forget {second}" in caught.value.hint
        assert len(packs_of(repo)) == 4
        assert trash.bins(repo)
        thrown(repo, second)
        assert prune(repo, max_unused=0).removed


def test_nothing_is_removed_while_a_tree_cannot_be_read(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        first, second, third, _ = made
        thrown(repo, first)
        for name in (second, third):
            _break(repo, documents.read(repo, name).root)
        with pytest.raises(Refused, match=r"cannot be read whole: .* \(and 1 more like it\); what it needs"):
            prune(repo, max_unused=0)
        assert len(packs_of(repo)) == 4


def _break(repo: Repository, blob: str) -> None:
    """Alter a byte in the frame of a blob."""
    blobs = Blobs(repo)
    located = blobs.index.frames[blobs.index.where[blob]]
    path = Path(repo.path) / "packs" / located.pack[:2] / located.pack
    mtime = path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    data[located.frame.offset + located.frame.length // 2] ^= 1
    path.write_bytes(data)
    os.utime(path, ns=(mtime, mtime))


def test_a_damaged_pack_stays_when_it_is_to_be_written_anew(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        first, *rest = made
        good = documents.read(repo, rest[0])
        blobs = Blobs(repo)
        stable = next(entry for entry in _files(blobs, good.root) if entry.path == "trades/stable_1.json")
        assert stable.good is not None
        pack = blobs.index.frames[blobs.index.where[stable.good[0]]].pack
        _break(repo, stable.good[0])
        thrown(repo, first)
        done = prune(repo, max_unused=0)
        assert [finding.rule for finding in done.findings] == ["MB130"]
        assert done.findings[0].pointer.endswith(pack)
        assert pack not in done.removed
        assert pack in names(repo)
        # What could be read of it stands elsewhere too, and everything else restores.
        left = read_lenient(repo, rest[0])
        lost = {"trades/stable_0.json", "trades/stable_1.json", "trades/stable_2.json", "trades/new_0.json"}
        assert left == {path: data for path, data in made[rest[0]].items() if path not in lost}


def read_lenient(repo: Repository, name: str) -> dict[str, bytes]:
    blobs, found = Blobs(repo), {}
    for entry in trees.files(blobs, documents.read(repo, name).root):
        try:
            found[entry.path] = trees.read_file(blobs, entry)
        except Damaged:
            continue
    return found


def _files(blobs: Blobs, root: str) -> Any:
    return trees.files(blobs, root)


def test_a_pack_whose_footer_nobody_can_read_stays(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        old = save_files(repo, {"trades/a.json": content(1)}, seq=1).document
        [path] = packs_of(repo)
        save_files(repo, {"trades/b.json": content(2)}, seq=2)
        thrown(repo, old.id)
        path.write_bytes(path.read_bytes()[:-3])
        aged(repo)
        done = prune(repo)
        assert path.exists()
        assert [finding.rule for finding in done.findings] == ["MB130"]


def test_of_two_copies_the_one_that_can_be_read_stays(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        contents = {"trades/a.json": content(1)}
        first = save_files(repo, contents, seq=1).document
        [damaged] = packs_of(repo)
        save(repo, [row(*one) for one in contents.items()], lambda _: meta(seq=2), distrust={damaged.name})
        aged(repo)
        for name in names(repo):
            other = copied(place, place.parent / "copy")
            with Repository.open(other, reserve=0) as copy:
                path = other / "packs" / name[:2] / name
                data = bytearray(path.read_bytes())
                data[60:-200] = bytes(len(data) - 260)
                path.write_bytes(data)
                aged(copy)
                done = prune(copy, now=True)
                assert done.removed == [name]
                assert read_back(copy, first) == contents


def test_where_no_copy_can_be_read_all_stay(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        contents = {"trades/a.json": content(1)}
        save_files(repo, contents, seq=1)
        [first] = packs_of(repo)
        blob = next(iter(_files(Blobs(repo), listed(repo)[0].root))).good[0]
        save(repo, [row(*one) for one in contents.items()], lambda _: meta(seq=2), distrust={first.name})
        for place_ in Blobs(repo).index.places(blob):
            located = Blobs(repo).index.frames[place_]
            path = place / "packs" / located.pack[:2] / located.pack
            data = bytearray(path.read_bytes())
            data[located.frame.offset + 20] ^= 1
            path.write_bytes(data)
        aged(repo)
        assert prune(repo).removed == []


def test_a_blob_that_is_lost_already_stops_nothing(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        second = packs_of(repo)[0]
        contents = {"trades/other.json": content(9)}
        one = save_files(repo, contents, seq=9).document
        blob = next(iter(_files(Blobs(repo), one.root)))
        assert blob.good is not None
        located = Blobs(repo).index
        del located.where[blob.good[0]]
        del second, made
        with mock.patch.object(index, "load", return_value=located):
            assert prune(repo).removed == []


def test_a_pack_in_the_trash_that_a_snapshot_needs_is_taken_back(place: Path) -> None:
    """As when a frozen backup went on, on a disk whose locks do not hold, after a prune."""
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        target = trash.new_bin(listed(repo))
        lost = packs_of(repo)[0]
        trash.throw(repo, target, "packs", lost.name)
        rehearsal = prune(repo, dry_run=True, now=True)
        assert rehearsal.rescued == [lost.name]
        assert rehearsal.freed_bytes == 0
        done = prune(repo, now=True)
        assert (done.rescued, done.packs) == ([lost.name], 4)
    check(place, made)


# The trash


def test_trash_goes_for_good_when_its_grace_is_over(place: Path) -> None:
    now = datetime.now(UTC)
    with Repository.create(place, reserve=0) as repo:
        save_files(repo, {"trades/a.json": b"1"})
        for days in (-4_000, -2, 6, 8, 800):
            name = (now - timedelta(days=days)).strftime("%Y%m%dT%H%M%SZ")
            repo.backend.put(f"trash/{name}/snapshots/{days}", b"x" * 100)
        repo.backend.put("trash/not a time/snapshots/x", b"x")
        rehearsal = prune(repo, dry_run=True)
        done = prune(repo)
        assert rehearsal.emptied == done.emptied
        assert [next(iter(one.snapshots)) for one in trash.bins(repo)] == ["800", "6", "-2", "-4000", "x"]
        assert done.freed_bytes == 100
        done = prune(repo, now=True)
        assert len(done.emptied) == 5
        assert done.freed_bytes == 401
        assert trash.bins(repo) == []
        assert list((place / "trash").iterdir()) == []


def test_now_leaves_nothing_in_the_trash(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        thrown(repo, *list(made)[:2])
        done = prune(repo, now=True, max_unused=0)
        assert done.removed
        assert done.freed_bytes > done.removed_bytes
        assert list((place / "trash").iterdir()) == []
    check(place, made)


def test_what_interrupted_runs_left_is_removed(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        save_files(repo, {"trades/a.json": b"1"})
        left = [place / f"{files.TEMPORARY}0123", place / "packs" / f"{files.TEMPORARY}4567"]
        for path in left:
            path.write_bytes(b"half")
        assert prune(repo).leftovers == 2
        assert not any(path.exists() for path in left)


def test_the_lock_is_had_alone(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo, Repository.open(place) as other:
        with other.adding(), pytest.raises(Locked):
            prune(repo, lock_timeout=0)
        with other.adding():
            assert prune(repo, dry_run=True, lock_timeout=0).removed == []


# A full disk


def test_a_full_disk_gets_room_from_the_reserve_which_comes_back(place: Path) -> None:
    with Repository.create(place, reserve=4096) as repo:
        made = grown(repo)
        assert (place / "reserve").exists()
        thrown(repo, *list(made)[:2])

        def write(real: Any, *args: Any) -> int:
            if (place / "reserve").exists():
                raise OSError(errno.ENOSPC, "full")
            return int(real(*args))

        with broken(write=write):
            done = prune(repo, max_unused=0)
        # Packs are not written anew with the reserve, and what was begun of them does not stay.
        assert (done.removed, done.written_bytes) == ([], 0)
        assert len(packs_of(repo)) == 4
        extra = save_files(repo, {"trades/x.json": content(8)}, seq=8).document
        aged(repo)
        thrown(repo, extra.id)
        with broken(write=write):
            done = prune(repo, now=True, max_unused=0)
        assert len(done.removed) == 1
        assert (place / "reserve").exists()
    check(place, made)


def small_disk(place: Path, size: int) -> Any:
    """Writes of a disk that holds `size` bytes."""

    def write(real: Any, fd: int, data: Any) -> int:
        if sum(path.stat().st_size for path in place.rglob("*") if path.is_file()) + len(data) > size:
            raise OSError(errno.ENOSPC, "full")
        return int(real(fd, data))

    return write


def test_packs_written_before_the_disk_was_full_do_not_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        monkeypatch.setattr("memorybank_cli.snapshots.packing.PACK_SIZE", 3_000)
        monkeypatch.setattr("memorybank_cli.snapshots.packing.FRAME_SIZE", 4_100)
        before = names(repo)
        thrown(repo, *list(made)[:2])
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        put, names_put = LocalBackend.put, []

        def spied(self: LocalBackend, name: str, data: bytes) -> None:
            put(self, name, data)
            names_put.append(name)

        with broken(write=small_disk(place, size + 9_000)), mock.patch.object(LocalBackend, "put", spied):
            done = prune(repo, max_unused=0)
        assert any(name.startswith("packs/") for name in names_put)
        assert done.repacked == []
        assert names(repo) == before - set(done.removed)
    check(place, made)


def test_with_no_byte_left_and_nothing_to_give_up_but_the_index(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        save_files(repo, {"trades/a.json": content(1)}, seq=1)
        new = save_files(repo, {"trades/b.json": content(2)}, seq=2).document
        aged(repo)
        thrown(repo, listed(repo)[0].id)
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        with broken(write=small_disk(place, size)):
            done = prune(repo)
        assert len(done.removed) == 1
        assert list((place / "index").iterdir()) == []
        assert list(read_back(repo, new)) == ["trades/b.json"]


def test_a_disk_without_any_room_is_told(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        old = save_files(repo, {"trades/a.json": content(1)}, seq=1).document
        made = {save_files(repo, {"trades/b.json": b"2"}, seq=2).document.id: {"trades/b.json": b"2"}}
        aged(repo)
        thrown(repo, old.id)
        with broken(write=small_disk(place, 0)), pytest.raises(OperationFailed, match="the disk is full"):
            prune(repo)
    assert check(place, made)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO])
def test_the_index_is_a_cache_and_can_do_without_room(place: Path, number: int) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        thrown(repo, *list(made)[:2])
        with mock.patch.object(index, "write", side_effect=OSError(number, "no")):
            if number == errno.ENOSPC:
                assert prune(repo, max_unused=0).removed
            else:
                with pytest.raises(OperationFailed):
                    prune(repo, max_unused=0)
    check(place, made)


def test_only_a_full_disk_costs_the_reserve(place: Path) -> None:
    with Repository.create(place, reserve=4096) as repo:
        assert repo.keep_reserve()
        with pytest.raises(OSError, match="no"):
            pruning.with_room(repo, mock.Mock(side_effect=OSError(errno.EIO, "no")))
        assert (place / "reserve").exists()
        step = mock.Mock(side_effect=[OSError(errno.EDQUOT, "full"), 7])
        assert pruning.with_room(repo, step) == 7
        assert not (place / "reserve").exists()


def test_another_failure_is_told_and_harms_nothing(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo)
        thrown(repo, *list(made)[:2])
        with (
            broken(rename=lambda *_, **__: (_ for _ in ()).throw(OSError(errno.EIO, "no"))),
            pytest.raises(OperationFailed, match="cannot prune the repository"),
        ):
            prune(repo, max_unused=0)
    check(place, made)


# Crashes and others


@pytest.mark.no_cover
def test_killed_anywhere_everything_that_is_listed_restores(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo, 3)
        thrown(repo, *list(made)[:1])
    work = place.parent / "work"
    step = 0
    while True:
        step += 1
        copied(place, work)

        def run() -> Pruned:
            with Repository.open(work, reserve=0) as repo:
                return prune(repo, max_unused=0)

        stopped = killed(run, step)
        assert check(work, made) == set(list(made)[1:])
        run()
        assert check(work, made) == set(list(made)[1:])
        if not stopped:
            break
    assert step > 30


@pytest.mark.no_cover
def test_killed_anywhere_while_the_trash_is_emptied(place: Path) -> None:
    with Repository.create(place, reserve=0) as repo:
        made = grown(repo, 3)
        thrown(repo, *list(made)[:1])
        prune(repo, max_unused=0)
    work = place.parent / "work"
    step = 0
    while True:
        step += 1
        copied(place, work)

        def run() -> Pruned:
            with Repository.open(work, reserve=0) as repo:
                return prune(repo, now=True)

        stopped = killed(run, step)
        check(work, made)
        run()
        assert check(work, made) == set(list(made)[1:])
        assert list((work / "trash").iterdir()) == []
        if not stopped:
            break
    assert step > 5


def test_a_backup_that_was_frozen_during_a_prune_makes_no_broken_snapshot(place: Path) -> None:
    """Its lock is gone, as on a network disk: what counts is the generation."""
    with Repository.create(place, reserve=0) as repo, Repository.open(place, reserve=0) as other:
        made = grown(repo)
        first, *_ = made
        contents = made[first]
        blobs = Blobs(repo)
        ids = {entry.path: entry.good for entry in _files(blobs, documents.read(repo, first).root)}

        def describe(_totals: Totals) -> documents.Meta:
            thrown(other, first)
            with mock.patch.object(Repository, "alone", Repository.reading):
                assert prune(other, max_unused=0).removed
            return meta(seq=9)

        rows = [row(path, data, good=ids[path]) for path, data in sorted(contents.items())]
        with pytest.raises(OperationFailed, match=r"packs were removed .* no snapshot was made"):
            save(repo, rows, describe)
        check(place, made)
        again = save(repo, [row(path, data) for path, data in sorted(contents.items())], lambda _: meta(seq=9))
        assert read_back(repo, again.document) == contents
