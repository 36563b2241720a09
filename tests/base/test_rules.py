from __future__ import annotations

import re

import pytest

from memorybank_cli.base.records import SEVERITIES
from memorybank_cli.base.rules import RULES


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_explained(rule: str) -> None:
    row = RULES[rule]
    assert re.fullmatch(r"MB[1-6]\d\d", rule)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", row.name)
    assert row.severity in SEVERITIES
    for sentence in (row.what, row.why, row.cure):
        assert sentence[0].isupper() or sentence.startswith(("memorybank ", "chmod ", "chown "))
        assert sentence.endswith(".")
        assert sentence.isprintable()


def test_names_are_unique_and_rules_in_order() -> None:
    assert len({row.name for row in RULES.values()}) == len(RULES)
    assert list(RULES) == sorted(RULES)
