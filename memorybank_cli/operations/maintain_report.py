"""The monthly report: what each step came to, and the validation of the bank, as one Markdown file."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_cli.bank.bank import Bank
from memorybank_cli.base import clock, files
from memorybank_cli.base.markdown import plain
from memorybank_cli.operations.check import validate
from memorybank_cli.operations.maintain_cleaning import REPORTS
from memorybank_cli.operations.maintain_values import Turn


def write(bank: Bank, turn: Turn) -> str:
    """Write the report of this month into the state directory; its path. One of the same month is replaced."""
    now = clock.now()
    validation = validate(bank, bank.context, report="-").text() or ""
    home = bank.home.root
    files.make_dirs(home, REPORTS)
    name = f"{REPORTS}/{now[:7]}.md"
    text = "\n".join([*_steps(turn, now), validation])
    files.replace(home, name, text.encode())
    return home.absolute(name)


def _steps(turn: Turn, now: str) -> Iterator[str]:
    yield from (f"# Maintenance, {turn.job}, {now[:10]}", "")
    yield from ("| step | result | seconds | what |", "|---|---|---|---|")
    for name, result, seconds, message, _ in turn.told:
        shown = result if result == "done" else f"**{result}**"
        yield f"| {name} | {shown} | {seconds:.1f} | {plain(message)} |"
    yield ""
    found = {one.fingerprint: one for *_, findings in turn.told for one in findings}
    if found:
        yield from ("## Found by the steps", "")
        for one in found.values():
            place = f"{plain(one.path)}: " if one.path else ""
            yield f"- {one.severity} {one.rule} {place}{plain(one.message)}"
        yield ""
