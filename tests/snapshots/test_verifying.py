from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import orjson
import pytest

from memorybank_cli.base.errors import SnapshotNotFound, UsageError
from memorybank_cli.base.records import Progress
from memorybank_cli.snapshots import documents, index
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.proofs import Proofs
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import save
from memorybank_cli.snapshots.verifying import Subset, verify
from tests.snapshots import making

FOUR = "04efaf080f5a3e74e1c29d1ca6a48569382cbbcd324e8d59d2b83ef21c039f00"
FIRST = {"d/a": os.urandom(300_000), "d/b": b"b", "e/c": b"c"}
SECOND = {**FIRST, "new": os.urandom(290_000)}


@pytest.fixture
def two(repo: Repository) -> tuple[documents.Document, documents.Document]:
    return making.save_files(repo, FIRST, seq=1).document, making.save_files(repo, SECOND, seq=2).document


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def first_pack(repo: Repository) -> Path:
    """The pack that holds the large file of the first snapshot."""
    return max(making.packs_of(repo), key=lambda path: path.stat().st_size)


@pytest.mark.usefixtures("two")
def test_a_sound_repository(repo: Repository) -> None:
    plain, thorough = verify(repo), verify(repo, read_data=True)
    assert (plain.ok, plain.snapshots, plain.packs, plain.findings) == (True, 2, 0, ())
    assert (thorough.ok, thorough.packs, thorough.findings) == (True, 2, ())
    assert thorough.bytes_read == sum(path.stat().st_size for path in making.packs_of(repo))
    assert thorough.checked == plain.checked == 4 + 4
    assert thorough.as_dict()["ok"] is True


def test_an_empty_repository_is_sound(repo: Repository) -> None:
    assert verify(repo, read_data=True).ok


def test_a_flipped_bit_names_the_file_and_both_snapshots(repo: Repository, two: tuple[documents.Document, ...]) -> None:
    pack = first_pack(repo)
    flip(pack, 1000)
    assert verify(repo).ok
    found = verify(repo, read_data=True)
    assert not found.ok
    assert found.damaged_packs == {pack.name}
    assert [(finding.rule, finding.path) for finding in found.findings] == [("MB130", ""), ("MB130", "d/a")]
    assert all(document.id in found.findings[1].message for document in two)
    one = verify(repo, [two[0].id], read_data=True)
    assert two[1].id not in one.findings[1].message
    again = save(
        repo,
        [making.row(*item) for item in sorted(SECOND.items())],
        lambda _: making.meta(seq=3),
        distrust=found.damaged_packs,
    )
    assert again.new_packs == 1
    assert [finding.path for finding in verify(repo, read_data=True).findings] == [""]


@pytest.mark.usefixtures("two")
def test_a_flip_that_hits_no_blob_is_still_found(repo: Repository) -> None:
    pack = first_pack(repo)
    flip(pack, 20)
    found = verify(repo, read_data=True)
    assert [(finding.rule, finding.path) for finding in found.findings] == [("MB130", "")]
    assert found.damaged_packs == {pack.name}


def test_a_missing_pack_names_what_it_takes_along(repo: Repository) -> None:
    one = making.save_files(repo, {"a": b"1"}, seq=1).document
    (pack,) = making.packs_of(repo)
    two = making.save_files(repo, {"a": b"1", "d/b": b"2"}, seq=2).document
    pack.unlink()
    for thorough in (False, True):
        found = verify(repo, read_data=thorough)
        by_path = {finding.path: finding.message for finding in found.findings}
        assert set(by_path) == {"", "a"}
        assert one.id in by_path[""]
        assert two.id in by_path["a"]


@pytest.mark.usefixtures("two")
def test_truncated_swapped_and_foreign_packs(repo: Repository) -> None:
    small, large = sorted(making.packs_of(repo), key=lambda path: path.stat().st_size)
    whole = {path: path.read_bytes() for path in (small, large)}
    for path, data in whole.items():
        path.write_bytes(data[:-1])
        assert not verify(repo).ok
        path.write_bytes(b"")
        assert not verify(repo).ok
        path.write_bytes(data)
    small.write_bytes(whole[large])
    large.write_bytes(whole[small])
    assert verify(repo, read_data=True).damaged_packs == {small.name, large.name}
    small.write_bytes(whole[small])
    large.write_bytes(whole[large])
    (small.parent / "stray").write_bytes(b"")
    found = verify(repo)
    assert (found.ok, [finding.severity for finding in found.findings]) == (True, ["warning"])


