"""Corruption events of spec 001: begun once, ended once, with what was done, in the shape of the schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from memorybank_cli.bank.events import EventStore
from memorybank_cli.base.records import Finding
from memorybank_cli.base.walk import Root
from memorybank_cli.integrity import corruption
from memorybank_cli.integrity.corruption import Ending

DAMAGED = Finding("MB102", "valid JSON ends at byte 9", "trades/a.json")
GONE = Finding("MB111", "the file is gone", "account_a/short_term.json")
ROTTEN = Finding("MB115", "the content changed", "state/state.json")
CHAIN = Finding("MB120", "the chain is broken", "")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EventStore]:
    with closing(Root(tmp_path)) as root, closing(EventStore(root)) as found:
        yield found


def test_an_event_begins_once_and_ends_once(store: EventStore) -> None:
    [begun] = corruption.detected(store, [DAMAGED, Finding("MB301", "too large", "trades/a.json")])
    assert (begun.path, begun.rule, begun.affected_component, begun.corruption_type) == (
        "trades/a.json",
        "MB102",
        "trades",
        "FILE_CORRUPTION",
    )
    assert (begun.recovery_action, begun.recovery_success, begun.ended_at) == (None, None, None)
    assert corruption.detected(store, [DAMAGED]) == []
    assert corruption.open_fingerprints(store) == [DAMAGED.fingerprint]
    [ended] = corruption.ended(store, {DAMAGED.fingerprint: Ending("leading-document", ".memorybank/quarantine/x")})
    assert (ended.recovery_action, ended.recovery_success, ended.kept) == (
        "leading-document",
        True,
        ".memorybank/quarantine/x",
    )
    assert ended.ended_at is not None
    assert ended.ended_at >= ended.detected_timestamp
    assert corruption.ended(store, {DAMAGED.fingerprint: Ending()}) == []
    [again] = corruption.detected(store, [DAMAGED])
    assert again.corruption_id != begun.corruption_id


def test_what_somebody_else_cured_has_no_action(store: EventStore) -> None:
    corruption.detected(store, [DAMAGED])
    [ended] = corruption.ended(store, {DAMAGED.fingerprint: Ending()})
    assert (ended.recovery_action, ended.recovery_success) == (None, None)


def test_a_recovery_that_failed_stays_open_and_is_remembered(store: EventStore) -> None:
    corruption.detected(store, [DAMAGED])
    assert corruption.tried(store, [DAMAGED.fingerprint, "unknown"], "none without loss") == [DAMAGED.fingerprint]
    [one] = corruption.events(store)
    assert (one.recovery_action, one.recovery_success, one.ended_at) == ("none without loss", False, None)
    [ended] = corruption.ended(store, {DAMAGED.fingerprint: Ending()})
    assert (ended.recovery_action, ended.recovery_success) == ("none without loss", False)


def test_types_and_components_fit_the_schema(store: EventStore) -> None:
    found = corruption.detected(store, [DAMAGED, GONE, ROTTEN, CHAIN, Finding("MB103", "it stops", "README.md")])
    assert {one.path: (one.affected_component, one.corruption_type) for one in found} == {
        "trades/a.json": ("trades", "FILE_CORRUPTION"),
        "account_a/short_term.json": ("account_a", "DATA_INCONSISTENCY"),
        "state/state.json": ("state", "CHECKSUM_MISMATCH"),
        "": ("journal", "CHECKSUM_MISMATCH"),
        "README.md": ("README.md", "FILE_CORRUPTION"),
    }
    place = Path(__file__).parents[2] / "schemas/corruption_event.schema.json"
    schema = json.loads(place.read_text())
    schema["properties"]["detected_timestamp"] = {"type": "string"}
    for one in corruption.events(store):
        jsonschema.validate(one.as_dict(), schema, jsonschema.Draft202012Validator)


def test_old_events_that_ended_are_forgotten(store: EventStore) -> None:
    corruption.detected(store, [DAMAGED, GONE, ROTTEN])
    corruption.ended(store, {DAMAGED.fingerprint: Ending(), GONE.fingerprint: Ending()})
    old = "UPDATE corruption_events SET ended_at='2020-01-01T00:00:00Z' WHERE path=? AND ended_at IS NOT NULL"
    store.db.execute(old, (GONE.path,))
    assert corruption.prune(store, 90) == 1
    assert {one.path for one in corruption.events(store)} == {DAMAGED.path, ROTTEN.path}
    assert len(corruption.events(store, most=1)) == 1
