from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_cli.base import digests
from memorybank_cli.base.errors import Locked, OperationFailed
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Progress
from memorybank_cli.snapshots import documents, trees
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Folder, Hooks, Item, Row, Sound, Totals, Whole, save
from tests.snapshots import making

NAMES = st.text(
    st.characters(codec=None, exclude_characters="/\0", exclude_categories=()) | st.sampled_from("ab\\\n\udcff\u202e"),
    min_size=1,
    max_size=4,
).filter(
    lambda name: name[0] != "." and not any("\ud800" <= char < "\udc80" or "\udcff" < char < "\ue000" for char in name)
)
TREES = st.dictionaries(
    st.lists(NAMES.map(escape), min_size=1, max_size=3).map("/".join), st.binary(max_size=300), max_size=12
)


def consistent(contents: dict[str, bytes]) -> dict[str, bytes]:
    """Without files that stand where a directory must be."""
    above = {
        "/".join(parts[:depth]) for parts in (path.split("/") for path in contents) for depth in range(1, len(parts))
    }
    return {path: data for path, data in contents.items() if path not in above}


@given(TREES, TREES)
@settings(max_examples=60, deadline=None)
def test_two_snapshots_come_back_exactly(first: dict[str, bytes], second: dict[str, bytes]) -> None:
    first, second = consistent(first), consistent(second)
    with tempfile.TemporaryDirectory() as place, Repository.create(place, reserve=0) as repo:
        one = making.save_files(repo, first, seq=1)
        two = making.save_files(repo, second, seq=2, parent=one.document.id)
        assert making.read_back(repo, one.document) == first
        assert making.read_back(repo, two.document) == second
        assert (one.document.files, one.document.bytes) == (len(first), sum(map(len, first.values())))
        again = making.save_files(repo, second, seq=3, parent=two.document.id)
        assert (again.new_packs, again.new_bytes, again.document.root) == (0, 0, two.document.root)


def test_large_and_empty_files(repo: Repository) -> None:
    contents = {"empty": b"", "exact": bytes(FILE_BLOB_SIZE), "long": os.urandom(2 * FILE_BLOB_SIZE + 1)}
    saved = making.save_files(repo, contents)
    assert making.read_back(repo, saved.document) == contents
    sizes = {entry.path: len(entry.good or ()) for entry in trees.files(Blobs(repo), saved.document.root)}
    assert sizes == {"empty": 1, "exact": 1, "long": 3}


def test_modes_times_and_empty_directories_are_kept(repo: Repository) -> None:
    folders = [Folder("d", 0o2750, 5), Folder("d/empty", 0o700, 6)]
    saved = making.save_rows(repo, [*folders, making.row("d/f", b"x"), making.row("e/g", b"y")])
    levels = {level.directory.path: level for level in trees.walk(Blobs(repo), saved.document.root)}
    assert levels["d"].directory[1:3] == (0o2750, 5)
    assert levels["d/empty"].directory[1:3] == (0o700, 6)
    assert levels["e"].directory[1:3] == (0o700, making.MTIME)
    assert levels["d"].files[0][1:3] == (0o640, making.MTIME)


def entries(repo: Repository, document: documents.Document) -> dict[str, trees.FileEntry]:
    return {entry.path: entry for entry in trees.files(Blobs(repo), document.root)}


def never() -> bytes:
    raise AssertionError("a file that is known was read")


def test_known_files_are_not_read(repo: Repository) -> None:
    first = making.save_files(repo, {"a": b"1", "b": b"2"})
    known = entries(repo, first.document)
    rows = [Row(path, 0o640, making.MTIME, 1, never, known[path].good) for path in ("a", "b")]
    second = making.save_rows(repo, rows)
    assert second.document.root == first.document.root
    assert second.new_packs == 0


def test_a_known_file_that_the_repository_lost_is_read_again(repo: Repository) -> None:
    first = making.save_files(repo, {"a": b"1"})
    known = entries(repo, first.document)
    for pack in making.packs_of(repo):
        pack.unlink()
    second = making.save_rows(repo, [Row("a", 0o640, making.MTIME, 1, lambda: b"1", known["a"].good)])
    assert making.read_back(repo, second.document) == {"a": b"1"}
    assert making.read_back(repo, first.document) == {"a": b"1"}


def test_what_stands_in_a_distrusted_pack_is_stored_again(repo: Repository) -> None:
    first = making.save_files(repo, {"a": b"1" * 100})
    (pack,) = making.packs_of(repo)
    data = bytearray(pack.read_bytes())
    data[50] ^= 1
    pack.write_bytes(data)
    assert making.save_files(repo, {"a": b"1" * 100}).new_packs == 0
    rows = [making.row("a", b"1" * 100)]
    again = save(repo, rows, lambda _: making.meta(seq=2), distrust={pack.name})
    assert again.new_packs == 1
    assert making.read_back(repo, first.document) == {"a": b"1" * 100}


