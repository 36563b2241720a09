"""What a bank says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from memorybank_cli.base.context import Context
from memorybank_cli.operations.accept import accept
from memorybank_cli.operations.opening import open_bank
from tests.conftest import MakeBank

SCHEMA = "config/schemas/trade.schema.json"


def write_schema(bank: Path) -> None:
    (bank / "config/schemas").mkdir(parents=True)
    strict = {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "required": ["venue"]}
    (bank / SCHEMA).write_text(json.dumps(strict))


def own_schemas(bank: Path) -> frozenset[str]:
    opened = open_bank(Context(bank=str(bank)))
    try:
        return opened.registry.own
    finally:
        opened.close()


def test_a_schema_that_stands_there_at_the_beginning_holds(make_bank: MakeBank) -> None:
    bank = make_bank(adopt=False)
    write_schema(bank)
    from memorybank_cli.operations.init import init

    init(Context(bank=str(bank)))
    assert own_schemas(bank) == {"trade"}


def test_a_schema_that_an_agent_puts_there_has_no_effect_until_it_is_accepted(make_bank: MakeBank) -> None:
    bank = make_bank()
    write_schema(bank)
    assert own_schemas(bank) == frozenset()
    opened = open_bank(Context(bank=str(bank)))
    try:
        accept(opened, str(bank / SCHEMA))
    finally:
        opened.close()
    assert own_schemas(bank) == {"trade"}
    (bank / SCHEMA).write_text("{}")
    assert own_schemas(bank) == {"trade"}  # as it was accepted: an edit takes no rule away either
    (bank / SCHEMA).unlink()
    assert own_schemas(bank) == {"trade"}
