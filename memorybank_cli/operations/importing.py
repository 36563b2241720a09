"""Importing a source: into a new bank, built beside its place and renamed into it, or into a standing one as one act.

The source stays as it is. A killed run leaves no half-imported bank: what it was building is removed by the next run.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from memorybank_cli.bank.bank import Bank
from memorybank_cli.bank.home import user_config
from memorybank_cli.bank.replacing import replacing
from memorybank_cli.base import files, locks
from memorybank_cli.base.context import Context
from memorybank_cli.base.errors import Refused, from_os_error
from memorybank_cli.base.names import escape
from memorybank_cli.base.records import Finding, Progress
from memorybank_cli.base.settings import Settings, flatten
from memorybank_cli.base.walk import Root
from memorybank_cli.base.words import counted
from memorybank_cli.migrations.choosing import Part, choose
from memorybank_cli.migrations.source import Source
from memorybank_cli.operations.intake import Intake, Tally
from memorybank_cli.operations.targets import Aside, Rehearsal, Standing


class Chosen(NamedTuple):
    """A source, and which importer reads which files of it."""

    source: Source
    parts: list[Part]

    @property
    def path(self) -> str:
        """Where the source stands, absolute."""
        return self.source.root.absolute(self.source.name) if self.source.is_file else self.source.root.path


@dataclass(frozen=True)
class Imported:
    """What came of an import, or would."""

    path: str
    tally: Tally
    skipped: tuple[tuple[str, str], ...]
    findings: tuple[Finding, ...] = ()
    """What the examination on the way found in files that came into a standing bank."""
    adopted: int = 0
    """Files that stand in the journal now because of it."""
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The contract's fields; `imported` counts files and messages together."""
        tally = self.tally
        names = ("importer", "score", "kind", "from", "to")
        return {
            "from": escape(self.path),
            "imported": tally.files + tally.messages,
            "files": tally.files,
            "bytes": tally.bytes,
            "messages": tally.messages,
            "converted": tally.converted,
            "rejected": [one._asdict() for one in tally.rejected],
            "references_updated": tally.references,
            "present": tally.present,
            "accounts": sorted(tally.accounts),
            "assumptions": [{"text": text, "count": count} for text, count in tally.assumptions.items()],
            "skipped": [{"path": path, "reason": reason} for path, reason in self.skipped],
            "plan": [
                {**dict(zip(names, key, strict=True)), "count": count}
                for key, count in tally.plan.items()
                if (*key[:2], "messages", key[3], f"{key[4]}/") not in tally.plan  # its messages say it all
            ],
            "dry_run": self.dry_run,
            "steps": [],
            "lifted": [],
        }

    def summary(self) -> str:
        """How many of what."""
        tally, verb = self.tally, "would be imported" if self.dry_run else "imported"
        kinds = ((tally.files, "file"), (tally.messages, "message"))
        counts = " and ".join(counted(count, name) for count, name in kinds if count) or "nothing"
        more = [(tally.present, "there already"), (len(tally.rejected), "rejected"), (len(self.skipped), "left behind")]
        return ", ".join([f"{counts} {verb}", *(f"{count:,} {what}" for count, what in more if count)])


@contextmanager
def chosen(path: str, name: str | None, target: str) -> Iterator[Chosen]:
    """Open a source and decide who reads what; `name` is the importer that was asked for.

    Raises UsageError for a source that is none or holds nothing that can be imported, Refused where one lies in the
    other.
    """
    source = Source(path)
    try:
        here, there = source.root.path, os.path.realpath(target)
        if not source.is_file and (there == here or there.startswith(here.rstrip(os.sep) + os.sep)):
            raise Refused(
                f"{escape(target)} lies in {escape(path)}",
                hint="choose a target outside, or run init there without --from",
            )
        origin = os.path.realpath(path)
        if origin.startswith(there.rstrip(os.sep) + os.sep):
            raise Refused(
                f"{escape(path)} lies in {escape(target)}",
                hint="what lies there belongs to the bank already; import a copy that lies outside",
            )
        yield Chosen(source, choose(source, name))
    finally:
        source.close()


