"""What every importer must stand: one suite that each one in the table runs."""

from __future__ import annotations

import json
import os
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from memorybank_cli.base import clock, exact_json
from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.names import is_id
from memorybank_cli.base.walk import components
from memorybank_cli.migrations.choosing import choose
from memorybank_cli.migrations.items import AccountItem, Assumption, FileItem, Item, MessageItem, Rejected
from memorybank_cli.migrations.source import Source
from memorybank_cli.migrations.table import IMPORTERS, Importer
from tests.migrations.conftest import as_bytes, write_files
from tests.migrations.shapes import SOUND, TRADE, entity, freqtrade_trade, lines, many, message, relation

NAMES = [importer.NAME for importer in IMPORTERS]
BY_NAME: dict[str, Importer] = {importer.NAME: importer for importer in IMPORTERS}
DEEP, WIDE = b"[" * 100_000, b"1" * 10_000

# How a sound document is made a bad one.
DAMAGED: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "blank": lambda _: b" \n" * 9,
    "only NULs": lambda data: bytes(len(data)),
    "cut in half": lambda data: data[: len(data) // 2],
    "cut before its end": lambda data: data.rstrip()[:-1],
    "cut, then NULs": lambda data: data[: len(data) // 3] + bytes(5000),
    "NULs behind": lambda data: data + bytes(5000),
    "NULs before": lambda data: bytes(8) + data,
    "a NUL within": lambda data: data[: len(data) // 2] + b"\0" + data[len(data) // 2 :],
    "twice": lambda data: data + data,
    "more behind": lambda data: data + b"]}",
    "no UTF-8": lambda data: data.replace(b"a", b"\xe9"),
    "a half character": lambda data: re.sub(rb'": "', rb'": "\\ud800', data),
    "UTF-16 without mark": lambda data: data.decode().encode("utf-16-le"),
    "half a UTF-16": lambda data: data.decode().encode("utf-16")[:-1],
    "random": lambda data: random.Random(1).randbytes(len(data)),
    "deep": lambda data: data.replace(b": ", b": " + DEEP, 1),
    "only deep": lambda _: DEEP,
    "NaN": lambda data: re.sub(rb"(?<=: )[0-9][0-9.]*", b"NaN", data),
    "infinite": lambda data: re.sub(rb"(?<=: )[0-9][0-9.]*", b"-Infinity", data),
    "keys twice": lambda data: re.sub(rb'("\w+": )("[^"]*")', rb"\1\2, \1\2", data),
    "too many digits": lambda data: re.sub(rb"(?<=: )[0-9][0-9.]*", WIDE, data),
}
ODD: dict[str, Callable[[bytes], bytes]] = {
    "UTF-8 with mark": lambda data: b"\xef\xbb\xbf" + data,
    "UTF-16": lambda data: data.decode().encode("utf-16"),
    "UTF-32": lambda data: data.decode().encode("utf-32"),
    "CR LF": lambda data: data.replace(b"\n", b"\r\n"),
    "null": lambda _: b"null",
    "a number": lambda _: b"7",
    "a text": lambda _: b'"' + b"x" * 100_000 + b'"',
    "an empty list": lambda _: b"[]",
    "an empty object": lambda _: b"{}",
    "a list of anything": lambda _: b'[null, 1, "x", [], {}, [[]], {"a": {}}]',
    "an object of anything": lambda _: b'{"": null, "trades": 1, "messages": {}, "history": [], "strategy": []}',
    "a list of itself": lambda data: b"[" + data.rstrip() + b"," + data.rstrip() + b"]",
    "numbers as texts": lambda data: re.sub(rb"(?<=: )([0-9][0-9.]*)", rb'"\1"', data),
    "texts as numbers": lambda data: re.sub(rb'(?<=: )"[^"]*"', b"7", data),
    "texts as lists": lambda data: re.sub(rb'(?<=: )"[^"]*"', b"[]", data),
    "texts as null": lambda data: re.sub(rb'(?<=: )"[^"]*"', b"null", data),
    "empty texts": lambda data: re.sub(rb'(?<=: )"[^"]*"', b'""', data),
    "large numbers": lambda data: re.sub(rb"(?<=: )[0-9][0-9.]*", b"1" * 400, data),
    "large fractions": lambda data: re.sub(rb"(?<=: )[0-9][0-9.]*", b"1e308", data),
    "negative numbers": lambda data: re.sub(rb"(?<=: )([0-9])", rb"-\1", data),
    "control characters": lambda data: re.sub(rb'(": "[^"]*)', rb"\1\\u0000\\u001b[2J\\u202e", data),
    "long texts": lambda data: re.sub(rb'(?<=: )"[^"]*"', b'"' + b"x" * 70_000 + b'"', data),
    "paths as texts": lambda data: re.sub(rb'(?<=: )"[^"]*"', b'"../../../etc/passwd"', data),
    "paths as keys": lambda data: re.sub(rb'"\w+":', b'"../../x/.y":', data, count=1),
}


@contextmanager
def opened(directory: Path) -> Iterator[Source]:
    source = Source(directory)
    try:
        yield source
    finally:
        source.close()


def read(source: Source, name: str, paths: Sequence[str]) -> list[Item]:
    """What one importer says of those files, each item as the contract wants it."""
    items = list(BY_NAME[name].read(source, list(paths)))
    for item in items:
        check(item, source)
    places = [item.path for item in items if isinstance(item, FileItem)]
    assert len(places) == len(set(places)), "two files for one place"
    said: dict[tuple[str, str], tuple[str, str]] = {}
    for item in items:
        if isinstance(item, MessageItem):  # of two messages with one id a bank keeps the first
            told = said.setdefault((item.account, item.id), (item.role, item.content))
            assert told == (item.role, item.content), "two messages with one id"
    return items


def check(item: Item, source: Source) -> None:
    if isinstance(item, Assumption):
        assert item.text.isprintable()
        assert item.count > 0
        return
    assert item.origin in source.paths
    if isinstance(item, FileItem):
        assert components(item.path)
        assert not any(part.startswith(".") for part in item.path.split("/"))
        assert item.path not in ("bank.json", "README.md")
        assert isinstance(item.data, bytes | None)
        assert item.references == 0 or item.data is not None
    elif isinstance(item, Rejected):
        assert item.reason
        assert item.reason.isprintable(), item.reason
        assert len(item.reason) < 500
        assert isinstance(item.data, bytes | None)
    else:
        assert is_id(item.account)
    if isinstance(item, MessageItem):
        assert item.id
        assert isinstance(item.role, str)
        assert isinstance(item.content, str)
        assert item.timestamp == "" or clock.show(clock.parse(item.timestamp)) == item.timestamp
        exact_json.loads(exact_json.dumps(item.metadata))


def everything(source: Source, name: str | None = None) -> list[Item]:
    """What is said of a whole source; a source that nobody knows is an error for people."""
    try:
        parts = choose(source, name)
    except UsageError:
        return []
    return [item for part in parts for item in read(source, part.importer.NAME, part.paths)]


def told(items: Sequence[Item], source: Source, origin: str) -> bool:
    """Whether a file did not just disappear: something came of it, or it is said why nothing did."""
    named = any(not isinstance(item, Assumption) and item.origin == origin for item in items)
    return named or any(path == origin for path, _ in source.skipped)


def fingerprint(directory: Path, derived: str = "") -> str:
    """Everything that is to be seen of a tree but the time of the last read, and files that come back by themselves."""
    total = sha256()
    for path in sorted(directory.rglob("*")):
        if derived and re.search(derived, str(path.relative_to(directory))):
            continue
        info = path.lstat()
        total.update(
            repr((str(path), info.st_mode, info.st_mtime_ns, info.st_size, info.st_ino, info.st_nlink)).encode()
        )
        if path.is_file() and not path.is_symlink():
            total.update(path.read_bytes())
    return total.hexdigest()


def test_each_importer_has_a_sound_source() -> None:
    assert sorted(SOUND) == sorted(NAMES)
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_sound_source_is_known_and_comes_in_whole(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, SOUND[name])
    before = fingerprint(tmp_path)
    with opened(tmp_path) as source:
        parts = choose(source)
        assert {part.importer.NAME: part.paths for part in parts} == {name: sorted(SOUND[name])}
        items = everything(source)
        assert not [item for item in items if isinstance(item, Rejected)]
        assert all(told(items, source, path) for path in source.paths)
    assert fingerprint(tmp_path) == before


@pytest.mark.parametrize("name", NAMES)
def test_a_second_look_sees_the_same(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, SOUND[name])
    with opened(tmp_path) as source, opened(tmp_path) as again:
        assert everything(source) == everything(again) == everything(source, name)


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_file_is_told_and_hinders_no_other(tmp_path: Path, name: str, kind: str) -> None:
    for number, path in enumerate(sorted(SOUND[name])):
        directory = tmp_path / str(number)
        write_files(directory, SOUND[name])
        sound = as_bytes(SOUND[name][path])
        bad = DAMAGED[kind](sound)
        (directory / path).write_bytes(bad)
        with opened(directory) as source:
            items = read(source, name, source.paths)
            assert bad == sound or told(items, source, path) or not bad.strip()
            assert all(told(items, source, other) for other in SOUND[name] if other != path)
            everything(source)
            everything(source, name)


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("name", NAMES)
def test_an_odd_file_ends_in_items(tmp_path: Path, name: str, kind: str) -> None:
    for number, path in enumerate(sorted(SOUND[name])):
        directory = tmp_path / str(number)
        write_files(directory, SOUND[name])
        (directory / path).write_bytes(ODD[kind](as_bytes(SOUND[name][path])))
        with opened(directory) as source:
            read(source, name, source.paths)
            everything(source)


@pytest.mark.parametrize("name", NAMES)
def test_any_bytes_end_in_items(tmp_path: Path, name: str) -> None:
    chance = random.Random(name)
    write_files(tmp_path, SOUND[name])
    for _ in range(60):
        path = chance.choice(sorted(SOUND[name]))
        bad = bytearray(as_bytes(SOUND[name][path]))
        for _ in range(chance.randrange(1, 6)):
            at = chance.randrange(len(bad))
            bad[at : at + chance.randrange(3)] = chance.choice(
                [b"", b"\0", b'"', b"{", b"]", b",", b"9", b"\\", b"\xff"]
            )
            bad = bad or bytearray(b"x")
        (tmp_path / path).write_bytes(bad)
        with opened(tmp_path) as source:
            read(source, name, source.paths)
            everything(source)
        (tmp_path / path).write_bytes(as_bytes(SOUND[name][path]))


HOSTILE_NAMES = [
    b"new\nline",
    b"back\\slash",
    b"\xff\xfe",
    b"-rf",
    b"...x",
    b"x" * 240,
    "\u202egnp".encode(),
    b"%2e%2e%2f",
    b"con",
    b"a b\x1b[2J",
    b"$(reboot)",
]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_any_kind_become_names_of_the_bank(tmp_path: Path, name: str) -> None:
    for path, content in SOUND[name].items():
        directory, _, last = path.rpartition("/")
        for hostile in HOSTILE_NAMES:
            for place in (os.path.join(directory.encode(), hostile, last.encode()), hostile + last.encode()[-14:]):
                full = os.path.join(os.fsencode(tmp_path), place)
                os.makedirs(os.path.dirname(full), exist_ok=True)
                Path(os.fsdecode(full)).write_bytes(as_bytes(content))
    with opened(tmp_path) as source:
        assert len(source.paths) > len(HOSTILE_NAMES)
        items = read(source, name, [path for path in source.paths if BY_NAME[name].takes(source, path)])
        assert items
        everything(source)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_plain_file_stays_behind(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    outside = tmp_path / "outside"
    source_directory = tmp_path / "source"
    write_files(outside, {path: as_bytes(content).replace(b"a", b"SECRET") for path, content in SOUND[name].items()})
    write_files(source_directory, SOUND[name])
    first, *others = sorted(SOUND[name])
    (source_directory / first).unlink()
    (source_directory / first).symlink_to(outside / first)
    (source_directory / "linked").symlink_to(outside)
    (source_directory / "loop").symlink_to(source_directory)
    (source_directory / "dangling.json").symlink_to("nowhere")
    os.mkfifo(source_directory / "pipe.json")
    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(source_directory)  # the path of a socket is short
        listening.bind("socket.json")
        with opened(source_directory) as source:
            assert source.paths == others
            assert {path for path, _ in source.skipped} >= {first, "linked", "loop", "pipe.json", "socket.json"}
            items = everything(source, name) if others else []
            assert b"SECRET" not in b"".join(
                item.data or b"" for item in items if isinstance(item, FileItem | Rejected)
            )


@pytest.mark.parametrize("name", NAMES)
def test_what_may_not_be_read_stays_behind(name: str) -> None:
    with tempfile.TemporaryDirectory() as place:  # below a directory that others may enter
        directory = Path(place)
        directory.chmod(0o755)
        write_files(directory, SOUND[name])
        for path in directory.rglob("*"):
            path.chmod(0o755)
        closed = min(SOUND[name])
        (directory / closed).chmod(0)
        (directory / "shut").mkdir(mode=0)
        nobody = 65534
        if os.geteuid() == 0:
            os.seteuid(nobody)
        try:
            with opened(directory) as source:
                assert closed in {path for path, _ in source.skipped}
                assert "shut" in {path for path, _ in source.skipped}
                everything(source, name)
        finally:
            if os.getuid() == 0:
                os.seteuid(0)


def test_all_formats_in_one_folder_come_in_together(tmp_path: Path) -> None:
    for name in NAMES:
        write_files(tmp_path, SOUND[name])
    with opened(tmp_path) as source:
        by_path = {path: part.importer.NAME for part in choose(source) for path in part.paths}
        alone = {path: name for name in NAMES for path in SOUND[name]}
        assert by_path == alone | {"LICENSE": "bank_layout"}
        items = everything(source)
        assert not [item for item in items if isinstance(item, Rejected)]
        assert all(told(items, source, path) for path in source.paths)


REPEATED: dict[str, dict[str, Any]] = {
    "bank_layout": {"trades/a.json": {**TRADE, "id": 1}, "trades/b.json": {**TRADE, "id": 1}},
    "memory_tree": {
        "memory/account_a/whole_history.json": [{**message(1), "id": "x"}, {**message(2), "id": "x"}] * 3,
        "memory/account_a/short_term.json": [{**message(3), "id": "x"}],
    },
    "mcp_memory": {"memory.jsonl": lines(*[entity(1), relation(1, 1)] * 50)},
    "freqtrade": {"export.json": [freqtrade_trade(7)] * 50, "sub/export.json": [freqtrade_trade(7)]},
    "dialogues": {
        "a.json": {"Ann": {"name": "Ann", "history": {"2024-01-01": [{"query": "a", "response": "b"}] * 9}}},
        "b.json": {"Ann": {"name": "A", "history": {"2024-01-01": [{"query": "a", "response": "c"}]}}},
        "c.json": {"Ann": {"name": "B", "history": {"day": [{"query": "x", "response": "c"}], "": [{"query": "y"}]}}},
    },
    "markdown_bank": {"README.md": "a", "readme.md": "b", "docs/README.md": "c", "docs/readme.md": "d"},
    "plain_json": {"x/chat.json": [message(1)] * 9, "y/chat.json": [message(1)], "x/a.json": TRADE, "X/a.json": TRADE},
}


@pytest.mark.parametrize("name", NAMES)
def test_ids_and_names_that_stand_twice_lose_nothing(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, REPEATED[name])
    with opened(tmp_path) as source:
        items = everything(source, name)
        assert all(told(items, source, path) for path in source.paths)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_vanishes_is_told(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, SOUND[name])
    with opened(tmp_path) as source:
        paths = list(source.paths)
        for path in paths:
            (tmp_path / path).unlink()
        items = read(source, name, paths)
        assert {item.origin for item in items if isinstance(item, Rejected | FileItem | AccountItem)} or source.skipped
        assert not [item for item in items if isinstance(item, FileItem) and item.data is not None]


@pytest.mark.parametrize("name", NAMES)
def test_a_directory_that_becomes_a_link_leads_nowhere(tmp_path: Path, name: str) -> None:
    inside = {f"deep/{path}": content for path, content in SOUND[name].items()}
    write_files(tmp_path / "source", inside)
    write_files(
        tmp_path / "outside", {path: as_bytes(one).replace(b"a", b"SECRET") for path, one in SOUND[name].items()}
    )
    with opened(tmp_path / "source") as source:
        paths = list(source.paths)
        (tmp_path / "source/deep").rename(tmp_path / "gone")
        (tmp_path / "source/deep").symlink_to(tmp_path / "outside")
        items = read(source, name, paths)
        assert b"SECRET" not in b"".join(item.data or b"" for item in items if isinstance(item, FileItem | Rejected))
        assert "SECRET" not in "".join(item.content for item in items if isinstance(item, MessageItem))


@pytest.mark.parametrize("name", NAMES)
def test_a_source_that_changes_all_the_time_ends_in_items(tmp_path: Path, name: str) -> None:
    tree, secret = tmp_path / "source", tmp_path / "secret"
    write_files(tree, SOUND[name])
    secret.write_bytes(b"root:")
    stop = threading.Event()

    def disturb() -> None:
        chance = random.Random(2)
        while not stop.is_set():
            path = tree / chance.choice(sorted(SOUND[name]))
            content = as_bytes(SOUND[name][str(path.relative_to(tree))])
            if path.is_symlink():  # what is written in place would go into the secret
                path.unlink()
            match chance.randrange(5):
                case 0:
                    path.unlink(missing_ok=True)
                case 1:
                    path.write_bytes(content[: chance.randrange(len(content))])
                case 2:
                    path.write_bytes(content * 3)
                case 3:
                    path.unlink(missing_ok=True)
                    path.symlink_to(secret)
                case _:
                    other = path.with_name("other")
                    other.write_bytes(content)
                    other.replace(path)

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(25):
            with opened(tree) as source:
                items = read(source, name, [path for path in source.paths if path in SOUND[name]])
                assert b"root:" not in b"".join(
                    item.data or b"" for item in items if isinstance(item, FileItem | Rejected)
                )
                everything(source)
    finally:
        stop.set()
        thread.join()
    assert secret.read_bytes() == b"root:"


MEASURE = """
import resource, sys
from memorybank_cli.migrations.choosing import choose
from memorybank_cli.migrations.source import Source

source = Source(sys.argv[1])
parts = choose(source, sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
count = sum(1 for part in parts for item in part.importer.read(source, part.paths))
print(count, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.no_cover
def test_a_hundred_thousand_records_take_little_memory(tmp_path: Path, name: str) -> None:
    write_files(tmp_path, many(name, 100_000))
    done = subprocess.run([sys.executable, "-c", MEASURE, tmp_path, name], capture_output=True, check=True, text=True)
    count, kibibytes = map(int, done.stdout.split())
    assert count >= {"mcp_memory": 100, "bank_layout": 1, "markdown_bank": 1}.get(name, 100_000)
    assert kibibytes < 64 << 10


def test_the_shapes_are_json() -> None:
    for files in SOUND.values():
        for path, content in files.items():
            if path.endswith(".json"):
                assert json.loads(as_bytes(content))
