from __future__ import annotations

import dataclasses
import hashlib
import json
from pathlib import Path

import orjson
import pytest

from memorybank_cli.base.errors import OperationFailed, SnapshotNotFound, UsageError
from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import Damaged
from tests.snapshots import making

ROOT = "c" * 64


def test_a_document_is_written_and_read(repo: Repository) -> None:
    meta = making.meta(
        seq=7, checkpoint={"seq": 7, "hash": "h"}, records=3, reasons=("MB102 a.json",), excluded=(".env",), tags=("é",)
    )
    document = documents.make(ROOT, 2, 30, meta)
    documents.write(repo, document)
    assert documents.read(repo, document.id) == document
    path = Path(repo.path) / "snapshots" / document.id
    assert path.name == f"20261120T140000Z-{document.digest[:8]}"
    assert path.stat().st_mode & 0o777 == 0o600
    value = json.loads(path.read_bytes())
    body = {key: item for key, item in value.items() if key not in ("id", "digest")}
    compact = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert hashlib.sha256(compact).hexdigest() == value["digest"] == document.digest
    assert document.as_dict() == value


def test_writing_the_same_document_twice_is_one_snapshot(repo: Repository) -> None:
    document = documents.make(ROOT, 0, 0, making.meta())
    documents.write(repo, document)
    documents.write(repo, document)
    assert documents.listing(repo).documents == (document,)


def test_the_order_is_the_journals_and_then_the_clocks(repo: Repository) -> None:
    rows = [(2, "2020-01-01T00:00:00Z"), (1, "2030-01-01T00:00:00Z"), (2, "2019-01-01T00:00:00Z")]
    for seq, time in rows:
        documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=seq, time=time)))
    found = documents.listing(repo)
    assert [(document.seq, document.time[:4]) for document in found.documents] == [
        (1, "2030"),
        (2, "2019"),
        (2, "2020"),
    ]
    assert documents.resolve(repo, "latest").time[:4] == "2020"


def test_a_journal_that_begins_anew_does_not_make_new_snapshots_old(repo: Repository) -> None:
    for number, seq in ((None, 900), (1, 1000), (2, 5), (2, 7)):
        documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=seq, number=number)))
    found = documents.listing(repo)
    assert [(one.number, one.seq) for one in found.documents] == [(None, 900), (1, 1000), (2, 5), (2, 7)]
    assert documents.next_number(found.documents) == 3
    assert found.latest is not None
    assert found.latest.seq == 7


def test_the_next_number() -> None:
    old = documents.make(ROOT, 0, 0, making.meta())
    assert (documents.next_number([]), documents.next_number([old])) == (1, 1)
    last = documents.make(ROOT, 0, 0, making.meta(number=(1 << 53) - 1))
    again = documents.make(ROOT, 0, 0, making.meta(number=documents.next_number([old, last])))
    assert documents.parse(documents.encode(again), again.id) == again


@pytest.mark.parametrize("number", [None, 1, 12])
def test_a_document_with_and_without_a_number_is_read_as_it_was_written(repo: Repository, number: int | None) -> None:
    document = documents.make(ROOT, 0, 0, making.meta(number=number))
    documents.write(repo, document)
    data = (Path(repo.path) / "snapshots" / document.id).read_bytes()
    assert (b'"number"' in data) == (number is not None)
    assert documents.encode(documents.read(repo, document.id)) == data


def test_latest_passes_over_suspect_ones(repo: Repository) -> None:
    with pytest.raises(SnapshotNotFound):
        documents.resolve(repo, "latest")
    documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=1)))
    suspect = documents.make(ROOT, 0, 0, making.meta(seq=2, status="suspect"))
    documents.write(repo, suspect)
    assert documents.resolve(repo, "latest").seq == 1
    assert documents.resolve(repo, suspect.id) == suspect


def test_latest_passes_over_what_a_rollback_replaced(repo: Repository) -> None:
    documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=2, tags=("a", documents.SAFETY))))
    assert documents.resolve(repo, "latest").seq == 2
    documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=1)))
    documents.write(repo, documents.make(ROOT, 0, 0, making.meta(seq=3, status="suspect")))
    assert documents.resolve(repo, "latest").seq == 1


def test_names_prefixes_and_digits(repo: Repository) -> None:
    made = [documents.make(ROOT, 0, 0, making.meta(seq=seq)) for seq in (1, 2)]
    for document in made:
        documents.write(repo, document)
    assert documents.resolve(repo, made[0].id) == made[0]
    assert documents.resolve(repo, made[1].id[:-1]) == made[1]
    assert documents.resolve(repo, made[1].digest[:8]) == made[1]
    with pytest.raises(UsageError, match="begins the names of 2") as caught:
        documents.resolve(repo, "2026")
    assert made[0].id in caught.value.hint
    for missing in ("", "x", "../config.json", made[0].id + "0"):
        with pytest.raises(SnapshotNotFound):
            documents.resolve(repo, missing)


def test_a_document_under_another_name_is_damaged(repo: Repository) -> None:
    one, two = (documents.make(ROOT, 0, 0, making.meta(seq=seq)) for seq in (1, 2))
    place = Path(repo.path) / "snapshots"
    (place / one.id).write_bytes(documents.encode(two))
    found = documents.listing(repo)
    assert found.documents == ()
    assert [finding.rule for finding in found.findings] == ["MB130"]
    with pytest.raises(Damaged):
        documents.resolve(repo, one.id)


