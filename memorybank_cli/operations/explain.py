"""What the rules of the findings mean."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any

from memorybank_cli.base.errors import UsageError
from memorybank_cli.base.rule import Rule
from memorybank_cli.base.rules import RULES
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.operations.options import Option


@dataclass(frozen=True)
class Explanation:
    """One rule in words."""

    rule: str
    name: str
    severity: str
    what: str
    why: str
    cure: str


@dataclass(frozen=True)
class Explanations:
    """The rules that were asked for."""

    rules: tuple[Explanation, ...]

    def as_dict(self) -> dict[str, Any]:
        """`{"rules": [{"rule", "name", "severity", "what", "why", "cure"}]}`; of one rule its fields too."""
        listed = [asdict(rule) for rule in self.rules]
        return {"rules": listed, **(listed[0] if len(listed) == 1 else {})}


def explain(
    rule: Annotated[str | None, Option("its number or name, or a family such as MB1; default: all")] = None,
) -> Explanations:
    """Say what a rule of the findings means and what to do.

    Exit codes:
        0  done
        2  there is no such rule

    Examples:
        memorybank explain MB102
        memorybank explain trailing-bytes
        memorybank explain MB1
    """
    if rule is None:
        return Explanations(tuple(_explanation(code, row) for code, row in RULES.items()))
    wanted = rule.upper()
    exact = [code for code in RULES if code == wanted or RULES[code].name == rule.lower()]
    family = [code for code in RULES if wanted[:2] == "MB" and len(wanted) == 3 and code.startswith(wanted)]
    if not exact and not family:
        raise UsageError(f"there is no rule '{rule}'", hint=_nearest(rule))
    return Explanations(tuple(_explanation(code, RULES[code]) for code in exact or family))


def _explanation(code: str, row: Rule) -> Explanation:
    return Explanation(code, *row)


def _nearest(rule: str) -> str:
    names = [*RULES, *(row.name for row in RULES.values())]
    return did_you_mean(rule, names, "memorybank explain lists them all")
