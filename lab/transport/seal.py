"""Keys and tags: which datagrams come from somebody who holds the run's key.

The tag is BLAKE2b (RFC 7693) with a key and 16 bytes of digest, over the whole datagram, behind which it stands.  It
says who wrote a datagram and not when: old ones are the window's to recognise (its numbers and nonces are under the
tag).  Nothing is encrypted.  BLAKE2b and not BLAKE2s: 1.7 against 2.9 us for 1,400 bytes, 64 against 113 for 60,000.
"""

import hashlib
import hmac
import os
import socket
import stat

from lab.transport.errors import SealError

TAG_BYTES = 16
KEY_BYTES = 32
KEY_FILE_BYTES_MAX = 4096
_PURPOSE = b"zab-lab datagram"  # person of BLAKE2b: tags for anything else made with the same key are not ours
_PURPOSE_OF_KEY = b"zab-lab key file"


class Seal:
    """Makes and checks tags with one key."""

    def __init__(self, key: bytes) -> None:
        """`key` is of KEY_BYTES."""
        if len(key) != KEY_BYTES:
            raise ValueError(f"a key of {len(key)} bytes: {KEY_BYTES} are needed")
        self._keyed = hashlib.blake2b(key=key, digest_size=TAG_BYTES, person=_PURPOSE)

    def seal(self, datagram: bytes) -> bytes:
        """The datagram with its tag behind it."""
        state = self._keyed.copy()  # the key has been worked in: 0.2 us less than to begin anew
        state.update(datagram)
        return datagram + state.digest()

    def open(self, sealed: bytes) -> bytes | None:
        """The datagram without its tag; None if the tag is not that of this key and these bytes."""
        datagram = sealed[:-TAG_BYTES]
        state = self._keyed.copy()
        state.update(datagram)
        return datagram if hmac.compare_digest(state.digest(), sealed[-TAG_BYTES:]) else None


def draw_key() -> bytes:
    """A fresh key from the kernel."""
    return os.urandom(KEY_BYTES)


def key_from_file(path: str) -> bytes:
    """The key that the file at `path` stands for: all of its bytes count, a newline at its end too.

    Raises SealError if it cannot be read, is open to anybody but its owner, or holds too few or too many bytes.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a FIFO must not keep us waiting
    except OSError as error:
        raise SealError(f"key file {path}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            raise SealError(f"key file {path}: not a regular file")
        mode = stat.S_IMODE(found.st_mode)
        if mode & 0o077:
            raise SealError(f"key file {path}: mode {mode:04o} lets others at it, allowed: 0600 (`chmod 600 {path}`)")
        content = os.read(fd, KEY_FILE_BYTES_MAX + 1)
    finally:
        os.close(fd)
    if not KEY_BYTES <= len(content) <= KEY_FILE_BYTES_MAX:
        size = f"{len(content)} bytes" if len(content) <= KEY_FILE_BYTES_MAX else f"above {KEY_FILE_BYTES_MAX} bytes"
        raise SealError(
            f"key file {path}: {size}, allowed: {KEY_BYTES} to {KEY_FILE_BYTES_MAX} (`head -c 32 /dev/urandom`)"
        )
    return hashlib.blake2b(content, digest_size=KEY_BYTES, person=_PURPOSE_OF_KEY).digest()


def is_loopback(host: str) -> bool:
    """Whether only this machine can send to `host`, an address; a name is resolved by others and is not."""
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            packed = socket.inet_pton(family, host)
        except OSError:
            continue
        return packed[0] == 127 if family == socket.AF_INET else packed == bytes(15) + b"\x01"
    return False


def check_bind(host: str, key: bytes) -> None:
    """Raises SealError if a socket bound to `host` would take datagrams from other machines and there is no key."""
    if not key and not is_loopback(host):
        raise SealError(
            f"cannot bind {host or 'all addresses'} without a key: beyond loopback (127.0.0.0/8, ::1) every datagram "
            "must carry a tag; give a key file"
        )
