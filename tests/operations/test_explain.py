"""What `explain` says of the rules."""

from __future__ import annotations

import pytest

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.rules import RULES
from memorybank_cli.operations.explain import explain


@pytest.mark.parametrize("name", ["MB102", "mb102", "trailing-bytes", "Trailing-Bytes"])
def test_a_rule_by_number_or_name(name: str) -> None:
    report = explain(name).as_dict()
    assert report["rule"] == "MB102"
    assert report["severity"] == "error"
    assert report["why"]
    assert [rule["rule"] for rule in report["rules"]] == ["MB102"]


def test_all_rules_and_a_family() -> None:
    assert [rule.rule for rule in explain().rules] == list(RULES)
    assert {rule.rule[:3] for rule in explain("mb2").rules} == {"MB2"}


@pytest.mark.parametrize(("name", "near"), [("MB1022", "MB102"), ("trailing", "trailing-bytes"), ("zzz", "lists them")])
def test_an_unknown_rule_names_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UsageError) as caught:
        explain(name)
    assert near in caught.value.hint
