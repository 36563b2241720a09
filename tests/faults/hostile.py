"""Repositories that somebody made to do harm: an attacker who can write there and, where it is encrypted, has the key.

Each case alters a good repository. What commands then may do: answer, or refuse with an error of ours; never write
outside what they were given, never take more memory or time than a large bank would.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from memorybank_cli.snapshots import documents
from memorybank_cli.snapshots.packing import PackWriter
from memorybank_cli.snapshots.packs import END, MAGIC, SALT_SIZE, compressor
from memorybank_cli.snapshots.repository import Repository
from memorybank_cli.snapshots.sealing import FOOTER_NUMBER, INDEX, PACK, SNAPSHOT
from tests.snapshots import making

Case = Callable[[Repository, str], None]
"""Does its harm to an open repository; the text is the bank's id."""

LATER = 1_000_000
"""A position that makes a snapshot the latest."""
DIGEST = "ab" * 32


def plant(repo: Repository, bank_id: str, root: bytes, others: Iterable[bytes] = (), count: int = 9) -> None:
    """A snapshot, the latest one, with these bytes as its root tree, and further blobs."""
    writer = PackWriter(repo, {})
    for data in others:
        writer.add_tree(data)
    name = writer.add_tree(root)
    writer.finish()
    documents.write(repo, documents.make(name, count, 100, making.meta(bank_id, seq=LATER)))


def digest(data: bytes) -> str:
    """The name of a blob."""
    return sha256(data).hexdigest()


def tree(*rows: Any) -> bytes:
    """A tree of these rows."""
    return orjson.dumps(rows)


BODY = b'{"planted": 1}'
BODY_ID = digest(BODY)


def file(name: Any, *, mode: Any = 0o600, mtime: Any = making.MTIME, ids: Any = BODY_ID, size: Any = 14) -> Any:
    """The row of a file."""
    return ["f", name, mode, mtime, ids, size]


def folder(name: Any, inner: bytes, mode: Any = 0o700) -> Any:
    """The row of a directory."""
    return ["d", name, mode, making.MTIME, digest(inner)]


def of_tree(*rows: Any, others: Iterable[bytes] = ()) -> Case:
    """A snapshot with these rows in its root."""
    return lambda repo, bank_id: plant(repo, bank_id, tree(*rows), [BODY, *others])


def of_root(data: bytes, *others: bytes) -> Case:
    """A snapshot whose root is these bytes."""
    return lambda repo, bank_id: plant(repo, bank_id, data, [BODY, *others])


NAMES: dict[str, Any] = {
    "up": "..", "here": ".", "empty": "", "slash": "a/b", "absolute": "/tmp/planted", "far_up": "../../planted",
    "escaped_up": "\\x2e\\x2e", "escaped_slash": "a\\x2fb", "escaped_nul": "a\\x00b", "nul": "a\0b",
    "ours": ".memorybank", "dot": ".ssh", "escaped_dot": "\\x2essh", "long": "n" * 300, "very_long": "n" * 100_000,
    "number": 7, "list": ["a"], "none": None, "surrogate": "\\xed\\xa0\\x80", "terminal": "\x1b[2J\x1b]0;x\x07",
}  # fmt: skip
"""Names that no file of a bank has, or that lead elsewhere."""

_PART = tree(file("a"))
_DEEP_PART = tree(["p", digest(_PART)])
_DEEPER_PART = tree(["p", digest(_DEEP_PART)])
_INNER = tree(file("..", mode=0o777))


def _forged_document(**fields: Any) -> Case:
    """A document that is right but for what it says."""

    def harm(repo: Repository, bank_id: str) -> None:
        document = documents.make(_planted_root(repo), 1, 14, making.meta(bank_id, seq=LATER))
        body = {**document.as_dict(), **fields}
        compact = {key: value for key, value in body.items() if key not in ("id", "digest")}
        body["digest"] = digest(_json(compact, separators=(",", ":")))
        body["id"] = f"20990101T000000Z-{body['digest'][:8]}"
        data = _json(body, indent=2) + b"\n"
        repo.backend.put(f"snapshots/{body['id']}", repo.seal.seal_file(SNAPSHOT, data))

    return harm


