"""Every rule a finding can name: what it is called, how bad it is, and what people should know and do.

`memorybank explain` and docs/reference/findings.md are printed from this table.
"""

from __future__ import annotations

from typing import Literal, NamedTuple


class Rule(NamedTuple):
    """One row of the table of findings."""

    name: str
    severity: Literal["info", "warning", "error", "critical"]
    what: str
    why: str
    cure: str


_REPAIR = "memorybank repair PATH cures it without loss where that can be done; memorybank rollback --path PATH brings the last snapshot's version."
_ACCEPT = "If the change is wanted: memorybank accept PATH. If not: memorybank rollback --path PATH."

FAMILIES: dict[str, str] = {
    "MB1": "the bytes",
    "MB2": "the shape",
    "MB3": "limits and permissions",
    "MB4": "security",
    "MB5": "health",
    "MB6": "predictions",
}
"""By the beginning of a rule's number what its rules are about."""

RULES: dict[str, Rule] = {
    "MB101": Rule(
        "syntax", "error", "The file is not JSON.", "Whoever reads it next fails or starts from nothing.", _REPAIR
    ),
    "MB102": Rule(
        "trailing-bytes",
        "error",
        "A valid document is followed by other bytes: NULs, or the tail of a longer earlier version.",
        "A writer that maps memory or does not truncate leaves them; most parsers refuse the whole file.",
        "memorybank repair PATH keeps the leading document byte for byte and puts the found bytes into quarantine.",
    ),
    "MB103": Rule(
        "truncated",
        "error",
        "The document stops before it is complete.",
        "The writer was killed, or the disk was full.",
        "memorybank repair PATH takes every complete record, or the last recorded version.",
    ),
    "MB104": Rule(
        "empty",
        "error",
        "The file is empty, or holds only blanks and NULs.",
        "A crash after a rename without fsync leaves such files.",
        _REPAIR,
    ),
    "MB105": Rule(
        "duplicate-key",
        "error",
        "A key stands twice in one object.",
        "Parsers keep the first or the last without a word, so two readers see two different memories.",
        "Take one of the two out by hand, or memorybank repair PATH for the last recorded version.",
    ),
    "MB106": Rule(
        "encoding",
        "error",
        "The bytes are not UTF-8, begin with a byte order mark, or hold half a character.",
        "JSON is UTF-8; readers differ in what they make of anything else.",
        _REPAIR,
    ),
    "MB107": Rule(
        "number",
        "error",
        "NaN, Infinity, an integer of more than 4,300 digits, or a number too large for a float.",
        "It is not JSON, or has no exact value in most programs.",
        "Let the writer use null or a string; memorybank repair PATH brings back the last recorded version.",
    ),
    "MB108": Rule(
        "too-large",
        "error",
        "Nested deeper than 64 levels, larger than 64 MiB, or too costly to parse.",
        "A hostile or runaway file must not take the whole check down.",
        "Split the file, or archive old records; memorybank rollback --path PATH brings back the last snapshot's version.",
    ),
    "MB110": Rule(
        "changed-outside",
        "error",
        "A file that only memorybank writes was changed by somebody else.",
        "Its content is no longer what the journal says.",
        _ACCEPT,
    ),
    "MB111": Rule(
        "missing",
        "error",
        "A file that should be there is gone.",
        "Append-only and managed sections never lose files by themselves.",
        "memorybank repair PATH or memorybank rollback --path PATH brings it back; memorybank accept PATH records that it is wanted.",
    ),
    "MB112": Rule(
        "stray",
        "info",
        "A JSON file outside every section, a directory named like one, or a bank inside the bank.",
        "Nothing checks it as a record.",
        "Move it into a section if agents rely on it.",
    ),
    "MB113": Rule(
        "append-only-changed",
        "error",
        "A file of an append-only section was changed after it was recorded.",
        "History that can be edited proves nothing.",
        _ACCEPT,
    ),
    "MB114": Rule(
        "history-broken",
        "error",
        "A history's count or order is broken.",
        "Messages are missing, twice, or out of order.",
        "memorybank repair rebuilds it from journal and segments.",
    ),
    "MB115": Rule(
        "bit-rot",
        "critical",
        "The content changed while size, times and inode did not: no program wrote that.",
        "The disk or memory is failing.",
        "memorybank repair PATH, then check the disk and make a backup elsewhere.",
    ),
    "MB116": Rule(
        "history-lost",
        "critical",
        "An account was begun anew, because neither its files nor the journal nor a snapshot gave all its messages.",
        "Messages that were acknowledged are lost; the account is failing until somebody has decided about it.",
        "The bytes that stood there wait in quarantine. If an older snapshot elsewhere has them: memorybank rollback --account ID --repo URL. Else memorybank accept PATH says that the loss is known.",
    ),
    "MB120": Rule(
        "journal-broken",
        "error",
        "The chain of the journal is broken.",
        "What the journal says after the break is not proved; nothing is written until this is settled.",
        "memorybank log --verify shows the place; memorybank repair keeps the segment as evidence and starts one that names the gap.",
    ),
    "MB121": Rule(
        "journal-short",
        "error",
        "The journal ends before a point that was vouched for.",
        "Acknowledged changes are missing from it.",
        "memorybank repair starts a segment that names the gap; memorybank rollback brings files back from a snapshot.",
    ),
    "MB122": Rule(
        "catalog-differs",
        "error",
        "Catalog and journal disagree, or the table of ids and an account's messages.",
        "Both are derived and can be made again; but while the table of ids is wrong a message may be stored twice.",
        "memorybank repair makes the catalog again from the journal, memorybank account check the table of ids.",
    ),
    "MB123": Rule(
        "journal-unproved",
        "info",
        "The chain can be followed only in part here.",
        "Older segments are gone or a mark is missing.",
        "Nothing; memorybank log --verify says what is proved.",
    ),
    "MB130": Rule(
        "snapshot-damaged",
        "error",
        "A snapshot or a pack in the repository is damaged.",
        "Files in it may not be restorable.",
        "memorybank backup makes a new one; keep the old repository until it is verified.",
    ),
    "MB131": Rule(
        "not-put-back",
        "error",
        "A rollback was asked for a version of a file that is kept nowhere, nor is an earlier one.",
        "Versions over 16 KiB are only in snapshots, and what no snapshot holds any more is gone.",
        "The file was left as it is. memorybank snapshot list shows what there is; more frequent backups keep more.",
    ),
    "MB201": Rule(
        "schema-mismatch",
        "error",
        "The document does not match its schema.",
        "Programs that rely on the shape will misread it.",
        "Correct the writer; the finding names the place and what is expected there.",
    ),
    "MB202": Rule(
        "no-schema",
        "info",
        "No schema fits this file.",
        "Only its bytes are checked, not its meaning.",
        "memorybank schema infer SECTION learns one from the files there; or write one to config/schemas/, or leave it.",
    ),
    "MB203": Rule(
        "schema-version",
        "error",
        "The document names a schema version that is not known.",
        "A newer or foreign program wrote it.",
        "Update memorybank, or migrate the document.",
    ),
    "MB204": Rule(
        "dangling-reference",
        "error",
        "A record, or a rule in config/aggregates.json, refers to what is not in the bank.",
        "Whoever follows the reference finds nothing: the other record was lost, renamed or never written.",
        "Bring the record back with memorybank rollback, or correct the reference.",
    ),
    "MB205": Rule(
        "time-without-zone",
        "warning",
        "Times in this section have no zone.",
        "The same text is another moment on another machine, and twice a year it is ambiguous even on one.",
        "Let the writer add the zone, best Z for UTC; the finding says which zone the epochs beside such times suggest.",
    ),
    "MB206": Rule(
        "times-differ",
        "warning",
        "An epoch and a text that tell the same moment are apart.",
        "One of them is wrong: mostly the text is local time without its zone, or a unit was mistaken.",
        "Let the writer derive both from one value, with the zone in the text.",
    ),
    "MB207": Rule(
        "aggregate-contradicted",
        "warning",
        "A total stands in a document, and the records say something else.",
        "Decisions are made from totals; a writer that was restarted, or that counts on its own, drifts away unseen.",
        "memorybank repair --aggregates PATH rebuilds it from the records; --dry-run shows old and new. A rule of your own is in config/aggregates.json.",
    ),
    "MB208": Rule(
        "duplicate-id",
        "error",
        "Two records of one kind have the same id.",
        "Whatever refers to that id means one of them, and nobody can say which.",
        "Give one of them an id of its own, or remove the copy.",
    ),
    "MB209": Rule(
        "older-schema-version",
        "warning",
        "The document names an older version of its schema.",
        "Programs that know only the present shape may misread it; its shape is not checked.",
        "memorybank migrate lifts it to the present version, by the steps that the schema tells.",
    ),
    "MB301": Rule(
        "over-limit",
        "warning",
        "The file is larger than its section allows.",
        "Large files are slow to read and to lose.",
        "Archive old records, or raise the limit in config/memorybank.json and trust it.",
    ),
    "MB303": Rule(
        "open-permissions",
        "warning",
        "Others may read or write files here.",
        "Any account on this machine can read or change the memory.",
        "chmod -R go-rwx the section, or make it a group's bank with init --group.",
    ),
    "MB304": Rule(
        "owner-changed",
        "warning",
        "The owner of a file is not the owner of the bank.",
        "Somebody else wrote it, or root did.",
        "chown it to the owner of the bank.",
    ),
    "MB305": Rule(
        "not-a-plain-file",
        "error",
        "A symbolic link, a special file, or a hard link to a managed file.",
        "Writing through it changes something outside the bank's control.",
        "Replace it with a plain file; memorybank never follows it.",
    ),
    "MB306": Rule(
        "not-writable",
        "error",
        "The bank or one of its directories cannot be written.",
        "The next write will fail.",
        "Correct owner and mode.",
    ),
    "MB307": Rule(
        "unreadable",
        "error",
        "The file or directory cannot be read.",
        "It is neither checked nor backed up.",
        "Correct owner and mode.",
    ),
    "MB401": Rule(
        "untrusted-setting",
        "warning",
        "A setting in the bank's own config is not taken from there.",
        "Agents write the bank; programs, addresses, keys and loosened limits must come from you.",
        "If you wrote it: memorybank config trust. Else remove it.",
    ),
    "MB501": Rule(
        "snapshot-age",
        "warning",
        "There is no recent good snapshot.",
        "Damage found now could not be undone in full.",
        "memorybank backup, and run it from cron.",
    ),
    "MB502": Rule(
        "disk-space",
        "warning",
        "The file system is nearly full.",
        "The next write or backup may fail.",
        "Free space, or move the repository.",
    ),
    "MB503": Rule(
        "account-capacity",
        "warning",
        "An account takes more of the disk than the setting health.account_mib allows.",
        "Snapshots, exports and recovery take time and room with it.",
        "memorybank account archive ID packs old messages; or raise health.account_mib.",
    ),
    "MB504": Rule(
        "slow-or-failing-calls",
        "warning",
        "Reading or writing messages takes long, or fails often: more than health.response_ms or health.error_rate.",
        "Agents wait, or go on without their memory.",
        "Look at the disk (space, speed, errors) and at how many processes write; memorybank health shows the samples.",
    ),
    "MB505": Rule(
        "files-behind",
        "warning",
        "Files of an account are behind the journal for longer than health.lag_seconds.",
        "Programs that read the files themselves see an older memory; nothing is lost, and memorybank reads what is missing from the journal.",
        "Any memorybank command that may write brings them up to date; a process that was stopped may hold the lock.",
    ),
    "MB506": Rule(
        "component-failing",
        "error",
        "A part of an account is failing: its file or the history behind it is not what it should be; or a database cannot be written.",
        "Agents that rely on it miss messages or cannot read; without the catalog work goes on with the files, and slower.",
        "memorybank account show ID says why; memorybank repair cures what can be cured; a database is made again where it can be.",
    ),
    "MB510": Rule(
        "context-pending",
        "info",
        "The summaries of a conversation are not up to date, and scikit-learn, which makes them, is not installed.",
        "Messages are stored and listed as ever; only their summary in history_context.json lacks the newest.",
        "Install it with pip install 'memorybank-cli[ml]'; the next message makes up for it, or memorybank context refresh --account ID.",
    ),
}
