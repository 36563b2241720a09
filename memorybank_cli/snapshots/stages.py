"""The directories that restores are built in, beside their targets: held meanwhile, so that left ones can be told."""

from __future__ import annotations

import errno
import os
import re
import secrets
import stat
from contextlib import closing

from memorybank_cli.base import files, locks
from memorybank_cli.base.errors import Locked, MemorybankError
from memorybank_cli.base.records import Progress
from memorybank_cli.base.walk import Root, entries

_NAME = re.compile(re.escape(files.TEMPORARY) + "[0-9a-f]{16}")
# File systems that lock no directories: a stage is not held there, and none is taken for left.
_NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.EBADF, errno.ENOLCK}


def begin(parent: Root) -> tuple[str, Root]:
    """A new stage below `parent`, its name and its root, which holds it until it is closed. Raises OSError."""
    while True:
        name = f"{files.TEMPORARY}{secrets.token_hex(8)}"
        try:
            files.make_dirs(parent, name)
            stage = _held(os.path.join(parent.path, name))
        except BaseException:
            files.remove_tree(parent, name)
            raise
        if parent.is_dir(name):
            return name, stage
        stage.close()  # it was taken for left before it was held


def _held(path: str) -> Root:
    stage = Root(path)
    try:
        locks.hold_root(stage)
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            stage.close()
            raise
    return stage


def remove_left(parent: Root, progress: Progress) -> None:
    """Remove stages that killed restores of this user left below `parent`."""
    for name in entries(parent.fd)[3]:
        if not _NAME.fullmatch(name):
            continue
        try:
            info = parent.stat(name)
            if info is None or not stat.S_ISDIR(info.st_mode) or info.st_uid != os.geteuid():
                continue
            with closing(Root(os.path.join(parent.path, name))) as left:
                locks.hold_root(left, timeout=0)
                files.remove_tree(parent, name)
        except Locked:
            continue
        except (OSError, MemorybankError):
            progress.note(f"{os.path.join(parent.path, name)} was left by an interrupted restore; it can be removed")
            continue
        progress.note(f"removed {name}, which an interrupted restore had left")