def forged(**changes: object) -> tuple[str, bytes]:
    """The name and bytes of a document with these values and a digest that fits."""
    body = {**documents.make(ROOT, 0, 0, making.meta()).as_dict(), **changes}
    body = {key: item for key, item in body.items() if key not in ("id", "digest")}
    digest = hashlib.sha256(orjson.dumps(body, option=orjson.OPT_SORT_KEYS)).hexdigest()
    name = f"20261120T140000Z-{digest[:8]}"
    options = orjson.OPT_SORT_KEYS | orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    return name, orjson.dumps({**body, "id": name, "digest": digest}, option=options)


def test_a_forged_document_with_right_values_is_read() -> None:
    name, data = forged(seq=9)
    assert documents.parse(data, name).seq == 9


@pytest.mark.parametrize(
    "changes",
    [
        {"root": "../../etc"}, {"root": "C" * 64}, {"seq": -1}, {"seq": True}, {"seq": 1.0}, {"seq": None},
        {"files": "1"}, {"status": "fine"},
        {"tags": "a"}, {"tags": [1]}, {"reasons": None}, {"excluded": {}}, {"checkpoint": []},
        {"parent": 5}, {"version": 2}, {"version": True}, {"more": 1}, {"host": None}, {"bytes": -5},
        {"number": 0}, {"number": True}, {"number": None}, {"number": "1"}, {"number": 1 << 53},
    ],
)  # fmt: skip
def test_a_document_with_impossible_values_is_damaged(changes: dict[str, object]) -> None:
    name, data = forged(**changes)
    with pytest.raises(Damaged):
        documents.parse(data, name)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"version": 1}', b"\0" * 500, b"[" * 100_000, b'{"version":1,"version":1}']
)
def test_what_is_no_document_is_damaged(data: bytes) -> None:
    with pytest.raises(Damaged):
        documents.parse(data, "20261120T140000Z-00000000")


def test_numbers_that_do_not_fit_and_lone_surrogates_are_damage() -> None:
    name, data = forged()
    for old, new in ((b'"seq": 0', b'"seq": 1' + b"0" * 30), (b'"host": "here"', b'"host": "\\ud800"')):
        assert old in data
        with pytest.raises(Damaged):
            documents.parse(data.replace(old, new), name)


def test_strangers_among_the_documents_hide_no_other(repo: Repository) -> None:
    document = documents.make(ROOT, 0, 0, making.meta())
    documents.write(repo, document)
    place = Path(repo.path) / "snapshots"
    (place / "directory").mkdir()
    (place / "link").symlink_to(place / document.id)
    (place / "README").write_text("hello")
    (place / ".mb-0123456789abcdef").write_text("left over")
    found = documents.listing(repo)
    assert found.documents == (document,)
    assert len(found.findings) == 3
    assert found.as_dict()["snapshots"] == [document.as_dict()]


@pytest.mark.parametrize("tag", ["", "a\nb", "\x1b[31m", "\ud800"])
def test_a_tag_that_a_terminal_could_not_show_is_refused(tag: str) -> None:
    with pytest.raises(UsageError):
        documents.make(ROOT, 0, 0, making.meta(tags=(tag,)))


def test_documents_are_values() -> None:
    document = documents.make(ROOT, 0, 0, making.meta())
    with pytest.raises(dataclasses.FrozenInstanceError):
        document.root = ""  # type: ignore[misc]


def test_of_many_the_newest_are_suggested(repo: Repository) -> None:
    made = [documents.make(ROOT, 0, 0, making.meta(seq=seq)) for seq in range(1, 9)]
    for document in made:
        documents.write(repo, document)
    with pytest.raises(UsageError, match="begins the names of 8") as caught:
        documents.resolve(repo, "2026")
    assert [one.id in caught.value.hint for one in made] == [False] * 3 + [True] * 5


def test_those_of_one_bank(repo: Repository) -> None:
    mine, other = (documents.make(ROOT, 0, 0, making.meta(seq=1, bank_id=name)) for name in ("mine", "other"))
    for document in (mine, other):
        documents.write(repo, document)
    (Path(repo.path) / "snapshots/20200101T000000Z-01234567").write_bytes(b"{")
    found = documents.listing(repo)
    assert (found.of("mine").documents, found.of("mine").latest) == ((mine,), mine)
    assert (found.of("nobody").documents, found.of("nobody").latest) == ((), None)
    assert found.of("mine").findings == found.findings != ()
    assert (found.named(other.id), found.of("mine").named(other.id)) == ([other], [])
    assert found.named("") == []


@pytest.mark.parametrize("sections", [[], {"trades": 3}, {"trades": [1]}, {"trades": [1, -1]}, {"trades": [True, 1]}])
def test_sections_that_no_document_has(sections: object) -> None:
    made = documents.make("0" * 64, 1, 2, documents.Meta("b", sections={"trades": [1, 2]}))
    assert documents.parse(documents.encode(made), made.id).sections == {"trades": [1, 2]}
    name, data = forged(sections=sections)
    with pytest.raises(Damaged):
        documents.parse(data, name)


def test_a_document_may_lack_its_sections() -> None:
    made = documents.make("0" * 64, 1, 2, documents.Meta("b"))
    assert b"sections" not in documents.encode(made)
    assert documents.parse(documents.encode(made), made.id) == made


def test_a_document_that_nobody_would_read_is_not_written(repo: Repository) -> None:
    left_out = tuple(f"{number:0>200}" for number in range(180_000))
    with pytest.raises(OperationFailed, match="180,000 paths are left out"):
        documents.write(repo, documents.make(ROOT, 0, 0, making.meta(excluded=left_out)))
    assert not documents.listing(repo).documents