def rehearse(what: Chosen, progress: Progress, root: Root | None, bank: Bank | None, refuse: bool = False) -> Imported:
    """What an import would come to; nothing is written. With `refuse` it raises Refused for a file in the way."""
    target = Rehearsal(root, bank)
    return Imported(what.path, *_run(what, Intake(what.source, target, bank, progress, refuse)), dry_run=True)


def fill(what: Chosen, bank: Bank, progress: Progress) -> Imported:
    """Import into a new bank that is built aside: its files, then the journal from its first line on."""
    target = Aside(bank)
    done = _run(what, Intake(what.source, target, bank, progress))
    return Imported(what.path, *done, adopted=target.adopted)


def bring(what: Chosen, bank: Bank, progress: Progress, refuse: bool = False) -> Imported:
    """Import into a standing bank as one act. A file in the way is rejected, or with `refuse` raises Refused."""
    with replacing(bank, "import", keep=False) as act:
        target = Standing(bank, act)
        done = _run(what, Intake(what.source, target, bank, progress, refuse))
    return Imported(what.path, *done, tuple(target.findings), done[0].files)


def _run(what: Chosen, intake: Intake) -> tuple[Tally, tuple[tuple[str, str], ...]]:
    tally = intake.run(what.parts)
    return tally, tuple(sorted(set(what.source.skipped)))


class Site:
    """The directory in which a new bank is built, beside the place where it will stand."""

    def __init__(self, parent: Root, name: str, path: str) -> None:
        self.parent, self.name, self.path = parent, name, path
        self.root = Root(parent.absolute(name))

    def put_in_place(self) -> None:
        """Make everything durable, then rename. Raises Refused where something came to stand there meanwhile."""
        files.sync_all(self.parent)
        if os.path.isdir(self.path):  # an empty directory was chosen for its owner and mode
            info = os.stat(self.path)
            files.set_attributes(self.root, "", info.st_mode & 0o7777, info.st_mtime_ns)
        try:
            files.rename(self.parent, self.name, escape(os.path.basename(self.path)))
        except OSError as error:
            raise Refused(
                f"something came to stand at {escape(self.path)} during the import",
                hint="nothing was changed; look at it and run the import again",
                path=self.path,
            ) from error


def patience(context: Context) -> float:
    """Seconds to wait for another process where there is no bank yet whose settings say it."""
    user = flatten(user_config(os.geteuid()))
    return float(Settings(context.options, user=user)["lock_timeout"])


@contextmanager
def building(path: str, timeout: float) -> Iterator[Site]:
    """A place to build a new bank for `path`; what a killed run left there is removed, as is what is not put in place.

    Raises Locked while another process is building there.
    """
    parent = files.make_root(os.path.dirname(path))
    name = f".{escape(os.path.basename(path))}.importing"
    try:
        site = _taken(parent, name, path, timeout)
        try:
            files.empty(site.root)
            yield site
        finally:
            if _is_at(site):
                files.remove_tree(parent, name)
            site.root.close()
    except OSError as error:
        raise from_os_error(error, "cannot import") from error
    finally:
        parent.close()


def _taken(parent: Root, name: str, path: str, timeout: float) -> Site:
    while True:
        files.make_dirs(parent, name)
        site = Site(parent, name, path)
        try:
            locks.hold_root(site.root, timeout)
        except BaseException:
            site.root.close()
            raise
        if _is_at(site):
            return site
        site.root.close()  # whoever held it put it into its place, or removed it


def _is_at(site: Site) -> bool:
    there, ours = site.parent.stat(site.name), os.fstat(site.root.fd)
    return there is not None and (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def is_free(path: str) -> bool:
    """Whether a new bank can be renamed to `path`: nothing stands there, or an empty directory that may be replaced."""
    if not os.path.lexists(path):
        return True
    if os.path.islink(path) or not os.path.isdir(path) or os.path.ismount(path):
        return False
    with os.scandir(path) as found:
        if next(found, None) is not None:
            return False
    return os.access(os.path.dirname(path), os.W_OK | os.X_OK)