def test_damage_stands_beside_the_last_good_version(repo: Repository) -> None:
    first = making.save_files(repo, {"a": b"good", "b": b"good too"})
    known = entries(repo, first.document)
    rows = [
        Row("a", 0o640, 1, 4, None, known["a"].good, lambda: b"bad\0\0", None, "MB102"),
        Row("b", 0o640, 1, 8, lambda: b"good too", None, lambda: b"", None, "MB104"),
        Row("c", 0o640, 1, 3, None, None, lambda: b"{{{", None, "MB101"),
    ]
    second = making.save_rows(repo, rows)
    found = entries(repo, second.document)
    blobs = Blobs(repo)
    assert {path: (entry.rule, trees.read_file(blobs, entry)) for path, entry in found.items()} == {
        "a": ("MB102", b"good"),
        "b": ("MB104", b"good too"),
        "c": ("MB101", b"{{{"),
    }
    assert [b"".join(map(blobs.get, found[path].found or ())) for path in "abc"] == [b"bad\0\0", b"", b"{{{"]
    assert found["c"].good is None
    third = making.save_rows(
        repo, [Row(*entry[:3], entry.size, None, entry.good, None, entry.found, entry.rule) for entry in found.values()]
    )
    assert third.document.root == second.document.root


def test_a_good_version_that_is_lost_leaves_the_found_one_and_a_finding(repo: Repository) -> None:
    saved = making.save_rows(repo, [Row("a", 0o640, 1, 4, None, ("e" * 64,), lambda: b"bad", None, "MB101")])
    assert [(finding.rule, finding.path) for finding in saved.findings] == [("MB130", "a")]
    assert entries(repo, saved.document)["a"].good is None
    assert making.read_back(repo, saved.document) == {"a": b"bad"}


def test_files_that_vanish_or_cannot_be_read_stop_no_others(repo: Repository) -> None:
    def failing(number: int) -> Callable[[], bytes]:
        def content() -> bytes:
            raise OSError(number, os.strerror(number), "there")

        return content

    seen: list[Totals] = []

    def describe(totals: Totals) -> documents.Meta:
        seen.append(totals)
        return making.meta(reasons=tuple(finding.rule for finding in totals.findings))

    rows = [
        Row("gone", 0, 0, 0, failing(errno.ENOENT)),
        making.row("kept", b"1"),
        Row("locked", 0, 0, 0, failing(errno.EACCES)),
    ]
    saved = save(repo, rows, describe)
    assert [(finding.rule, finding.path) for finding in saved.findings] == [("MB307", "locked")]
    assert saved.document.reasons == ("MB307",)
    assert (seen[0].files, seen[0].bytes) == (1, 1)
    assert making.read_back(repo, saved.document) == {"kept": b"1"}
    assert saved.as_dict()["findings"][0]["rule"] == "MB307"


def unreliable(fails: list[OSError], data: bytes = b"data") -> Callable[[], bytes]:
    """Reads that fail in these ways, then one that does not."""

    def content() -> bytes:
        if fails:
            raise fails.pop(0)
        return data

    return content


def test_a_read_that_fails_is_tried_again(repo: Repository) -> None:
    def growing() -> Iterator[bytes]:
        yield b"piece"
        if fails:
            raise fails.pop()

    fails, twice = [OSError(errno.EIO, "")], [OSError(errno.EIO, "")] * 2
    gone: list[OSError] = [FileNotFoundError()]
    rows = [
        Row("a", 0, 0, 0, unreliable(twice)),
        Row("b", 0, 0, 0, growing),
        Row("c", 0, 0, 0, unreliable(gone)),
    ]
    saved = making.save_rows(repo, rows)
    assert saved.findings == ()
    assert making.read_back(repo, saved.document) == {"a": b"data", "b": b"piece"}


def test_what_stands_instead_of_a_file_that_cannot_be_read(repo: Repository) -> None:
    heard: list[tuple[str, str]] = []

    def unread(row: Row, error: OSError | None) -> Row | None:
        heard.append((row.path, type(error).__name__))
        return {"a": making.row("a", b"older"), "b": row._replace(content=None, good=("e" * 64,))}.get(row.path)

    def never() -> bytes:
        raise PermissionError(errno.EACCES, "denied")

    rows = [Row(name, 0, 0, 9, never) for name in "abc"]
    saved = save(repo, rows, lambda _: making.meta(), hooks=Hooks(unread=unread))
    assert heard == [("a", "PermissionError"), ("b", "PermissionError"), ("b", "NoneType"), ("c", "PermissionError")]
    assert [(one.rule, one.path, "has its last good" in one.message) for one in saved.findings] == [
        ("MB307", "a", True),
        ("MB307", "b", True),
        ("MB130", "b", False),
        ("MB307", "c", False),
    ]
    assert making.read_back(repo, saved.document) == {"a": b"older"}


