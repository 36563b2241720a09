"""Files that the user names, wherever they lie: reports, schemas, what a monitor reads."""

from __future__ import annotations

import os
from contextlib import closing

from memorybank_cli.base import files
from memorybank_cli.base.errors import OperationFailed
from memorybank_cli.base.names import escape


def put(
    path: str,
    data: bytes,
    mode: int = files.FILE_MODE,
    directory_mode: int = files.DIRECTORY_MODE,
    *,
    durable: bool = True,
) -> None:
    """Put `data` at a path in one step; its directory is made where it is missing, and a link is followed.

    Raises OSError, and OperationFailed where a directory, device or pipe stands there, which nobody wants replaced.
    """
    place = os.path.realpath(path)
    if os.path.exists(place) and not os.path.isfile(place):
        raise OperationFailed(f"{escape(path)} is no file that could be replaced", path=path, hint="name a file")
    with closing(files.make_root(os.path.dirname(place), directory_mode)) as root:
        files.replace(root, escape(os.path.basename(place)), data, mode, durable=durable)
