"""What people see of summaries."""

from __future__ import annotations

from memorybank_cli.base.records import Finding
from memorybank_cli.cli.blocks import Findings, Text
from memorybank_cli.cli.views.contexts import shown

SENTENCE = {"role": "user", "text": "Gas is \x1b[31m40 gwei."}
SUMMARY = {"first": 1, "last": 1_200, "from": "2026-11-20T14:00:00.000000Z", "topics": ["gas", "swaps"]}
FINDING = Finding("MB510", "waits").as_dict()


def test_a_paragraph_a_summary() -> None:
    one = {**SUMMARY, "entities": ["Base\x07"], "sentences": [SENTENCE, SENTENCE]}
    other = {**SUMMARY, "first": 1_200, "entities": [], "sentences": []}
    assert shown({"summaries": [one, other], "findings": [FINDING]}) == [
        Text("1 to 1,200  2026-11-20T14:00:00Z  gas, swaps (Base\\x07)", "strong"),
        Text("  user: Gas is \\x1b[31m40 gwei.\n  user: Gas is \\x1b[31m40 gwei."),
        Text(""),
        Text("1,200  2026-11-20T14:00:00Z  gas, swaps", "strong"),
        Text(""),
        Text(""),
        Findings([FINDING]),
    ]
