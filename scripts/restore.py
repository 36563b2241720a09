"""Restores a snapshot without memorybank: `python restore.py REPOSITORY SNAPSHOT TARGET` needs only zstandard.

SNAPSHOT is a file name below snapshots/. What damaged packs took with them is listed, and the exit code is 1.
"""

# Short enough to be read through, and any damage must only be listed:
# ruff: noqa: ANN001, ANN002, ANN201, BLE001, D103

import glob
import hashlib
import json
import os
import re
import sys

import zstandard

repository, snapshot, target = sys.argv[1:4]
where, frames, lost = {}, {}, []  # where: blob -> [(pack, offset, length, frame size, start, size)]


def note(*words):
    print(*words, file=sys.stderr)


for path in sorted(glob.glob(glob.escape(repository) + "/packs/*/*")):
    try:
        with open(path, "rb") as pack:
            if hashlib.file_digest(pack, "sha256").hexdigest() != os.path.basename(path):
                note("damaged pack, of which only what verifies is used:", path)
            pack.seek(-12, os.SEEK_END)
            footer = int.from_bytes(pack.read(4), "little")
            pack.seek(-12 - footer, os.SEEK_END)
            for offset, length, blobs in json.loads(zstandard.decompress(pack.read(footer))):
                start, total = 0, sum(size for _, size in blobs)
                for blob, size in blobs:
                    where.setdefault(blob, []).append((path, offset, length, total, start, size))
                    start += size
    except Exception as error:
        note("unusable pack:", path, error)


def frame(path, offset, length, total):
    with open(path, "rb") as pack:
        pack.seek(offset)
        data = pack.read(length)
    return zstandard.decompress(data) if zstandard.frame_content_size(data) == total else b""


def read(blob):
    for path, offset, length, total, start, size in where.get(blob, ()):
        try:
            if (path, offset) not in frames:
                frames.clear()
                frames[path, offset] = frame(path, offset, length, total)
            data = frames[path, offset][start : start + size]
            if hashlib.sha256(data).hexdigest() == blob:
                return data
        except Exception as error:
            note("unusable frame:", path, offset, error)
    raise ValueError(f"no good copy of blob {blob}")


def system_name(name):
    raw = re.sub(rb"\\x(..)|\\\\", lambda m: bytes.fromhex(m[1].decode()) if m[1] else b"\\", os.fsencode(name))
    if raw[:1] in (b"", b".") or b"/" in raw or b"\0" in raw:
        raise ValueError("not a file name")
    return raw


def restore(kind, path, mode, mtime, good, *rest):
    try:
        if kind == "d":
            os.mkdir(path)
            for inner, name, *entry in json.loads(read(good)):
                restore(inner, os.path.join(path, system_name(name)), *entry)
        else:
            ids = good or rest[1]["found"]
            data = b"".join(map(read, [ids] if isinstance(ids, str) else ids))
            with open(path, "xb") as out:
                out.write(data)
            if not good:
                note("restored as it was found,", rest[1]["rule"], os.fsdecode(path))
        os.chmod(path, mode & 0o777)
        os.utime(path, ns=(mtime, mtime))
    except Exception as error:
        lost.append(path)
        note("lost:", os.fsdecode(path), error)


with open(os.path.join(repository, "snapshots", snapshot), "rb") as file:
    document = json.load(file)
body = {key: value for key, value in document.items() if key not in ("id", "digest")}
compact = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
if hashlib.sha256(compact.encode()).hexdigest() != document["digest"]:
    sys.exit(f"the document of snapshot {snapshot} is damaged")
restore("d", os.fsencode(target), 0o700, 0, document["root"])
sys.exit(1 if lost else 0)
