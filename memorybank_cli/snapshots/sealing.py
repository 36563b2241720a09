"""How bytes are sealed before they reach the repository and opened after: plainly, or with AES-256-GCM."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Protocol

from memorybank_cli.base.errors import OperationFailed

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

PACK = "mb-pack-1"
INDEX = "mb-index-1"
SNAPSHOT = "mb-snap-1"
FOOTER_NUMBER = (1 << 96) - 1
FILE_SALT_SIZE = 32
_NONCE_SIZE = 12
# One cipher a pack: a repository of 4,000 packs is 64 GB.
_CIPHERS = 4096


class Damaged(OperationFailed):
    """Bytes in the repository are not what was written there; message says which and why."""

    code = "snapshot_damaged"
    hint = "memorybank snapshot verify --read-data lists what is hit; memorybank backup makes a new snapshot"


class Seal(Protocol):
    """What packs, index and snapshot documents are sealed with.

    `label` separates the uses of one master key, `salt` the packs, `number` the frames of a pack
    (`FOOTER_NUMBER` for its footer). Opening what was altered raises Damaged.
    """

    def seal(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """A part of a pack as it is stored."""

    def open(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The part that `seal` was given."""

    def seal_file(self, label: str, data: bytes) -> bytes:
        """A whole file as it is stored, with whatever salt it needs."""

    def open_file(self, label: str, data: bytes) -> bytes:
        """The content that `seal_file` was given."""


class Plain:
    """No encryption: bytes are stored as they are; digests alone tell damage."""

    def seal(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data itself."""
        return data

    def open(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data itself."""
        return data

    def seal_file(self, label: str, data: bytes) -> bytes:
        """The data itself."""
        return data

    def open_file(self, label: str, data: bytes) -> bytes:
        """The data itself."""
        return data


class Sealed:
    """AES-256-GCM under a key of its own for each salt and label; what belongs to another repository does not open.

    key = HKDF-SHA-256(master, salt, label); nonce = the number in 12 bytes, big-endian; associated data = "mb1" and
    the repository's id. A whole file is its salt (32 bytes), then its content with number 0. A salt is never used for
    a second pack or file, so no pair of key and nonce comes twice.
    """

    def __init__(self, master: bytes, repo_id: str) -> None:
        from hmac import digest

        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._make, self._altered, self._hmac = AESGCM, InvalidTag, digest
        self._master, self._bound = master, b"mb1" + repo_id.encode()
        self._ciphers: dict[tuple[str, bytes], AESGCM] = {}

    def seal(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data encrypted, 16 bytes longer."""
        return self._cipher(label, salt).encrypt(number.to_bytes(_NONCE_SIZE, "big"), data, self._bound)

    def open(self, label: str, salt: bytes, number: int, data: bytes) -> bytes:
        """The data decrypted and proved. Raises Damaged."""
        return self._decrypted(self._cipher(label, salt), number, data)

    def seal_file(self, label: str, data: bytes) -> bytes:
        """The file encrypted, 48 bytes longer."""
        salt = secrets.token_bytes(FILE_SALT_SIZE)
        return salt + self._make(self._key(label, salt)).encrypt(bytes(_NONCE_SIZE), data, self._bound)

    def open_file(self, label: str, data: bytes) -> bytes:
        """The file decrypted and proved. Raises Damaged."""
        salt = data[:FILE_SALT_SIZE]
        return self._decrypted(self._make(self._key(label, salt)), 0, data[FILE_SALT_SIZE:])

    def _decrypted(self, cipher: AESGCM, number: int, data: bytes) -> bytes:
        try:
            return cipher.decrypt(number.to_bytes(_NONCE_SIZE, "big"), data, self._bound)
        except self._altered:
            raise Damaged("it was altered, or sealed by another repository") from None

    def _cipher(self, label: str, salt: bytes) -> AESGCM:
        found = self._ciphers.get((label, salt))
        if found is None:
            if len(self._ciphers) >= _CIPHERS:
                self._ciphers.clear()
            found = self._ciphers[label, salt] = self._make(self._key(label, salt))
        return found

    def _key(self, label: str, salt: bytes) -> bytes:
        """HKDF of RFC 5869 for 32 bytes, which are one block."""
        return self._hmac(self._hmac(salt, self._master, "sha256"), label.encode() + b"\1", "sha256")
