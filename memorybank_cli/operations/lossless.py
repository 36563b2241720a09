"""Which cures lose nothing at all, so that nobody has to be asked: what is there now is kept, or was there before."""

from __future__ import annotations

from memorybank_cli.bank import layout, versions
from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.judge import ROT
from memorybank_cli.base import digests
from memorybank_cli.base.strict_json import HARD_SIZE
from memorybank_cli.operations.cures import Plan

EMPTY = "MB104"
_BLANK = b"\0 \t\r\n"


def is_lossless(bank: Bank, plan: Plan) -> bool:
    """Whether a cure gives what the account's history gives, all that the file says, or exactly what was recorded.

    The recorded version of a file that agents rewrite is older than what they meant to write, so that alone is
    a loss, unless nothing else is there.
    """
    cure = plan.cure
    if cure.lost or plan.content is None:
        return False
    if cure.method in ("rebuilt", "byte-order-mark-removed"):
        return True
    expected = bank.catalog.row(cure.path).expected
    kind = expected.kind if expected is not None else ""
    policy = layout.policy_of(cure.path, layout.place(cure.path), kind, bank.settings["open_patterns"])
    exact = expected is not None and digests.of(plan.content) == expected.sha
    if exact and (policy != "open" or cure.rule in (EMPTY, ROT)):
        return True
    return cure.method == "leading-document" and _is_rest_worthless(bank, cure.path, plan.content)


def _is_rest_worthless(bank: Bank, path: str, kept: bytes) -> bool:
    """Whether what follows the document is blank, or the tail of the longer version that was recorded before."""
    data = bank.root.content(path, HARD_SIZE)
    if data is None or not data.startswith(kept):
        return False
    rest = data[len(kept) :]
    if not rest.strip(_BLANK):
        return True
    expected = bank.catalog.row(path).expected
    if expected is None or not expected.good or expected.size != len(data):
        return False
    earlier = versions.find(bank.journal, path, expected.sha, expected.seq)
    return earlier is not None and earlier[len(kept) :] == rest
