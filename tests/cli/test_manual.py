"""The man pages that are committed are the ones the code draws, and man's own programs have nothing to say of them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_cli import __version__
from memorybank_cli.base import exits
from memorybank_cli.base.settings import SETTINGS
from memorybank_cli.cli import manual, roff
from memorybank_cli.cli.call import COMMON, declarations
from memorybank_cli.cli.commands import COMMANDS, load
from memorybank_cli.operations import signature
from tests.conftest import Run

COMMITTED = Path(__file__).resolve().parents[2] / "man"
PAGES = manual.pages()


def needs(program: str) -> pytest.MarkDecorator:
    reason = f"{program} is not installed: the man pages are not checked with it"
    return pytest.mark.skipif(shutil.which(program) is None, reason=reason)


def shown(text: str) -> str:
    """A page as plain text, as mandoc or groff draws it at 78 columns."""
    if shutil.which("mandoc"):
        command = ["mandoc", "-T", "ascii", "-O", "width=78"]
    elif shutil.which("groff"):
        command = ["groff", "-man", "-T", "ascii", "-P", "-c"]
    else:
        pytest.skip("neither mandoc nor groff is installed: the man pages are not drawn")
    done = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=60)
    return re.sub(".\b", "", done.stdout.decode())


def test_the_committed_pages_are_the_drawn_ones() -> None:
    found = {str(path.relative_to(COMMITTED)): path.read_text() for path in COMMITTED.rglob("*") if path.is_file()}
    assert found == PAGES, "run scripts/docs"


def test_there_is_a_page_for_each_command() -> None:
    names = {f"man1/memorybank-{name.replace(' ', '-')}.1" for name in COMMANDS}
    assert {"man1/memorybank.1", "man5/memorybank-bank.5", *names} == set(PAGES)


@pytest.mark.parametrize("path", PAGES)
def test_a_page_is_plain_ascii_with_date_and_version(path: str) -> None:
    text = PAGES[path]
    assert text.isascii()
    assert text.split("\n")[1].endswith(f'"{path[-1]}" "{manual.DATE}" "memorybank {__version__}" "memorybank"')
    # Requests are ours, and no line of text can be taken for one.
    requests = {line.split()[0] for line in text.split("\n") if line[:1] in (".", "'")}
    assert requests <= {'.\\"', ".TH", ".nh", ".ad", ".SH", ".SS", ".PP", ".TP", ".RS", ".RE", ".nf", ".fi"}
    assert not re.search(r"(?<!\\)-", re.sub(r'^\.(TH|\\").*$', "", text, flags=re.MULTILINE)), "hyphens are escaped"


@needs("groff")
def test_groff_has_no_warnings() -> None:
    for path, text in PAGES.items():
        command = ["groff", "-man", "-Tutf8", "-Z", "-ww", "-K", "utf8"]
        done = subprocess.run(command, input=text.encode(), capture_output=True, check=True, timeout=60)
        assert not done.stderr, f"{path}: {done.stderr.decode()}"


@needs("man")
def test_man_has_no_warnings() -> None:
    for path in ("man1/memorybank.1", "man1/memorybank-rollback.1", "man5/memorybank-bank.5"):
        command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(COMMITTED / path)]
        environment = {**os.environ, "LC_ALL": "C.UTF-8", "MANROFFSEQ": "", "MANWIDTH": "80"}
        done = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
        assert not done.stderr, f"{path}: {done.stderr.decode()}"


@needs("mandoc")
def test_mandoc_has_no_warnings() -> None:
    paths = [str(COMMITTED / path) for path in PAGES]
    done = subprocess.run(["mandoc", "-T", "lint", "-W", "warning", *paths], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b"")


def test_the_overview_names_everything() -> None:
    text = shown(PAGES["man1/memorybank.1"])
    for name in COMMANDS:
        assert re.search(rf"^ +{name}\b", text, re.MULTILINE)
    for setting in SETTINGS:
        assert setting.variable in text
    for code in exits.MEANINGS:
        assert re.search(rf"^ +{code} ", text, re.MULTILINE)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_commands_page_names_its_parameters(name: str) -> None:
    text = shown(PAGES[f"man1/memorybank-{name.replace(' ', '-')}.1"])
    own = [one for one in signature.parameters(load(COMMANDS[name])) if not one.option.hidden]
    for one in [*own, *COMMON]:
        assert one.positional or declarations(one)[0].partition("/")[0] in text
    for section in ("SYNOPSIS", "EXIT CODES", "EXAMPLES", "SEE ALSO"):
        assert f"\n{section}\n" in text


def test_lines_fit_80_columns() -> None:
    for path, text in PAGES.items():
        for line in shown(text).split("\n"):
            assert len(line) <= 80 or line.startswith(" " * 11), f"{path}: {line}"  # an example may be longer


def test_writing_the_pages(run: Run, tmp_path: Path) -> None:
    done = run("generate", "man", tmp_path / "man", "--json")
    assert set(done.json["files"]) == set(PAGES)
    assert (tmp_path / "man" / "man5" / "memorybank-bank.5").read_text() == PAGES["man5/memorybank-bank.5"]
    again = run("generate", "man", tmp_path / "man")
    assert again.stdout == f"{len(PAGES)} files written to {tmp_path}/man\n"


_TEXTS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), min_size=1, max_size=30).filter(str.strip)


@given(_TEXTS)
def test_any_text_is_escaped(text: str) -> None:
    escaped = roff.escape(text)
    assert escaped.isascii()
    assert not escaped.startswith((".", "'"))


@pytest.mark.parametrize("text", [".TH x", "'br", "a\\fBb", "a\n.sp 9", "--no-verify", 'it\'s "so" ~ `x` ^'])
def test_text_comes_out_as_it_went_in(text: str) -> None:
    page = roff.page("x", 1, "2026-01-01", "1", [("S", ["\n".join(f" {line}" for line in text.split("\n"))])])
    lines = shown(page).split("\n")
    for line in text.split("\n"):
        assert any(line == found.strip() for found in lines)


def test_plain_text_becomes_pieces() -> None:
    found = roff.read("# ONE\n\na\nb\n\n# TWO\n\n    x\n      y\n\nterm :: its\nmeaning\n")
    assert found == {"ONE": ["a b"], "TWO": [" x\n   y", ("term", "its meaning")]}


def test_marks_in_a_paragraph() -> None:
    assert roff.inline("`a-b` of <bank_id>, see .x") == "\\fBa\\-b\\fR of \\fIbank_id\\fR, see .x"
    assert roff.inline(".x `.y`") == "\\&.x \\fB.y\\fR"
