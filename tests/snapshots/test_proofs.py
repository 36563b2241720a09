from __future__ import annotations

from memorybank_cli.snapshots.backends import Stored
from memorybank_cli.snapshots.proofs import Proofs

A, B = "a" * 64, "b" * 64


def stored(size: int = 10, mtime_ns: int = 1) -> Stored:
    return Stored("name", size, mtime_ns, True, False)


def test_a_pack_is_read_until_it_is_written_again() -> None:
    proofs = Proofs()
    proofs.note(A, stored(), "2026-01-02", "")
    assert proofs.is_read(A, stored(), "2026-01-01")
    assert proofs.is_read(A, stored(), "2026-01-02")
    assert not proofs.is_read(A, stored(), "2026-01-03")
    assert not proofs.is_read(A, stored(), "")
    assert not proofs.is_read(A, stored(size=11), "2026-01-01")
    assert not proofs.is_read(A, stored(mtime_ns=2), "2026-01-01")
    assert not proofs.is_read(B, stored(), "2026-01-01")


def test_a_damaged_pack_is_distrusted_until_it_is_written_again_or_read_as_good() -> None:
    proofs = Proofs()
    proofs.note(A, stored(), "2026-01-02", "bits")
    assert proofs.still_damaged({A: stored()}) == {A}
    assert proofs.still_damaged({A: stored(mtime_ns=2)}) == frozenset()
    assert proofs.still_damaged({B: stored()}) == frozenset()
    assert not proofs.is_read(A, stored(), "2026-01-01")
    proofs.note(A, stored(), "2026-01-03", "")
    assert proofs.still_damaged({A: stored()}) == frozenset()


def test_packs_that_are_gone_are_forgotten() -> None:
    proofs = Proofs()
    proofs.note(A, stored(), "2026-01-02", "bits")
    proofs.note(B, stored(), "2026-01-02", "")
    proofs.forget_others([B])
    assert (set(proofs.read), set(proofs.damaged)) == ({B}, set())


def test_what_is_kept_comes_back_and_anything_else_is_unknown() -> None:
    proofs = Proofs(begun="2026-01-01")
    proofs.note(A, stored(), "2026-01-02", "bits")
    proofs.note(B, stored(), "2026-01-02", "")
    value = {name: {key: list(row) for key, row in rows.items()} if isinstance(rows, dict) else rows
             for name, rows in proofs.as_dict().items()}  # fmt: skip
    assert Proofs.parse(value, proofs.keep) == proofs
    for odd in (
        {},
        {"begun": 1, "read": [], "damaged": None},
        {"read": {A: [1, 2], "x": [1, 2, "t"], B: [1, "2", "t"]}},
    ):
        assert Proofs.parse(odd, proofs.keep) == Proofs(keep=proofs.keep)