def test_damaged_bytes_that_cannot_be_read_leave_the_good_ones(repo: Repository) -> None:
    def never() -> bytes:
        raise PermissionError(errno.EACCES, "denied")

    rows = [
        Row("a", 0, 0, 4, lambda: b"good", None, never, None, "MB101"),
        Row("b", 0, 0, 4, never, None, never, None, "MB101"),
        Row("c", 0, 0, 4, None, None, never, None, "MB101"),
    ]
    saved = making.save_rows(repo, rows)
    assert making.read_back(repo, saved.document) == {"a": b"good"}
    assert {(one.rule, one.path) for one in saved.findings} == {("MB307", name) for name in "abc"}
    assert entries(repo, saved.document)["a"].rule == ""


def test_a_prune_meanwhile_means_no_snapshot(repo: Repository) -> None:
    making.save_files(repo, {"a": b"1"})

    def rows(step: Callable[[], None]) -> Iterator[Row]:
        yield making.row("a", b"1")
        step()

    with pytest.raises(OperationFailed, match="during the backup"):
        making.save_rows(repo, rows(repo.next_generation), seq=2)
    (pack,) = making.packs_of(repo)
    with pytest.raises(OperationFailed, match="during the backup"):
        making.save_rows(repo, rows(pack.unlink), seq=2)
    assert len(documents.listing(repo).documents) == 1


def test_saving_waits_for_one_that_removes(repo: Repository) -> None:
    with Repository.open(repo.path) as other, other.alone(), pytest.raises(Locked):
        save(repo, [], lambda _: making.meta(), lock_timeout=0)


BEFORE = {"a.json": b"1", "d/b.json": b"2"}
AFTER = {"a.json": b"changed", "d/b.json": b"2", "d/c.json": bytes(FILE_BLOB_SIZE + 5)}


def attempt(repo: Repository) -> documents.Document:
    return making.save_files(repo, AFTER, seq=2).document


def check_afterwards(repo: Repository, finished: bool) -> None:
    """The snapshot before is whole, the one under way is whole or not there, and the next run works."""
    found = documents.listing(repo)
    assert found.findings == ()
    assert [making.read_back(repo, document) for document in found.documents] in ([BEFORE], [BEFORE, AFTER])
    assert len(found.documents) == 2 or not finished
    assert making.read_back(repo, attempt(repo)) == AFTER


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EMFILE, errno.EINTR])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_error_at_every_call_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, persistent: bool
) -> None:
    at, reached = 1, True
    while reached:
        with Repository.create(tmp_path / f"repo{at}", reserve=4096) as repo:
            making.save_files(repo, BEFORE, seq=1)
            repo.release_reserve()
            faults = making.Faults(at, number, persistent)
            finished = False
            with monkeypatch.context() as patch:
                patch.setattr("memorybank_cli.base.files.os", faults)
                try:
                    attempt(repo)
                    finished = True
                except OperationFailed:
                    finished = False
            reached = faults.calls >= at
            check_afterwards(repo, finished)
        at += 1
    assert at > 20


@pytest.mark.no_cover
def test_a_kill_at_every_call_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at, killed = 1, True
    while killed:
        with Repository.create(tmp_path / f"repo{at}", reserve=4096) as repo:
            making.save_files(repo, BEFORE, seq=1)
            repo.release_reserve()
            child = os.fork()
            if child == 0:
                monkeypatch.setattr("memorybank_cli.base.files.os", making.Faults(at, None))
                attempt(repo)
                os._exit(0)
            killed = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 137
            check_afterwards(repo, not killed)
        at += 1
    assert at > 20


def test_packs_of_a_run_that_was_killed_are_used_by_the_next(repo: Repository) -> None:
    def rows() -> Iterator[Row]:
        yield making.row("a", os.urandom(17 << 20))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        making.save_rows(repo, rows())
    (pack,) = making.packs_of(repo)
    assert documents.listing(repo).documents == ()
    blobs = Blobs(repo)
    data = b"".join(blobs.get(name) for name in blobs.index.where)
    assert making.save_files(repo, {"a": data}).new_bytes < pack.stat().st_size / 2