def test_a_damaged_document_is_found_and_the_others_checked(
    repo: Repository, two: tuple[documents.Document, ...]
) -> None:
    flip(Path(repo.path) / "snapshots" / two[0].id, 30)
    found = verify(repo)
    assert (found.ok, found.snapshots) == (False, 1)
    assert two[0].id in found.findings[0].message


def test_unknown_ids(repo: Repository) -> None:
    with pytest.raises(SnapshotNotFound):
        verify(repo, ["latest"])


def commit(repo: Repository, rows: list[Any]) -> documents.Document:
    writer = PackWriter(repo, {})
    writer.add(b"four")
    document = documents.make(
        writer.add_tree(orjson.dumps(rows)),
        sum(isinstance(row, list) and row[:1] == ["f"] for row in rows),
        4,
        making.meta(),
    )
    writer.finish()
    documents.write(repo, document)
    return document


def test_trees_that_lie_are_found_without_reading_data(repo: Repository) -> None:
    four = FOUR
    commit(repo, [["f", "size", 0o600, 1, four, 5]])
    commit(repo, [["f", "found", 0o600, 1, four, 4, {"found": "0" * 64, "rule": "MB102"}]])
    commit(repo, [["f", "good", 0o600, 1, "1" * 64, 4, {"found": four, "rule": "MB102"}]])
    commit(repo, [["d", "dir", 0o700, 1, "2" * 64], ["f", "x", 0o600, 1, four, 4]])
    commit(repo, [["f", "..", 0o600, 1, four, 4]])
    assert [finding.path for finding in verify(repo).findings] == ["", "dir", "found", "good", "size"]


