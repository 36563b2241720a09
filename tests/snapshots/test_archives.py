"""Snapshots as archives: deterministic, proved by sha256sum, read by tar."""

from __future__ import annotations

import gzip
import io
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from memorybank_cli.base.errors import MemorybankError
from memorybank_cli.base.names import unescape
from memorybank_cli.operations.manifest import manifest_line
from memorybank_cli.snapshots import trees
from memorybank_cli.snapshots.archives import Archive, packed
from memorybank_cli.snapshots.blobs import Blobs
from memorybank_cli.snapshots.documents import Document
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.saving import Folder
from memorybank_cli.snapshots.sealing import Damaged
from tests.snapshots.making import MTIME, row, save_rows

LARGE = bytes(range(251)) * (FILE_BLOB_SIZE // 251 + 100)
CONTENTS = {
    "a.json": b"{}",
    "empty": b"",
    "large.bin": LARGE,
    f"long/{'x' * 120}/{'y' * 120}.json": b"[]",
    "odd \\xff\\x0aname\\\\.md": b"odd",
    "ümlaut.md": b"u",
}


@pytest.fixture
def document(repo: Repository) -> Document:
    rows = [row(path, data) for path, data in sorted(CONTENTS.items())]
    return save_rows(repo, [Folder("hollow", 0o750, MTIME), *rows]).document


def never(path: str, error: MemorybankError) -> None:
    raise AssertionError(f"{path}: {error}")


def archive(repo: Repository, document: Document) -> bytes:
    return b"".join(Archive(Blobs(repo), document, manifest_line, never).pieces())


def test_everything_is_in_it_and_sha256sum_agrees(repo: Repository, document: Document, tmp_path: Path) -> None:
    data = archive(repo, document)
    assert len(data) % 10240 == 0
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        opened.extractall(tmp_path, filter="data")
    top = tmp_path / f"memorybank-{document.id}"
    for path, content in CONTENTS.items():
        assert (top / "bank" / unescape(path)).read_bytes() == content
    assert (top / "bank/a.json").stat().st_mtime == MTIME // 10**9
    assert (top / "bank/hollow").is_dir()
    checked = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=top, capture_output=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.count(b": OK") == len(CONTENTS) + 1


def test_tar_itself_reads_it(repo: Repository, document: Document, tmp_path: Path) -> None:
    done = subprocess.run(
        ["tar", "-x", "-C", tmp_path], input=archive(repo, document), capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"memorybank-{document.id}/bank/large.bin").read_bytes() == LARGE


def test_the_same_snapshot_gives_the_same_bytes(repo: Repository, document: Document) -> None:
    assert archive(repo, document) == archive(repo, document)
    data = archive(repo, document)
    pieces = [data[start : start + 100_000] for start in range(0, len(data), 100_000)]
    for packing, unpack in (("gz", gzip.decompress), ("zst", unzstd)):
        one, two = (b"".join(packed(pieces, packing)) for _ in range(2))  # type: ignore[arg-type]
        assert one == two
        assert unpack(one) == data
    assert b"".join(packed(pieces, "")) == data


def unzstd(data: bytes) -> bytes:
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data)) as reader:
        return reader.read()


def test_the_good_version_of_a_damaged_file(repo: Repository) -> None:
    rows = [row("a", b"good", found_content=lambda: b"bad", rule="MB102")]
    document = save_rows(repo, rows).document
    with tarfile.open(fileobj=io.BytesIO(archive(repo, document))) as opened:
        found = opened.extractfile(f"memorybank-{document.id}/bank/a")
        assert found is not None
        assert found.read() == b"good"


def test_what_cannot_be_read_is_left_out_and_named(repo: Repository, document: Document) -> None:
    blobs = Blobs(repo)
    lost: list[str] = []
    entries = {entry.path: entry for entry in trees.files(blobs, document.root)}
    del blobs.index.where[(entries["a.json"].good or ())[0]]
    del blobs.index.where[(entries["large.bin"].good or ())[1]]
    made = Archive(blobs, document, manifest_line, lambda path, _: lost.append(path))
    data = b"".join(made.pieces())
    assert lost == ["a.json", "large.bin"]
    assert made.files == len(CONTENTS) - 2
    with tarfile.open(fileobj=io.BytesIO(data), errors="surrogateescape") as opened:
        assert not any(name.endswith(("a.json", "large.bin")) for name in opened.getnames())


def test_directories_that_cannot_be_read(repo: Repository, document: Document) -> None:
    blobs = Blobs(repo)
    lost: list[str] = []
    [inner] = [
        one
        for one in trees.read(blobs, trees.DirectoryEntry("", 0, 0, document.root)).directories
        if one.path == "long"
    ]
    del blobs.index.where[inner.tree]
    b"".join(Archive(blobs, document, manifest_line, lambda path, _: lost.append(path)).pieces())
    assert lost == ["long"]
    del blobs.index.where[document.root]
    with pytest.raises(Damaged):
        b"".join(Archive(Blobs(repo, blobs.index), document, manifest_line, never).pieces())
