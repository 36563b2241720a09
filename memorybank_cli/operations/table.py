"""Every operation by name: where it stands, what it needs, and what it does in one line.

Listing the commands reads this table only, so no operation is imported for it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Need = Literal["bank", "optional", "none"]


class Operation(NamedTuple):
    """One row."""

    name: str
    """The words of the command: `snapshot verify`."""
    target: str
    """`module:function`"""
    needs: Need
    """`bank`: an open bank; `optional`: a bank or None; `none`: no bank."""
    summary: str
    """The first sentence of its docstring, without the full stop."""
    stream: bool = False
    """It yields lines instead of returning one report."""
    opens: bool = False
    """It opens a repository whatever comes, so the key of an encrypted one may be derived early."""

    @property
    def group(self) -> str:
        """`snapshot` of `snapshot verify`, `snapshot key` of `snapshot key add`; '' for a command that stands alone."""
        return self.name.rpartition(" ")[0]

    @property
    def word(self) -> str:
        """`verify` of `snapshot verify`."""
        return self.name.rpartition(" ")[2]


GROUPS: dict[str, str] = {
    "config": "Settings: what holds, where it comes from, and what is trusted",
    "schema": "Schemas: what documents look like, built in, your own, or learnt from your files",
    "snapshot": "Work with snapshots",
    "snapshot key": "The keys of an encrypted repository",
    "account": "Conversation accounts",
    "message": "The messages of an account",
    "maintain": "Maintenance runs, each made of steps",
    "schedule": "Maintenance by the clock: systemd timers, or the crontab",
    "context": "The analysed summaries of an account",
    "alert": "Alerts: what fires, who is told, by which channels, and what is silenced",
}

_AT = "memorybank_cli.operations."
_ROWS = (
    Operation("init", f"{_AT}init:init", "none", "Make a bank, or complete one"),
    Operation("status", f"{_AT}status:status", "bank", "Show how the bank is, and what changed"),
    Operation("validate", f"{_AT}check:validate", "optional", "Check every file and say what is wrong"),
    Operation("accept", f"{_AT}accept:accept", "bank", "Record changes made outside memorybank as wanted"),
    Operation("repair", f"{_AT}repair:repair", "bank", "Cure damaged files without loss"),
    Operation("log", f"{_AT}journal:log", "bank", "Show the journal, or prove it", stream=True),
    Operation("manifest", f"{_AT}manifest:manifest", "bank", "Write the checksums of all files, or check them"),
    Operation("explain", f"{_AT}explain:explain", "none", "Say what a rule of the findings means and what to do"),
    Operation("backup", f"{_AT}backup:backup", "bank", "Make a snapshot", opens=True),
    Operation(
        "rollback", f"{_AT}rollback:rollback", "bank", "Put the bank, or a part of it, back in place", opens=True
    ),
    Operation("migrate", f"{_AT}migrate:migrate", "none", "Import into the bank, or bring it up to date"),
    Operation("watch", f"{_AT}watch:watch", "bank", "Watch the bank and tell of each change", stream=True),
    Operation("health", f"{_AT}health:health", "bank", "Show the health of the bank as one number and one word"),
    Operation("maintain daily", f"{_AT}maintain:daily", "bank", "Do what is to be done every day"),
    Operation("maintain weekly", f"{_AT}maintain:weekly", "bank", "Prove every week that everything could be had back"),
    Operation("maintain monthly", f"{_AT}maintain:monthly", "bank", "Check deeply and tidy up every month"),
    Operation("maintain missed", f"{_AT}maintain:missed", "bank", "Make up for maintenance runs that were missed"),
    Operation("schedule show", f"{_AT}schedule:show", "bank", "Show what runs by the clock, and how it went"),
    Operation("schedule install", f"{_AT}schedule:install", "bank", "Have maintenance run by the clock"),
    Operation("schedule remove", f"{_AT}schedule:remove", "bank", "Take the schedule of this bank away"),
    Operation("alert list", f"{_AT}alerts:list_", "bank", "List the alerts that fire"),
    Operation("alert show", f"{_AT}alerts:show", "bank", "Show one alert, and how it is told"),
    Operation("alert ack", f"{_AT}alerts:ack", "bank", "Acknowledge alerts: somebody sees to them"),
    Operation("alert silence", f"{_AT}alert_rules:silence", "bank", "Silence alerts for a while, or list the silences"),
    Operation("alert route", f"{_AT}alert_rules:route", "bank", "Show where alerts go, or where one would go and why"),
    Operation("config show", f"{_AT}config:show", "optional", "Show the settings that hold"),
    Operation("config get", f"{_AT}config:get", "optional", "Show one setting"),
    Operation("config set", f"{_AT}config:set_", "optional", "Change one setting"),
    Operation("config check", f"{_AT}config:check", "optional", "Check the settings"),
    Operation("config trust", f"{_AT}config:trust", "bank", "Let the bank's own config decide what it may"),
    Operation("schema list", f"{_AT}schema:list_", "optional", "List the schemas and what they are for"),
    Operation("schema show", f"{_AT}schema:show", "optional", "Show one schema"),
    Operation("schema check", f"{_AT}schema:check", "optional", "Check schemas, and how many files match them"),
    Operation("schema infer", f"{_AT}inferring:infer", "bank", "Learn a schema from the files of a section"),
    Operation("snapshot list", f"{_AT}snapshots:list_", "bank", "List the snapshots", opens=True),
    Operation("snapshot show", f"{_AT}snapshots:show", "bank", "Show one snapshot and what it holds", opens=True),
    Operation(
        "snapshot diff",
        f"{_AT}comparing:diff",
        "bank",
        "Show what differs between snapshots, or a snapshot and now",
        opens=True,
    ),
    Operation(
        "snapshot find", f"{_AT}searching:find", "bank", "Find files in snapshots by path, record or text", opens=True
    ),
    Operation("snapshot cat", f"{_AT}export:cat", "bank", "Write a file of a snapshot to stdout", opens=True),
    Operation("snapshot verify", f"{_AT}verifying:verify", "bank", "Prove that snapshots can be restored", opens=True),
    Operation(
        "snapshot restore", f"{_AT}snapshots:restore", "bank", "Put a snapshot's content into a directory", opens=True
    ),
    Operation("snapshot key list", f"{_AT}keys:list_", "bank", "List the keys of an encrypted repository"),
    Operation("snapshot key add", f"{_AT}keys:add", "bank", "Let one more key open the repository", opens=True),
    Operation("snapshot key remove", f"{_AT}keys:remove", "bank", "Take a key away"),
    Operation("snapshot export", f"{_AT}export:export", "bank", "Write a snapshot as an archive", opens=True),
    Operation(
        "snapshot drill",
        f"{_AT}drill:drill",
        "bank",
        "Prove by restoring that a snapshot is a whole, valid bank",
        opens=True,
    ),
    Operation("snapshot forget", f"{_AT}forgetting:forget", "bank", "Forget snapshots by a policy", opens=True),
    Operation("snapshot prune", f"{_AT}pruning:prune", "bank", "Remove what no snapshot needs", opens=True),
    Operation(
        "snapshot undelete",
        f"{_AT}undeleting:undelete",
        "bank",
        "Bring forgotten snapshots back from the trash",
        opens=True,
    ),
    Operation("snapshot pin", f"{_AT}pins:pin", "bank", "Pin a snapshot, so that it is never forgotten", opens=True),
    Operation("account create", f"{_AT}accounts:create", "bank", "Make an account"),
    Operation("account list", f"{_AT}accounts:list_", "bank", "List the accounts"),
    Operation("account show", f"{_AT}accounts:show", "bank", "Show one account"),
    Operation("account check", f"{_AT}account_check:check", "bank", "Check an account by reading all of it"),
    Operation("account archive", f"{_AT}account_archive:archive", "bank", "Archive the oldest messages of an account"),
    Operation("account rename", f"{_AT}account_rename:rename", "bank", "Give an account another id"),
    Operation("account export", f"{_AT}account_export:export", "bank", "Write an account as one JSON document"),
    Operation("message add", f"{_AT}messages:add", "bank", "Add a message, or many from stdin"),
    Operation("context show", f"{_AT}contexts:show", "bank", "Show the summaries of an account's conversation"),
    Operation(
        "context refresh", f"{_AT}contexts:refresh", "bank", "Summarise what came since, and the newest topic anew"
    ),
    Operation("account compact", f"{_AT}account_compact:compact", "bank", "Make the journal smaller"),
    Operation(
        "account forget", f"{_AT}account_forget:forget", "bank", "Forget an account with all its messages for good"
    ),
    Operation("message forget", f"{_AT}message_forget:forget", "bank", "Forget messages for good"),
    Operation("alert test", f"{_AT}alert_test:send_test", "bank", "Send a test message to channels of alerts"),
    Operation("message list", f"{_AT}messages:list_", "bank", "List the messages of an account", stream=True),
)
OPERATIONS: dict[str, Operation] = {row.name: row for row in _ROWS}
