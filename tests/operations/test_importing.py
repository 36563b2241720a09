"""Copying a tree into another: what stays behind is listed, and a run that was killed is run again."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from memorybank_cli.base.errors import Refused
from memorybank_cli.base.records import QUIET
from memorybank_cli.operations.importing import import_tree
from tests.operations.banks import contents, put
from tests.operations.owners import OWNER, as_root, own_ids_again, public_place


def test_a_killed_run_is_run_again(tmp_path: Path) -> None:
    for number in range(5):
        put(tmp_path / f"source/trades/{number}.json", {"n": number})
    put(tmp_path / "target/trades/1.json", {"n": 1})
    put(tmp_path / "target/trades/.mb-0123", b"half")
    report = import_tree(str(tmp_path / "source"), str(tmp_path / "target"), QUIET)
    assert (report["files"], report["present"], report["skipped"]) == (4, 1, [])
    assert contents(tmp_path / "source").items() <= contents(tmp_path / "target").items()


@pytest.mark.parametrize("kind", ["directory", "link", "pipe", "shorter"])
def test_something_else_in_the_way(tmp_path: Path, kind: str) -> None:
    put(tmp_path / "source/a.json", {"n": 1})
    put(tmp_path / "source/z.json", {"n": 2})
    target = tmp_path / "target"
    target.mkdir()
    if kind == "directory":
        (target / "z.json").mkdir()
    elif kind == "link":
        (target / "z.json").symlink_to(tmp_path / "source/z.json")
    elif kind == "pipe":
        os.mkfifo(target / "z.json")
    else:
        put(target / "z.json", b"{")
    with pytest.raises(Refused, match=r"z\.json stands in the target") as caught:
        import_tree(str(tmp_path / "source"), str(target), QUIET)
    assert (caught.value.exit_code, caught.value.path) == (13, "z.json")
    assert not (target / "a.json").exists()


@as_root
def test_what_cannot_be_read_is_listed() -> None:
    with public_place() as place, own_ids_again():
        put(place / "source/good.json", {})
        put(place / "source/dark.json", {})
        (place / "source").chmod(0o755)
        os.chown(place / "source/good.json", OWNER, OWNER)
        os.seteuid(OWNER)
        report = import_tree(str(place / "source"), str(place / "target"), QUIET)
        assert report["files"] == 1
        assert report["skipped"] == [{"path": "dark.json", "reason": "dark.json: permission denied"}]
