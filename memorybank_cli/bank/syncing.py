"""One fdatasync for all who appended: who gets `sync.lock` syncs, the others return once that passed what is theirs.

`sync.lock` also says how far the journal is durable, and how many syncs failed since the machine started; both mean
nothing after a restart, which is told by the boot id. Beside it stands how far lines were appended, which whoever holds
the bank's lock writes. After a sync that failed nobody knows what of the segment is on the disk: it is *poisoned*,
every line after the last sync that worked counts as never written, and whoever appended one is told so.
"""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from typing import Any, NamedTuple
from zlib import crc32

from memorybank_cli.bank import layout
from memorybank_cli.base import clock, files
from memorybank_cli.base.locks import Lock
from memorybank_cli.base.walk import Root

_SYNCED = struct.Struct("<36sQQQ?QQ")
_APPENDED = struct.Struct("<36sQQ")
_CHECK = struct.Struct("<I")
_APPENDED_AT = 128
_BYTES = _APPENDED_AT + _APPENDED.size + _CHECK.size
READS = 3
"""Times that a record is read which is not whole: mostly its writer is at it, which happens once in 10,000 reads."""
TORN = ()
_PAUSES = (0.000_05, 0.005)  # shortest and longest seconds between two looks at what another process synced


class Synced(NamedTuple):
    """How far the journal is durable since the machine started."""

    segment: int
    offset: int
    failures: int
    """How many syncs failed; who appended before the last of them, and was not synced, has to be told."""
    poisoned: bool
    """Whether the last sync failed and nobody cured the segment yet."""
    kept_segment: int = 0
    kept_offset: int = 0
    """How far the journal was durable when a sync last failed: so much is kept, what came after it is void.

    With 0 nobody knows how far: `sync.lock` was removed, or is damaged. Then all of it is kept.
    """

    def failed(self) -> Synced:
        """What holds once a sync failed."""
        return Synced(self.segment, self.offset, self.failures + 1, True, self.segment, self.offset)

    def covers(self, segment: int, offset: int) -> bool:
        """Whether a line that ends there is durable."""
        return (self.segment, self.offset) >= (segment, offset)


UNKNOWN = Synced(0, 0, -1, False)
NOWHERE = (0, 0)


class Unsynced(OSError):
    """Lines that were appended are not durable, and are void: nobody may take them for written."""

    def __init__(self, path: str) -> None:
        super().__init__(errno.EIO, "the disk did not take what was written", path)


