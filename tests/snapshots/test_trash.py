from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank_cli.base import clock
from memorybank_cli.snapshots import documents, trash
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.trash import Bin, bins, new_bin, throw, with_trash
from tests.decoys import passwd
from tests.snapshots.making import packs_of, read_back, save_files

DAY = timedelta(days=1)


def named(name: str) -> Bin:
    return Bin(name, {}, {})


def test_what_is_thrown_away_stands_in_a_bin_and_comes_back(repo: Repository) -> None:
    document = save_files(repo, {"a.json": b"1"}).document
    [pack] = packs_of(repo)
    target = new_bin([document])
    throw(repo, target, "snapshots", document.id)
    throw(repo, target, "packs", pack.name)
    [found] = bins(repo)
    assert found.name == target.name
    assert found.snapshots.keys() == {document.id}
    assert found.packs.keys() == {pack.name}
    assert found.bytes == found.snapshots[document.id] + found.packs[pack.name].size
    assert documents.listing(repo).documents == ()
    trash.take_back(repo, found, "packs", pack.name)
    trash.take_back(repo, found, "snapshots", document.id)
    assert read_back(repo, documents.read(repo, document.id)) == {"a.json": b"1"}


def test_strangers_in_the_trash_are_passed_over(repo: Repository) -> None:
    place = Path(repo.path) / "trash"
    (place / "file").write_text("x")
    (place / "20261121T130000Z/packs/aa").mkdir(parents=True)
    (place / "20261121T130000Z/packs/aa/stranger").write_text("x")
    (place / "20261121T130000Z/packs/stranger").write_text("x")
    (place / "20261121T130000Z/packs/aa" / ("a" * 64)).symlink_to(passwd(place))
    [found] = bins(repo)
    assert (found.snapshots, found.packs) == ({}, {})


@pytest.mark.parametrize(
    ("days", "over"), [(-9, False), (6, False), (7, False), (8, True), (700, True), (3_653, False)]
)
def test_when_the_grace_is_over(days: int, over: bool) -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    one = named((now - days * DAY).strftime("%Y%m%dT%H%M%SZ"))
    assert one.is_over(now) is over
    assert one.when == clock.show(now - days * DAY)
    assert one.until == clock.show(now - (days - 7) * DAY)


def test_a_bin_of_no_time_waits() -> None:
    one = named("something")
    assert not one.is_over(datetime.now(UTC))
    assert (one.when, one.until) == (None, None)


def test_a_clock_that_was_set_back_makes_no_bin_look_old(repo: Repository) -> None:
    """The newest snapshot is younger than now: the bin is as old as that one."""
    ahead = datetime.now(UTC) + 300 * DAY
    times = [clock.show(ahead), "yesterday", clock.show(ahead - DAY), clock.show(ahead + 3_650 * DAY)]
    made = [save_files(repo, {"a.json": b"1"}, time=times[0]).document]
    made += [type(made[0])(**{**vars(made[0]), "time": time}) for time in times[1:]]
    assert new_bin(made).name == ahead.strftime("%Y%m%dT%H%M%SZ")
    assert new_bin([]).name <= datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def test_a_repository_is_read_as_if_the_trash_were_back(repo: Repository) -> None:
    document = save_files(repo, {"a.json": b"1"}).document
    other = save_files(repo, {"b.json": b"2"}, seq=1).document
    assert with_trash(repo, bins(repo)) is repo
    moved = packs_of(repo)[0]
    throw(repo, new_bin([]), "packs", moved.name)
    seen = with_trash(repo, bins(repo))
    assert seen.packs().keys() == {moved.name, packs_of(repo)[0].name}
    assert read_back(seen, document) == {"a.json": b"1"}
    assert read_back(seen, other) == {"b.json": b"2"}
    assert not Blobs(seen).findings
    place = f"packs/{moved.name[:2]}/{moved.name}"
    assert seen.backend.digest(place) == (moved.name, seen.backend.size(place))
    assert len(seen.backend.read(place, 1 << 20)) == seen.backend.size(place)
    assert seen.backend.place == repo.path
    trash.take_back(repo, bins(repo)[0], "packs", moved.name)
    assert read_back(seen, document) == {"a.json": b"1"}


def test_an_emptied_bin_is_gone(repo: Repository) -> None:
    document = save_files(repo, {"a.json": b"1"}).document
    throw(repo, new_bin([]), "snapshots", document.id)
    [one] = bins(repo)
    trash.empty(repo, one)
    trash.empty(repo, one)
    assert bins(repo) == []