def _json(value: Any, **form: Any) -> bytes:
    """JSON as documents have it, also of numbers that orjson refuses."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, **form).encode()


def _planted_root(repo: Repository) -> str:
    writer = PackWriter(repo, {})
    writer.add_tree(BODY)
    root = writer.add_tree(tree(file("a.json")))
    writer.finish()
    return root


def _raw_document(data: bytes) -> Case:
    def harm(repo: Repository, _bank_id: str) -> None:
        repo.backend.put(f"snapshots/20990101T000000Z-{DIGEST[:8]}", repo.seal.seal_file(SNAPSHOT, data))

    return harm


def _forged_pack(footer: Any, frames: bytes = b"x" * 64) -> Case:
    """A pack of good form whose footer is made up; where it stands everything is put into doubt."""

    def harm(repo: Repository, _bank_id: str) -> None:
        data = footer if isinstance(footer, bytes) else compressor().compress(orjson.dumps(footer))
        salt = bytes(SALT_SIZE)
        sealed = repo.seal.seal(PACK, salt, FOOTER_NUMBER, data)
        _put_pack(repo, MAGIC + salt + frames + sealed + len(sealed).to_bytes(4, "little") + END)

    return harm


def _put_pack(repo: Repository, data: bytes) -> None:
    name = digest(data)
    repo.backend.put(f"packs/{name[:2]}/{name}", data)


def _raw_pack(data: bytes) -> Case:
    return lambda repo, _bank_id: _put_pack(repo, data)


def _header(size: int) -> bytes:
    return b"\x28\xb5\x2f\xfd" + b"\xe0" + size.to_bytes(8, "little") + b"\x01\x00\x00"


def _claiming_frame(repo: Repository, bank_id: str) -> None:
    """A blob whose frame says that it unpacks to 64 GiB."""
    salt = bytes(SALT_SIZE)
    frame = repo.seal.seal(PACK, salt, 0, _header(64 << 30))
    footer = [[40, len(frame), [[DIGEST, 1 << 26]]]]
    sealed = repo.seal.seal(PACK, salt, FOOTER_NUMBER, compressor().compress(orjson.dumps(footer)))
    _put_pack(repo, MAGIC + salt + frame + sealed + len(sealed).to_bytes(4, "little") + END)
    plant(repo, bank_id, tree(file("bomb.json", ids=DIGEST, size=1 << 26)))


def _dense_frame(repo: Repository, bank_id: str) -> None:
    """30 MiB of zeros in a few KiB, as a file and as a tree."""
    zeros = bytes(30 << 20)
    plant(repo, bank_id, tree(file("bomb.json", ids=digest(zeros), size=len(zeros)), folder("d", zeros)), [zeros])


def _same_directory_again_and_again(repo: Repository, bank_id: str) -> None:
    """A few small trees that unfold to more directories than there are atoms."""
    trees = [tree(file("a"))]
    for _ in range(90):
        trees.append(tree(*(folder(f"d{number:02}", trees[-1]) for number in range(10))))
    plant(repo, bank_id, trees[-1], [BODY, *trees[:-1]])


def _nested_directories(repo: Repository, bank_id: str) -> None:
    """More levels than a path can have."""
    trees = [tree(file("a"))]
    for _ in range(800):
        trees.append(tree(folder("d", trees[-1])))
    plant(repo, bank_id, trees[-1], [BODY, *trees[:-1]])


def _many_entries(repo: Repository, bank_id: str) -> None:
    """A tree of many entries whose content nobody has; ever more of them cost as much as a bank of so many files."""
    rows = b",".join(b'["f","%07d",384,0,"%s",0]' % (n, DIGEST.encode()) for n in range(50_000))
    plant(repo, bank_id, b"[" + rows + b"]", [BODY])


def _cache(data: bytes) -> Case:
    def harm(repo: Repository, _bank_id: str) -> None:
        sealed = repo.seal.seal_file(INDEX, data)
        repo.backend.put(f"index/{digest(sealed)}", sealed)

    return harm


def _instead(name: str, make: Callable[[Path], object]) -> Case:
    """Something else stands where a file or folder of the repository stood: the first one that fits."""

    def harm(repo: Repository, _bank_id: str) -> None:
        found = min(Path(repo.path).glob(name), default=Path(repo.path) / name)
        if found.is_dir():
            shutil.move(found, Path(repo.path).parent / "moved")
        elif found.exists():
            found.unlink()
        found.parent.mkdir(exist_ok=True)
        make(found)

    return harm


def _link(path: Path) -> None:
    path.symlink_to(outside(path) / "keep")


def _link_outside(path: Path) -> None:
    path.symlink_to(outside(path))


def outside(path: Path) -> Path:
    """The directory beside everything that nobody may touch."""
    return next(above for above in path.parents if above.name == "lab") / "outside"


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


_PLACES = ("config.json", "keys", "packs", "packs/*", "packs/*/*", "snapshots", "snapshots/*", "index", "index/*",
           "trash", "generation", "reserve", "lock", "pins", "trash/20200101T000000Z")  # fmt: skip
_KINDS: dict[str, Callable[[Path], object]] = {
    "link": _link, "link_outside": _link_outside, "fifo": _fifo, "folder": _folder,
}  # fmt: skip


def _key(**fields: Any) -> Case:
    def harm(repo: Repository, _bank_id: str) -> None:
        hexed = {"salt": "00" * 32, "nonce": "00" * 12, "wrapped": "00" * 48}
        document = {"kdf": "scrypt", "n": 32768, "r": 8, "p": 3, **hexed, "created_at": "2026-01-01T00:00:00Z"}
        repo.backend.put("keys/0.json", orjson.dumps({**document, **fields}))

    return harm


_KEYS: dict[str, dict[str, Any]] = {
    "n_huge": {"n": 1 << 40}, "r_huge": {"r": 1 << 30}, "p_huge": {"p": 1 << 30}, "n_odd": {"n": 12_345},
    "n_text": {"n": "9" * 5_000}, "salt_long": {"salt": "00" * 1_000}, "salt_text": {"salt": "zz"},
    "kdf_odd": {"kdf": "\x1b[2J"}, "time_odd": {"created_at": "\x1b[2J"},
}  # fmt: skip

CASES: dict[str, Case] = {
    **{f"file_named_{word}": of_tree(file(name)) for word, name in NAMES.items()},
    **{f"folder_named_{word}": of_tree(folder(name, _PART), others=[_PART]) for word, name in NAMES.items()},
    "evil_name_below": of_tree(folder("d", _INNER), others=[_INNER]),
    "name_twice": of_tree(file("a"), file("a")),
    "file_and_folder": of_tree(file("a"), folder("a", _PART), others=[_PART]),
    "case_twins": of_tree(file("A"), file("a")),
    "set_user_id": of_tree(file("a", mode=0o6777)),
    "mode_too_large": of_tree(file("a", mode=1 << 40)),
    "mode_a_float": of_tree(file("a", mode=1.5)),
    "time_too_large": of_tree(file("a", mtime=(1 << 63) - 1)),
    "time_before_all": of_tree(file("a", mtime=-(1 << 63))),
    "size_negative": of_tree(file("a", size=-1)),
    "size_a_lie": of_tree(file("a", size=1 << 62)),
    "size_true": of_tree(file("a", size=True)),
    "id_no_digest": of_tree(file("a", ids="../../../etc/passwd")),
    "ids_empty": of_tree(file("a", ids=[])),
    "ids_many": of_tree(file("a", ids=[BODY_ID] * 20_000, size=20_000 << 22)),
    "id_of_nothing": of_tree(file("a", ids=DIGEST)),
    "rule_unknown": of_tree([*file("a"), {"found": BODY_ID, "rule": "\x1b[2J"}]),
    "damage_no_object": of_tree([*file("a"), 7]),
    "never_good": of_tree([*file("a", ids=None), {"found": BODY_ID, "rule": "MB102"}]),
    "kind_link": of_tree(["l", "a", 0o777, 0, "/etc/passwd"]),
    "row_too_long": of_tree([*file("a"), None, None, None]),
    "row_empty": of_tree([]),
    "row_a_number": of_tree(7),
    "part_in_part": of_root(tree(["p", digest(_DEEPER_PART)]), _DEEPER_PART, _DEEP_PART, _PART),
    "part_of_part": of_root(tree(["p", digest(_DEEP_PART)]), _DEEP_PART, _PART),
    "part_beside_entry": of_tree(["p", digest(_PART)], file("z"), others=[_PART]),
    "part_missing": of_tree(["p", DIGEST]),
    "part_repeated": of_tree(*[["p", digest(_PART)]] * 1_000, others=[_PART]),
    "part_no_digest": of_tree(["p", "../x"]),
    "root_no_list": of_root(b'{"a": 1}'),
    "root_no_json": of_root(b"\xff\xfe"),
    "root_empty": of_root(b""),
    "root_deep": of_root(b"[" * 200_000 + b"]" * 200_000),
    "root_deep_objects": of_root(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "more_files_than_said": lambda repo, bank_id: plant(
        repo, bank_id, tree(*(file(f"{n:03}") for n in range(50))), [BODY], count=1
    ),
    "unfolding": _same_directory_again_and_again,
    "nested": _nested_directories,
    "many_entries": _many_entries,
    "bomb_claim": _claiming_frame,
    "bomb_dense": _dense_frame,
    "document_seq_huge": _forged_document(seq=10**30),
    "document_files_huge": _forged_document(files=10**18, bytes=10**18, records=10**18),
    "document_time_text": _forged_document(time="\x1b[2Jyesterday"),
    "document_time_far": _forged_document(time="9999-12-31T23:59:59.999999Z"),
    "document_host_terminal": _forged_document(host="\x1b]0;owned\x07\r\n", tags=["\x1b[2J"], reasons=["\x9b2J"]),
    "document_root_elsewhere": _forged_document(root="../" * 10),
    "document_parent_path": _forged_document(parent="../../../etc/passwd"),
    "document_checkpoint_odd": _forged_document(checkpoint={"seq": "x", "hash": ["\x1b"]}),
    "document_deep": _raw_document(b"[" * 100_000),
    "document_large": _raw_document(b" " * (65 << 20)),
    "document_empty": _raw_document(b""),
    "pack_empty": _raw_pack(b""),
    "pack_only_magic": _raw_pack(MAGIC + bytes(32) + bytes(4) + END),
    "pack_footer_longer_than_pack": _raw_pack(MAGIC + bytes(32) + b"\xff\xff\xff\xff" + END),
    "footer_claims": _forged_pack(_header(8 << 30)),
    "footer_deep": _forged_pack(compressor().compress(b"[" * 200_000)),
    "footer_dense": _forged_pack(compressor().compress(b"[" + b"0," * (1 << 20) + b"0]")),
    "footer_frame_outside": _forged_pack([[40, 1 << 40, [[DIGEST, 1]]]]),
    "footer_frame_negative": _forged_pack([[-8, 8, [[DIGEST, 1]]]]),
    "footer_frames_overlap": _forged_pack([[40, 64, [[DIGEST, 1]]]] * 5_000),
    "footer_sizes_huge": _forged_pack([[40, 64, [[DIGEST, 1 << 60]]]]),
    "footer_sizes_float": _forged_pack([[40, 64, [[DIGEST, 1e300]]]]),
    "footer_ids_odd": _forged_pack([[40, 64, [["../..", 1]]]]),
    "footer_wrong_types": _forged_pack({"a": 1}),
    "footer_blob_stolen": _forged_pack([[40, 64, [[BODY_ID, 14]]]]),
    "index_claims": _cache(_header(8 << 30)),
    "index_deep": _cache(compressor().compress(b"[" * 200_000)),
    "index_wrong_types": _cache(compressor().compress(b'[[1, 2, 3], "x", {"a": null}]')),
    "index_lies": _cache(compressor().compress(orjson.dumps([[DIGEST, 1 << 40, [[40, 9, [[DIGEST, 1]]]]]]))),
    "config_deep": lambda repo, _bank_id: repo.backend.put("config.json", b"[" * 60_000),
    "config_large": lambda repo, _bank_id: repo.backend.put("config.json", b" " * (2 << 20)),
    "generation_large": lambda repo, _bank_id: repo.backend.put("generation", bytes(2 << 20)),
    **{f"key_{word}": _key(**fields) for word, fields in _KEYS.items()},
    **{f"{place.replace('/', '_').replace('*', 'x').replace('.', '_')}_{word}": _instead(place, make)
       for place in _PLACES for word, make in _KINDS.items()},
}  # fmt: skip
"""Every harm by name."""