class Syncing:
    """Shared syncs of one bank's journal."""

    def __init__(self, root: Root) -> None:
        self.root = root
        self._lock = Lock(root, layout.SYNC_LOCK, is_written=True)
        self._boot = clock.boot_id().encode()[:36].ljust(36)
        self.shares = bool(self._boot.strip())
        """Whether the system tells its starts apart; else nothing that was published may be believed."""
        self._mine = threading.Lock()
        self._takes = 0.000_2
        """Seconds that a sync takes here, about."""
        self._parsed: dict[struct.Struct, tuple[bytes, tuple[Any, ...] | None]] = {}
        """What each record said when it was looked at last: mostly it still does."""

    def close(self) -> None:
        """Give the descriptor back."""
        self._lock.close()

    def state(self) -> Synced:
        """What is known since the machine started, `UNKNOWN` for nothing; costs one read."""
        return self.look()[0]

    def look_afresh(self) -> tuple[Synced, tuple[int, int]]:
        """`look`, in the file that stands there now: somebody may have removed the one that is open."""
        if self._lock.fd >= 0 and not self._lock.stands():
            self._lock.close()
        return self.look()

    def look(self) -> tuple[Synced, tuple[int, int]]:
        """What is known since the machine started, and the segment and offset to which whole lines stand."""
        if self._lock.fd < 0 and not self._opens():
            return UNKNOWN, NOWHERE
        for _ in range(READS):
            data = os.pread(self._lock.fd, _BYTES, 0)
            synced, appended = self._said(_SYNCED, data, 0), self._said(_APPENDED, data, _APPENDED_AT)
            if TORN not in (synced, appended):
                break
        return Synced._make(synced) if synced else UNKNOWN, (appended or NOWHERE)[:2]

    def appended(self, segment: int, offset: int) -> None:
        """Say how far whole lines stand; the caller holds the bank's lock."""
        self._write(_APPENDED, _APPENDED_AT, segment, offset)

    def publish(self, state: Synced) -> None:
        """Say how far the journal is durable; the caller holds the bank's lock or `sync.lock`."""
        self._write(_SYNCED, 0, *state)

    def durable(self, fd: int, segment: int, offset: int, failures: int, timeout: float) -> Synced | None:
        """Return once what was appended up to `offset` through `fd` is on the disk.

        `failures` is what `state` said when it was appended. Raises Unsynced, or the sync's OSError: then it is void.
        Where the holder of `sync.lock` was stopped what it gives is still to be published, by `catch_up`.
        """
        with self._mine:  # flock knows no threads
            held = self._waited(segment, offset, failures, timeout)
            if held is None:
                return None
            try:
                state, appended = self.look()
                if self._is_done(state, segment, offset, failures):
                    return None
                if appended[0] == segment:  # what others appended before is made durable by the same sync
                    offset = max(offset, appended[1])
                wanted = Synced(segment, offset, failures, False, state.kept_segment, state.kept_offset)
                self._sync(fd, wanted)
                if not held:
                    return wanted
                self.catch_up(wanted)
                return None
            finally:
                if held:
                    self._lock.release()

    def catch_up(self, wanted: Synced) -> None:
        """Publish what was synced, unless that goes back; the caller holds `sync.lock`, or else the bank's lock.

        Raises Unsynced where another sync failed meanwhile: nobody knows what this one was worth.
        """
        if not self._is_done(self.state(), wanted.segment, wanted.offset, wanted.failures):
            self.publish(wanted)

    def _waited(self, segment: int, offset: int, failures: int, timeout: float) -> bool | None:
        """None once somebody else synced that far, else whether `sync.lock` is held now.

        It is not where its holder was stopped: then everybody syncs on their own.
        """
        deadline = 0.0
        pause = min(max(self._takes / 2, _PAUSES[0]), _PAUSES[1])
        while not self._lock.try_once():
            if self._is_done(self.state(), segment, offset, failures):
                return None
            now = time.monotonic()
            deadline = deadline or now + min(timeout, 1.0)
            if now > deadline:
                return False
            time.sleep(pause)
        return True

    def _is_done(self, state: Synced, segment: int, offset: int, failures: int) -> bool:
        """Whether a line that ends there is durable. Raises Unsynced where it is void."""
        if state.failures <= failures:
            return state.covers(segment, offset) and state.failures == failures
        if state.failures == failures + 1 and (state.kept_segment, state.kept_offset) >= (segment, offset):
            return True  # it was synced before the sync that failed
        raise Unsynced(self.root.absolute(layout.segment_file(segment)))

    def _sync(self, fd: int, wanted: Synced) -> None:
        begun = time.monotonic()
        try:
            files.sync_data(fd)
        except OSError:
            self.poison(wanted.failures)
            raise
        self._takes += (time.monotonic() - begun - self._takes) / 4

    def poison(self, failures: int) -> None:
        """A sync failed: a later one of the same file that works would say nothing."""
        state = self.state()
        self.publish((UNKNOWN._replace(failures=failures) if state == UNKNOWN else state).failed())

    def _opens(self) -> bool:
        try:
            return self._lock.open(create=False)
        except OSError as error:  # who may not write appends nothing either
            if error.errno not in (errno.EROFS, errno.EACCES, errno.EPERM):
                raise
            return False

    def _said(self, shape: struct.Struct, data: bytes, where: int) -> tuple[Any, ...] | None:
        record = data[where : where + shape.size + _CHECK.size]
        known = self._parsed.get(shape)
        if known is None or known[0] != record:
            known = self._parsed[shape] = record, self._parse(shape, record)
        return known[1]

    def _parse(self, shape: struct.Struct, record: bytes) -> tuple[Any, ...] | None:
        body = record[: shape.size]
        if len(record) < shape.size + _CHECK.size:
            return None
        if _CHECK.pack(crc32(body)) != record[shape.size :]:
            return TORN
        boot, *parts = shape.unpack(body)
        return tuple(parts) if boot == self._boot and self.shares else None

    def _write(self, shape: struct.Struct, where: int, *parts: int) -> None:
        if self._lock.fd < 0:
            self._lock.open()
        if not self.shares:
            return
        body = shape.pack(self._boot, *parts)
        record = body + _CHECK.pack(crc32(body))
        files.overwrite(self._lock.fd, record, where)
        self._parsed[shape] = record, parts
