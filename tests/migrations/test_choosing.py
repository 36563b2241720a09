"""Which importer gets which file."""

from __future__ import annotations

import pytest

from memorybank_cli.base.errors import UsageError
from memorybank_cli.migrations.choosing import choose, named
from memorybank_cli.migrations.source import Source
from memorybank_cli.migrations.table import IMPORTERS
from tests.migrations.conftest import Make

MESSAGES = [{"role": "user", "content": "hello", "timestamp": 1743394526.5}]
TRADE = {"timestamp": "2025-03-31T04:15:26", "token_pair": "WETH-DAI", "net_profit": 0.1}


def shares(source: Source, name: str | None = None) -> dict[str, list[str]]:
    return {part.importer.NAME: part.paths for part in choose(source, name)}


def test_two_formats_in_one_folder_come_in_together(make_source: Make) -> None:
    source = make_source(
        {
            "trades/t1.json": TRADE,
            "metrics/m.json": {"gas_price": 1},
            "memory/account_a/whole_history.json": MESSAGES,
            "notes.md": "# Notes",
            "other/x.json": {"a": "b"},
            "blob.bin": "x",
        }
    )
    assert shares(source) == {
        "memory_tree": ["memory/account_a/whole_history.json"],
        "bank_layout": ["metrics/m.json", "notes.md", "trades/t1.json"],
        "plain_json": ["other/x.json"],
    }
    assert source.skipped == [("blob.bin", "no importer knows such a file")]


def test_the_surest_comes_first_and_ties_go_by_the_table(make_source: Make) -> None:
    source = make_source({"trades/t1.json": TRADE, "state/short_term.json": MESSAGES, "x.json": "1"})
    parts = choose(source)
    assert [part.score for part in parts] == sorted((part.score for part in parts), reverse=True)
    order = [importer.NAME for importer in IMPORTERS]
    ranks = [(-part.score, order.index(part.importer.NAME)) for part in parts]
    assert ranks == sorted(ranks)
    assert shares(source)["bank_layout"] == ["state/short_term.json", "trades/t1.json"]


def test_a_name_lets_only_that_one_read(make_source: Make) -> None:
    source = make_source({"trades/t1.json": TRADE, "notes.md": "x"})
    assert shares(source, "plain_json") == {"plain_json": ["trades/t1.json"]}
    assert source.skipped == [("notes.md", "not of the kind 'plain_json'")]


def test_an_unknown_name_gets_suggestions() -> None:
    with pytest.raises(UsageError) as near:
        named("Plain-Jsn")
    assert near.value.hint == "did you mean plain_json?"
    with pytest.raises(UsageError) as far:
        named("zzz\n")
    assert all(importer.NAME in far.value.hint for importer in IMPORTERS)
    assert "\n" not in far.value.message


def test_nothing_recognised_says_what_was_looked_for(make_source: Make) -> None:
    with pytest.raises(UsageError, match="holds nothing that can be imported") as caught:
        choose(make_source({"x.bin": "x"}))
    assert all(importer.TITLE in caught.value.hint for importer in IMPORTERS)
    single = make_source({"x.bin": "x"})
    one = Source(f"{single.root.path}/x.bin")
    with pytest.raises(UsageError, match=r"x\.bin holds nothing") as forced:
        choose(one, "plain_json")
    one.close()
    assert forced.value.hint == f"looked for: {named('plain_json').TITLE}"


@pytest.mark.parametrize("importer", IMPORTERS, ids=lambda one: one.NAME)
def test_an_empty_source_is_nobodys(importer: object, make_source: Make) -> None:
    assert next(one for one in IMPORTERS if one is importer).score(make_source({})) == 0
