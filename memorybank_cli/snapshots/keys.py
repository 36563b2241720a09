"""The keys of an encrypted repository: its master key, sealed once for each passphrase or raw key that may open it.

    keys/<name>.json   {"kdf": "scrypt", "n", "r", "p", "salt", "nonce", "wrapped", "repo_id", "created_at"}
                       {"kdf": "raw", "nonce", "wrapped", "repo_id", "created_at"}

Bytes stand in hexadecimal. `wrapped` is the master key under AES-256-GCM, the repository's id being the
associated data, by a key that is scrypt(passphrase, salt) or the raw key itself; `repo_id` stands here only for the
case that config.json is lost. What a key file asks for is limited before it is done: whoever can write the repository
could else make its owner wait, or run out of memory.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import orjson

from memorybank_cli.base import clock, digests, exact_json
from memorybank_cli.base.errors import NotFound, OperationFailed, Refused, UsageError, WrongKey
from memorybank_cli.base.names import escape
from memorybank_cli.base.suggestions import did_you_mean
from memorybank_cli.snapshots.backends import Backend
from memorybank_cli.snapshots.sealing import Damaged

KEY_SIZE = 32
SALT_SIZE = 32
NONCE_SIZE = 12
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 15, 8, 1
MOST_MEMORY = 256 << 20
"""Bytes that scrypt may take: 128 n r."""
MOST_WORK = 1 << 22
"""The most that n r p may be, about two seconds."""
MOST_KEYS = 32
FOLDER = "keys"
SUFFIX = ".json"
_FILE_LIMIT = 4096
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_LOST = "without a key nothing in the repository can be read; bring keys/ back from a copy of the repository"

Kind = Literal["passphrase", "raw"]


@dataclass(frozen=True)
class Secret:
    """What opens a repository: the bytes of a passphrase, or a raw key of 32 bytes. Its text shows neither."""

    kind: Kind
    value: bytes = field(repr=False)
    derived: tuple[bytes, bytes] | None = field(default=None, repr=False)
    """A fresh salt, and what scrypt makes of it and a passphrase, where that was done already: see `derive`."""

    def __post_init__(self) -> None:
        if not self.value:
            raise UsageError("an empty passphrase protects nothing", hint="give one that nobody guesses")

    @property
    def word(self) -> str:
        """What it is, for messages."""
        return "passphrase" if self.kind == "passphrase" else "key file"


class Key(NamedTuple):
    """One key of a repository, as its file says."""

    name: str
    kind: Kind | None
    """None where the file is damaged."""
    created_at: str = ""
    damage: str = ""


@dataclass(frozen=True)
class Unlocked:
    """The master key, and the name of the key by which it was had."""

    name: str
    master: bytes = field(repr=False)


class _KeyFile(NamedTuple):
    kind: Kind
    created_at: str
    nonce: bytes
    wrapped: bytes
    salt: bytes
    cost: tuple[int, int, int]


def new_master() -> bytes:
    """A fresh master key."""
    return secrets.token_bytes(KEY_SIZE)


def new_raw_key() -> bytes:
    """The content of a new key file: 64 hexadecimal digits and a line feed."""
    return secrets.token_hex(KEY_SIZE).encode() + b"\n"


def raw(data: bytes) -> Secret:
    """The raw key in the content of a key file: 32 bytes, or 64 hexadecimal digits. Raises UsageError."""
    text = data.strip()
    if len(data) != KEY_SIZE:
        if not re.fullmatch(rb"[0-9A-Fa-f]{64}", text):
            raise UsageError(
                f"a key file has {KEY_SIZE} bytes or {2 * KEY_SIZE} hexadecimal digits; this one has neither",
                hint="a passphrase goes into a file for --password-file",
            )
        data = bytes.fromhex(text.decode())
    return Secret("raw", data)


def listing(backend: Backend) -> list[Key]:
    """Every key by name, damaged ones too. Raises OSError."""
    found = []
    for entry in backend.entries(FOLDER):
        name, dot, suffix = entry.name.partition(".")
        if entry.regular and dot + suffix == SUFFIX and _NAME.fullmatch(name):
            try:
                file = _read(backend, name)
                found.append(Key(name, file.kind, file.created_at))
            except Damaged as error:
                found.append(Key(name, None, damage=error.message))
    return found


def add(backend: Backend, repo_id: str, master: bytes, secret: Secret, name: str = "") -> str:
    """Let a secret open the repository too; the name of the new key, a random one if none is wished.

    Raises UsageError for a name that is none, Refused for one that is taken, OSError.
    """
    name = name or secrets.token_hex(4)
    if not _NAME.fullmatch(name):
        raise UsageError(f"'{escape(name)}' is no name for a key", hint="letters, digits, - and _, at most 64")
    if len(listing(backend)) >= MOST_KEYS:
        raise Refused(f"a repository has at most {MOST_KEYS} keys", hint="memorybank snapshot key remove NAME")
    path, data = f"{FOLDER}/{name}{SUFFIX}", _sealed(repo_id, master, secret)
    if not backend.put_new(path, data):
        raise Refused(f"there is a key '{name}' already", hint="choose another name; nothing was changed")
    if backend.digest(path)[0] != digests.of(data):
        backend.remove(path)
        raise OperationFailed(f"the disk gave back other bytes than were written to {path}", hint="the disk is failing")
    return name


def remove(backend: Backend, name: str) -> None:
    """Take a key away; who holds it and has a copy of its file can still read the repository. Raises OSError."""
    backend.remove(f"{FOLDER}/{name}{SUFFIX}")


def check_there(backend: Backend, name: str) -> Key:
    """The key of that name. Raises NotFound."""
    found = {key.name: key for key in listing(backend)}
    if name not in found:
        hint = did_you_mean(name, found, "memorybank snapshot key list shows them")
        raise NotFound(f"there is no key '{escape(name)}'", hint=hint)
    return found[name]


def unlock(backend: Backend, repo_id: str, secret: Secret) -> Unlocked:
    """The master key by the first key that the secret opens.

    Raises WrongKey, Damaged where no key file is usable, OSError.
    """
    found = listing(backend)
    usable = [key for key in found if key.kind is not None][:MOST_KEYS]
    place = escape(backend.place)
    if not usable:
        broken = f" ({found[0].name}: {found[0].damage})" if found else ""
        raise Damaged(f"the repository {place} is encrypted and has no usable key{broken}", hint=_LOST)
    for key in usable:
        if key.kind == secret.kind:
            file = _read(backend, key.name)
            master = _opened(repo_id, file, secret)
            if master is not None:
                return Unlocked(key.name, master)
    if all(key.kind != secret.kind for key in usable):
        wanted = "--key-file" if secret.kind == "passphrase" else "--password-file"
        raise WrongKey(f"no key of the repository {place} is a {secret.word}", hint=f"give {wanted} FILE")
    raise WrongKey(
        f"the {secret.word} does not open the repository {place}", hint="memorybank snapshot key list shows its keys"
    )


def derive(secret: Secret) -> tuple[bytes, bytes]:
    """A fresh salt, and the key that a new key file is sealed with by it: a tenth of a second for a passphrase."""
    salt = secrets.token_bytes(SALT_SIZE)
    return salt, _wrapping_key(secret, salt, (SCRYPT_N, SCRYPT_R, SCRYPT_P))


def _wrapping_key(secret: Secret, salt: bytes, cost: tuple[int, int, int]) -> bytes:
    if secret.kind == "raw":
        return secret.value
    n, r, p = cost
    return hashlib.scrypt(secret.value, salt=salt, n=n, r=r, p=p, maxmem=2 * MOST_MEMORY, dklen=KEY_SIZE)


def _sealed(repo_id: str, master: bytes, secret: Secret) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    nonce = secrets.token_bytes(NONCE_SIZE)
    salt, key = secret.derived or derive(secret)
    wrapped = AESGCM(key).encrypt(nonce, master, repo_id.encode())
    by: dict[str, Any] = {"kdf": "raw"}
    if secret.kind == "passphrase":
        by = {"kdf": "scrypt", "n": SCRYPT_N, "r": SCRYPT_R, "p": SCRYPT_P, "salt": salt.hex()}
    document = {**by, "nonce": nonce.hex(), "wrapped": wrapped.hex(), "repo_id": repo_id, "created_at": clock.now()}
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _opened(repo_id: str, file: _KeyFile, secret: Secret) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(_wrapping_key(secret, file.salt, file.cost))
    try:
        return cipher.decrypt(file.nonce, file.wrapped, repo_id.encode())
    except InvalidTag:
        return None


def _read(backend: Backend, name: str) -> _KeyFile:
    """A key file whose demands are within the limits. Raises Damaged."""
    try:
        document = exact_json.loads(backend.read(f"{FOLDER}/{name}{SUFFIX}", _FILE_LIMIT))
        if not isinstance(document, dict) or document.get("kdf") not in ("scrypt", "raw"):
            raise Damaged("it is no key file of a kind that this program knows")
        nonce, wrapped = _bytes(document, "nonce", NONCE_SIZE), _bytes(document, "wrapped", KEY_SIZE + 16)
        created_at = clock.show(clock.parse(document["created_at"]))
        if document["kdf"] == "raw":
            return _KeyFile("raw", created_at, nonce, wrapped, b"", (0, 0, 0))
        cost = _cost(document["n"], document["r"], document["p"])
        return _KeyFile("passphrase", created_at, nonce, wrapped, _bytes(document, "salt", SALT_SIZE), cost)
    except exact_json.FlawedJSON as error:
        raise Damaged(f"it is not JSON ({error})") from None
    except (KeyError, TypeError, ValueError, OSError) as error:
        raise Damaged(f"it is no whole key file ({error})") from None


def _bytes(document: dict[str, Any], name: str, size: int) -> bytes:
    value = bytes.fromhex(document[name])
    if len(value) != size:
        raise ValueError(f"{name} has {len(value)} bytes")
    return value


def _cost(n: Any, r: Any, p: Any) -> tuple[int, int, int]:
    if not all(type(one) is int and one > 0 for one in (n, r, p)) or n < 2 or n & (n - 1):
        raise ValueError("n, r and p are no parameters of scrypt")
    if 128 * n * r > MOST_MEMORY or n * r * p > MOST_WORK:
        raise Damaged(f"it asks for scrypt with n {n:,}, r {r:,}, p {p:,}: more than this program does")
    return n, r, p
