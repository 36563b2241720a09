"""Which member names a record."""

from __future__ import annotations

from typing import Any

from memorybank_cli.meaning.families import Families, Family
from memorybank_cli.meaning.keys import ENOUGH, identities, identity


def families_of(*documents: dict[str, Any]) -> list[Family]:
    families = Families()
    for document in documents:
        families.add(document, "x.json")
    return families.alternatives()


def test_members_that_every_document_has_as_a_text_or_an_integer() -> None:
    document = {"id": 1, "uuid": "x", "trade_id": "t", "order_id": "o", "price": 1.5}
    assert identities("trade", families_of(document)) == ("trade_id", "id", "uuid")
    assert identities("trade", families_of(*[document] * ENOUGH)) == ("trade_id", "id", "uuid", "order_id")
    assert identities("trade", families_of(document, {**document, "id": None})) == ("trade_id", "uuid")
    assert identities("trade", families_of(document, {"id": 1, "other": 1, "more": 1, "again": 1})) == ("id",)


def test_the_first_whose_values_differ() -> None:
    families = families_of({"id": 1}, {"id": 2})
    assert identity({"trade_id": [5, 5], "id": [1, 2]}, families) == "id"
    assert identity({"id": [1]}, families) == ""
    assert identity({"id": [1]}, families_of({"id": 1})) == ""
