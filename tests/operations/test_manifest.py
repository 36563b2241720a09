"""The manifest: what `sha256sum -c` accepts, odd names too, and checking files against one."""

from __future__ import annotations

import os
import shutil
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.errors import SnapshotNotFound, UsageError
from memorybank_cli.base.names import escape
from memorybank_cli.operations.manifest import Manifest, ManifestCheck, compare, manifest, parse
from memorybank_cli.snapshots.packs import FILE_BLOB_SIZE
from tests.conftest import MakeBank, Run
from tests.operations.banks import adopt, backed_up, contents, opened, put
from tests.operations.owners import OWNER, as_root, own_ids_again, public_place

ODD = [
    b"a b.json",
    b" lead.json",
    b"a\nb.json",
    b"c\rd.json",
    b"back\\slash.json",
    b"\\n.json",
    b"\xff\xfe.json",
    b"\xc3\xa4.json",
]
SHAS = st.binary(max_size=4).map(lambda data: sha256(data).hexdigest())
PATHS = (
    st.lists(
        st.binary(min_size=1, max_size=10)
        .map(lambda raw: raw.replace(b"/", b"\n").replace(b"\0", b"\\"))
        .filter(lambda raw: raw not in (b".", b"..")),
        min_size=1,
        max_size=3,
    )
    .map(lambda parts: "/".join(escape(os.fsdecode(part)) for part in parts))
    .filter(lambda path: not path.startswith("./"))
)


def made(path: Path, **options: str) -> Manifest | ManifestCheck:
    with opened(path) as bank:
        return manifest(bank, bank.context, **options)


@pytest.fixture
def odd(make_bank: MakeBank) -> Path:
    path = make_bank(3, padded=False)
    for raw in ODD:
        Path(os.fsdecode(os.fsencode(path / "trades") + b"/" + raw)).write_bytes(b'{"timestamp": 1}')
    adopt(path)
    return path