def batch(contents: dict[str, bytes], instead: Callable[[str], Row | None] = lambda _: None, **read: bytes) -> Sound:
    """Files right in `d`, read as `contents` or, where given, as other bytes."""

    def reading(name: str) -> bytes:
        data = read.get(name, contents[name])
        if data == b"gone":
            raise FileNotFoundError(name)
        return data

    rows = [("f", name, 0o640, making.MTIME, digests.of(data), len(data)) for name, data in sorted(contents.items())]
    return Sound("d", rows, reading, instead)


def test_a_batch_of_sound_files_is_what_single_rows_are(repo: Repository) -> None:
    contents = {"a": b"1", "b": b"2", "c": b"1"}
    folder = Folder("d", 0o700, 5)
    one = making.save_rows(repo, [folder, batch(contents)], seq=1)
    other = making.save_rows(repo, [folder, *(making.row(f"d/{name}", data) for name, data in contents.items())], seq=2)
    assert one.document.root == other.document.root
    assert (one.document.files, one.document.bytes, one.new_files, other.new_files) == (3, 3, 2, 0)
    assert making.read_back(repo, one.document) == {f"d/{name}": data for name, data in contents.items()}


def test_a_file_of_a_batch_that_is_another_by_now_is_looked_at_singly(repo: Repository) -> None:
    asked: list[str] = []

    def instead(name: str) -> Row | None:
        asked.append(name)
        return making.row(f"d/{name}", b"newer") if name == "b" else None

    saved = making.save_rows(repo, [batch({"a": b"1", "b": b"2", "c": b"3"}, instead, b=b"newer", c=b"gone")])
    assert asked == ["b", "c"]
    assert making.read_back(repo, saved.document) == {"d/a": b"1", "d/b": b"newer"}
    assert (saved.document.files, saved.document.bytes) == (2, 6)


def test_a_whole_directory_is_taken_over(repo: Repository) -> None:
    heard: dict[str, str] = {}
    there: list[Item] = [Folder("d", 0o750, 5), making.row("d/e/f", b"1"), making.row("g", b"2")]
    first = save(repo, there, lambda _: making.meta(seq=1), hooks=Hooks(closed=heard.__setitem__))
    assert heard[""] == first.document.root
    rows: list[Item] = [Whole("d", 0o750, 5, heard["d"], 1, 1), making.row("g", b"2")]
    second = making.save_rows(repo, rows, seq=2)
    assert second.document.root == first.document.root
    assert (second.document.files, second.document.bytes, second.new_packs) == (2, 2, 0)
    with pytest.raises(ValueError, match="does not hold"):
        making.save_rows(repo, [Whole("d", 0o750, 5, "0" * 64, 1, 1)], seq=3)


def test_a_pack_that_vanishes_under_a_whole_directory_means_no_snapshot(repo: Repository) -> None:
    heard: dict[str, str] = {}
    rows: list[Item] = [Folder("d", 0o750, 5), making.row("d/f", b"1")]
    save(repo, rows, lambda _: making.meta(seq=1), hooks=Hooks(closed=heard.__setitem__))
    making.save_files(repo, {"other": b"2"}, seq=2)

    def later() -> Iterator[Item]:
        yield Whole("d", 0o750, 5, heard["d"], 1, 1)
        for pack in making.packs_of(repo):
            pack.unlink()

    with pytest.raises(OperationFailed, match="during the backup"):
        making.save_rows(repo, later(), seq=3)


def test_packs_that_no_cache_names_are_synced_before_a_snapshot_rests_on_them(
    repo: Repository, monkeypatch: pytest.MonkeyPatch
) -> None:
    making.save_files(repo, {"a": b"1"}, seq=1)
    making.drop_index(repo)
    settled: list[str] = []
    monkeypatch.setattr(repo.backend, "settle", settled.extend)
    making.save_files(repo, {"a": b"1", "b": b"2"}, seq=2)
    assert len(settled) == 1
    assert (Path(repo.path) / settled[0]) in making.packs_of(repo)
    settled.clear()
    making.save_files(repo, {"a": b"1", "b": b"2"}, seq=3)
    assert settled == []


def test_the_total_is_told(repo: Repository) -> None:
    heard: list[object] = []

    class Hearing(Progress):
        def start(self, what: str, total: int | None = None) -> None:
            heard.append((what, total))

        def advance(self, count: int = 1) -> None:
            heard.append(count)

    rows: list[Item] = [batch({"a": b"1", "b": b"2"}), making.row("x", b"3")]
    save(repo, rows, lambda _: making.meta(), Hearing(), hooks=Hooks(total=3))
    assert heard == [("saving files", 3), 2, 1]
