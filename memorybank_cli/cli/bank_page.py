"""The page memorybank-bank(5), written by hand: what a bank is on disk, for who reads or writes its files."""

from __future__ import annotations

from memorybank_cli.base.settings import BY_NAME
from memorybank_cli.base.strict_json import HARD_DEPTH, HARD_SIZE
from memorybank_cli.cli import roff
from memorybank_cli.cli.roff import Piece

SUMMARY = "a directory of JSON files that memorybank keeps"
_TEXT = """\
# DESCRIPTION

A bank is a directory that agents write and `memorybank` keeps: it checks the files, records each change in a
journal, and can undo it. Agents need no library; they write files.

    memory-bank/
      bank.json            the bank's id and format
      README.md            for people; one block of it is kept true
      config/              settings and schemas of this bank
      trades/              one trade a file, or list files
      metrics/  state/     what agents measure, and where they stand
      metrics/historical/  one set of samples a file
      account_<id>/        conversations
      agents/  shared/     what agents keep for themselves, and for all
      docs/  *.md          documents, kept and not judged
      .memorybank/         journal, catalog, quarantine

# POLICIES

Each section has one policy. It says who may write.

open :: Agents. A changed file that is well-formed is recorded as the new expected content.

append :: Agents may add files. A file that changes after it was recorded is a finding (MB113), one that goes away is
missing (MB111).

managed :: Only `memorybank`. Any other change is a finding (MB110).

Recording is called adoption. `init`, `watch`, `backup` and `accept` adopt; checks only count what waits.

# SECTIONS

trades/ :: append; a file that holds an array, or an object whose `trades` is one, is open. Limit {trades} MiB.

metrics/ :: open; metrics/historical/ append. Limit {metrics} MiB.

state/ :: open. Limit {state} MiB.

account_<id>/ :: managed. `short_term.json` has the newest 50 messages, `mid_term.json` the 200 before them,
`whole_history.json` with the segments in history/ all of them.

agents/, shared/ :: open.

config/, bank.json :: managed. A hand edit counts once `memorybank accept` or `memorybank config trust` recorded it.

docs/, *.md, LICENSE :: open; digested and backed up, not judged.

A JSON file anywhere else is no error; it is told as stray (MB112). Names that begin with a dot are left alone.

# DOCUMENTS

JSON in UTF-8 without a byte order mark. No key twice in an object, no NaN, no Infinity, nothing but blanks after the
document. Numbers keep their value: an integer may have 4,300 digits.

A file larger than {size} MiB or nested deeper than {depth} levels is not parsed (MB108).

A writer should put a new file beside the old one and rename it. `memorybank` also copes with files that are written
in place: they are judged when they have been still for a moment.

# NAMES

The id of an account is 1 to 64 of A-Z a-z 0-9 . _ - and does not begin with a dot. Links and special files are never
followed or opened; they are findings (MB305).

# PRIVATE PART

.memorybank/journal/ :: Evidence. One JSON object a line, each with the hash of the line before; a new segment after
10,000 lines or 16 MiB. `memorybank log --verify` proves it.

.memorybank/quarantine/ :: Evidence. Bytes that a repair, a rollback or a rendering replaced.

.memorybank/catalog*.sqlite :: Derived. What each file should be, and was when last looked at. Made again from the
journal when it is lost.

.memorybank/status.json :: Derived. The last status.

.memorybank/samples.sqlite :: Derived. What `memorybank health --history` shows.

.memorybank/lock, .memorybank/probe, .memorybank/tmp/ :: Scratch.

Never edit anything here. A bank without this directory gets a new journal by `memorybank init`.
"""


def sections() -> dict[str, list[Piece]]:
    """The page's sections by title, after NAME."""
    limits = {name: BY_NAME[f"limits.{name}_mib"].default for name in ("trades", "metrics", "state")}
    return roff.read(_TEXT.format(**limits, size=HARD_SIZE >> 20, depth=HARD_DEPTH))
