from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli.base.errors import NotFound, OperationFailed, Refused, UsageError, WrongKey
from memorybank_cli.snapshots import keys
from memorybank_cli.snapshots.backends import LocalBackend
from memorybank_cli.snapshots.keys import Secret
from memorybank_cli.snapshots.sealing import Damaged

ID = "0123456789abcdef" * 2
PASS, RAW = Secret("passphrase", b"a good one"), Secret("raw", b"r" * 32)


@pytest.fixture
def backend(tmp_path: Path) -> Iterator[LocalBackend]:
    opened = LocalBackend.create(tmp_path / "repo")
    yield opened
    opened.close()


def document(backend: LocalBackend, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(backend.read(f"keys/{name}.json", 4096))
    return found


def test_several_keys_open_the_same(backend: LocalBackend) -> None:
    master = keys.new_master()
    assert len(master) == 32
    keys.add(backend, ID, master, PASS, "hand")
    made = keys.add(backend, ID, master, RAW)
    assert keys.unlock(backend, ID, PASS) == keys.Unlocked("hand", master)
    assert keys.unlock(backend, ID, RAW) == keys.Unlocked(made, master)
    assert [(key.name, key.kind, key.damage) for key in keys.listing(backend)] == sorted(
        [("hand", "passphrase", ""), (made, "raw", "")]
    )
    assert all(key.created_at.endswith("Z") for key in keys.listing(backend))


def test_the_files_are_those_of_the_format(backend: LocalBackend) -> None:
    keys.add(backend, ID, bytes(32), PASS, "hand")
    keys.add(backend, ID, bytes(32), RAW, "cron")
    found = document(backend, "hand")
    assert (found["kdf"], found["n"], found["r"], found["p"]) == ("scrypt", 1 << 15, 8, 1)
    assert [len(bytes.fromhex(found[name])) for name in ("salt", "nonce", "wrapped", "repo_id")] == [32, 12, 48, 16]
    assert set(document(backend, "cron")) == {"kdf", "nonce", "wrapped", "repo_id", "created_at"}
    path = Path(backend.place) / "keys" / "hand.json"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("wrong", [Secret("passphrase", b"a good one\n"), Secret("raw", b"x" * 32)])
def test_a_wrong_one_opens_nothing(backend: LocalBackend, wrong: Secret) -> None:
    keys.add(backend, ID, bytes(32), PASS)
    keys.add(backend, ID, bytes(32), RAW)
    with pytest.raises(WrongKey, match="does not open") as caught:
        keys.unlock(backend, ID, wrong)
    assert (caught.value.exit_code, caught.value.code) == (12, "wrong_key")


@pytest.mark.parametrize(
    ("there", "given_", "option"),
    [(RAW, PASS, "--key-file"), (PASS, RAW, "--password-file")],
    ids=["raw", "passphrase"],
)
def test_a_key_of_the_other_kind_names_the_option(
    backend: LocalBackend, there: Secret, given_: Secret, option: str
) -> None:
    keys.add(backend, ID, bytes(32), there)
    with pytest.raises(WrongKey) as caught:
        keys.unlock(backend, ID, given_)
    assert option in caught.value.hint


def test_a_key_of_another_repository_does_not_fit(backend: LocalBackend) -> None:
    keys.add(backend, "f" * 32, bytes(32), RAW)
    with pytest.raises(WrongKey):
        keys.unlock(backend, ID, RAW)


def test_without_any_key_the_way_out_is_named(backend: LocalBackend) -> None:
    with pytest.raises(Damaged) as caught:
        keys.unlock(backend, ID, PASS)
    assert "no usable key" in caught.value.message
    assert "copy" in caught.value.hint


def test_an_empty_passphrase_is_none() -> None:
    with pytest.raises(UsageError):
        Secret("passphrase", b"")


def test_secrets_show_in_no_text(backend: LocalBackend) -> None:
    master = keys.new_master()
    keys.add(backend, ID, master, PASS)
    texts = [repr(PASS), str(RAW), f"{PASS}", repr(keys.unlock(backend, ID, PASS))]
    with pytest.raises(WrongKey) as caught:
        keys.unlock(backend, ID, Secret("passphrase", b"another"))
    texts += [str(caught.value), caught.value.hint, repr(caught.value)]
    for text in texts:
        assert "a good one" not in text
        assert "another" not in text
        assert "rrrr" not in text
        assert master.hex() not in text
        assert repr(master)[2:-1] not in text


def test_names(backend: LocalBackend) -> None:
    keys.add(backend, ID, bytes(32), RAW, "cron")
    with pytest.raises(Refused, match="already"):
        keys.add(backend, ID, bytes(32), RAW, "cron")
    for bad in ("../x", "a/b", ".hidden", "a.json", "x" * 65, "a b", "\n"):
        with pytest.raises(UsageError):
            keys.add(backend, ID, bytes(32), RAW, bad)
    assert keys.check_there(backend, "cron").kind == "raw"
    with pytest.raises(NotFound) as caught:
        keys.check_there(backend, "corn")
    assert "cron" in caught.value.hint
    keys.remove(backend, "cron")
    assert keys.listing(backend) == []


def test_there_is_an_end_to_keys(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "MOST_KEYS", 2)
    keys.add(backend, ID, bytes(32), RAW)
    keys.add(backend, ID, bytes(32), RAW)
    with pytest.raises(Refused):
        keys.add(backend, ID, bytes(32), RAW)


def test_a_key_that_the_disk_gives_back_altered_is_not_kept(
    backend: LocalBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "digest", lambda _name: ("0" * 64, 1))
    with pytest.raises(OperationFailed, match="gave back other bytes"):
        keys.add(backend, ID, bytes(32), RAW)
    assert keys.listing(backend) == []


def test_strangers_in_keys_are_not_keys(backend: LocalBackend, tmp_path: Path) -> None:
    keys.add(backend, ID, bytes(32), RAW, "cron")
    place = Path(backend.place) / "keys"
    for name in ("README", "x.json.bak", "a b.json", ".json", "é.json", ".mb-0123456789abcdef"):
        (place / name).write_bytes(b"{}")
    (place / "folder.json").mkdir()
    (place / "link.json").symlink_to(tmp_path)
    assert [key.name for key in keys.listing(backend)] == ["cron"]


def spoilt(backend: LocalBackend, changes: dict[str, Any] | bytes) -> None:
    """The passphrase's key file with other values."""
    keys.add(backend, ID, bytes(32), RAW, "template")
    found = {**document(backend, "template"), "kdf": "scrypt", "n": 32768, "r": 8, "p": 3, "salt": "00" * 32}
    keys.remove(backend, "template")
    if isinstance(changes, dict):
        found |= changes
        changes = json.dumps({name: value for name, value in found.items() if value is not None}).encode()
    (Path(backend.place) / "keys").mkdir(exist_ok=True)
    (Path(backend.place) / "keys" / "spoilt.json").write_bytes(changes)


@pytest.mark.parametrize(
    "changes",
    [
        b"", b"[]", b"{}", b"null", b"\0" * 300, b"x" * 5000, b"[" * 4000,
        {"kdf": "argon2"}, {"kdf": 7}, {"kdf": None},
        {"n": 0}, {"n": 1}, {"n": 3}, {"n": -2}, {"n": True}, {"n": "32768"}, {"n": None}, {"n": 1 << 40}, {"n": 2.0},
        {"r": 0}, {"r": 1 << 30}, {"r": -8}, {"p": 0}, {"p": 1 << 30}, {"p": None}, {"n": 1 << 18, "r": 9},
        {"n": 1 << 15, "r": 8, "p": 17}, {"n": 2, "r": 1, "p": 1 << 22},
        {"salt": "00"}, {"salt": None}, {"salt": 5}, {"salt": "zz" * 32},
        {"nonce": "00" * 11}, {"nonce": ""}, {"wrapped": "00" * 47}, {"wrapped": "00" * (1 << 10)}, {"wrapped": None},
        {"created_at": "yesterday"}, {"created_at": None}, {"created_at": 1},
    ],
)  # fmt: skip
def test_a_hostile_key_file_is_named_and_asks_for_nothing(
    backend: LocalBackend, changes: dict[str, Any] | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashlib.scrypt", lambda *_, **__: pytest.fail("scrypt was run"))
    spoilt(backend, changes)
    (found,) = keys.listing(backend)
    assert found.kind is None
    assert found.damage
    with pytest.raises(Damaged, match="no usable key"):
        keys.unlock(backend, ID, PASS)


def test_a_hostile_key_file_hides_no_other(backend: LocalBackend) -> None:
    spoilt(backend, {"n": 1 << 40})
    keys.add(backend, ID, b"m" * 32, RAW, "zz")
    assert keys.unlock(backend, ID, RAW) == keys.Unlocked("zz", b"m" * 32)


def test_a_costlier_key_within_the_limits_works(backend: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "SCRYPT_N", 1 << 4)
    keys.add(backend, ID, b"m" * 32, PASS)
    monkeypatch.setattr(keys, "SCRYPT_N", 1 << 15)
    assert keys.unlock(backend, ID, PASS).master == b"m" * 32


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_raw_keys(end: bytes) -> None:
    assert keys.raw(bytes(range(32))).value == bytes(range(32))
    assert keys.raw(b"\n" * 32).value == b"\n" * 32
    assert keys.raw(b"0aF1" * 16 + end).value == bytes.fromhex("0af1" * 16)
    assert len(keys.raw(keys.new_raw_key()).value) == 32


@given(st.binary(max_size=100))
def test_what_is_no_raw_key_is_refused(data: bytes) -> None:
    try:
        secret = keys.raw(data)
    except UsageError:
        return
    assert len(data) == 32 or len(data.strip()) == 64
    assert len(secret.value) == 32