def test_a_tree_that_names_itself_many_times_is_checked_once(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    tree = writer.add_tree(orjson.dumps([["f", "lost", 0o600, 1, "3" * 64, 4]]))
    for _ in range(60):
        tree = writer.add_tree(orjson.dumps([["d", name, 0o700, 1, tree] for name in "ab"]))
    writer.finish()
    documents.write(repo, documents.make(tree, 1, 4, making.meta()))
    found = verify(repo)
    assert found.checked == 62
    assert len(found.findings) == 1000


class Counted(Progress):
    """Counts notes; stops a run after some batches."""

    def __init__(self, batches: int | None = None, how: Callable[[], NoReturn] | None = None) -> None:
        self.notes: list[str] = []
        self._what, self._left, self._how = "", batches, how

    def start(self, what: str, total: int | None = None) -> None:
        self._what = what

    def advance(self, count: int = 1) -> None:
        if self._what == "reading packs" and self._left is not None:
            self._left -= 1
            if self._left <= 0 and self._how is not None:
                self._how()

    def note(self, text: str) -> None:
        self.notes.append(text)


def interrupt() -> NoReturn:
    raise KeyboardInterrupt


def kill_oneself() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def many_packs(repo: Repository, count: int = 6) -> None:
    for number in range(count):
        making.save_files(repo, {f"d/{one}": b"%d" % one for one in range(number + 1)}, seq=number)


@pytest.mark.parametrize("processors", [1, 2])
def test_an_interrupted_run_goes_on_where_it_was(
    repo: Repository, monkeypatch: pytest.MonkeyPatch, processors: int
) -> None:
    monkeypatch.setattr("memorybank_cli.base.workers._processors", lambda: processors)
    monkeypatch.setattr("memorybank_cli.snapshots.pack_checks.BATCH_SIZE", 1)
    many_packs(repo)
    kept: list[dict[str, Any]] = []
    proofs, progress = (
        Proofs(keep=lambda now: kept.append(orjson.loads(orjson.dumps(now.as_dict())))),
        Counted(2, interrupt),
    )
    with pytest.raises(KeyboardInterrupt):
        verify(repo, read_data=True, progress=progress, proofs=proofs)
    assert "interrupted: 2 of 6 packs were read" in progress.notes[-1]
    again = Proofs.parse(kept[-1], lambda now: kept.append(now.as_dict()))
    assert again.begun
    touched = making.packs_of(repo)[0]  # batches are read by name, so this one was read
    os.utime(touched, ns=(1, 1))
    progress = Counted()
    verify(repo, read_data=True, progress=progress, proofs=Proofs.parse(kept[-1], lambda _: None))
    assert "with --resume it would go on" in progress.notes[0]
    progress = Counted()
    rest = verify(repo, read_data=True, progress=progress, proofs=again, resume=True)
    assert (rest.packs, rest.read_before, rest.unread, rest.ok) == (5, 1, 0, True)
    assert "1 of 6 packs were read since" in progress.notes[0]
    assert "5 are left" in progress.notes[0]
    assert again.begun == ""
    whole = verify(repo, read_data=True, proofs=again, resume=True)  # nothing was interrupted: all of it
    assert (whole.packs, whole.read_before) == (6, 0)


def test_a_killed_run_goes_on_where_it_was(repo: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memorybank_cli.snapshots.pack_checks.BATCH_SIZE", 1)
    many_packs(repo)
    place = tmp_path / "proofs"
    child = os.fork()
    if not child:

        def keep(now: Proofs) -> None:
            place.write_bytes(orjson.dumps(now.as_dict()))

        verify(repo, read_data=True, progress=Counted(4, kill_oneself), proofs=Proofs(keep=keep))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    rest = verify(
        repo, read_data=True, proofs=Proofs.parse(orjson.loads(place.read_bytes()), lambda _: None), resume=True
    )
    assert (rest.packs, rest.read_before) == (2, 4)


def test_parts_of_the_packs_cover_all_of_them_once(repo: Repository) -> None:
    many_packs(repo)
    read = [verify(repo, read_data=True, subset=Subset(part, 3)) for part in (1, 2, 3)]
    assert sum(one.packs for one in read) == 6
    assert all(one.packs + one.unread == 6 for one in read)
    proofs = Proofs()
    shares = [verify(repo, read_data=True, subset=Subset.parse("30%"), proofs=proofs) for _ in range(3)]
    assert [one.packs for one in shares] == [2, 2, 2]
    assert len(proofs.read) == 6  # each time those that were read longest ago
    assert proofs.begun == ""


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "a/b", "1/", "0%", "101%", "%", "1/99999", "x%", "-1%"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(UsageError):
        Subset.parse(text)


def test_one_snapshot_needs_only_its_packs(repo: Repository) -> None:
    making.save_files(repo, {"a": b"first"}, seq=1)
    (old,) = making.packs_of(repo)
    second = making.save_files(repo, {"b": b"second"}, seq=2).document
    flip(old, 60)
    found = verify(repo, [second.id], read_data=True)
    assert (found.ok, found.packs, found.unread) == (True, 1, 1)
    assert not verify(repo, read_data=True).ok


def test_what_was_healed_is_a_warning(repo: Repository) -> None:
    making.save_files(repo, FIRST, seq=1)
    pack, proofs = first_pack(repo), Proofs()
    flip(pack, 1000)
    assert not verify(repo, read_data=True, proofs=proofs).ok
    rows = [making.row(*item) for item in sorted(FIRST.items())]
    save(repo, rows, lambda _: making.meta(seq=2), distrust=proofs.still_damaged(repo.stored_packs()))
    healed = verify(repo, read_data=True, proofs=proofs)
    assert (healed.ok, set(healed.damaged_packs)) == (True, {pack.name})
    assert [(one.severity, one.path) for one in healed.findings] == [("warning", "")]
    [other] = [path for path in making.packs_of(repo) if path != pack]
    flip(other, 1000)
    assert not verify(repo, read_data=True, proofs=proofs).ok


def test_a_pack_that_cannot_be_read_costs_what_is_in_it(repo: Repository, monkeypatch: pytest.MonkeyPatch) -> None:
    making.save_files(repo, FIRST, seq=1)
    name = first_pack(repo).name
    whole, part = repo.backend.read, repo.backend.read_part

    def failing(place: str, limit: int) -> bytes:
        if place.endswith(name):
            raise OSError(5, "Input/output error", place)
        return whole(place, limit)

    def partly(place: str, offset: int, length: int) -> bytes:
        if place.endswith(name) and offset < 1000 and length > 1000:
            raise OSError(5, "Input/output error", place)
        return part(place, offset, length)

    monkeypatch.setattr(repo.backend, "read", failing)
    monkeypatch.setattr(repo.backend, "read_part", partly)
    found = verify(repo, read_data=True)
    assert (found.ok, set(found.damaged_packs)) == (False, {name})
    assert [one.path for one in found.findings] == ["", "d/a"]  # the other frames are read one by one


def test_an_index_that_says_other_things_than_the_packs(repo: Repository) -> None:
    making.save_files(repo, FIRST, seq=1)
    known = index.load(repo)
    (pack,) = known.packs.values()
    first, *others = pack.frames
    wrong = pack._replace(frames=(first._replace(ids=tuple("0" * 64 for _ in first.ids)), *others))
    making.drop_index(repo)
    index.write(repo, index.Index(), [wrong])
    found = verify(repo, read_data=True)
    assert not found.ok
    assert found.damaged_packs == {pack.name}


def test_snapshots_that_are_gone_leave_packs_alone(repo: Repository) -> None:
    making.save_files(repo, FIRST, seq=1)
    for path in (Path(repo.path) / "snapshots").iterdir():
        path.unlink()
    found = verify(repo)
    assert [(one.severity, one.pointer) for one in found.findings] == [("warning", "/snapshots")]
    assert (found.snapshots, found.ok) == (0, True)


@pytest.mark.parametrize("folder", ["snapshots", "packs", "index"])
@pytest.mark.parametrize("thorough", [False, True])
def test_a_folder_of_the_repository_that_is_missing_or_holds_strangers(
    repo: Repository, folder: str, thorough: bool
) -> None:
    making.save_files(repo, FIRST, seq=1)
    place = Path(repo.path) / folder
    (place / "stranger").write_bytes(b"x")
    (place / "link").symlink_to("stranger")
    (place / "inner").mkdir()
    (place / "inner" / ("a" * 64)).write_bytes(b"x")
    verify(repo, read_data=thorough)  # says something, or needs it for nothing; and does not fail
    place.rename(place.with_name("elsewhere"))
    found = verify(repo, read_data=thorough)
    assert found.ok is (folder != "packs")
    if folder == "packs":
        assert "directory cannot be read" in found.findings[-1].message
    if folder == "index":
        assert found.snapshots == 1


@pytest.mark.parametrize("content", [b"", bytes(700), b"null", b"[]", b"\xff"])
def test_a_document_that_is_none(repo: Repository, content: bytes) -> None:
    first, second = making.save_files(repo, FIRST, seq=1).document, making.save_files(repo, SECOND, seq=2).document
    place = Path(repo.path) / "snapshots" / second.id
    place.write_bytes(content)
    found = verify(repo, read_data=True)
    assert (found.ok, found.snapshots) == (False, 1)
    assert second.id in found.findings[0].message
    place.write_bytes((place.parent / first.id).read_bytes())  # the other one's
    swapped = verify(repo)
    assert (swapped.ok, swapped.snapshots) == (False, 1)
    assert first.id in swapped.findings[0].message


def test_a_snapshot_that_lists_other_files_than_it_says(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    empty = writer.add_tree(b"[]")
    writer.finish()
    document = documents.make(empty, 3, 40, making.meta())
    documents.write(repo, document)
    found = verify(repo)
    assert [(one.rule, one.severity) for one in found.findings] == [("MB130", "error")]
    assert "says that it has 3 files, and lists 0" in found.findings[0].message


def large(repo: Repository, *parts: list[list[object]]) -> documents.Document:
    """A snapshot whose root is cut into these parts."""
    writer = PackWriter(repo, {})
    writer.add(b"four")
    ids = [writer.add_tree(orjson.dumps(part)) for part in parts]
    count = sum(len(part) for part in parts)
    document = documents.make(writer.add_tree(orjson.dumps([["p", one] for one in ids])), count, 4, making.meta())
    writer.finish()
    documents.write(repo, document)
    return document


def entry(name: str) -> list[object]:
    return ["f", name, 0o600, 1, FOUR, 4]


def test_parts_of_large_directories(repo: Repository) -> None:
    large(repo, [entry("a"), entry("b")], [entry("c")])
    assert verify(repo).ok
    assert verify(repo, read_data=True).checked == 4
    lost = large(repo, [entry("d")], [["f", "e", 0o600, 1, "3" * 64, 4]])
    assert [(one.path, lost.id in one.message) for one in verify(repo).findings] == [("e", True)]


@pytest.mark.parametrize(
    "parts",
    [
        [[["f", "b", 0o600, 1, "F", 4]], [["f", "a", 0o600, 1, "F", 4]]],
        [[["f", "a", 0o600, 1, "F", 4]], []],
        [[["p", "F"]]],
        [["nothing"]],
    ],
)
def test_parts_that_no_directory_has(repo: Repository, parts: list[list[list[object]]]) -> None:
    large(repo, *[[[FOUR if value == "F" else value for value in row] for row in part] for part in parts])
    assert not verify(repo).ok


@pytest.mark.parametrize(
    "row",
    [
        ["f", "a", "600", 1, "F", 4],
        ["f", "a", 0o10000, 1, "F", 4],
        ["f", "a", -1, 1, "F", 4],
        ["f", "a", 0o600, 1 << 63, "F", 4],
        ["f", "a", 0o600, 1.5, "F", 4],
        ["f", "a", True, 1, "F", 4],
        ["f", "a", 0o600, 1, "F", 4.0],
        ["f", "a", 0o600, 1, "F", 5],
        ["f", "a", 0o600, 1, "F", 4, 5],
        ["f", "a", 0o600, 1, None, 4],
        ["f", "a", 0o600, 1, "F"],
        ["f", ".a", 0o600, 1, "F", 4],
        ["f", "a/b", 0o600, 1, "F", 4],
        ["f", "", 0o600, 1, "F", 4],
        ["f", 1, 0o600, 1, "F", 4],
        ["x", "a", 0o600, 1, "F", 4],
        ["d", "a", 0o700, 1, "x"],
        "fabcde",
        {},
        7,
    ],
)
@pytest.mark.parametrize("alone", [True, False])
def test_rows_that_restoring_refuses_are_refused_here(repo: Repository, row: Any, alone: bool) -> None:
    row = [FOUR if value == "F" else value for value in row] if isinstance(row, list) else row
    commit(repo, [row] if alone else [entry("A"), row, entry("z")])
    (found,) = verify(repo).findings
    assert "cannot be read" in found.message or "its blobs do not make" in found.message


@pytest.mark.parametrize("name", ["a", "a b", "ä", "a\\xff", "a\\x0ab", "-", "~", "a.b"])
def test_names_that_restoring_takes_are_taken_here(repo: Repository, name: str) -> None:
    commit(repo, [entry(name)])
    assert verify(repo).ok


def test_parts_with_directories_and_damaged_files_are_looked_at_one_by_one(repo: Repository) -> None:
    writer = PackWriter(repo, {})
    writer.add(b"four")
    inner = writer.add_tree(orjson.dumps([entry("x")]))
    found = ["f", "c", 0o600, 1, FOUR, 4, {"found": FOUR, "rule": "MB102"}]
    parts = [[entry("a"), ["d", "b", 0o700, 1, inner]], [found]]
    ids = [writer.add_tree(orjson.dumps(part)) for part in parts]
    document = documents.make(writer.add_tree(orjson.dumps([["p", one] for one in ids])), 3, 12, making.meta())
    writer.finish()
    documents.write(repo, document)
    assert verify(repo).findings == ()


def test_parts_that_snapshots_share_are_looked_at_once(repo: Repository) -> None:
    first, second = [entry("a"), entry("b")], [entry("c")]
    large(repo, first, second)
    one = verify(repo).checked
    large(repo, first, [entry("d")])
    assert verify(repo).checked == one + 2  # a tree and the part that differs
