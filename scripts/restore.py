"""Restores a snapshot without memorybank: `python restore.py REPOSITORY SNAPSHOT TARGET [KEY]` needs only zstandard.

SNAPSHOT is a file name below snapshots/. An encrypted repository needs cryptography too, and KEY: a file with the
passphrase or the raw key; without it the passphrase is asked for. What damaged packs took with them is listed, and
the exit code is 1.
"""

# Short enough to be read through, and any damage must only be listed:
# ruff: noqa: ANN001, ANN002, ANN201, BLE001, D103

import getpass
import glob
import hashlib
import hmac
import json
import os
import re
import sys

if not 4 <= len(sys.argv) <= 5:
    print("usage: python restore.py REPOSITORY SNAPSHOT TARGET [KEY]", file=sys.stderr)
    sys.exit(2)
try:
    import zstandard
except ImportError:
    sys.exit("Python's zstandard is needed: pip install zstandard (Debian, Ubuntu: apt-get install python3-zstandard)")
repository, snapshot, target, *key = sys.argv[1:]
there = sorted(map(os.path.basename, glob.glob(glob.escape(repository) + "/snapshots/*")))
if snapshot not in there:
    sys.exit(f"{repository} has no snapshot {snapshot}; there are:\n" + "\n".join(there or ["none"]))
where, frames, lost = {}, {}, []  # where: blob -> [(pack, salt, number, offset, length, frame size, start, size)]


def note(*words):
    print(*words, file=sys.stderr)


def master_key(given):
    """The master key by whichever key file the passphrase or raw key opens."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    passphrase = given.removeprefix(b"\xef\xbb\xbf").removesuffix(b"\n").removesuffix(b"\r")
    for path in sorted(glob.glob(glob.escape(repository) + "/keys/*.json")):
        try:
            with open(path, "rb") as file:
                wrap = json.load(file)
            if wrap["kdf"] == "scrypt":
                salt, cost = bytes.fromhex(wrap["salt"]), {name: wrap[name] for name in "nrp"}
                opener = hashlib.scrypt(passphrase, salt=salt, maxmem=1 << 29, dklen=32, **cost)
            else:
                opener = given if len(given) == 32 else bytes.fromhex(given.decode("latin-1"))
            nonce, wrapped = bytes.fromhex(wrap["nonce"]), bytes.fromhex(wrap["wrapped"])
            return AESGCM(opener).decrypt(nonce, wrapped, repo_id)
        except (InvalidTag, ValueError):  # not this key, or not of this kind
            continue
        except Exception as error:
            note("not opened:", path, error)
    sys.exit("no key of the repository fits")


def unsealed(label, salt, number, data):
    if master is None:
        return data
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    one = hmac.digest(hmac.digest(salt, master, "sha256"), label + b"\1", "sha256")
    return AESGCM(one).decrypt(number.to_bytes(12, "big"), data, b"mb1" + repo_id)


try:
    with open(os.path.join(repository, "config.json"), "rb") as file:
        config = json.load(file)
    repo_id = config["repo_id"].encode()
    encrypted = "encryption" in config
except Exception as error:  # a plain repository needs none
    note("config.json cannot be read:", error)
    encrypted = False
master = None
if encrypted and key:
    with open(key[0], "rb") as file:
        master = master_key(file.read())
elif key:
    sys.exit("a key is given, but config.json says of no encryption; leave the key out if there never was any")
elif encrypted:
    master = master_key(getpass.getpass("Passphrase: ").encode())

for path in sorted(glob.glob(glob.escape(repository) + "/packs/*/*")):
    try:
        with open(path, "rb") as pack:
            if hashlib.file_digest(pack, "sha256").hexdigest() != os.path.basename(path):
                note("damaged pack, of which only what verifies is used:", path)
            pack.seek(8)
            salt = pack.read(32)
            pack.seek(-12, os.SEEK_END)
            footer = int.from_bytes(pack.read(4), "little")
            pack.seek(-12 - footer, os.SEEK_END)
            listed = unsealed(b"mb-pack-1", salt, (1 << 96) - 1, pack.read(footer))
            for number, (offset, length, blobs) in enumerate(json.loads(zstandard.decompress(listed))):
                start, total = 0, sum(size for _, size in blobs)
                for blob, size in blobs:
                    where.setdefault(blob, []).append((path, salt, number, offset, length, total, start, size))
                    start += size
    except Exception as error:
        note("unusable pack:", path, error)


def frame(path, salt, number, offset, length, total):
    with open(path, "rb") as pack:
        pack.seek(offset)
        data = unsealed(b"mb-pack-1", salt, number, pack.read(length))
    return zstandard.decompress(data) if zstandard.frame_content_size(data) == total else b""


def read(blob):
    for path, salt, number, offset, length, total, start, size in where.get(blob, ()):
        try:
            if (path, offset) not in frames:
                frames.clear()
                frames[path, offset] = frame(path, salt, number, offset, length, total)
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


def rows(tree, path):
    for row in json.loads(read(tree)):
        if row[0] != "p":
            yield row
            continue
        try:  # a part of a large directory
            yield from json.loads(read(row[1]))
        except Exception as error:
            lost.append(path)
            note("lost: a part of", os.fsdecode(path), error)


def restore(kind, path, mode, mtime, good, *rest):
    try:
        if kind == "d":
            os.mkdir(path)
            for inner, name, *entry in rows(good, path):
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
    data = file.read()
try:
    document = json.loads(unsealed(b"mb-snap-1", data[:32], 0, data[32:]) if master else data)
except Exception as error:
    sys.exit(f"the document of snapshot {snapshot} is damaged: {error!r}")
body = {key: value for key, value in document.items() if key not in ("id", "digest")}
compact = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
if hashlib.sha256(compact.encode()).hexdigest() != document["digest"]:
    sys.exit(f"the document of snapshot {snapshot} is damaged")
restore("d", os.fsencode(target), 0o700, 0, document["root"])
sys.exit(1 if lost else 0)