def test_sha256sum_accepts_it(run: Run, odd: Path, tmp_path: Path) -> None:
    done = run("manifest", "--bank", odd)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "sums").write_bytes(done.raw)
    checked = subprocess.run(
        ["sha256sum", "-c", "--strict", tmp_path / "sums"], cwd=odd, capture_output=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert len(checked.stdout.splitlines()) >= len(contents(odd)) == done.raw.count(b"\n")
    check = run("manifest", "--check", tmp_path / "sums", "--bank", odd, "--json")
    assert (check.returncode, check.json) == (
        0,
        {"ok": True, "checked": len(contents(odd)), "findings": [], "groups": []},
    )


def test_what_sha256sum_writes_is_understood(odd: Path) -> None:
    files = sorted(one for one in contents(odd))
    sums = subprocess.run(["sha256sum", "--", *(f"./{one}" for one in files)], cwd=odd, capture_output=True, check=True)
    found = parse(sums.stdout)
    with opened(odd) as bank:
        assert sorted(found) == sorted((path, expected.sha) for path, expected in bank.catalog.all_expected())
    marked = sums.stdout.replace(b"  ./", b" *")
    assert sorted(parse(marked)) == sorted(found)


def test_as_json(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(1, padded=False)
    found = run("manifest", "--bank", path, "--json").json["files"]
    assert {one["path"]: one["sha256"] for one in found} == {
        name: sha256(data).hexdigest() for name, data in contents(path).items()
    }


def test_a_file_that_differs_is_missing_or_unreadable(run: Run, make_bank: MakeBank, tmp_path: Path) -> None:
    path = make_bank(4, padded=False)
    (tmp_path / "sums").write_bytes(run("manifest", "--bank", path).raw)
    put(path / "trades/trade_0.json", b"{}")
    (path / "trades/trade_1.json").unlink()
    (path / "trades/trade_2.json").unlink()
    (path / "trades/trade_2.json").mkdir()
    (path / "state/state.json").unlink()
    (path / "state").rmdir()
    put(path / "trades/new.json", b"{}")
    done = run("manifest", "--check", "sums", "--bank", path, "--json", cwd=tmp_path)
    assert (done.returncode, done.json["ok"]) == (1, False)
    assert {one["path"]: one["rule"] for one in done.json["findings"]} == {
        "trades/trade_0.json": "MB110",
        "trades/trade_1.json": "MB111",
        "trades/trade_2.json": "MB307",
        "state/state.json": "MB111",
    }
    people = run("manifest", "--check", "-", "--bank", path, stdin=(tmp_path / "sums").read_bytes())
    assert (people.returncode, "files checked: 4 differ" in people.stdout) == (1, True)


def test_a_manifest_of_a_snapshot(run: Run, make_bank: MakeBank) -> None:
    path = make_bank(2)
    large = put(path / "state/large.bin", os.urandom(FILE_BLOB_SIZE + 5))
    good = (path / "trades/recent_trades.json").read_bytes()
    backed_up(path)
    put(path / "state/state.json", {"bot_status": "stopped"})
    adopt(path)
    done = run("manifest", "--snapshot", "latest", "--bank", path, "--json")
    found = {one["path"]: one["sha256"] for one in done.json["files"]}
    assert found["state/large.bin"] == sha256(large).hexdigest()
    assert found["trades/recent_trades.json"] == sha256(good).hexdigest()
    assert found["state/state.json"] != sha256((path / "state/state.json").read_bytes()).hexdigest()
    with pytest.raises(SnapshotNotFound):
        made(path, snapshot="nothing")


def test_before_there_is_a_repository(make_bank: MakeBank) -> None:
    path = make_bank(1)
    with pytest.raises(SnapshotNotFound):
        made(path, snapshot="latest")
    assert not Path(os.environ["MEMORYBANK_STATE_HOME"], "repositories").exists()


@pytest.mark.parametrize(
    "line",
    [
        b"no manifest",
        b"abc  file",
        b"0" * 64 + b" file",
        b"0" * 64 + b"  ../file",
        b"0" * 64 + b"  /etc/passwd",
        b"0" * 64 + b"  a/../../b",
        b"0" * 64 + b"  ",
    ],
)
def test_lines_that_are_none(run: Run, make_bank: MakeBank, line: bytes) -> None:
    good = b"0" * 64 + b"  good\n\n"
    with pytest.raises(UsageError, match="line 3 of the manifest"):
        parse(good + line + b"\n")
    path = make_bank(0)
    done = run("manifest", "--check", "-", "--bank", path, "--json", stdin=line)
    assert (done.returncode, done.error["code"]) == (2, "usage")


def test_a_manifest_file_that_is_gone(run: Run, make_bank: MakeBank) -> None:
    done = run("manifest", "--check", "/nowhere/sums", "--bank", make_bank(0), "--json")
    assert (done.returncode, done.error["code"]) == (3, "operation_failed")


def test_no_link_is_followed(tmp_path: Path) -> None:
    put(tmp_path / "bank/a/x.json", b"{}")
    (tmp_path / "bank/b").symlink_to("a")
    (tmp_path / "bank/c.json").symlink_to("a/x.json")
    sha = sha256(b"{}").hexdigest()
    found = compare(str(tmp_path / "bank"), [("a/x.json", sha), ("b/x.json", sha), ("c.json", sha)])
    assert [one.path for one in found] == ["b/x.json", "c.json"]


@as_root
def test_what_cannot_be_read() -> None:
    with public_place() as place, own_ids_again():
        put(place / "dark.json", b"{}")
        os.seteuid(OWNER)
        [one] = compare(str(place), [("dark.json", "0" * 64)])
        assert (one.rule, "permission denied" in one.message) == ("MB307", True)


def test_many_files(tmp_path: Path) -> None:
    rows = []
    for number in range(2_100):
        data = b"%d" % number
        directory = tmp_path / f"d{number % 3}"
        directory.mkdir(exist_ok=True)
        (directory / str(number)).write_bytes(data)
        rows.append((f"d{number % 3}/{number}", sha256(data).hexdigest()))
    assert compare(str(tmp_path), rows) == []
    (tmp_path / "d1/1").write_bytes(b"other")
    (tmp_path / "d0/2097").write_bytes(b"other")
    assert [one.path for one in compare(str(tmp_path), rows)] == ["d1/1", "d0/2097"]
    shutil.rmtree(tmp_path / "d2")
    assert len(compare(str(tmp_path), rows)) == 702


@given(st.dictionaries(PATHS, SHAS, max_size=6))
def test_any_manifest_comes_back(files: dict[str, str]) -> None:
    assert dict(parse(Manifest(tuple(files.items())).text())) == files
