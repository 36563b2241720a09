"""The documentation cannot lie: its console blocks are run and compared, its links lead somewhere, nothing is left out.

A block that begins with ```` ```console ```` holds commands, each in a line with `$ ` before it (lines with `> `
continue it), and below each what it prints. The blocks of a page are run by one bash, in a directory of their own that
holds what `<!-- fixture: NAME -->` lines of the page ask for; see `samples`. `...` stands for any part of a line, and
a line of it for any lines. Ids, times, digests, sizes and the widths of gaps are compared as if they were all the same.
A block of Python whose first line is a comment with a file's name is put there, for the commands that follow it.

`python -m tests.test_docs [PAGE]...` puts what is printed now where a page says something else; look what it changed.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from memorybank_cli.cli.commands import COMMANDS
from tests import samples

PROJECT = Path(__file__).resolve().parent.parent
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").rglob("*.md"))]
REFERENCE = PROJECT / "docs" / "reference"
LANGUAGES = {"console", "json", "python", "text", "yaml"}
MARK = "-- the command above has ended"
_FIXTURE = re.compile(r"<!-- fixture: ([a-z-]+) -->")
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# (\w+\.py)\n")
_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_ALIKE = [
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{8}\b"), "SNAPSHOT"),
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{16}\b"), "QUARANTINED"),
    (re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|\b)"), "TIME"),
    (re.compile(r"\b[0-9a-f]{64}\b"), "DIGEST"),
    (re.compile(r"\b[0-9a-f]{12}\b"), "HASH"),
    (re.compile(r"\b\d+\.\d+ ?s\b"), "SECONDS"),
    (re.compile(r"\b[\d,.]+ (B|KiB|MiB|GiB|bytes)(?= |$|\))"), "SIZE"),
    (re.compile(r" {2,}"), "  "),
]


class Step(NamedTuple):
    """One command of a page and the lines that it is said to print."""

    line: int
    command: str
    output: list[str]


def blocks(page: Path, language: str) -> Iterator[tuple[int, str]]:
    """The blocks of a language, each with the line of the page at which its text begins."""
    text = page.read_text()
    for found in _BLOCK.finditer(text):
        if found[1] == language:
            yield text[: found.start(2)].count("\n") + 1, found[2]


def steps(page: Path) -> list[Step]:
    """The commands of a page, in order."""
    listed: list[Step] = []
    python = dict(blocks(page, "python"))
    for start, block in sorted([*blocks(page, "console"), *python.items()]):
        if start in python:
            if name := _FILE.match(block):
                listed.append(Step(start, f"cat > {name[1]} << 'END OF FILE'\n{block}END OF FILE", []))
            continue
        assert block.startswith("$ "), f"{page}:{start}: a console block begins with a command"
        for number, line in enumerate(block.splitlines(), start):
            if line.startswith("$ "):
                listed.append(Step(number, line[2:], []))
            elif line.startswith("> ") and not listed[-1].output:
                listed[-1] = listed[-1]._replace(command=f"{listed[-1].command}\n{line[2:]}")
            else:
                listed[-1].output.append(line)
    for step in listed:
        while step.output and not step.output[-1]:
            step.output.pop()  # a blank line before the next command
    return listed


def outputs(page: Path, place: Path) -> list[list[str]]:
    """What the commands of a page print, both streams together, each as lines."""
    work, programs = place / "me", place / "bin"
    work.mkdir()
    programs.mkdir()
    (programs / "memorybank").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m memorybank_cli "$@"\n')
    (programs / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
    for program in programs.iterdir():
        program.chmod(0o755)
    for name in _FIXTURE.findall(page.read_text()):
        samples.SAMPLES[name](work)
    script = "".join(f"{step.command}\nprintf '\\n%s\\n' '{MARK}'\n" for step in steps(page))
    environment = {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PYTHONPATH": str(PROJECT),
        "HOME": str(work),
        "MEMORYBANK_STATE_HOME": str(place / "state"),
        "MEMORYBANK_ACTOR": "me",
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
    }
    done = subprocess.run(
        ["timeout", "60", "bash", "--norc", "-c", f"exec 2>&1; umask 077\n{script}"],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=False,
    )  # timeout ends also what the page has started
    text = done.stdout.decode(errors="backslashreplace").replace(str(place), "/home")
    return [part.strip("\n").splitlines() for part in text.split(f"{MARK}\n")[:-1]]


def alike(line: str) -> str:
    """A line with everything that differs from run to run made the same."""
    for pattern, name in _ALIKE:
        line = pattern.sub(name, line)
    return line.rstrip()


def pattern(expected: list[str]) -> str:
    """A regular expression for lines of output."""
    parts = []
    for line in expected:
        if line.strip() == "...":
            parts.append(r"(?:.*\n)*")
        else:
            parts.append(".*".join(re.escape(part) for part in alike(line).split("...")) + r"\n")
    return "".join(parts)


def fits(expected: list[str], printed: list[str]) -> bool:
    """Whether lines are what a page says."""
    return re.fullmatch(pattern(expected), "".join(f"{alike(line)}\n" for line in printed)) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_examples_run(page: Path, tmp_path: Path) -> None:
    listed = steps(page)
    if not listed:
        return
    found = outputs(page, tmp_path)
    assert len(found) == len(listed), f"{page}: bash ended after {len(found)} of {len(listed)} commands"
    for step, printed in zip(listed, found, strict=True):
        assert fits(step.output, printed), (
            f"{page}:{step.line}: $ {step.command}\nis said to print:\n"
            + "\n".join(step.output)
            + "\nand prints:\n"
            + "\n".join(printed)
        )


def test_a_page_has_blocks_of_known_languages_only() -> None:
    for page in PAGES[1:]:
        if REFERENCE not in page.parents:
            for found in re.findall(r"^```(.*)$", page.read_text(), re.MULTILINE)[::2]:
                assert found in LANGUAGES, f"{page}: ```{found}"


def test_every_python_block_is_run() -> None:
    unnamed = [f"{page}:{line}" for page in PAGES for line, text in blocks(page, "python") if not _FILE.match(text)]
    assert not unnamed, "begin them with a comment that names the file, and run it in a console block"


def test_every_fixture_is_there() -> None:
    for page in PAGES:
        assert set(_FIXTURE.findall(page.read_text())) <= samples.SAMPLES.keys(), page


def test_every_command_is_mentioned_outside_the_reference() -> None:
    text = "".join(page.read_text() for page in PAGES if REFERENCE not in page.parents)
    missing = [name for name in COMMANDS if not re.search(rf"memorybank {name}\b", text)]
    assert not missing, f"no page of docs/ says what {', '.join(missing)} is for"


def test_every_page_can_be_reached() -> None:
    waiting = [PROJECT / "README.md", PROJECT / "docs" / "README.md"]
    reached = set(waiting)
    while waiting:
        page = waiting.pop()
        for target in links(page):
            path = (page.parent / target.partition("#")[0]).resolve()
            if path.suffix == ".md" and path.is_file() and path not in reached:
                reached.add(path)
                waiting.append(path)
    assert set(PAGES) <= reached


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in links(page):
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page}: {target}"
        assert path.is_relative_to(PROJECT), f"{page}: {target}"
        assert not anchor or anchor in anchors(path), f"{page}: {target}"


def links(page: Path) -> list[str]:
    """Where the links of a page lead within the project."""
    text = _BLOCK.sub("", page.read_text())
    return [target for target in _LINK.findall(text) if not re.match(r"[a-z]+:", target)]


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as they stand in links."""
    titles = re.findall(r"^#+ (.*)$", _BLOCK.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize(
    ("expected", "printed", "alike"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a"], ["a", "b"], False),
        (["a", "..."], ["a", "b", "c"], True),
        (["...", "c"], ["a", "b", "c"], True),
        (["a ... c"], ["a bb c"], True),
        (["a.c"], ["abc"], False),
        (["at 2026-11-20T14:00:00Z"], ["at 2027-01-01T00:00:00.123456Z"], True),
        (["20261120T140000Z-0123abcd"], ["20270101T000000Z-ffffffff"], True),
        ([], [], True),
        ([], ["x"], False),
    ],
)
def test_the_comparison(expected: list[str], printed: list[str], alike: bool) -> None:
    assert fits(expected, printed) == alike


def rewritten(page: Path, place: Path) -> str:
    """A page with what is printed now wherever it says something else."""
    found = iter(zip(steps(page), outputs(page, place), strict=True))

    def block(old: re.Match[str]) -> str:
        if old[1] == "python" and _FILE.match(old[2]):
            next(found)
        if old[1] != "console":
            return old[0]
        lines: list[str] = []
        for _ in range(len(re.findall(r"^\$ ", old[2], re.MULTILINE))):
            step, printed = next(found)
            assert "an internal error" not in "".join(printed), f"{page}:{step.line}: {printed}"
            lines += ["$ " + step.command.replace("\n", "\n> ")]
            lines += step.output if fits(step.output, printed) else printed
        return "\n".join(["```console", *lines, "```"])

    return _BLOCK.sub(block, page.read_text())


if __name__ == "__main__":
    for one in [Path(name).resolve() for name in sys.argv[1:]] or PAGES[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            one.write_text(rewritten(one, Path(scratch)))
